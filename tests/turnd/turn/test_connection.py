"""One connection on a transport that does what a slow or silent client makes it do."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.turnd.turn.served import served
from turnd.turn.connection import MAX_UNREAD_BYTES, MAX_WRITE_BUFFER_BYTES, TurnConnection
from turnd.turn.relay import Relay, RelayPath
from turnd.turn.service import TurnService
from wire import stun

REQUEST = stun.encode(1, 0, bytes(12))


class Unread(asyncio.Transport):
    """A transport whose other end never reads."""

    def __init__(self, peername: tuple[str, int] | None = ("192.0.2.9", 5000)) -> None:
        super().__init__({"peername": peername, "sockname": ("192.0.2.1", 3478)})
        self.written = bytearray()
        self.aborted = False
        self.limits: dict[str, Any] = {}

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = {"high": high, "low": low}

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def connect(service: TurnService) -> tuple[TurnConnection, Unread]:
    connection, transport = TurnConnection(service), Unread()
    connection.connection_made(transport)
    return connection, transport


async def test_a_client_that_only_asks_and_never_reads_is_cut_off() -> None:
    async with served() as service:
        connection, transport = connect(service)
        transport.written += bytes(MAX_UNREAD_BYTES)
        connection.data_received(REQUEST)
        assert len(transport.written) > MAX_UNREAD_BYTES
        assert not transport.aborted
        connection.data_received(REQUEST)
        assert transport.aborted
        connection.connection_lost(None)


async def test_the_write_buffer_is_bounded() -> None:
    async with served() as service:
        connection, transport = connect(service)
        assert transport.limits["high"] == MAX_WRITE_BUFFER_BYTES
        connection.connection_lost(None)


async def test_a_slow_reader_pauses_the_relay_and_nothing_else() -> None:
    async with served() as service:
        connection, transport = connect(service)
        connection.pause_writing()
        relay = Relay(RelayPath(b"seedseed"))
        connection.allocated([relay])
        assert relay.paused
        connection.resume_writing()
        assert not relay.paused
        connection.pause_writing()
        assert relay.paused
        connection.data_received(REQUEST)
        assert transport.written
        connection.closed(relay)
        connection.resume_writing()
        connection.connection_lost(None)


async def test_a_connection_that_is_gone_already_is_not_taken_in() -> None:
    async with served() as service:
        connection, transport = TurnConnection(service), Unread(None)
        connection.connection_made(transport)
        assert transport.aborted
        connection.data_received(REQUEST)
        connection.connection_lost(None)
        assert not transport.written


async def test_a_5_tuple_that_is_taken_is_refused() -> None:
    async with served() as service:
        first, first_transport = connect(service)
        second, second_transport = connect(service)
        assert second_transport.aborted
        second.connection_lost(None)
        first.data_received(REQUEST)
        assert first_transport.written
        first.connection_lost(None)
