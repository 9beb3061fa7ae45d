from __future__ import annotations

import gc

import pytest
from OpenSSL import SSL

from tests.wire.dtls_peers import Wire, state, stray_record
from wire.dtls import DtlsConnection, DtlsContext
from wire.dtls_records import CONTENT_TYPES

CONTEXT = DtlsContext()
PEER = DtlsContext()


def resting(cipher: bytes = b"ECDHE-ECDSA-AES128-GCM-SHA256", side: str = "server") -> tuple[Wire, DtlsConnection]:
    """A pair; that side's connection rests."""
    context = DtlsContext()
    context._context.set_cipher_list(cipher)
    wire = Wire(context.client(), CONTEXT.server())
    wire.connect()
    connection: DtlsConnection = getattr(wire, side)
    connection.rest()
    return wire, connection


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("cipher", [b"ECDHE-ECDSA-AES128-GCM-SHA256", b"ECDHE-ECDSA-AES256-GCM-SHA384"])
def test_who_rests_hears_the_goodbye_of_the_peer(cipher: bytes, side: str) -> None:
    wire, connection = resting(cipher, side)
    (wire.client if side == "server" else wire.server).close()
    wire.run(lambda: connection.state == "closed", limit_s=1)
    assert state(connection) == "closed"
    assert connection.datagrams_to_send() == []


@pytest.mark.parametrize("side", ["server", "client"])
def test_who_rests_says_goodbye(side: str) -> None:
    wire, connection = resting(side=side)
    other = wire.client if side == "server" else wire.server
    wire.pump()
    wire.run(lambda: False, limit_s=1)
    assert state(other) == "connected"
    connection.close()
    assert state(connection) == "closed"
    wire.run(lambda: other.state == "closed", limit_s=1)
    assert state(other) == "closed"


def test_a_resting_connection_keeps_nothing_of_openssl() -> None:
    _, connection = resting()
    gc.collect()
    assert not any(isinstance(each, SSL.Connection) for each in gc.get_referents(connection.__dict__))
    assert connection.next_timer() is None


def test_forged_and_foreign_records_do_not_end_it() -> None:
    wire, connection = resting()
    for epoch in (b"\0\0", b"\0\1", b"\0\2"):
        for kind in CONTENT_TYPES:
            record = bytes((kind,)) + b"\xfe\xfd" + epoch + b"\0\0\0\0\x30\0" + b"\0\x1a" + bytes(range(26))
            connection.receive_datagram(record, wire.now)
    connection.receive_datagram(stray_record(1), wire.now)
    connection.receive_datagram(b"nonsense", wire.now)
    wire.client.send(b"data")
    wire.run(lambda: False, limit_s=0.1)
    assert state(connection) == "connected"
    assert connection.application_data() == []


def test_a_changed_goodbye_is_none() -> None:
    wire, connection = resting()
    wire.client.close()
    (goodbye,) = wire.client.datagrams_to_send()
    for position in range(3, len(goodbye)):
        changed = bytearray(goodbye)
        changed[position] ^= 1
        connection.receive_datagram(bytes(changed), wire.now)
    assert state(connection) == "connected"
    connection.receive_datagram(goodbye, wire.now)
    assert state(connection) == "closed"


def test_another_cipher_goes_on_with_openssl() -> None:
    wire, connection = resting(b"ECDHE-ECDSA-CHACHA20-POLY1305")
    assert not connection.rest()
    wire.client.send(b"data")
    wire.run(lambda: False, limit_s=0.1)
    assert connection.application_data() == [b"data"]


def test_who_is_not_connected_does_not_rest() -> None:
    server = CONTEXT.server()
    assert not server.rest()
    assert state(server) == "new"
