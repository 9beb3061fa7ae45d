"""What a receiver of RTP tells its sender: which packets to repeat, when to send a keyframe, how the path does.

RFC 4585 (NACK, PLI), 3550 §6.4 (RR), draft-holmer transport-cc. Timers of one publish connection over the data path's
counts; `now` is monotonic seconds. The packets go through `sfu.transport`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sfu.rtcp import Nack, PictureLoss, ReceiverReport, ReportBlock, RtcpPacket, SenderReport

REORDER_SECONDS = 0.01  # a late packet is given this long before it is asked for
NACK_SECONDS = 0.02  # at least between two requests for the same packet, and a round trip
START_RTT_SECONDS = 0.1  # before a repair has shown it
MAX_RTT_SECONDS = 1.0
RTT_WEIGHT = 0.25  # of a new measure
NACK_GROWTH = 1.3
MAX_NACKS = 10
MAX_ASKED = 256  # by one NACK: it fits a datagram however they lie
GIVE_UP_SECONDS = 1.0  # what would come later than this after it was missed is of no use
MAX_MISSING = 512  # of one stream; past it only a keyframe helps
PLI_SECONDS = 0.4
WATCHER_SECONDS = 0.002  # so much after a keyframe for each who gets it, as it is six frames sent to all of them ...
MAX_SPACING_SECONDS = 1.0  # ... but no more
MAX_PLIS = 8  # for one want; slots that wait want again
REPORT_SECONDS = 1.0
TRANSPORT_FEEDBACK_SECONDS = 0.1
MAX_REPORT_BLOCKS = 31
NTP_MIDDLE = 0xFFFFFFFF
NEVER = float("inf")


class LossyStream(Protocol):
    """What the NACK side asks of an incoming stream."""

    @property
    def ssrc(self) -> int:
        """Its SSRC."""

    def still_missing(self, sequence_numbers: Sequence[int]) -> list[int]:
        """Those that have not arrived."""

    @property
    def last_repair(self) -> tuple[int, float] | None:
        """(sequence number, arrival) of the latest packet that RTX brought."""


class ReportedStream(Protocol):
    """What receiver reports ask of it."""

    @property
    def ssrc(self) -> int:
        """Its SSRC."""

    def receiver_report(self) -> tuple[int, int, int, int]:
        """(fraction lost, lost, highest sequence number, jitter)."""


@dataclass(slots=True)
class _Missing:
    first_at: float
    next_at: float
    asked_at: float = 0.0
    tries: int = 0


class Nacks:
    """The packets one stream misses, and when to ask for them again."""

    def __init__(self, stream: LossyStream) -> None:
        self.stream = stream
        self.rtt_seconds = START_RTT_SECONDS  # from a request to its repair
        self._repair: tuple[int, float] | None = None  # the latest looked at
        self._missing: dict[int, _Missing] = {}

    def lost(self, sequence_numbers: Sequence[int], now: float) -> bool:
        """Newly found missing; False when there are so many that only a keyframe helps."""
        for number in sequence_numbers:
            self._missing.setdefault(number, _Missing(now, now + REORDER_SECONDS))
        if len(self._missing) <= MAX_MISSING:
            return True
        self._missing.clear()
        return False

    def next_timer(self) -> float:
        """When something is due."""
        return min((each.next_at for each in self._missing.values()), default=NEVER)

    def due(self, now: float) -> list[int]:
        """The sequence numbers to ask for now."""
        if self.next_timer() > now:
            return []
        self._measure()
        kept = set(self.stream.still_missing(list(self._missing)))
        self._missing = {
            number: each
            for number, each in self._missing.items()
            if number in kept and each.tries < MAX_NACKS and now + self.rtt_seconds - each.first_at < GIVE_UP_SECONDS
        }
        numbers: list[int] = []
        for number, each in self._missing.items():
            if each.next_at <= now and len(numbers) < MAX_ASKED:
                each.next_at = now + max(NACK_SECONDS, self.rtt_seconds * NACK_GROWTH**each.tries)
                each.asked_at = now
                each.tries += 1
                numbers.append(number)
        return numbers

    def _measure(self) -> None:
        """A repair of what was asked for once tells the round trip."""
        repair = self.stream.last_repair
        if repair is None or repair == self._repair:
            return
        self._repair = repair
        number, arrived_at = repair
        asked = self._missing.get(number)
        if asked is not None and asked.tries == 1 and arrived_at > asked.asked_at:
            sample = min(arrived_at - asked.asked_at, MAX_RTT_SECONDS)
            self.rtt_seconds += (sample - self.rtt_seconds) * RTT_WEIGHT


@dataclass(slots=True)
class KeyframeRequest:
    """The wish for a keyframe of one stream: asked for at most every `PLI_SECONDS`, repeated until one came.

    The more receive it the less often, or those who come to a large audience one by one would make every third frame
    a keyframe for all.
    """

    sent_at: float = -NEVER
    wanted_at: float | None = None
    tries: int = 0
    spaced_until: float = -NEVER

    def want(self, now: float) -> None:
        """Somebody needs a keyframe made after now."""
        self.wanted_at, self.tries = now, 0

    def next_timer(self) -> float:
        """When `due` may answer True."""
        return NEVER if self.wanted_at is None else max(self.sent_at + PLI_SECONDS, self.wanted_at, self.spaced_until)

    def due(self, last_keyframe_at: float, watchers: int, now: float) -> bool:
        """Whether to send a PLI now."""
        if self.wanted_at is None or now < self.sent_at + PLI_SECONDS:
            return False
        if last_keyframe_at > self.wanted_at or self.tries >= MAX_PLIS:
            self.wanted_at = None
            return False
        self.spaced_until = last_keyframe_at + min(watchers * WATCHER_SECONDS, MAX_SPACING_SECONDS)
        if now < self.spaced_until:
            return False
        self.sent_at = now
        self.tries += 1
        return True


class Reports:
    """Receiver reports of one connection, and when feedback is due."""

    def __init__(self, local_ssrc: int, now: float) -> None:
        self.local_ssrc = local_ssrc
        self.next_report_at = now + REPORT_SECONDS
        self.next_feedback_at = now + TRANSPORT_FEEDBACK_SECONDS
        self._sender_reports: dict[int, tuple[int, float]] = {}  # ssrc -> (middle of its NTP time, arrival)

    def sender_report(self, report: SenderReport, arrived_at: float) -> None:
        """Kept for the next receiver report's LSR and DLSR."""
        self._sender_reports[report.ssrc] = (report.ntp >> 16 & NTP_MIDDLE, arrived_at)

    def forget(self, ssrc: int) -> None:
        """The stream is gone."""
        self._sender_reports.pop(ssrc, None)

    def receiver_reports(self, streams: Sequence[ReportedStream], now: float) -> list[RtcpPacket]:
        """RRs about `streams`; none when there is no stream yet."""
        self.next_report_at = now + REPORT_SECONDS
        blocks = []
        for stream in streams:
            fraction, lost, highest, jitter = stream.receiver_report()
            last_sr, arrived_at = self._sender_reports.get(stream.ssrc, (0, now))
            delay = min(int((now - arrived_at) * 65536), NTP_MIDDLE) if last_sr else 0
            blocks.append(ReportBlock(stream.ssrc, fraction, lost, highest & NTP_MIDDLE, jitter, last_sr, delay))
        step = MAX_REPORT_BLOCKS
        parts = [tuple(blocks[start : start + step]) for start in range(0, len(blocks), step)]
        return [ReceiverReport(self.local_ssrc, part) for part in parts]


def nack(local_ssrc: int, media_ssrc: int, numbers: Sequence[int]) -> Nack:
    """One NACK."""
    return Nack(local_ssrc, media_ssrc, tuple(numbers))


def picture_loss(local_ssrc: int, media_ssrc: int) -> PictureLoss:
    """One PLI."""
    return PictureLoss(local_ssrc, media_ssrc)
