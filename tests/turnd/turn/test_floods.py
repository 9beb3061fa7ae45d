"""What a flood leaves behind: nothing of sources that proved nothing, and no more than the quota of a user."""

from __future__ import annotations

import secrets
import sys

from tests.turnd.turn.core import UDP, Client, House, error_code
from tests.turnd.turn.served import Options, credentials, measure, served
from turnd.turn.allocation import Flow
from turnd.turn.limits import Limits
from turnd.turn.permission import MAX_PERMISSIONS
from turnd.turn.retransmissions import MAX_ANSWERS, MAX_BYTES
from turnd.turn.service import TurnService
from turnd.turn.source_limit import BUCKETS
from wire import stun
from wire.stun import Attribute, Method

SOURCES = 200_000
WARM = 20_000
LOCAL = ("127.0.0.1", 3478)


def flows(first: int, last: int) -> list[Flow]:
    """As many sources, half of them of IPv6, each in a network of its own."""
    made = []
    for number in range(first, last):
        high, low = number >> 8, number & 0xFF
        host = f"11.{high >> 8}.{high & 0xFF}.{low}" if number & 1 else f"2a00:{high:x}:{low:x}::1"
        made.append(Flow("udp", (host, 1024 + (number & 0x7FFF)), LOCAL))
    return made


def forged() -> list[bytes]:
    """An Allocate as a client begins, one with credentials that are none, and a Binding."""
    proof = [
        (Attribute.USERNAME, credentials()[0].encode()),
        (Attribute.REALM, b"turnd"),
        (Attribute.NONCE, stun.encode_nonce(1, b"AAAAAAAAAAA")),
    ]
    return [
        stun.encode(Method.ALLOCATE, 0, secrets.token_bytes(12), [UDP]),
        stun.encode(Method.ALLOCATE, 0, secrets.token_bytes(12), [UDP, *proof], key=b"guessed"),
        stun.encode(Method.BINDING, 0, secrets.token_bytes(12)),
    ]


def held(service: TurnService) -> dict[str, int]:
    """The size of everything that could grow."""
    core = service._core
    return {
        "allocations": len(core.registry.allocations),
        "reservations": len(core.registry.reservations),
        "ports": core.registry.ports,
        "users": len(core.registry._ports_of),
        "timers": len(core.registry._queue),
        "answers": sum(len(each) for each in core._recent.values()),
        "connections": len(service._connections),
        "idle": service._connections.idle,
        "sources": service._connections.idle_sources,
        "tcp": len(core.tcp),
        "buckets": len(core._limiter._tokens) - BUCKETS,
    }


async def test_200000_forged_sources_leave_nothing_behind() -> None:
    async with served() as service:

        def flood(first: int, last: int) -> int:
            messages = forged()
            return sum(
                service.receive(messages[at % 3], flow) is not None for at, flow in enumerate(flows(first, last))
            )

        flood(0, WARM)  # caches are full, buckets are used
        before = sys.getallocatedblocks()
        answered = sum(flood(first, first + 2000) for first in range(WARM, SOURCES, 2000))
        grown = sys.getallocatedblocks() - before
        assert answered == SOURCES - WARM
        assert set(held(service).values()) == {0}
        assert grown < 3 * BUCKETS, "more than the numbers of the one table of fixed size"
        assert measure(service, "stun_requests_total", transport="udp", result="unauthenticated") > SOURCES / 2
        assert measure(service, "turn_auth_failures_total", reason="stale_nonce") > SOURCES / 4


async def test_a_flood_from_one_source_is_answered_no_more_than_its_rate() -> None:
    async with served(Options(limits=Limits(unauthenticated_rate=1, unauthenticated_burst=100))) as service:
        request = forged()[0]
        answers = [service.receive(request, Flow("udp", ("11.0.0.1", port), LOCAL)) for port in range(1024, 11024)]
        assert sum(answer is not None for answer in answers) < 110
        assert service.receive(request, Flow("udp", ("11.0.0.2", 1024), LOCAL)) is not None
        assert measure(service, "stun_requests_total", transport="udp", result="limited") > 9800


def test_a_user_has_no_more_ports_than_the_quota_however_many_5_tuples_ask() -> None:
    house = House(ports=(41000, 41999), limits=Limits(allocations_of_user=40, unauthenticated_burst=1e9))
    codes = [error_code(Client(house, port).allocate()) for port in range(10_000, 13_000)]
    assert codes == [0] * 40 + [486] * 2960
    registry = house.server.registry
    assert (len(registry.allocations), registry.ports, sum(registry._ports_of.values())) == (40, 40, 40)
    assert len(house.pools[4]) == 1000 - 40
    recent = house.server._recent[Method.ALLOCATE]
    assert 0 < len(recent) <= MAX_ANSWERS
    assert recent.bytes <= MAX_BYTES
    other = Client(house, 20_000, credentials=("anna", "pass"))
    assert error_code(other.allocate()) == 0


def test_reserved_ports_count_towards_the_quota() -> None:
    house = House(ports=(41000, 41999), limits=Limits(allocations_of_user=10, unauthenticated_burst=1e9))
    pair = (Attribute.EVEN_PORT, stun.encode_even_port(reserve_next=True))
    codes = [error_code(Client(house, port).allocate(pair)) for port in range(10_000, 10_100)]
    assert codes == [0] * 5 + [486] * 95
    assert len(house.server.registry.reservations) == 5


def test_permissions_and_channels_of_an_allocation_are_bounded_whatever_is_asked(allocated: Client) -> None:
    codes = {error_code(allocated.permit(*((f"11.0.{n}.{each}", 1) for each in range(50)))) for n in range(100)}
    assert codes == {0, 508}
    assert len(allocated.allocation.permissions) <= MAX_PERMISSIONS
    channels = [error_code(allocated.bind(0x4000 + n, ("11.0.0.1", 1 + n))) for n in range(1000)]
    assert set(channels) == {0, 508}
    assert len(allocated.allocation.channels) == channels.count(0) <= 128


def test_the_memory_of_answers_is_bounded_by_bytes(allocated: Client) -> None:
    """Answers that list unknown attributes are the longest there are."""
    unknown = [(0x7000 + number, b"") for number in range(55)]
    for _ in range(MAX_ANSWERS):
        assert error_code(allocated.refresh(*unknown)) == 420
    recent = allocated.house.server._recent[Method.REFRESH]
    assert MAX_BYTES / 2 < recent.bytes <= MAX_BYTES
    assert len(recent) < MAX_ANSWERS
