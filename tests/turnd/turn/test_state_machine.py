"""Two users, four 5-tuples, peers of both families and time: whatever they do in whatever order, the core answers as a
small model of RFC 8656 says, and holds and relays no more than that.
"""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.turnd.turn.comparison import compare, relays_of
from tests.turnd.turn.core import EPOCH, INSIDE_IPV6, PUBLIC, Client, House, error_code
from tests.turnd.turn.turn_model import Address, TurnModel, family_of
from turnd.turn.allocation import MAX_LIFETIME
from turnd.turn.credentials import rest_credentials
from turnd.turn.limits import Limits
from wire import stun
from wire.stun import Attribute, Message, MessageClass, Method

PORTS = (40000, 40005)  # 40000 is the SFU's: five are left, two even ones with one above them
LIMITS = Limits(allocations=6, allocations_of_user=3)
OPEN_PORT = 40000
OURS = {PUBLIC, INSIDE_IPV6}
PEERS: tuple[Address, ...] = (
    ("8.8.4.4", 5000),
    ("8.8.4.4", 5001),
    ("9.9.9.9", 5000),
    ("2606:4700::1", 5000),
    ("2606:4700::2", 5000),
    ("10.0.0.1", 5000),
    ("fd00::1", 5000),
    (PUBLIC, OPEN_PORT),
    (PUBLIC, 40004),
    (INSIDE_IPV6, 40002),
)
DENIED = {"10.0.0.1", "fd00::1"}
LIFETIMES = (None, 0, 1, 700, 3600, 5000)
RETRANSMISSION_SECONDS = 40.0
NONCE_SECONDS = 300.0  # how often the clients ask for a new one

ANYBODY = st.integers(0, 3)
HOLDER = st.runner().flatmap(lambda machine: st.sampled_from(machine.holders()))  # of an allocation, when there is one
PEER = st.sampled_from(PEERS)
KNOWN_PEER = st.runner().flatmap(lambda machine: st.sampled_from(machine.known_peers()))  # as a rule a permitted one
CHANNEL = st.sampled_from([0x4000, 0x4000, 0x4001, 0x4FFF, 0x3FFF, 0])
PAYLOAD = st.binary(max_size=40)


class Wish(NamedTuple):
    """What an Allocate request asks for; None: the attribute is absent."""

    transport: int | None
    family: int | None  # as on the wire: 1, 2, or one there is not
    additional: bool
    even: bool | None  # EVEN-PORT, and whether the next port is reserved
    token: int | None  # which of those we were given, or one we were not
    lifetime: int | None

    def attributes(self, tokens: list[bytes]) -> list[tuple[int, bytes]]:
        made: list[tuple[int, bytes]] = []
        if self.transport is not None:
            made.append((Attribute.REQUESTED_TRANSPORT, stun.encode_transport(self.transport)))
        if self.family is not None:
            made.append((Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(self.family)))
        if self.additional:
            made.append((Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(2)))
        if self.even is not None:
            made.append((Attribute.EVEN_PORT, bytes([0x80 * self.even])))
        if self.token is not None:
            made.append((Attribute.RESERVATION_TOKEN, self.chosen(tokens)))
        if self.lifetime is not None:
            made.append((Attribute.LIFETIME, stun.encode_lifetime(self.lifetime)))
        return made

    def chosen(self, tokens: list[bytes]) -> bytes:
        return tokens[self.token] if self.token is not None and self.token < len(tokens) else b"unknown!"


ODD_WISH = st.builds(
    Wish,
    st.sampled_from([17] * 8 + [6, None]),
    st.sampled_from([None, None, 1, 2, 9]),
    st.booleans(),
    st.sampled_from([None, None, False, True]),
    st.sampled_from([None, None, 0, 1]),
    st.sampled_from(LIFETIMES),
)
USUAL_WISH = st.sampled_from(
    [
        Wish(17, None, False, None, None, None),
        Wish(17, 2, False, None, None, 700),
        Wish(17, None, True, None, None, 3600),
        Wish(17, None, True, False, None, None),
        Wish(17, None, False, True, None, None),
        Wish(17, None, False, None, 0, 3600),
    ]
)


class Rfc8656(TurnModel):
    """What the answers must be: the error code of each request, and which relayed addresses a success has."""

    def allocate(self, client: Client, user: str, wish: Wish, tokens: list[bytes]) -> tuple[int, set[int]]:
        """§7.2: (error, families)."""
        if client.flow in self.allocations:
            return 437, set()
        if wish.transport != 17:
            return 400 if wish.transport is None else 442, set()
        if wish.token is not None and (wish.even is not None or wish.family is not None or wish.additional):
            return 400, set()
        if wish.family is not None and wish.additional:
            return 400, set()
        if wish.family == 9:
            return 440, set()
        if wish.additional and wish.even:
            return 400, set()
        if wish.token is not None:
            return self._reserved(user, wish.chosen(tokens))
        errors: list[int] = []
        families: set[int] = set()
        for family in (4, 6) if wish.additional else (6 if wish.family == 2 else 4,):
            code = self._room(user, family, 1 + len(families) + bool(wish.even), wish.even)
            errors.append(code)
            families |= set() if code else {family}
        return 0 if families else max(errors), families

    def _reserved(self, user: str, token: bytes) -> tuple[int, set[int]]:
        reserved = self.reservations.get(token)
        if reserved is None:
            return 508, set()
        if reserved.user != user and self.ports_of(user) >= LIMITS.allocations_of_user:
            return 486, set()
        return 0, {reserved.family}

    def _room(self, user: str, family: int, more: int, even: bool | None) -> int:
        held = sum(len(self.ports(each)) for each in (4, 6))
        if held + more > LIMITS.allocations or self.ports_of(user) + more > LIMITS.allocations_of_user:
            return 486
        free = set(range(PORTS[0], PORTS[1] + 1)) - {OPEN_PORT, *self.ports(family)}
        if even is not None:
            free = {port for port in free if port % 2 == 0 and (not even or port + 1 in free)}
        return 0 if free else 508

    def peers(self, client: Client, hosts: set[str]) -> set[int]:
        """§10.2: the errors of which one must be the answer; 0 for success."""
        held = self.allocations.get(client.flow)
        if held is None:
            return {437}
        wrong = {443 for host in hosts if family_of((host, 0)) not in held.ends}
        return wrong | {403 for host in hosts & DENIED if family_of((host, 0)) in held.ends} or {0}

    def bind(self, client: Client, number: int, peer: Address) -> set[int]:
        """§12.2."""
        held = self.allocations.get(client.flow)
        if held is not None and not 0x4000 <= number <= 0x4FFF:
            return {400}
        errors = self.peers(client, {peer[0]})
        if errors != {0} or held is None:
            return errors
        if peer[0] in OURS and not self.is_open(peer):
            return {403}
        bound = self.channel(client.flow, number)
        numbers = {other for other in held.channels if self.channel(client.flow, other) == peer}
        return {400} if bound not in (None, peer) or numbers - {number} else {0}

    def is_open(self, peer: Address) -> bool:
        """Whether a port of ours may be reached: the SFU's, or one of a live allocation."""
        family = family_of(peer)
        live = {held.relayed[family][1] for held in self.allocations.values() if family in held.relayed}
        return peer[1] in live | {OPEN_PORT}

    def passes(self, client: Client, peer: Address) -> bool:
        """Whether a datagram goes through between a client and a peer (§9, §11)."""
        return self.permitted(client.flow, peer) and (peer[0] not in OURS or self.is_open(peer))


class TurnMachine(RuleBasedStateMachine):
    """One server from its start on."""

    def __init__(self) -> None:
        super().__init__()
        self.house = House(limits=LIMITS, ports=PORTS)
        self.registry = self.house.server.registry
        self.now = 1000.0
        self.model = Rfc8656(self.now)
        users = [rest_credentials("new", name, 3600, EPOCH) for name in ("anna", "bob")]
        self.clients = [
            Client(self.house, 50000 + number, transport=transport, credentials=users[number % 2])
            for number, transport in enumerate(("udp", "udp", "tcp", "udp"))
        ]
        self.nonce_at = [0.0] * 4
        self.tokens: list[bytes] = []
        self.last: list[tuple[float, bytes, Message] | None] = [None] * 4

    def holders(self) -> list[int]:
        held = [number for number, client in enumerate(self.clients) if client.flow in self.model.allocations]
        return held or [0, 1, 2, 3]

    def known_peers(self) -> list[Address]:
        hosts = {host for held in self.model.allocations.values() for host in held.permissions}
        return [peer for peer in PEERS if peer[0] in hosts] or list(PEERS)

    @initialize(
        wishes=st.lists(USUAL_WISH, min_size=1, max_size=3), peer=PEER, number=st.sampled_from([0x4000, 0x4001])
    )
    def begin(self, wishes: list[Wish], peer: Address, number: int) -> None:
        """Most runs begin with somebody who has something: hypothesis leaves out rules at random."""
        for who, wish in enumerate(wishes):
            self.allocate(who, wish)
            self.permit(who, [peer])
            self.bind(who, number, PEERS[who])

    # Requests.

    def request(self, who: int, method: int, attributes: list[tuple[int, bytes]], transaction_id: bytes) -> Message:
        """The answer to a signed request; what a success tells goes into the model."""
        client = self.clients[who]
        client.now = self.now
        if self.now - self.nonce_at[who] >= NONCE_SECONDS:
            client.nonce, self.nonce_at[who] = None, self.now
        data = client.signed(method, attributes, transaction_id)
        answer = client.receive(data)
        assert answer is not None
        assert stun.verify_integrity(answer, client.key)
        assert (answer.transaction_id, answer.method) == (transaction_id, method)
        if answer.message_class == MessageClass.SUCCESS:
            self.model.learn(client.flow, client.username, stun.parse(data), answer)
        if method in (Method.ALLOCATE, Method.REFRESH):
            self.last[who] = self.now, data, answer
        for relay in self.house.host.relays:
            relay.now = self.now
        return answer

    @rule(who=ANYBODY, wish=st.one_of(USUAL_WISH, ODD_WISH))
    def allocate(self, who: int, wish: Wish) -> None:
        client = self.clients[who]
        expected, families = self.model.allocate(client, client.username, wish, self.tokens)
        attributes = wish.attributes(self.tokens)
        answer = self.request(who, Method.ALLOCATE, attributes, client.transaction())
        assert error_code(answer) == expected
        if expected:
            return
        held = self.model.allocations[client.flow]
        assert held.ends.keys() == families
        assert set(held.ends.values()) == {self.now + max(600, min(3600, wish.lifetime or 600))}
        assert (answer.get(Attribute.ADDRESS_ERROR_CODE) is not None) == (wish.additional and len(families) < 2)
        token = answer.get(Attribute.RESERVATION_TOKEN)
        assert (token is not None) == bool(wish.even)
        if wish.even is not None:
            assert all(port % 2 == 0 for _, port in held.relayed.values())
        if token is not None:
            self.tokens.insert(0, token)

    @rule(who=HOLDER, lifetime=st.sampled_from(LIFETIMES), family=st.sampled_from([None, None, 1, 2]))
    def refresh(self, who: int, lifetime: int | None, family: int | None) -> None:
        client = self.clients[who]
        held = self.model.allocations.get(client.flow)
        attributes: list[tuple[int, bytes]] = []
        if lifetime is not None:
            attributes.append((Attribute.LIFETIME, stun.encode_lifetime(lifetime)))
        if family is not None:
            attributes.append((Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(family)))
        wanted = {None: {4, 6}, 1: {4}, 2: {6}}[family]
        expected = 437 if held is None else 0 if wanted & held.ends.keys() else 443
        answer = self.request(who, Method.REFRESH, attributes, client.transaction())
        assert error_code(answer) == expected
        if not expected:
            granted = 0 if lifetime == 0 else max(600, min(3600, lifetime or 600))
            assert answer.get(Attribute.LIFETIME) == stun.encode_lifetime(granted)

    @rule(who=HOLDER, peers=st.one_of(st.lists(PEER, max_size=3), st.tuples(PEER).map(list)))
    def permit(self, who: int, peers: list[Address]) -> None:
        client = self.clients[who]
        attributes, transaction_id = client.peers(*peers)
        expected = self.model.peers(client, {host for host, _ in peers})
        if not peers and expected != {437}:
            expected = {400}
        assert error_code(self.request(who, Method.CREATE_PERMISSION, attributes, transaction_id)) in expected

    @rule(who=HOLDER, number=CHANNEL, peer=st.one_of(KNOWN_PEER, PEER))
    def bind(self, who: int, number: int, peer: Address) -> None:
        client = self.clients[who]
        attributes, transaction_id = client.peers(peer)
        attributes.append((Attribute.CHANNEL_NUMBER, stun.encode_channel(number)))
        expected = self.model.bind(client, number, peer)
        assert error_code(self.request(who, Method.CHANNEL_BIND, attributes, transaction_id)) in expected

    @rule(who=HOLDER, method=st.sampled_from([Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND]))
    def somebody_else_asks_for_it(self, who: int, method: Method) -> None:
        """A request of another user from the 5-tuple: 441 when there is an allocation, and nothing changes (§5)."""
        mine, other = self.clients[who], self.clients[(who + 1) % 4]
        stranger = Client(self.house, mine.flow.client[1], transport=mine.flow.transport)
        stranger.username, stranger.password, stranger.now = other.username, other.password, self.now
        attributes, transaction_id = stranger.peers(PEERS[0])
        attributes += [(Attribute.CHANNEL_NUMBER, stun.encode_channel(0x4000)), (Attribute.LIFETIME, bytes(4))]
        answer = stranger.receive(stranger.signed(method, attributes, transaction_id))
        assert error_code(answer) == (441 if mine.flow in self.model.allocations else 437)

    @rule(who=ANYBODY, method=st.sampled_from([Method.ALLOCATE, Method.REFRESH]))
    def nobody_asks_for_it(self, who: int, method: Method) -> None:
        """Without credentials there is a challenge and nothing else."""
        client = self.clients[who]
        client.now = self.now
        attributes = [(Attribute.REQUESTED_TRANSPORT, stun.encode_transport(17)), (Attribute.LIFETIME, bytes(4))]
        assert error_code(client.plain(method, attributes)) == 401

    @rule(who=HOLDER)
    def repeat(self, who: int) -> None:
        """A request that is on its way twice is answered the same for 40 s and changes nothing (RFC 8489 §6.3.1)."""
        last = self.last[who]
        if last is not None and last[0] + RETRANSMISSION_SECONDS > self.now:
            self.clients[who].now = self.now
            assert self.clients[who].receive(last[1]) == last[2]

    # Data.

    def passed(self) -> list[tuple[int, Address, bytes]]:
        """What has left the relays since it was last asked: (which client's, to whom, what)."""
        flows = [client.flow for client in self.clients]
        passed = []
        for allocation in self.house.host.live:
            for relay in relays_of(allocation).values():
                passed += [(flows.index(allocation.flow), *each) for each in relay.sent]
                relay.sent.clear()
        return passed

    @rule(who=HOLDER, peer=st.one_of(KNOWN_PEER, PEER), data=PAYLOAD)
    def send(self, who: int, peer: Address, data: bytes) -> None:
        client = self.clients[who]
        client.now = self.now
        client.send(peer, data)
        assert self.passed() == ([(who, peer, data)] if self.model.passes(client, peer) else [])

    @rule(who=HOLDER, number=CHANNEL, data=PAYLOAD)
    def channel_data(self, who: int, number: int, data: bytes) -> None:
        client = self.clients[who]
        allocation = self.registry.find(client.flow, self.now)
        if allocation is None:
            assert client.flow not in self.model.allocations
            return
        message = number.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data
        next(iter(relays_of(allocation).values())).forward([message])
        peer = self.model.channel(client.flow, number)
        passes = peer is not None and self.model.passes(client, peer)
        assert self.passed() == ([(who, peer, data)] if passes else [])

    @rule(who=HOLDER, peer=st.one_of(KNOWN_PEER, PEER), data=PAYLOAD)
    def peer_data(self, who: int, peer: Address, data: bytes) -> None:
        client = self.clients[who]
        allocation = self.registry.find(client.flow, self.now)
        relay = None if allocation is None else relays_of(allocation).get(family_of(peer))
        if relay is None:
            assert not self.model.passes(client, peer)
            return
        assert relay.from_peer(peer, data) == self.model.passes(client, peer)
        bound = [number for number in (0x4000, 0x4001, 0x4FFF) if self.model.channel(client.flow, number) == peer]
        message = relay.wrap(peer, data, bytes(12))
        assert message[:2] == (bound[0].to_bytes(2, "big") if bound else b"\0\x17")

    # Time.

    @rule(seconds=st.sampled_from([0.5, 12.0, 29.0, 30.0, 100.0, 299.0, 300.0, 301.0, 599.0, 3599.0]))
    def wait(self, seconds: float) -> None:
        """Time passes; the server does what is due when it asked to be woken, and not later."""
        until = self.now + seconds
        while (due := self.registry.next_timer()) is not None and due <= until:
            self.registry.handle_timer(due)
            assert self.registry.next_timer() != due
        self.now = until
        self.model.pass_time(until)
        for relay in self.house.host.relays:
            relay.now = until

    @precondition(lambda self: self.clients[2].flow in self.model.allocations)
    @rule()
    def the_stream_ends(self) -> None:
        self.registry.release_flow(self.clients[2].flow, self.now)
        self.model.end(self.clients[2].flow)

    @invariant()
    def the_server_holds_what_the_model_says(self) -> None:
        compare(self.house, self.model)
        assert all(self.model.ports_of(client.username) <= LIMITS.allocations_of_user for client in self.clients)

    def teardown(self) -> None:
        self.wait(float(MAX_LIFETIME))
        assert not self.house.host.live
        assert all(relay.closed for relay in self.house.host.relays)
        assert all(len(pool) == pool.size for pool in self.house.pools.values())


TestTurnMachine = TurnMachine.TestCase
TestTurnMachine.settings = settings(max_examples=100, stateful_step_count=40)
