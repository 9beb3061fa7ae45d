"""TCP allocations of the daemon, over the page's port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from tests.turnd.conftest import Local
from tests.turnd.turn.core import error_code
from tests.turnd.turn.stream_client import TCP, StreamClient, listening, opened
from wire.stun import Method

Start = Callable[..., Awaitable[Local]]
ANNA = ("anna", "her password")


async def anna(stack: AsyncExitStack, daemon: Local) -> StreamClient:
    client = await stack.enter_async_context(opened(daemon.https_port, secure=True))
    client.credentials = ANNA
    return client


async def test_tcp_is_not_relayed_by_default(local: Start) -> None:
    daemon = await local(turn={"users": dict([ANNA])})
    async with AsyncExitStack() as stack:
        assert error_code(await (await anna(stack, daemon)).call(Method.ALLOCATE, TCP)) == 442


async def test_tcp_is_relayed_where_configuration_says_so(local: Start) -> None:
    daemon = await local(turn={"users": dict([ANNA]), "tcp_relay": True})
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(listening())
        control, data = await anna(stack, daemon), await anna(stack, daemon)
        await control.allocate()
        await data.bind(await control.connect(peer.address))
        far = await peer.connection()
        far.writer.write(b"hello")
        assert await data.read(5) == b"hello"
        metrics = await daemon.metrics()
        assert metrics["turnd_turn_tcp_allocations"] == 1
        assert metrics['turnd_turn_tcp_connections{state="bound"}'] == 1
        far.writer.close()
        assert await data.ended()
