"""The compiled relay path: byte for byte what the model does on random traffic, and each drop by its name."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import NamedTuple

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.turnd.turn.relay_model import ModelPath, ModelRelay
from tests.turnd.turn.served import until
from turnd.turn.relay import DROP_REASONS, MAX_RELAY_PEERS, ClientReceiver, Relay, RelayPath
from wire import stun, udp
from wire.udp import Datagram, UdpSocket

Address = tuple[str, int]
SENTINEL = b"the end"
SENTINEL_CHANNEL = 0x4ABC
LOOPBACK = {4: ("127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.9"), 6: ("::1",) * 5}


class Bench:
    """A listener, one relay with its client, and five peers, all on real sockets; the last peer is the sentinel."""

    def __init__(self, family: int = 4, *, stream: bool = False, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.family = family
        self.path = RelayPath(b"seedseed")
        self.stun: list[Datagram] = []
        self.receiver = ClientReceiver(self.path, self._keep)
        host = LOOPBACK[family][0]
        self.listener = UdpSocket(self.loop, (host, 0), self.receiver, component="turn")
        self.receiver.attach_socket(self.listener)
        self.client = self._socket(host)
        self.peers = [self._socket(each) for each in LOOPBACK[family]]
        self.addresses: list[Address] = [peer.getsockname()[:2] for peer in self.peers]
        self.relay = Relay(self.path)
        self.relay_udp = UdpSocket(self.loop, (host, 0), self.relay, component="relay")
        self.relay.attach_socket(self.relay_udp)
        self.written: list[bytes] = []
        self.wrote = asyncio.Event()
        if stream:
            self.relay.serve_stream(self._write)
        else:
            self.relay.serve_datagrams(
                self.receiver, self.listener, self.client.getsockname()[:2], self.listener.local_address
            )
        self.model = ModelRelay(ModelPath(), now=self.loop.time(), stream=stream)
        for relay in (self.relay, self.model):
            relay.permit(self.addresses[4][0], self.at(live=True), False)
            relay.bind_channel(SENTINEL_CHANNEL, self.addresses[4], self.at(live=True))

    def _keep(self, messages: list[Datagram]) -> list[bytes | None]:
        self.stun += messages
        return [None] * len(messages)

    def _socket(self, host: str) -> socket.socket:
        made = socket.socket(socket.AF_INET6 if self.family == 6 else socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.bind((host, 0))
        return made

    def _write(self, data: bytes) -> None:
        self.written.append(data)
        self.wrote.set()

    def at(self, *, live: bool) -> float:
        return self.model.now + (1000.0 if live else -1.0)

    def from_client(self, data: bytes) -> None:
        self.client.sendto(data, self.listener.local_address)

    def from_peer(self, number: int, data: bytes) -> None:
        self.peers[number].sendto(data, self.relay_udp.local_address)

    async def at_client(self) -> bytes:
        return await asyncio.wait_for(self.loop.sock_recv(self.client, 65536), 5)

    async def at_peer(self, number: int) -> bytes:
        return await asyncio.wait_for(self.loop.sock_recv(self.peers[number], 65536), 5)

    def dropped(self) -> dict[str, int]:
        counters = self.path.counters()
        return {reason: counters[f"dropped_{reason}"] for reason in DROP_REASONS if counters[f"dropped_{reason}"]}

    async def __aenter__(self) -> Bench:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.relay.close()
        self.listener.close()
        for each in (self.client, *self.peers):
            each.close()


class Permit(NamedTuple):
    peer: int
    live: bool
    restricted: bool


class Bind(NamedTuple):
    channel: int
    peer: int
    live: bool


class ToPeer(NamedTuple):
    channel: int
    data: bytes
    claimed: int  # added to the length field
    padding: int


class Send(NamedTuple):
    peer: int
    data: bytes
    dont_fragment: bool


class ToClient(NamedTuple):
    peer: int
    data: bytes


def channel_data(number: int, data: bytes, claimed: int = 0, padding: int = 0) -> bytes:
    return number.to_bytes(2, "big") + max(0, len(data) + claimed).to_bytes(2, "big") + data + bytes(padding)


SIZES = st.one_of(st.integers(0, 40), st.sampled_from([1200, 1452, 1473, 9000]))
PAYLOADS = st.tuples(SIZES, st.integers(0, 255)).map(lambda each: bytes([each[1]]) * each[0])
CHANNELS = st.sampled_from([0x4000, 0x4001, 0x4FFF, 0x5000, 0x7FFF])
PEERS = st.integers(0, 3)
POLICY = st.lists(
    st.one_of(
        st.builds(Permit, PEERS, st.booleans(), st.booleans()),
        st.builds(Bind, CHANNELS, PEERS, st.booleans()),
    ),
    max_size=10,
)
TRAFFIC = st.lists(
    st.one_of(
        st.builds(ToPeer, CHANNELS, PAYLOADS, st.sampled_from([0, 0, 0, -1, 1]), st.integers(0, 3)),
        st.builds(Send, PEERS, PAYLOADS, st.booleans()),
        st.builds(ToClient, PEERS, PAYLOADS),
    ),
    max_size=20,
)
OPEN = st.sets(PEERS, max_size=4)


def install(bench: Bench, policy: list[Permit | Bind], opened: set[int]) -> None:
    for number in range(4):
        port = bench.addresses[number][1]
        if number in opened:
            bench.path.open_port(bench.family, port)
            bench.model.path.open_ports.add((bench.family, port))
        else:
            bench.path.close_port(bench.family, port)
            bench.model.path.open_ports.discard((bench.family, port))
    for relay in (bench.relay, bench.model):
        for each in policy:
            host = bench.addresses[each.peer][0]
            if isinstance(each, Permit):
                if host != bench.addresses[4][0]:
                    relay.permit(host, bench.at(live=each.live), each.restricted)
            else:
                relay.bind_channel(each.channel, bench.addresses[each.peer], bench.at(live=each.live))


async def pass_traffic(bench: Bench, traffic: list[ToPeer | Send | ToClient]) -> None:
    """Sends everything through both, ends with the sentinels, compares what comes out."""
    passed: list[tuple[Address, bytes]] = []
    to_relay: list[bytes] = []
    bench.model.sent.clear()
    for each in traffic:
        if isinstance(each, ToPeer):
            to_relay.append(channel_data(*each))
        elif isinstance(each, Send):
            for relay in (bench.relay, bench.model):
                relay.send(bench.addresses[each.peer], each.data, each.dont_fragment)
        else:
            bench.from_peer(each.peer, each.data)
            if bench.model.from_peer(bench.addresses[each.peer], each.data):
                passed.append((bench.addresses[each.peer], each.data))
    to_relay.append(channel_data(SENTINEL_CHANNEL, SENTINEL))
    bench.model.forward(to_relay)
    if bench.model.stream:
        bench.relay.forward(to_relay)
    else:
        for message in to_relay:
            bench.from_client(message)
    bench.from_peer(4, SENTINEL)
    assert bench.model.from_peer(bench.addresses[4], SENTINEL)
    passed.append((bench.addresses[4], SENTINEL))
    for address, data in bench.model.sent:
        assert await bench.at_peer(bench.addresses.index(address)) == data
    await compare_at_client(bench, passed)
    counters = bench.path.counters()
    expected = bench.model.path.counters
    assert {name: value for name, value in counters.items() if value} == {k: v for k, v in expected.items() if v}


async def compare_at_client(bench: Bench, passed: list[tuple[Address, bytes]]) -> None:
    got = bytearray()
    for address, data in passed:
        size = len(bench.model.wrap(address, data, bytes(12)))
        if bench.model.stream:
            while len(got) < size:
                bench.wrote.clear()
                if not bench.written:
                    await asyncio.wait_for(bench.wrote.wait(), 5)
                got += b"".join(bench.written)
                bench.written.clear()
            message, got = bytes(got[:size]), got[size:]
        else:
            message = await bench.at_client()
        assert message == bench.model.wrap(address, data, message[8:20])
    assert not got


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_is_ours() -> Iterator[None]:
    udp.set_own_addresses([])
    yield
    udp.set_own_addresses([])


Rounds = list[tuple[list[Permit | Bind], set[int], list[ToPeer | Send | ToClient]]]
ROUNDS = st.lists(st.tuples(POLICY, OPEN, TRAFFIC), min_size=1, max_size=3)


async def run_rounds(rounds: Rounds, family: int, *, stream: bool) -> None:
    """Policy, then traffic, some times over, through the relay and through the model."""
    async with Bench(family, stream=stream) as bench:
        for policy, opened, traffic in rounds:
            install(bench, policy, opened)
            await pass_traffic(bench, traffic)


@pytest.mark.parametrize("stream", [False, True], ids=["datagrams", "stream"])
@pytest.mark.parametrize("family", [4, 6])
@settings(max_examples=60)
@given(rounds=ROUNDS)
def test_random_traffic_comes_out_as_the_model_says(
    runner: asyncio.Runner, family: int, stream: bool, rounds: Rounds
) -> None:
    runner.run(run_rounds(rounds, family, stream=stream))


async def settle(bench: Bench) -> None:
    """Everything sent so far has passed: both sentinels have come through."""
    bench.from_client(channel_data(SENTINEL_CHANNEL, SENTINEL))
    bench.from_peer(4, SENTINEL)
    assert await bench.at_peer(4) == SENTINEL
    assert await bench.at_client() == channel_data(SENTINEL_CHANNEL, SENTINEL)


async def test_channel_data_of_strangers_is_dropped() -> None:
    async with Bench() as bench:
        bench.peers[0].sendto(channel_data(SENTINEL_CHANNEL, b"x"), bench.listener.local_address)
        await settle(bench)
        assert bench.dropped() == {"no_allocation": 1}


async def test_stun_goes_to_python_with_both_addresses() -> None:
    async with Bench() as bench:
        message = stun.encode(1, 0, bytes(12))
        bench.from_client(message)
        await settle(bench)
        assert [each[:4] for each in bench.stun] == [
            (0, message, bench.client.getsockname(), bench.listener.local_address)
        ]


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"\0\1\0\0", b"\x80" * 40, b"\x16" * 40, b"\0\1\0\4" + b"\x21\x12\xa4\x42" + bytes(12), b"\x40\0",
     b"\0\1\0\2" + b"\x21\x12\xa4\x42" + bytes(14)],
)  # fmt: skip
async def test_what_is_neither_is_malformed(data: bytes) -> None:
    async with Bench() as bench:
        bench.from_client(data)
        await settle(bench)
        assert bench.dropped() == {"malformed": 1}
        assert not bench.stun


async def test_send_needs_a_permission() -> None:
    async with Bench() as bench:
        bench.relay.send(bench.addresses[2], b"no")
        bench.relay.permit(bench.addresses[2][0], bench.at(live=True), False)
        bench.relay.send(bench.addresses[2], b"yes")
        assert await bench.at_peer(2) == b"yes"
        assert bench.dropped() == {"no_permission": 1}


async def test_send_to_no_port_is_dropped() -> None:
    async with Bench() as bench:
        bench.relay.send((bench.addresses[4][0], 0), b"x")
        assert bench.dropped() == {"closed": 1}


async def test_send_of_more_than_a_datagram_holds_is_dropped() -> None:
    async with Bench() as bench:
        bench.relay.send(bench.addresses[4], bytes(65508))
        assert bench.dropped() == {"oversize": 1}


async def test_what_does_not_fit_the_client_is_dropped() -> None:
    async with Bench() as bench:
        bench.relay.permit(bench.addresses[0][0], bench.at(live=True), False)
        bench.from_peer(0, bytes(65507))
        bench.from_peer(4, bytes(65507))
        await settle(bench)
        assert bench.dropped() == {"oversize": 2}


async def test_a_paused_stream_drops_and_counts() -> None:
    async with Bench(stream=True) as bench:
        bench.relay.paused = True
        bench.from_peer(4, b"lost")
        bench.relay.forward([channel_data(SENTINEL_CHANNEL, SENTINEL)])
        assert await bench.at_peer(4) == SENTINEL
        await until(lambda: bool(bench.dropped()))
        bench.relay.paused = False
        bench.from_peer(4, SENTINEL)
        await bench.wrote.wait()
        assert bench.written == [channel_data(SENTINEL_CHANNEL, SENTINEL, 0, 1)]
        assert bench.dropped() == {"stream_full": 1}


async def test_each_message_can_be_written_by_itself() -> None:
    async with Bench(stream=True) as bench:
        relay = Relay(bench.path)
        made = UdpSocket(bench.loop, ("127.0.0.1", 0), relay, component="relay")
        relay.attach_socket(made)
        written: list[bytes] = []
        relay.serve_stream(written.append, each=True)
        relay.permit(bench.addresses[0][0], bench.at(live=True), False)
        relay.bind_channel(0x4000, bench.addresses[0], bench.at(live=True))
        for number in (0, 1, 0):
            bench.peers[number].sendto(b"hello", made.local_address)
        await until(lambda: len(written) == 3)
        relay.close()
        assert [len(each) for each in written] == [12, 44, 12]


async def test_peers_are_bounded_and_expired_ones_make_room() -> None:
    async with Bench() as bench:
        for number in range(MAX_RELAY_PEERS - bench.relay.peers):
            bench.relay.permit(f"10.1.{number >> 8}.{number & 255}", bench.at(live=True), False)
        with pytest.raises(ValueError, match="too many"):
            bench.relay.permit("10.2.0.0", bench.at(live=True), False)
        bench.relay.permit("10.1.0.0", bench.at(live=False), False)
        bench.relay.permit("10.2.0.0", bench.at(live=True), False)
        assert bench.relay.peers == MAX_RELAY_PEERS
        await settle(bench)


async def test_many_clients_each_get_their_own() -> None:
    async with Bench() as bench:
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(150)]
        relays = []
        for number, client in enumerate(clients):
            client.bind(("127.0.0.1", 0))
            relay = Relay(bench.path)
            relay.attach_socket(UdpSocket(bench.loop, ("127.0.0.1", 0), relay, component="relay"))
            relay.serve_datagrams(bench.receiver, bench.listener, client.getsockname(), bench.listener.local_address)
            relay.permit(bench.addresses[0][0], bench.at(live=True), False)
            relay.bind_channel(0x4000 + number, bench.addresses[0], bench.at(live=True))
            relays.append(relay)
        assert len(bench.receiver) == 151
        for relay in relays[::2]:
            relay.close()
        assert len(bench.receiver) == 76
        for number, client in enumerate(clients):
            client.sendto(channel_data(0x4000 + number, b"%d" % number), bench.listener.local_address)
        got = {await bench.at_peer(0) for _ in range(75)}
        assert got == {b"%d" % number for number in range(1, 150, 2)}
        await settle(bench)
        assert bench.dropped() == {"no_allocation": 75}
        for relay in relays[1::2]:
            assert relay.counters()["packets_to_peer"] == 1
            relay.close()
        for client in clients:
            client.close()


async def test_one_5_tuple_has_one_relay() -> None:
    async with Bench() as bench:
        relay = Relay(bench.path)
        with pytest.raises(ValueError, match="has a relay"):
            relay.serve_datagrams(
                bench.receiver, bench.listener, bench.client.getsockname(), bench.listener.local_address
            )


async def test_a_closed_relay_passes_nothing() -> None:
    async with Bench(stream=True) as bench:
        bench.relay.close()
        bench.relay.send(bench.addresses[4], b"x")
        bench.relay.forward([channel_data(SENTINEL_CHANNEL, b"x")])
        bench.relay.close()
        assert bench.dropped() == {"closed": 1, "no_channel": 1}


@pytest.mark.parametrize(
    "refused",
    [
        lambda relay: relay.bind_channel(0x3FFF, ("127.0.0.1", 1), 1.0),
        lambda relay: relay.bind_channel(0x8000, ("127.0.0.1", 1), 1.0),
        lambda relay: relay.bind_channel(0x4000, ("127.0.0.1", 0), 1.0),
        lambda relay: relay.permit("nowhere.address", 1.0, False),
    ],
)
def test_policy_cannot_install_nonsense(refused: Callable[[Relay], Awaitable[None]]) -> None:
    with pytest.raises(ValueError, match=r"channel|port|address"):
        refused(Relay(RelayPath(b"seedseed")))


async def test_the_hop_between_two_relays_stays_in_memory() -> None:
    async with Bench() as bench:
        udp.set_own_addresses(["127.0.0.1"])
        other = Relay(bench.path)
        other_udp = UdpSocket(bench.loop, ("127.0.0.1", 0), other, component="relay")
        other.attach_socket(other_udp)
        written: list[bytes] = []
        other.serve_stream(written.append)
        for relay, peer in ((bench.relay, other_udp), (other, bench.relay_udp)):
            relay.permit("127.0.0.1", bench.at(live=True), True)
            relay.bind_channel(0x4000, peer.local_address, bench.at(live=True))
        bench.path.open_port(4, other_udp.local_address[1])
        bench.path.open_port(4, bench.relay_udp.local_address[1])
        bench.from_client(channel_data(0x4000, b"across"))
        await until(lambda: bool(written))
        assert written == [channel_data(0x4000, b"across", 0, 2)]
        other.forward([channel_data(0x4000, b"back")])
        assert await bench.at_client() == channel_data(0x4000, b"back")
        assert other_udp.counters()["memory_in"] == bench.relay_udp.counters()["memory_in"] == 1
        bench.path.close_port(4, other_udp.local_address[1])
        bench.from_client(channel_data(0x4000, b"no more"))
        await until(lambda: bench.dropped() == {"denied": 1})
        other.close()


async def test_answers_go_back_where_their_requests_came_from() -> None:
    async with Bench() as bench:
        requests = [stun.encode(1, 0, bytes([number]) * 12) for number in range(3)]
        answering = ClientReceiver(bench.path, lambda messages: [None, *(each[1] + b"!" for each in messages[1:])])
        listener = UdpSocket(bench.loop, ("127.0.0.1", 0), answering, component="turn")
        answering.attach_socket(listener)
        senders = [bench.client, *bench.peers[:2]]
        for sender, request in zip(senders, requests, strict=True):
            sender.sendto(request, listener.local_address)
        for sender, request in list(zip(senders, requests, strict=True))[1:]:
            assert await asyncio.wait_for(bench.loop.sock_recv(sender, 100), 5) == request + b"!"
        assert listener.counters()["datagrams_out"] == 2
        listener.close()
