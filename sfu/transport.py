"""One peer connection: ICE-lite, DTLS and the SRTP data path, and the order in which they come to life.

RFC 8842 (roles), 5763, 5764 (DTLS-SRTP). DTLS starts with the first datagram, also before the description came;
the data path gets its keys only after the certificate was found in that description. Times are monotonic seconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from pylibsrtp import Policy

from sfu import rtcp, sdp
from sfu.counters import Counters
from sfu.description import LocalTransport
from sfu.ice_lite import Address, Credentials, IceLite, IceState, Outcome
from sfu.rtcp import RtcpError, RtcpPacket
from wire.dtls import DtlsContext
from wire.stun import Message

if TYPE_CHECKING:
    from sfu import forward
    from wire.udp import UdpSocket

MAX_FUTILE_HANDSHAKE_SECONDS = 30.0
REST_SECONDS = 2.0  # between looks whether DTLS has done its work
NEVER = float("inf")

RTCP_NAMES: dict[type, str] = {
    rtcp.SenderReport: "sr",
    rtcp.ReceiverReport: "rr",
    rtcp.SourceDescription: "sdes",
    rtcp.Bye: "bye",
    rtcp.Nack: "nack",
    rtcp.PictureLoss: "pli",
    rtcp.FullIntraRequest: "fir",
    rtcp.Remb: "remb",
    rtcp.TransportFeedback: "transport-cc",
}


class State(StrEnum):
    """`CONNECTED`: media can flow. `FAILED`: ICE consent or DTLS is lost; ICE may come back through a restart."""

    NEW = "new"
    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"


class TransportOwner(Protocol):
    """Who a transport reports to, and who wakes it."""

    wake_at: float

    def transport_changed(self, state: State, now: float) -> None:
        """The state is now this."""

    def rtcp_received(self, packets: Sequence[RtcpPacket], now: float, arrived_at: float) -> None:
        """One compound, decrypted and parsed; `arrived_at` is when the kernel had it, before it waited for us."""


class PeerTransport:
    """Owned by a publish or subscribe connection; the registry maps local username fragments to transports."""

    def __init__(
        self,
        path: forward.Transport,
        dtls: DtlsContext,
        registry: MutableMapping[str, PeerTransport],
        counters: Counters,
        new_credentials: Callable[[], Credentials],
        now: float,
    ) -> None:
        self.path = path
        self.owner: TransportOwner | None = None
        self.state = State.NEW
        self.fingerprint = dtls.fingerprint
        self.ice = IceLite(new_credentials(), now)
        self.remote: sdp.Transport | None = None
        self._context = dtls
        self._dtls = dtls.server()
        self._dtls_client = False
        self._dtls_started_at: float | None = None
        self._keyed = False
        self._rest_at = NEVER
        self._registry = registry
        self.counters = counters
        self._new_credentials = new_credentials
        self._ice_counted = False
        self._register()

    @property
    def credentials(self) -> Credentials:
        """What descriptions announce now."""
        return self.ice.credentials

    def local(self, addresses: Sequence[str], port: int) -> LocalTransport:
        """What a description says of us now."""
        return LocalTransport(self.credentials, self.fingerprint, addresses, port)

    def _register(self) -> None:
        for ufrag in [each for each, transport in self._registry.items() if transport is self]:
            del self._registry[ufrag]
        for ufrag in self.ice.ufrags:
            self._registry[ufrag] = self

    def restart_ice(self, now: float) -> None:
        """New credentials for the next description."""
        for ufrag in self.ice.ufrags:
            self._registry.pop(ufrag, None)
        self.ice.restart(self._new_credentials(), now)
        for ufrag in self.ice.ufrags:
            self._registry[ufrag] = self
        self.counters.ice_restarts["started"] += 1

    def restarted_by_peer(self, ufrag: str, password: str, now: float) -> None:
        """The peer restarts ICE without a new description: all else stays (RFC 9725 §4.3.3)."""
        if self.remote is not None:
            self.remote = replace(self.remote, ufrag=ufrag, password=password)
        self.restart_ice(now)

    def set_remote(self, remote: sdp.Transport, *, client: bool, now: float) -> None:
        """The peer's description; `client`: we open the DTLS handshake (it said setup:passive)."""
        self.remote = remote
        if client and not self._dtls_client and self._dtls.state == "new":
            self._dtls_client = True
            self._dtls = self._context.client()
        self._advance(now)

    def receive_check(
        self, message: Message, source: Address, local: Address, socket: UdpSocket, now: float
    ) -> Outcome:
        """A STUN message that names one of our username fragments.

        Not answered from an address that another connection lives on: who forges source addresses could stop it.
        """
        if self.path.is_taken(source, local):
            return Outcome.TAKEN
        fragments = len(self.ice.ufrags)
        check = self.ice.receive(message, source, local, now)
        if check.response is not None:
            self.path.send_check(socket, check.response, source, local)
        if check.outcome is not Outcome.OK:
            return check.outcome
        self.path.add_remote(source, local)
        if check.selected:
            self.path.select(socket, source, local)
        if len(self.ice.ufrags) != fragments:
            self.counters.ice_restarts["succeeded"] += 1
            self._register()
        if not self._ice_counted:
            self._ice_counted = True
            self.counters.ice_connections["connected"] += 1
            self.counters.ice_connect_seconds.observe(now - self.ice.started_at)
        self._advance(now)
        return check.outcome

    def receive_dtls(self, data: bytes, now: float) -> None:
        """A datagram of the DTLS class from one of the validated addresses."""
        if self.state is State.CLOSED:
            return
        if self._dtls_started_at is None:
            self._dtls_started_at = now
        self._dtls.receive_datagram(data, now)
        self._advance(now)

    def _advance(self, now: float) -> None:
        """Sends what DTLS has to say and takes the next step towards media."""
        if self.state is State.CLOSED:
            return
        if self._dtls_client and self._dtls_started_at is None and self.ice.pair is not None:
            self._dtls_started_at = now
            self._dtls.start(now)
        for datagram in self._dtls.datagrams_to_send():
            self.path.send_raw(datagram)
        if self._dtls.state == "connected" and not self._keyed and self.remote is not None:
            self._take_keys(now)
        if self._dtls.state in ("failed", "closed"):
            if not self._keyed and self.state is not State.FAILED:
                self.counters.dtls_handshakes["failed"] += 1
            self._become(State.FAILED, now)
        elif self._keyed and self.ice.state is IceState.CONNECTED:
            self._become(State.CONNECTED, now)
        if self.owner is not None:
            self.owner.wake_at = min(self.owner.wake_at, self.next_timer())

    def _take_keys(self, now: float) -> None:
        remote = self.remote
        if remote is None or not any(
            self._dtls.peer_fingerprint(algorithm) == digest for algorithm, digest in remote.fingerprints
        ):
            self.counters.dtls_handshakes["fingerprint"] += 1
            self._keyed = False
            self._dtls.close()
            self._become(State.FAILED, now)
            return
        keys = self._dtls.srtp_keys()
        self.path.set_keys(getattr(Policy, keys.profile), keys.local_key, keys.remote_key)
        self._keyed = True
        self._rest_at = now + REST_SECONDS
        self.counters.dtls_handshakes["connected"] += 1
        self.counters.dtls_handshake_seconds.observe(now - (self._dtls_started_at or now))

    def _rest(self, now: float) -> None:
        """Who sends SRTP has our last flight, and DTLS has done its work."""
        heard = self.path.last_received_at > 0
        self._rest_at = NEVER if heard else now + REST_SECONDS
        if heard and self._dtls.rest():
            self.counters.dtls_rested += 1

    def _become(self, state: State, now: float) -> None:
        if state is self.state:
            return
        self.state = state
        if self.owner is not None:
            self.owner.transport_changed(state, now)

    def receive_rtcp(self, compound: bytes, now: float, arrived_at: float) -> None:
        """A decrypted compound; what is not RTCP is counted and dropped."""
        try:
            packets = rtcp.parse_compound(compound)
        except RtcpError:
            self.counters.rtcp_in["malformed"] += 1
            return
        for packet in packets:
            self.counters.rtcp_in[RTCP_NAMES[type(packet)]] += 1
        if self.owner is not None and self.state is not State.CLOSED:
            self.owner.rtcp_received(packets, now, arrived_at)

    def send_rtcp(self, packets: Sequence[RtcpPacket]) -> None:
        """One compound."""
        if self.state is not State.CONNECTED or not packets:
            return
        self.path.send_rtcp(rtcp.build_compound(packets))
        for packet in packets:
            self.counters.rtcp_out[RTCP_NAMES[type(packet)]] += 1

    def send_feedback(self, sender_ssrc: int, media_ssrc: int, before: Sequence[RtcpPacket]) -> None:
        """Transport-wide feedback on what has arrived, each packet behind `before`."""
        if self.state is not State.CONNECTED:
            return
        head = rtcp.build_compound(before) if before else b""
        sent = self.path.send_feedback(sender_ssrc, media_ssrc, head)
        for kind in (rtcp.TransportFeedback, *(type(packet) for packet in before)):
            self.counters.rtcp_out[RTCP_NAMES[kind]] += sent

    def send_reports(self, now: float) -> int | None:
        """Sender reports of all slots that carry something; the middle of their NTP time, None when there was none."""
        sent = self.path.send_reports(now) if self.state is State.CONNECTED else None
        if sent is None:
            return None
        middle, slots = sent
        self.counters.rtcp_out[RTCP_NAMES[rtcp.SenderReport]] += slots
        self.counters.rtcp_out[RTCP_NAMES[rtcp.SourceDescription]] += slots
        return middle

    def next_timer(self) -> float:
        """When to call `handle_timer`; infinity for never."""
        if self.state is State.CLOSED:
            return NEVER
        dtls = self._dtls.next_timer()
        return min(self.ice.next_timer(), self._rest_at, NEVER if dtls is None else dtls)

    def handle_timer(self, now: float) -> None:
        """Consent, and DTLS retransmission."""
        if now < self.next_timer():
            return
        dtls = self._dtls.next_timer()
        if dtls is not None and dtls <= now:
            self._dtls.handle_timer(now)
        if now >= self._rest_at:
            self._rest(now)
        self.ice.handle_timer(now)
        if self.ice.state is IceState.FAILED and self.state is not State.FAILED:
            if not self._ice_counted:
                self.counters.ice_connections["failed"] += 1
            self._become(State.FAILED, now)
        self._advance(now)

    def close(self, now: float) -> None:
        """Says goodbye, gives everything back."""
        if self.state is State.CLOSED:
            return
        with contextlib.suppress(Exception):
            self._dtls.close()
            for datagram in self._dtls.datagrams_to_send():
                self.path.send_raw(datagram)
        self.state = State.CLOSED
        for ufrag in self.ice.ufrags:
            self._registry.pop(ufrag, None)
        self.path.close()
