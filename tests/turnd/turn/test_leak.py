"""What 2,000 allocations leave behind when they are gone, over UDP and TCP: no socket, no port, no object."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from pathlib import Path

from tests.turnd.turn.peers import echo
from tests.turnd.turn.served import Options, measure, served, until
from tests.turnd.turn.turn_client import Address, turn_client
from turnd.turn.limits import Limits
from turnd.turn.service import TurnService
from wire import stun
from wire.stun import Attribute

WARM_UP, MEASURED = 500, 1500
AT_ONCE = 10
SLACK = 100  # the registry's queue keeps some that have ended: 64, and twice those that live
OF_ANSWERS = ("turnd.turn.retransmissions._Answer", "turnd.turn.allocation.Flow")  # kept for their time, and bounded
CHANNEL = 0x4000
BOTH = (Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6))
RESERVING = (Attribute.EVEN_PORT, b"\x80")
OPTIONS = Options(
    own=("127.0.0.1", "::1"),
    allow_peers=("127.0.0.0/8",),
    max_unproved_of_source=10_000,
    limits=Limits(allocations_of_user=10_000, unauthenticated_rate=1e9, unauthenticated_burst=1e9),
)


def our_objects() -> Counter[str]:
    """How many of our own classes' objects live."""
    gc.collect()
    return Counter(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in map(type, gc.get_objects())
        if str(kind.__module__).startswith(("turnd.", "wire."))
    )


def kept_answers(service: TurnService) -> int:
    return sum(len(each) for each in service._core._recent.values())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def live(port: int, serial: int, peer: Address) -> None:
    """One allocation: challenge, Allocate, ChannelBind or CreatePermission, a datagram each way, the end."""
    transport = "tcp" if serial % 3 == 2 else "udp"
    async with turn_client(port, transport) as client:
        await client.allocate(*((BOTH,) if serial % 5 == 0 else (RESERVING,) if serial % 97 == 1 else ()))
        if serial % 2:
            assert await client.bind(CHANNEL, peer) == 0
            client.channel_data(CHANNEL, b"hello")
            assert await client.received() == (CHANNEL, b"hello")
        else:
            assert await client.permit(peer) == 0
            client.indicate(peer, b"hello")
            assert await client.received() == (peer, b"hello")
        if transport == "udp" or serial % 4 < 2:
            assert await client.refresh(0) == 0


async def live_many(service: TurnService, serials: range, peer: Address) -> None:
    """So many, AT_ONCE at a time, until the server knows that all are gone."""

    async def some(share: range) -> None:
        for serial in share:
            await live(service.port, serial, peer)

    async with asyncio.TaskGroup() as group:
        for turn in range(AT_ONCE):
            group.create_task(some(serials[turn::AT_ONCE]))
    await until(lambda: measure(service, "turn_connections", transport="tcp") == 0)


async def test_nothing_is_left_of_allocations_that_are_gone() -> None:
    async with served(OPTIONS) as service, echo() as peer:
        registry = service._core.registry
        await live_many(service, range(WARM_UP), peer)
        registry.handle_timer(service._loop.time() + 31)  # the reserved ports have had their time
        objects, answers, open_files = our_objects(), kept_answers(service), descriptors()
        await live_many(service, range(WARM_UP, WARM_UP + MEASURED), peer)
        registry.handle_timer(service._loop.time() + 31)
        assert descriptors() == open_files
        more = our_objects() - objects
        more -= Counter(dict.fromkeys(OF_ANSWERS, kept_answers(service) - answers))
        assert {kind: number for kind, number in more.items() if number > SLACK} == {}
        assert not registry.allocations
        assert not registry.reservations
        assert registry.ports == 0
        assert all(len(pool) == pool.size for pool in registry._pools.values())
        assert sum(len(receiver) for receiver, _ in service._listeners.values()) == 0
