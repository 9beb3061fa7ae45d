"""A program of two TURN clients read from bytes, run on a core with model relays, checked after each step.

A step is one byte: what is done (3 bits), by which client (1), over UDP or a stream (1), and three flags; what follows
depends on it. Nothing a program can say is an error: numbers are taken modulo what there is, and the end is the end.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.turn_vocabulary import (
    ATTRIBUTES,
    KINDS,
    LIMITS,
    MAX_STEPS,
    METHODS,
    OTHER_PUBLIC,
    PEERS,
    PORTS,
    TIMES,
    TRAILERS,
    USERS,
    Bytes,
    Connecting,
    Party,
    Sent,
    Timed,
    must,
    party,
)
from tests.turnd.turn.comparison import compare, relays_of
from tests.turnd.turn.core import INSIDE, INSIDE_IPV6, PUBLIC, REALM, UDP, House, error_code
from tests.turnd.turn.turn_model import Address, TurnModel, family_of, peers_of
from turnd.turn.allocation import MAX_LIFETIME, Allocation, Flow
from turnd.turn.stream import StreamError, StreamFramer, is_channel_data
from wire import stun
from wire.stun import Attribute, Message, MessageClass, Method, PasswordAlgorithm


class Program:
    """One run."""

    def __init__(self, data: bytes) -> None:
        self.input = Bytes(data)
        self.host = Timed()
        self.house = House(limits=LIMITS, ports=PORTS, host=self.host, users=dict(USERS), tcp_relay=True, mobility=True)
        self.server, self.registry = self.house.server, self.house.server.registry
        self.parties = party(0), party(1)
        self.model = TurnModel(0.0)
        self.tokens: list[bytes] = []
        self.tickets: list[bytes] = []
        self.numbers: list[bytes] = []  # CONNECTION-IDs
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
            if (ticket := answer.get(Attribute.MOBILITY_TICKET)) is not None:
                self.tickets.append(ticket)

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
        """A datagram from a peer to the relayed addresses of a client, or something about a TCP connection with it."""
        peer, data = self.peer(self.input.number()), self.input.some()
        for allocation in self.host.live:
            for family, relay in relays_of(allocation).items():
                if allocation.flow == flow and family == family_of(peer) and relay.from_peer(peer, data):
                    must(self.model.permitted(flow, peer), "a stranger's datagram was let through")

        for allocation in list(self.host.live):
            for each in allocation.relays.values():
                if allocation.flow == flow and isinstance(each.relay, Connecting):
                    self.connection(allocation, each.relay, peer, flags)

    def connection(self, allocation: Allocation, relay: Connecting, peer: Address, what: int) -> None:
        """A peer comes, answers, refuses or ends."""
        tcp, now = self.server.tcp, self.host.now
        if what & 3 == 0:
            number = tcp.accepted(allocation, relay, peer, now)
            relay.accepted(number, peer)
            must(number is None or self.model.permitted(allocation.flow, peer), "a stranger's connection was taken")
        elif what & 3 == 3 and relay.open:
            relay.ended_by_peer(next(iter(relay.open)))
        elif relay.connecting:
            number = min(relay.connecting)
            relay.connecting.discard(number)
            if what & 3 == 1:
                tcp.connected(number, now)
            else:
                relay.end(number)
                tcp.failed(number)

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
            elif 0xD0 <= code < 0xE0 and self.numbers:
                made.append((Attribute.CONNECTION_ID, self.numbers[code % len(self.numbers)]))
            elif 0xE0 <= code < 0xF0 and self.tickets:
                made.append((Attribute.MOBILITY_TICKET, self.tickets[code % len(self.tickets)]))
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
        self.codes.add((parsed.method, error_code(parsed)))
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
        if flow in self.host.expected:
            self.server.arrived(flow, self.host.now)
        for allocation in self.host.live:
            if allocation.flow == flow and (relays := relays_of(allocation)):
                next(iter(relays.values())).forward([message])

    def end_stream(self, flow: Flow) -> None:
        for relay in self.host.tcp_relays:
            for number in [number for number in relay.open if relay.bound.get(number) == flow]:
                relay.end(number)
                self.server.tcp.ended(number)
        self.registry.release_flow(flow, self.host.now)
        self.model.end(flow)

    def wait_until(self, then: float) -> None:
        """Lets the server do what is due at the very moment it asked to be woken."""
        while (due := self.next_timer()) is not None and due <= then:
            self.registry.handle_timer(due)
            self.server.tcp.handle_timer(due)
            self.hear()
            self.model.pass_time(due)
            must(self.next_timer() != due, "the timer does not advance")
        self.host.now = then
        self.model.pass_time(then)
        for relay in self.host.relays:
            relay.now = then

    def next_timer(self) -> float | None:
        times = (self.registry.next_timer(), self.server.tcp.next_timer())
        return min((at for at in times if at is not None), default=None)

    def hear(self) -> None:
        """What the server has said by itself: the late answers to Connect, and that a peer has come (RFC 6062)."""
        for flow, message in self.host.told:
            must(self.model.find(flow) is not None, "something was said to a client without an allocation")
            if message.message_class == MessageClass.INDICATION:
                must(message.method == Method.CONNECTION_ATTEMPT, "an indication of another kind")
            else:
                must(message.method == Method.CONNECT and message.has_integrity, "an answer nobody waits for")
                self.codes.add((message.method, error_code(message)))
            if (number := message.get(Attribute.CONNECTION_ID)) is not None:
                self.numbers.append(number)
        self.host.told.clear()

    # What holds after each step.

    def check(self) -> None:
        """Raises when server and model differ, or a bound does not hold."""
        self.hear()
        compare(self.house, self.model)
        connections = sum(len(relay.open) for relay in self.host.tcp_relays)
        must(connections == len(self.server.tcp), "TCP connections that nobody knows, or that are gone")
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
            must(len(self.server.tcp) == 0, "a connection outlived its allocation")
        self.registry.close(self.host.now)
        must(not self.host.live, "something outlived the server")
        must(self.host.open_relays() == 0, "a relay outlived the server")
        must(all(len(pool) == pool.size for pool in self.house.pools.values()), "ports leaked at the end")
