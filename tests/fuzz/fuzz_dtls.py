"""`python -m tests.fuzz dtls`: a peer's datagrams never raise.

The input is a sequence of datagrams, each behind two bytes of length, given to a server, a client that has said hello,
a connected server and a listener.
"""

from __future__ import annotations

from functools import cache

from wire.dtls import DtlsConnection, DtlsContext
from wire.dtls_listener import DtlsListener, hello_random
from wire.dtls_records import MTU_BYTES, pack_records

MAX_DATAGRAMS = 16


@cache
def contexts() -> tuple[DtlsContext, DtlsContext]:
    """Made once: a certificate costs more than a run."""
    return DtlsContext(), DtlsContext(cookie_secret=bytes(32))


def connected_server(context: DtlsContext) -> DtlsConnection:
    """A server past its handshake."""
    client, server = context.client(), context.server()
    client.start(0.0)
    for _ in range(3):
        for datagram in client.datagrams_to_send():
            server.receive_datagram(datagram, 0.0)
        for datagram in server.datagrams_to_send():
            client.receive_datagram(datagram, 0.0)
    if server.state != "connected":
        raise AssertionError("two of our own do not connect")
    return server


def split(data: bytes) -> list[bytes]:
    """The datagrams of one input."""
    datagrams: list[bytes] = []
    while data and len(datagrams) < MAX_DATAGRAMS:
        size = int.from_bytes(data[:2], "big")
        datagrams.append(data[2 : 2 + size])
        data = data[2 + size :]
    return datagrams


def one_input(data: bytes) -> None:
    """Raises only when the connection is wrong."""
    context, listening = contexts()
    client = context.client()
    client.start(0.0)
    connections = [context.server(), client, connected_server(context)]
    listener = DtlsListener(listening)
    for number, datagram in enumerate(split(data)):
        now = number / 10
        for connection in connections:
            connection.receive_datagram(datagram, now)
            if (timer := connection.next_timer()) is not None and timer <= now:
                connection.handle_timer(now)
            if any(len(each) > MTU_BYTES for each in connection.datagrams_to_send()):
                raise AssertionError("a datagram above the MTU")
            connection.application_data()
        if listener.receive_datagram(datagram, ("192.0.2.1", 5000), now) is not None:
            raise AssertionError("a cookie was guessed")
        listener.datagrams_to_send()
        pack_records(datagram)
        hello_random(datagram)
    for connection in connections:
        connection.close()
