"""A browser's end of a connection to the server, sans-IO, and an endpoint without sockets."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sfu.counters import Counters
from sfu.ice_lite import Credentials
from sfu.sdp import parse
from sfu.transport import PeerTransport, State
from sfu.uplink import Uplink
from tests.sfu.doubles import PathDouble
from wire import stun
from wire.dtls import DtlsConnection, DtlsContext
from wire.stun import Attribute, MessageClass, Method

LOCAL = ("192.0.2.1", 40000)
REMOTE = ("198.51.100.7", 5000)
CONTEXT = DtlsContext()
OTHER_CONTEXT = DtlsContext()


def recorded(name: str, context: DtlsContext = OTHER_CONTEXT) -> str:
    """A recorded offer with the fingerprint of a certificate we hold."""
    text = (Path(__file__).parent / "offers" / f"{name}.sdp").read_bytes().decode()
    lines = [f"a=fingerprint:{context.fingerprint}" if "a=fingerprint" in x else x for x in text.split("\r\n")]
    return "\r\n".join(lines)


class Outbox:
    """Stands where a UDP socket stands."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, data: bytes, remote: Any, local: Any = None) -> None:
        self.sent.append(data)


class EndpointDouble:
    """sfu.endpoint.Endpoint with a clock the test turns and paths without packets."""

    def __init__(self) -> None:
        self.clock = 100.0
        self.port = 40000
        self.counters = Counters()
        self.streams: dict[Any, Any] = {}
        self.peers: set[Any] = set()
        self.uplink = Uplink(self.peers)
        self.registry: dict[str, PeerTransport] = {}
        self.timed: list[Any] = []
        self.numbers = itertools.count(1)

    def now(self) -> float:
        return self.clock

    def session_id(self) -> int:
        return next(self.numbers)

    def credentials(self) -> Credentials:
        number = next(self.numbers)
        return Credentials(f"u{number:05}", f"p{number:023}")

    def transport(self) -> PeerTransport:
        path: Any = PathDouble()
        return PeerTransport(path, CONTEXT, self.registry, self.counters, self.credentials, self.clock)

    def addresses(self, extra: Sequence[str]) -> list[str]:
        return ["192.0.2.1", *extra]

    def watch(self, timed: Any) -> None:
        self.timed.append(timed)

    def unwatch(self, timed: Any) -> None:
        if timed in self.timed:
            self.timed.remove(timed)

    def advance(self, seconds: float, step: float = 0.02) -> None:
        """Turns the clock and wakes what is due."""
        end = self.clock + seconds
        while self.clock < end:
            self.clock += step
            for timed in [*self.timed, self.uplink]:
                if timed.wake_at <= self.clock:
                    timed.handle_timer(self.clock)


def check(transport: PeerTransport, now: float, *, nominate: bool = True, remote: Any = REMOTE) -> Outbox:
    """An authenticated connectivity check."""
    credentials = transport.credentials
    attributes = [(int(Attribute.USERNAME), f"{credentials.ufrag}:peer".encode())]
    if nominate:
        attributes.append((int(Attribute.USE_CANDIDATE), b""))
    key = credentials.password.encode()
    data = stun.encode(Method.BINDING, MessageClass.REQUEST, b"t" * 12, attributes, key=key, fingerprint=True)
    socket: Any = Outbox()
    transport.receive_check(stun.parse(data), remote, LOCAL, socket, now)
    return socket


def shake(transport: PeerTransport, peer: DtlsConnection, now: float) -> None:
    """Exchanges DTLS datagrams until both are quiet."""
    path: Any = transport.path
    peer.start(now)
    for _ in range(10):
        for datagram in peer.datagrams_to_send():
            transport.receive_dtls(datagram, now)
        sent, path.sent = path.sent, []
        for datagram in sent:
            peer.receive_datagram(datagram, now)


def connect(transport: PeerTransport, now: float, context: DtlsContext = OTHER_CONTEXT) -> DtlsConnection:
    """Checks and handshake of a peer whose certificate is `context`'s."""
    check(transport, now)
    peer = context.client()
    shake(transport, peer, now)
    return peer


def path_of(connection: Any) -> PathDouble:
    """The path double of a connection or transport."""
    transport = getattr(connection, "transport", connection)
    path: Any = transport.path
    return path


def browser_answer(offer: str, *, drop: Sequence[str] = (), context: DtlsContext = OTHER_CONTEXT) -> str:
    """What a browser would answer to a subscribe offer; codecs whose rtpmap contains a word of `drop` are left out."""
    described = parse(offer)
    result = ["v=0", "o=- 7 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE " + " ".join(described.bundle)]
    for media in described.media:
        kept = [c for c in media.codecs.values() if not any(word in c.name for word in drop)]
        numbers = {codec.payload_type for codec in kept}
        kept = [codec for codec in kept if codec.repairs is None or codec.repairs in numbers]
        result.append(f"m={media.kind} 9 UDP/TLS/RTP/SAVPF {' '.join(str(c.payload_type) for c in kept)}")
        result += ["a=mid:" + media.mid, "a=ice-ufrag:peer", "a=ice-pwd:" + "x" * 22, "a=setup:active", "a=recvonly"]
        result += [f"a=fingerprint:{context.fingerprint}", "a=rtcp-mux"]
        for codec in kept:
            channels = f"/{codec.channels}" if codec.channels > 1 else ""
            result.append(f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}")
            parameters = ";".join(f"{key}={value}" for key, value in codec.parameters.items())
            if parameters:
                result.append(f"a=fmtp:{codec.payload_type} {parameters}")
        result += [f"a=extmap:{each.identifier} {each.uri}" for each in media.extensions]
    return "\r\n".join(result) + "\r\n"


__all__ = ["CONTEXT", "OTHER_CONTEXT", "State"]
