"""What changes around living allocations of the running service: the outside address, the configuration, its end."""

from __future__ import annotations

import pytest

from tests.turnd.turn.core import UDP, error_code
from tests.turnd.turn.peers import echo
from tests.turnd.turn.served import SECRET, Options, measure, served
from tests.turnd.turn.turn_client import HOST, turn_client
from turnd.turn.credentials import rest_credentials
from turnd.turn.limits import Limits
from turnd.turn.service import TurnService
from wire import udp
from wire.stun import Method

FIRST, SECOND = "192.88.2.1", "192.88.2.2"  # outside addresses
CHANNEL = 0x4000
LOOPBACK = ("127.0.0.0/8",)


def through_the_kernel() -> tuple[int, int]:
    """Datagrams that sockets of relays have sent and got so far."""
    totals = udp.totals().get("relay", {"datagrams_in": 0, "datagrams_out": 0})
    return totals["datagrams_in"], totals["datagrams_out"]


def move(service: TurnService, public: str, *former: str) -> None:
    """The outside address is `public` from now on."""
    udp.set_own_addresses((HOST, public, *former))
    service.set_own_addresses((HOST,), (public,), former)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_the_outside_address_changes_while_allocations_live(transport: str) -> None:
    before = through_the_kernel()
    async with served() as service:
        move(service, FIRST)
        async with (
            turn_client(service.port, transport) as old,
            turn_client(service.port, transport) as friend,
            turn_client(service.port, transport) as new,
        ):
            [old_address] = await old.allocate()
            [friend_address] = await friend.allocate()
            assert (old_address[0], friend_address[0]) == (FIRST, FIRST)
            assert await old.bind(CHANNEL, friend_address) == 0
            assert await friend.bind(CHANNEL, old_address) == 0
            move(service, SECOND, FIRST)
            # New answers carry the new address.
            [new_address] = await new.allocate()
            assert new_address[0] == SECOND
            # Old allocations relay as before, and can be refreshed.
            old.channel_data(CHANNEL, b"still here")
            assert await friend.received() == (CHANNEL, b"still here")
            assert await old.bind(CHANNEL, friend_address) == 0
            assert await old.refresh(600) == 0
            # They reach the new one, and are reached by their former address, in memory.
            assert await new.bind(CHANNEL, old_address) == 0
            assert await old.bind(CHANNEL + 1, new_address) == 0
            new.channel_data(CHANNEL, b"hello")
            assert await old.received() == (CHANNEL + 1, b"hello")
            old.channel_data(CHANNEL + 1, b"welcome")
            assert await new.received() == (CHANNEL, b"welcome")
            assert through_the_kernel() == before


async def test_a_reload_of_everything_leaves_living_allocations_alone() -> None:
    before = Options(allow_peers=LOOPBACK, users={"anna": "pass", "ben": "word"}, secrets=("gone", SECRET))
    after = Options(
        allow_peers=LOOPBACK,
        users={"anna": "pass", "ben": "other"},
        secrets=("fresh", SECRET),
        limits=Limits(allocations=1, allocations_of_user=1, permissions=1, channels=1, allocation_bps=10**9),
    )
    async with (
        served(before) as service,
        echo() as peer,
        turn_client(service.port, user=("anna", "pass")) as kept,
        turn_client(service.port, "tcp") as rotated,
        turn_client(service.port, user=("ben", "word")) as dropped,
        turn_client(service.port, user=rest_credentials("fresh", "carl", 600, 4e9)) as late,
    ):
        clients = (kept, rotated, dropped)
        for client in clients:
            await client.allocate()
            assert await client.bind(CHANNEL, peer) == 0
        service.reload(after.turn_settings())
        for client in clients:
            client.channel_data(CHANNEL, b"after the reload")
            assert await client.received() == (CHANNEL, b"after the reload")
        for client, error in ((kept, 0), (rotated, 0), (dropped, 401)):  # a new password ends at the next refresh
            assert await client.refresh(600) == error
            assert await client.bind(CHANNEL, peer) == error
        assert error_code(await late.request(Method.ALLOCATE, UDP)) == 486
        assert measure(service, "turn_allocations", transport="udp", family="ipv4") == 2


async def test_a_draining_service_relays_on_and_refuses_only_what_is_new() -> None:
    async with (
        served(Options(allow_peers=LOOPBACK)) as service,
        echo() as peer,
        turn_client(service.port) as client,
        turn_client(service.port) as late,
    ):
        await client.allocate()
        service.drain()
        assert await client.bind(CHANNEL, peer) == 0
        client.channel_data(CHANNEL, b"until the end")
        assert await client.received() == (CHANNEL, b"until the end")
        assert await client.refresh(600) == 0
        assert error_code(await late.request(Method.ALLOCATE, UDP)) == 508
        assert await client.refresh(0) == 0
