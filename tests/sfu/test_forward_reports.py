"""Sender reports that the forward path writes itself."""

from __future__ import annotations

import pytest

from sfu import rtcp
from sfu.forward import Kind
from tests.sfu.exchange import DELTA, KEYFRAME, Call, Peer, audio, slot_of, video

MAX_COMPOUND_BYTES = 1200


def compounds(peer: Peer) -> list[list[rtcp.RtcpPacket]]:
    """The RTCP that a peer has got; what else came is dropped."""
    received = [data for data in peer.raw() if 200 <= data[1] <= 206]
    return [rtcp.parse_compound(peer.inbound.unprotect_rtcp(data)) for data in received]


def reports(peer: Peer) -> list[rtcp.SenderReport]:
    return [each for compound in compounds(peer) for each in compound if isinstance(each, rtcp.SenderReport)]


def test_nothing_is_reported_before_the_first_packet(call: Call) -> None:
    exchange, _, _, subscriber, _ = call
    assert subscriber.transport.send_reports(exchange.now) is None
    assert compounds(subscriber) == []


def test_the_publishers_clock_is_mapped(call: Call) -> None:
    exchange, publisher, stream, subscriber, slot = call
    publisher.send(video(1, KEYFRAME, timestamp=1000))
    stream.sender_report(50 << 32, 1000, exchange.now)
    middle, slots = subscriber.transport.send_reports(exchange.now + 0.5) or (0, 0)
    subscriber.transport.send_reports(exchange.now + 1.5)
    first, second = reports(subscriber)
    assert slots == 1
    assert middle == first.ntp >> 16 & 0xFFFFFFFF
    assert first.ssrc == slot.ssrc
    assert abs(first.rtp_timestamp - 46000) <= 1
    assert (first.packets, first.octets) == (1, len(KEYFRAME))
    assert abs(second.ntp - first.ntp - (1 << 32)) < 1 << 16


def test_time_goes_on_from_the_last_packet_where_the_publisher_reports_nothing(call: Call) -> None:
    exchange, publisher, _, subscriber, _ = call
    publisher.send(video(1, KEYFRAME, timestamp=1000))
    subscriber.transport.send_reports(exchange.now + 0.5)
    assert reports(subscriber)[0].rtp_timestamp == 46000


def test_a_clock_that_runs_behind_is_mapped_too(call: Call) -> None:
    exchange, publisher, stream, subscriber, _ = call
    publisher.send(video(1, KEYFRAME, timestamp=1000))
    stream.sender_report((2**32 - 5) << 32, 1000, exchange.now)
    subscriber.transport.send_reports(exchange.now - 0.01)
    assert abs(reports(subscriber)[0].rtp_timestamp - 100) <= 1


def test_each_report_comes_with_a_name(call: Call) -> None:
    exchange, publisher, stream, subscriber, _ = call
    for length in range(5):
        slot = subscriber.transport.add_slot(f"m{length}", 500 + length, rtx_ssrc=None, audio=False, cname="x" * length)
        slot.map_payload(Kind.VP8, 120, None)
        slot.follow(stream)
    publisher.send(video(1, KEYFRAME))
    assert subscriber.transport.send_reports(exchange.now) is not None
    (compound,) = compounds(subscriber)
    names = compound[-1]
    assert isinstance(names, rtcp.SourceDescription)
    assert dict(names.names) == {100: b""} | {500 + length: b"x" * length for length in range(5)}
    assert [each.ssrc for each in compound[:-1] if isinstance(each, rtcp.SenderReport)] == [
        ssrc for ssrc, _ in names.names
    ]


def test_a_name_has_at_most_255_bytes(call: Call) -> None:
    _, _, _, subscriber, _ = call
    subscriber.transport.add_slot("a", 500, rtx_ssrc=None, audio=True, cname="x" * 255)
    with pytest.raises(ValueError, match="255"):
        subscriber.transport.add_slot("b", 501, rtx_ssrc=None, audio=True, cname="x" * 256)


def test_slots_without_a_stream_are_left_out(call: Call) -> None:
    exchange, publisher, _, subscriber, slot = call
    sound = publisher.transport.add_stream(2, audio=True)
    voice = slot_of(subscriber, 300, is_audio=True)
    voice.follow(sound)
    publisher.send(video(1, KEYFRAME), audio(1))
    slot.follow(None)
    assert (subscriber.transport.send_reports(exchange.now) or (0, 0))[1] == 1
    assert [report.ssrc for report in reports(subscriber)] == [300]


def test_many_reports_go_out_in_few_compounds_that_fit_a_packet(call: Call) -> None:
    exchange, publisher, stream, subscriber, _ = call
    for number in range(63):
        other = subscriber.transport.add_slot(f"m{number}", 500 + number, rtx_ssrc=None, audio=False, cname="place63")
        other.map_payload(Kind.VP8, 120, None)
        other.follow(stream)
    publisher.send(video(1, KEYFRAME), video(2, DELTA))
    subscriber.raw()
    assert (subscriber.transport.send_reports(exchange.now) or (0, 0))[1] == 64
    received = subscriber.raw()
    assert len(received) == 3
    assert max(len(data) for data in received) <= MAX_COMPOUND_BYTES + 30
    packets = [rtcp.parse_compound(subscriber.inbound.unprotect_rtcp(data)) for data in received]
    assert sum(len(compound) - 1 for compound in packets) == 64
