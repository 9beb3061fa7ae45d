"""TCP allocations of the daemon, over the page's port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from tests.turnd.conftest import Local
from tests.turnd.turn.core import TCP, error_code
from tests.turnd.turn.peers import listening
from tests.turnd.turn.turn_client import StreamClient, stream_client
from wire.stun import Method

Start = Callable[..., Awaitable[Local]]
ANNA = ("anna", "her password")


async def anna(stack: AsyncExitStack, daemon: Local) -> StreamClient:
    return await stack.enter_async_context(stream_client(daemon.https_port, "tls", user=ANNA))


async def test_tcp_is_not_relayed_by_default(local: Start) -> None:
    daemon = await local(turn={"users": dict([ANNA])})
    async with AsyncExitStack() as stack:
        assert error_code(await (await anna(stack, daemon)).request(Method.ALLOCATE, TCP)) == 442


async def test_tcp_is_relayed_where_configuration_says_so(local: Start) -> None:
    daemon = await local(turn={"users": dict([ANNA]), "tcp_relay": True})
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(listening())
        control, data = await anna(stack, daemon), await anna(stack, daemon)
        await control.allocate_tcp()
        await data.bind_connection(await control.connect(peer.address))
        far = await peer.connection()
        far.writer.write(b"hello")
        assert await data.read(5) == b"hello"
        metrics = await daemon.metrics()
        assert metrics["turnd_turn_tcp_allocations"] == 1
        assert metrics['turnd_turn_tcp_connections{state="bound"}'] == 1
        far.writer.close()
        assert await data.ended()
