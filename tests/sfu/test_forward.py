"""The compiled forward path between real SRTP sessions, its datagrams leaving through a real socket."""

from __future__ import annotations

import pytest

from sfu.forward import (
    DURATION_BOUNDS,
    RESEND_BURST_BYTES,
    Event,
)
from sfu.rtcp import PictureLoss, build_compound
from sfu.rtp import Extension, RtpPacket, parse_rtp, wrap_rtx
from tests.sfu.exchange import (
    DELTA,
    H264,
    KEY_BYTES,
    KEYFRAME,
    RTX,
    Call,
    Exchange,
    Peer,
    audio,
    slot_of,
    video,
)

CROWD, BURST = 200, 500  # receivers; packets that wait for the server when it looks

# Forwarding


@pytest.mark.parametrize("profile", KEY_BYTES)
def test_a_keyframe_leaves_with_the_slots_identity(exchange: Exchange, profile: int) -> None:
    publisher, subscriber = exchange.peer(profile), exchange.peer(profile)
    slot = slot_of(subscriber)
    slot.follow(publisher.transport.add_stream(1, audio=False))
    extensions = ((4, b"0"), (10, b"q"), (2, b"abc"), (13, b"\x01"), (12, b"unknown"))
    publisher.send(video(40000, KEYFRAME, timestamp=77, marker=True, extensions=extensions, csrcs=(1, 2)))
    (packet,) = subscriber.received()
    assert packet == RtpPacket(
        120,
        40000 & 0x7FFF,
        77,
        100,
        KEYFRAME,
        marker=True,
        extensions=((9, b"mid"), (3, ((1000 << 18) & 0xFFFFFF).to_bytes(3, "big")), (5, b"\0\0"), (1, b"\x01")),
    )


def test_nothing_is_sent_before_a_keyframe(call: Call) -> None:
    exchange, publisher, stream, subscriber, slot = call
    publisher.send(video(1), video(2))
    assert subscriber.received() == []
    assert exchange.dropped() == {"AWAITING_KEYFRAME": 2}
    assert (slot.current(), slot.target()) == (None, stream)


def test_batches_that_bring_something_are_timed(call: Call) -> None:
    exchange, publisher, *_ = call
    publisher.send(video(1, KEYFRAME), video(2))
    exchange.passing = 0.0003
    publisher.send(video(3))
    counts, seconds = exchange.forwarder.durations()
    assert counts == [1, 0, 0, 1, *[0] * (len(DURATION_BOUNDS) - 3)]
    assert seconds == pytest.approx(0.0003)


def test_a_keyframe_is_asked_for_at_once_and_every_quarter_second(call: Call) -> None:
    exchange, publisher, stream, _, _ = call
    publisher.send(video(1))
    assert exchange.take(Event.KEYFRAME_NEEDED) == [(stream,)]
    exchange.now += 0.249
    publisher.send(video(2))
    assert exchange.take(Event.KEYFRAME_NEEDED) == []
    exchange.now += 0.001
    publisher.send(video(3))
    assert exchange.take(Event.KEYFRAME_NEEDED) == [(stream,)]


def test_a_switch_is_told(call: Call) -> None:
    exchange, publisher, stream, _, slot = call
    publisher.send(video(1, KEYFRAME), video(2))
    assert exchange.take(Event.SWITCHED) == [(slot, stream)]
    assert (slot.current(), slot.target()) == (stream, None)


def test_audio_starts_with_any_packet(exchange: Exchange) -> None:
    publisher, subscriber = exchange.peer(), exchange.peer()
    slot = slot_of(subscriber, is_audio=True, rtx=False)
    slot.follow(publisher.transport.add_stream(2, audio=True))
    publisher.send(audio(5))
    assert [packet.sequence_number for packet in subscriber.received()] == [5]


def test_gaps_and_reordering_of_the_source_are_kept(call: Call) -> None:
    _, publisher, _, subscriber, _ = call
    publisher.send(video(10, KEYFRAME), video(13), video(12), video(9))
    assert [packet.sequence_number for packet in subscriber.received()] == [10, 13, 12]


def test_a_layer_goes_on_until_the_other_has_a_keyframe(call: Call) -> None:
    exchange, publisher, low, subscriber, slot = call
    high = publisher.transport.add_stream(3, audio=False)
    publisher.send(video(1, KEYFRAME))
    slot.follow(high)
    publisher.send(video(2))
    publisher.send(video(500, ssrc=3))
    exchange.now += 0.1
    publisher.send(video(501, KEYFRAME, ssrc=3, timestamp=5555), video(3))
    publisher.send(video(502, ssrc=3, timestamp=8555))
    packets = subscriber.received()
    assert [packet.sequence_number for packet in packets] == [1, 2, 3, 4]
    assert [packet.timestamp for packet in packets] == [0, 0, 9000, 12000]
    assert slot.current() is high
    assert low is not high


def test_another_publishers_stream_silences_the_old_one_at_once(call: Call) -> None:
    exchange, publisher, _, subscriber, slot = call
    publisher.send(video(1, KEYFRAME))
    other = exchange.peer()
    slot.follow(other.transport.add_stream(1, audio=False))
    publisher.send(video(2))
    assert len(subscriber.received()) == 1
    assert slot.current() is None


def test_a_muted_stream_is_received_but_not_forwarded_and_resumes_without_a_gap(call: Call) -> None:
    exchange, publisher, stream, subscriber, _ = call
    publisher.send(video(1, KEYFRAME))
    stream.active = False
    publisher.send(video(2), video(3))
    stream.active = True
    publisher.send(video(4), video(5, KEYFRAME))
    assert [packet.sequence_number for packet in subscriber.received()] == [1, 2]
    assert exchange.dropped() == {"INACTIVE": 2, "AWAITING_KEYFRAME": 1}
    assert stream.packets == 5


def test_an_unmapped_codec_is_dropped(call: Call) -> None:
    exchange, publisher, _, subscriber, _ = call
    publisher.send(video(1, b"\x65idr", payload_type=H264))
    assert subscriber.received() == []
    assert exchange.dropped() == {"CODEC": 1}


def test_a_padding_only_packet_keeps_its_place_as_an_empty_one(call: Call) -> None:
    _, publisher, _, subscriber, _ = call
    publisher.send(video(1, KEYFRAME), video(2, b"", padding_bytes=200), video(3))
    assert [(packet.sequence_number, len(packet.payload)) for packet in subscriber.received()][1] == (2, 0)


def test_packets_of_a_frame_leave_equally_long_in_one_send(call: Call) -> None:
    exchange, publisher, _, subscriber, _ = call
    publisher.send(video(1, KEYFRAME + bytes(100)))
    subscriber.received()
    sends = exchange.socket.counters()["gso_sends"]
    publisher.send(*(video(2 + i, DELTA + bytes(900 + i // 2), timestamp=3000) for i in range(4)))
    raw = subscriber.raw()
    packets = [parse_rtp(subscriber.inbound.unprotect(data)) for data in raw]
    assert len({len(data) for data in raw}) == 1
    assert [packet.padding_bytes for packet in packets] == [1, 1, 0, 0]
    assert [len(packet.payload) for packet in packets] == [912, 912, 913, 913]
    assert exchange.socket.counters()["gso_sends"] in (sends, sends + 1)  # 0 where the kernel has no GSO


def test_vp8_picture_ids_go_on_across_publishers(call: Call) -> None:
    exchange, publisher, _, subscriber, slot = call
    key, delta = b"\x90\xc0\xff\xff\xff" + KEYFRAME[1:], b"\x90\xc0%b%b" + DELTA[1:]
    publisher.send(video(1, key))
    other = exchange.peer()
    slot.follow(other.transport.add_stream(1, audio=False))
    other.send(video(70, b"\x90\xc0\x81\x00\x07" + KEYFRAME[1:]))
    other.send(video(71, delta % (b"\x81\x01", b"\x08")))
    assert [packet.payload[2:5] for packet in subscriber.received()] == [
        b"\xff\xff\xff",
        b"\x80\x00\x00",
        b"\x80\x01\x01",
    ]


# RTX and NACK


def repair(publisher: Peer, number: int, packet: RtpPacket) -> None:
    publisher.send(wrap_rtx(packet, payload_type=RTX, sequence_number=number, ssrc=9))


def test_a_repair_becomes_the_streams_own_packet(call: Call) -> None:
    _, publisher, stream, subscriber, _ = call
    publisher.transport.add_repair(9, stream)
    publisher.send(video(65534, KEYFRAME), video(0))
    repair(publisher, 7, video(65535, extensions=((13, b"\x02"),)))
    assert [packet.sequence_number for packet in subscriber.received()] == [32766, 32768, 32767]
    assert stream.still_missing([65535]) == []


def test_a_repair_of_what_arrived_is_a_duplicate(call: Call) -> None:
    exchange, publisher, stream, subscriber, _ = call
    publisher.transport.add_repair(9, stream)
    publisher.send(video(1, KEYFRAME))
    repair(publisher, 7, video(1, KEYFRAME))
    assert len(subscriber.received()) == 1
    assert exchange.dropped() == {"DUPLICATE": 1}


def test_a_padding_probe_on_the_repair_ssrc_counts_as_arrived_only(call: Call) -> None:
    exchange, publisher, stream, subscriber, _ = call
    publisher.transport.add_repair(9, stream)
    publisher.send(RtpPacket(RTX, 1, 0, 9, b"", padding_bytes=255, extensions=((3, b"\x00\x05"),)))
    assert subscriber.received() == []
    assert exchange.dropped() == {"PROBE": 1}
    assert publisher.transport.send_feedback(1, 2, b"") == 1


def test_what_is_missing_is_told_once_for_each_batch(call: Call) -> None:
    exchange, publisher, stream, _, _ = call
    publisher.send(video(65533))
    publisher.send(video(2), video(65535), video(4))
    assert exchange.take(Event.LOST) == [(stream, [65534, 0, 1, 3])]
    publisher.send(video(0), video(5))
    assert exchange.take(Event.LOST) == []
    assert stream.still_missing([65534, 0, 1, 3]) == [65534, 1, 3]


def test_a_nack_is_answered_by_rtx_at_most_every_twenty_milliseconds(call: Call) -> None:
    exchange, publisher, _, subscriber, slot = call
    publisher.send(video(1, KEYFRAME), video(2, DELTA + b"two"))
    original = subscriber.received()[1]
    assert slot.retransmit([2, 3]) == 1
    (again,) = subscriber.received()
    assert again.payload == b"\x00\x02" + original.payload
    assert (again.ssrc, again.payload_type, again.timestamp) == (101, 121, original.timestamp)
    assert slot.retransmit([2]) == 1
    exchange.now += 0.021
    assert slot.retransmit([2]) == 1
    assert len(subscriber.received()) == 1
    assert slot.retransmitted == 2


def test_no_picture_of_before_a_switch_is_repeated(call: Call) -> None:
    _, publisher, _, subscriber, slot = call
    publisher.send(video(0, KEYFRAME), video(1))
    slot.follow(publisher.transport.add_stream(7, audio=False))
    publisher.send(video(50, ssrc=7))
    assert slot.retransmit([1]) == 1
    publisher.send(video(51, KEYFRAME, ssrc=7), video(52, ssrc=7))
    subscriber.raw()
    assert slot.retransmit([0, 1]) == 0
    assert slot.retransmit([2, 3]) == 2
    assert len(subscriber.raw()) == 2


def test_sound_of_before_a_switch_is_repeated(exchange: Exchange) -> None:
    publisher, subscriber = exchange.peer(), exchange.peer()
    slot = slot_of(subscriber, is_audio=True, rtx=False)
    slot.follow(publisher.transport.add_stream(2, audio=True))
    publisher.send(audio(1))
    slot.follow(publisher.transport.add_stream(8, audio=True))
    publisher.send(audio(40, ssrc=8))
    (first, second) = (packet.sequence_number for packet in subscriber.received())
    assert slot.retransmit([first, second]) == 2


def test_asking_round_and_round_repeats_no_packet_sooner(call: Call) -> None:
    _, publisher, _, _, slot = call
    publisher.send(video(0, KEYFRAME), *(video(number) for number in range(1, 1000)))
    for _ in range(3):
        slot.retransmit(range(1000))
    assert slot.retransmitted == 1000


def test_what_is_repeated_about_doubles_what_is_sent_and_no_more(call: Call) -> None:
    exchange, publisher, _, subscriber, slot = call
    size = 1000
    publisher.send(video(0, KEYFRAME))
    publisher.send(*(video(number, DELTA + bytes(size)) for number in range(1, 301)))

    def greedy(seconds: float) -> int:
        before = slot.retransmitted
        for _ in range(int(seconds / 0.025)):
            exchange.now += 0.025
            slot.retransmit(range(1, 301))
            subscriber.raw()
        return (slot.retransmitted - before) * size

    assert RESEND_BURST_BYTES < greedy(1) < 1.1 * RESEND_BURST_BYTES
    assert exchange.dropped()["RESEND_BUDGET"] > 1000
    assert 14_000 < greedy(1) < 17_000
    publisher.send(*(video(number, DELTA + bytes(size)) for number in range(301, 501)))
    assert 200 * size < greedy(1) < 240 * size


def test_without_rtx_the_very_same_bytes_are_sent_again(exchange: Exchange) -> None:
    publisher, subscriber = exchange.peer(), exchange.peer()
    slot = slot_of(subscriber, rtx=False)
    slot.follow(publisher.transport.add_stream(1, audio=False))
    publisher.send(video(1, KEYFRAME), video(2, DELTA + bytes(30)), video(3, DELTA + bytes(31)))
    sent = subscriber.raw()
    exchange.now += 1
    assert slot.retransmit([1, 2, 3]) == 3
    assert subscriber.raw() == sent


def test_what_would_not_be_the_same_bytes_is_not_sent_again(exchange: Exchange) -> None:
    publisher, subscriber = exchange.peer(), exchange.peer()
    slot = slot_of(subscriber, rtx=False)
    slot.follow(publisher.transport.add_stream(1, audio=False))
    publisher.send(video(1, KEYFRAME))
    subscriber.transport.set_extensions({}, {Extension.MID: 2})
    assert slot.retransmit([1]) == 0


def test_the_cache_of_a_stream_is_bounded(call: Call) -> None:
    _, publisher, _, subscriber, slot = call
    publisher.send(video(0, KEYFRAME))
    for number in range(1, 1025):
        publisher.send(video(number))
    subscriber.received()
    assert slot.retransmit([0]) == 0
    assert slot.retransmit([1]) == 1


def test_large_packets_leave_the_cache_by_bytes(call: Call) -> None:
    _, publisher, _, _, slot = call
    publisher.send(video(0, KEYFRAME))
    for number in range(1, 600):
        publisher.send(video(number, DELTA + bytes(1000)))
    assert slot.retransmit([10]) == 0
    assert slot.retransmit([599]) == 1


# Events and feedback material


def test_an_unknown_ssrc_is_told_with_its_names(exchange: Exchange) -> None:
    publisher = exchange.peer()
    publisher.send(RtpPacket(RTX, 1, 2, 77, b"xx", extensions=((4, b"v0"), (11, b"h"))))
    assert exchange.take(Event.UNKNOWN_SSRC) == [(publisher.transport, 77, RTX, "v0", None, "h")]


def test_an_unknown_ssrc_is_not_told_for_every_packet(exchange: Exchange) -> None:
    publisher = exchange.peer()
    publisher.send(*(video(number) for number in range(50)))
    assert len(exchange.take(Event.UNKNOWN_SSRC)) == 1
    assert exchange.dropped() == {"UNKNOWN_SSRC": 50}


def test_rtcp_comes_decrypted(exchange: Exchange) -> None:
    peer = exchange.peer()
    compound = build_compound([PictureLoss(1, 2)])
    exchange.forwarder.feed([(peer.outbound.protect_rtcp(compound), peer.address, exchange.local)])
    assert exchange.take(Event.RTCP) == [(peer.transport, compound, exchange.now)]


def test_rtcp_is_sent_protected(exchange: Exchange) -> None:
    peer = exchange.peer()
    compound = build_compound([PictureLoss(1, 2)])
    peer.transport.send_rtcp(compound)
    (data,) = peer.raw()
    assert peer.inbound.unprotect_rtcp(data) == compound


def test_stun_and_dtls_come_with_socket_and_addresses(exchange: Exchange) -> None:
    peer = exchange.peer()
    stranger = ("192.0.2.1", 9)
    exchange.forwarder.feed(
        [
            (b"\x00\x01stun", stranger, exchange.local),
            (b"\x16dtls", peer.address, exchange.local),
            (b"\x16dtls", stranger, exchange.local),
        ]
    )
    assert exchange.events == [
        (Event.STUN, exchange.socket, b"\x00\x01stun", stranger, exchange.local),
        (Event.DTLS, peer.transport, b"\x16dtls", peer.address, exchange.local, exchange.socket),
        (Event.DTLS, None, b"\x16dtls", stranger, exchange.local, exchange.socket),
    ]


@pytest.mark.parametrize("other", [b"\x00\x01stun", b"\x16dtls", b"\xff", b""])
def test_media_behind_another_packet_of_its_sender_goes_to_its_own_connection(exchange: Exchange, other: bytes) -> None:
    one, two = exchange.peer(), exchange.peer()
    between = (other, two.address, exchange.local)
    exchange.forwarder.feed([one.datagram(video(1)), between, two.datagram(video(1))])
    assert "AUTHENTICATION" not in exchange.dropped()
    assert (one.transport.packets_in, two.transport.packets_in) == (1, 1)


def test_levels_are_averaged(exchange: Exchange) -> None:
    publisher = exchange.peer()
    stream = publisher.transport.add_stream(2, audio=True)
    assert stream.take_level() is None
    publisher.send(audio(1, extensions=((1, b"\x85"),)), audio(2, extensions=((1, b"\x0f"),)))
    assert stream.take_level() == (2, 10)
    assert stream.take_level() is None


def test_the_size_of_a_vp8_keyframe_is_known(call: Call) -> None:
    exchange, publisher, stream, _, _ = call
    publisher.send(video(1, KEYFRAME))
    assert (stream.width, stream.height, stream.last_keyframe_at) == (640, 360, exchange.now)


def test_receiver_reports_follow_rfc_3550(call: Call) -> None:
    _, publisher, stream, _, _ = call
    publisher.send(video(65535), video(2), video(1))
    assert stream.receiver_report() == (64, 1, 65536 + 2, 0)
    publisher.send(video(3), video(4))
    assert stream.receiver_report()[:2] == (0, 1)


def test_jitter_follows_rfc_3550(call: Call) -> None:
    exchange, publisher, stream, _, _ = call
    for number in range(3):
        publisher.send(video(number, timestamp=number * 3000))
        exchange.now += 0.1
    d = 9000 - 3000
    assert abs(stream.jitter - (d + d - d // 16) // 16) <= 1


def test_the_loop_has_its_turns_while_a_crowd_is_served(exchange: Exchange) -> None:
    publisher = exchange.peer()
    stream = publisher.transport.add_stream(1, audio=False)
    for _ in range(CROWD):
        slot_of(exchange.peer()).follow(stream)
    for number in range(BURST):
        data, _, local = publisher.datagram(video(number, DELTA if number else KEYFRAME))
        publisher.socket.sendto(data, local)
    turns = 0
    while exchange.forwarder.counters()["packets_out_video"] < CROWD * BURST and turns < BURST:
        exchange.turn()
        turns += 1
    assert 4 < turns < BURST
