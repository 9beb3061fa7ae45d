"""TURN over DTLS (RFC 7350): one UDP socket an address, a cookie before any state, one connection for each 5-tuple.

Part of `TurnService`, which registers the clients, bounds them and gives the time. A client that has lost its state
begins anew from the same 5-tuple; its old connection serves until the new handshake is done (RFC 6347 §4.2.8).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING

from turnd.turn.allocation import Flow
from turnd.turn.connection import TurnClient
from turnd.turn.stream import is_channel_data
from wire.dtls import MAX_SEND_BYTES, Drop, DtlsConnection, DtlsContext, DtlsError
from wire.dtls_listener import DtlsListener, hello_random
from wire.measure import Measure
from wire.udp import CallbackReceiver, Datagram, UdpSocket

if TYPE_CHECKING:
    from turnd.turn.relay import Relay
    from turnd.turn.service import TurnService

log = logging.getLogger(__name__)

Pem = tuple[bytes, bytes]

ALPN = b"stun.turn"  # RFC 7443
APPLICATION_DATA = b"\x17"  # first byte of a record
HANDSHAKE_LOOK_SECONDS = 0.05  # how exact the timers of handshakes are; only while there are any
HANDSHAKES = ("connected", "failed")


class Refusal(StrEnum):
    """Why a datagram was not answered or not sent, beyond the reasons of `wire.dtls.Drop`."""

    LIMITED = "limited"  # the source has had its answers without proof
    NO_CERTIFICATE = "no_certificate"
    TOO_MANY = "too_many"  # connections, in all or of the source
    OVERSIZE = "oversize"  # no record holds it


class DtlsClient(TurnClient):
    """The DTLS connection of one 5-tuple; each record carries one message, unpadded as over UDP (RFC 8656 §12.5)."""

    def __init__(
        self, service: TurnService, leg: DtlsLeg, flow: Flow, udp: UdpSocket, random: bytes, dtls: DtlsConnection
    ) -> None:
        super().__init__(service, flow)
        self._leg = leg
        self._udp = udp
        self.flow: Flow = flow
        self.random = random
        """Of the ClientHello that this connection came from."""
        self.dtls = dtls

    def receive(self, data: bytes, now: float) -> None:
        """One datagram of the client."""
        self.dtls.receive_datagram(data, now)
        messages = self.dtls.application_data()
        if messages and self._leg.admits(self):
            self._take(messages)
        self.proceed()

    def handle_timer(self, now: float) -> None:
        """Does what the handshake has due."""
        due = self.dtls.next_timer()
        if due is not None and due <= now:
            self.dtls.handle_timer(now)
            self.proceed()

    def write(self, data: bytes) -> None:
        """One padded message that the relay has for the client."""
        self.answer(data[: 4 + int.from_bytes(data[2:4], "big")] if is_channel_data(data) else data)

    def answer(self, response: bytes) -> None:
        """See `TurnClient`."""
        if self.dtls.state != "connected":
            return
        if len(response) > MAX_SEND_BYTES:
            self._leg.refused[Refusal.OVERSIZE] += 1
            return
        self.dtls.send(response)
        self.flush()

    def flush(self) -> None:
        """Sends what the connection has to say."""
        datagrams = self.dtls.datagrams_to_send()
        if datagrams:
            self._udp.send_batch(datagrams, self.flow.client, self.flow.local)

    def proceed(self) -> None:
        """Sends, and lets the leg look at what has become of the connection."""
        self.flush()
        self._leg.follow(self)

    def allocated(self, relays: list[Relay]) -> None:
        """Peers' data is written here from now on."""
        self._relays = relays
        relays[0].serve_stream(self.write, each=True)

    def expected(self) -> None:
        """A record holds no larger message then than before."""

    def abort(self) -> None:
        """Ends the connection with close_notify."""
        self.dtls.close()
        self.proceed()


class DtlsLeg:
    """The sockets, the cookie exchange and the table of connections.

    `pem` gives the certificate chain and its key; another object than the last time: another certificate, for new
    handshakes. `changed` is called when `next_timer` may be earlier than before.
    """

    def __init__(
        self,
        service: TurnService,
        loop: asyncio.AbstractEventLoop,
        pem: Callable[[], Pem | None],
        *,
        cookie_secret: bytes,
        changed: Callable[[], None],
    ) -> None:
        self._service = service
        self._loop = loop
        self._pem = pem
        self._cookie_secret = cookie_secret
        self._changed = changed
        self._loaded: Pem | None = None
        self._listener: DtlsListener | None = None
        self._sockets: list[UdpSocket] = []
        self._clients: dict[Flow, DtlsClient] = {}
        self._successors: dict[Flow, DtlsClient] = {}  # in their handshake, beside a connected client
        self._handshaking: dict[DtlsClient, None] = {}
        self._look_at: float | None = None
        self.dropped = dict.fromkeys(Drop, 0)
        self.refused = dict.fromkeys(Refusal, 0)
        self.handshakes = dict.fromkeys(HANDSHAKES, 0)

    def listen(self, host: str, port: int) -> None:
        """Opens the socket of one address; raises OSError."""
        udp: UdpSocket

        def receive(datagrams: list[Datagram]) -> None:
            for _, data, client, local, _ in datagrams:
                self._receive(data, Flow("dtls", client, local), udp)

        try:
            udp = UdpSocket(self._loop, (host, port), CallbackReceiver(receive), component="turn")
        except OSError as error:
            raise OSError(error.errno, f"UDP {host} port {port}: {error.strerror}") from error
        self._sockets.append(udp)

    def close(self) -> None:
        """Ends all connections and closes the sockets."""
        for client in [*self._clients.values(), *self._successors.values()]:
            client.abort()
        for udp in self._sockets:
            udp.close()
        self._sockets.clear()

    # Datagrams.

    def _receive(self, data: bytes, flow: Flow, udp: UdpSocket) -> None:
        now = self._loop.time()
        client, successor = self._clients.get(flow), self._successors.get(flow)
        random = hello_random(data)
        if client is None or (random and random not in [each.random for each in (client, successor) if each]):
            self._greet(data, flow, udp, random or b"", now)
        elif successor is not None and data[:1] != APPLICATION_DATA:
            successor.receive(data, now)
        else:
            client.receive(data, now)

    def _greet(self, data: bytes, flow: Flow, udp: UdpSocket, random: bytes, now: float) -> None:
        """A ClientHello of no connection we know: a cookie for it, or a connection for its cookie."""
        listener = self._current_listener()
        if listener is None:
            self.refused[Refusal.NO_CERTIFICATE] += 1
            return
        dtls = listener.receive_datagram(data, flow.client, now)
        for datagram, _ in listener.datagrams_to_send():
            if self._service.may_answer(flow.client[0], now):
                udp.send(datagram, flow.client, flow.local)
            else:
                self.refused[Refusal.LIMITED] += 1
        if dtls is not None:
            dtls.dropped = self.dropped
            self._begin(DtlsClient(self._service, self, flow, udp, random, dtls))

    def _current_listener(self) -> DtlsListener | None:
        pem = self._pem()
        if pem is not None and pem is not self._loaded:
            self._loaded = pem
            try:
                context = DtlsContext(*pem, cookie_secret=self._cookie_secret, alpn=ALPN)
            except DtlsError as error:
                log.error("DTLS goes on without the new certificate", extra={"reason": str(error)})
            else:
                self._listener = DtlsListener(context)
                self._listener.dropped = self.dropped
        return self._listener

    # Connections.

    def _begin(self, client: DtlsClient) -> None:
        """Takes in a client whose cookie was good; nothing is sent to one that there is no room for."""
        old = self._clients.get(client.flow)
        if old is not None and old.dtls.state == "connected":
            self._forget(self._successors.get(client.flow))
            self._successors[client.flow] = client
        else:
            self._forget(old)
            if not self._admit(client):
                return
        self._handshaking[client] = None
        if self._look_at is None:
            self._look_at = self._loop.time() + HANDSHAKE_LOOK_SECONDS
            self._changed()
        client.proceed()

    def _admit(self, client: DtlsClient) -> bool:
        if not self._service.connected(client, client.flow):
            self.refused[Refusal.TOO_MANY] += 1
            return False
        self._clients[client.flow] = client
        return True

    def admits(self, client: DtlsClient) -> bool:
        """Whether the client is now the one of its 5-tuple, so that its messages count."""
        self.follow(client)
        return self._clients.get(client.flow) is client

    def follow(self, client: DtlsClient) -> None:
        """Looks at a connection after each step: it may have come up, or ended."""
        state = client.dtls.state
        if state == "connecting":
            return
        if client in self._handshaking:
            del self._handshaking[client]
            self.handshakes["connected" if state == "connected" else "failed"] += 1
            if state == "connected" and self._successors.get(client.flow) is client:
                self._forget(self._clients[client.flow])  # unheard: whoever it spoke to has lost its keys
        if state != "connected":
            self._forget(client)

    def _forget(self, client: DtlsClient | None) -> None:
        """Takes a connection out, and its allocation with it; its successor, if any, has the place then."""
        if client is None:
            return
        self._handshaking.pop(client, None)
        successor = self._successors.get(client.flow)
        if successor is client:
            del self._successors[client.flow]
        elif self._clients.get(client.flow) is client:
            del self._clients[client.flow]
            self._service.disconnected(client, client.flow)
            if successor is not None:
                del self._successors[client.flow]
                if not self._admit(successor):
                    successor.abort()

    # Time.

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        return self._look_at

    def handle_timer(self, now: float) -> None:
        """Repeats flights and ends handshakes that take too long."""
        if self._look_at is None or self._look_at > now:
            return
        for client in list(self._handshaking):
            client.handle_timer(now)
        self._look_at = now + HANDSHAKE_LOOK_SECONDS if self._handshaking else None

    def measures(self) -> Iterator[Measure]:
        """Everything counted, read at scrape."""
        for result, value in self.handshakes.items():
            yield Measure("turn_dtls_handshakes_total", {"result": result}, value)
        for reason, value in (*self.dropped.items(), *self.refused.items()):
            yield Measure("turn_dtls_drops_total", {"reason": str(reason)}, value)
