"""A splice between real sockets, looked at from inside: what it holds, and when it reads."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.turnd.conftest import trusting
from tests.turnd.turn.served import tls_context, until
from turnd.turn.byte_rate import Directions
from turnd.turn.splice import MAX_TO_CLIENT_BYTES, PEER_READ_BYTES, Splice

MAX_CLIENT_READ_BYTES = 256 * 1024  # what uvloop reads at once
MEGABYTE = 1 << 20


class Ours(asyncio.Protocol):
    """Our end of the client's connection, as `TurnConnection` is it."""

    def __init__(self, joined: Joined) -> None:
        self.joined = joined

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.joined.join(transport)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        self.joined.splice.client_received(data)

    def eof_received(self) -> bool:
        return self.joined.splice.client_ended()

    def pause_writing(self) -> None:
        self.joined.splice.client_full(True)

    def resume_writing(self) -> None:
        self.joined.splice.client_full(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.joined.splice.client_lost(exc)


class Joined:
    """A splice, with the far ends of both of its sides."""

    splice: Splice
    transport: asyncio.Transport
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self) -> None:
        self.far_peer, self.peer = socket.socketpair()
        for each in (self.far_peer, self.peer):
            each.setblocking(False)
        self.directions = Directions.of()
        self.ended = 0

    def join(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        loop = asyncio.get_running_loop()
        self.splice = Splice(loop, self.peer, transport, self.directions, self._ended)

    def _ended(self) -> None:
        self.ended += 1

    async def fill(self) -> None:
        """The peer sends for as long as anything moves."""
        same = 0
        async with asyncio.timeout(20):
            while same < 100:
                try:
                    self.far_peer.send(bytes(PEER_READ_BYTES))
                    same = 0
                except BlockingIOError:
                    same += 1
                await asyncio.sleep(0)


@pytest.fixture(params=["tcp", "tls"])
async def joined(request: pytest.FixtureRequest, certificate: tuple[Path, Path]) -> AsyncIterator[Joined]:
    joined, secure = Joined(), request.param == "tls"
    loop = asyncio.get_running_loop()
    context = tls_context(certificate) if secure else None
    server = await loop.create_server(lambda: Ours(joined), "127.0.0.1", 0, ssl=context)
    joined.reader, joined.writer = await asyncio.open_connection(
        *server.sockets[0].getsockname(), ssl=trusting() if secure else None
    )
    await until(lambda: hasattr(joined, "splice"))
    yield joined
    joined.splice.abort()
    joined.writer.transport.abort()
    await until(lambda: joined.ended == 1)
    joined.far_peer.close()
    server.close()


async def test_what_waits_for_a_stuck_client_is_bounded(joined: Joined) -> None:
    joined.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await joined.fill()
    assert 0 < joined.transport.get_write_buffer_size() <= MAX_TO_CLIENT_BYTES + PEER_READ_BYTES + 1024
    moved = joined.directions.to_client.relayed_bytes
    await joined.fill()
    assert joined.directions.to_client.relayed_bytes == moved


async def test_what_waits_for_a_stuck_peer_is_bounded(joined: Joined) -> None:
    joined.writer.write(bytes(32 * MEGABYTE))
    await until(lambda: joined.splice.waiting_bytes > 0)
    await joined.fill()  # lets the loop run; what the peer sends goes the other way
    assert 0 < joined.splice.waiting_bytes <= 2 * MAX_CLIENT_READ_BYTES
    assert joined.directions.to_peer.relayed_bytes < 16 * MEGABYTE


async def test_the_end_of_the_client_comes_behind_its_last_byte(joined: Joined) -> None:
    joined.writer.write(bytes(4 * MEGABYTE))
    joined.writer.close()
    await until(lambda: joined.splice.waiting_bytes > 0)
    loop, left = asyncio.get_running_loop(), 4 * MEGABYTE
    async with asyncio.timeout(10):
        while data := await loop.sock_recv(joined.far_peer, MEGABYTE):
            left -= len(data)
    assert left == 0
    joined.far_peer.shutdown(socket.SHUT_WR)
    await until(lambda: joined.ended == 1)


async def test_over_the_rate_nothing_is_read(joined: Joined) -> None:
    joined.directions.limit(1)
    joined.far_peer.send(bytes(1000))
    assert await joined.reader.readexactly(1000)
    joined.far_peer.send(bytes(1000))
    joined.writer.write(bytes(10))
    await until(lambda: joined.directions.to_peer.relayed_bytes == 10)
    assert joined.directions.to_client.relayed_bytes == 1000


async def test_at_the_rate_everything_arrives(joined: Joined) -> None:
    joined.directions.limit(10 * MEGABYTE)
    joined.writer.write(bytes(12 * MEGABYTE))
    loop = asyncio.get_running_loop()
    began, left = loop.time(), 12 * MEGABYTE
    async with asyncio.timeout(10):
        while left:
            left -= len(await loop.sock_recv(joined.far_peer, MEGABYTE))
    assert loop.time() - began > 0.1  # what is over one second's worth has waited


async def test_the_end_of_both_is_told_once(joined: Joined) -> None:
    joined.far_peer.shutdown(socket.SHUT_WR)
    assert await joined.reader.read() == b""
    joined.writer.close()
    await until(lambda: joined.ended == 1)
    assert joined.far_peer.recv(1) == b""


async def test_a_stuck_client_of_a_peer_that_has_ended_can_be_ended(joined: Joined) -> None:
    joined.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await joined.fill()
    joined.splice.close()  # waits for the client to read
    await asyncio.sleep(0)
    assert joined.ended == 0
    joined.splice.abort()
    await until(lambda: joined.ended == 1)


async def test_a_peer_that_is_gone_ends_the_client(joined: Joined) -> None:
    joined.far_peer.close()
    joined.writer.write(b"are you there?")
    with contextlib.suppress(ConnectionError):
        assert await joined.reader.read() == b""
    joined.writer.transport.abort()
    await until(lambda: joined.ended == 1)
