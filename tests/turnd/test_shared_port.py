"""Real TLS connections to a shared port under uvloop; behind it are two protocols that say who they are."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from tests.turnd.conftest import FarTransport, trusting
from turnd.certificate import TlsCertificate
from turnd.shared_port import MAX_FIRST_HEADER_BYTES, SharedPort
from turnd.state import StateDirectory

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Naming(asyncio.Protocol):
    """Answers all it gets with its name in front."""

    def __init__(self, name: bytes) -> None:
        self.name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.name + data)

    def eof_received(self) -> None:
        self.transport.write(self.name + b"eof")


class Served:
    """A shared port and its address."""

    def __init__(self, shared: SharedPort, tls: int, plain: int) -> None:
        self.shared = shared
        self.tls = tls
        self.plain = plain

    async def connect(self, alpn: list[str] | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = trusting()
        if alpn:
            context.set_alpn_protocols(alpn)
        return await asyncio.open_connection("127.0.0.1", self.tls, ssl=context)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    loop = asyncio.get_running_loop()
    shared = SharedPort(
        loop,
        lambda: Naming(b"http:"),
        lambda _peer: Naming(b"turn:"),
        max_connections=2,
        first_request_seconds=0.3,
    )
    certificate = TlsCertificate(None, None, StateDirectory(tmp_path))
    certificate.refresh([], 1_800_000_000.0)
    tls = await loop.create_server(shared.tls_protocol, "127.0.0.1", 0, ssl=certificate.context)
    plain = await loop.create_server(shared.plain_protocol, "127.0.0.1", 0)
    yield Served(shared, tls.sockets[0].getsockname()[1], plain.sockets[0].getsockname()[1])
    shared.close()
    for server in (tls, plain):
        server.close()


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()


async def answered(reader: asyncio.StreamReader, expected: bytes) -> None:
    async with asyncio.timeout(5):
        assert await reader.readexactly(len(expected)) == expected


async def ended(reader: asyncio.StreamReader) -> None:
    """Awaits that the other side has ended the connection without a word."""
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""


@pytest.mark.parametrize(
    ("first", "name"),
    [(b"\x00\x01\x00\x00", b"turn:"), (b"\x03", b"turn:"), (REQUEST, b"http:"), (b"HEAD / HTTP/1.0\n\n", b"http:")],
)
async def test_the_first_byte_decides_and_nothing_is_lost(served: Served, first: bytes, name: bytes) -> None:
    reader, writer = await served.connect()
    writer.write(first)
    await answered(reader, name + first)
    writer.write(b"\x00more")
    await answered(reader, name + b"\x00more")
    await close(writer)


async def test_alpn_is_taken_at_its_word(served: Served) -> None:
    reader, writer = await served.connect(["stun.turn"])
    writer.write(b"G")
    await answered(reader, b"turn:G")
    await close(writer)


async def test_a_request_may_come_in_pieces(served: Served) -> None:
    reader, writer = await served.connect()
    for byte in REQUEST:
        writer.write(bytes([byte]))
        await writer.drain()
    await answered(reader, b"http:" + REQUEST)
    await close(writer)


async def test_a_header_without_end_is_handed_on_at_the_bound(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(b"G" * (MAX_FIRST_HEADER_BYTES + 1))
    await answered(reader, b"http:" + b"G" * (MAX_FIRST_HEADER_BYTES + 1))
    await close(writer)


async def test_the_plain_port_has_no_turn(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.plain)
    writer.write(b"\x00\x01\n\n")
    await answered(reader, b"http:\x00\x01\n\n")
    await close(writer)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n"])
async def test_who_says_too_little_for_too_long_is_cut_off(served: Served, said: bytes) -> None:
    reader, writer = await served.connect()
    writer.write(said)
    await ended(reader)
    assert served.shared.results["silent"] == 1
    await close(writer)


async def test_connections_are_bounded(served: Served) -> None:
    kept = []
    for _ in range(served.shared.max_connections):
        reader, writer = await served.connect()
        writer.write(REQUEST)
        await answered(reader, b"http:" + REQUEST)
        kept.append(writer)
    reader, writer = await served.connect()
    await ended(reader)
    assert served.shared.results["overloaded"] == 1
    for one in (writer, *kept):
        await close(one)
    async with asyncio.timeout(5):
        while served.shared.connections:  # noqa: ASYNC110 - the server has no event for this
            await asyncio.sleep(0)
    reader, writer = await served.connect()
    writer.write(REQUEST)
    await answered(reader, b"http:" + REQUEST)
    await close(writer)


async def test_connections_of_one_source_are_bounded() -> None:
    http, turn = Naming(b"http:"), Naming(b"turn:")
    shared = SharedPort(asyncio.get_running_loop(), lambda: http, lambda _peer: turn, max_connections_of_source=2)

    def connect(peer: str) -> tuple[asyncio.Protocol, FarTransport]:
        protocol, transport = shared.tls_protocol(), FarTransport((peer, 1))
        protocol.connection_made(transport)
        return protocol, transport

    made = [connect(f"2001:db8::{number}") for number in range(3)]
    assert [transport.aborted for _, transport in made] == [False, False, True]
    assert shared.results["overloaded"] == 1
    assert not connect("2001:db8:1::1")[1].aborted
    for protocol, _ in made:
        protocol.connection_lost(None)
    assert [connect("2001:db8::9")[1].aborted for _ in range(3)] == [False, False, True]
    shared.close()


async def test_connections_are_counted_by_what_became_of_them(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(b"\x00")
    await answered(reader, b"turn:\x00")
    values = {next(iter(m.labels.values())): m.value for m in served.shared.measures() if not m.name.endswith("_total")}
    assert values == {"undecided": 0, "http": 0, "turn": 1}
    await close(writer)
