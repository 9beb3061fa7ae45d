"""RTCP compounds: what is built is parsed again, and any bytes are survived."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.rtcp import (
    MAX_PACKETS,
    Bye,
    FullIntraRequest,
    Nack,
    PictureLoss,
    ReceiverReport,
    Remb,
    ReportBlock,
    RtcpError,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    TransportFeedback,
    build_compound,
    parse_compound,
)
from tests.sfu.transport_feedback import transport_feedback

u32 = st.integers(0, 0xFFFFFFFF)
u16 = st.integers(0, 0xFFFF)
blocks = st.lists(
    st.builds(ReportBlock, u32, st.integers(0, 255), st.integers(-0x800000, 0x7FFFFF), u32, u32, u32, u32), max_size=31
).map(tuple)
deltas = st.lists(st.none() | st.integers(0, 255) | st.integers(-0x8000, 0x7FFF), min_size=1, max_size=60)
packets: st.SearchStrategy[RtcpPacket] = st.one_of(
    st.builds(SenderReport, u32, st.integers(0, 2**64 - 1), u32, u32, u32, blocks),
    st.builds(ReceiverReport, u32, blocks),
    st.builds(SourceDescription, st.lists(st.tuples(u32, st.binary(max_size=255)), max_size=31).map(tuple)),
    st.builds(Bye, st.lists(u32, max_size=31).map(tuple)),
    st.builds(PictureLoss, u32, u32),
    st.builds(FullIntraRequest, u32, st.lists(st.tuples(u32, st.integers(0, 255)), max_size=9).map(tuple)),
    st.builds(
        TransportFeedback, u32, u32, u16, st.integers(0, 255), st.integers(-0x800000, 0x7FFFFF), deltas.map(tuple)
    ),
)


@given(st.lists(packets, min_size=1, max_size=5))
def test_a_compound_survives_building_and_parsing(compound: list[RtcpPacket]) -> None:
    assert parse_compound(build_compound(compound)) == compound


@given(st.sets(u16, min_size=1, max_size=60), u16)
def test_a_nack_names_exactly_its_sequence_numbers(numbers: set[int], start: int) -> None:
    ordered = sorted(numbers, key=lambda number: (number - start) & 0xFFFF)
    (parsed,) = parse_compound(build_compound([Nack(1, 2, tuple(ordered))]))
    assert isinstance(parsed, Nack)
    assert list(parsed.sequence_numbers) == ordered


def test_a_nack_packs_the_sixteen_that_follow_across_the_wrap() -> None:
    data = build_compound([Nack(1, 2, (0xFFFE, 0xFFFF, 0, 14))])
    assert data[12:] == b"\xff\xfe\x80\x03"


@given(st.integers(0, 2**60), st.lists(u32, max_size=8))
def test_remb_keeps_eighteen_bits(bitrate: int, ssrcs: list[int]) -> None:
    (parsed,) = parse_compound(build_compound([Remb(1, bitrate, tuple(ssrcs))]))
    assert isinstance(parsed, Remb)
    assert parsed.ssrcs == tuple(ssrcs)
    assert 0 <= bitrate - parsed.bitrate_bps <= bitrate >> 17


@given(st.binary(max_size=300))
def test_any_bytes_give_packets_or_rtcp_error(data: bytes) -> None:
    with contextlib.suppress(RtcpError):
        parse_compound(data)


@given(st.lists(packets, min_size=1, max_size=3), st.data())
def test_a_damaged_compound_gives_packets_or_rtcp_error(compound: list[RtcpPacket], data: st.DataObject) -> None:
    damaged = bytearray(build_compound(compound))
    for _ in range(4):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(RtcpError):
        parse_compound(bytes(damaged[: data.draw(st.integers(1, len(damaged)))]))


def test_unknown_packets_are_skipped() -> None:
    extended_report = b"\x80\xcf\x00\x02" + bytes(8)
    application = b"\x80\xcc\x00\x02" + bytes(4) + b"NAME"
    data = extended_report + build_compound([PictureLoss(1, 2)]) + application
    assert parse_compound(data) == [PictureLoss(1, 2)]


def test_profile_extensions_of_a_receiver_report_are_skipped() -> None:
    assert parse_compound(b"\x80\xc9\x00\x02" + bytes(3) + b"\x07" + b"more") == [ReceiverReport(7)]


def test_a_compound_holds_at_most_max_packets() -> None:
    one = build_compound([PictureLoss(1, 2)])
    assert len(parse_compound(one * MAX_PACKETS)) == MAX_PACKETS
    with pytest.raises(RtcpError):
        parse_compound(one * (MAX_PACKETS + 1))


def test_a_feedback_that_claims_more_statuses_than_it_holds_is_an_error() -> None:
    body = bytes(8) + b"\x00\x01\xff\xff" + bytes(4) + b"\x3f\xff\x00\x00"
    with pytest.raises(RtcpError):
        parse_compound(b"\x8f\xcd" + (len(body) // 4).to_bytes(2, "big") + body)


def test_more_reports_than_fit_are_not_built() -> None:
    with pytest.raises(RtcpError):
        build_compound([ReceiverReport(1, (ReportBlock(1, 0, 0, 0, 0),) * 32)])


arrival_lists = st.lists(st.tuples(st.integers(1, 300), st.integers(-3000, 9_000_000)), max_size=60)


@given(st.integers(0, 2**20), st.integers(0, 2**40), arrival_lists)
def test_feedback_tells_each_arrival_to_a_quarter_millisecond(
    sequence: int, clock: int, steps: list[tuple[int, int]]
) -> None:
    arrivals = []
    for gap, wait in steps:
        sequence, clock = sequence + gap, max(0, clock + wait)
        arrivals.append((sequence, clock))
    reports = transport_feedback(arrivals, sender_ssrc=1, media_ssrc=2, feedback_count=250)
    assert parse_compound(build_compound(reports) or build_compound([PictureLoss(1, 2)]))[: len(reports)] == reports
    assert [report.feedback_count for report in reports] == [(250 + index) & 0xFF for index in range(len(reports))]
    told = [(number, at) for report in reports for number, at in report.arrivals() if at is not None]
    assert [number for number, _ in told] == [number & 0xFFFF for number, _ in arrivals]
    wrap = 2**24 * 64_000
    assert all(0 <= (given_at - at) % wrap < 250 for (_, given_at), (_, at) in zip(arrivals, told, strict=True))


def test_feedback_starts_at_the_sequence_number_asked_for() -> None:
    (report,) = transport_feedback([(12, 64_000)], sender_ssrc=1, media_ssrc=2, feedback_count=0, first=10)
    assert report.base_sequence == 10
    assert report.deltas == (None, None, 0)


def test_one_feedback_fits_a_datagram() -> None:
    arrivals = [(number, 64_000 * (number % 2)) for number in range(2000)]
    reports = transport_feedback(arrivals, sender_ssrc=1, media_ssrc=2, feedback_count=0)
    assert max(len(build_compound([report])) for report in reports) <= 1200
