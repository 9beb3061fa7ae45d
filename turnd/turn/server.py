"""The TURN server as a state machine (RFC 8656): messages and time in, answers out; relays are opened through its host.

Allocations are the registry's. ChannelData and relayed data never come here: the packet path carries them and only
follows what the handlers in `requests` install.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from turnd.turn import requests, tcp_requests
from turnd.turn.allocation import FAMILIES, TRANSPORTS, Allocation, AnyRelay, Flow, RelayHost, TcpRelay
from turnd.turn.authentication import AUTH_FAILURES, Authenticator, Identity, Refused
from turnd.turn.credentials import Credentials
from turnd.turn.limits import DEFAULT_LIMITS, Limits
from turnd.turn.nonce import NONCE_SECONDS, NonceAuthority
from turnd.turn.peer_policy import DENY_REASONS, OWN_DENIED, IpNetwork, Near, PeerPolicy, Verdict, family_of
from turnd.turn.registry import Registry
from turnd.turn.relay_ports import PortPool
from turnd.turn.retransmissions import RecentAnswers
from turnd.turn.source_limit import SourceLimiter
from turnd.turn.tcp_connections import TcpConnections
from wire import stun
from wire.stun import Attribute, MessageClass, Method

REQUEST_RESULTS = ("success", "error", "unauthenticated", "limited", "malformed", "ignored", "fault")
ALLOCATION_RESULTS = ("created", "400", "405", "420", "437", "440", "442", "486", "508")


class TurnServer:
    """The core. `token(n)` gives n random bytes, `epoch()` seconds since 1970; `pools` are keyed by family, 4 and 6."""

    def __init__(
        self,
        host: RelayHost,
        credentials: Credentials,
        pools: Mapping[int, PortPool],
        *,
        token: Callable[[int], bytes],
        epoch: Callable[[], float],
        limits: Limits = DEFAULT_LIMITS,
        tcp_relay: bool = False,
        mobility: bool = False,
    ) -> None:
        """`tcp_relay`: there are TCP allocations (RFC 6062); `mobility`: others can follow their clients (RFC 8016)."""
        self.host = host
        self.tcp_relay = tcp_relay
        self.tcp = TcpConnections(host.tell, self._reply, token)
        self._handlers = requests.HANDLERS | (tcp_requests.HANDLERS if tcp_relay else {})
        self.registry = Registry(host, pools, token, limits, mobility=mobility)
        self.authenticator = Authenticator(credentials, NonceAuthority(token(32)), epoch)
        self.peer_policy = PeerPolicy()
        self.draining = False
        self._recent = {method: RecentAnswers() for method in requests.HANDLERS}
        # As long as its nonce is good, so that a late duplicate cannot bring an allocation back that has ended.
        self._recent[Method.ALLOCATE] = RecentAnswers(NONCE_SECONDS + 1)
        self._limiter = SourceLimiter(
            limits.unauthenticated_rate, limits.unauthenticated_burst, seed=int.from_bytes(token(8), "big")
        )
        self.requests = {(transport, result): 0 for transport in TRANSPORTS for result in REQUEST_RESULTS}
        self.auth_failures = dict.fromkeys(AUTH_FAILURES, 0)
        self.denied_peers = dict.fromkeys(DENY_REASONS, 0)
        self.allocation_results = dict.fromkeys(ALLOCATION_RESULTS, 0)

    @property
    def limits(self) -> Limits:
        """What holds now."""
        return self.registry.limits

    def use_limits(self, limits: Limits) -> None:
        """Other bounds from now on."""
        self.registry.use_limits(limits)
        self._limiter.rate, self._limiter.burst = limits.unauthenticated_rate, limits.unauthenticated_burst

    def set_addresses(
        self,
        inside: Collection[str],
        public: Collection[str],
        allow: Collection[IpNetwork],
        former: Collection[str] = (),
        near: Near | None = None,
    ) -> None:
        """Our addresses on interfaces and outside of a NAT, best first, and the peers that configuration opens.

        `former` ones are not announced any more, but relays announced under them can be reached. `near`: LANs, routers.
        """
        self.peer_policy = PeerPolicy({*inside, *public, *former}, allow, near)
        self.registry.set_addresses(inside, public)

    def verdict(self, host: str, relay: AnyRelay) -> Verdict:
        """The policy on a peer of a relay. Nothing is delivered in memory over TCP, so our own addresses are denied."""
        verdict = self.peer_policy.judge(host)
        return OWN_DENIED if verdict.restricted and isinstance(relay, TcpRelay) else verdict

    def enforce_policy(self, now: float) -> None:
        """Judges peers anew: who is denied is out of reach at once, by channels and connections too."""
        for allocation in self.registry.allocations.values():
            for host, expires_at in allocation.permissions.living(now):
                relay = allocation.relays[family_of(host)].relay
                verdict = self.verdict(host, relay)
                if not verdict.allowed:
                    allocation.permissions.revoke(host)
                if not isinstance(relay, TcpRelay):
                    relay.permit(host, expires_at if verdict.allowed else now, verdict.restricted)
        self.tcp.end_denied(lambda connection: self.verdict(connection.peer[0], connection.relay).allowed)

    # Messages.

    def receive(self, data: bytes, flow: Flow, now: float) -> bytes | None:
        """One STUN message from a client; the answer to it, if any. Never raises for what a client sends."""
        try:
            message = stun.parse(data)
        except stun.StunError:
            return self._count(flow, "malformed")
        if message.has_fingerprint and not stun.verify_fingerprint(message):
            return self._count(flow, "malformed")
        if message.message_class == MessageClass.REQUEST:
            if message.method == Method.BINDING:
                return self._binding(message, flow, now)
            if message.method in self._handlers:
                return self._request(message, flow, now)
        elif message.message_class == MessageClass.INDICATION and message.method == Method.SEND:
            self._send(message, flow, now)
            return None
        return self._count(flow, "ignored")

    def _count(self, flow: Flow, result: str, response: bytes | None = None) -> bytes | None:
        self.requests[flow.transport, result] += 1
        return response

    def may_answer(self, host: str, now: float) -> bool:
        """Takes one of the answers that a source gets before it has proved anything; False: it has had too many."""
        return self._limiter.allow(host, now)

    def _binding(self, message: stun.Message, flow: Flow, now: float) -> bytes | None:
        if not self.may_answer(flow.client[0], now):
            return self._count(flow, "limited")
        if message.unknown_required:
            return self._count(flow, "error", _error(message, _unknown_attributes(message)))
        answer = requests.binding(message, flow)
        return self._count(flow, "success", _answer(message, MessageClass.SUCCESS, answer))

    def _send(self, message: stun.Message, flow: Flow, now: float) -> None:
        allocation = self.registry.find(flow, now)
        if allocation is None or message.unknown_required:
            self._count(flow, "ignored")
            return
        try:
            requests.send(allocation, message)
            self.registry.mobility.used(allocation, flow)
        except stun.StunError:
            self._count(flow, "malformed")

    def arrived(self, flow: Flow, now: float) -> Allocation | None:
        """ChannelData have come from where no allocation was served; the one that is served there from now on."""
        allocation = self.registry.find(flow, now)
        if allocation is not None:
            self.registry.mobility.used(allocation, flow)
        return allocation

    def _request(self, message: stun.Message, flow: Flow, now: float) -> bytes | None:
        if not message.has_integrity:
            return self._refuse(message, flow, now)
        recent = self._recent.get(message.method)
        known = None if recent is None else recent.find(flow, message.data, now)
        if known is not None:
            return self._count(flow, "error" if known[1] & 0x10 else "success", known)  # C0, RFC 8489 §5
        allocation = self.registry.find(flow, now)
        known_user = self._known_user(message, now) if allocation is None else allocation.username
        try:
            identity = self.authenticator.authenticate(message, flow, now, known_user=known_user)
        except Refused as refused:
            return self._refuse(message, flow, now, refused)
        request = requests.Request(message, flow, now, identity, allocation)
        self.registry.mobility.asked(request)
        response = self._handle(message, request)
        if response is not None and recent is not None:
            recent.keep(flow, message.data, response, now)
        return response

    def _refuse(self, message: stun.Message, flow: Flow, now: float, refused: Refused | None = None) -> bytes | None:
        """The answer to who has not proved to be anybody, by default that this is to be done; limited by source."""
        if refused is not None and refused.reason:
            self.auth_failures[refused.reason] += 1
        if not self.may_answer(flow.client[0], now):
            return self._count(flow, "limited")
        refused = refused or self.authenticator.challenge(401, flow, now, "")
        return self._count(flow, "unauthenticated", _error(message, refused))

    def _known_user(self, message: stun.Message, now: float) -> str | None:
        """Whose allocation a request speaks of on a 5-tuple without one: ConnectionBind does, and a ticket."""
        if message.method == Method.CONNECTION_BIND:
            connection = tcp_requests.pending(self, message)
            return None if connection is None else connection.allocation.username
        allocation = self.registry.mobility.shown(message, now)
        return None if allocation is None else allocation.username

    def _handle(self, message: stun.Message, request: requests.Request) -> bytes | None:
        """The answer to an authenticated request, None when it comes later."""
        result = "created"
        try:
            if message.unknown_required:
                raise _unknown_attributes(message)
            attributes = self._handlers[message.method](self, request)
            if attributes is None:
                return None
            response = _answer(message, MessageClass.SUCCESS, attributes, request.identity)
        except Refused as refused:
            result, response = str(refused.code), _error(message, refused, request.identity)
        except stun.StunError:
            result, response = "400", _error(message, Refused(400), request.identity)
        if message.method == Method.ALLOCATE:
            self.allocation_results[result] += 1
        elif message.method == Method.REFRESH and message.get(Attribute.MOBILITY_TICKET) is not None:
            self.registry.mobility.results["accepted" if result == "created" else result] += 1
        self._count(request.flow, "success" if result == "created" else "error")
        return response

    def _reply(self, request: requests.Request, outcome: requests.Attributes | Refused) -> None:
        """The late answer to an authenticated request of an allocation."""
        message, identity = request.message, request.identity
        if isinstance(outcome, Refused):
            self._count(request.flow, "error")
            response = _error(message, outcome, identity)
        else:
            self._count(request.flow, "success")
            response = _answer(message, MessageClass.SUCCESS, outcome, identity)
        self.host.tell(request.allocation.flow if request.allocation is not None else request.flow, response)

    def count_allocations(self) -> dict[tuple[str, str], int]:
        """Live relayed addresses by transport and family, zeros included."""
        counts = {(transport, family): 0 for transport in TRANSPORTS for family in FAMILIES.values()}
        for allocation in self.registry.allocations.values():
            for family in allocation.relays:
                counts[allocation.flow.transport, FAMILIES[family]] += 1
        return counts


def _answer(
    message: stun.Message,
    message_class: MessageClass,
    attributes: requests.Attributes,
    identity: Identity | None = None,
) -> bytes:
    """An answer with the integrity and FINGERPRINT the request had."""
    return stun.encode(
        message.method,
        message_class,
        message.transaction_id,
        attributes,
        key=None if identity is None else identity.key,
        sha256=identity is not None and identity.sha256,
        fingerprint=message.has_fingerprint,
    )


def _error(message: stun.Message, refused: Refused, identity: Identity | None = None) -> bytes:
    """An error answer without a reason phrase."""
    attributes = [(int(Attribute.ERROR_CODE), stun.encode_error(refused.code, b"")), *refused.attributes]
    return _answer(message, MessageClass.ERROR, attributes, identity)


def _unknown_attributes(message: stun.Message) -> Refused:
    value = stun.encode_unknown_attributes(message.unknown_required)
    return Refused(420, (Attribute.UNKNOWN_ATTRIBUTES, value))
