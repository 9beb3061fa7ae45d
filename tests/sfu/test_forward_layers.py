"""Layers inside a stream: what a slot's limit leaves out, and that nobody can tell from what goes out."""

from __future__ import annotations

import pytest

from sfu.codecs import Kind, parse_vp8
from sfu.forward import Event, LayerCount
from sfu.rtp import RtpPacket, wrap_rtx
from tests.sfu.descriptors import L1T3, L2T1, descriptor
from tests.sfu.exchange import AV1, DELTA, H264, KEYFRAME, RTX, VP9, Call, video

KEY = KEYFRAME[1:]
PATTERN = [0, 2, 1, 2]  # temporal layers of L1T3
SYNC = [False, True, True, False]


def vp8(picture: int, temporal: int, *, sync: bool = False, key: bool = False, tl0: int = 0) -> bytes:
    head = b"\x90\xe0" + (0x8000 | picture).to_bytes(2, "big")
    return head + bytes((tl0, temporal << 6 | sync << 5)) + (KEY if key else DELTA[1:])


def l1t3(count: int, *, first: int = 0, sync: bool = True) -> list[RtpPacket]:
    """One packet a frame, numbers and picture ids from `first`, which is a keyframe if it is 0."""
    return [
        video(
            100 + n,
            vp8(n, PATTERN[n % 4], sync=sync and SYNC[n % 4], key=n == 0, tl0=n // 4),
            timestamp=3000 * n,
            marker=True,
        )
        for n in range(first, first + count)
    ]


def vp9(spatial: int, temporal: int = 0, *, key: bool = False, up: bool = False, picture: int = 0) -> bytes:
    first = 0xAC if key or (spatial and picture == 0) else 0xEC
    return bytes((first, 0x80, picture, temporal << 5 | up << 4 | spatial << 1 | bool(spatial), 0)) + b"vp9 frame"


def svc(picture: int, *, layers: int = 3, temporal: int = 0, up: bool = False, key: bool = False) -> list[RtpPacket]:
    """One picture, one packet a spatial layer."""
    return [
        video(
            100 + picture * layers + spatial,
            vp9(spatial, temporal, key=key, up=up, picture=picture),
            timestamp=3000 * picture,
            marker=spatial == layers - 1,
            payload_type=VP9,
        )
        for spatial in range(layers)
    ]


def pictures(packets: list[RtpPacket]) -> list[int | None]:
    return [parse_vp8(packet.payload).picture_id for packet in packets]


def numbers(packets: list[RtpPacket]) -> list[int]:
    return [packet.sequence_number - 100 for packet in packets]


def temporal_layers(packets: list[RtpPacket]) -> list[int | None]:
    return [parse_vp8(packet.payload).temporal_layer for packet in packets]


@pytest.fixture
def vp9_call(call: Call) -> Call:
    call[4].map_payload(Kind.VP9, 122, 123)
    return call


# VP8


def test_temporal_layers_above_the_limit_leave_no_gap_in_numbers_and_picture_ids(call: Call) -> None:
    exchange, publisher, _, subscriber, slot = call
    slot.limit(7, 0)
    publisher.send(*l1t3(12))
    packets = subscriber.received()
    assert temporal_layers(packets) == [0, 0, 0]
    assert numbers(packets) == pictures(packets) == [0, 1, 2]
    assert [parse_vp8(packet.payload).tl0_picture for packet in packets] == [0, 1, 2]
    assert exchange.dropped() == {"LAYER": 9}


def test_a_lower_limit_waits_for_the_next_picture(call: Call) -> None:
    _, publisher, _, subscriber, slot = call
    publisher.send(*l1t3(1))
    first = video(101, vp8(1, 2), timestamp=3000)
    publisher.send(first)
    slot.limit(7, 0)
    publisher.send(video(102, vp8(1, 2), timestamp=3000, marker=True), *l1t3(2, first=3))
    assert temporal_layers(subscriber.received()) == [0, 2, 2, 0]


def test_temporal_layers_come_back_one_at_a_time_where_they_need_the_lower_ones_alone(call: Call) -> None:
    _, publisher, _, subscriber, slot = call
    slot.limit(7, 0)
    publisher.send(*l1t3(5))
    slot.limit(7, 7)
    publisher.send(*l1t3(8, first=5))
    assert temporal_layers(subscriber.received()) == [0, 0, 1, 0, 2, 1, 2, 0]


def test_temporal_layers_stay_away_without_a_sync_point_and_come_with_a_keyframe(call: Call) -> None:
    _, publisher, _, subscriber, slot = call
    slot.limit(7, 0)
    publisher.send(*l1t3(4, sync=False))
    slot.limit(7, 7)
    publisher.send(*l1t3(8, first=4, sync=False))
    assert temporal_layers(subscriber.received()) == [0, 0, 0]
    publisher.send(video(112, vp8(12, 0, key=True), timestamp=36000), *l1t3(3, first=13, sync=False))
    packets = subscriber.received()
    assert temporal_layers(packets) == [0, 2, 1, 2]
    assert numbers(packets) == pictures(packets) == [3, 4, 5, 6]


def test_what_is_lost_keeps_its_place_and_is_filled_when_it_comes(call: Call) -> None:
    _, publisher, _, subscriber, slot = call
    slot.limit(7, 0)
    frames = l1t3(9)
    publisher.send(*frames[:4], *frames[5:])
    assert numbers(subscriber.received()) == [0, 2]
    publisher.send(frames[4])
    (late,) = subscriber.received()
    assert numbers([late]) == pictures([late]) == [1]


def test_an_unwanted_packet_that_comes_late_fills_its_gap_with_nothing(call: Call) -> None:
    exchange, publisher, stream, subscriber, slot = call
    publisher.transport.add_repair(50, stream)
    slot.limit(7, 0)
    frames = l1t3(9)
    publisher.send(*frames[:3], *frames[4:])
    assert numbers(subscriber.received()) == [0, 2, 3]
    publisher.send(wrap_rtx(frames[3], payload_type=RTX, sequence_number=1, ssrc=50))
    (late,) = subscriber.received()
    assert (numbers([late]), late.payload, late.marker) == ([1], b"", False)
    slot.retransmit([101])
    (again,) = subscriber.received()
    assert again.payload == (101).to_bytes(2, "big")
    assert exchange.dropped() == {"LAYER": 5}


def test_a_nack_finds_the_original_behind_what_was_left_out(call: Call) -> None:
    _, publisher, _, subscriber, slot = call
    slot.limit(7, 0)
    publisher.send(*l1t3(400))
    sent = {packet.sequence_number: packet for packet in subscriber.received()}
    assert slot.retransmit([110, 199]) == 2
    for again in subscriber.received():
        original = sent[int.from_bytes(again.payload[:2], "big")]
        assert (again.payload[2:], again.timestamp) == (original.payload, original.timestamp)


def test_a_switch_goes_on_behind_what_was_left_out(call: Call) -> None:
    _, publisher, _, subscriber, slot = call
    other = publisher.transport.add_stream(3, audio=False)
    slot.limit(7, 0)
    publisher.send(*l1t3(8))
    slot.follow(other)
    publisher.send(video(900, vp8(77, 0, key=True, tl0=9), ssrc=3))
    packets = subscriber.received()
    assert numbers(packets) == pictures(packets) == [0, 1, 2]
    assert parse_vp8(packets[-1].payload).tl0_picture == 2


@pytest.mark.parametrize("limit", [(-1, 0), (0, -1), (8, 0), (0, 8)])
def test_a_layer_out_of_range_is_an_error(call: Call, limit: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"0\.\.7"):
        call[4].limit(*limit)


# VP9


def test_the_last_packet_of_the_highest_spatial_layer_that_goes_out_has_the_marker(vp9_call: Call) -> None:
    _, publisher, _, subscriber, slot = vp9_call
    slot.limit(1, 7)
    publisher.send(*svc(0, key=True), *svc(1))
    packets = subscriber.received()
    assert numbers(packets) == [0, 1, 2, 3]
    assert [packet.marker for packet in packets] == [False, True, False, True]
    assert [packet.payload[2] for packet in packets] == [0, 0, 1, 1]
    slot.retransmit([103])
    assert [packet.marker for packet in subscriber.received()] == [True]


def test_a_spatial_layer_goes_at_once_and_comes_back_with_a_keyframe_that_is_asked_for(vp9_call: Call) -> None:
    exchange, publisher, stream, subscriber, slot = vp9_call
    publisher.send(*svc(0, key=True))
    slot.limit(0, 7)
    publisher.send(*svc(1))
    slot.limit(2, 7)
    exchange.take(Event.KEYFRAME_NEEDED)
    exchange.now += 1
    publisher.send(*svc(2))
    assert exchange.take(Event.KEYFRAME_NEEDED) == [(stream,)]
    assert [packet.payload[3] >> 1 & 7 for packet in subscriber.received()] == [0, 1, 2, 0, 0]
    publisher.send(*svc(3, key=True))
    packets = subscriber.received()
    assert [packet.payload[3] >> 1 & 7 for packet in packets] == [0, 1, 2]
    assert [packet.marker for packet in packets] == [False, False, True]


def test_a_vp9_switching_up_point_lets_temporal_layers_come(vp9_call: Call) -> None:
    _, publisher, _, subscriber, slot = vp9_call
    slot.limit(7, 0)
    publisher.send(*svc(0, layers=1, key=True), *svc(1, layers=1, temporal=1), *svc(2, layers=1))
    slot.limit(7, 1)
    publisher.send(*svc(3, layers=1, temporal=1), *svc(4, layers=1, up=True), *svc(5, layers=1, temporal=1))
    assert [packet.payload[2] for packet in subscriber.received()] == [0, 2, 4, 5]


# By dependency descriptor


def h264(number: int, template: int, *, key: bool = False) -> RtpPacket:
    extension = (5, descriptor(template, number, structure=L1T3, attach=key))
    payload = b"\x65idr" if key else b"\x41delta"
    return video(100 + number, payload, timestamp=3000 * number, payload_type=H264, extensions=(extension,))


def test_h264_temporal_layers_are_left_out_and_come_back_at_a_switch(call: Call) -> None:
    _, publisher, stream, subscriber, slot = call
    slot.map_payload(Kind.H264, 124, 125)
    slot.limit(7, 0)
    pattern = [1, 3, 2, 4]
    publisher.send(h264(0, 0, key=True), *[h264(n, pattern[n % 4]) for n in range(1, 7)])
    slot.limit(7, 7)
    publisher.send(*[h264(n, pattern[n % 4]) for n in range(7, 11)])
    packets = subscriber.received()
    assert [packet.timestamp // 3000 for packet in packets] == [0, 4, 8, 9, 10]
    assert numbers(packets) == [0, 1, 2, 3, 4]
    assert [(each.temporal, each.frames) for each in stream.layer_counts()] == [(0, 3), (1, 3), (2, 5)]


def av1(number: int, template: int, *, key: bool = False) -> RtpPacket:
    return video(
        100 + number,
        b"\x18key" if key else b"\x10delta",
        timestamp=3000 * (number // 2),
        marker=number % 2 == 1,
        payload_type=AV1,
        extensions=((5, descriptor(template, number, structure=L2T1, attach=key)),),
    )


def test_av1_spatial_layers_go_at_once_and_come_back_with_a_key_picture(call: Call) -> None:
    exchange, publisher, stream, subscriber, slot = call
    slot.map_payload(Kind.AV1, 126, 127)
    publisher.send(av1(0, 0, key=True), av1(1, 2))
    slot.limit(0, 7)
    publisher.send(av1(2, 1), av1(3, 3))
    slot.limit(7, 7)
    exchange.take(Event.KEYFRAME_NEEDED)
    exchange.now += 1
    publisher.send(av1(4, 1), av1(5, 3))
    assert exchange.take(Event.KEYFRAME_NEEDED) == [(stream,)]
    publisher.send(av1(6, 0, key=True), av1(7, 2), av1(8, 1), av1(9, 3))
    packets = subscriber.received()
    assert numbers(packets) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert [packet.marker for packet in packets] == [False, True, True, True, False, True, False, True]
    assert (stream.width, stream.height) == (640, 360)


# Counting


def test_layers_are_counted_apart(vp9_call: Call) -> None:
    _, publisher, stream, _, _ = vp9_call
    publisher.send(*l1t3(8))
    size = len(l1t3(1)[0].payload)
    delta = len(vp8(0, 0))
    assert stream.layer_counts() == [
        LayerCount(0, 0, size + delta, 2, 640, 360),
        LayerCount(0, 1, 2 * delta, 2, 640, 360),
        LayerCount(0, 2, 4 * delta, 4, 640, 360),
    ]


def test_a_frame_of_several_packets_counts_once(call: Call) -> None:
    _, publisher, stream, _, _ = call
    publisher.send(video(1, KEYFRAME), video(2), video(3, timestamp=3000), video(5, timestamp=6000), video(4))
    assert [(count.frames, count.bytes) for count in stream.layer_counts()] == [(3, stream.bytes)]


def test_sizes_of_vp9_spatial_layers_are_read_from_the_scalability_structure(vp9_call: Call) -> None:
    _, publisher, stream, _, _ = vp9_call
    structure = bytes((1 << 5 | 0x10, 320 >> 8, 320 & 255, 0, 180, 640 >> 8, 640 & 255, 360 >> 8, 360 & 255))
    publisher.send(
        video(1, b"\xae\x80\x00\x00\x00" + structure + b"frame", payload_type=VP9),
        video(2, b"\xac\x80\x00\x03\x00frame", payload_type=VP9, marker=True),
    )
    sizes = [(count.spatial, count.width, count.height) for count in stream.layer_counts()]
    assert sizes == [(0, 320, 180), (1, 640, 360)]
    assert (stream.width, stream.height) == (640, 360)


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(b"\xae\x80\x01\x30\x00\x10\x01\x40\x00\xb4frame", id="in a higher temporal layer"),
        pytest.param(b"\xac\x80\x01\x10\x01frame", id="without structure"),
    ],
)
def test_another_keyframe_is_asked_for_when_receivers_cannot_go_on_from_a_vp9_one(
    vp9_call: Call, picture: bytes
) -> None:
    exchange, publisher, stream, subscriber, _ = vp9_call
    publisher.send(video(1, b"\xae\x80\x00\x10\x00\x10\x01\x40\x00\xb4frame", payload_type=VP9, marker=True))
    exchange.take(Event.KEYFRAME_NEEDED)
    keyframe_at = stream.last_keyframe_at
    exchange.now += 1
    publisher.send(video(2, picture, timestamp=3000, payload_type=VP9, marker=True))
    assert exchange.take(Event.KEYFRAME_NEEDED) == [(stream,)]
    assert stream.last_keyframe_at == keyframe_at
    assert len(subscriber.received()) == 2


def test_layers_beyond_the_fourth_count_with_it(vp9_call: Call) -> None:
    _, publisher, stream, _, _ = vp9_call
    publisher.send(
        video(1, vp9(3, 3, picture=1), payload_type=VP9), video(2, vp9(4, 4, picture=2), timestamp=9, payload_type=VP9)
    )
    assert [(count.spatial, count.temporal, count.frames) for count in stream.layer_counts()] == [(3, 3, 2)]
