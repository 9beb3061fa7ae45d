"""All allocations of a server and the ports they hold: who has what, how much one may have, and when it ends.

Knows no messages. Owns the allocations, the reservations of EVEN-PORT (RFC 8656 §7.2) and the port pools; relays are
opened and closed through the host.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from ipaddress import ip_address
from itertools import count
from math import inf
from typing import Any, NamedTuple, cast

from turnd.turn.allocation import (
    RESERVATION_SECONDS,
    Allocation,
    AnyRelay,
    Flow,
    RelayedAddress,
    RelayHost,
    Reservation,
)
from turnd.turn.authentication import Refused
from turnd.turn.limits import Limits
from turnd.turn.mobility import Mobility
from turnd.turn.peer_policy import family_of
from turnd.turn.relay_ports import PortPool
from wire.measure import Histogram

MAX_PORT_ATTEMPTS = 16
TOKEN_BYTES = 8
LIFETIME_BOUNDS = (1, 10, 60, 300, 600, 1800, 3600, 7200, 14400, 43200)


class Wanted(NamedTuple):
    """What an Allocate request asks for."""

    families: tuple[int, ...]
    """4, 6 or both: any of them is enough."""
    even: bool
    reserve_next: bool
    token: bytes | None
    lifetime: int
    tcp: bool = False
    """Whether TCP is relayed (RFC 6062)."""


class Granted(NamedTuple):
    """What it gets."""

    allocation: Allocation
    token: bytes | None
    """When the next port was reserved."""
    failed: Mapping[int, int]
    """Families that were wanted too, and why they could not be had: 440 or 508."""


class Registry:
    """Makes, extends and ends allocations. `token(n)` gives n random bytes; `pools` are keyed by family, 4 and 6."""

    def __init__(
        self,
        host: RelayHost,
        pools: Mapping[int, PortPool],
        token: Callable[[int], bytes],
        limits: Limits,
        *,
        mobility: bool = False,
    ) -> None:
        self.limits = limits
        self.allocations: dict[Flow, Allocation] = {}
        self.mobility = Mobility(host, self.allocations, token, find=self.find, allowed=mobility)
        self.reservations: dict[bytes, Reservation] = {}
        self.lifetimes = Histogram(LIFETIME_BOUNDS)
        self.ports = 0  # held now, reserved ones included
        self._ports_of: Counter[str] = Counter()  # the same by user name
        self._host = host
        self._pools = pools
        self._token = token
        self._announced: dict[int, str] = {}  # public address by family
        self._inside: dict[int, str] = {}
        self._queue: list[tuple[float, int, Allocation]] = []
        self._serial = count()

    def set_addresses(self, inside: Collection[str], public: Collection[str]) -> None:
        """What relayed addresses can be announced as: addresses outside of a NAT, best first, and on interfaces."""
        self._announced = {family_of(host): host for host in reversed(list(public))}
        self._inside = {family_of(host): host for host in sorted(inside, key=_narrowness, reverse=True)}

    def use_limits(self, limits: Limits) -> None:
        """Other bounds from now on; of what lives already they hold for the bandwidth."""
        self.limits = limits
        for allocation in self.allocations.values():
            for relayed in allocation.relays.values():
                relayed.relay.limit(limits.allocation_bps // 8)

    def _relayed_host(self, family: int, flow: Flow) -> str:
        """The address we announce: the outside one, else the one the client talks to, else any of that family."""
        local = flow.local[0] if family_of(flow.local[0]) == family else None
        host = self._announced.get(family) or local or self._inside.get(family)
        if host is None:
            raise Refused(440)
        return host

    # Begin.

    def find(self, flow: Flow, now: float) -> Allocation | None:
        """The live allocation of a 5-tuple, be it one where its client is only expected."""
        allocation = self.allocations.get(flow) or self.mobility.arriving.get(flow)
        if allocation is not None and allocation.timer_at <= now:
            self._end_expired(allocation, now)
            return allocation if allocation.relays else None
        return allocation

    def allocate(self, flow: Flow, username: str, wanted: Wanted, now: float) -> Granted:
        """A new allocation with as many of the wanted families as can be had; raises Refused 440, 486 or 508."""
        if wanted.token is not None:
            relayed = self._take_reserved(wanted.token, username, now + wanted.lifetime, now)
            return Granted(self._begin(flow, username, [relayed], now), None, {})
        opened: list[RelayedAddress] = []
        refusals: dict[int, int] = {}
        reserved: AnyRelay | None = None
        for family in wanted.families:
            try:
                self._check_quota(username, len(opened) + 1 + wanted.reserve_next)
                host = self._relayed_host(family, flow)
                port, relay, reserved = self._open(family, host, wanted)
            except Refused as refused:
                refusals[family] = refused.code
            else:
                opened.append(RelayedAddress(relay, (host, port), family, now + wanted.lifetime))
        if not opened:
            raise Refused(max(refusals.values()))  # what may be there another time before what never is
        token = None if reserved is None else self._reserve(reserved, opened[0], username, now)
        allocation = self._begin(flow, username, opened, now)
        return Granted(allocation, token, {family: 440 if code == 440 else 508 for family, code in refusals.items()})

    def _check_quota(self, username: str, ports: int) -> None:
        """Refused 486 when so many more are too many, of this user or in all."""
        limits = self.limits
        if self.ports + ports > limits.allocations or self._ports_of[username] + ports > limits.allocations_of_user:
            raise Refused(486)

    def _reserve(self, relay: AnyRelay, below: RelayedAddress, username: str, now: float) -> bytes:
        """The token for the port above `below`, on which `relay` is open."""
        token = self._token(TOKEN_BYTES)
        host, port = below.address
        ends_at = now + RESERVATION_SECONDS
        self.reservations[token] = Reservation(relay, host, below.family, port + 1, username, ends_at)
        self._hold(username)
        return token

    def _take_reserved(self, token: bytes, username: str, expires_at: float, now: float) -> RelayedAddress:
        """The reserved relay; raises Refused 486, and 508 when the token is unknown or too old."""
        reservation = self.reservations.get(token)
        if reservation is None:
            raise Refused(508)
        if reservation.expires_at <= now:
            self._drop(self.reservations.pop(token))
            raise Refused(508)
        if username != reservation.username and self._ports_of[username] >= self.limits.allocations_of_user:
            raise Refused(486)
        del self.reservations[token]
        self._give_back(reservation.username)
        return RelayedAddress(
            reservation.relay, (reservation.relayed, reservation.port), reservation.family, expires_at
        )

    def _open_one(self, family: int, port: int, host: str, *, tcp: bool) -> AnyRelay:
        return self._host.open_tcp_relay(family, port) if tcp else self._host.open_relay(family, port, host)

    def _open(self, family: int, host: str, wanted: Wanted) -> tuple[int, AnyRelay, AnyRelay | None]:
        """Relays on ports that are free and can be bound; what cannot goes back to the pool. Raises Refused 508."""
        pool, pair = self._pools[family], wanted.reserve_next
        failed: list[int] = []
        try:
            for _ in range(MAX_PORT_ATTEMPTS):
                port = pool.take_even(pair=pair) if wanted.even else pool.take()
                if port is None:
                    break
                ports = [port, port + 1] if pair else [port]
                relays: list[AnyRelay] = []
                try:
                    relays.extend(self._open_one(family, each, host, tcp=wanted.tcp) for each in ports)
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

    def _begin(self, flow: Flow, username: str, opened: list[RelayedAddress], now: float) -> Allocation:
        allocation = Allocation(flow, username, now, {each.family: each for each in opened})
        for second in opened[1:]:
            second.relay.pair(cast("Any", opened[0].relay))  # which is of the same kind
        opened[0].relay.limit(self.limits.allocation_bps // 8)
        self.allocations[flow] = allocation
        for _ in opened:
            self._hold(username)
        self._host.allocated(allocation)
        self._look_again(allocation)
        return allocation

    # End.

    def extend(self, allocation: Allocation, families: Iterable[int], expires_at: float) -> None:
        """Gives relayed addresses of an allocation a new time to expiry."""
        for family in families:
            allocation.relays[family].expires_at = expires_at
        self._look_again(allocation)

    def release(self, allocation: Allocation, now: float, families: Iterable[int] | None = None) -> None:
        """Ends the relayed addresses of `families` (None: all), and the allocation with its last one.

        Ports are free at once, and so is the 5-tuple.
        """
        if self.allocations.get(allocation.flow) is not allocation:
            return
        for family in list(allocation.relays if families is None else families):
            relayed = allocation.relays.pop(family)
            relayed.relay.close()
            self._pools[family].release(relayed.address[1])
            self._give_back(allocation.username)
            allocation.permissions.forget_family(family)
            allocation.channels.forget_family(family)
            self._host.closed(allocation, relayed)
        if not allocation.relays:
            del self.allocations[allocation.flow]
            self.mobility.forget(allocation)
            self.lifetimes.observe(now - allocation.began_at)
            self._host.released(allocation)

    def release_flow(self, flow: Flow, now: float) -> None:
        """A client's stream has ended, and with it its allocation, unless somebody has a ticket for that."""
        allocation = self.allocations.get(flow)
        if allocation is None:
            self.mobility.stream_ended(flow)
        elif not self.mobility.outlives_stream(allocation):
            self.release(allocation, now)

    def close(self, now: float) -> None:
        """Ends everything."""
        for allocation in list(self.allocations.values()):
            self.release(allocation, now)
        for reservation in self.reservations.values():
            self._drop(reservation)
        self.reservations.clear()

    def _drop(self, reservation: Reservation) -> None:
        reservation.relay.close()
        self._pools[reservation.family].release(reservation.port)
        self._give_back(reservation.username)

    def _hold(self, username: str) -> None:
        self.ports += 1
        self._ports_of[username] += 1

    def _give_back(self, username: str) -> None:
        self.ports -= 1
        self._ports_of[username] -= 1
        if not self._ports_of[username]:
            del self._ports_of[username]

    # Time.

    def _look_again(self, allocation: Allocation) -> None:
        """Keeps an entry of the queue no later than the next expiry; those that came too early are moved then."""
        due = min([each.expires_at for each in allocation.relays.values()])
        if due >= allocation.timer_at:
            return
        allocation.timer_at = due
        if len(self._queue) > 2 * len(self.allocations) + 64:
            self._queue = [(each.timer_at, next(self._serial), each) for each in self.allocations.values()]
            heapq.heapify(self._queue)
        else:
            heapq.heappush(self._queue, (due, next(self._serial), allocation))

    def _end_expired(self, allocation: Allocation, now: float) -> None:
        expired = [family for family, each in allocation.relays.items() if each.expires_at <= now]
        self.release(allocation, now, expired)

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        first = next(iter(self.reservations.values()), None)
        if first is None:
            return self._queue[0][0] if self._queue else None
        return min(first.expires_at, self._queue[0][0]) if self._queue else first.expires_at

    def handle_timer(self, now: float) -> None:
        """Ends relayed addresses and reservations whose time is over."""
        while self._queue and self._queue[0][0] <= now:
            due, _, allocation = heapq.heappop(self._queue)
            if self.allocations.get(allocation.flow) is not allocation or allocation.timer_at != due:
                continue
            allocation.timer_at = inf
            self._end_expired(allocation, now)
            if allocation.relays:
                self._look_again(allocation)
        for token, reservation in list(self.reservations.items()):  # in order of expiry: all live equally long
            if reservation.expires_at > now:
                break
            del self.reservations[token]
            self._drop(reservation)


def _narrowness(host: str) -> int:
    """How little of the world can reach an address of ours."""
    address = ip_address(host)
    return 2 if address.is_loopback else 1 if address.is_link_local else 0
