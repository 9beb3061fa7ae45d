"""One allocation of both families on the running service: clients of UDP and TCP, peers of IPv4 and IPv6."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.turnd.turn.peers import echo
from tests.turnd.turn.served import Options, measure, served, until
from tests.turnd.turn.turn_client import TurnClient, turn_client
from turnd.turn.service import TurnService
from wire import stun
from wire.stun import Attribute

BOTH = (Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6))
IPV4 = (Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV4))
IPV6 = (Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6))


@asynccontextmanager
async def dual(transport: str) -> AsyncIterator[tuple[TurnService, TurnClient]]:
    """A client with a relayed address of each family, an IPv4 peer on channel 0x4000, an IPv6 peer on 0x4001."""
    options = Options(own=("127.0.0.1", "::1"), allow_peers=("127.0.0.0/8", "::1/128"))
    async with (
        served(options) as service,
        echo() as peer,
        echo("::1") as peer_ipv6,
        turn_client(service.port, transport) as client,
    ):
        assert [host for host, _ in await client.allocate(BOTH)] == ["127.0.0.1", "::1"]
        assert await client.bind(0x4000, peer) == 0
        assert await client.bind(0x4001, peer_ipv6) == 0
        yield service, client


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_peers_of_both_families_are_reached_and_answer(transport: str) -> None:
    async with dual(transport) as (service, client):
        for channel in (0x4000, 0x4001):
            client.channel_data(channel, b"hello %d" % channel)
            assert await client.received() == (channel, b"hello %d" % channel)
        for family in ("ipv4", "ipv6"):
            assert measure(service, "turn_allocations", transport=transport, family=family) == 1


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("ended", "channel", "left"), [(IPV4, 0x4001, "ipv6"), (IPV6, 0x4000, "ipv4")])
async def test_when_one_family_ends_the_other_goes_on(
    transport: str, ended: tuple[int, bytes], channel: int, left: str
) -> None:
    async with dual(transport) as (service, client):
        assert await client.refresh(0, ended) == 0
        client.channel_data(0x4000 + 0x4001 - channel, b"lost")
        client.channel_data(channel, b"hello")
        assert await client.received() == (channel, b"hello")
        assert measure(service, "turn_dropped_packets_total", reason="no_channel") == 1
        for family in ("ipv4", "ipv6"):
            assert measure(service, "turn_allocations", transport=transport, family=family) == (family == left)
        assert await client.refresh(0) == 0
        client.channel_data(channel, b"lost")
        await until(lambda: measure(service, "turn_dropped_packets_total", reason="no_allocation") == 1)
