"""TURN over DTLS against the real service; its peers are `wire.dtls` on kernel sockets, or far away in memory."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.turnd.turn.core import UDP
from tests.turnd.turn.dtls_peer import DtlsPeer, far_peer, kernel_peer
from tests.turnd.turn.served import RSA, Options, make_certificate, measure, served, until
from tests.turnd.turn.turn_client import DtlsClient
from turnd.turn.limits import Limits
from turnd.turn.service import TurnService
from wire import stun
from wire.dtls import MAX_SEND_BYTES, Drop, DtlsContext
from wire.stun import Method
from wire.udp import CallbackReceiver, Datagram, UdpSocket

Address = tuple[str, int]
Pair = tuple[Path, Path]
HOST = "127.0.0.1"
BEHIND_THE_COOKIE = range(3, 1000)
FAR, FARTHER = "203.0.113.9", "198.51.100.7"


class Peers:
    """DTLS peers of a service; they end with it."""

    def __init__(self, service: TurnService) -> None:
        self._server = HOST, service.tls_port
        self._made: list[DtlsPeer] = []

    async def near(self, host: str = HOST) -> DtlsPeer:
        """On a socket of the kernel."""
        self._made.append(await kernel_peer((host, self._server[1])))
        return self._made[-1]

    def far(self, host: str = FAR) -> DtlsPeer:
        """At FAR or FARTHER."""
        self._made.append(far_peer(self._server, host))
        return self._made[-1]

    def close(self) -> None:
        for peer in self._made:
            peer.close()


def secure(certificate: Pair, **changes: Any) -> Options:
    """With DTLS; FAR and FARTHER are said to be ours."""
    return Options(**{"certificate": certificate, "own": (HOST, "::1", FAR, FARTHER), **changes})


@asynccontextmanager
async def serving(options: Options) -> AsyncIterator[tuple[TurnService, Peers]]:
    async with served(options) as service:
        peers = Peers(service)
        try:
            yield service, peers
        finally:
            peers.close()


def connections(service: TurnService) -> int:
    return measure(service, "turn_connections", transport="dtls")


def allocations(service: TurnService) -> int:
    return measure(service, "turn_allocations", transport="dtls", family="ipv4")


def dropped(service: TurnService, reason: str) -> int:
    return measure(service, "turn_dtls_drops_total", reason=reason)


def handshakes(service: TurnService, result: str) -> int:
    return measure(service, "turn_dtls_handshakes_total", result=result)


async def allocate(peer: DtlsPeer) -> None:
    await DtlsClient(peer).allocate()


class Echo:
    """A socket of ours that sends everything back; `extra` bytes longer."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.extra = 0
        self.socket = UdpSocket(loop, ("0.0.0.0", 0), CallbackReceiver(self._answer), component="sfu")
        self.address = HOST, self.socket.local_address[1]

    def _answer(self, datagrams: list[Datagram]) -> None:
        for _, data, source, local, _ in datagrams:
            self.socket.send(data + bytes(self.extra), source, local)


async def test_a_client_is_answered_at_the_address_it_came_from(certificate: Pair) -> None:
    async with serving(secure(certificate, listen=("0.0.0.0", "::"))) as (_, peers):
        for host in (HOST, "::1"):
            peer = await peers.near(host)
            await peer.connect()
            answer = await peer.binding()
            mapped = stun.decode_xor_address(answer.attributes[0][1], answer.transaction_id)
            assert mapped[0] == host
            peer.close()


@pytest.mark.parametrize("number", range(6))
async def test_a_lost_datagram_of_the_handshake_is_made_up_for(number: int, certificate: Pair) -> None:
    async with serving(secure(certificate)) as (service, peers):
        peer = await peers.near()
        peer.lost = {number}
        await peer.connect()
        await peer.binding()
        assert connections(service) == 1


async def test_a_flight_that_is_not_answered_is_repeated_by_the_one_timer(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (_, peers):
        peer = await peers.near()
        peer.lost = BEHIND_THE_COOKIE
        peer.begin()
        await peer.until(lambda: len(peer.received) >= 4)  # a flight is one datagram or two


async def test_a_handshake_that_does_not_end_is_given_up(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (service, peers):
        peer = await peers.near()
        peer.lost = BEHIND_THE_COOKIE
        peer.begin()
        await until(lambda: connections(service) == 1)
        service._dtls.handle_timer(asyncio.get_running_loop().time() + 31)
        assert connections(service) == 0
        assert handshakes(service, "failed") == 1
        assert service._dtls.next_timer() is None


async def test_a_handshake_without_a_common_cipher_fails_at_once(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (service, peers):
        peer = await peers.near()
        peer.begin(ciphers=b"ECDHE-RSA-AES128-GCM-SHA256")  # the certificate is ECDSA
        await peer.until(lambda: peer.dtls.state == "failed")
        assert (connections(service), handshakes(service, "failed")) == (0, 1)


async def test_garbage_between_records_changes_nothing(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (service, peers):
        peer = await peers.near()
        await peer.connect()
        for garbage in (b"\0", bytes(100), b"\x17\xfe\xfd" + bytes(8) + b"\0\x20" + bytes(32), peer.sent[0][:20]):
            peer.send_datagram(garbage)
            await peer.binding()
        peer.dtls.send(stun.encode(Method.BINDING, 0, bytes(12)))
        (datagram,) = peer.dtls.datagrams_to_send()
        peer.send_datagram(datagram + b"garbage")
        await peer.receive()
        assert dropped(service, Drop.MALFORMED) == 4
        assert dropped(service, Drop.NOT_A_HELLO) == 0


async def test_a_datagram_that_is_no_hello_makes_no_connection(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (service, peers):
        peer = await peers.near()
        peer.send_datagram(stun.encode(Method.BINDING, 0, bytes(12)))
        await until(lambda: dropped(service, Drop.NOT_A_HELLO) == 1)
        await peer.connect()
        assert peer.received[0][13] == 3  # the first answer was a HelloVerifyRequest


async def test_a_message_that_is_neither_stun_nor_channel_data_is_malformed(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (service, peers):
        peer = await peers.near()
        await peer.connect()
        for number, message in enumerate((b"\0", b"\xff" * 30, b"\x40", b"GET / HTTP/1.1")):
            peer.sendto(message)
            await peer.binding()
            assert connections(service) == 1, number
        assert measure(service, "stun_requests_total", transport="dtls", result="malformed") == 2
        assert measure(service, "turn_dropped_packets_total", reason="no_allocation") == 2


async def test_channel_data_is_as_long_as_its_data_up_to_a_whole_record(certificate: Pair) -> None:
    echo = Echo()
    async with serving(secure(certificate, sfu_port=echo.address[1])) as (service, peers):
        peer = await peers.near()
        await peer.connect()
        await allocate(peer)
        assert await DtlsClient(peer).bind(0x4000, echo.address) == 0
        for size in (1, 2, 3, 4, 1200, MAX_SEND_BYTES - 4):
            message = b"\x40\0" + size.to_bytes(2, "big") + bytes(size)
            peer.sendto(message)
            assert await peer.receive() == message
        echo.extra = 1
        peer.sendto(message)
        await until(lambda: dropped(service, "oversize") == 1)
    echo.socket.close()


async def test_close_notify_ends_the_allocation(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (service, peers):
        peer = await peers.near()
        await peer.connect()
        await allocate(peer)
        assert (connections(service), allocations(service)) == (1, 1)
        peer.close()
        await until(lambda: connections(service) == 0)
        assert allocations(service) == 0
        assert service._connections.idle_sources == 0


async def test_a_request_in_the_datagram_that_ends_the_connection_leaves_no_allocation(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (service, peers):
        peer = await peers.near()
        await peer.connect()
        client = DtlsClient(peer)
        await client.challenge()
        peer.dtls.send(client.signed(Method.ALLOCATE, UDP))
        datagrams = peer.dtls.datagrams_to_send()
        peer.dtls.close()
        peer.send_datagram(b"".join([*datagrams, *peer.dtls.datagrams_to_send()]))
        await until(lambda: connections(service) == 0)
        assert allocations(service) == 0


async def test_the_end_of_the_service_is_told(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (_, peers):
        peer = await peers.near()
        await peer.connect()
        await allocate(peer)
    await peer.until(lambda: peer.dtls.state == "closed")
    peer.close()


async def test_a_connection_without_allocation_ends_in_time(certificate: Pair) -> None:
    async with serving(secure(certificate, idle_seconds=0.2)) as (service, peers):
        peer = await peers.near()
        await peer.connect()
        await peer.until(lambda: peer.dtls.state == "closed")
        assert connections(service) == 0


async def test_a_client_that_has_lost_its_state_begins_anew_from_the_same_port(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (service, peers):
        peer = await peers.near()
        for _ in range(3):
            await peer.connect()
            await allocate(peer)
            assert (connections(service), allocations(service)) == (1, 1)
        assert service._dtls._successors == {}
        assert handshakes(service, "connected") == 3
        peer.close()
        await until(lambda: connections(service) == 0)


async def test_a_client_that_gives_up_its_handshake_begins_anew_from_the_same_port(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (service, peers):
        peer = await peers.near()
        peer.lost = {3}  # the server's flight
        peer.begin()
        await peer.until(lambda: len(peer.received) == 2)
        assert connections(service) == 1
        await peer.connect()
        await peer.binding()
        assert connections(service) == 1


async def test_a_repeated_hello_does_not_end_the_connection(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (service, peers):
        peer = await peers.near()
        await peer.connect()
        former = peer.sent[1]
        before = len(peer.sent)
        await peer.connect()
        await allocate(peer)
        for hello in (*peer.sent[before : before + 2], former):  # its own, and one whose cookie is still good
            peer.send_datagram(hello)
        await until(lambda: len(service._dtls._successors) == 1)
        await peer.binding()
        assert (connections(service), allocations(service)) == (1, 1)
        service._dtls.handle_timer(asyncio.get_running_loop().time() + 31)
        assert service._dtls._successors == {}
        await peer.binding()
        assert (connections(service), allocations(service)) == (1, 1)


async def test_a_hello_without_a_cookie_ends_nothing(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (service, peers):
        peer = await peers.near()
        await peer.connect()
        await allocate(peer)
        forged = DtlsContext().client()
        forged.start(0)
        count = len(peer.received)
        peer.send_datagram(forged.datagrams_to_send()[0])
        await peer.until(lambda: len(peer.received) > count)
        assert peer.received[-1][13] == 3  # HelloVerifyRequest
        await peer.binding()
        assert (connections(service), allocations(service), service._dtls._successors) == (1, 1, {})


async def test_the_successor_has_the_place_when_the_old_connection_ends_first(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (service, peers):
        peer = await peers.near()
        await peer.connect()
        old = peer.dtls
        peer.begin()
        await until(lambda: len(service._dtls._successors) == 1)
        next(iter(service._dtls._clients.values())).abort()
        await peer.until(lambda: peer.dtls.state == "connected")
        await peer.binding()
        assert connections(service) == 1
        assert old.state == "connected"  # it was not asked any more


async def test_connections_of_one_source_without_an_allocation_are_bounded(certificate: Pair) -> None:
    async with serving(secure(certificate, max_unproved_of_source=1)) as (service, peers):
        first, second, other = peers.far(), peers.far(), peers.far(FARTHER)
        await first.connect()
        second.begin()
        await until(lambda: dropped(service, "too_many") > 0)
        await other.connect()
        await allocate(first)
        await second.connect()
        assert connections(service) == 3
        for peer in (first, second, other):
            peer.close()
        await until(lambda: connections(service) == 0)
        assert service._connections.idle_sources == 0


async def test_connections_are_bounded_in_all(certificate: Pair) -> None:
    async with serving(secure(certificate, max_connections=1)) as (service, peers):
        first, second = peers.far(), peers.far(FARTHER)
        await first.connect()
        second.begin()
        await until(lambda: dropped(service, "too_many") > 0)
        assert connections(service) == 1
        first.close()
        await second.until(lambda: second.dtls.state == "connected")  # its hello was repeated


async def test_cookies_count_towards_the_answers_of_a_source(certificate: Pair) -> None:
    limits = Limits(unauthenticated_rate=0, unauthenticated_burst=2)
    async with serving(secure(certificate, limits=limits)) as (service, peers):
        greedy, other = peers.far(), peers.far(FARTHER)
        for _ in range(3):
            greedy.begin()
        await until(lambda: dropped(service, "limited") == 1)
        await greedy.until(lambda: len(greedy.received) == 2)
        other.begin()
        await other.until(lambda: len(other.received) > 0)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def test_a_flood_of_hellos_from_forged_sources_leaves_nothing(certificate: Pair) -> None:
    hello_of = DtlsContext().client
    async with serving(secure(certificate)) as (service, _):
        answered = 0

        async def flood(first: int, last: int) -> None:
            nonlocal answered
            client = hello_of()
            client.start(0)
            (hello,) = client.datagrams_to_send()
            for number in range(first, last):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
                    source.bind((f"127.{1 + number // 65536}.{number // 256 % 256}.{number % 256}", 0))
                    source.connect((HOST, service.tls_port))
                    source.setblocking(False)
                    source.send(hello)
                    answer = await asyncio.get_running_loop().sock_recv(source, 2000)
                    assert answer[13] == 3
                    assert len(answer) < len(hello)
                    answered += 1

        await flood(0, 1000)  # what the process needs once
        before = resident_bytes()
        await flood(1000, 11000)
        assert resident_bytes() - before < 1 << 20
        assert answered == 11000
        leg = service._dtls
        assert (leg._clients, leg._successors, leg._handshaking, leg.next_timer()) == ({}, {}, {}, None)
        assert (len(service._connections), service._connections.idle_sources) == (0, 0)


async def test_many_connections_leave_nothing(certificate: Pair) -> None:
    async with serving(secure(certificate)) as (service, peers):
        for _ in range(50):
            peer = peers.far()
            await peer.connect()
            await allocate(peer)
            peer.close()
            await until(lambda: connections(service) == 0)
        leg = service._dtls
        assert (leg._clients, leg._successors, leg._handshaking) == ({}, {}, {})
        assert (allocations(service), service._connections.idle) == (0, 0)


@pytest.fixture(scope="module")
def rsa_certificate(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_certificate(tmp_path_factory.mktemp("rsa"), RSA)


def read(pair: Pair) -> tuple[bytes, bytes]:
    return pair[0].read_bytes(), pair[1].read_bytes()


def fingerprint(pair: Pair) -> str:
    return DtlsContext(*read(pair)).fingerprint.removeprefix("sha-256 ").replace(":", "").lower()


async def test_another_certificate_is_for_new_handshakes_alone(certificate: Pair, rsa_certificate: Pair) -> None:
    options = secure(certificate)
    async with serving(options) as (service, peers):
        old, new = await peers.near(), await peers.near()
        await old.connect()
        await allocate(old)
        new.begin()
        await new.until(lambda: len(new.sent) == 1)
        options.pem = read(rsa_certificate)
        await new.until(lambda: new.dtls.state == "connected")  # with a cookie of before
        assert old.fingerprint == fingerprint(certificate)
        assert new.fingerprint == fingerprint(rsa_certificate)
        await old.binding()
        await new.binding()
        assert (connections(service), allocations(service)) == (2, 1)


async def test_a_certificate_that_cannot_be_used_leaves_the_one_before(
    certificate: Pair, rsa_certificate: Pair
) -> None:
    options = secure(certificate)
    async with serving(options) as (_, peers):
        first, second = await peers.near(), await peers.near()
        await first.connect()
        options.pem = read(certificate)[0], read(rsa_certificate)[1]
        await second.connect()
        assert second.fingerprint == fingerprint(certificate)


async def test_without_a_usable_certificate_hellos_are_dropped_and_counted(certificate: Pair) -> None:
    async with serving(secure(certificate, pem=(b"", b""))) as (service, peers):
        peer = await peers.near()
        peer.begin()
        await until(lambda: dropped(service, "no_certificate") > 0)


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [(None, b""), ([b"stun.turn"], b"stun.turn"), ([b"h2", b"stun.turn"], b"stun.turn"), ([b"h2"], b"")],
)
async def test_alpn_is_agreed_on_where_it_is_offered(
    offered: list[bytes] | None, agreed: bytes, certificate: Pair
) -> None:
    async with serving(secure(certificate)) as (_, peers):
        peer = await peers.near()
        await peer.connect(alpn=offered)
        assert peer.dtls._ssl is not None
        assert peer.dtls._ssl.get_alpn_proto_negotiated() == agreed
        await peer.binding()


async def test_a_taken_port_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((HOST, 0))
        port = taken.getsockname()[1]
        loop = asyncio.get_running_loop()
        service = TurnService(Options().turn_settings(), loop=loop, sfu_port=0, tls=lambda: None)
        with pytest.raises(OSError, match=f"UDP {HOST} port {port}"):
            service._dtls.listen(HOST, port)
