"""How much the path to one receiver takes: an estimate from delay and loss, and when to try for more.

After draft-ietf-rmcat-gcc-02 (§5.5 the delay controller, §6 the loss controller) and libwebrtc's probing. Sans-IO:
`sfu.downlink` feeds it; `now` is monotonic seconds, rates are wire bits a second (UDP payload and 28 bytes a packet).
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import NamedTuple, Protocol

START_BPS = 500_000
MIN_ESTIMATE_BPS = 50_000
MAX_ESTIMATE_BPS = 50_000_000
BACKOFF = 0.85  # of what arrives at over-use
GROWTH = 1.08  # a second, while the estimate is used
GROWTH_NEAR_LIMIT_BPS = 40_000.0  # a second within LIMIT_MARGIN of where over-use was met: sums make shares equal
LIMIT_MARGIN = 0.3
MAX_OVER_ARRIVED = 1.5  # times what arrives: as far as growth goes without a probe
MAX_GROWTH_SECONDS = 1.0  # that one report can stand for
USED = 0.7  # of the estimate: less is application-limited and proves nothing
MIN_QUEUE_SECONDS = 0.015  # over-use with a shorter queue is over, or only begins
SLACK_QUEUE_SECONDS = 0.05  # over-use with a shorter queue and without loss is noise while little is sent
LONG_QUEUE_SECONDS = 0.1
PROBE_QUEUE_SECONDS = 0.2  # a shorter one during a probe is not told as congestion
MAX_DRAIN = 0.5  # of the estimate kept back to empty the queue within a second
EMPTYING_SECONDS = 0.005  # a queue shorter by this than at the report before needs no further cut
REFINE_SECONDS = 1.0  # after a cut, in which a better measure may undo a part of it
CUT_SECONDS = 0.15  # between two cuts, and a round trip
LOSS_SECONDS = 0.3
SHORT_LOSS_PACKETS = 10
LITTLE_LOSS = 0.02  # no more is none
MUCH_LOSS = 0.1
SEVERE_LOSS = 0.5
PATIENCE_SECONDS = 1.0  # much loss is answered after so long, severe loss sooner: a burst is none of it
SEVERE_PATIENCE_SECONDS = 0.5
MAX_FUTILE_CUTS = 2  # for loss that does not fall with the rate: it is the path's own
FUTILE = 0.8
SILENCE_SECONDS = 1.0
MAX_LOSS_WINDOWS = 64


class Report(Protocol):
    """What is used of `sfu.forward.PathReport`."""

    @property
    def received(self) -> int:
        """Packets since the last report."""

    @property
    def missed(self) -> int:
        """Packets found lost since the last report; negative when late ones came."""

    @property
    def acked_bps(self) -> float:
        """What arrived, over 0.4 s; 0 unknown."""

    @property
    def recent_bps(self) -> float:
        """What arrived, over 0.12 s; 0 unknown."""

    @property
    def sent_bps(self) -> float:
        """What was sent, over 0.4 s."""

    @property
    def queue_seconds(self) -> float:
        """Delay above the least."""

    @property
    def rtt_seconds(self) -> float:
        """Of the feedback loop."""

    @property
    def overusing(self) -> bool:
        """The delay grows now."""

    @property
    def overused(self) -> bool:
        """It did since the last report."""

    @property
    def underusing(self) -> bool:
        """A queue empties."""


class Bandwidth:
    """The estimate of one path that sends transport-wide feedback."""

    def __init__(self, now: float) -> None:
        self.base_bps = float(START_BPS)
        self.queue_seconds = 0.0
        self.rtt_seconds: float | None = None
        self.congested = False
        self.cut_at = -1e9
        self._emptying = False
        self._before_silence_bps = 0.0  # while it is not known whether the silence was the path's
        self._limit_bps = 0.0  # where over-use was met last
        self._updated_at = now
        self._loss = Loss()
        self._lossy_since: float | None = None
        self._loss_cut_at = -1e9
        self._loss_at_cut = 0.0
        self._futile_cuts = 0

    @property
    def estimate_bps(self) -> int:
        """What may be sent now: less than the path takes while there is a queue to empty."""
        drain = self.queue_seconds if self.queue_seconds > SLACK_QUEUE_SECONDS and self.congested else 0.0
        return int(max(MIN_ESTIMATE_BPS, self.base_bps * (1 - min(MAX_DRAIN, drain))))

    @property
    def loss(self) -> float:
        """Fraction lost of what was sent of late."""
        return self._loss.slow

    @property
    def lossy(self) -> bool:
        """Much was lost of late, not yet for so long that it counts."""
        return self._lossy_since is not None

    def update(self, report: Report, now: float, *, probing: bool = False) -> None:
        """Takes one report; `probing`: a short queue is our own doing."""
        ours = probing and report.queue_seconds < PROBE_QUEUE_SECONDS
        self._emptying = report.queue_seconds < self.queue_seconds - EMPTYING_SECONDS
        self.queue_seconds = report.queue_seconds
        if report.rtt_seconds:
            self.rtt_seconds = report.rtt_seconds
        self._loss.add(report.received, report.missed, now)
        self._end_silence(report)
        if report.overusing or report.overused:
            self._overuse(report, now, ours=ours)
        elif self._is_lossy(now):
            self._cut_for_loss(report, now)
        else:
            self._grow(report, now)
        queued = report.queue_seconds > LONG_QUEUE_SECONDS and now - self.cut_at < 3.0
        self.congested = (report.overusing or queued or self._loss_cut_at == now) and not ours
        self._updated_at = now

    def _overuse(self, report: Report, now: float, *, ours: bool) -> None:
        queued = report.queue_seconds > SLACK_QUEUE_SECONDS
        arrived = [rate for rate in (report.acked_bps, report.recent_bps if queued else 0.0) if rate > 0]
        if not arrived:
            return
        target = BACKOFF * min(arrived)
        if queued and now - self.cut_at < REFINE_SECONDS:  # what comes out of a queue is what the path takes
            self.base_bps = max(self.base_bps, target)
        if self._emptying or report.queue_seconds < MIN_QUEUE_SECONDS:
            return
        if ours:
            target = max(target, BACKOFF * self.base_bps)
        elif not queued and self._loss.fast(now) <= LITTLE_LOSS:
            # A receiver that wakes up late: what arrived is the least that the path takes.
            if report.sent_bps < USED * self.base_bps:
                return
            target = max(target, report.acked_bps)
        apart = CUT_SECONDS + (self.rtt_seconds or 0.0)
        if target >= self.base_bps or (now - self.cut_at < apart and target > 0.7 * self.base_bps):
            return
        self._limit_bps = min(arrived)
        self.base_bps = max(float(MIN_ESTIMATE_BPS), target)
        self.cut_at = now

    def _is_lossy(self, now: float) -> bool:
        fraction = self._loss.fast(now)
        if fraction <= MUCH_LOSS:
            self._lossy_since = None
            self._futile_cuts = 0
            return False
        if self._lossy_since is None:
            self._lossy_since = now
        patience = PATIENCE_SECONDS if fraction < SEVERE_LOSS else SEVERE_PATIENCE_SECONDS
        return now - self._lossy_since >= patience

    def _cut_for_loss(self, report: Report, now: float) -> None:
        fraction = self._loss.fast(now)
        if now - self._loss_cut_at < SEVERE_PATIENCE_SECONDS:
            return
        futile = self._futile_cuts and fraction > FUTILE * self._loss_at_cut
        if futile and self._futile_cuts >= MAX_FUTILE_CUTS:
            return
        self._loss_at_cut = fraction
        self._futile_cuts += 1
        used = min(self.base_bps, report.sent_bps or self.base_bps)
        self.base_bps = max(
            float(MIN_ESTIMATE_BPS), used * (1 - 0.5 * fraction if fraction < SEVERE_LOSS else 1 - fraction)
        )
        self._loss_cut_at = self.cut_at = now

    def _grow(self, report: Report, now: float) -> None:
        if report.underusing or report.queue_seconds > LONG_QUEUE_SECONDS or self._loss.fast(now) > MUCH_LOSS:
            return
        if report.acked_bps > self.base_bps and now - self.cut_at > REFINE_SECONDS:
            self.base_bps = min(float(MAX_ESTIMATE_BPS), report.acked_bps)
        elif report.sent_bps >= USED * self.base_bps:
            passed = min(MAX_GROWTH_SECONDS, now - self._updated_at)
            grown = self.base_bps * GROWTH**passed
            if self._is_near_limit(self.base_bps):
                grown = min(grown, self.base_bps + GROWTH_NEAR_LIMIT_BPS * passed)
            proved = max(self.base_bps, MAX_OVER_ARRIVED * report.acked_bps)
            self.base_bps = min(float(MAX_ESTIMATE_BPS), grown, proved)

    def _is_near_limit(self, bps: float) -> bool:
        return abs(bps - self._limit_bps) < LIMIT_MARGIN * self._limit_bps

    def probed(self, bps: float, *, limited: bool) -> None:
        """A probe has shown that so much arrives; less than the estimate says nothing, nor does what is known."""
        if not limited or not self._is_near_limit(bps):
            self.base_bps = min(float(MAX_ESTIMATE_BPS), max(self.base_bps, bps))

    def moved(self) -> None:
        """The path is another one: where the old one ended says nothing."""
        self._limit_bps = self._before_silence_bps = 0.0

    def _end_silence(self, report: Report) -> None:
        """Feedback has come: when all of what was sent has arrived and no queue stands, only the receiver slept."""
        intact = report.missed <= LITTLE_LOSS * report.received and report.queue_seconds < SLACK_QUEUE_SECONDS
        if intact:
            self.base_bps = max(self.base_bps, self._before_silence_bps)
        self._before_silence_bps = 0.0

    def silence(self, now: float) -> None:
        """Packets went out and no feedback came for SILENCE_SECONDS."""
        self._before_silence_bps = self._before_silence_bps or self.base_bps
        self.base_bps = max(float(MIN_ESTIMATE_BPS), self.base_bps / 2)
        self.cut_at = self._updated_at = now
        self.congested = True


class Loss:
    """The fraction lost of late, over two spans."""

    def __init__(self) -> None:
        self.slow = 0.0  # moving average over about a second
        self._windows: deque[tuple[float, int, int]] = deque(maxlen=MAX_LOSS_WINDOWS)
        self._at: float | None = None

    def add(self, received: int, missed: int, now: float) -> None:
        """Counts of one report."""
        self._windows.append((now, received, missed))
        total = received + max(0, missed)
        if total:
            passed = 0.2 if self._at is None else min(1.0, now - self._at)
            self.slow += (max(0, missed) / total - self.slow) * min(1.0, passed)
            self._at = now

    def fast(self, now: float) -> float:
        """Over the last LOSS_SECONDS; 0 when hardly anything was sent."""
        while self._windows and self._windows[0][0] <= now - LOSS_SECONDS:
            self._windows.popleft()
        missed = max(0, sum([each[2] for each in self._windows]))
        total = sum([each[1] for each in self._windows]) + missed
        return missed / total if total >= SHORT_LOSS_PACKETS else 0.0


class ReportedBandwidth:
    """The estimate of a path whose receiver sends no transport-wide feedback: its REMB, and the loss of its RRs."""

    def __init__(self) -> None:
        self.base_bps = float(START_BPS)
        self.loss = 0.0
        self.congested = False
        self._remb_bps: int | None = None
        self._at: float | None = None

    @property
    def estimate_bps(self) -> int:
        """Never above what the receiver says."""
        bps = self.base_bps if self._remb_bps is None else min(self.base_bps, self._remb_bps)
        return int(max(MIN_ESTIMATE_BPS, bps))

    def remb(self, bps: int) -> None:
        """draft-alvestrand-rmcat-remb-03."""
        self.congested = self._remb_bps is not None and bps < BACKOFF * self.estimate_bps
        self._remb_bps = bps

    def reported(self, fraction: float, want_bps: int, now: float) -> None:
        """Loss since the report before, weighted over the streams; draft-ietf-rmcat-gcc-02 §6."""
        passed = 0.0 if self._at is None else min(MAX_GROWTH_SECONDS, now - self._at)
        self._at = now
        self.loss += (fraction - self.loss) / 2
        self.congested = fraction > MUCH_LOSS
        if self.congested:
            self.base_bps = max(float(MIN_ESTIMATE_BPS), self.base_bps * (1 - 0.5 * fraction))
        elif fraction < 0.02 and self.estimate_bps < PROBE_MARGIN * want_bps:
            self.base_bps = min(float(MAX_ESTIMATE_BPS), self.base_bps * GROWTH**passed)


# Probing.

PROBE_MARGIN = 1.2  # above what is wanted
FACTORS = (1.25, 2.0, 3.0)  # times the estimate: the first after a failure, the next after each success
ENOUGH = 1.08  # an estimate of so many wants needs no probe: layers are bursts, and must fit in
PROBE_SECONDS = 0.15
MAX_PROBE_SECONDS = 0.6
PROBE_EXCESS_BITS = 64_000  # above the estimate: token buckets let through a burst of some kilobytes
MAX_WAIT_SECONDS = 0.6  # for feedback on a probe, and a round trip
ARRIVES = 0.85  # of the rate sent: less is a queue that builds, or jitter when there is none
QUEUE_OF_PROBE_SECONDS = 0.02
MAX_QUEUE_OF_PROBE_SECONDS = 0.05  # a longer one ends the probe
MAX_PROBE_LOSS = 0.2
PROVED = 1.2  # times the rate of a probe: what came faster was a burst
SETTLED = 0.95  # of what arrived of a probe that failed
FIRST_PAUSE_SECONDS = 2.0
PROOF_SECONDS = 4.0  # a cut so soon after a success shows that it was none
MAX_PAUSE_SECONDS = 8.0  # so that a path that has recovered is found out within this
PAUSE_AFTER_CUT_SECONDS = 2.0
TRIAL_SECONDS = 2.0
TRIAL = 1.25  # where nothing can be padded: the estimate is raised by this and media tries it
NEVER = float("inf")


class ProbeResult(StrEnum):
    """How a probe ended; the metric's label."""

    SUCCESS = "success"
    LIMITED = "limited"  # less arrived than was sent, or a queue grew
    LOST = "lost"  # too much of it, or no feedback
    MEDIA = "media"  # a trial without padding


class ProbeCounts(Protocol):
    """What is used of `sfu.forward.ProbeReport`."""

    @property
    def packets(self) -> int:
        """Sent."""

    @property
    def received(self) -> int:
        """Of them, as far as feedback has come."""

    @property
    def missed(self) -> int:
        """Of them."""

    @property
    def sent_bps(self) -> float:
        """Of those received, by our clock."""

    @property
    def received_bps(self) -> float:
        """Of those received, by theirs."""


class Verdict(NamedTuple):
    """What a probe has shown; 0 bps: nothing."""

    result: ProbeResult
    bps: float


def judge(probe: ProbeCounts, queue_seconds: float) -> Verdict:
    """What the counts of a finished probe say, and the longest queue seen meanwhile."""
    reported = probe.received + probe.missed
    if probe.received < 3 or reported * 2 < probe.packets:
        return Verdict(ProbeResult.LOST, 0.0)
    if probe.missed > MAX_PROBE_LOSS * reported:
        return Verdict(ProbeResult.LOST, SETTLED * probe.received_bps * probe.received / reported)
    is_slow = probe.received_bps < ARRIVES * probe.sent_bps and queue_seconds > QUEUE_OF_PROBE_SECONDS
    if is_slow or queue_seconds > MAX_QUEUE_OF_PROBE_SECONDS:
        return Verdict(ProbeResult.LIMITED, SETTLED * probe.received_bps)
    return Verdict(ProbeResult.SUCCESS, min(probe.sent_bps, max(probe.received_bps, ARRIVES * probe.sent_bps)))


class Pauses:
    """When the next probe may begin, and how high it aims."""

    def __init__(self, now: float) -> None:
        self.next_at = now
        self._failures = 0
        self._courage = len(FACTORS) - 1
        self._cut_at = self._succeeded_at = -1e9

    def target_bps(self, estimate_bps: float, want_bps: int) -> float:
        """The rate of a probe."""
        return min(PROBE_MARGIN * want_bps, FACTORS[self._courage] * estimate_bps)

    def ended(self, result: ProbeResult, now: float) -> None:
        """Notes how it went."""
        if result is ProbeResult.SUCCESS:
            if self._cut_at < self._succeeded_at or now - self._cut_at > MAX_PAUSE_SECONDS:
                self._failures = 0
            self._courage = min(self._courage + 1, len(FACTORS) - 1)
            self._succeeded_at = now
        if result is ProbeResult.SUCCESS or result is ProbeResult.MEDIA:
            self.next_at = now + (TRIAL_SECONDS if result is ProbeResult.MEDIA else 0.0)
            return
        self._fail(now)

    def _fail(self, now: float) -> None:
        self._courage = 0
        self.next_at = now + min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._failures)
        self._failures = min(self._failures + 1, 8)

    def cut(self, cut_at: float) -> None:
        """The estimate was cut then: the path has changed, or a probe went too far."""
        if cut_at > self._cut_at:
            self._cut_at = cut_at
            self._courage = 0
            self.next_at = max(self.next_at, cut_at + PAUSE_AFTER_CUT_SECONDS)
            if cut_at - self._succeeded_at < PROOF_SECONDS:
                self._succeeded_at = -1e9
                self._fail(cut_at)

    def changed(self, now: float) -> None:
        """The path is another one, of which nothing is known."""
        self._failures = 0
        self._courage = len(FACTORS) - 1
        self.next_at = now
