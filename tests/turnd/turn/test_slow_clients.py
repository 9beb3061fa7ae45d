"""Clients on streams that stop reading or stop in the middle, on real sockets: bounded, and nobody else waits."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from tests.turnd.turn.core import error_code
from tests.turnd.turn.raw_client import TINY_BUFFER_BYTES, RawClient, udp_peer
from tests.turnd.turn.served import Options, measure, served, until
from turnd.turn.connection import MAX_UNREAD_BYTES, MAX_UNSENT_BYTES, MAX_WRITE_BUFFER_BYTES, TurnConnection
from turnd.turn.limits import Limits
from turnd.turn.service import TurnService
from turnd.turn.stream import MAX_FIRST_MESSAGE_BYTES, MAX_MESSAGE_BYTES
from wire import stun
from wire.stun import Attribute, Method

LOOPBACK = Options(allow_peers=("127.0.0.0/8",))
STREAM_BATCH_BYTES = 256 * 1024  # what one batch of datagrams may add, relay_table.pxd
TLS_RECORDS_BYTES = 64 * 1024  # what encryption adds to what waits
FLOOD_BYTES = 16 * 1024 * 1024


def connection_of(service: TurnService, client: RawClient) -> TurnConnection:
    """The server's side of a stream."""
    found = [each for flow, each in service._connections.items() if flow.client == client.socket.getsockname()]
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
    async with served(Options(allow_peers=LOOPBACK.allow_peers, certificate=certificate, limits=limits)) as service:
        slow = await RawClient().open(service, transport, receive_bytes=TINY_BUFFER_BYTES)
        other = await RawClient().open(service, transport)
        peers = [udp_peer(), udp_peer()]
        relays = [await slow.allocate(), await other.allocate()]
        for client, (_, address) in zip((slow, other), peers, strict=True):
            await client.bind(0x4000, address)
        connection = connection_of(service, slow)
        largest, sent, received = 0, 0, 0
        while sent < FLOOD_BYTES:
            for _ in range(20):
                peers[0][0].sendto(bytes(1200), relays[0])
                sent += 1200
            peers[1][0].sendto(b"%d" % received, relays[1])
            message = await other.read()
            assert message[4 : 4 + int.from_bytes(message[2:4], "big")] == b"%d" % received
            received += 1
            largest = max(largest, waiting_bytes(connection))
        assert largest <= MAX_WRITE_BUFFER_BYTES + STREAM_BATCH_BYTES + TLS_RECORDS_BYTES
        assert largest > MAX_WRITE_BUFFER_BYTES, "the flood did not fill the buffer"
        dropped = measure(service, "turn_dropped_packets_total", reason="stream_full")
        assert dropped * 1200 > FLOOD_BYTES / 2
        assert received > 600
        # It reads again: what waited comes, then what is new.
        marker = b"the end"
        while (await slow.read())[4 : 4 + len(marker)] != marker:
            peers[0][0].sendto(marker, relays[0])
        for each in (slow, other, *(peer for peer, _ in peers)):
            each.close()


async def test_little_waits_in_the_kernel_for_a_client_that_does_not_read() -> None:
    async with served(LOOPBACK) as service:
        slow = await RawClient().open(service, "tcp", receive_bytes=TINY_BUFFER_BYTES)
        relay = await slow.allocate()
        peer, address = udp_peer()
        await slow.bind(0x4000, address)
        connection = connection_of(service, slow)
        while waiting_bytes(connection) <= MAX_WRITE_BUFFER_BYTES:
            peer.sendto(bytes(1200), relay)
            await asyncio.sleep(0)
        assert connection._transport is not None
        kernel = connection._transport.get_extra_info("socket")
        assert kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == MAX_UNSENT_BYTES
        relayed = measure(service, "turn_relayed_bytes_total", direction="to_client")
        assert relayed < MAX_WRITE_BUFFER_BYTES + 2 * MAX_UNSENT_BYTES + STREAM_BATCH_BYTES
        slow.close()
        peer.close()


async def test_half_a_message_is_bounded_and_ends_with_the_idle_time() -> None:
    async with served(Options(idle_seconds=0.2)) as service:
        stuck = await RawClient().open(service, "tcp")
        await stuck.write(stun.encode(Method.BINDING, 0, bytes(12), [(Attribute.SOFTWARE, bytes(700))])[:-1])
        await until(lambda: len(service._connections) == 1)
        connection = connection_of(service, stuck)
        await until(lambda: connection._framer.buffered_bytes > 0)
        assert connection._framer.buffered_bytes < MAX_FIRST_MESSAGE_BYTES
        with pytest.raises((EOFError, ConnectionResetError)):
            await stuck.read()
        assert not service._connections
        stuck.close()


async def test_a_message_too_long_for_who_has_no_allocation_ends_the_stream_at_its_header() -> None:
    async with served() as service:
        stuck = await RawClient().open(service, "tcp")
        await stuck.write(stun.encode(Method.ALLOCATE, 0, bytes(12), [(Attribute.SOFTWARE, bytes(3000))])[:20])
        with pytest.raises((EOFError, ConnectionResetError)):
            await stuck.read()
        stuck.close()


async def test_half_a_message_of_a_client_with_an_allocation_is_bounded_and_delays_nobody() -> None:
    async with served(LOOPBACK) as service:
        stuck, other = await RawClient().open(service, "tcp"), await RawClient().open(service, "tcp")
        await stuck.allocate()
        await other.allocate()
        peer, address = udp_peer()
        await other.bind(0x4000, address)
        await stuck.write(b"\x40\x00\xff\xff" + bytes(65_534))
        connection = connection_of(service, stuck)
        await until(lambda: connection._framer.buffered_bytes > 60_000)
        assert connection._framer.buffered_bytes <= MAX_MESSAGE_BYTES
        for number in range(100):
            await other.write(b"\x40\x00\x00\x04%04d" % number)
            assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(peer, 100), 5) == b"%04d" % number
        for each in (stuck, other, peer):
            each.close()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_a_client_that_only_asks_and_never_reads_is_cut_off(
    transport: str, certificate: tuple[Path, Path]
) -> None:
    async with served(Options(certificate=certificate)) as service:
        deaf = await RawClient().open(service, transport, receive_bytes=TINY_BUFFER_BYTES)
        await deaf.allocate()
        unknown = [(0x7000 + number, b"") for number in range(55)]
        request = await deaf.signed(Method.REFRESH, unknown)
        assert error_code(stun.parse(await deaf.ask(request))) == 420
        connection, sizes = connection_of(service, deaf), list[int]()

        async def ask_on() -> None:
            while True:
                await deaf.write(request * 50)
                await asyncio.sleep(0)
                if connection._transport is not None:
                    sizes.append(waiting_bytes(connection))

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(ask_on(), 60)
        assert max(sizes) < MAX_UNREAD_BYTES + 256 * 1024  # one read's answers more
        await until(lambda: not service._connections)
        assert measure(service, "turn_allocations", transport=transport, family="ipv4") == 0
        deaf.close()
