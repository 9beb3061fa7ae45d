"""A program of two TURN clients read from bytes, run on a core with model relays, checked after each step.

A step is one byte: what is done (3 bits), by which client (1), over UDP or a stream (1), and three flags; what follows
depends on it. Nothing a program can say is an error: numbers are taken modulo what there is, and the end is the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.turnd.turn.comparison import compare, relays_of
from tests.turnd.turn.core import INSIDE, INSIDE_IPV6, LOCAL, PUBLIC, REALM, UDP, Host, House
from tests.turnd.turn.relay_model import ModelRelay
from tests.turnd.turn.turn_model import Address, TurnModel, family_of, peers_of
from turnd.turn.allocation import MAX_LIFETIME, Flow
from turnd.turn.limits import Limits
from turnd.turn.nonce import NONCE_SECONDS
from turnd.turn.requests import HANDLERS
from turnd.turn.retransmissions import RETRANSMISSION_SECONDS
from turnd.turn.stream import StreamError, StreamFramer, is_channel_data
from wire import stun
from wire.stun import Attribute, Message, MessageClass, Method, PasswordAlgorithm

LIMITS = Limits(allocations=7, allocations_of_user=5)
PORTS = (40000, 40010)
MAX_STEPS = 64
USERS = (("anna", "pass"), ("ben", "word"))
PEERS = (("8.8.4.4", 5000), ("9.9.9.9", 0), ("2606:4700::1", 5000), ("10.0.0.1", 80), ("::ffff:8.8.4.4", 5000))
TIMES = (0.5, 29.0, 1.5, 41.0, 271.0, 299.0, 301.0, 601.0, 3601.0, 0.0)
UNKNOWN_REQUIRED = 0x7777
OTHER_PUBLIC = "192.88.2.77"
TRAILERS = (Attribute.MESSAGE_INTEGRITY, Attribute.MESSAGE_INTEGRITY_SHA256, Attribute.FINGERPRINT)


def _u32(kind: Attribute, value: int) -> tuple[int, bytes]:
    return kind, value.to_bytes(4, "big")


ATTRIBUTES: tuple[tuple[int, bytes], ...] = (
    UDP,
    _u32(Attribute.REQUESTED_TRANSPORT, 6 << 24),
    _u32(Attribute.REQUESTED_ADDRESS_FAMILY, 1 << 24),
    _u32(Attribute.REQUESTED_ADDRESS_FAMILY, 2 << 24),
    _u32(Attribute.ADDITIONAL_ADDRESS_FAMILY, 2 << 24),
    (Attribute.EVEN_PORT, b"\0"),
    (Attribute.EVEN_PORT, b"\x80"),
    _u32(Attribute.LIFETIME, 0),
    _u32(Attribute.LIFETIME, 700),
    _u32(Attribute.LIFETIME, 0xFFFFFFFF),
    _u32(Attribute.CHANNEL_NUMBER, 0x40000000),
    _u32(Attribute.CHANNEL_NUMBER, 0x40010000),
    _u32(Attribute.CHANNEL_NUMBER, 0x3FFF0000),
    (Attribute.DATA, b"data"),
    (Attribute.DONT_FRAGMENT, b""),
    (UNKNOWN_REQUIRED, b""),
    (Attribute.SOFTWARE, b"me"),
)
KINDS = tuple(int(kind) for kind in Attribute)
METHODS = tuple(Method)


class Bytes:
    """What is left of an input."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def some(self) -> bytes:
        """A length and as many bytes."""
        size = self.number()
        self._at += size
        return self._data[self._at - size : self._at]


@dataclass
class Sent:
    """The last signed request of a client, for it to be repeated."""

    flow: Flow
    username: str
    data: bytes
    answer: Message | None
    at: float

    @property
    def is_kept(self) -> bool:
        """Whether the answer is one that the server remembers (RFC 8489 §6.3.1)."""
        return self.answer is not None and self.answer.method in HANDLERS and self.answer.has_integrity

    @property
    def kept_until(self) -> float:
        allocates = self.answer is not None and self.answer.method == Method.ALLOCATE
        return self.at + (NONCE_SECONDS + 1 if allocates else RETRANSMISSION_SECONDS)


@dataclass
class Party:
    """A client: its two 5-tuples and what the last challenge on each of them told."""

    username: str
    password: str
    udp: Flow
    tcp: Flow
    challenges: dict[Flow, Message] = field(default_factory=dict)
    sent: Sent | None = None


def party(number: int) -> Party:
    client = f"203.0.113.{9 + number}", 5000
    return Party(*USERS[number], Flow("udp", client, LOCAL), Flow("tcp", client, LOCAL))


class Timed(Host):
    """Tells each relay what time it is."""

    now = 0.0

    def open_relay(self, family: int, port: int, announced: str) -> ModelRelay:
        relay = super().open_relay(family, port, announced)
        relay.now = self.now
        return relay


def must(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)


class Program:
    """One run."""

    def __init__(self, data: bytes) -> None:
        self.input = Bytes(data)
        self.host = Timed()
        self.house = House(limits=LIMITS, ports=PORTS, host=self.host, users=dict(USERS))
        self.server, self.registry = self.house.server, self.house.server.registry
        self.parties = party(0), party(1)
        self.model = TurnModel(0.0)
        self.tokens: list[bytes] = []
        self.steps = self.serial = 0
        self.codes: set[tuple[int, int]] = set()  # (method, error or 0) of all answers
        self.public = PUBLIC
        self.passing: list[tuple[Flow, Address, bytes]] = []  # what this step may send to a peer
        self.wait_until(1000.0)

    # Steps.

    def step(self) -> bool:
        """Runs the next step; False when there is none."""
        if not self.input or self.steps == MAX_STEPS:
            return False
        self.steps += 1
        self.forget_sent()
        code = self.input.number()
        who = self.parties[code >> 3 & 1]
        doing: tuple[Callable[[Party, Flow, int], None], ...] = (
            self.request,
            self.raw,
            self.wait,
            self.send,
            self.channel_data,
            self.peer_data,
            self.again,
            self.change,
        )
        doing[code & 7](who, who.tcp if code >> 4 & 1 else who.udp, code >> 5)
        return True

    def forget_sent(self) -> None:
        self.passing.clear()
        for relay in self.host.relays:
            relay.sent.clear()

    def request(self, who: Party, flow: Flow, flags: int) -> None:
        """A signed request. Flags: SHA-256 where offered, USERHASH, FINGERPRINT."""
        method, code = METHODS[self.input.number() % len(METHODS)], self.input.number()
        signer = self.parties[self.parties.index(who) ^ (code >> 4 & 1)]
        password = "wrong" if code >> 5 & 1 else signer.password
        transaction_id = self.transaction()
        attributes = self.attributes(code & 15, transaction_id)
        challenge = who.challenges.get(flow) or self.challenge(who, flow)
        if challenge is None:
            return
        sha256 = bool(flags & 1) and challenge.get(Attribute.PASSWORD_ALGORITHMS) is not None
        key = (stun.long_term_key_sha256 if sha256 else stun.long_term_key)(signer.username, REALM, password)
        attributes += self.proof(signer, challenge, sha256=sha256, name_hash=bool(flags & 2))
        data = stun.encode(method, 0, transaction_id, attributes, key=key, sha256=sha256, fingerprint=bool(flags & 4))
        answer = self.receive(flow, data)
        who.sent = Sent(flow, signer.username, data, answer, self.host.now)
        if answer is not None and answer.has_integrity:
            must(password == signer.password, "a client with a wrong password was heard")
            must(stun.verify_integrity(answer, key), "an answer is not protected as its request was")
            must(bool(answer.integrity_sha256_at) == sha256, "the answer has another integrity than the request")
        self.learn(who.sent, who)

    def challenge(self, who: Party, flow: Flow) -> Message | None:
        answer = self.receive(flow, stun.encode(Method.ALLOCATE, 0, self.transaction(), [UDP]))
        if answer is not None:
            who.challenges[flow] = answer
        return answer

    @staticmethod
    def proof(signer: Party, challenge: Message, *, sha256: bool, name_hash: bool) -> list[tuple[int, bytes]]:
        """Who one is, as the long-term mechanism wants it."""
        named = stun.userhash(signer.username, REALM) if name_hash else signer.username.encode()
        proof: list[tuple[int, bytes]] = [
            (Attribute.USERHASH if name_hash else Attribute.USERNAME, named),
            (Attribute.REALM, challenge.get(Attribute.REALM) or b""),
            (Attribute.NONCE, challenge.get(Attribute.NONCE) or b""),
        ]
        if sha256 and (offered := challenge.get(Attribute.PASSWORD_ALGORITHMS)) is not None:
            chosen = stun.encode_password_algorithms([(PasswordAlgorithm.SHA256, b"")])
            proof += [(Attribute.PASSWORD_ALGORITHMS, offered), (Attribute.PASSWORD_ALGORITHM, chosen)]
        return proof

    def learn(self, sent: Sent, who: Party) -> None:
        """What an answer that was not there before tells the client."""
        answer = sent.answer
        if answer is None:
            return
        if answer.get(Attribute.NONCE) is not None:
            who.challenges[sent.flow] = answer
        elif answer.message_class == MessageClass.SUCCESS and answer.method != Method.BINDING:
            must(answer.has_integrity, "a client that proved nothing had success")
            self.model.learn(sent.flow, sent.username, stun.parse(sent.data), answer)
            if (token := answer.get(Attribute.RESERVATION_TOKEN)) is not None:
                self.tokens.append(token)

    def raw(self, who: Party, flow: Flow, flags: int) -> None:
        """Any bytes, as one datagram or as the beginning of a stream."""
        data = self.input.some()
        if flow.transport == "udp":
            self.receive(flow, data)
            return
        try:
            for message in StreamFramer().receive(data):
                if is_channel_data(message):
                    self.forward(flow, message)
                else:
                    self.receive(flow, message)
        except StreamError:
            self.end_stream(flow)

    def wait(self, who: Party, flow: Flow, flags: int) -> None:
        """Time passes."""
        self.wait_until(self.host.now + TIMES[self.input.number() % len(TIMES)])

    def send(self, who: Party, flow: Flow, flags: int) -> None:
        """A Send indication."""
        transaction_id = self.transaction()
        value = stun.encode_xor_address(self.peer(self.input.number()), transaction_id)
        attributes = [(Attribute.XOR_PEER_ADDRESS, value), (Attribute.DATA, self.input.some())]
        attributes += [(Attribute.DONT_FRAGMENT, b"")] if flags & 1 else []
        self.receive(flow, stun.encode(Method.SEND, MessageClass.INDICATION, transaction_id, attributes))

    def channel_data(self, who: Party, flow: Flow, flags: int) -> None:
        """ChannelData, sometimes with a wrong length."""
        number, data = 0x4000 + (self.input.number() & 3), self.input.some()
        length = len(data) + (flags == 1)
        self.forward(flow, number.to_bytes(2, "big") + length.to_bytes(2, "big") + data + bytes(-len(data) & 3))

    def peer_data(self, who: Party, flow: Flow, flags: int) -> None:
        """A datagram from a peer to the relayed addresses of a client."""
        peer, data = self.peer(self.input.number()), self.input.some()
        for allocation in self.host.live:
            for family, relay in relays_of(allocation).items():
                if allocation.flow == flow and family == family_of(peer) and relay.from_peer(peer, data):
                    must(self.model.permitted(flow, peer), "a stranger's datagram was let through")

    def again(self, who: Party, flow: Flow, flags: int) -> None:
        """The client's last request once more."""
        sent = who.sent
        if sent is None:
            return
        answer = self.receive(sent.flow, sent.data)
        if sent.is_kept and sent.kept_until > self.host.now:
            must(answer == sent.answer, "a repeated request got another answer")
        else:
            sent.answer, sent.at = answer, self.host.now
            self.learn(sent, who)

    def change(self, who: Party, flow: Flow, flags: int) -> None:
        """The stream ends, the server drains (or not), its address changes, a port is taken by somebody."""
        what = self.input.number()
        if what & 3 == 0:
            self.end_stream(who.tcp)
        elif what & 3 == 1:
            self.server.draining = not self.server.draining
        elif what & 3 == 2:
            self.public = OTHER_PUBLIC if self.public == PUBLIC else PUBLIC
            self.server.set_addresses([INSIDE, INSIDE_IPV6], [self.public], [], [PUBLIC, OTHER_PUBLIC])
        else:
            self.host.busy ^= {PORTS[0] + (what >> 2) % (PORTS[1] - PORTS[0] + 1)}

    # What steps are made of.

    def transaction(self) -> bytes:
        self.serial += 1
        return self.serial.to_bytes(12, "big")

    def peer(self, code: int) -> Address:
        """One of the peers, or a relayed address of somebody here."""
        relayed = [address for held in self.model.allocations.values() for address in held.relayed.values()]
        known = [*PEERS, *relayed]
        return known[code % len(known)]

    def attributes(self, number: int, transaction_id: bytes) -> list[tuple[int, bytes]]:
        """Usual ones by their number, others as kind and bytes."""
        made: list[tuple[int, bytes]] = []
        for _ in range(number if self.input else 0):
            code = self.input.number()
            if code < 0x80:
                made.append(ATTRIBUTES[code % len(ATTRIBUTES)])
            elif code < 0xC0:
                value = stun.encode_xor_address(self.peer(code & 0x3F), transaction_id)
                made.append((Attribute.XOR_PEER_ADDRESS, value))
            elif code < 0xD0 and self.tokens:
                made.append((Attribute.RESERVATION_TOKEN, self.tokens[code % len(self.tokens)]))
            else:
                made.append((KINDS[self.input.number() % len(KINDS)], self.input.some()))
        return [each for each in made if each[0] not in TRAILERS]

    def receive(self, flow: Flow, data: bytes) -> Message | None:
        """A message to the server; the answer is one to that very request."""
        try:
            message = stun.parse(data)
        except stun.StunError:
            message = None
        if message is not None and message.method == Method.SEND:
            self.may_pass_indication(flow, message)
        answer = self.server.receive(data, flow, self.host.now)
        if answer is None:
            return None
        parsed = stun.parse(answer)
        must(message is not None and message.message_class == MessageClass.REQUEST, "no request was answered")
        must(parsed.message_class in (MessageClass.SUCCESS, MessageClass.ERROR), "the answer is none")
        must(message is not None and parsed.method == message.method, "the answer is to another method")
        must(parsed.transaction_id == data[8:20], "the answer is to another request")
        error = parsed.get(Attribute.ERROR_CODE)
        self.codes.add((parsed.method, 0 if error is None else stun.decode_error(error)[0]))
        return parsed

    def may_pass_indication(self, flow: Flow, message: Message) -> None:
        data = message.get(Attribute.DATA)
        try:
            peers = peers_of(message)
        except stun.StunError:
            return
        if data is not None and peers:
            self.passing.append((flow, peers[0], data))

    def forward(self, flow: Flow, message: bytes) -> None:
        """ChannelData to the relay of a client, if it has one."""
        address = self.model.channel(flow, int.from_bytes(message[:2], "big"))
        if address is not None:
            self.passing.append((flow, address, message[4 : 4 + int.from_bytes(message[2:4], "big")]))
        for allocation in self.host.live:
            if allocation.flow == flow:
                next(iter(relays_of(allocation).values())).forward([message])

    def end_stream(self, flow: Flow) -> None:
        self.registry.release_flow(flow, self.host.now)
        self.model.end(flow)

    def wait_until(self, then: float) -> None:
        """Lets the server do what is due at the very moment it asked to be woken."""
        due = self.registry.next_timer()
        while due is not None and due <= then:
            self.registry.handle_timer(due)
            following = self.registry.next_timer()
            must(following is None or following > due, "the timer does not advance")
            due = following
        self.host.now = then
        self.model.pass_time(then)
        for relay in self.host.relays:
            relay.now = then

    # What holds after each step.

    def check(self) -> None:
        """Raises when server and model differ, or a bound does not hold."""
        compare(self.house, self.model)
        for allocation in self.host.live:
            for relay in relays_of(allocation).values():
                for address, data in relay.sent:
                    must((allocation.flow, address, data) in self.passing, "something else was sent, or twice")
                    self.passing.remove((allocation.flow, address, data))
                    must(self.model.permitted(allocation.flow, address), "something was sent without a permission")
        must(not any(relay.sent and relay.closed for relay in self.host.relays), "a closed relay sent something")
        for username, _ in USERS:
            must(self.model.ports_of(username) <= LIMITS.allocations_of_user, "a user has more than the quota")
        must(
            sum(len(self.model.ports(family)) for family in (4, 6)) <= LIMITS.allocations, "more is held than the bound"
        )

    def end(self) -> None:
        """Time runs out for everything, or the server closes."""
        self.forget_sent()
        if self.steps & 1:
            self.wait_until(self.host.now + MAX_LIFETIME)
            self.check()
            must(not self.host.live and not self.registry.reservations, "something outlived its time")
        self.registry.close(self.host.now)
        must(not self.host.live, "something outlived the server")
        must(all(relay.closed for relay in self.host.relays), "a relay outlived the server")
        must(all(len(pool) == pool.size for pool in self.house.pools.values()), "ports leaked at the end")
