"""The door of TURN over DTLS: a cookie for each ClientHello (RFC 6347 §4.2.1), a connection for each cookie returned.

Sans-IO. OpenSSL makes and reads the messages, the context's cookie callbacks the cookies; one OpenSSL state serves all
addresses until one of them passes, and goes with it.
"""

from __future__ import annotations

from OpenSSL import SSL

from wire.dtls import (
    COOKIE_LIFE_S,
    HANDSHAKE,
    HANDSHAKE_HEADER_BYTES,
    Address,
    Drop,
    DtlsConnection,
    DtlsContext,
)
from wire.dtls_records import MTU_BYTES, RECORD_HEADER_BYTES, pack_records, split_records

CLIENT_HELLO = 1
RANDOM_BYTES = 32
_FRAGMENT_OFFSET = slice(RECORD_HEADER_BYTES + 6, RECORD_HEADER_BYTES + 9)
_RANDOM_AT = RECORD_HEADER_BYTES + HANDSHAKE_HEADER_BYTES + 2  # behind the version


class DtlsListener:
    """Answers ClientHellos of unknown addresses with a cookie and keeps nothing until one comes back (RFC 6347 §4.2.1).

    The owner gives it datagrams of addresses it has no connection for and takes over the connections it returns.
    """

    def __init__(self, context: DtlsContext) -> None:
        """`context` was made with a `cookie_secret`."""
        self.dropped = dict.fromkeys(Drop, 0)
        self._context = context
        self._ssl = context.openssl("server")
        self._outgoing: list[tuple[bytes, Address]] = []

    def receive_datagram(self, data: bytes, remote: Address, now: float) -> DtlsConnection | None:
        """The new connection, already past its ClientHello, when the datagram carries a cookie made for `remote`."""
        if not _begins_with_client_hello(data):
            self.dropped[Drop.NOT_A_HELLO] += 1
            return None
        ssl = self._ssl
        ssl.set_app_data((remote, int(now) // COOKIE_LIFE_S))
        ssl.bio_write(data)
        try:
            ssl.DTLSv1_listen()
        except SSL.WantReadError:
            self._outgoing += [(each, remote) for each in pack_records(self._output())]
            return None
        except SSL.Error:
            self.dropped[Drop.BAD_HELLO] += 1
            self._ssl = self._context.openssl("server")
            return None
        self._ssl = self._context.openssl("server")
        connection = DtlsConnection(ssl, "server")
        connection.start(now)  # OpenSSL still holds the hello
        return connection

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """The HelloVerifyRequests to send now."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def _output(self) -> bytes:
        try:
            return self._ssl.bio_read(MTU_BYTES)
        except SSL.WantReadError:
            return b""


def hello_random(data: bytes) -> bytes | None:
    """The random of the ClientHello that `data` begins with, the same all through a handshake; None: no ClientHello.

    It tells a client that repeats itself from one that has lost its state and begins anew (RFC 6347 §4.2.8).
    """
    if not _begins_with_client_hello(data) or any(data[_FRAGMENT_OFFSET]):
        return None
    return data[_RANDOM_AT : _RANDOM_AT + RANDOM_BYTES]


def _begins_with_client_hello(data: bytes) -> bool:
    first = next(split_records(data), None)
    if first is None or first[1] - first[0] < RECORD_HEADER_BYTES + HANDSHAKE_HEADER_BYTES:
        return False
    return data[0] == HANDSHAKE and not any(data[3:5]) and data[RECORD_HEADER_BYTES] == CLIENT_HELLO
