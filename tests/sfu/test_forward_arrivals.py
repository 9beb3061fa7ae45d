"""Transport-wide feedback that the forward path writes, beside the plain Python that says the same."""

from __future__ import annotations

import time
from random import Random

import pytest

from sfu import rtcp
from sfu.forward import Event
from sfu.rtcp import ReceiverReport, SourceDescription, TransportFeedback
from tests.sfu.exchange import Exchange, Peer, opened, video
from tests.sfu.transport_feedback import transport_feedback


def publisher_of(exchange: Exchange) -> Peer:
    peer = exchange.peer()
    peer.transport.add_stream(1, audio=False)
    return peer


def arrive(exchange: Exchange, peer: Peer, numbers: list[tuple[int, float]]) -> None:
    """Packets with these transport-wide numbers, at these times."""
    for number, at in numbers:
        exchange.now = at
        peer.send(video(peer.transport.packets_in, extensions=((3, (number & 0xFFFF).to_bytes(2, "big")),)))


def answers(peer: Peer) -> list[bytes]:
    return [peer.inbound.unprotect_rtcp(data) for data in peer.raw()]


def test_nothing_came_nothing_goes() -> None:
    with opened() as exchange:
        peer = publisher_of(exchange)
        assert peer.transport.send_feedback(1, 2, b"") == 0
        assert peer.raw() == []


def test_numbers_go_up_without_wrap_and_each_is_told_once() -> None:
    with opened() as exchange:
        peer = publisher_of(exchange)
        arrive(exchange, peer, [(0xFFFE, 1000), (1, 1000.001), (0xFFFF, 1000.002), (1, 1000.003)])
        assert peer.transport.send_feedback(1, 2, b"") == 1
        assert peer.transport.send_feedback(1, 2, b"") == 0
        (data,) = answers(peer)
        assert rtcp.parse_compound(data) == [TransportFeedback(1, 2, 0xFFFE, 0, 15625, (0, 8, None, -4))]


def test_what_lay_unread_arrived_when_it_came() -> None:
    with opened(real_time=True) as exchange:
        peer = publisher_of(exchange)
        report = peer.outbound.protect_rtcp(rtcp.build_compound([rtcp.SenderReport(1, 1, 1, 1, 1)]))
        began_at = exchange.loop.time()
        for number in range(3):
            packet = video(number, extensions=((3, number.to_bytes(2, "big")),))
            peer.socket.sendto(peer.datagram(packet)[0], exchange.local)
            peer.socket.sendto(report, exchange.local)
            time.sleep(0.05)
        while peer.transport.packets_in < 3:
            exchange.turn()
        peer.transport.send_feedback(1, 2, b"")
        ((_, _, arrived_at),) = exchange.take(Event.RTCP)  # the others are replays
        feedback = next(packet for data in answers(peer) for packet in rtcp.parse_compound(data))
        assert isinstance(feedback, TransportFeedback)
        first, *later = [at for _, at in feedback.arrivals() if at is not None]
        assert began_at <= arrived_at < began_at + 0.04
        assert [each - first for each in later] == pytest.approx([50_000, 100_000], abs=40_000)


def test_each_goes_on_where_the_last_ended_and_what_comes_late_is_told() -> None:
    with opened() as exchange:
        peer = publisher_of(exchange)
        for numbers in ([(10, 1000.0), (12, 1000.0)], [(15, 1000.1)], [(11, 1000.2)], [(16, 1000.3)]):
            arrive(exchange, peer, numbers)
            peer.transport.send_feedback(1, 2, b"")
        assert [rtcp.parse_compound(data)[0] for data in answers(peer)] == [
            TransportFeedback(1, 2, 10, 0, 15625, (0, None, 0)),
            TransportFeedback(1, 2, 13, 1, 15626, (None, None, 144)),
            TransportFeedback(1, 2, 11, 2, 15628, (32,)),
            TransportFeedback(1, 2, 16, 3, 15629, (176,)),
        ]


def test_each_packet_goes_behind_the_head() -> None:
    with opened() as exchange:
        peer = publisher_of(exchange)
        head = rtcp.build_compound([ReceiverReport(1), SourceDescription(((1, b"us"),))])
        arrive(exchange, peer, [(10, 1000.0), (400, 1000.0)])
        assert peer.transport.send_feedback(1, 2, head) == 2
        for data in answers(peer):
            kinds = [type(packet) for packet in rtcp.parse_compound(data)]
            assert kinds == [ReceiverReport, SourceDescription, TransportFeedback]


def steps(random: Random, count: int) -> list[tuple[int, int]]:
    """(number, time in us): losses, gaps, bursts, reordering, pauses too long for a delta."""
    number, at, result = 40_000 + random.randrange(60_000), 1_000_000_000 + random.randrange(10**6), []
    for _ in range(count):
        kind = random.random()
        number += 1 if kind < 0.8 else random.randrange(1, 8) if kind < 0.98 else random.randrange(200, 600)
        at += random.choice((0, 100, 250, 1000, 5000, 70_000) if kind < 0.99 else (9_000_000,))
        result.append((number - (random.randrange(1, 5) if random.random() < 0.1 else 0), at))
    return result


@pytest.mark.parametrize("seed", range(30))
def test_it_is_byte_for_byte_what_plain_python_writes(seed: int) -> None:
    random = Random(seed)
    with opened() as exchange:
        peer = publisher_of(exchange)
        came = steps(random, random.choice((1, 5, 40, 900)))
        first: int | None = None
        count = 0
        while came:
            size = random.randrange(1, len(came) + 1)
            part, came = came[:size], came[size:]
            arrive(exchange, peer, [(number, at / 1e6) for number, at in part])
            peer.transport.send_feedback(7, 9, b"")
            seen: dict[int, int] = {}
            for number, at in part:
                seen.setdefault(number, at)
            expected = transport_feedback(
                sorted(seen.items()), sender_ssrc=7, media_ssrc=9, feedback_count=count, first=first
            )
            count += len(expected)
            first = max(max(seen) + 1, first or 0)
            assert answers(peer) == [rtcp.build_compound([packet]) for packet in expected]
