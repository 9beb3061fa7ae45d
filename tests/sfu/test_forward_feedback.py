"""What the compiled path learns from transport-wide feedback, and the padding it sends."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sfu.forward import Event
from sfu.rtcp import PictureLoss, ReceiverReport, RtcpPacket, TransportFeedback, build_compound
from sfu.rtp import parse_rtp, wrap_rtx
from tests.sfu.exchange import KEYFRAME, RTX, Call, Exchange, Peer, slot_of, video
from tests.sfu.network import NUMBER_ID
from tests.sfu.transport_feedback import transport_feedback

WIRE_OVERHEAD = 28


def feed(exchange: Exchange, peer: Peer, *packets: RtcpPacket) -> None:
    compound = peer.outbound.protect_rtcp(build_compound(packets))
    exchange.forwarder.feed([(compound, peer.address, exchange.local)])


def feedback(*deltas: int | None, first: int = 0, count: int = 0, reference: int = 0) -> TransportFeedback:
    return TransportFeedback(1, 100, first, count, reference, deltas)


def started(call: Call) -> None:
    """The path has seen feedback, so what is sent from now on is remembered."""
    exchange, publisher, _, subscriber, _ = call
    publisher.send(video(0, KEYFRAME))
    feed(exchange, subscriber, feedback(0))
    subscriber.raw()


def test_feedback_alone_makes_no_python_object(call: Call) -> None:
    exchange, _, _, subscriber, _ = call
    feed(exchange, subscriber, feedback(0, 1, None, 300))
    assert exchange.take(Event.RTCP) == []
    assert exchange.forwarder.counters()["feedbacks"] == 1


def test_what_stands_beside_feedback_reaches_python(call: Call) -> None:
    exchange, _, _, subscriber, _ = call
    others = (ReceiverReport(1), PictureLoss(1, 100))
    feed(exchange, subscriber, others[0], feedback(0, 1), others[1], feedback(3))
    assert exchange.take(Event.RTCP) == [(subscriber.transport, build_compound(others), exchange.now)]
    assert exchange.forwarder.counters()["feedbacks"] == 2


def test_what_is_no_compound_reaches_python_as_it_is(call: Call) -> None:
    exchange, _, _, subscriber, _ = call
    compound = build_compound([feedback(0, 1)]) + b"\x80\xc9\x00\x05abcd"
    exchange.forwarder.feed([(subscriber.outbound.protect_rtcp(compound), subscriber.address, exchange.local)])
    assert exchange.take(Event.RTCP) == [(subscriber.transport, compound, exchange.now)]
    assert exchange.forwarder.counters()["feedbacks"] == 0


def test_nothing_is_told_before_feedback(call: Call) -> None:
    _, publisher, _, subscriber, _ = call
    publisher.send(video(0, KEYFRAME))
    assert subscriber.transport.path_report() is None
    assert not subscriber.transport.begin_probe()


def test_packets_are_counted_with_their_wire_size(call: Call) -> None:
    exchange, publisher, _, subscriber, _ = call
    started(call)
    publisher.send(video(1), video(2), video(3))
    sizes = [len(data) + WIRE_OVERHEAD for data in subscriber.raw()]
    exchange.now += 0.05
    feed(exchange, subscriber, feedback(0, None, 4, first=1))
    report = subscriber.transport.path_report()
    assert report is not None
    assert (report.received, report.missed) == (2, 1)
    assert (report.acked_bytes, report.sent_bytes) == (sizes[0] + sizes[2], sum(sizes))
    assert report.rtt_seconds == pytest.approx(0.05)
    assert exchange.take(Event.FEEDBACK) == [(subscriber.transport,)]
    assert subscriber.transport.path_report() is None


def test_a_late_packet_is_no_longer_lost(call: Call) -> None:
    exchange, publisher, _, subscriber, _ = call
    started(call)
    publisher.send(video(1), video(2))
    feed(exchange, subscriber, feedback(None, 4, first=1))
    feed(exchange, subscriber, feedback(9, first=1, count=1))
    feed(exchange, subscriber, feedback(9, first=1, count=2))
    report = subscriber.transport.path_report()
    assert report is not None
    assert (report.received, report.missed) == (2, 0)


def test_what_was_never_sent_does_not_count(call: Call) -> None:
    exchange, _, _, subscriber, _ = call
    started(call)
    feed(exchange, subscriber, feedback(*[1] * 100, first=5000))
    report = subscriber.transport.path_report()
    assert report is not None
    assert (report.received, report.missed, report.acked_bytes) == (0, 0, 0)


@pytest.mark.parametrize(("packets", "joined"), [(4096, 4096), (4097, 4096)])
def test_the_history_has_a_bound(call: Call, packets: int, joined: int) -> None:
    exchange, publisher, _, subscriber, _ = call
    started(call)
    for number in range(packets):
        publisher.send(video(number + 1))
        subscriber.raw()
    for count, first in enumerate(range(0, packets, 1000)):
        feed(exchange, subscriber, feedback(*[0] * min(1000, packets - first), first=first + 1, count=count))
    report = subscriber.transport.path_report()
    assert report is not None
    assert report.received == joined


@pytest.mark.parametrize(("missed", "told"), [(2, 0), (3, 1)])
def test_a_path_at_rest_tells_of_much_loss_before_its_time(call: Call, missed: int, told: int) -> None:
    exchange, publisher, _, subscriber, _ = call
    started(call)
    subscriber.transport.set_feedback_interval(5.0)
    publisher.send(*(video(number) for number in range(1, 7)))
    feed(exchange, subscriber, feedback(1, first=1))
    assert len(exchange.take(Event.FEEDBACK)) == 1
    subscriber.transport.path_report()
    exchange.now += 0.21
    feed(exchange, subscriber, feedback(*[None] * missed, 1, 1, first=2))
    assert len(exchange.take(Event.FEEDBACK)) == told


def test_events_are_coalesced_but_for_the_beginning_of_overuse(call: Call) -> None:
    exchange, publisher, _, subscriber, _ = call
    started(call)
    events = []
    arrival = exchange.now
    for number in range(1, 101):
        publisher.send(video(number, bytes(1000)))
        exchange.now += 0.01
        arrival += 0.01 if number <= 60 else 0.02
        arrivals = transport_feedback([(number, int(arrival * 1e6))], sender_ssrc=1, media_ssrc=100, feedback_count=0)
        feed(exchange, subscriber, *arrivals)
        events += [number] * len(exchange.take(Event.FEEDBACK))
        subscriber.raw()
    gaps = [second - first for first, second in pairwise(events)]
    assert min(gaps) >= 5
    assert all(gap == 20 for first, gap in zip(events, gaps, strict=False) if first + gap <= 60)
    assert any(gap < 20 for first, gap in zip(events, gaps, strict=False) if first + gap > 60)


# Padding


def test_padding_repeats_the_newest_packets_by_rtx(call: Call) -> None:
    _, publisher, _, subscriber, slot = call
    publisher.send(video(1, KEYFRAME + bytes(900)), video(2, bytes(1000)), video(3, bytes(1100)))
    first = {packet.sequence_number: packet.payload for packet in subscriber.received()}
    sent = subscriber.transport.pad(2000)
    padding = subscriber.received()
    assert [packet.ssrc for packet in padding] == [slot.ssrc + 1] * 2
    originals = [int.from_bytes(packet.payload[:2], "big") for packet in padding]
    assert originals == sorted(first, reverse=True)[:2]
    assert [packet.payload[2:] for packet in padding] == [first[number] for number in originals]
    assert 2000 <= sent < 3300


def test_few_packets_are_repeated_again(call: Call) -> None:
    _, publisher, _, subscriber, slot = call
    publisher.send(video(1, KEYFRAME + bytes(900)))
    subscriber.raw()
    assert subscriber.transport.pad(5000) >= 5000
    padding = subscriber.received()
    assert {packet.ssrc for packet in padding} == {slot.ssrc + 1}
    assert len(padding) == 6
    assert all(len(packet.payload) > 900 for packet in padding)


def test_padding_without_media_is_padding_alone(exchange: Exchange) -> None:
    subscriber = exchange.peer()
    slot = slot_of(subscriber)
    sent = subscriber.transport.pad(1000)
    packets = subscriber.received()
    assert {packet.ssrc for packet in packets} == {slot.ssrc + 1}
    assert all(packet.payload == b"" for packet in packets)
    assert 1000 <= sent < 1400
    counters = exchange.forwarder.counters()
    assert (counters["padding_bytes"], counters["padding_packets"]) == (sent, len(packets))


def test_no_padding_without_rtx(exchange: Exchange) -> None:
    publisher, subscriber = exchange.peer(), exchange.peer()
    slot = slot_of(subscriber, rtx=False)
    slot.follow(publisher.transport.add_stream(1, audio=False))
    publisher.send(video(1, KEYFRAME))
    subscriber.raw()
    assert subscriber.transport.pad(1000) == 0
    assert subscriber.raw() == []


@pytest.mark.parametrize("wanted", [0, 10_000_000])
def test_padding_has_a_bound(exchange: Exchange, wanted: int) -> None:
    subscriber = exchange.peer()
    slot_of(subscriber)
    subscriber.transport.pad(wanted)
    assert len(subscriber.raw()) == (128 if wanted else 0)


def test_a_probe_is_measured_by_itself(call: Call) -> None:
    exchange, publisher, _, subscriber, _ = call
    started(call)
    publisher.send(video(1, bytes(1000)))
    subscriber.raw()
    assert subscriber.transport.begin_probe()
    numbers = []
    for _ in range(5):
        subscriber.transport.pad(500)
        packets = [parse_rtp(subscriber.inbound.unprotect(data)) for data in subscriber.raw()]
        numbers += [int.from_bytes(dict(packet.extensions)[NUMBER_ID], "big") for packet in packets]
        exchange.now += 0.01
    subscriber.transport.end_probe()
    publisher.send(video(2, bytes(1000)))
    assert numbers == list(range(2, 7))
    feed(exchange, subscriber, feedback(0, *[80] * 3, None, 80, first=1))
    report = subscriber.transport.path_report()
    assert report is not None
    assert report.probe is not None
    assert report.probe[:3] == (5, 4, 1)
    assert report.probe.sent_bps == pytest.approx(2 * report.probe.received_bps, rel=0.5)


def test_nothing_is_repeated_twice_within_a_round_trip(call: Call) -> None:
    exchange, publisher, _, subscriber, slot = call
    started(call)
    publisher.send(video(1), video(2))
    numbers = [parse_rtp(subscriber.inbound.unprotect(data)).sequence_number for data in subscriber.raw()]
    exchange.now += 0.1
    feed(exchange, subscriber, feedback(0, 0, first=1))
    slot.retransmit(numbers)
    exchange.now += 0.09
    slot.retransmit(numbers)
    assert len(subscriber.raw()) == 2
    exchange.now += 0.02
    slot.retransmit(numbers)
    assert len(subscriber.raw()) == 2


def test_repairs_are_part_of_what_is_sent(call: Call) -> None:
    exchange, publisher, _, subscriber, slot = call
    started(call)
    publisher.send(video(1, bytes(500)))
    (data,) = subscriber.raw()
    slot.retransmit([parse_rtp(subscriber.inbound.unprotect(data)).sequence_number])
    (repair,) = subscriber.raw()
    feed(exchange, subscriber, feedback(None, 0, first=1))
    report = subscriber.transport.path_report()
    assert report is not None
    assert (report.received, report.missed) == (1, 1)
    assert report.acked_bytes == len(repair) + WIRE_OVERHEAD


def test_the_latest_repair_is_known(exchange: Exchange) -> None:
    publisher = exchange.peer()
    stream = publisher.transport.add_stream(1, audio=False)
    publisher.transport.add_repair(9, stream)
    publisher.send(video(1, KEYFRAME), video(3))
    assert stream.last_repair is None
    exchange.now += 0.5
    publisher.send(wrap_rtx(video(2), payload_type=RTX, sequence_number=7, ssrc=9))
    assert stream.last_repair == (2, pytest.approx(exchange.now))
