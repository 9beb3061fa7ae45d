"""The page's ports: HTTP, and on the TLS port TURN as well, told apart by the first byte that arrives.

A TURN client's first message is STUN and begins with 0x00-0x03 (RFC 7983), as no HTTP request does. ChannelData, whose
first byte may be the `G` of GET, comes only behind an allocation. A client that negotiated `stun.turn` by ALPN
(RFC 7443) is taken at its word. A connection is undecided until that is known and, with HTTP, until its first request's
header is complete: so idle and half-said ones cost little and end soon.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import cast

from turnd.certificate import ALPN_TURN
from turnd.turn.source_limit import SourceCounter
from wire.measure import Measure

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 6144
MAX_CONNECTIONS_OF_SOURCE = 2048  # a webinar's viewers behind one address
MAX_FIRST_HEADER_BYTES = 32 * 1024
FIRST_REQUEST_SECONDS = 10.0

HttpFactory = Callable[[], asyncio.Protocol]
TurnFactory = Callable[[tuple[str, int]], asyncio.Protocol]


class SharedPort:
    """What all connections of the page's ports share: where they go, how many there are, what became of them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        http: HttpFactory,
        turn: TurnFactory,
        *,
        max_connections: int = MAX_CONNECTIONS,
        max_connections_of_source: int = MAX_CONNECTIONS_OF_SOURCE,
        first_request_seconds: float = FIRST_REQUEST_SECONDS,
    ) -> None:
        self.loop = loop
        self.http = http
        self.turn = turn
        self.max_connections = max_connections
        self.first_request_seconds = first_request_seconds
        self.connections: set[SharedPortProtocol] = set()
        self.sources = SourceCounter(max_connections_of_source)
        self.results = {"http": 0, "turn": 0, "silent": 0, "closed": 0, "overloaded": 0}

    def tls_protocol(self) -> asyncio.Protocol:
        """For a new connection on the TLS listener."""
        return SharedPortProtocol(self, turn_allowed=True)

    def plain_protocol(self) -> asyncio.Protocol:
        """For a new connection on the plain HTTP listener."""
        return SharedPortProtocol(self, turn_allowed=False)

    def close(self) -> None:
        """Ends every connection at once."""
        for connection in tuple(self.connections):
            connection.abort()

    def measures(self) -> Iterator[Measure]:
        """Connections and outcomes."""
        now = {"undecided": 0, "http": 0, "turn": 0}
        for connection in self.connections:
            now[connection.kind] += 1
        for protocol, count in now.items():
            yield Measure("https_port_connections", {"protocol": protocol}, count)
        for result, count in self.results.items():
            yield Measure("https_port_connections_total", {"result": result}, count)


class SharedPortProtocol(asyncio.Protocol):
    """One connection: undecided at first, afterwards only passing everything on to the protocol chosen for it."""

    def __init__(self, port: SharedPort, *, turn_allowed: bool) -> None:
        self._port = port
        self._turn_allowed = turn_allowed
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._received = bytearray()
        self._chosen: asyncio.Protocol | None = None
        self._refused = False
        self._host = ""
        self.kind = "undecided"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts the clock; over the bound the connection ends here."""
        self._transport = cast("asyncio.Transport", transport)
        port = self._port
        if len(port.connections) >= port.max_connections:
            log.warning("too many connections", extra={"bound": port.max_connections})
            self._refuse("overloaded")
            return
        self._host = str((transport.get_extra_info("peername") or [""])[0])
        if not port.sources.enter(self._host):
            log.warning("too many connections from one address")
            self._refuse("overloaded")
            return
        port.connections.add(self)
        self._deadline = port.loop.call_later(port.first_request_seconds, self._refuse, "silent")
        tls = transport.get_extra_info("ssl_object")
        if self._turn_allowed and tls is not None and tls.selected_alpn_protocol() == ALPN_TURN:
            self._choose("turn")

    def data_received(self, data: bytes) -> None:
        """Passes on, or collects until it is known where to."""
        if self._chosen is not None:
            self._chosen.data_received(data)
        elif not self._refused and data:
            self._received += data
            if self._turn_allowed and self._received[0] <= 0x03:
                self._choose("turn")
            elif _header_complete(self._received) or len(self._received) > MAX_FIRST_HEADER_BYTES:
                self._choose("http")

    def eof_received(self) -> bool | None:
        """Passes on; an undecided connection closes."""
        return self._chosen.eof_received() if self._chosen is not None else None

    def connection_lost(self, exc: Exception | None) -> None:
        """Passes on and forgets."""
        if self in self._port.connections:
            self._port.connections.discard(self)
            self._port.sources.leave(self._host)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._chosen is not None:
            self._chosen.connection_lost(exc)
        elif not self._refused:
            self._port.results["closed"] += 1

    def pause_writing(self) -> None:
        """Passes on."""
        if self._chosen is not None:
            self._chosen.pause_writing()

    def resume_writing(self) -> None:
        """Passes on."""
        if self._chosen is not None:
            self._chosen.resume_writing()

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, result: str) -> None:
        self._refused = True
        self._port.results[result] += 1
        self.abort()

    def _choose(self, kind: str) -> None:
        """Hands the connection over, with what has arrived of it."""
        if self._transport is None:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self.kind = kind
        self._port.results[kind] += 1
        peer = self._transport.get_extra_info("peername") or ("", 0)
        chosen = self._port.turn(peer[:2]) if kind == "turn" else self._port.http()
        self._chosen = chosen
        received, self._received = bytes(self._received), bytearray()
        chosen.connection_made(self._transport)
        if received:
            chosen.data_received(received)


def _header_complete(data: bytearray) -> bool:
    """Whether an empty line has come, in either spelling of line ends (RFC 9112 §2.2)."""
    return b"\r\n\r\n" in data or b"\n\n" in data
