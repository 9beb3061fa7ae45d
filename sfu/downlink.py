"""What one subscribe connection's path takes: reads the data path's counts, keeps the estimate, sends probes.

Receivers with transport-wide feedback get `sfu.bandwidth.Bandwidth`, others are judged by REMB and RR (RFC 3550 §6.4).
Sans-IO; owned by the subscribe connection, which wakes it at `wake_at` and on every FEEDBACK event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sfu.bandwidth import (
    ENOUGH,
    MAX_PROBE_SECONDS,
    MAX_QUEUE_OF_PROBE_SECONDS,
    MAX_WAIT_SECONDS,
    PROBE_EXCESS_BITS,
    PROBE_MARGIN,
    PROBE_SECONDS,
    PROVED,
    QUEUE_OF_PROBE_SECONDS,
    SILENCE_SECONDS,
    TRIAL,
    Bandwidth,
    Pauses,
    ProbeResult,
    ReportedBandwidth,
    judge,
)
from sfu.counters import Counters
from sfu.rtcp import ReceiverReport, Remb, RtcpPacket, SenderReport

if TYPE_CHECKING:
    from sfu.forward import PathReport, ProbeReport, Transport

WIRE_OVERHEAD_BYTES = 28
MIN_PAD_BYTES = 600  # half a packet: less waits for the next turn
PACE_SECONDS = 0.005  # while a probe runs
URGENT_SECONDS = 0.05  # between FEEDBACK events while something happens
CALM_SECONDS = 0.25
REST_SECONDS = 1.0  # while nothing more is wanted
START_SECONDS = 3.0
OBSERVE_SECONDS = 1.0
SILENT_PACKETS = 10  # sent without feedback: fewer are no silence
MAX_BURST_SECONDS = 0.04  # of a probe that is late: more is not caught up with
NO_FEEDBACK_SECONDS = 2.0  # since the beginning: who sends RRs and none by then has none
MAX_REPORTED = 512  # SSRCs whose loss is followed: as many as a transport has slots


class _Probe:
    """A stretch of time in which more is sent than the estimate."""

    def __init__(self, rate_bps: float, bandwidth: Bandwidth, now: float, wire_bytes: int) -> None:
        seconds = PROBE_EXCESS_BITS / max(1.0, rate_bps - bandwidth.base_bps)
        self.rate_bps = rate_bps
        self.end_at = now + min(max(seconds, PROBE_SECONDS), MAX_PROBE_SECONDS)
        self.ended = False
        self.padded = 0
        self.refused = False  # nothing could be padded
        self.counts: ProbeReport | None = None
        self.queue_seconds = 0.0  # the longest seen, beyond that at the beginning
        self._queue_before = bandwidth.queue_seconds
        self._started_at = now
        self._wire_bytes = wire_bytes

    def due_bytes(self, wire_bytes: int, now: float) -> int:
        """What is lacking of the rate by now, media counted in."""
        lacking = self.rate_bps * (now - self._started_at + PACE_SECONDS) / 8 - (wire_bytes - self._wire_bytes)
        return int(min(lacking, self.rate_bps * MAX_BURST_SECONDS / 8))

    def take(self, report: PathReport) -> bool:
        """Notes what has come of it; True when that is enough."""
        self.counts = report.probe
        self.queue_seconds = max(self.queue_seconds, report.queue_seconds - self._queue_before)
        return self.queue_seconds > (QUEUE_OF_PROBE_SECONDS if report.overused else MAX_QUEUE_OF_PROBE_SECONDS)

    @property
    def is_reported(self) -> bool:
        """Feedback on all of it has come."""
        return self.counts is not None and self.counts.received + self.counts.missed >= self.counts.packets


class Downlink:
    """The estimate of one receiver's path."""

    def __init__(self, path: Transport, now: float, counters: Counters | None = None) -> None:
        self.wake_at = now
        self._path = path
        self._counters = counters or Counters()
        self._bandwidth = Bandwidth(now)
        self._reported = ReportedBandwidth()
        self._pauses = Pauses(now)
        self._probe: _Probe | None = None
        self._want_bps = 0
        self._started_at = now
        self._feedback_at: float | None = None
        self._first_report_at: float | None = None
        self._packets_out = 0
        self._observe_at = now + OBSERVE_SECONDS
        self._lost: dict[int, tuple[int, int]] = {}  # ssrc -> (highest sequence number, lost) of the last RR

    # What policy asks.

    @property
    def estimate_bps(self) -> int:
        """What this receiver's path takes now, wire bits, audio and repairs included."""
        return self._reported.estimate_bps if self._by_reports else self._bandwidth.estimate_bps

    @property
    def carried_bps(self) -> int:
        """What this receiver's path takes in the long run: the estimate without what is kept back to empty a queue."""
        return self._reported.estimate_bps if self._by_reports else int(self._bandwidth.base_bps)

    @property
    def known(self) -> bool:
        """Whether the receiver has told anything of its path."""
        return self._feedback_at is not None or self._first_report_at is not None

    @property
    def congested(self) -> bool:
        """Delay or loss says that it is too much now."""
        return self._reported.congested if self._by_reports else self._bandwidth.congested

    @property
    def rtt_seconds(self) -> float | None:
        """Of the feedback loop; None before there was feedback."""
        return self._bandwidth.rtt_seconds

    @property
    def loss(self) -> float:
        """Fraction lost in about the last second."""
        return self._reported.loss if self._by_reports else self._bandwidth.loss

    @property
    def _by_reports(self) -> bool:
        return self._feedback_at is None and self._first_report_at is not None

    def want(self, bps: int) -> None:
        """What the receiver could use at best: above the estimate it probes upwards, at it it rests."""
        self._want_bps = bps

    # What happens.

    def rtcp(self, packets: Sequence[RtcpPacket], now: float) -> None:
        """REMB and RR loss; not used once there is transport-wide feedback."""
        if self._feedback_at is not None:
            return
        expected = lost = 0
        for packet in packets:
            match packet:
                case Remb(_, bitrate):
                    self._reported.remb(bitrate)
                case ReceiverReport(_, reports) | SenderReport(reports=reports):
                    for report in reports:
                        highest, before = self._lost.get(report.ssrc, (report.highest_sequence, report.lost))
                        expected += max(0, report.highest_sequence - highest)
                        lost += max(0, report.lost - before)
                        if report.ssrc in self._lost or len(self._lost) < MAX_REPORTED:
                            self._lost[report.ssrc] = (report.highest_sequence, report.lost)
        if expected:
            if self._first_report_at is None and now - self._started_at >= NO_FEEDBACK_SECONDS:
                self._first_report_at = now
            self._reported.reported(min(1.0, lost / expected), self._want_bps, now)

    def handle_timer(self, now: float) -> None:
        """All that is due; also called when feedback came."""
        report = self._path.path_report()
        if report is not None:
            self._take(report, now)
        elif self._feedback_at is not None:
            self._watch_silence(now)
        if self._probe is not None:
            self._go_on(self._probe, report, now)
        elif self._may_probe(now):
            self._begin(now)
        if now >= self._observe_at:
            self._observe_at = now + OBSERVE_SECONDS
            self._counters.estimate_bytes_per_second.observe(self.estimate_bps / 8)
        self._schedule(now)

    def _take(self, report: PathReport, now: float) -> None:
        self._feedback_at = now
        self._packets_out = self._path.packets_out
        if report.moved:
            self._pauses.changed(now)
            self._bandwidth.moved()
        self._bandwidth.update(report, now, probing=self._probe is not None)
        self._pauses.cut(self._bandwidth.cut_at)
        bandwidth = self._bandwidth
        starting = now - self._started_at < START_SECONDS
        if self._probe is not None or bandwidth.congested or bandwidth.lossy or starting:
            self._path.set_feedback_interval(URGENT_SECONDS)
        else:
            self._path.set_feedback_interval(CALM_SECONDS if self._wants_more else REST_SECONDS)

    @property
    def _wants_more(self) -> bool:
        return ENOUGH * self._want_bps > self._bandwidth.base_bps

    def _watch_silence(self, now: float) -> None:
        if self._feedback_at is None or now - self._feedback_at < SILENCE_SECONDS:
            return
        if self._path.packets_out - self._packets_out >= SILENT_PACKETS:
            self._bandwidth.silence(now)
            self._pauses.changed(now)
        self._packets_out = self._path.packets_out
        self._feedback_at = now

    # Probing.

    def _may_probe(self, now: float) -> bool:
        return (
            self._feedback_at is not None
            and self._wants_more
            and not self._bandwidth.congested
            and now >= self._pauses.next_at
        )

    def _begin(self, now: float) -> None:
        if not self._path.begin_probe():
            return
        rate = self._pauses.target_bps(self._bandwidth.base_bps, self._want_bps)
        self._probe = _Probe(rate, self._bandwidth, now, self._wire_bytes())
        self._path.set_feedback_interval(URGENT_SECONDS)
        self._pace(self._probe, now)

    def _wire_bytes(self) -> int:
        return self._path.bytes_out + WIRE_OVERHEAD_BYTES * self._path.packets_out

    def _pace(self, probe: _Probe, now: float) -> None:
        """Adds what media leaves of the probe's rate."""
        due = probe.due_bytes(self._wire_bytes(), now)
        if due >= MIN_PAD_BYTES:
            padded = self._path.pad(due)
            probe.padded += padded
            probe.refused = probe.refused or not padded
        if now >= probe.end_at:
            probe.ended = True
            self._path.end_probe()

    def _go_on(self, probe: _Probe, report: PathReport | None, now: float) -> None:
        if report is not None and probe.take(report) and not probe.ended:
            self._path.end_probe()
            probe.ended = True
        if not probe.ended:
            self._pace(probe, now)
            return
        if probe.is_reported or now >= probe.end_at + MAX_WAIT_SECONDS + (self._bandwidth.rtt_seconds or 0.0):
            self._finish(probe, now)

    def _finish(self, probe: _Probe, now: float) -> None:
        self._probe = None
        if probe.refused and not probe.padded:
            result, bps = ProbeResult.MEDIA, min(TRIAL * self._bandwidth.base_bps, PROBE_MARGIN * self._want_bps)
        elif probe.counts is None:
            result, bps = ProbeResult.LOST, 0.0
        else:
            result, bps = judge(probe.counts, probe.queue_seconds)
        bps = min(bps, PROVED * probe.rate_bps)
        self._bandwidth.probed(bps, limited=result is ProbeResult.LIMITED)
        self._pauses.ended(result, now)
        self._counters.probes[result] += 1

    def _schedule(self, now: float) -> None:
        if self._probe is not None:
            self.wake_at = now + PACE_SECONDS
        elif self._feedback_at is not None and self._wants_more:
            self.wake_at = max(now + PACE_SECONDS, min(self._pauses.next_at, now + SILENCE_SECONDS))
        else:
            self.wake_at = now + SILENCE_SECONDS
