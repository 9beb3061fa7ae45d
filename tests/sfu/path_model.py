"""What forward_feedback.pxi and forward_delay.pxi do, in plain Python: the join, the delay filter, rates and queue."""

from __future__ import annotations

from dataclasses import dataclass, field

from sfu.rtcp import REFERENCE_US, TransportFeedback

FIT = 20
BURST_US, MAX_BURST_US, MAX_DELTA_US = 5_000, 100_000, 3_000_000
MIN_SAMPLE_US, SAMPLES, RATE_US, RECENT_US = 40_000, 16, 400_000, 120_000
BASE_US, JUMP_US, JUMP_RISE_US = 5_000_000, 80_000, 15_000


@dataclass
class Sent:
    at_us: int
    size: int
    fate: str = "open"


@dataclass
class Group:
    first_sent: int
    last_sent: int
    first_arrival: int
    last_arrival: int


class DelayModel:
    """draft-ietf-rmcat-gcc-02 §5 with a line fit."""

    def __init__(self) -> None:
        self.overused = False
        self.restart()

    def restart(self) -> None:
        self.group: Group | None = None
        self.previous: Group | None = None
        self.deltas = 0
        self.accumulated = self.smoothed = self.trend = self.over_ms = 0.0
        self.over_count = 0
        self.points: list[tuple[float, float]] = []
        self.threshold, self.threshold_at = 12.5, 0
        self.use = "normal"

    def arrived(self, sent: int, arrival: int) -> None:
        group = self.group
        if group is not None:
            if sent < group.first_sent:
                return
            later = arrival - group.last_arrival
            joins = (
                later < sent - group.last_sent and later <= BURST_US and arrival - group.first_arrival < MAX_BURST_US
            )
            if sent == group.last_sent or sent - group.first_sent <= BURST_US or joins:
                group.last_sent = max(group.last_sent, sent)
                group.last_arrival = max(group.last_arrival, arrival)
                return
            before = self.previous
            if before is not None:
                self.delta(group.last_sent - before.last_sent, group.last_arrival - before.last_arrival, group)
            self.previous = group
        self.group = Group(sent, sent, arrival, arrival)

    def delta(self, sent: int, arrived: int, group: Group) -> None:
        if abs(arrived - sent) >= MAX_DELTA_US or sent < 0:
            self.restart()
            return
        if self.deltas == 0:
            self.fit_from = group.last_arrival
        self.deltas = min(self.deltas + 1, 1000)
        self.accumulated += (arrived - sent) / 1000
        self.smoothed = 0.9 * self.smoothed + 0.1 * self.accumulated
        self.points = [*self.points, ((group.last_arrival - self.fit_from) / 1000, self.smoothed)][-FIT:]
        self.detect(self.slope() if len(self.points) == FIT else self.trend, sent / 1000, group.last_arrival)

    def slope(self) -> float:
        mean_x = sum(x for x, _ in self.points) / FIT
        mean_y = sum(y for _, y in self.points) / FIT
        below = sum((x - mean_x) ** 2 for x, _ in self.points)
        return sum((x - mean_x) * (y - mean_y) for x, y in self.points) / below if below else 0.0

    def detect(self, trend: float, sent_ms: float, at: int) -> None:
        if self.deltas < 2:
            self.use = "normal"
            return
        modified = min(self.deltas, 60) * trend * 4
        if modified > self.threshold:
            self.over_ms = self.over_ms + sent_ms if self.over_count else sent_ms / 2
            self.over_count += 1
            if self.over_ms > 10 and self.over_count > 1 and trend >= self.trend:
                self.over()
        else:
            self.over_ms, self.over_count = 0.0, 0
            self.use = "under" if modified < -self.threshold else "normal"
        self.trend = trend
        self.threshold_at = self.threshold_at or at
        if abs(modified) <= self.threshold + 15:
            gain = 0.039 if abs(modified) < self.threshold else 0.0087
            passed = min(max(at - self.threshold_at, 0) / 1000, 100)
            self.threshold = min(max(self.threshold + gain * (abs(modified) - self.threshold) * passed, 6), 600)
        self.threshold_at = at

    def over(self) -> None:
        self.over_ms, self.over_count = 0.0, 0
        self.use, self.overused = "over", True


@dataclass
class PathModel:
    """One path since its first feedback; numbers do not wrap."""

    sent: dict[int, Sent] = field(default_factory=dict)
    delay: DelayModel = field(default_factory=DelayModel)
    received: int = 0
    missed: int = 0
    sent_bytes: int = 0
    acked_bytes: int = 0
    newest_arrival: int = 0
    rtt_us: int = 0
    queue_us: int = 0
    clock_us: int | None = None
    reference: int = 0
    base: list[int] = field(default_factory=list)
    base_from: int = 0
    samples: list[tuple[int, int, int, int]] = field(default_factory=list)

    def send(self, number: int, now_us: int, size: int) -> None:
        self.sent[number] = Sent(now_us, size)
        self.sent_bytes += size

    def feed(self, feedback: TransportFeedback, first: int, now_us: int) -> None:
        """`first` is its base sequence number without wrap."""
        step = (feedback.reference_time - self.reference + 0x800000) % 0x1000000 - 0x800000
        if self.clock_us is None:
            self.clock_us = feedback.reference_time * REFERENCE_US
        else:
            self.clock_us += step * REFERENCE_US
        self.reference = feedback.reference_time
        offset = self.clock_us - feedback.reference_time * REFERENCE_US
        newest = 0
        least: int | None = None
        for index, (_, arrival) in enumerate(feedback.arrivals()):
            packet = self.sent.get(first + index)
            if packet is None or packet.fate == "received":
                continue
            if arrival is None:
                self.missed += packet.fate == "open"
                packet.fate = "missed"
                continue
            self.missed -= packet.fate == "missed"
            packet.fate = "received"
            self.received += 1
            self.acked_bytes += packet.size
            arrival += offset
            newest = max(newest, packet.at_us)
            least = min(arrival - packet.at_us, arrival - packet.at_us if least is None else least)
            self.newest_arrival = max(self.newest_arrival, arrival) if self.samples else arrival
            self.delay.arrived(packet.at_us, arrival)
        if newest:
            self.rtt_us = (7 * self.rtt_us + now_us - newest) >> 3 if self.rtt_us else now_us - newest
        if least is not None:
            self._note_queue(least, now_us)
        if not self.samples or now_us - self.samples[-1][0] >= MIN_SAMPLE_US:
            self.samples.append((now_us, self.newest_arrival, self.sent_bytes, self.acked_bytes))
            self.samples = self.samples[-SAMPLES:]

    def _note_queue(self, least: int, now_us: int) -> None:
        if not self.base:
            self.base, self.base_from = [least, least], now_us
        elif now_us - self.base_from >= BASE_US:
            self.base, self.base_from = [least, self.base[0]], now_us
        self.base[0] = min(self.base[0], least)
        before, self.queue_us = self.queue_us, least - min(self.base)
        if self.queue_us > MAX_DELTA_US:
            self.base, self.queue_us, before = [least, least], 0, 0
        if self.queue_us >= JUMP_US and self.queue_us - before >= JUMP_RISE_US <= before:
            self.delay.over()

    def rates(self, span_us: int) -> tuple[float, float]:
        """(acked, sent) in bits a second."""
        if len(self.samples) < 2:
            return 0.0, 0.0
        last = self.samples[-1]
        first = next((each for each in reversed(self.samples[:-1]) if last[0] - each[0] >= span_us), self.samples[0])
        sent = (last[2] - first[2]) * 8e6 / (last[0] - first[0]) if last[0] > first[0] else 0.0
        return (last[3] - first[3]) * 8e6 / (last[1] - first[1]) if last[1] > first[1] else 0.0, sent
