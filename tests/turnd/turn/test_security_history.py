"""What went wrong in the TURN protocol before, one test or more for each advisory: the name says which.

Advisories and commits are coturn's. Where a whole feature was the fault and is not here, the test shows its absence.
"""

from __future__ import annotations

import io
import json
import logging
import secrets
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from ipaddress import IPv6Address, IPv6Network, ip_address
from itertools import product
from pathlib import Path
from random import Random

import pytest

from tests.turnd.turn.core import INSIDE, PEER, PUBLIC, UDP, Client, House, error_code
from tests.turnd.turn.peers import UdpPeer
from tests.turnd.turn.served import Options, measure, served, until
from tests.turnd.turn.turn_client import HOST, datagram_client, turn_client
from turnd import logs
from turnd.config import Config
from turnd.turn.allocation import Flow
from turnd.turn.limits import Limits
from turnd.turn.peer_policy import Near, PeerPolicy
from turnd.turn.service import TurnService
from wire import stun
from wire.dtls import DtlsContext
from wire.stun import Attribute, Method

IPV6 = (Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(2))
EVEN = (Attribute.EVEN_PORT, stun.encode_even_port(reserve_next=False))
UDP_SEGMENT = 103  # linux/udp.h


# Names (2018)

INJECTIONS = (
    "' OR '1'='1' --",
    '"; DROP TABLE turnusers_lt; --',
    "a\0b",
    "%s%s%s%n%n%x",
    "{0.__class__}{username}",
    "$(reboot)`reboot`",
    "../../etc/passwd",
    "a\r\nSET key value\r\n",
)


@pytest.mark.parametrize("name", INJECTIONS)
def test_cve_2018_4056_a_user_name_is_only_ever_compared(house: House, name: str) -> None:
    client = Client(house, credentials=(name, "pass"))
    assert error_code(client.allocate()) == 401
    assert house.server.auth_failures["unknown_user"] == 1
    known = Client(House(users={name: "pass"}), credentials=(name, "pass"))
    assert error_code(known.allocate()) == 0


# Peers (2018, 2020, 2026)


def refused_everywhere(house: House, client: Client, host: str) -> None:
    """403 at CreatePermission and ChannelBind, silence at Send; whatever else was asked for with it."""
    before = len(client.relay.sent)
    assert error_code(client.permit((host, 80))) == 403, host
    assert error_code(client.permit(("2001:4860:4860::8888" if ":" in host else "8.8.8.8", 80), (host, 80))) == 403, (
        host
    )
    assert error_code(client.bind(0x4000, (host, 80))) == 403, host
    client.send((host, 80), b"get")
    assert len(client.relay.sent) == before
    assert not client.relay.permissions
    assert not client.relay.channels


LOOPBACKS = ("127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "0.0.0.1")


@pytest.mark.parametrize("host", LOOPBACKS)
def test_cve_2018_4058_the_loopback_is_denied_by_default(allocated: Client, host: str) -> None:
    assert Config().turn.allow_peers == ()
    refused_everywhere(allocated.house, allocated, host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1", "::2", "::0.0.0.0"])
def test_cve_2020_26262_unspecified_and_loopback_of_both_families_are_denied(client: Client, host: str) -> None:
    client.allocate(*([IPV6] if ":" in host else []))
    refused_everywhere(client.house, client, host)


@pytest.mark.parametrize(
    ("form", "inner"),
    [
        (form, inner)
        for form in ("::ffff:{0}", "::{0}", "::ffff:0:{0}", "64:ff9b::{0}", "64:ff9b:1::{0}")
        for inner in (*LOOPBACKS, "10.0.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", INSIDE, PUBLIC)
    ],
)
def test_cve_2026_27624_an_ipv4_address_in_ipv6_disguise_is_denied(client: Client, form: str, inner: str) -> None:
    client.allocate(IPV6)
    refused_everywhere(client.house, client, str(ip_address(form.format(inner))))


@pytest.mark.parametrize("own", [(), ("127.0.0.1", "::1")])
@pytest.mark.parametrize("host", ["::1", "::ffff:0:1", "::ffff:7f00:1", "::ffff:0:0:1", "::7f00:1", "2002:7f00:1::1"])
def test_b057acbe_loopback_is_seen_whichever_form_is_looked_for_first(own: tuple[str, ...], host: str) -> None:
    verdict = PeerPolicy(own).judge(host)
    assert not verdict.allowed or (host == "::1" and verdict.restricted)


def test_6c13608c_ranges_are_compared_as_numbers_not_byte_by_byte() -> None:
    random = Random(5)
    for bits in range(32, 129):
        network = IPv6Network((0x2A01 << 112 | random.getrandbits(112), bits), strict=False)
        policy = PeerPolicy(near=Near((str(network),)))
        for _ in range(20):
            inside = IPv6Address(int(network[0]) | random.getrandbits(128 - bits) if bits < 128 else int(network[0]))
            other = IPv6Address(int(inside) ^ 1 << random.randrange(128 - bits, 112))
            assert policy.judge(str(inside)).reason == "lan"
            assert policy.judge(str(other)).allowed == (other not in network)


async def test_cve_2018_4059_a_relay_does_not_reach_what_listens_here() -> None:
    """Neither TURN itself nor any other port of this machine."""
    async with served() as service, turn_client(service.port) as client:
        with closing(UdpPeer()) as other:
            await client.allocate()
            assert await client.permit(other.address) == 0  # as any relay of ours; ports are looked up for later
            for port in (service.port, other.address[1], 22, 53):
                assert await client.bind(0x4000, (HOST, port)) == 403
                client.indicate((HOST, port), b"get")
            await until(lambda: measure(service, "turn_dropped_packets_total", reason="denied") == 4)
            with pytest.raises(BlockingIOError):
                other.socket.recv(100)


# Parsers (2026)


def odd_messages(random: Random) -> Iterator[bytes]:
    """Every total length up to 64 and attributes of every length up to 9 at every alignment, told truly or not."""
    for length in range(65):
        body = random.randbytes(length)
        yield body
        yield stun.encode(Method.BINDING, 0, bytes(12))[:length]
        yield struct.pack("!HHI12s", 1, length, stun.MAGIC_COOKIE, bytes(12)) + body
    for kind, first, second in product((*map(int, Attribute), 0x7777), range(10), range(0, 10, 3)):
        values = struct.pack("!HH", 0xC000, first) + random.randbytes(first)
        values += struct.pack("!HH", kind, second) + random.randbytes(second)
        for padded in (len(values), len(values) + 3 & ~3):
            message = values + bytes(padded - len(values))
            for method in (0x001, 0x003, 0x016):
                yield struct.pack("!HHI12s", method, len(message), stun.MAGIC_COOKIE, bytes(12)) + message


def test_cve_2026_40613_odd_lengths_at_every_alignment_are_answered_or_dropped(allocated: Client) -> None:
    seen = Counter[str]()
    for data in odd_messages(Random(40613)):
        answer = allocated.house.server.receive(data, allocated.flow, allocated.now)
        seen["answered" if answer else "dropped"] += 1
        allocated.now += 0.05
    assert seen["answered"] > 100
    assert seen["dropped"] > 1000
    assert allocated.house.server.requests["udp", "malformed"] > 1000


async def test_cve_2026_40613_datagrams_at_odd_addresses_are_relayed() -> None:
    """A run of datagrams of odd size, which the kernel hands over in one piece: they begin at every alignment."""
    options = Options(allow_peers=("127.0.0.0/8",))
    async with served(options) as service, datagram_client(service.port) as client:
        [relay] = await client.allocate()
        with closing(UdpPeer()) as peer:
            assert await client.bind(0x4000, peer.address) == 0
            for size in (1, 2, 3, 5, 7, 9):
                messages = [b"\x40\0" + struct.pack("!H", size) + bytes([number]) * size for number in range(16)]
                segment = [(socket.SOL_UDP, UDP_SEGMENT, struct.pack("H", 4 + size))]
                client.socket.sendmsg([b"".join(messages)], segment)
                got = [await peer.receive() for _ in messages]
                assert got == [message[4:] for message in messages]
                segment = [(socket.SOL_UDP, UDP_SEGMENT, struct.pack("H", size))]
                peer.socket.sendmsg([b"".join(got)], segment, 0, relay)
                assert [await client.message() for _ in messages] == messages


@pytest.mark.parametrize("size", [0, 1, 2, 31, 255, 256, 1000, 60000])
def test_cve_2026_43994_an_oauth_token_is_an_unknown_attribute_of_any_size(allocated: Client, size: int) -> None:
    """RFC 7635 is not here: no ACCESS-TOKEN is looked into, none is asked for."""
    access_token, third_party = 0x001B, 0x802E
    token = (access_token, struct.pack("!H", 0xFFFF) + b"\xff" * size)
    answer = allocated.plain(Method.ALLOCATE, [UDP, token])
    assert error_code(answer) == 401
    assert answer is not None
    assert answer.get(third_party) is None
    answer = allocated.call(Method.REFRESH, token)
    assert error_code(answer) == 420
    assert stun.decode_unknown_attributes(answer.get(Attribute.UNKNOWN_ATTRIBUTES) or b"") == [access_token]


# What requests can do (2026)


def behind_integrity(data: bytes, *attributes: tuple[int, bytes]) -> bytes:
    """The message with more attributes behind its integrity, its length corrected."""
    more = stun.encode(0, 0, bytes(12), attributes)[20:]
    return data[:2] + struct.pack("!H", len(data) + len(more) - 20) + data[4:] + more


def peer_attribute(data: bytes, peer: tuple[str, int]) -> tuple[int, bytes]:
    return Attribute.XOR_PEER_ADDRESS, stun.encode_xor_address(peer, data[8:20])


def test_ab762f33_a_lifetime_behind_the_integrity_is_not_obeyed(allocated: Client) -> None:
    request = allocated.signed(Method.REFRESH)
    answer = allocated.receive(behind_integrity(request, (Attribute.LIFETIME, stun.encode_lifetime(0))))
    assert answer is not None
    assert stun.decode_lifetime(answer.get(Attribute.LIFETIME) or b"") == 600
    assert allocated.flow in allocated.house.server.registry.allocations


def test_ab762f33_peers_behind_the_integrity_are_not_permitted(allocated: Client) -> None:
    request = allocated.signed(Method.CREATE_PERMISSION)
    assert error_code(allocated.receive(behind_integrity(request, peer_attribute(request, PEER)))) == 400
    attributes, transaction_id = allocated.peers(PEER)
    request = allocated.signed(Method.CREATE_PERMISSION, attributes, transaction_id)
    assert error_code(allocated.receive(behind_integrity(request, peer_attribute(request, ("9.9.9.9", 1))))) == 0
    assert set(allocated.relay.permissions) == {PEER[0]}


def test_ab762f33_a_channel_behind_the_integrity_is_not_bound(allocated: Client) -> None:
    attributes, transaction_id = allocated.peers(PEER)
    request = allocated.signed(Method.CHANNEL_BIND, attributes, transaction_id)
    channel = (Attribute.CHANNEL_NUMBER, stun.encode_channel(0x4000))
    assert error_code(allocated.receive(behind_integrity(request, channel))) == 400
    assert not allocated.relay.channels


def test_ab762f33_what_an_allocate_asks_for_behind_the_integrity_is_not_given(client: Client) -> None:
    request = client.signed(Method.ALLOCATE, [UDP])
    behind = behind_integrity(
        request, (Attribute.LIFETIME, stun.encode_lifetime(3600)), (Attribute.EVEN_PORT, b"\x80"), (0x7777, b"")
    )
    answer = client.receive(behind)
    assert error_code(answer) == 0
    assert answer is not None
    assert stun.decode_lifetime(answer.get(Attribute.LIFETIME) or b"") == 600
    assert answer.get(Attribute.RESERVATION_TOKEN) is None
    assert not client.house.server.registry.reservations


def test_ab762f33_a_name_behind_the_integrity_names_nobody(client: Client) -> None:
    client.allocate()
    unnamed = stun.encode(Method.REFRESH, 0, client.transaction(), [
        (Attribute.REALM, b"turnd"), (Attribute.NONCE, client.nonce or b"")], key=client.key)  # fmt: skip
    answer = client.receive(behind_integrity(unnamed, (Attribute.USERNAME, client.username.encode())))
    assert error_code(answer) == 400


def test_4adbd82e_a_thousand_even_ports_without_reservation_leak_none(house: House) -> None:
    """In 101 ports, as many as the usual range has."""
    house = House(ports=(40000, 40100))
    client = Client(house)
    free = len(house.pools[4])
    for number in range(1000):
        client.flow = Flow("udp", ("203.0.113.9", 10_000 + number), client.flow.local)
        client.nonce = None
        client.now += 1
        answer = client.allocate(EVEN)
        assert error_code(answer) == 0, number
        assert client.allocation.relays[4].address[1] % 2 == 0
        assert answer.get(Attribute.RESERVATION_TOKEN) is None
        assert error_code(client.refresh((Attribute.LIFETIME, stun.encode_lifetime(0)))) == 0
    assert len(house.pools[4]) == free
    assert house.server.registry.ports == 0


def test_4adbd82e_even_ports_that_cannot_be_had_leak_none() -> None:
    house = House(ports=(40001, 40010))
    house.host.busy = set(range(40001, 40011))
    client = Client(house)
    for even in (EVEN, (Attribute.EVEN_PORT, b"\x80")):
        assert [error_code(client.allocate(even)) for _ in range(50)] == [508] * 50
    assert len(house.pools[4]) == 10


# State before proof (2026)


async def test_ghsa_5x2p_4vqj_f6m4_dtls_has_no_state_before_the_cookie(certificate: tuple[Path, Path]) -> None:
    """2,000 forged ClientHellos, and as many with a cookie that was given to another address."""
    async with served(Options(certificate=certificate, max_connections=10)) as service:
        context = DtlsContext(certificate[0].read_bytes(), certificate[1].read_bytes())
        client = context.client()
        client.start(0.0)
        (hello,) = client.datagrams_to_send()
        leg, (udp, *_) = service._dtls, service._dtls._sockets
        client.receive_datagram(verify_request(hello, service), 0.0)
        (with_cookie,) = client.datagrams_to_send()
        assert len(with_cookie) > len(hello)
        for number in range(2000):
            forged = Flow("dtls", (f"127.9.{number >> 8}.{number & 0xFF}", 9), (HOST, service.tls_port))
            for data in (hello, with_cookie):
                leg._receive(data, forged, udp)
        assert [len(each) for each in (leg._clients, leg._successors, leg._handshaking, service._connections)] == [
            0
        ] * 4
        assert service._next_timer() is None
        # The same bytes from the address that the cookie was given to do make one.
        leg._receive(with_cookie, Flow("dtls", FORGED_BY, (HOST, service.tls_port)), udp)
        assert len(leg._clients) == 1


FORGED_BY = ("127.0.0.1", 9)


def verify_request(hello: bytes, service: TurnService) -> bytes:
    """The HelloVerifyRequest that FORGED_BY gets."""
    listener = service._dtls._current_listener()
    assert listener is not None
    assert listener.receive_datagram(hello, FORGED_BY, service._loop.time()) is None
    ((request, address),) = listener.datagrams_to_send()
    assert address == FORGED_BY
    return request


# Mobility (2026)

TICKET_WISH = (Attribute.MOBILITY_TICKET, b"")


def moving(house: House, number: int) -> Client:
    """A client of anna's on a stream of its own."""
    return Client(house, 50_000 + number, transport="tcp", credentials=("anna", "pass"))


@pytest.mark.parametrize("limits", [Limits(allocations_of_user=3), Limits(allocations=3)], ids=["of a user", "in all"])
def test_3c5b2615_allocations_that_wait_for_their_client_count_towards_the_quota(limits: Limits) -> None:
    house = House(mobility=True, limits=limits)
    for number in range(3):
        client = moving(house, number)
        assert error_code(client.allocate(TICKET_WISH)) == 0
        house.server.registry.release_flow(client.flow, client.now)
    assert [error_code(moving(house, number).allocate(TICKET_WISH)) for number in range(3, 50)] == [486] * 47
    registry = house.server.registry
    assert (len(house.host.live), registry.ports) == (3, 3)
    registry.handle_timer(client.now + 600)
    assert (len(house.host.live), registry.ports, len(registry.mobility.tickets)) == (0, 0, 0)
    assert error_code(moving(house, 50).allocate(TICKET_WISH)) == 0


def test_a97f1924_a_flood_of_resumes_makes_nothing() -> None:
    """Tickets that are guessed, and the one there is from a thousand places."""
    house = House(mobility=True, limits=Limits(unauthenticated_burst=1e9))
    client = moving(house, 0)
    ticket = client.allocate(TICKET_WISH).get(Attribute.MOBILITY_TICKET) or b""
    for number in range(500):
        guess = house.random.randbytes(len(ticket))
        assert error_code(moving(house, 1000 + number).refresh((Attribute.MOBILITY_TICKET, guess))) == 400
    codes = Counter[int]()
    for number in range(1000):
        answer = moving(house, 2000 + number).refresh((Attribute.MOBILITY_TICKET, ticket))
        ticket = answer.get(Attribute.MOBILITY_TICKET) or ticket
        codes[error_code(answer)] += 1
    registry = house.server.registry
    assert codes[508] > 900
    assert len(registry.allocations) == len(house.host.live) == registry.ports == 1
    assert len(registry.mobility.tickets) == 2


# Logs (2026)


@pytest.mark.parametrize("format_name", ["text", "json"])
async def test_ghsa_4g7c_p5wg_j4hp_a_user_name_formats_nothing_and_is_escaped_in_logs(
    format_name: str, log_stream: Callable[[str], io.StringIO]
) -> None:
    """Also where our own fault is logged with the user's text in it."""
    stream = log_stream(format_name)
    forged = "%n%s%(levelname)s{0}\n12:00:00.000 ERROR   turnd: forged\r\x1b[2J\x9b31m\u2028\u2029\u202e\x85\0"

    class Broken:
        realm = "turnd"

        def __getattr__(self, name: str) -> object:
            raise ValueError(forged)

    async with served() as service:
        service._core.authenticator.credentials = Broken()  # type: ignore[assignment]
        flow = Flow("udp", (HOST, 5000), (HOST, service.port))
        nonce = service._core.authenticator._nonces.issue(flow.client, service._loop.time(), 1)
        texts = [(Attribute.USERNAME, forged), (Attribute.REALM, forged), (Attribute.SOFTWARE, forged)]
        attributes = [UDP, *((kind, text.encode()) for kind, text in texts), (Attribute.NONCE, nonce)]
        for proof in (nonce, forged.encode()):
            attributes[-1] = (Attribute.NONCE, proof)
            service.receive(stun.encode(Method.ALLOCATE, 0, secrets.token_bytes(12), attributes, key=b"k"), flow)
        assert measure(service, "stun_requests_total", transport="udp", result="fault") == 1
    output = stream.getvalue()
    assert "could not be handled" in output
    assert "forged" in output
    assert "%n%s%(levelname)s{0}" in output
    lines = output.split("\n")[:-1]
    assert all(line.isprintable() for line in lines)
    if format_name == "json":
        assert all("level" in json.loads(line) for line in lines)
    else:
        assert [line for line in lines if "forged" in line and not line.startswith("    | ")] == []


@pytest.fixture
def log_stream() -> Iterator[Callable[[str], io.StringIO]]:
    """Sends logs of every level to a stream; what was configured before comes back with the test's end."""
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions

    def configure(format_name: str) -> io.StringIO:
        stream = io.StringIO()
        logs.configure(format_name, "debug", stream)
        return stream

    yield configure
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raising
    logging.captureWarnings(capture=False)
