"""Mobility (RFC 8016) of the daemon: from the page's port to UDP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.turnd.conftest import Local
from tests.turnd.turn.core import UDP, error_code
from tests.turnd.turn.turn_client import turn_client
from wire.stun import Attribute, Method

Start = Callable[..., Awaitable[Local]]
ANNA = ("anna", "her password")
WISH = (Attribute.MOBILITY_TICKET, b"")


async def test_nothing_moves_by_default(local: Start) -> None:
    daemon = await local(turn={"users": dict([ANNA])})
    async with turn_client(daemon.turn_port, user=ANNA) as client:
        assert error_code(await client.request(Method.ALLOCATE, UDP, WISH)) == 405


async def test_an_allocation_outlives_its_connection_where_configuration_says_so(local: Start) -> None:
    daemon = await local(turn={"users": dict([ANNA]), "mobility": True})
    async with turn_client(daemon.turn_port, user=ANNA) as udp:
        async with turn_client(daemon.https_port, "tls", user=ANNA) as tls:
            answer = await tls.request(Method.ALLOCATE, UDP, WISH)
        ticket = answer.get(Attribute.MOBILITY_TICKET)
        assert ticket
        assert error_code(await udp.request(Method.REFRESH, (Attribute.MOBILITY_TICKET, ticket))) == 0
        assert await udp.permit(("192.88.2.1", 9)) == 0
        metrics = await daemon.metrics()
        assert metrics['turnd_turn_mobility_moves_total{result="moved"}'] == 1
        assert metrics['turnd_turn_allocations{family="ipv4",transport="udp"}'] == 1
