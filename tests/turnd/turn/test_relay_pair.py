"""The compiled relay path: two relays of one allocation, a client that changes, and limits of bandwidth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.turnd.turn.served import until
from tests.turnd.turn.test_relay import SENTINEL, SENTINEL_CHANNEL, Bench, channel_data
from turnd.turn.relay import ClientReceiver, Relay
from wire import stun
from wire.udp import UdpSocket

CHANNEL = 0x4001


@asynccontextmanager
async def second(bench: Bench) -> AsyncIterator[Relay]:
    """Another relay on the bench, with a channel to the first peer; a relay of IPv4 too, since it is all the same."""
    relay = Relay(bench.path)
    relay.attach_socket(UdpSocket(bench.loop, ("127.0.0.1", 0), relay, component="relay"))
    relay.permit(bench.addresses[0][0], bench.at(live=True), False)
    relay.bind_channel(CHANNEL, bench.addresses[0], bench.at(live=True))
    try:
        yield relay
    finally:
        relay.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_both_relays_of_a_pair_serve_one_client(stream: bool) -> None:
    async with Bench(stream=stream) as bench, second(bench) as other:
        other.pair(bench.relay)
        for number, peer in ((CHANNEL, 0), (SENTINEL_CHANNEL, 4)):
            if stream:
                bench.relay.forward([channel_data(number, SENTINEL)])
            else:
                bench.from_client(channel_data(number, SENTINEL))
            assert await bench.at_peer(peer) == SENTINEL
        bench.peers[0].sendto(SENTINEL, other.local_address)
        if stream:
            await bench.wrote.wait()
            assert bench.written == [channel_data(CHANNEL, SENTINEL, 0, 1)]
        else:
            assert await bench.at_client() == channel_data(CHANNEL, SENTINEL)


@pytest.mark.parametrize("channels", [(CHANNEL, CHANNEL + 1), (CHANNEL + 1, CHANNEL)])
async def test_what_came_first_leaves_first_whatever_socket_it_leaves_by(channels: tuple[int, int]) -> None:
    async with Bench() as bench, second(bench) as other:
        other.pair(bench.relay)
        bench.relay.permit(bench.addresses[0][0], bench.at(live=True), False)
        bench.relay.bind_channel(CHANNEL + 1, bench.addresses[0], bench.at(live=True))
        for channel in channels:
            bench.from_client(channel_data(channel, b"%d" % channel))
        assert [await bench.at_peer(0), await bench.at_peer(0)] == [b"%d" % channel for channel in channels]


@pytest.mark.parametrize("first_closes", [False, True])
async def test_when_one_of_a_pair_closes_the_other_goes_on(first_closes: bool) -> None:
    async with Bench() as bench, second(bench) as other:
        other.pair(bench.relay)
        closing, staying = (bench.relay, other) if first_closes else (other, bench.relay)
        closing.close()
        assert len(bench.receiver) == 1
        kept, gone, peer = (CHANNEL, SENTINEL_CHANNEL, 0) if first_closes else (SENTINEL_CHANNEL, CHANNEL, 4)
        bench.from_client(channel_data(gone, b"gone"))
        bench.from_client(channel_data(kept, SENTINEL))
        assert await bench.at_peer(peer) == SENTINEL
        assert bench.dropped() == {"no_channel": 1}
        bench.peers[peer].sendto(SENTINEL, staying.local_address)
        assert await bench.at_client() == channel_data(kept, SENTINEL)


@pytest.mark.parametrize("first_has_it", [False, True])
async def test_a_channel_number_moves_to_the_other_of_a_pair(first_has_it: bool) -> None:
    async with Bench() as bench, second(bench) as other:
        other.pair(bench.relay)
        old, new, number, peer = (
            (bench.relay, other, SENTINEL_CHANNEL, 0) if first_has_it else (other, bench.relay, CHANNEL, 4)
        )
        held = old.peers
        new.bind_channel(number, bench.addresses[peer], bench.at(live=True))
        assert old.peers == held - 1
        bench.from_client(channel_data(number, SENTINEL))
        assert await bench.at_peer(peer) == SENTINEL


async def test_a_pair_is_two() -> None:
    async with Bench() as bench, second(bench) as other, second(bench) as third:
        other.pair(bench.relay)
        with pytest.raises(ValueError, match="already"):
            third.pair(bench.relay)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_relay_can_get_another_client(stream: bool) -> None:
    async with Bench(stream=stream) as bench, second(bench) as other:
        other.pair(bench.relay)
        bench.relay.leave()
        bench.from_client(channel_data(SENTINEL_CHANNEL, b"from nobody"))
        bench.from_peer(4, b"to nobody")
        await until(lambda: bench.dropped() == {"no_allocation": 1, "closed": 1})
        written: list[bytes] = []
        bench.relay.serve_stream(written.append)
        bench.from_peer(4, SENTINEL)
        await until(lambda: bool(written))
        bench.peers[0].sendto(SENTINEL, other.local_address)
        await until(lambda: len(written) == 2)
        assert written == [channel_data(each, SENTINEL, 0, 1) for each in (SENTINEL_CHANNEL, CHANNEL)]


async def test_what_has_come_for_a_stream_is_written_before_it_is_left() -> None:
    async with Bench(stream=True) as bench:
        leaving = ClientReceiver(bench.path, lambda messages: [bench.relay.leave() for _ in messages])
        listener = UdpSocket(bench.loop, ("127.0.0.1", 0), leaving, component="turn")
        leaving.attach_socket(listener)
        bench.client.sendto(stun.encode(1, 0, bytes(12)), listener.local_address)
        bench.from_peer(4, SENTINEL)
        await until(lambda: bool(bench.written) or "closed" in bench.dropped())
        listener.close()


async def test_channel_data_of_an_expected_client_is_told_in_order() -> None:
    async with Bench() as bench:
        expected = Relay(bench.path)
        client = bench.client.getsockname()
        bench.relay.leave()
        expected.serve_datagrams(bench.receiver, bench.listener, client, bench.listener.local_address)
        sent = [channel_data(SENTINEL_CHANNEL, b"first"), stun.encode(1, 0, bytes(12)), channel_data(0x4FFF, SENTINEL)]
        for each in sent:
            bench.from_client(each)
        await until(lambda: len(bench.stun) == 3)
        assert [each[1:4] for each in bench.stun] == [(each, client, bench.listener.local_address) for each in sent]
        expected.close()
        bench.relay.serve_datagrams(bench.receiver, bench.listener, client, bench.listener.local_address)
        bench.relay.forward(sent[:1])
        bench.from_client(channel_data(SENTINEL_CHANNEL, SENTINEL))
        assert [await bench.at_peer(4) for _ in range(2)] == [b"first", SENTINEL]
        assert bench.dropped() == {}


@pytest.mark.parametrize("whose", ["allocation", "total"])
async def test_what_is_over_the_limit_is_dropped_by_name(whose: str) -> None:
    async with Bench() as bench:
        (bench.relay if whose == "allocation" else bench.path).limit(1000)
        for _ in range(3):
            bench.from_client(channel_data(SENTINEL_CHANNEL, bytes(500)))
            bench.from_peer(4, bytes(500))
        await until(lambda: bench.dropped() == {f"{whose}_bandwidth": 2})
        assert bench.path.counters()[f"dropped_bytes_{whose}_bandwidth"] == 2 * 500
        (bench.relay if whose == "allocation" else bench.path).limit(0)
        bench.from_client(channel_data(SENTINEL_CHANNEL, SENTINEL))
        bench.from_peer(4, SENTINEL)
        assert [len(await bench.at_peer(4)) for _ in range(3)] == [500, 500, len(SENTINEL)]
        assert [len(await bench.at_client()) for _ in range(3)] == [504, 504, 4 + len(SENTINEL)]


async def test_a_pair_has_one_limit() -> None:
    async with Bench() as bench, second(bench) as other:
        bench.relay.limit(1000)
        other.pair(bench.relay)
        bench.from_client(channel_data(SENTINEL_CHANNEL, bytes(600)))
        bench.from_client(channel_data(CHANNEL, bytes(600)))
        await until(lambda: bench.dropped() == {"allocation_bandwidth": 1})


@pytest.mark.parametrize("limit", [40_000, 1000])  # a byte comes in less and in more time than asking again takes
async def test_time_fills_the_limit_again_however_often_it_is_asked(limit: int) -> None:
    async with Bench() as bench:
        bench.relay.limit(limit)
        passed = asyncio.Event()
        bench.relay.send(bench.addresses[4], bytes(limit))
        assert len(await bench.at_peer(4)) == limit

        def again() -> None:
            bench.relay.send(bench.addresses[4], b"again")
            if bench.relay.counters()["packets_to_peer"] == 2:
                passed.set()
            else:
                bench.loop.call_soon(again)

        again()
        await asyncio.wait_for(passed.wait(), 5)
        assert bench.dropped() == {} or set(bench.dropped()) == {"allocation_bandwidth"}
