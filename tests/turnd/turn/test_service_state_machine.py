"""The running service used at random: real sockets, the compiled relay, clients on UDP and TCP, peers of both families.

Time cannot be moved here, so this is about relaying: what is permitted or bound arrives once and unchanged, where it
should and from where it should; nothing else ever arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import uvloop
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.turnd.turn.served import Options, served
from tests.turnd.turn.turn_client import Address, TurnClient, turn_client
from wire import stun
from wire.stun import Attribute
from wire.udp import CallbackReceiver, Datagram, UdpSocket

OPTIONS = Options(own=("127.0.0.1",), allow_peers=("127.0.0.0/8", "::1/128"))
BOTH = (Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6))
FAMILIES = {4: stun.Family.IPV4, 6: stun.Family.IPV6}
PEER_HOSTS = ("127.0.0.2", "127.0.0.2", "127.0.0.3", "::1")
WHO = st.sampled_from([0, 1])
PEER = st.integers(0, len(PEER_HOSTS) - 1)
CHANNEL = st.sampled_from([0x4000, 0x4001, 0x4FFF])
PAYLOAD = st.one_of(st.binary(max_size=40), st.sampled_from([1, 1200, 9000]).map(bytes))


class Peer:
    """A socket, and what came to it: (where from, what)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, host: str) -> None:
        self.datagrams: asyncio.Queue[tuple[Address, bytes]] = asyncio.Queue()
        self.socket = UdpSocket(loop, (host, 0), CallbackReceiver(self._received), component="sfu")
        self.address = self.socket.local_address

    def _received(self, datagrams: list[Datagram]) -> None:
        for _, data, source, *_ in datagrams:
            self.datagrams.put_nowait((source, data))

    async def next(self) -> tuple[Address, bytes]:
        async with asyncio.timeout(5):
            return await self.datagrams.get()


class Held:
    """What one client was granted."""

    def __init__(self, client: TurnClient, relayed: list[Address]) -> None:
        self.client = client
        self.relayed = {family_of(address): address for address in relayed}
        self.permitted: set[str] = set()
        self.channels: dict[int, Address] = {}

    def may_say(self, data: bytes) -> bytes:
        """As much of it as a stream without an allocation takes in one message; a longer one would end the stream."""
        return data if self.relayed else data[:1200]

    def passes(self, peer: Address) -> bool:
        return peer[0] in self.permitted and family_of(peer) in self.relayed


def family_of(address: Address) -> int:
    return 6 if ":" in address[0] else 4


class ServiceMachine(RuleBasedStateMachine):
    """One service with two clients, each with an address of both families, and four peers on three hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.stack = AsyncExitStack()
        self.held: list[Held] = []
        self.run(self.begin())

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.runner.run(coroutine)

    async def begin(self) -> None:
        service = await self.stack.enter_async_context(served(OPTIONS))
        self.peers = [Peer(asyncio.get_running_loop(), host) for host in PEER_HOSTS]
        for transport in ("udp", "tcp"):
            client = await self.stack.enter_async_context(turn_client(service.port, transport))
            relayed = await client.allocate(BOTH)
            held = Held(client, [("::1" if family_of(each) == 6 else "127.0.0.1", each[1]) for each in relayed])
            self.held.append(held)

    def expected(self, held: Held, peer: Address) -> int:
        return 0 if family_of(peer) in held.relayed else 443 if held.relayed else 437

    @rule(who=WHO, number=PEER)
    def permit(self, who: int, number: int) -> None:
        held, peer = self.held[who], self.peers[number].address

        async def run() -> None:
            code = await held.client.permit(peer)
            assert code == self.expected(held, peer)
            held.permitted |= set() if code else {peer[0]}

        self.run(run())

    @rule(who=WHO, channel=CHANNEL, number=PEER)
    def bind(self, who: int, channel: int, number: int) -> None:
        held, peer = self.held[who], self.peers[number].address
        expected = self.expected(held, peer)
        taken = held.channels.get(channel, peer) != peer
        if not expected and (taken or any(each == peer for other, each in held.channels.items() if other != channel)):
            expected = 400

        async def run() -> None:
            assert await held.client.bind(channel, peer) == expected
            if not expected:
                held.permitted.add(peer[0])
                held.channels[channel] = peer

        self.run(run())

    @rule(who=WHO, number=PEER, data=PAYLOAD)
    def send(self, who: int, number: int, data: bytes) -> None:
        self.run(self.send_one(self.held[who], self.peers[number], self.held[who].may_say(data)))

    async def send_one(self, held: Held, peer: Peer, data: bytes) -> None:
        held.client.indicate(peer.address, data)
        if held.passes(peer.address):
            assert await peer.next() == (held.relayed[family_of(peer.address)], data)

    @rule(who=WHO, channel=CHANNEL, data=PAYLOAD)
    def channel_data(self, who: int, channel: int, data: bytes) -> None:
        held = self.held[who]

        async def run() -> None:
            held.client.channel_data(channel, held.may_say(data))
            address = held.channels.get(channel)
            if address is not None:
                peer = next(each for each in self.peers if each.address == address)
                assert await peer.next() == (held.relayed[family_of(address)], data)

        self.run(run())

    @rule(who=WHO, number=PEER, data=PAYLOAD)
    def peer_data(self, who: int, number: int, data: bytes) -> None:
        self.run(self.answer_one(self.held[who], self.peers[number], data))

    async def answer_one(self, held: Held, peer: Peer, data: bytes) -> None:
        relayed = held.relayed.get(family_of(peer.address))
        if relayed is None:
            return
        peer.socket.send(data, relayed)
        if held.passes(peer.address):
            bound = [channel for channel, address in held.channels.items() if address == peer.address]
            assert await held.client.received() == (bound[0] if bound else peer.address, data)

    @rule(who=WHO, family=st.sampled_from([4, 6]))
    def end(self, who: int, family: int) -> None:
        held = self.held[who]

        async def run() -> None:
            attribute = (Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(FAMILIES[family]))
            expected = 0 if family in held.relayed else 443 if held.relayed else 437
            assert await held.client.refresh(0, attribute) == expected

        self.run(run())
        held.relayed.pop(family, None)
        held.permitted = {host for host in held.permitted if family_of((host, 0)) in held.relayed}
        held.channels = {number: peer for number, peer in held.channels.items() if family_of(peer) in held.relayed}

    def teardown(self) -> None:
        try:
            self.run(self.nothing_else_came())
        finally:
            self.run(self.finish())
            self.runner.close()

    async def nothing_else_came(self) -> None:
        """Behind what comes last, both ways over each relay, there is nothing that had no right to come."""
        for held in self.held:
            for peer in self.peers:
                if family_of(peer.address) in held.relayed:
                    assert await held.client.permit(peer.address) == 0
                    held.permitted.add(peer.address[0])
                    await self.send_one(held, peer, b"last")
                    await self.answer_one(held, peer, b"last")
        assert all(peer.datagrams.empty() for peer in self.peers)
        for held in self.held:
            assert await held.client.is_quiet()

    async def finish(self) -> None:
        for peer in self.peers:
            peer.socket.close()
        await self.stack.aclose()


TestServiceMachine = ServiceMachine.TestCase
TestServiceMachine.settings = settings(max_examples=40, stateful_step_count=30)
