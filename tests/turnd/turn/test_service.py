"""The service on real sockets, with aioice's TURN client as the independent peer."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from aioice import turn

from tests.turnd.conftest import FarTransport
from tests.turnd.turn.dtls_peer import kernel_peer
from tests.turnd.turn.served import Options, credentials, measure, served, until
from turnd.metric_names import METRICS
from turnd.turn.allocation import Flow
from turnd.turn.connection import TurnConnection
from turnd.turn.service import TurnService
from wire import stun
from wire.measure import Histogram
from wire.udp import CallbackReceiver, Datagram, UdpSocket

Address = tuple[str, int]
HOST = "127.0.0.1"


class Inbox(asyncio.DatagramProtocol):
    """What a TURN client got from peers."""

    def __init__(self) -> None:
        self.datagrams: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()
        self.lost = asyncio.Event()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.datagrams.put_nowait((data, addr))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    async def get(self) -> tuple[bytes, Address]:
        return await asyncio.wait_for(self.datagrams.get(), 5)


async def turn_client(
    service: TurnService, transport: str, *, user: tuple[str, str] | None = None
) -> tuple[turn.TurnTransport, Inbox]:
    username, password = user or credentials()
    if transport == "dtls":
        return await dtls_client(service, username, password)
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    secure.check_hostname = False
    secure.verify_mode = ssl.CERT_NONE
    made, inbox = await turn.create_turn_endpoint(
        Inbox,
        server_addr=(HOST, service.tls_port if transport == "tls" else service.port),
        username=username,
        password=password,
        transport="udp" if transport == "udp" else "tcp",
        ssl=secure if transport == "tls" else False,
    )
    assert isinstance(made, turn.TurnTransport)
    assert isinstance(inbox, Inbox)
    return made, inbox


async def dtls_client(service: TurnService, username: str, password: str) -> tuple[turn.TurnTransport, Inbox]:
    """aioice's client for UDP, behind DTLS."""
    server = HOST, service.tls_port
    peer, inbox = await kernel_peer(server), Inbox()
    await peer.connect()
    protocol = turn.TurnClientUdpProtocol(server, username, password, 600, 500)
    peer.serve(protocol)
    made = turn.TurnTransport(protocol)
    await made._connect(inbox)
    return made, inbox


async def end(client: turn.TurnTransport, inbox: Inbox) -> None:
    client.close()
    await asyncio.wait_for(inbox.lost.wait(), 5)


class Sfu:
    """A plain UdpSocket that sends everything back where it came from."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, Address, Address]] = []
        self.socket = UdpSocket(
            asyncio.get_running_loop(), ("0.0.0.0", 0), CallbackReceiver(self._answer), component="sfu"
        )
        self.address = (HOST, self.socket.local_address[1])

    def _answer(self, datagrams: list[Datagram]) -> None:
        for _, data, source, local, _ in datagrams:
            self.seen.append((data, source, local))
            self.socket.send(data, source, local)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls", "dtls"])
async def test_media_to_our_sfu_stays_in_memory_both_ways(transport: str, certificate: tuple[Path, Path]) -> None:
    sfu = Sfu()
    async with served(Options(sfu_port=sfu.address[1], certificate=certificate)) as service:
        client, inbox = await turn_client(service, transport)
        relayed = client.get_extra_info("sockname")
        for number in range(20):
            client.sendto(b"media %d" % number, sfu.address)
        got = [await inbox.get() for _ in range(20)]
        assert got == [(b"media %d" % number, sfu.address) for number in range(20)]
        assert sfu.seen == [(b"media %d" % number, relayed, sfu.address) for number in range(20)]
        counters = sfu.socket.counters()
        assert (counters["memory_in"], counters["memory_out"]) == (20, 20)
        assert (counters["datagrams_in"], counters["datagrams_out"]) == (0, 0)
        assert measure(service, "turn_relayed_packets_total", direction="to_peer") == 20
        assert measure(service, "turn_relayed_packets_total", direction="to_client") == 20
        assert measure(service, "turn_allocations", transport=transport, family="ipv4") == 1
        await end(client, inbox)
    sfu.socket.close()


async def test_other_ports_of_ours_are_out_of_reach() -> None:
    async with served() as service:
        other = Sfu()
        client, inbox = await turn_client(service, "udp")
        with pytest.raises(Exception, match="403"):
            await client._TurnTransport__inner_protocol.channel_bind(0x4000, other.address)  # type: ignore[attr-defined]
        assert measure(service, "turn_denied_peers_total", reason="port") == 1
        await end(client, inbox)
        other.socket.close()


async def test_two_clients_talk_relay_to_relay_in_memory(certificate: tuple[Path, Path]) -> None:
    async with served(Options(certificate=certificate)) as service:
        first, first_inbox = await turn_client(service, "udp")
        second, second_inbox = await turn_client(service, "tls")
        first_address, second_address = (each.get_extra_info("sockname") for each in (first, second))
        second.sendto(b"open", first_address)  # binds, which is the permission; not let in yet at the other side
        await until(lambda: measure(service, "turn_dropped_packets_total", reason="peer_no_permission") > 0)
        first.sendto(b"hello", second_address)
        assert await second_inbox.get() == (b"hello", first_address)
        second.sendto(b"hi", first_address)
        assert await first_inbox.get() == (b"hi", second_address)
        await end(first, first_inbox)
        await end(second, second_inbox)


async def test_a_closed_stream_ends_its_allocation() -> None:
    async with served() as service:
        client, _ = await turn_client(service, "tcp")
        assert measure(service, "turn_connections", transport="tcp") == 1
        client._TurnTransport__inner_protocol.transport.abort()  # type: ignore[attr-defined]
        await until(lambda: not measure(service, "turn_connections", transport="tcp"))
        assert measure(service, "turn_allocations", transport="tcp", family="ipv4") == 0


async def test_wildcards_of_both_families_share_a_port() -> None:
    async with served(Options(listen=("0.0.0.0", "::"), own=("127.0.0.1", "::1"))) as service:
        client, inbox = await turn_client(service, "udp")
        assert client.get_extra_info("sockname")[0] == HOST
        await end(client, inbox)
        reader, writer = await asyncio.open_connection("::1", service.port)
        request = stun.encode(1, 0, bytes(12))
        writer.write(request)
        answer = stun.parse(await reader.readexactly(44))
        mapped = stun.decode_xor_address(answer.attributes[0][1], answer.transaction_id)
        assert mapped == writer.get_extra_info("sockname")[:2]
        writer.close()


async def test_a_fault_of_ours_costs_one_message_and_is_counted() -> None:
    async with served() as service:
        client, inbox = await turn_client(service, "udp")
        policy, service._core.peer_policy = service._core.peer_policy, None  # type: ignore[assignment]
        client.sendto(b"x", (HOST, 9))
        await until(lambda: measure(service, "stun_requests_total", transport="udp", result="fault") > 0)
        service._core.peer_policy = policy
        await end(client, inbox)


async def test_wrong_credentials_get_nothing() -> None:
    async with served() as service:
        with pytest.raises(Exception, match="401"):
            await turn_client(service, "udp", user=("anna", "wrong"))
        assert measure(service, "turn_auth_failures_total", reason="unknown_user") == 1


async def test_reload_takes_over_users_secrets_and_peers() -> None:
    async with served() as service:
        service.reload(Options(secrets=(), users={"anna": "pass"}, allow_peers=("127.0.0.0/8",)).turn_settings())
        with pytest.raises(Exception, match="401"):
            await turn_client(service, "udp")
        client, inbox = await turn_client(service, "udp", user=("anna", "pass"))
        other = Sfu()
        client.sendto(b"hello", other.address)
        assert await inbox.get() == (b"hello", other.address)
        await end(client, inbox)
        other.socket.close()


async def test_a_peer_that_is_opened_no_more_is_out_of_reach_at_once() -> None:
    options = Options(allow_peers=("127.0.0.2/32",))
    async with served(options) as service:
        other = Sfu()
        peer = ("127.0.0.2", other.address[1])
        client, inbox = await turn_client(service, "udp")
        client.sendto(b"hello", peer)
        assert await inbox.get() == (b"hello", peer)
        options.allow_peers = ()
        service.reload(options.turn_settings())
        client.sendto(b"refused", peer)
        await until(lambda: measure(service, "turn_dropped_packets_total", reason="no_permission") > 0)
        other.socket.send(b"refused", client.get_extra_info("sockname"), peer)
        await until(lambda: measure(service, "turn_dropped_packets_total", reason="peer_no_permission") > 0)
        assert inbox.datagrams.empty()
        assert [data for data, _, _ in other.seen] == [b"hello"]
        await end(client, inbox)
        other.socket.close()


async def test_draining_refuses_new_clients() -> None:
    async with served() as service:
        client, inbox = await turn_client(service, "udp")
        service.drain()
        with pytest.raises(Exception, match="508"):
            await turn_client(service, "udp")
        await end(client, inbox)


async def read_to_end(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, b"\0\1\xff\xfc\x21\x12\xa4\x42"])
async def test_garbage_on_a_stream_ends_it_and_disturbs_nobody(garbage: bytes) -> None:
    async with served() as service:
        client, inbox = await turn_client(service, "tcp")
        assert await read_to_end(service.port, garbage) == b""
        assert measure(service, "turn_connections", transport="tcp") == 1
        await end(client, inbox)


async def test_a_connection_without_allocation_ends_in_time() -> None:
    async with served(Options(idle_seconds=0.05)) as service:
        assert (await read_to_end(service.port, stun.encode(1, 0, bytes(12))))[:2] == b"\1\1"
        assert measure(service, "turn_connections", transport="tcp") == 0


async def test_connections_are_bounded() -> None:
    async with served(Options(max_connections=2)) as service:
        kept = [await asyncio.open_connection(HOST, service.port) for _ in range(2)]
        await until(lambda: measure(service, "turn_connections", transport="tcp") == 2)
        assert await read_to_end(service.port, b"") == b""
        assert measure(service, "turn_connections", transport="tcp") == 2
        for _, writer in kept:
            writer.close()


def far_stream(service: TurnService, port: int) -> tuple[TurnConnection, FarTransport]:
    """A TCP connection of one source far away."""
    peer = "203.0.113.9", port
    connection, transport = TurnConnection(service), FarTransport(peer)
    connection.connection_made(transport)
    return connection, transport


async def test_connections_of_one_source_without_an_allocation_are_bounded() -> None:
    async with served(Options(max_unproved_of_source=1)) as service:
        first, transport = far_stream(service, 1)
        assert far_stream(service, 2)[1].aborted
        username, password = credentials()
        key = stun.long_term_key(username, "turnd", password)
        udp = (stun.Attribute.REQUESTED_TRANSPORT, stun.encode_transport(17))
        first.data_received(stun.encode(stun.Method.ALLOCATE, 0, bytes(12), [udp]))
        nonce = stun.parse(transport.written).get(stun.Attribute.NONCE) or b""
        proof = [
            (stun.Attribute.USERNAME, username.encode()),
            (stun.Attribute.REALM, b"turnd"),
            (stun.Attribute.NONCE, nonce),
        ]
        first.data_received(stun.encode(stun.Method.ALLOCATE, 0, bytes(12), [udp, *proof], key=key))
        assert measure(service, "turn_allocations", transport="tcp", family="ipv4") == 1
        assert not transport.aborted
        second, transport = far_stream(service, 3)
        assert not transport.aborted
        assert far_stream(service, 4)[1].aborted
        for connection in (first, second):
            connection.connection_lost(None)
        assert not far_stream(service, 5)[1].aborted
        assert service._connections.idle_sources == 1


async def test_channel_data_on_a_stream_without_allocation_is_counted() -> None:
    async with served() as service:
        reader, writer = await asyncio.open_connection(HOST, service.port)
        writer.write(b"\x40\0\0\1x\0\0\0" + stun.encode(1, 0, bytes(12)))
        await reader.readexactly(32)
        assert measure(service, "turn_dropped_packets_total", reason="no_allocation") == 1
        writer.close()


async def test_a_taken_port_is_named() -> None:
    async with served() as service:
        other = TurnService(Options().turn_settings(), loop=asyncio.get_running_loop(), sfu_port=0, tls=lambda: None)
        other.port = service.port
        with pytest.raises(OSError, match=f"UDP 127.0.0.1 port {service.port}"):
            await other.start()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_closing_leaves_no_socket(certificate: tuple[Path, Path]) -> None:
    async with served():
        pass  # what the process opens once is open now
    open_before = open_files()
    async with served(Options(certificate=certificate)) as service:
        clients = [await turn_client(service, transport) for transport in ("udp", "tcp", "tls", "dtls")]
    for client, inbox in clients:
        client._TurnTransport__inner_protocol.refresh_task.cancel()  # type: ignore[attr-defined]
        client._TurnTransport__inner_protocol.transport.close()  # type: ignore[attr-defined]
        await inbox.lost.wait()
    await until(lambda: open_files() == open_before)


async def test_measures_are_declared_and_complete() -> None:
    async with served() as service:
        names = set()
        for each in service.measures():
            assert set(each.labels) == set(METRICS[each.name].labels)
            assert isinstance(each.value, int | Histogram)
            names.add(each.name)
        assert names == {name for name in METRICS if name.startswith(("turn_", "stun_"))}


async def test_what_is_due_at_once_does_not_keep_the_next_from_being_served() -> None:
    async with served(Options(idle_seconds=0.0)) as service:
        for port in (5000, 5001):  # in one turn of the loop, in which uvloop's handle for "now" knows no time
            flow = Flow("tcp", ("203.0.113.9", port), (HOST, 3478))
            connection = TurnConnection(service)
            connection.flow = flow
            assert service.connected(connection, flow)
        await until(lambda: not service._connections.idle)
