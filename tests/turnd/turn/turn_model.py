"""What a client may rely on after each success answer, said by RFC 8656 alone: who holds what, and until when.

It reads requests and answers, never the server: fuzzing and the state machine hold the server against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from turnd.turn.allocation import Flow
from wire import stun
from wire.stun import Attribute, Message, Method

Address = tuple[str, int]

PERMISSION_SECONDS = 300.0  # §9
CHANNEL_SECONDS = 600.0  # §12
RESERVATION_SECONDS = 30.0  # §7.2
FAMILIES = {1: 4, 2: 6}


@dataclass(eq=False)
class Held:
    """One allocation. `ends` is the time of each relayed address by family, §5."""

    user: str
    relayed: dict[int, Address] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)
    permissions: dict[str, float] = field(default_factory=dict)
    channels: dict[int, tuple[Address, float]] = field(default_factory=dict)
    mobile: bool = False
    arriving: Flow | None = None
    """Where its ticket was shown, and it has not moved to (RFC 8016 §3.2)."""


@dataclass
class Reserved:
    """A port behind a RESERVATION-TOKEN."""

    user: str
    family: int
    port: int
    ends: float


@dataclass
class TurnModel:
    """All clients of one server."""

    now: float
    allocations: dict[Flow, Held] = field(default_factory=dict)
    reservations: dict[bytes, Reserved] = field(default_factory=dict)
    tickets: dict[bytes, Held] = field(default_factory=dict)

    def find(self, flow: Flow) -> Held | None:
        """What is held at a 5-tuple, or is to come there."""
        arriving = (held for held in self.allocations.values() if held.arriving == flow)
        return self.allocations.get(flow) or next(arriving, None)

    def pass_time(self, now: float) -> None:
        """Everything whose time is over is gone."""
        self.now = now
        for flow, held in list(self.allocations.items()):
            for family in [family for family, ends in held.ends.items() if ends <= now]:
                self._end_family(flow, family)
            held.permissions = {host: ends for host, ends in held.permissions.items() if ends > now}
            held.channels = {number: each for number, each in held.channels.items() if each[1] > now}
        self.reservations = {token: each for token, each in self.reservations.items() if each.ends > now}

    def _end_family(self, flow: Flow, family: int) -> None:
        held = self.allocations[flow]
        del held.ends[family], held.relayed[family]
        held.permissions = {host: ends for host, ends in held.permissions.items() if family_of((host, 0)) != family}
        held.channels = {number: each for number, each in held.channels.items() if family_of(each[0]) != family}
        if not held.ends:
            del self.allocations[flow]

    def end(self, flow: Flow) -> None:
        """The 5-tuple is gone. What has a ticket stays, for its client to come from elsewhere."""
        held = self.find(flow)
        if held is not None and held.arriving == flow:
            held.arriving = None
        elif held is not None and not held.mobile:
            del self.allocations[flow]

    def follow(self, now_at: Mapping[Address, Flow]) -> None:
        """Where allocations are now, by one of their relayed addresses: where they were, or where a ticket was shown.

        One whose stream has ended stands nowhere; such a 5-tuple has no client.
        """
        for flow, held in list(self.allocations.items()):
            at = next((now_at[address] for address in held.relayed.values() if address in now_at), flow)
            if at != flow:
                assert held.mobile, "an allocation without a ticket moved"
                assert at == held.arriving or not at.client[0], "an allocation went where no ticket of it was shown"
                del self.allocations[flow]
                self.allocations[at] = held
            if at == held.arriving:
                held.arriving = None

    def learn(self, flow: Flow, user: str, request: Message, answer: Message) -> None:
        """A request of `user` was answered with success for the first time."""
        if request.method == Method.ALLOCATE:
            self._allocated(flow, user, request, answer)
        elif request.method == Method.REFRESH:
            self._refreshed(flow, user, request, answer)
        elif request.method in (Method.CREATE_PERMISSION, Method.CHANNEL_BIND):
            held, peers = self._found(flow, user), peers_of(request)
            for host, _ in peers if request.method == Method.CREATE_PERMISSION else peers[:1]:
                held.permissions[host] = self.now + PERMISSION_SECONDS
            if request.method == Method.CHANNEL_BIND:
                number = stun.decode_channel(request.get(Attribute.CHANNEL_NUMBER) or b"")
                held.channels[number] = peers[0], self.now + CHANNEL_SECONDS

    def _found(self, flow: Flow, user: str) -> Held:
        held = self.find(flow)
        assert held is not None, "a success without an allocation"
        assert held.user == user, "somebody else's allocation"
        return held

    def _allocated(self, flow: Flow, user: str, request: Message, answer: Message) -> None:
        assert flow not in self.allocations
        held = self.allocations[flow] = Held(user)
        ends = self.now + lifetime_of(answer)
        for value in answer.all(Attribute.XOR_RELAYED_ADDRESS):
            address = stun.decode_xor_address(value, answer.transaction_id)
            family = family_of(address)
            held.relayed[family], held.ends[family] = address, ends
        if (ticket := answer.get(Attribute.MOBILITY_TICKET)) is not None:
            held.mobile, self.tickets[ticket] = True, held
        if (token := request.get(Attribute.RESERVATION_TOKEN)) is not None:
            reserved = self.reservations.pop(token)
            assert {family: port for family, (_, port) in held.relayed.items()} == {reserved.family: reserved.port}
        if (token := answer.get(Attribute.RESERVATION_TOKEN)) is not None:
            ((family, (_, port)),) = held.relayed.items()
            assert port % 2 == 0
            self.reservations[token] = Reserved(user, family, port + 1, self.now + RESERVATION_SECONDS)

    def _refreshed(self, flow: Flow, user: str, request: Message, answer: Message) -> None:
        ticket = request.get(Attribute.MOBILITY_TICKET)
        held = self._found(flow, user) if ticket is None else self._shown(ticket, flow, user)
        if (new := answer.get(Attribute.MOBILITY_TICKET)) is not None:
            self.tickets[new] = held
            held.arriving = None if self.allocations.get(flow) is held else flow
        at = next(each for each, other in self.allocations.items() if other is held)
        value, lifetime = request.get(Attribute.REQUESTED_ADDRESS_FAMILY), lifetime_of(answer)
        for family in list(held.ends) if value is None else [FAMILIES[stun.decode_family(value)]]:
            held.ends[family] = self.now + lifetime
            if not lifetime:
                self._end_family(at, family)

    def _shown(self, ticket: bytes, flow: Flow, user: str) -> Held:
        """RFC 8016 §3.2.2: of the same user, for an allocation that lives; the 5-tuple has none of its own."""
        held = self.tickets[ticket]
        assert held in self.allocations.values(), "a ticket outlived its allocation"
        assert held.user == user, "somebody else's ticket was good"
        assert self.find(flow) in (None, held), "a move onto another allocation"
        return held

    def permitted(self, flow: Flow, peer: Address) -> bool:
        """Whether data may pass between a client and a peer (§9)."""
        held = self.find(flow)
        return held is not None and family_of(peer) in held.ends and held.permissions.get(peer[0], 0.0) > self.now

    def channel(self, flow: Flow, number: int) -> Address | None:
        """The peer of a live channel."""
        held = self.find(flow)
        address, ends = held.channels.get(number, (None, 0.0)) if held else (None, 0.0)
        return address if ends > self.now else None

    def ports(self, family: int) -> list[int]:
        """Relay ports of a family that are taken, by allocations and reservations."""
        held = [held.relayed[family][1] for held in self.allocations.values() if family in held.relayed]
        return sorted(held + [each.port for each in self.reservations.values() if each.family == family])

    def ports_of(self, user: str) -> int:
        """How many of all ports count towards a user's quota."""
        held = sum(len(each.ends) for each in self.allocations.values() if each.user == user)
        return held + sum(each.user == user for each in self.reservations.values())


def family_of(address: Address) -> int:
    """4 or 6."""
    return 6 if ":" in address[0] else 4


def lifetime_of(answer: Message) -> int:
    """The LIFETIME of an answer."""
    return stun.decode_lifetime(answer.get(Attribute.LIFETIME) or b"")


def peers_of(request: Message) -> list[Address]:
    """Every XOR-PEER-ADDRESS."""
    return [stun.decode_xor_address(value, request.transaction_id) for value in request.all(Attribute.XOR_PEER_ADDRESS)]
