"""The estimate of receivers without transport-wide feedback, and what the connection around it sees."""

from __future__ import annotations

from typing import Any

import pytest

from sfu.bandwidth import (
    MAX_ESTIMATE_BPS,
    MIN_ESTIMATE_BPS,
    START_BPS,
    Bandwidth,
    ProbeResult,
    ReportedBandwidth,
    judge,
)
from sfu.counters import Counters
from sfu.downlink import MAX_REPORTED, Downlink
from sfu.forward import PathReport, ProbeReport
from sfu.rtcp import ReceiverReport, Remb, ReportBlock
from tests.sfu.doubles import PathDouble
from tests.sfu.exchange import Exchange
from tests.sfu.network import Bottleneck, Viewer, World


def downlink(counters: Counters | None = None) -> Downlink:
    path: Any = PathDouble()
    return Downlink(path, 100.0, counters)


def block(highest: int, lost: int, ssrc: int = 1) -> ReportBlock:
    return ReportBlock(ssrc, 0, lost, highest, 0)


def report_for(link: Downlink, seconds: int, loss: float, start: float = 103.0) -> None:
    """A receiver report each second of 100 packets."""
    for second in range(seconds + 1):
        packets = 100 * (second + int(start))
        link.rtcp([ReceiverReport(1, (block(packets, int(packets * loss)),))], start + second)


def test_it_begins_with_a_guess() -> None:
    link = downlink()
    assert link.estimate_bps == START_BPS
    assert (link.congested, link.loss, link.rtt_seconds) == (False, 0.0, None)


def test_reports_without_loss_let_it_grow_as_far_as_is_wanted() -> None:
    link = downlink()
    link.want(1_000_000)
    report_for(link, 60, 0.0)
    assert 1_000_000 <= link.estimate_bps <= 1_300_000


def test_reports_without_a_want_leave_it() -> None:
    link = downlink()
    report_for(link, 60, 0.0)
    assert link.estimate_bps == START_BPS


def test_reports_of_much_loss_lower_it() -> None:
    link = downlink()
    report_for(link, 5, 0.3)
    assert link.estimate_bps < START_BPS / 2
    assert link.congested
    assert link.loss == pytest.approx(0.3, abs=0.02)
    report_for(link, 100, 0.9, 200.0)
    assert link.estimate_bps == MIN_ESTIMATE_BPS


def test_remb_is_never_exceeded() -> None:
    link = downlink()
    link.want(5_000_000)
    link.rtcp([Remb(1, 300_000, (1,))], 102.5)
    report_for(link, 30, 0.0)
    assert link.estimate_bps == 300_000
    link.rtcp([Remb(1, 200_000, (1,))], 140.0)
    assert link.congested


@pytest.mark.parametrize(("ssrcs", "followed"), [(MAX_REPORTED, MAX_REPORTED), (MAX_REPORTED + 1, MAX_REPORTED)])
def test_so_many_reported_streams_are_followed(ssrcs: int, followed: int) -> None:
    link = downlink()
    link.rtcp([ReceiverReport(1, (block(100, 0, ssrc),)) for ssrc in range(ssrcs)], 103.0)
    assert len(link._lost) == followed


def test_feedback_takes_the_place_of_reports(exchange: Exchange) -> None:
    world = World(exchange)
    viewer = Viewer(world, Bottleneck(world))
    world.run(4)
    viewer.downlink.rtcp([Remb(1, 60_000, (1,))], exchange.now)
    assert viewer.downlink.estimate_bps > 1_000_000
    assert viewer.downlink.rtt_seconds == pytest.approx(2 * 0.02 + 0.005, abs=0.02)


def test_it_probes_only_for_what_is_wanted(exchange: Exchange) -> None:
    world = World(exchange)
    viewer = Viewer(world, Bottleneck(world), layers=(150_000,))
    world.run(10)
    assert viewer.padding_bytes == 0
    assert viewer.downlink._counters.probes.total() == 0


def test_probes_and_estimates_are_counted(exchange: Exchange) -> None:
    world = World(exchange)
    viewer = Viewer(world, Bottleneck(world))
    world.run(10)
    counters = viewer.downlink._counters
    assert counters.probes[ProbeResult.SUCCESS] >= 2
    assert 8 <= sum(counters.estimate_bytes_per_second.counts) <= 11


def test_a_new_path_is_probed_at_once(exchange: Exchange) -> None:
    world = World(exchange)
    link = Bottleneck(world, bps=300e3)
    viewer = Viewer(world, link)
    world.run(30)
    link.bps, link.delay = 10e6, 0.1
    viewer.peer.transport.select(exchange.socket, viewer.peer.address, ("127.0.0.2", exchange.local[1]))
    world.run(3)
    assert viewer.downlink.estimate_bps > 1_500_000


@pytest.mark.parametrize(
    ("probe", "queue", "expected"),
    [
        (ProbeReport(10, 10, 0, 1e6, 0.95e6), 0.0, (ProbeResult.SUCCESS, 0.95e6)),
        (ProbeReport(10, 10, 0, 1e6, 0.5e6), 0.1, (ProbeResult.LIMITED, 0.475e6)),
        (ProbeReport(10, 10, 0, 1e6, 0.5e6), 0.0, (ProbeResult.SUCCESS, 0.85e6)),
        (ProbeReport(10, 2, 0, 1e6, 1e6), 0.0, (ProbeResult.LOST, 0.0)),
        (ProbeReport(10, 4, 4, 1e6, 1e6), 0.0, (ProbeResult.LOST, 0.475e6)),
        (ProbeReport(10, 0, 0, 0.0, 0.0), 0.0, (ProbeResult.LOST, 0.0)),
    ],
)
def test_a_probe_is_judged_by_what_arrives(
    probe: ProbeReport, queue: float, expected: tuple[ProbeResult, float]
) -> None:
    result, bps = judge(probe, queue)
    assert result is expected[0]
    assert bps == pytest.approx(expected[1])


# Bounds of the estimate


def calm(**values: object) -> PathReport:
    report = PathReport(100, 0, 0, 0, 1e6, 1e6, 1e6, 0.0, 0.05, False, False, False, False, None)
    return report._replace(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("bps", [MAX_ESTIMATE_BPS, MAX_ESTIMATE_BPS + 1])
def test_the_estimate_has_a_ceiling(bps: int) -> None:
    bandwidth = Bandwidth(100.0)
    bandwidth.probed(float(bps), limited=False)
    assert bandwidth.estimate_bps == MAX_ESTIMATE_BPS


def test_the_estimate_has_a_floor() -> None:
    bandwidth = Bandwidth(100.0)
    for step in range(60):
        report = calm(acked_bps=1e3, recent_bps=1e3, queue_seconds=0.3, overusing=True, overused=True)
        bandwidth.update(report, 100 + step)
        bandwidth.silence(100 + step)
    assert bandwidth.estimate_bps == MIN_ESTIMATE_BPS


def test_loss_without_delay_must_last_to_count() -> None:
    bandwidth = Bandwidth(100.0)
    lossy = calm(received=70, missed=30, acked_bps=4e5, sent_bps=5e5)
    for step in range(9):
        bandwidth.update(lossy, 100 + step / 10)
    assert bandwidth.base_bps == START_BPS
    for step in range(9, 14):
        bandwidth.update(lossy, 100 + step / 10)
    assert bandwidth.base_bps < START_BPS


def test_loss_that_does_not_fall_with_the_rate_is_the_paths_own() -> None:
    bandwidth = Bandwidth(100.0)
    for step in range(300):
        sent = min(5e5, bandwidth.base_bps)
        bandwidth.update(calm(received=85, missed=15, acked_bps=0.85 * sent, sent_bps=sent), 100 + step / 10)
    assert bandwidth.base_bps > START_BPS / 2


def test_reported_bandwidth_has_the_same_ceiling() -> None:
    bandwidth = ReportedBandwidth()
    for second in range(200):
        bandwidth.reported(0.0, 10 * MAX_ESTIMATE_BPS, 100.0 + second)
    assert bandwidth.estimate_bps == MAX_ESTIMATE_BPS
