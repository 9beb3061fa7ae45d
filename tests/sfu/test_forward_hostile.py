"""The forward path under hostile input, contested addresses, and with objects that go away."""

from __future__ import annotations

import gc
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.forward import (
    MAX_REMOTES,
    MAX_SSRCS,
    MAX_STREAMS,
    Event,
    Forwarder,
    Transport,
)
from tests.sfu.exchange import (
    KEYFRAME,
    VIDEO,
    Call,
    Exchange,
    opened,
    slot_of,
    video,
)


def test_hostile_datagrams_are_counted_and_harmless(call: Call) -> None:
    exchange, publisher, _, subscriber, _ = call
    publisher.send(video(1, KEYFRAME))
    good = publisher.datagram(video(2))
    bad = [b"", b"\x80", b"\x80\x60" + bytes(9), b"\xff" * 100, b"\x40" * 30, b"\x80\x60" + bytes(40), bytes(3) * 0]
    bad += [b"\x8f\x60" + bytes(20), b"\x90\x60" + bytes(10) + b"\xbe\xde\xff\xff" + bytes(20)]
    bad += [b"\x80\x60" + bytes(2100), b"\x80\xc8\x00\x01" + bytes(20)]
    exchange.forwarder.feed([(data, publisher.address, exchange.local) for data in bad] + [good])
    exchange.forwarder.feed([(good[0], ("192.0.2.7", 7), exchange.local), good])
    assert len(subscriber.received()) == 2
    dropped = exchange.dropped()
    assert dropped["GARBAGE"] == 4
    assert dropped["MALFORMED"] == 2
    assert dropped["TOO_LARGE"] == 1
    assert dropped["REPLAY"] == 1
    assert dropped["UNKNOWN_ADDRESS"] == 1
    assert sum(dropped.values()) == len(bad) + 2


@pytest.mark.parametrize(
    "block",
    [b"\xbe\xde\x00\x01\x1f\x00\x00\x00", b"\x10\x00\x00\x01\x01\xff\x00\x00", b"\x10\x00\x00\x01\x00\x00\x00\x01"],
)
def test_authenticated_extensions_that_leave_their_block_are_malformed(call: Call, block: bytes) -> None:
    exchange, publisher, _, subscriber, _ = call
    data = b"\x90\x60\x00\x01" + bytes(4) + b"\x00\x00\x00\x01" + block + KEYFRAME
    exchange.forwarder.feed([(publisher.outbound.protect(data), publisher.address, exchange.local)])
    assert exchange.dropped() == {"MALFORMED": 1}
    assert subscriber.received() == []


def test_authenticated_padding_that_leaves_the_packet_is_malformed(call: Call) -> None:
    exchange, publisher, _, _, _ = call
    for padding in (0, 30):
        data = struct.pack("!BBHII", 0xA0, VIDEO, padding, 0, 1) + bytes(8) + bytes((padding,))
        exchange.forwarder.feed([(publisher.outbound.protect(data), publisher.address, exchange.local)])
    assert exchange.dropped() == {"MALFORMED": 2}


def test_ssrcs_of_a_peer_are_bounded_before_decryption(exchange: Exchange) -> None:
    publisher = exchange.peer()
    publisher.send(*(video(1, ssrc=ssrc) for ssrc in range(MAX_SSRCS)))
    publisher.send(video(1, ssrc=5000))
    assert exchange.dropped() == {"UNKNOWN_SSRC": MAX_SSRCS, "SSRC_LIMIT": 1}
    exchange.now += 11
    publisher.send(video(2, ssrc=5000))
    assert exchange.dropped()["UNKNOWN_SSRC"] == MAX_SSRCS + 1


def test_streams_of_a_peer_are_bounded(exchange: Exchange) -> None:
    transport = exchange.peer().transport
    for ssrc in range(MAX_STREAMS):
        transport.add_stream(ssrc, audio=False)
    with pytest.raises(ValueError, match="too many"):
        transport.add_stream(MAX_STREAMS, audio=False)


def test_an_ssrc_is_sent_only_once_under_the_same_keys(exchange: Exchange) -> None:
    peer = exchange.peer()
    peer.transport.remove_slot(slot_of(peer))
    with pytest.raises(ValueError, match="once"):
        slot_of(peer)


def owner_of(exchange: Exchange, address: tuple[str, int]) -> object:
    exchange.forwarder.feed([(b"\x16", address, exchange.local)])
    return exchange.take(Event.DTLS)[0][0]


def test_of_many_addresses_the_one_checked_longest_ago_is_forgotten_but_not_the_selected(exchange: Exchange) -> None:
    peer = exchange.peer()
    for port in range(1, MAX_REMOTES):
        exchange.now += 1
        peer.transport.add_remote(("192.0.2.9", port), exchange.local)
    exchange.now += 1
    peer.transport.add_remote(("192.0.2.9", 1), exchange.local)
    peer.transport.add_remote(("192.0.2.9", 99), exchange.local)
    kept = [address for port in range(1, 100) if owner_of(exchange, address := ("192.0.2.9", port)) is peer.transport]
    assert kept == [("192.0.2.9", port) for port in (1, *range(3, MAX_REMOTES), 99)]
    assert owner_of(exchange, peer.address) is peer.transport


def test_the_address_of_a_connection_heard_from_just_now_is_taken(exchange: Exchange) -> None:
    owner, stranger = exchange.peer(), exchange.peer()
    pair = owner.address, exchange.local
    assert stranger.transport.is_taken(*pair)
    assert not owner.transport.is_taken(*pair)
    assert not stranger.transport.is_taken(("192.0.2.9", 1), exchange.local)
    exchange.now += 9
    owner.transport.add_remote(*pair)
    exchange.now += 9
    assert stranger.transport.is_taken(*pair)
    owner.send(video(1))
    exchange.now += 9
    assert stranger.transport.is_taken(*pair)
    exchange.now += 1
    assert not stranger.transport.is_taken(*pair)


def test_media_holds_only_the_address_in_use(exchange: Exchange) -> None:
    owner, stranger = exchange.peer(), exchange.peer()
    left = ("192.0.2.9", 1)
    owner.transport.add_remote(left, exchange.local)
    exchange.now += 11
    owner.send(video(1))
    assert not stranger.transport.is_taken(left, exchange.local)


def test_an_address_that_was_taken_comes_back_with_the_next_check(exchange: Exchange) -> None:
    owner, stranger = exchange.peer(), exchange.peer()
    stranger.transport.add_remote(owner.address, exchange.local)
    assert owner_of(exchange, owner.address) is stranger.transport
    owner.transport.add_remote(owner.address, exchange.local)
    assert owner_of(exchange, owner.address) is owner.transport


def test_an_address_belongs_to_whom_it_was_given_last(exchange: Exchange) -> None:
    first, second = exchange.peer(), exchange.peer()
    second.transport.add_remote(first.address, exchange.local)
    first.transport.close()
    exchange.forwarder.feed([(b"\x16", first.address, exchange.local)])
    assert exchange.take(Event.DTLS)[0][0] is second.transport


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=200))
@settings(max_examples=30)
def test_addresses_are_found_whatever_came_and_went(steps: list[tuple[int, bool]]) -> None:
    with opened() as exchange:
        transports: dict[int, Transport] = {}
        for number, present in steps:
            if present and number not in transports:
                transports[number] = exchange.forwarder.transport()
                transports[number].add_remote(("192.0.2.1", number + 1), exchange.local)
            elif not present and number in transports:
                transports.pop(number).close()
        exchange.forwarder.feed([(b"\x16", ("192.0.2.1", number + 1), exchange.local) for number in range(41)])
        assert [found[0] for found in exchange.take(Event.DTLS)] == [transports.get(number) for number in range(41)]


def test_before_keys_and_path_nothing_is_sent(exchange: Exchange) -> None:
    transport = exchange.forwarder.transport()
    transport.send_rtcp(bytes(8))
    transport.send_raw(b"x")
    assert exchange.dropped() == {"NO_KEYS": 1, "NO_PATH": 1}


# Things that go away


def test_a_slot_falls_silent_with_its_stream(call: Call) -> None:
    exchange, publisher, stream, subscriber, slot = call
    publisher.send(video(1, KEYFRAME))
    publisher.transport.remove_stream(1)
    publisher.send(video(2))
    assert len(subscriber.received()) == 1
    assert (slot.current(), slot.retransmit([1])) == (None, 0)
    slot.follow(stream)
    assert slot.target() is None
    assert exchange.dropped() == {"UNKNOWN_SSRC": 1}


def test_objects_may_outlive_what_they_belong_to(call: Call) -> None:
    exchange, publisher, stream, subscriber, slot = call
    publisher.send(video(1, KEYFRAME))
    publisher.transport.close()
    subscriber.transport.close()
    gc.collect()
    publisher.send(video(2))
    slot.follow(stream)
    assert slot.retransmit([1]) == 0
    assert stream.still_missing([0]) == []
    stream.sender_report(1, 2, 3.0)
    assert subscriber.transport.send_reports(exchange.now) is None
    assert subscriber.transport.send_feedback(1, 2, b"") == 0
    with pytest.raises(ValueError, match="closed"):
        publisher.transport.add_stream(5, audio=True)


def test_closing_inside_an_event_handler_is_safe() -> None:
    with opened() as exchange:
        publisher = exchange.peer()
        seen = []

        def close(events: list[tuple[object, ...]]) -> None:
            seen.extend(events)
            publisher.transport.close()

        exchange.forwarder = Forwarder(close, lambda: 1.0)
        publisher = exchange.peer()
        publisher.send(*(video(1, ssrc=ssrc) for ssrc in range(20)))
        publisher.send(video(2))
        assert len(seen) == 20
