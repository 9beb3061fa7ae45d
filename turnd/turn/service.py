"""The TURN server on the event loop: sockets, connections, the one timer and the counters around the core.

Owns the listeners and all TCP, TLS and DTLS connections; the core owns allocations, the compiled path the packets.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from math import inf
from typing import cast

from turnd.turn.allocation import FAMILIES, TRANSPORTS, Address, Allocation, Flow, RelayedAddress
from turnd.turn.byte_rate import Directions
from turnd.turn.client_connections import ClientConnections
from turnd.turn.connection import TurnClient, TurnConnection
from turnd.turn.credentials import Credentials, StoredKeys
from turnd.turn.dtls_leg import DtlsLeg, Pem
from turnd.turn.limits import Limits
from turnd.turn.measures import measures_of, relayed_of
from turnd.turn.peer_policy import Near, family_of
from turnd.turn.relay import ClientReceiver, Relay, RelayPath
from turnd.turn.relay_ports import PortPool
from turnd.turn.server import TurnServer
from turnd.turn.stream import is_channel_data
from turnd.turn.tcp_listener import WILDCARDS, TcpListener
from wire.measure import Measure
from wire.udp import Datagram, UdpSocket

log = logging.getLogger(__name__)


HANDSHAKE_SECONDS = 10.0
SHUTDOWN_SECONDS = 2.0
PORT_ATTEMPTS = 8
RELAY_BUFFER_BYTES = 1 << 20
NO_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


@dataclass(frozen=True)
class TurnSettings:
    """What configuration says about TURN."""

    listen: tuple[str, ...]
    """Addresses to listen on; wildcards of both families as a rule."""
    port: int
    """UDP and TCP; 0: any."""
    tls_port: int
    """TLS over TCP and DTLS over UDP; 0: any."""
    relay_ports: tuple[int, int]
    """First and last port of relayed addresses."""
    realm: str
    secrets: tuple[str, ...]
    """TURN REST secrets, newest first."""
    users: Mapping[str, str | StoredKeys]
    """Static users, name to password or keys."""
    userhash: bool = False
    """Whether clients are asked for USERHASH."""
    allow_peers: tuple[IPv4Network | IPv6Network, ...] = ()
    """Peers allowed although the policy denies them."""
    tcp_relay: bool = False
    """Whether clients can have TCP allocations (RFC 6062)."""
    limits: Limits = field(default_factory=Limits)
    mobility: bool = False
    """Whether allocations may follow their clients to another 5-tuple (RFC 8016)."""


class TurnService:
    """Starts, feeds and ends a `TurnServer`. It is the core's `RelayHost`."""

    def __init__(
        self,
        settings: TurnSettings,
        *,
        loop: asyncio.AbstractEventLoop,
        sfu_port: int,
        tls: Callable[[], ssl.SSLContext | None],
        pem: Callable[[], Pem | None] = lambda: None,
        connections: ClientConnections | None = None,
    ) -> None:
        """`tls` and `pem` give the certificate, chain and key, for TLS and for DTLS; None: there is none."""
        self._settings = settings
        self._loop = loop
        self._tls = tls
        self._path = RelayPath(secrets.token_bytes(16))
        for family in FAMILIES:
            if sfu_port:
                self._path.open_port(family, sfu_port)
        first, last = settings.relay_ports
        excluded = {sfu_port, settings.port, settings.tls_port}
        self._core = TurnServer(
            self,
            _credentials(settings),
            {family: PortPool(first, last, secrets.randbelow, excluded) for family in FAMILIES},
            token=secrets.token_bytes,
            epoch=time.time,
            limits=settings.limits,
            tcp_relay=settings.tcp_relay,
            mobility=settings.mobility,
        )
        self._core.authenticator.announce_userhash = settings.userhash
        self._tcp_directions = Directions.of()
        self._limit_all(settings.limits.total_bps)
        self._inside: tuple[str, ...] = ()
        self._public: tuple[str, ...] = ()
        self._former: tuple[str, ...] = ()
        self._near = Near()
        self.set_own_addresses((), ())
        self._listeners: dict[Address, tuple[ClientReceiver, UdpSocket]] = {}
        self._expected: dict[Flow, Relay] = {}  # stand-ins, where UDP clients are expected
        self._servers: list[asyncio.Server] = []
        self._dtls = DtlsLeg(self, loop, pem, cookie_secret=secrets.token_bytes(32), changed=self._schedule)
        self._connections = ClientConnections() if connections is None else connections
        self._orphans = 0
        self._timer: asyncio.Handle | None = None  # what is due at once is no TimerHandle in uvloop: it tells no time
        self._timer_at = inf
        self.port = settings.port
        self.tls_port = settings.tls_port

    # Life.

    async def start(self) -> None:
        """Opens UDP, TCP, TLS and DTLS on each address; an OSError names the one that failed. IPv6 may be missing."""
        for host in self._settings.listen:
            try:
                await self._listen(host)
            except OSError as error:
                if host == WILDCARDS[6] and error.errno in NO_FAMILY:
                    log.warning("no IPv6 on this machine, TURN listens on IPv4 alone")
                    continue
                await self.close()
                raise
        self._schedule()

    async def _listen(self, host: str) -> None:
        await self._attempt(self._listen_plain, host, self.port)
        if self._tls() is not None:
            await self._attempt(self._listen_secure, host, self.tls_port)

    async def _attempt(self, listen: Callable[[str], Awaitable[None]], host: str, port: int) -> None:
        """Where any port will do, UDP and TCP have to find the same one."""
        attempts = 1 if port else PORT_ATTEMPTS
        while True:
            attempts -= 1
            try:
                return await listen(host)
            except OSError:
                if not attempts:
                    raise

    async def _listen_plain(self, host: str) -> None:
        """UDP and TCP on the same port."""
        receiver = ClientReceiver(self._path, self._datagrams)
        try:
            udp = UdpSocket(self._loop, (host, self.port), receiver, component="turn")
        except OSError as error:
            raise OSError(error.errno, f"UDP {host} port {self.port}: {error.strerror}") from error
        receiver.attach_socket(udp)
        port = udp.local_address[1]
        try:
            self._servers.append(await self._create_server(host, port, None))
        except OSError:
            udp.close()
            raise
        self._listeners[udp.local_address] = receiver, udp
        self.port = port

    async def _listen_secure(self, host: str) -> None:
        """TLS and DTLS on the same port."""
        server = await self._create_server(host, self.tls_port, self._tls())
        port = server.sockets[0].getsockname()[1]
        try:
            self._dtls.listen(host, port)
        except OSError:
            server.close()
            raise
        self._servers.append(server)
        self.tls_port = port

    async def _create_server(self, host: str, port: int, context: ssl.SSLContext | None) -> asyncio.Server:
        secure = context is not None
        try:
            return await self._loop.create_server(
                lambda: TurnConnection(self),
                host,
                port,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if secure else None,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS if secure else None,
            )
        except OSError as error:
            raise OSError(error.errno, f"TCP {host} port {port}: {error.strerror}") from error

    def set_own_addresses(
        self,
        inside: Collection[str],
        public: Collection[str],
        former: Collection[str] = (),
        near: Near | None = None,
    ) -> None:
        """Our addresses, on interfaces and outside of a NAT, best first, those we had, and what is beside us.

        Now and at each change.
        """
        self._inside, self._public, self._former = tuple(inside), tuple(public), tuple(former)
        self._near = near or Near()
        self._tell_addresses()

    def _tell_addresses(self) -> None:
        self._core.set_addresses(self._inside, self._public, self._settings.allow_peers, self._former, self._near)
        self._core.enforce_policy(self._loop.time())

    def reload(self, settings: TurnSettings) -> None:
        """Takes over secrets, users, allowed peers, limits and mobility; the rest of `settings` needs a restart."""
        self._settings = settings
        self._core.authenticator.credentials = _credentials(settings)
        self._core.authenticator.announce_userhash = settings.userhash
        self._core.use_limits(settings.limits)
        self._limit_all(settings.limits.total_bps)
        self._core.registry.mobility.allowed = settings.mobility
        self._tell_addresses()

    def _limit_all(self, bps: int) -> None:
        """What UDP relays together may pass in each direction, and TCP relays likewise."""
        self._path.limit(bps // 8)
        self._tcp_directions.limit(bps // 8)

    def drain(self) -> None:
        """Refuses new allocations with 508; those there are go on."""
        self._core.draining = True

    @property
    def occupied(self) -> bool:
        """Whether there are allocations."""
        return bool(self._core.registry.allocations)

    async def close(self) -> None:
        """Ends all allocations, connections and listeners."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, inf
        for server in self._servers:
            server.close()
        self._core.registry.close(self._loop.time())
        for connection in list(self._connections.values()):
            connection.abort()
        self._dtls.close()
        for _, udp in self._listeners.values():
            udp.close()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        self._listeners.clear()

    # Datagrams and streams.

    def _datagrams(self, messages: list[Datagram]) -> list[bytes | None]:
        answers: list[bytes | None] = []
        for _, data, client, local, _ in messages:
            flow = Flow("udp", client, local)
            if is_channel_data(data):
                self.arrived(flow, [data])
                answers.append(None)
            else:
                answers.append(self._receive(data, flow))
        self._schedule()
        return answers

    def _listener(self, flow: Flow) -> tuple[ClientReceiver, UdpSocket]:
        """The listener a UDP flow came in by."""
        listener = self._listeners.get(flow.local)
        return listener or self._listeners[WILDCARDS[family_of(flow.local[0])], flow.local[1]]

    def receive(self, data: bytes, flow: Flow) -> bytes | None:
        """One STUN message; the answer to it."""
        response = self._receive(data, flow)
        self._schedule()
        return response

    def _receive(self, data: bytes, flow: Flow) -> bytes | None:
        """A fault of ours is logged and counted, and costs this message only."""
        try:
            return self._core.receive(data, flow, self._loop.time())
        except Exception:
            self._core.requests[flow.transport, "fault"] += 1
            log.exception("a STUN message could not be handled", extra={"transport": flow.transport})
            return None

    def stream_protocol(self, peername: Address) -> asyncio.Protocol:
        """For a connection accepted elsewhere that turned out to speak TURN."""
        return TurnConnection(self)

    def may_answer(self, host: str, now: float) -> bool:
        """See `TurnServer.may_answer`."""
        return self._core.may_answer(host, now)

    def connected(self, connection: TurnClient, flow: Flow) -> bool:
        """Takes a new connection in; False when there are too many, in all or of its source."""
        taken = self._connections.enter(connection, flow, self._loop.time())
        self._schedule()
        return taken

    def disconnected(self, connection: TurnClient, flow: Flow) -> None:
        """Forgets a connection, and ends its allocation, if that cannot be moved."""
        if self._connections.leave(connection, flow):
            self._core.registry.release_flow(flow, self._loop.time())

    def arrived(self, flow: Flow, messages: list[bytes]) -> None:
        """ChannelData from where no allocation was served; its client may have been expected there."""
        allocation = self._core.arrived(flow, self._loop.time())
        if allocation is None:
            self._orphans += len(messages)
        else:
            _relays(allocation)[0].forward(messages)

    # What the core asks of its host.

    def open_relay(self, family: int, port: int, announced: str) -> Relay:
        """See `RelayHost`."""
        relay = Relay(self._path)
        address = WILDCARDS[family], port
        relay.attach_socket(
            UdpSocket(
                self._loop,
                address,
                relay,
                component="relay",
                receive_buffer_bytes=RELAY_BUFFER_BYTES,
                announced=announced,
            )
        )
        return relay

    def open_tcp_relay(self, family: int, port: int) -> TcpListener:
        """See `RelayHost`."""
        directions = Directions.of(self._tcp_directions)
        return TcpListener(self._loop, family, port, self._core.tcp, self._data_connection, directions)

    def _data_connection(self, flow: Flow) -> TurnConnection:
        """The connection of a client that is bound to one of a peer; it lives as long as that."""
        return cast("TurnConnection", self._connections.end_idle(flow))

    def tell(self, flow: Flow, message: bytes) -> None:
        """See `RelayHost`."""
        connection = self._connections.get(flow)
        if connection is not None:
            connection.answer(message)
        self._schedule()

    def allocated(self, allocation: Allocation) -> None:
        """See `RelayHost`."""
        if allocation.is_tcp:
            self._connections.end_idle(allocation.flow)
            for each in allocation.relays.values():
                cast("TcpListener", each.relay).serve(allocation)
            return
        self._serve(allocation)
        for relayed in allocation.relays.values():
            self._path.open_port(relayed.family, relayed.address[1])

    def _serve(self, allocation: Allocation) -> None:
        flow, relays = allocation.flow, _relays(allocation)
        if flow.transport == "udp":
            relays[0].serve_datagrams(*self._listener(flow), flow.client, flow.local)  # and with it the other one
        else:
            self._connections.end_idle(flow).allocated(relays)

    def closed(self, allocation: Allocation, relayed: RelayedAddress) -> None:
        """See `RelayHost`."""
        if isinstance(relayed.relay, TcpListener):
            return
        self._path.close_port(relayed.family, relayed.address[1])
        connection = self._connections.get(allocation.flow)
        if connection is not None:
            connection.closed(cast("Relay", relayed.relay))

    def released(self, allocation: Allocation) -> None:
        """See `RelayHost`."""
        self._connections.begin_idle(allocation.flow, self._loop.time())

    def expect(self, flow: Flow) -> None:
        """See `RelayHost`."""
        if flow.transport == "udp":
            stand_in = self._expected[flow] = Relay(self._path)
            stand_in.serve_datagrams(*self._listener(flow), flow.client, flow.local)
        else:
            self._connections.end_idle(flow).expected()

    def unexpect(self, flow: Flow) -> None:
        """See `RelayHost`."""
        if flow.transport == "udp":
            self._expected.pop(flow).close()
        else:
            self._leave(flow)

    def _leave(self, flow: Flow) -> None:
        """A connection, if it is one, has no allocation any more."""
        connection = self._connections.get(flow)
        if connection is not None:
            connection.left()
            self._connections.begin_idle(flow, self._loop.time())

    def moved(self, allocation: Allocation, old_flow: Flow) -> None:
        """See `RelayHost`."""
        if allocation.flow.transport == "udp":
            self._expected.pop(allocation.flow).close()
        _relays(allocation)[0].leave()  # and with it the other one
        self._leave(old_flow)
        self._serve(allocation)

    def is_open(self, address: Address) -> bool:
        """See `RelayHost`."""
        return self._path.is_open(address)

    # Time.

    def _next_timer(self) -> float | None:
        timed = (self._core.registry, self._core.tcp, self._dtls, self._connections)
        return min((at for each in timed if (at := each.next_timer()) is not None), default=None)

    def _schedule(self) -> None:
        """Keeps the one timer no later than the next thing to do."""
        due = self._next_timer()
        if due is None or self._timer_at <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(due, self._handle_timer), due

    def _handle_timer(self) -> None:
        self._timer, self._timer_at = None, inf
        now = self._loop.time()
        self._core.registry.handle_timer(now)
        self._core.tcp.handle_timer(now)
        self._dtls.handle_timer(now)
        self._connections.handle_timer(now)
        self._schedule()

    # Measures.

    def measures(self) -> Iterator[Measure]:
        """Everything counted, read at scrape."""
        for transport in TRANSPORTS[1:]:
            number = sum(flow.transport == transport for flow in self._connections)
            yield Measure("turn_connections", {"transport": transport}, number)
        yield from relayed_of(self._path, self._tcp_directions, self._orphans)
        yield from self._dtls.measures()
        yield from measures_of(self._core)


def _relays(allocation: Allocation) -> list[Relay]:
    return [cast("Relay", each.relay) for each in allocation.relays.values()]


def _credentials(settings: TurnSettings) -> Credentials:
    return Credentials(settings.realm, settings.secrets, settings.users)
