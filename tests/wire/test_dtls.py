from __future__ import annotations

import asyncio
import gc
import hashlib
import re
import zlib
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL, crypto
from pylibsrtp import Policy

from tests.wire.dtls_peers import Wire, pem_pair, state, stray_record
from wire import dtls
from wire.dtls import Drop, DtlsConnection, DtlsContext, DtlsError
from wire.dtls_records import CONTENT_TYPES, MTU_BYTES, pack_records

CONTEXT = DtlsContext()
PEER = DtlsContext()


def pair(**options: object) -> Wire:
    return Wire(PEER.client(), CONTEXT.server(), **options)  # type: ignore[arg-type]


# A handshake.


def test_a_handshake_takes_two_round_trips_and_small_datagrams() -> None:
    wire = pair()
    assert wire.connect() == pytest.approx(0.04)
    assert wire.sent["server"] == 2
    assert max(wire.sizes) <= MTU_BYTES
    assert wire.client.next_timer() is None
    assert wire.server.next_timer() is None


def test_both_sides_export_the_same_keys_for_the_cheapest_profile() -> None:
    wire = pair()
    wire.connect()
    ours, theirs = wire.server.srtp_keys(), wire.client.srtp_keys()
    assert (ours.local_key, ours.remote_key) == (theirs.remote_key, theirs.local_key)
    assert ours.local_key != ours.remote_key
    assert ours.profile == "SRTP_PROFILE_AEAD_AES_128_GCM"
    assert len(ours.local_key) == 28
    Policy(key=ours.local_key, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=getattr(Policy, ours.profile))


@pytest.mark.parametrize("algorithm", ["sha-256", "SHA-256", "sha-384", "sha-512"])
def test_the_peers_fingerprint_is_that_of_its_certificate(algorithm: str) -> None:
    wire = pair()
    assert wire.server.peer_fingerprint(algorithm) is None
    wire.connect()
    value = wire.server.peer_fingerprint(algorithm)
    assert value is not None
    assert re.fullmatch(r"([0-9A-F]{2}:)+[0-9A-F]{2}", value)
    if algorithm.lower() == "sha-256":
        assert PEER.fingerprint == f"sha-256 {value}"


@pytest.mark.parametrize("algorithm", ["md5", "sha-1", "", "rot13"])
def test_weak_or_unknown_hashes_have_no_fingerprint(algorithm: str) -> None:
    wire = pair()
    wire.connect()
    assert wire.server.peer_fingerprint(algorithm) is None


def test_a_client_without_certificate_is_refused() -> None:
    bare = SSL.Connection(SSL.Context(SSL.DTLS_METHOD))
    bare.set_connect_state()
    wire = Wire(DtlsConnection(bare, "client"), CONTEXT.server())
    wire.run(lambda: wire.server.state == "failed")
    assert state(wire.server) == "failed"
    assert "certificate" in wire.server.failure


def test_a_certificate_no_strict_parser_would_take_still_has_a_fingerprint() -> None:
    certificate, key = dtls._generate_certificate()
    der = certificate.public_bytes(serialization.Encoding.DER)
    odd = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1)  # version 8
    with pytest.raises(x509.InvalidVersion):
        x509.load_der_x509_certificate(odd)
    context = SSL.Context(SSL.DTLS_METHOD)
    with pytest.warns(DeprecationWarning, match="X509"):  # the only way past the strict parser
        context.use_certificate(crypto.load_certificate(crypto.FILETYPE_ASN1, odd))
    context.use_privatekey(key)
    bare = SSL.Connection(context)
    bare.set_connect_state()
    wire = Wire(DtlsConnection(bare, "client"), CONTEXT.server())
    wire.connect()
    assert wire.server.peer_fingerprint("sha-256") == hashlib.sha256(odd).digest().hex(":").upper()


def test_data_goes_both_ways_one_entry_a_record() -> None:
    wire = pair()
    wire.connect()
    wire.client.send(b"one")
    wire.client.send(b"two")
    wire.server.send(b"x" * 1228)
    wire.pump()
    wire.run(lambda: False, limit_s=0.1)
    assert wire.server.application_data() == [b"one", b"two"]
    assert wire.client.application_data() == [b"x" * 1228]
    assert wire.client.application_data() == []


def test_data_behind_the_last_handshake_record_in_one_datagram_is_not_lost() -> None:
    client, server = PEER.client(), CONTEXT.server()
    client.start(0.0)
    for now in (0.0, 0.1):
        for datagram in client.datagrams_to_send():
            server.receive_datagram(datagram, now)
        flight = server.datagrams_to_send()
        if server.state == "connected":
            server.send(b"early")
            flight = [b"".join(flight + server.datagrams_to_send())]
        for datagram in flight:
            client.receive_datagram(datagram, now)
    assert state(client) == "connected"
    assert client.application_data() == [b"early"]


# Loss.


@pytest.mark.parametrize("sender", ["client", "server"])
@pytest.mark.parametrize("number", range(3))
def test_one_lost_datagram_costs_less_than_a_fifth_of_a_second(sender: str, number: int) -> None:
    wire = pair(lose=lambda name, count: (name, count) == (sender, number))
    normal = pair().connect()
    assert wire.connect() - normal < 0.2
    assert state(wire.server) == wire.client.state == "connected"


def test_one_lost_server_flight_is_healed_by_the_clients_repetition_alone() -> None:
    client, server = PEER.client(), CONTEXT.server()
    client.start(0.0)
    hello = client.datagrams_to_send()
    for datagram in hello:
        server.receive_datagram(datagram, 0.0)
    flight = server.datagrams_to_send()
    for datagram in hello:
        server.receive_datagram(datagram, 0.05)
    assert server.datagrams_to_send() == flight
    assert server.resends == 1


def test_a_peer_that_repeats_itself_quickly_does_not_multiply_our_flight() -> None:
    client, server = PEER.client(), CONTEXT.server()
    client.start(0.0)
    hello = client.datagrams_to_send()
    sent = 0
    for step in range(100):
        for datagram in hello:
            server.receive_datagram(datagram, step / 1000)
        sent += len(server.datagrams_to_send())
    assert sent == 3


def test_a_silent_peer_gets_the_flight_again_at_growing_intervals_until_the_timeout() -> None:
    client = PEER.client()
    client.start(0.0)
    client.datagrams_to_send()
    times = []
    while (timer := client.next_timer()) is not None:
        client.handle_timer(timer)
        times.append(timer)
        client.datagrams_to_send()
    assert times[:4] == pytest.approx([0.1, 0.3, 0.7, 1.5])
    assert max(b - a for a, b in pairwise(times)) <= dtls.RESEND_MAX_S + 1e-9
    assert times[-1] == dtls.HANDSHAKE_TIMEOUT_S
    assert (client.state, client.failure) == ("failed", "handshake timeout")


@pytest.mark.parametrize("seed", range(20))
def test_a_third_of_all_datagrams_lost_still_connects(seed: int) -> None:
    wire = pair(lose=lambda name, count: zlib.crc32(f"{seed}{name}{count}".encode()) % 3 == 0)
    assert wire.connect() < 5
    assert state(wire.server) == wire.client.state == "connected"


async def test_our_client_recovers_from_the_loss_of_the_last_flight_when_the_server_forgets_verbatim_repeats() -> None:
    loop = asyncio.get_running_loop()
    client, server = PEER.client(), CONTEXT.server()
    client.start(began := loop.time())
    lost = False
    while client.state == "connecting":
        for datagram in client.datagrams_to_send():
            server.receive_datagram(datagram, loop.time())
            server._flight.clear()  # as a browser: only OpenSSL's own answer to a renumbered Finished helps
        for datagram in server.datagrams_to_send():
            if server.state == "connected" and not lost:
                lost = True
            else:
                client.receive_datagram(datagram, loop.time())
        timer = client.next_timer()
        if timer is not None:
            await asyncio.sleep(timer - loop.time())
            client.handle_timer(loop.time())
    assert state(client) == "connected"
    assert loop.time() - began < 2


def test_a_server_that_hears_nothing_fails_when_it_was_started() -> None:
    server = CONTEXT.server()
    assert server.next_timer() is None
    server.start(5.0)
    assert server.next_timer() == 35.0
    server.handle_timer(34.9)
    assert state(server) == "connecting"
    server.handle_timer(35.0)
    assert state(server) == "failed"


# A ClientHello in fragments, as browsers send it.


def fragments(hello: bytes, at: int) -> list[bytes]:
    """The ClientHello of one record as two handshake fragments in two records."""
    body = hello[25:]
    pieces = [(0, body[:at]), (at, body[at:])]
    result = []
    for number, (offset, piece) in enumerate(pieces):
        handshake = hello[13:19] + offset.to_bytes(3, "big") + len(piece).to_bytes(3, "big") + piece
        result.append(hello[:5] + number.to_bytes(6, "big") + len(handshake).to_bytes(2, "big") + handshake)
    return result


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 0, 1)])
def test_a_hello_in_two_datagrams_is_put_together(order: tuple[int, ...]) -> None:
    client, server = PEER.client(), CONTEXT.server()
    client.start(0.0)
    (hello,) = client.datagrams_to_send()
    parts = fragments(hello, 60)
    for part in order:
        assert server.datagrams_to_send() == []
        server.receive_datagram(parts[part], 0.0)
    assert len(server.datagrams_to_send()) == 1
    assert server.resends == 0


# Garbage, bounds, ends.


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x16",
        b"\x16\xfe\xfd" + bytes(9),
        b"\x3f" + bytes(40),
        b"\x18\xfe\xfd" + bytes(8) + b"\0\1x",
        b"\x16\x03\x03" + bytes(8) + b"\0\1x",
        b"\x16\xfe\xfd" + bytes(8) + b"\0\2x",
        b"\x16\xfe\xfd" + bytes(8) + b"\xff\xff" + bytes(0xFFFF),
    ],
    ids=["empty", "one byte", "short header", "dtls 1.3", "type", "version", "cut", "too long"],
)
def test_what_is_no_record_is_dropped_and_counted(data: bytes) -> None:
    server = CONTEXT.server()
    server.receive_datagram(data, 0.0)
    assert state(server) == "new"
    assert server.dropped[Drop.MALFORMED] == 1
    assert server.datagrams_to_send() == []


def test_records_before_garbage_in_a_datagram_still_count() -> None:
    client, server = PEER.client(), CONTEXT.server()
    client.start(0.0)
    (hello,) = client.datagrams_to_send()
    server.receive_datagram(hello + b"garbage", 0.0)
    assert server.dropped[Drop.MALFORMED] == 1
    assert len(server.datagrams_to_send()) == 1


def test_forged_records_do_not_disturb_a_connection() -> None:
    wire = pair()
    wire.connect()
    for epoch in (b"\0\0", b"\0\1", b"\0\2"):
        for kind in CONTENT_TYPES:
            record = bytes((kind,)) + b"\xfe\xfd" + epoch + b"\0\0\0\0\x30\0" + b"\0\x20" + bytes(range(32))
            wire.server.receive_datagram(record, wire.now)
    wire.client.send(b"still here")
    wire.pump()
    wire.run(lambda: False, limit_s=0.1)
    assert state(wire.server) == "connected"
    assert wire.server.application_data() == [b"still here"]


def test_nonsense_in_a_handshake_fails_with_an_alert() -> None:
    server = CONTEXT.server()
    body = b"\1\0\0\4\0\0\0\0\0\0\0\4abcd"
    server.receive_datagram(b"\x16\xfe\xfd" + bytes(8) + len(body).to_bytes(2, "big") + body, 0.0)
    assert state(server) == "failed"
    assert server.failure
    assert [each[0] for each in server.datagrams_to_send()] == [21]
    assert server.next_timer() is None


def test_the_datagrams_of_a_handshake_are_bounded() -> None:
    server = CONTEXT.server()
    for number in range(dtls.MAX_HANDSHAKE_DATAGRAMS):
        server.receive_datagram(stray_record(number), 0.0)
    assert state(server) == "connecting"
    server.receive_datagram(stray_record(1000), 0.0)
    assert state(server) == "failed"
    assert server.dropped[Drop.HANDSHAKE_EXCESS] == 1


def test_the_bytes_of_a_handshake_are_bounded() -> None:
    server = CONTEXT.server()
    record = b"\x16\xfe\xfd\0\2" + bytes(6) + (16384).to_bytes(2, "big") + bytes(16384)
    for _ in range(dtls.MAX_HANDSHAKE_BYTES // len(record)):
        server.receive_datagram(record, 0.0)
    assert state(server) == "connecting"
    server.receive_datagram(record, 0.0)
    assert state(server) == "failed"


def test_data_nobody_takes_is_bounded() -> None:
    wire = pair()
    wire.connect()
    for _ in range(dtls.MAX_APPLICATION_DATAGRAMS + 1):
        wire.client.send(b"x")
        for datagram in wire.client.datagrams_to_send():
            wire.server.receive_datagram(datagram, wire.now)
    assert len(wire.server.application_data()) == dtls.MAX_APPLICATION_DATAGRAMS
    assert wire.server.dropped[Drop.APPLICATION_OVERFLOW] == 1


def test_close_tells_the_peer() -> None:
    wire = pair()
    wire.connect()
    wire.server.close()
    assert state(wire.server) == "closed"
    wire.pump()
    wire.run(lambda: wire.client.state == "closed", limit_s=1)
    assert state(wire.client) == "closed"
    wire.pump()
    wire.run(lambda: False, limit_s=1)
    assert wire.server.dropped[Drop.OVER] == 1
    wire.server.close()


def test_a_connection_never_begun_can_be_closed() -> None:
    server = CONTEXT.server()
    server.close()
    assert (server.state, server.next_timer(), server.datagrams_to_send()) == ("closed", None, [])
    server.start(0.0)
    assert state(server) == "closed"


def test_what_needs_a_connection_says_so_without_one() -> None:
    server = CONTEXT.server()
    with pytest.raises(DtlsError):
        server.send(b"x")
    with pytest.raises(DtlsError):
        server.srtp_keys()


@pytest.mark.parametrize("size", [0, dtls.MAX_SEND_BYTES + 1])
def test_only_what_fits_a_record_is_sent(size: int) -> None:
    wire = pair()
    wire.connect()
    with pytest.raises(DtlsError):
        wire.client.send(bytes(size))
    wire.client.send(bytes(dtls.MAX_SEND_BYTES))


def test_a_closed_connection_keeps_nothing_of_openssl() -> None:
    wire = pair()
    wire.connect()
    wire.server.close()
    gc.collect()
    assert not any(isinstance(each, SSL.Connection) for each in gc.get_referents(wire.server.__dict__))


@given(
    st.lists(
        st.binary(max_size=120)
        | st.binary(max_size=60).map(lambda b: b"\x16\xfe\xfd" + bytes(8) + len(b).to_bytes(2, "big") + b),
        max_size=6,
    )
)
@settings(max_examples=100)
def test_any_datagrams_never_raise(datagrams: list[bytes]) -> None:
    server, client = CONTEXT.server(), PEER.client()
    client.start(0.0)
    for now, datagram in enumerate(datagrams):
        for each in (server, client):
            each.receive_datagram(datagram, float(now))
            each.datagrams_to_send()


@given(st.integers(0, 10), st.integers(0, 2000), st.integers(1, 255))
@settings(max_examples=60)
def test_a_handshake_with_one_changed_byte_never_raises(number: int, position: int, change: int) -> None:
    client, server = PEER.client(), CONTEXT.server()
    client.start(0.0)
    count = 0
    for step in range(4):
        for sender, receiver in ((client, server), (server, client)):
            for datagram in sender.datagrams_to_send():
                damaged = bytearray(datagram)
                if count == number:
                    damaged[position % len(damaged)] ^= change
                count += 1
                receiver.receive_datagram(bytes(damaged), step / 10)
    assert server.state in ("connected", "connecting", "failed", "new")


@pytest.mark.parametrize("pem", [b"", b"nonsense", pem_pair().split(b"-----BEGIN PRIVATE")[0]])
def test_a_useless_pem_is_refused(pem: bytes) -> None:
    with pytest.raises(DtlsError):
        DtlsContext(pem)


def test_a_key_may_have_a_pem_of_its_own() -> None:
    first, second = (pem.split(b"-----BEGIN PRIVATE") for pem in (pem_pair(), pem_pair()))
    DtlsContext(first[0], b"-----BEGIN PRIVATE" + first[1])
    with pytest.raises(DtlsError):
        DtlsContext(first[0], b"-----BEGIN PRIVATE" + second[1])


# Records.


def test_records_are_packed_up_to_the_mtu_and_never_cut() -> None:
    def record(size: int) -> bytes:
        return b"\x17\xfe\xfd" + bytes(8) + (size - 13).to_bytes(2, "big") + bytes(size - 13)

    sizes = [500, 700, 1, 1200, 100, 1500, 40]
    sizes[2] = 13
    packed = pack_records(b"".join(map(record, sizes)))
    assert [len(each) for each in packed] == [1200, 13, 1200, 100, 1500, 40]
