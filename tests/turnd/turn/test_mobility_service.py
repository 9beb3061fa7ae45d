"""Mobility (RFC 8016) on real sockets: what a peer sends arrives where the client is, in order and once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.turnd.turn.core import UDP, error_code, relayed
from tests.turnd.turn.peers import UdpPeer, echo
from tests.turnd.turn.served import Options, credentials, measure, served, until
from tests.turnd.turn.test_service_families import BOTH
from tests.turnd.turn.turn_client import StreamClient, TurnClient, port_of, turn_client
from turnd.turn.service import TurnService
from wire import stun
from wire.stun import Attribute, Method

CHANNEL = 0x4001
WISH = (Attribute.MOBILITY_TICKET, b"")
MOVES = [*itertools.product(("udp", "tcp"), repeat=2), ("udp", "dtls"), ("dtls", "tcp"), ("dtls", "dtls")]
OPTIONS = Options(allow_peers=("127.0.0.0/8",), own=(), mobility=True)


@pytest.fixture
async def service(certificate: tuple[Path, Path]) -> AsyncIterator[TurnService]:
    options = replace(OPTIONS, certificate=certificate)
    async with served(options) as service:
        yield service


@pytest.fixture
def peer(service: TurnService) -> Iterator[UdpPeer]:
    peer = UdpPeer()
    yield peer
    peer.close()


class Call:
    """A client with a channel to the peer: its address, its ticket, and one sender and receiver."""

    def __init__(self, service: TurnService, peer: UdpPeer, places: AsyncExitStack) -> None:
        self.service = service
        self.peer = peer
        self.address = ("", 0)
        self.ticket = b""
        self._places = places
        self._user = credentials()

    async def _place(self, transport: str) -> TurnClient:
        made = turn_client(port_of(self.service, transport), transport, user=self._user)
        return await self._places.enter_async_context(made)

    async def begin(self, transport: str) -> None:
        self.first = await self._place(transport)
        answer = await self.first.request(Method.ALLOCATE, UDP, WISH)
        self.address = relayed(answer)
        self._keep(answer)
        assert await self.first.bind(CHANNEL, self.peer.address) == 0

    def _keep(self, answer: stun.Message) -> None:
        assert error_code(answer) == 0
        self.ticket = answer.get(Attribute.MOBILITY_TICKET) or b""

    async def show(self, transport: str) -> TurnClient:
        """The client at a new place, where it has shown its ticket and done nothing else."""
        client = await self._place(transport)
        self._keep(await client.request(Method.REFRESH, (Attribute.MOBILITY_TICKET, self.ticket)))
        return client

    async def both_ways(self, client: TurnClient, count: int = 20) -> None:
        """What is sent each way by the channel arrives at the other end, in order."""
        data = [b"%d" % number * (number + 1) for number in range(count)]
        for each in data:
            client.channel_data(CHANNEL, each)
        assert [await self.peer.receive() for _ in data] == data
        for each in data:
            self.peer.send(each, self.address)
        assert [await client.received() for _ in data] == [(CHANNEL, each) for each in data]


@asynccontextmanager
async def call(service: TurnService, peer: UdpPeer, transport: str) -> AsyncIterator[Call]:
    async with AsyncExitStack() as places:
        made = Call(service, peer, places)
        await made.begin(transport)
        yield made


def moved(service: TurnService) -> int:
    return measure(service, "turn_mobility_moves_total", result="moved")


def drops(service: TurnService) -> dict[str, int]:
    names = {
        each.labels["reason"]: each.value for each in service.measures() if each.name == "turn_dropped_packets_total"
    }
    return {reason: value for reason, value in names.items() if isinstance(value, int) and value}


@pytest.mark.parametrize(("old", "new"), MOVES)
async def test_a_call_goes_on_at_the_new_place(service: TurnService, peer: UdpPeer, old: str, new: str) -> None:
    async with call(service, peer, old) as made:
        await made.both_ways(made.first)
        client = await made.show(new)
        await made.both_ways(client)
        assert moved(service) == 1
        assert measure(service, "turn_allocations", transport=new, family="ipv4") == 1
        assert drops(service) == {}


@pytest.mark.parametrize(("old", "new"), MOVES[:4])
async def test_relayed_addresses_of_both_families_come_along(old: str, new: str) -> None:
    options = Options(own=("127.0.0.1", "::1"), allow_peers=("127.0.0.0/8", "::1/128"), mobility=True)
    async with (
        served(options) as service,
        echo() as peer,
        echo("::1") as peer_ipv6,
        turn_client(service.port, old) as first,
        turn_client(service.port, new, user=(first.username, first.password)) as client,
    ):
        ticket = (await first.request(Method.ALLOCATE, UDP, BOTH, WISH)).get(Attribute.MOBILITY_TICKET) or b""
        assert await first.bind(0x4000, peer) == await first.bind(0x4001, peer_ipv6) == 0
        assert await client.refresh(600, (Attribute.MOBILITY_TICKET, ticket)) == 0
        for channel in (0x4001, 0x4000):
            client.channel_data(channel, b"hello %d" % channel)
            assert await client.received() == (channel, b"hello %d" % channel)
        assert drops(service) == {}


@pytest.mark.parametrize(("old", "new"), MOVES)
async def test_until_the_new_place_is_used_the_old_one_is_served(
    service: TurnService, peer: UdpPeer, old: str, new: str
) -> None:
    async with call(service, peer, old) as made:
        client = await made.show(new)
        await made.both_ways(made.first)
        assert moved(service) == 0
        client.indicate(peer.address, b"here I am")
        assert await peer.receive() == b"here I am"
        peer.send(b"welcome", made.address)
        assert await client.received() == (CHANNEL, b"welcome")
        assert await made.first.is_quiet()
        assert moved(service) == 1


@pytest.mark.parametrize(("old", "new"), MOVES)
async def test_what_the_client_leaves_behind_is_dropped(
    service: TurnService, peer: UdpPeer, old: str, new: str
) -> None:
    async with call(service, peer, old) as made:
        client = await made.show(new)
        await made.both_ways(client, 1)
        made.first.channel_data(CHANNEL, b"late")
        await until(lambda: drops(service) == {"no_allocation": 1})
        assert await made.first.refresh(600) == 437
        await made.both_ways(client)


@pytest.mark.parametrize(("old", "new"), [("tcp", "udp"), ("tcp", "tcp"), ("dtls", "dtls")])
async def test_a_broken_connection_keeps_the_allocation_for_its_client(
    service: TurnService, peer: UdpPeer, old: str, new: str
) -> None:
    async with call(service, peer, old) as made:
        made.first.close()
        await until(lambda: measure(service, "turn_connections", transport=old) == 0)
        assert measure(service, "turn_allocations", transport=old, family="ipv4") == 1
        peer.send(b"to nobody", made.address)
        await until(lambda: drops(service) == {"closed": 1})
        client = await made.show(new)
        peer.send(b"there you are", made.address)
        assert await client.received() == (CHANNEL, b"there you are")
        await made.both_ways(client)


async def test_a_stream_that_breaks_while_its_client_is_on_the_way_hands_over(
    service: TurnService, peer: UdpPeer
) -> None:
    async with call(service, peer, "tcp") as made:
        client = await made.show("udp")
        made.first.close()
        await until(lambda: moved(service) == 1)
        peer.send(b"there you are", made.address)
        assert await client.received() == (CHANNEL, b"there you are")


async def test_an_old_stream_that_closes_does_not_end_what_has_moved(service: TurnService, peer: UdpPeer) -> None:
    async with call(service, peer, "tcp") as made:
        client = await made.show("tcp")
        await made.both_ways(client)
        made.first.close()
        await until(lambda: measure(service, "turn_connections", transport="tcp") == 1)
        await made.both_ways(client)


async def test_an_old_stream_has_no_allocation_any_more_and_ends_in_time() -> None:
    options = replace(OPTIONS, idle_seconds=0.2)
    async with served(options) as service:
        peer = UdpPeer()
        async with call(service, peer, "tcp") as made:
            client = await made.show("tcp")
            await asyncio.wait_for(made.both_ways(client), 5)
            assert isinstance(made.first, StreamClient)
            assert await made.first.ended()
            await made.both_ways(client)
        peer.close()


async def test_a_new_stream_that_breaks_unused_leaves_the_old_place_served(service: TurnService, peer: UdpPeer) -> None:
    async with call(service, peer, "udp") as made:
        client = await made.show("tcp")
        client.close()
        await until(lambda: measure(service, "turn_connections", transport="tcp") == 0)
        await made.both_ways(made.first)
        await made.both_ways(await made.show("udp"))


async def test_large_channel_data_are_taken_where_the_client_is_expected(service: TurnService, peer: UdpPeer) -> None:
    async with call(service, peer, "udp") as made:
        client = await made.show("tcp")
        client.channel_data(CHANNEL, bytes(5000))
        assert await peer.receive() == bytes(5000)


async def test_a_burst_that_is_the_first_use_arrives_whole_and_in_order(service: TurnService, peer: UdpPeer) -> None:
    async with call(service, peer, "udp") as made:
        client = await made.show("udp")
        await made.both_ways(client, 200)
        assert drops(service) == {}


async def test_channel_data_of_strangers_reach_nobody(service: TurnService, peer: UdpPeer) -> None:
    async with call(service, peer, "udp") as made:
        await made.show("udp")
        async with turn_client(service.port) as stranger:
            stranger.channel_data(CHANNEL, b"x")
            await until(lambda: drops(service) == {"no_allocation": 1})
            assert moved(service) == 0


async def test_an_ended_allocation_leaves_nobody_expected(service: TurnService, peer: UdpPeer) -> None:
    async with call(service, peer, "udp") as made:
        client = await made.show("udp")
        assert await made.first.refresh(0) == 0
        client.channel_data(CHANNEL, b"x")
        await until(lambda: drops(service) == {"no_allocation": 1})
        assert not service._expected
        assert await client.allocate()


async def test_reload_switches_it_on_and_off() -> None:
    async with served() as service, turn_client(service.port) as client:
        assert error_code(await client.request(Method.ALLOCATE, UDP, WISH)) == 405
        service.reload(OPTIONS.turn_settings())
        assert error_code(await client.request(Method.ALLOCATE, UDP, WISH)) == 0
        service.reload(Options().turn_settings())
        assert error_code(await client.request(Method.REFRESH, WISH)) == 405
