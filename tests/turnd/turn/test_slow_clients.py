"""Clients on streams that stop reading or stop in the middle, on real sockets: bounded, and nobody else waits."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from pathlib import Path

import pytest

from tests.turnd.turn.core import error_code
from tests.turnd.turn.peers import UdpPeer
from tests.turnd.turn.served import Options, measure, served, until
from tests.turnd.turn.turn_client import StreamClient, port_of, stream_client
from turnd.turn.connection import MAX_UNREAD_BYTES, MAX_UNSENT_BYTES, MAX_WRITE_BUFFER_BYTES, TurnConnection
from turnd.turn.limits import Limits
from turnd.turn.service import TurnService
from turnd.turn.stream import MAX_FIRST_MESSAGE_BYTES, MAX_MESSAGE_BYTES
from wire import stun
from wire.stun import Attribute, Method

TINY_BUFFER_BYTES = 4096
LOOPBACK = Options(allow_peers=("127.0.0.0/8",))
STREAM_BATCH_BYTES = 256 * 1024  # what one batch of datagrams may add, relay_table.pxd
TLS_RECORDS_BYTES = 64 * 1024  # what encryption adds to what waits
FLOOD_BYTES = 16 * 1024 * 1024


def connection_of(service: TurnService, client: StreamClient) -> TurnConnection:
    """The server's side of a stream."""
    found = [each for flow, each in service._connections.items() if flow.client == client.address]
    assert isinstance(found[0], TurnConnection)
    return found[0]


def waiting_bytes(connection: TurnConnection) -> int:
    """What this process holds for the client."""
    assert connection._transport is not None
    return connection._transport.get_write_buffer_size()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_a_client_that_stops_reading_is_bounded_and_delays_nobody(
    transport: str, certificate: tuple[Path, Path]
) -> None:
    """Its peer sends 16 MiB; in between another client on a stream gets each of its own datagrams."""
    limits = Limits(allocation_bps=0, total_bps=0)
    options = Options(allow_peers=LOOPBACK.allow_peers, certificate=certificate, limits=limits)
    async with (
        served(options) as service,
        stream_client(port_of(service, transport), transport, receive_bytes=TINY_BUFFER_BYTES) as slow,
        stream_client(port_of(service, transport), transport) as other,
    ):
        with closing(UdpPeer()) as flooding, closing(UdpPeer()) as peer:
            [flooded], [relay] = await slow.allocate(), await other.allocate()
            assert await slow.bind(0x4000, flooding.address) == 0
            assert await other.bind(0x4000, peer.address) == 0
            connection = connection_of(service, slow)
            largest, sent, received = 0, 0, 0
            while sent < FLOOD_BYTES:
                for _ in range(20):
                    flooding.send(bytes(1200), flooded)
                    sent += 1200
                peer.send(b"%d" % received, relay)
                assert await other.received() == (0x4000, b"%d" % received)
                received += 1
                largest = max(largest, waiting_bytes(connection))
            assert largest <= MAX_WRITE_BUFFER_BYTES + STREAM_BATCH_BYTES + TLS_RECORDS_BYTES
            assert largest > MAX_WRITE_BUFFER_BYTES, "the flood did not fill the buffer"
            dropped = measure(service, "turn_dropped_packets_total", reason="stream_full")
            assert dropped * 1200 > FLOOD_BYTES / 2
            assert received > 600
            # It reads again: what waited comes, then what is new.
            while (await slow.received())[1] != b"the end":
                flooding.send(b"the end", flooded)


async def test_little_waits_in_the_kernel_for_a_client_that_does_not_read() -> None:
    async with served(LOOPBACK) as service, stream_client(service.port, receive_bytes=TINY_BUFFER_BYTES) as slow:
        [relay] = await slow.allocate()
        with closing(UdpPeer()) as peer:
            assert await slow.bind(0x4000, peer.address) == 0
            connection = connection_of(service, slow)
            while waiting_bytes(connection) <= MAX_WRITE_BUFFER_BYTES:
                peer.send(bytes(1200), relay)
                await asyncio.sleep(0)
        assert connection._transport is not None
        kernel = connection._transport.get_extra_info("socket")
        assert kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == MAX_UNSENT_BYTES
        relayed = measure(service, "turn_relayed_bytes_total", direction="to_client")
        assert relayed < MAX_WRITE_BUFFER_BYTES + 2 * MAX_UNSENT_BYTES + STREAM_BATCH_BYTES


async def test_half_a_message_is_bounded_and_ends_with_the_idle_time() -> None:
    async with served(Options(idle_seconds=0.2)) as service, stream_client(service.port) as stuck:
        stuck.write(stun.encode(Method.BINDING, 0, bytes(12), [(Attribute.SOFTWARE, bytes(700))])[:-1])
        await until(lambda: len(service._connections) == 1)
        connection = connection_of(service, stuck)
        await until(lambda: connection._framer.buffered_bytes > 0)
        assert connection._framer.buffered_bytes < MAX_FIRST_MESSAGE_BYTES
        assert await stuck.ended()
        assert not service._connections


async def test_a_message_too_long_for_who_has_no_allocation_ends_the_stream_at_its_header() -> None:
    async with served() as service, stream_client(service.port) as stuck:
        stuck.write(stun.encode(Method.ALLOCATE, 0, bytes(12), [(Attribute.SOFTWARE, bytes(3000))])[:20])
        assert await stuck.ended()


async def test_half_a_message_of_a_client_with_an_allocation_is_bounded_and_delays_nobody() -> None:
    async with served(LOOPBACK) as service, stream_client(service.port) as stuck, stream_client(service.port) as other:
        await stuck.allocate()
        await other.allocate()
        with closing(UdpPeer()) as peer:
            assert await other.bind(0x4000, peer.address) == 0
            stuck.write(b"\x40\x00\xff\xff" + bytes(65_534))
            connection = connection_of(service, stuck)
            await until(lambda: connection._framer.buffered_bytes > 60_000)
            assert connection._framer.buffered_bytes <= MAX_MESSAGE_BYTES
            for number in range(100):
                other.channel_data(0x4000, b"%04d" % number)
                assert await peer.receive() == b"%04d" % number


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_a_client_that_only_asks_and_never_reads_is_cut_off(
    transport: str, certificate: tuple[Path, Path]
) -> None:
    async with (
        served(Options(certificate=certificate)) as service,
        stream_client(port_of(service, transport), transport, receive_bytes=TINY_BUFFER_BYTES) as deaf,
    ):
        await deaf.allocate()
        unknown = [(0x7000 + number, b"") for number in range(55)]
        request = deaf.signed(Method.REFRESH, *unknown)
        assert error_code(await deaf.ask(request)) == 420
        connection, sizes = connection_of(service, deaf), list[int]()

        async def ask_on() -> None:
            while True:
                deaf.write(request * 50)
                await deaf.writer.drain()
                await asyncio.sleep(0)
                if connection._transport is not None:
                    sizes.append(waiting_bytes(connection))

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(ask_on(), 60)
        assert max(sizes) < MAX_UNREAD_BYTES + 256 * 1024  # one read's answers more
        await until(lambda: not service._connections)
        assert measure(service, "turn_allocations", transport=transport, family="ipv4") == 0
