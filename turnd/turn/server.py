"""The TURN server as a state machine (RFC 8656): messages and time in, answers out; relays are opened through its host.

Owns the allocations, reservations and port pools. ChannelData and relayed data never come here: the packet path carries
them and only follows what the handlers in `requests` install.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_address
from itertools import count
from typing import NamedTuple

from turnd.turn import requests
from turnd.turn.allocation import (
    FAMILIES,
    RESERVATION_SECONDS,
    TRANSPORTS,
    Allocation,
    Flow,
    Relay,
    RelayHost,
    Reservation,
    family_of,
)
from turnd.turn.authentication import AUTH_FAILURES, Authenticator, Identity, Refused
from turnd.turn.credentials import Credentials
from turnd.turn.nonce import NonceAuthority
from turnd.turn.peer_policy import DENY_REASONS, IpNetwork, PeerPolicy
from turnd.turn.relay_ports import PortPool
from turnd.turn.retransmissions import RecentAnswers
from turnd.turn.source_limit import SourceLimiter
from wire import stun
from wire.measure import Histogram
from wire.stun import Attribute, MessageClass, Method

MAX_ALLOCATIONS = 2000
MAX_ALLOCATIONS_OF_USER = 40  # relayed ports of one user name
MAX_PORT_ATTEMPTS = 16
UNAUTHENTICATED_RATE = 50.0  # answers a second to one source that has proved nothing, and at once
UNAUTHENTICATED_BURST = 200.0
TOKEN_BYTES = 8
REQUEST_RESULTS = ("success", "error", "unauthenticated", "limited", "malformed", "ignored", "fault")
ALLOCATION_RESULTS = ("created", "400", "420", "437", "440", "442", "486", "508")
LIFETIME_BOUNDS = (1, 10, 60, 300, 600, 1800, 3600, 7200, 14400, 43200)


class Limits(NamedTuple):
    """Bounds of one server."""

    allocations: int = MAX_ALLOCATIONS
    allocations_of_user: int = MAX_ALLOCATIONS_OF_USER
    unauthenticated_rate: float = UNAUTHENTICATED_RATE
    unauthenticated_burst: float = UNAUTHENTICATED_BURST


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
        limits: Limits | None = None,
    ) -> None:
        self.host = host
        self.limits = limits or Limits()
        self.authenticator = Authenticator(credentials, NonceAuthority(token(32)), epoch)
        self.peer_policy = PeerPolicy()
        self.draining = False
        self.allocations: dict[Flow, Allocation] = {}
        self.reservations: dict[bytes, Reservation] = {}
        self._held: Counter[str] = Counter()  # ports of each user name, reserved ones included
        self._announced: dict[int, str] = {}  # public address by family
        self._inside: dict[int, str] = {}
        self._pools = pools
        self._token = token
        self._recent = RecentAnswers()
        self._limiter = SourceLimiter(
            self.limits.unauthenticated_rate,
            self.limits.unauthenticated_burst,
            seed=int.from_bytes(token(8), "big"),
        )
        self._expiries: list[tuple[float, int, Allocation]] = []
        self._serial = count()
        self.requests = {(transport, result): 0 for transport in TRANSPORTS for result in REQUEST_RESULTS}
        self.auth_failures = dict.fromkeys(AUTH_FAILURES, 0)
        self.denied_peers = dict.fromkeys(DENY_REASONS, 0)
        self.allocation_results = dict.fromkeys(ALLOCATION_RESULTS, 0)
        self.allocation_seconds = Histogram(LIFETIME_BOUNDS)

    def set_addresses(
        self,
        inside: Collection[str],
        public: Collection[str],
        allow: Collection[IpNetwork],
        former: Collection[str] = (),
    ) -> None:
        """Our addresses on interfaces and outside of a NAT, best first, and the peers that configuration opens.

        `former` ones are not announced any more, but relays announced under them can be reached.
        """
        self.peer_policy = PeerPolicy({*inside, *public, *former}, allow)
        self._announced = {family_of(host): host for host in reversed(list(public))}
        self._inside = {family_of(host): host for host in sorted(inside, key=_narrowness, reverse=True)}

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
            if message.method in requests.HANDLERS:
                return self._request(message, flow, now)
        elif message.message_class == MessageClass.INDICATION and message.method == Method.SEND:
            self._send(message, flow, now)
            return None
        return self._count(flow, "ignored")

    def _count(self, flow: Flow, result: str, response: bytes | None = None) -> bytes | None:
        self.requests[flow.transport, result] += 1
        return response

    def _binding(self, message: stun.Message, flow: Flow, now: float) -> bytes | None:
        if not self._limiter.allow(flow.client[0], now):
            return self._count(flow, "limited")
        if message.unknown_required:
            return self._count(flow, "error", _error(message, _unknown_attributes(message)))
        answer = requests.binding(message, flow)
        return self._count(flow, "success", _answer(message, MessageClass.SUCCESS, answer))

    def _send(self, message: stun.Message, flow: Flow, now: float) -> None:
        allocation = self._allocation(flow, now)
        if allocation is None or message.unknown_required:
            self._count(flow, "ignored")
            return
        try:
            requests.send(allocation, message)
        except stun.StunError:
            self._count(flow, "malformed")

    def _request(self, message: stun.Message, flow: Flow, now: float) -> bytes | None:
        known = self._recent.find(flow, message.transaction_id, message.data, now)
        if known is not None:
            return self._count(flow, "success", known)
        allocation = self._allocation(flow, now)
        known_user = None if allocation is None else allocation.username
        try:
            identity = self.authenticator.authenticate(message, flow, now, known_user=known_user)
        except Refused as refused:
            if refused.reason:
                self.auth_failures[refused.reason] += 1
            if not self._limiter.allow(flow.client[0], now):
                return self._count(flow, "limited")
            return self._count(flow, "unauthenticated", _error(message, refused))
        response = self._handle(message, requests.Request(message, flow, now, identity, allocation))
        if message.method in (Method.ALLOCATE, Method.REFRESH):
            self._recent.keep(flow, message.transaction_id, message.data, response, now)
        return response

    def _handle(self, message: stun.Message, request: requests.Request) -> bytes:
        """The answer to an authenticated request."""
        result = "created"
        try:
            if message.unknown_required:
                raise _unknown_attributes(message)
            attributes = requests.HANDLERS[message.method](self, request)
            response = _answer(message, MessageClass.SUCCESS, attributes, request.identity)
        except Refused as refused:
            result, response = str(refused.code), _error(message, refused, request.identity)
        except stun.StunError:
            result, response = "400", _error(message, Refused(400), request.identity)
        if message.method == Method.ALLOCATE:
            self.allocation_results[result] += 1
        self._count(request.flow, "success" if result == "created" else "error")
        return response

    # Allocations.

    def _allocation(self, flow: Flow, now: float) -> Allocation | None:
        allocation = self.allocations.get(flow)
        if allocation is not None and allocation.expires_at <= now:
            self.release(allocation, now)
            return None
        return allocation

    def _relayed_host(self, family: int, flow: Flow) -> str:
        """The address we announce: the outside one, else the one the client talks to, else any of that family."""
        local = flow.local[0] if family_of(flow.local[0]) == family else None
        host = self._announced.get(family) or local or self._inside.get(family)
        if host is None:
            raise Refused(440)
        return host

    def allocate(self, request: requests.Request, wanted: requests.Wanted) -> tuple[Allocation, bytes | None]:
        """A new allocation, and the token when the next port was reserved; raises Refused 440, 486 or 508."""
        if self.draining:
            raise Refused(508)
        if wanted.token is not None:
            return self._allocate_reserved(request, wanted.token, wanted.lifetime), None
        if len(self.allocations) + len(self.reservations) >= self.limits.allocations:
            raise Refused(508)
        username = request.identity.username
        if self._held[username] + 1 + wanted.reserve_next > self.limits.allocations_of_user:
            raise Refused(486)
        family = wanted.family
        host = self._relayed_host(family, request.flow)
        port, relay, next_relay = self._open(family, host, even=wanted.even, pair=wanted.reserve_next)
        token = None
        if next_relay is not None:
            token = self._token(TOKEN_BYTES)
            ends_at = request.now + RESERVATION_SECONDS
            self.reservations[token] = Reservation(next_relay, host, family, port + 1, username, ends_at)
            self._held[username] += 1
        return self._begin(request, relay, (host, port), wanted.lifetime), token

    def _allocate_reserved(self, request: requests.Request, token: bytes, lifetime: int) -> Allocation:
        """An allocation on a reserved port; raises Refused 486, and 508 when the token is unknown or too old."""
        reservation = self.reservations.get(token)
        if reservation is None:
            raise Refused(508)
        if reservation.expires_at <= request.now:
            self._drop(self.reservations.pop(token))
            raise Refused(508)
        username = request.identity.username
        if username != reservation.username and self._held[username] >= self.limits.allocations_of_user:
            raise Refused(486)
        del self.reservations[token]
        self._give_back(reservation.username)
        return self._begin(request, reservation.relay, (reservation.relayed, reservation.port), lifetime)

    def _open(self, family: int, host: str, *, even: bool, pair: bool) -> tuple[int, Relay, Relay | None]:
        """Relays on ports that are free and can be bound; what cannot goes back to the pool."""
        pool = self._pools[family]
        failed: list[int] = []
        try:
            for _ in range(MAX_PORT_ATTEMPTS):
                port = pool.take_even(pair=pair) if even else pool.take()
                if port is None:
                    break
                ports = [port, port + 1] if pair else [port]
                relays: list[Relay] = []
                try:
                    relays.extend(self.host.open_relay(family, each, host) for each in ports)
                except OSError:
                    for relay in relays:
                        relay.close()
                    failed += ports
                else:
                    return port, relays[0], relays[1] if pair else None
        finally:
            for each in failed:
                pool.release(each)
        raise Refused(508)

    def _begin(self, request: requests.Request, relay: Relay, relayed: tuple[str, int], lifetime: int) -> Allocation:
        now = request.now
        family = family_of(relayed[0])
        allocation = Allocation(
            request.flow, relay, relayed, family, relayed[1], request.identity.username, now, now + lifetime
        )
        self.allocations[request.flow] = allocation
        self._held[allocation.username] += 1
        self.host.allocated(allocation)
        self._expire_later(allocation)
        return allocation

    def _expire_later(self, allocation: Allocation) -> None:
        if len(self._expiries) > 2 * len(self.allocations) + 64:
            self._expiries = [(each.expires_at, next(self._serial), each) for each in self.allocations.values()]
            heapq.heapify(self._expiries)
        else:
            heapq.heappush(self._expiries, (allocation.expires_at, next(self._serial), allocation))

    def release(self, allocation: Allocation, now: float) -> None:
        """Ends an allocation: its 5-tuple and its port are free at once."""
        if self.allocations.get(allocation.flow) is not allocation:
            return
        del self.allocations[allocation.flow]
        allocation.relay.close()
        self._pools[allocation.family].release(allocation.port)
        self._give_back(allocation.username)
        self.allocation_seconds.observe(now - allocation.began_at)
        self.host.released(allocation)

    def _drop(self, reservation: Reservation) -> None:
        reservation.relay.close()
        self._pools[reservation.family].release(reservation.port)
        self._give_back(reservation.username)

    def _give_back(self, username: str) -> None:
        self._held[username] -= 1
        if not self._held[username]:
            del self._held[username]

    def release_flow(self, flow: Flow, now: float) -> None:
        """A client's stream has ended, and with it its allocation."""
        allocation = self.allocations.get(flow)
        if allocation is not None:
            self.release(allocation, now)

    def close(self, now: float) -> None:
        """Ends everything."""
        for allocation in list(self.allocations.values()):
            self.release(allocation, now)
        for reservation in self.reservations.values():
            self._drop(reservation)
        self.reservations.clear()

    # Time.

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        times = [reservation.expires_at for reservation in list(self.reservations.values())[:1]]
        if self._expiries:
            times.append(self._expiries[0][0])
        return min(times, default=None)

    def handle_timer(self, now: float) -> None:
        """Ends allocations and reservations whose time is over."""
        while self._expiries and self._expiries[0][0] <= now:
            allocation = heapq.heappop(self._expiries)[2]
            if self.allocations.get(allocation.flow) is not allocation:
                continue
            if allocation.expires_at <= now:
                self.release(allocation, now)
            else:
                self._expire_later(allocation)
        for token, reservation in list(self.reservations.items()):  # in order of expiry: all live equally long
            if reservation.expires_at > now:
                break
            del self.reservations[token]
            self._drop(reservation)

    def count_allocations(self) -> dict[tuple[str, str], int]:
        """Live allocations by transport and family, zeros included."""
        counts = {(transport, family): 0 for transport in TRANSPORTS for family in FAMILIES.values()}
        for allocation in self.allocations.values():
            counts[allocation.flow.transport, FAMILIES[allocation.family]] += 1
        return counts


def _narrowness(host: str) -> int:
    """How little of the world can reach an address of ours."""
    address = ip_address(host)
    return 2 if address.is_loopback else 1 if address.is_link_local else 0


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
