"""TCP allocations on real sockets: clients and peers on the loopback, over TCP and TLS."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from os import urandom
from pathlib import Path

import pytest

from tests.turnd.turn.core import TCP, error_code
from tests.turnd.turn.peers import TcpPeer, listening
from tests.turnd.turn.served import Options, measure, served, tls_context, until
from tests.turnd.turn.turn_client import HOST, StreamClient, port_of, stream_client
from turnd.shared_port import SharedPort
from turnd.turn.limits import Limits
from turnd.turn.service import TurnService
from turnd.turn.tcp_connections import WAIT_SECONDS
from wire import stun
from wire.stun import Attribute, Method

UNLIMITED = Limits(allocation_bps=0, total_bps=0)
OPTIONS = Options(tcp_relay=True, allow_peers=("127.0.0.0/8",), limits=UNLIMITED)
MEGABYTE = 1 << 20


@pytest.fixture
async def service(certificate: tuple[Path, Path]) -> AsyncIterator[TurnService]:
    async with served(replace(OPTIONS, certificate=certificate)) as service:
        yield service


@pytest.fixture
async def peer() -> AsyncIterator[TcpPeer]:
    async with listening() as peer:
        yield peer


@pytest.fixture
async def control(service: TurnService) -> AsyncIterator[StreamClient]:
    """A client with a TCP allocation."""
    async with stream_client(service.port) as client:
        await client.allocate_tcp()
        yield client


@asynccontextmanager
async def joined(
    service: TurnService, control: StreamClient, peer: TcpPeer, *, transport: str = "tcp"
) -> AsyncIterator[tuple[StreamClient, StreamClient]]:
    """A data connection and the peer's end of it."""
    async with stream_client(port_of(service, transport), transport) as data:
        await data.bind_connection(await control.connect(peer.address))
        yield data, await peer.connection()


async def exchange(one: StreamClient, other: StreamClient, size: int) -> None:
    """Random bytes both ways at once, which arrive as they are."""
    sent = [urandom(size), urandom(size)]
    for end, data in zip((one, other), sent, strict=True):
        end.writer.write(data)
    got = await asyncio.gather(other.read(size), one.read(size))
    assert got == sent


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_bytes_pass_as_they_are_both_ways(transport: str, service: TurnService, peer: TcpPeer) -> None:
    async with stream_client(port_of(service, transport), transport) as control:
        relayed = await control.allocate_tcp()
        async with joined(service, control, peer, transport=transport) as (data, far):
            assert far.writer.get_extra_info("peername") == (HOST, relayed[1])
            await exchange(data, far, 4 * MEGABYTE)
            assert measure(service, "turn_relayed_bytes_total", direction="to_peer") == 4 * MEGABYTE
            assert measure(service, "turn_relayed_bytes_total", direction="to_client") == 4 * MEGABYTE
            assert measure(service, "turn_tcp_allocations") == 1
            assert measure(service, "turn_tcp_connections", state="bound") == 1


async def test_what_the_peer_sends_before_the_bind_waits(
    service: TurnService, control: StreamClient, peer: TcpPeer
) -> None:
    connection_id = await control.connect(peer.address)
    far = await peer.connection()
    far.writer.write(b"220 ready\r\n")
    async with stream_client(service.port) as data:
        await data.bind_connection(connection_id)
        assert await data.read(11) == b"220 ready\r\n"


async def test_what_the_client_sends_right_behind_the_bind_is_data(
    service: TurnService, control: StreamClient, peer: TcpPeer
) -> None:
    async with stream_client(service.port) as data:
        await data.bind_connection(await control.connect(peer.address), followed_by=b"\xff\x80 not STUN")
        assert await (await peer.connection()).read(11) == b"\xff\x80 not STUN"


async def test_one_allocation_has_several_connections(
    service: TurnService, control: StreamClient, peer: TcpPeer
) -> None:
    async with (
        listening() as second,
        joined(service, control, peer) as (data, far),
        joined(service, control, second) as (other_data, other_far),
    ):
        await exchange(data, far, 1000)
        await exchange(other_data, other_far, 1000)


async def test_a_permitted_peer_comes(service: TurnService) -> None:
    async with stream_client(service.port) as control, stream_client(service.port) as data:
        relayed = await control.allocate_tcp()
        assert await control.permit((HOST, 1)) == 0
        async with stream_client(relayed[1]) as far:
            connection_id, address = await control.attempt()
            assert address == far.writer.get_extra_info("sockname")
            await data.bind_connection(connection_id)
            await exchange(data, far, MEGABYTE)


async def test_a_peer_without_permission_is_closed_at_once(service: TurnService) -> None:
    async with stream_client(service.port) as control:
        relayed = await control.allocate_tcp()
        async with stream_client(relayed[1]) as far:
            assert await far.ended()
        assert measure(service, "turn_tcp_connections_total", result="not_permitted") == 1
        assert error_code(await control.request(Method.REFRESH)) == 0
        assert not control.kept


async def test_a_peer_that_refuses(service: TurnService, control: StreamClient) -> None:
    with socket.socket() as closed:
        closed.bind((HOST, 0))
        answer = await control.request(Method.CONNECT, peers=(closed.getsockname(),))
    assert error_code(answer) == 447
    assert measure(service, "turn_tcp_connections_total", result="failed") == 1


async def test_this_machine_is_out_of_reach_by_default(peer: TcpPeer) -> None:
    async with served(Options(tcp_relay=True)) as service, stream_client(service.port) as control:
        await control.allocate_tcp()
        assert error_code(await control.request(Method.CONNECT, peers=(peer.address,))) == 403
        assert measure(service, "turn_denied_peers_total", reason="own") == 1
        assert peer.came.empty()


async def test_two_clients_meet_when_configuration_opens_this_machine(
    service: TurnService, control: StreamClient
) -> None:
    async with (
        stream_client(service.port) as other,
        stream_client(service.port) as here,
        stream_client(service.port) as there,
    ):
        relayed = await other.allocate_tcp()
        assert await other.permit((HOST, 1)) == 0
        await here.bind_connection(await control.connect(relayed))
        connection_id, _ = await other.attempt()
        await there.bind_connection(connection_id)
        await exchange(here, there, 1000)


async def test_peers_of_both_families() -> None:
    options = Options(tcp_relay=True, allow_peers=("127.0.0.0/8", "::1/128"), own=("127.0.0.1", "::1"))
    additional = (Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6))
    async with (
        served(options) as service,
        listening() as peer,
        listening("::1") as other,
        stream_client(service.port) as control,
    ):
        assert error_code(await control.request(Method.ALLOCATE, TCP, additional)) == 0
        async with joined(service, control, peer) as (data, far), joined(service, control, other) as (data6, far6):
            await exchange(data, far, 1000)
            await exchange(data6, far6, 1000)


# Ends.


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_the_end_of_the_client_is_passed_on(
    transport: str, service: TurnService, control: StreamClient, peer: TcpPeer
) -> None:
    async with joined(service, control, peer, transport=transport) as (data, far):
        data.writer.write(b"question")
        data.writer.close()
        assert await far.rest() == b"question"
        far.writer.close()
        await until(lambda: measure(service, "turn_tcp_connections", state="bound") == 0)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_the_end_of_the_peer_is_passed_on(
    transport: str, service: TurnService, control: StreamClient, peer: TcpPeer
) -> None:
    async with joined(service, control, peer, transport=transport) as (data, far):
        far.writer.write(bytes(MEGABYTE))
        far.writer.close()
        assert len(await data.rest()) == MEGABYTE
        data.writer.close()
        await until(lambda: measure(service, "turn_tcp_connections", state="bound") == 0)


async def test_a_half_closed_client_still_hears_the_peer(
    service: TurnService, control: StreamClient, peer: TcpPeer
) -> None:
    async with joined(service, control, peer) as (data, far):
        data.writer.write(b"question")
        data.writer.write_eof()
        assert await far.rest() == b"question"
        far.writer.write(b"answer")
        far.writer.close()
        assert await data.rest() == b"answer"


async def test_a_half_closed_peer_still_hears_the_client(
    service: TurnService, control: StreamClient, peer: TcpPeer
) -> None:
    async with joined(service, control, peer) as (data, far):
        far.writer.write_eof()
        assert await data.rest() == b""
        data.writer.write(b"goodbye")
        data.writer.close()
        assert await far.rest() == b"goodbye"


@pytest.mark.parametrize("broken", ["client", "peer"])
async def test_a_broken_connection_ends_the_other(
    broken: str, service: TurnService, control: StreamClient, peer: TcpPeer
) -> None:
    async with joined(service, control, peer) as ends:
        reset, other = ends if broken == "client" else reversed(ends)
        linger = reset.writer.get_extra_info("socket")
        linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
        reset.writer.transport.abort()
        assert await other.ended()


@pytest.mark.parametrize("how", ["refresh", "close"])
async def test_everything_ends_with_the_allocation(how: str, service: TurnService, peer: TcpPeer) -> None:
    async with stream_client(service.port) as control, listening() as second:
        relayed = await control.allocate_tcp()
        async with joined(service, control, peer) as (data, far):
            await control.connect(second.address)
            pending = await second.connection()
            if how == "refresh":
                assert error_code(await control.request(Method.REFRESH, (Attribute.LIFETIME, bytes(4)))) == 0
            else:
                control.writer.close()
            assert all(await asyncio.gather(data.ended(), far.ended(), pending.ended()))
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*relayed)
        for state in ("connecting", "pending", "bound"):
            assert measure(service, "turn_tcp_connections", state=state) == 0


async def test_connections_end_with_the_service(peer: TcpPeer) -> None:
    async with served(OPTIONS) as service, stream_client(service.port) as control:
        await control.allocate_tcp()
        async with joined(service, control, peer) as (data, far):
            await control.connect((HOST, service.port))  # pending
            await service.close()
            assert all(await asyncio.gather(control.ended(), data.ended(), far.ended()))


# Bounds.


async def test_a_peer_that_does_not_read_stops_the_client_and_nobody_else(
    service: TurnService, control: StreamClient, peer: TcpPeer
) -> None:
    async with joined(service, control, peer) as (data, far):
        await waits_for(far, data, "to_peer", service, control)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_a_client_that_does_not_read_stops_the_peer_and_nobody_else(
    transport: str, service: TurnService, control: StreamClient, peer: TcpPeer
) -> None:
    async with joined(service, control, peer, transport=transport) as (data, far):
        await waits_for(data, far, "to_client", service, control)


async def waits_for(
    slow: StreamClient, sender: StreamClient, direction: str, service: TurnService, control: StreamClient
) -> None:
    """While `slow` does not read, `sender` is stopped and others are not; then everything arrives."""
    slow.writer.transport.pause_reading()
    sender.write(bytes(64 * MEGABYTE))
    await until_still(service, direction)
    assert measure(service, "turn_relayed_bytes_total", direction=direction) < 32 * MEGABYTE
    async with listening() as second, joined(service, control, second) as (data, far):
        await exchange(data, far, MEGABYTE)
    slow.writer.transport.resume_reading()
    assert await slow.read(64 * MEGABYTE) == bytes(64 * MEGABYTE)


async def until_still(service: TurnService, direction: str) -> None:
    """Lets the loop run until the kernel's buffers are full and nothing moves any more."""
    before, same = -1, 0
    async with asyncio.timeout(20):
        while same < 5:
            now = measure(service, "turn_relayed_bytes_total", direction=direction)
            before, same = now, same + 1 if now == before and now else 0
            await asyncio.sleep(0.02)


async def test_a_data_connection_is_not_idle(service: TurnService, control: StreamClient, peer: TcpPeer) -> None:
    async with joined(service, control, peer) as (data, far):
        assert not service._connections.idle
        await exchange(data, far, 10)


async def test_the_service_looks_when_a_connection_should_have_been_bound(service: TurnService) -> None:
    async with stream_client(service.port) as control:
        relayed = await control.allocate_tcp()
        assert await control.permit((HOST, 1)) == 0
        async with stream_client(relayed[1]):
            await control.attempt()
            assert service._timer_at <= asyncio.get_running_loop().time() + WAIT_SECONDS


async def test_the_system_has_no_more_files_for_a_moment(service: TurnService, peer: TcpPeer) -> None:
    async with stream_client(service.port) as control:
        relayed = await control.allocate_tcp()
        assert await control.permit((HOST, 1)) == 0
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as far:
            far.setblocking(False)
            resource.setrlimit(resource.RLIMIT_NOFILE, (far.fileno() + 1, hard))
            try:
                await asyncio.get_running_loop().sock_connect(far, relayed)
                assert error_code(await control.request(Method.CONNECT, peers=(peer.address,))) == 447
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            _, address = await control.attempt()
            assert address == far.getsockname()


async def test_a_port_that_somebody_has_is_not_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = Options(tcp_relay=True, relay_ports=(port, port))
        async with served(options) as service, stream_client(service.port) as control:
            answer = await control.request(Method.ALLOCATE, TCP)
            assert error_code(answer) == 508


async def test_a_port_can_be_had_again_at_once() -> None:
    port = 32100  # none of those that the kernel gives to clients: one of them may be waiting for its last segments
    options = Options(tcp_relay=True, relay_ports=(port, port), allow_peers=("127.0.0.0/8",))
    async with served(options) as service:
        for _ in range(3):  # each with a peer of its own: for the same one the kernel waits
            async with listening() as peer, stream_client(service.port) as control:
                assert (await control.allocate_tcp())[1] == port
                async with joined(service, control, peer) as (data, far):
                    await exchange(data, far, 100)
                    await control.request(Method.REFRESH, (Attribute.LIFETIME, bytes(4)))


# The page's port.


async def test_over_the_port_of_the_page(service: TurnService, peer: TcpPeer, certificate: tuple[Path, Path]) -> None:
    loop = asyncio.get_running_loop()
    shared = SharedPort(loop, asyncio.Protocol, service.stream_protocol)
    async with tls_server(shared, certificate) as port, stream_client(port, "tls") as control:
        await control.allocate_tcp()
        async with stream_client(port, "tls") as data:
            await data.bind_connection(await control.connect(peer.address))
            far = await peer.connection()
            await exchange(data, far, MEGABYTE)
            far.writer.close()
            assert await data.ended()
    shared.close()


@asynccontextmanager
async def tls_server(shared: SharedPort, certificate: tuple[Path, Path]) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(shared.tls_protocol, HOST, 0, ssl=tls_context(certificate))
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
