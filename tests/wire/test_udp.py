"""Real sockets on loopback; delivery in memory is compared with a small model."""

import asyncio
import collections
import ctypes
import gc
import os
import random
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from wire.udp import COUNTER_NAMES, CallbackReceiver, UdpSocket, own_addresses, set_gso, set_own_addresses, totals

ADDRESS = "127.0.0.1"
SO_NO_CHECK = 11  # asm/socket.h; a socket with it may not use GSO (EINVAL)
CLONE_NEWNET = 0x40000000


class Inbox:
    """Collects what a socket receives."""

    def __init__(self) -> None:
        self.datagrams: list[tuple[int, bytes, tuple[str, int], tuple[str, int]]] = []
        self.batches: list[int] = []
        self._arrived = asyncio.Event()
        self.receiver = CallbackReceiver(self._receive)

    def _receive(self, datagrams: list[Any]) -> None:
        self.datagrams += datagrams
        self.batches.append(len(datagrams))
        self._arrived.set()

    async def get(self, number: int) -> list[bytes]:
        """Waits for `number` datagrams in all."""
        async with asyncio.timeout(5):
            while len(self.datagrams) < number:
                self._arrived.clear()
                await self._arrived.wait()
        return [data for _tag, data, _source, _local in self.datagrams]


Open = Callable[..., tuple[UdpSocket, Inbox]]


@pytest.fixture
async def open_udp() -> AsyncIterator[Open]:
    loop = asyncio.get_running_loop()
    sockets: list[UdpSocket] = []

    def open_one(host: str = ADDRESS, port: int = 0, **options: Any) -> tuple[UdpSocket, Inbox]:
        inbox = Inbox()
        udp = UdpSocket(loop, (host, port), inbox.receiver, component=options.pop("component", "test"), **options)
        sockets.append(udp)
        return udp, inbox

    yield open_one
    for udp in sockets:
        udp.close()
    set_own_addresses([])
    set_gso(True)


@pytest.fixture
def plain() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((ADDRESS, 0))
        peer.settimeout(5)
        yield peer


def own_option(udp: UdpSocket, level: int, option: int, value: int) -> None:
    with socket.socket(fileno=os.dup(udp.fileno())) as alias:
        alias.setsockopt(level, option, value)


async def turns(number: int = 3) -> None:
    """Lets the loop run what is scheduled for its next turns."""
    for _ in range(number):
        await asyncio.sleep(0)


def dropped(udp: UdpSocket) -> dict[str, int]:
    return {name: value for name, value in udp.counters().items() if name.startswith("dropped_") and value}


# ---- through the kernel ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_round_trip_on_both_loops(run: Callable[..., None]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        inbox = Inbox()
        first = UdpSocket(loop, (ADDRESS, 0), inbox.receiver, component="test")
        second = UdpSocket(loop, (ADDRESS, 0), inbox.receiver, component="test")
        first.send(b"ping", second.local_address)
        assert await inbox.get(1) == [b"ping"]
        assert inbox.datagrams == [(0, b"ping", first.local_address, second.local_address)]
        first.close()
        second.close()

    run(main())


async def test_order_is_kept_over_many_batches(open_udp: Open) -> None:
    sender, _ = open_udp()
    udp, inbox = open_udp()
    sent = [b"%d" % index for index in range(900)]
    for data in sent:
        sender.send(data, udp.local_address)
    assert await inbox.get(len(sent)) == sent
    assert udp.counters()["datagrams_in"] == sender.counters()["datagrams_out"] == 900
    assert udp.counters()["bytes_in"] == sender.counters()["bytes_out"] == sum(map(len, sent))


@pytest.mark.parametrize("length", [0, 1, 1200, 1473, 9000, 65507])
async def test_lengths_arrive_whole(open_udp: Open, length: int) -> None:
    sender, _ = open_udp()
    udp, inbox = open_udp()
    data = random.Random(length).randbytes(length)
    sender.send(data, udp.local_address)
    assert await inbox.get(1) == [data]


async def test_too_long_is_counted(open_udp: Open) -> None:
    sender, _ = open_udp()
    udp, inbox = open_udp()
    sender.send(bytes(65508), udp.local_address)
    sender.send(bytes(200_000), udp.local_address)
    sender.send(b"next", udp.local_address)
    assert await inbox.get(1) == [b"next"]
    assert dropped(sender) == {"dropped_oversize": 2}


async def test_gro_run_is_split(open_udp: Open, plain: socket.socket) -> None:
    udp, inbox = open_udp()
    payload = random.Random(1).randbytes(10 * 1000 + 7)
    plain.setsockopt(socket.SOL_UDP, 103, 1000)
    plain.sendto(payload, udp.local_address)
    assert await inbox.get(11) == [payload[start : start + 1000] for start in range(0, len(payload), 1000)]
    assert udp.counters()["gro_receives"] == 1
    assert udp.counters()["datagrams_in"] == 11


async def test_run_of_more_datagrams_than_a_packet_array_holds(open_udp: Open, plain: socket.socket) -> None:
    udp, inbox = open_udp()
    payloads = [random.Random(index).randbytes(64 * 10) for index in range(12)]
    plain.setsockopt(socket.SOL_UDP, 103, 10)
    for payload in payloads:
        plain.sendto(payload, udp.local_address)
    whole = b"".join(payloads)
    assert await inbox.get(768) == [whole[start : start + 10] for start in range(0, len(whole), 10)]


async def test_ipv6(open_udp: Open) -> None:
    sender, _ = open_udp("::1")
    udp, inbox = open_udp("::")
    sender.send(b"six", ("::1", udp.local_address[1]))
    await inbox.get(1)
    assert inbox.datagrams == [(0, b"six", ("::1", sender.local_address[1]), ("::1", udp.local_address[1]))]


async def test_families_share_a_port(open_udp: Open) -> None:
    udp, _ = open_udp("0.0.0.0")
    six, _ = open_udp("::", udp.local_address[1])
    assert six.local_address == ("::", udp.local_address[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.1.2.3"])
async def test_wildcard_tells_the_address_it_was_sent_to(open_udp: Open, plain: socket.socket, host: str) -> None:
    udp, inbox = open_udp("0.0.0.0")
    plain.sendto(b"x", (host, udp.local_address[1]))
    await inbox.get(1)
    assert inbox.datagrams[0][3] == (host, udp.local_address[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.1.2.3"])
async def test_wildcard_sends_from_the_local_address_given(open_udp: Open, plain: socket.socket, host: str) -> None:
    udp, _ = open_udp("0.0.0.0")
    udp.send(b"x", plain.getsockname(), (host, 0))
    assert plain.recvfrom(10) == (b"x", (host, udp.local_address[1]))


async def test_ipv6_wildcard_sends_from_the_local_address_given(open_udp: Open) -> None:
    udp, _ = open_udp("::")
    other, inbox = open_udp("::1")
    udp.send(b"x", other.local_address, ("::1", 0))
    await inbox.get(1)
    assert inbox.datagrams[0][2] == ("::1", udp.local_address[1])


async def test_receive_overflow_is_counted(open_udp: Open, plain: socket.socket) -> None:
    udp, inbox = open_udp(receive_buffer_bytes=4096)
    for _ in range(200):
        plain.sendto(bytes(500), udp.local_address)
    await inbox.get(1)
    plain.sendto(b"tells the overflow", udp.local_address)
    while b"tells the overflow" not in await inbox.get(len(inbox.datagrams) + 1):
        pass
    counters = udp.counters()
    assert counters["overflow"] > 0
    assert counters["overflow"] + counters["datagrams_in"] == 201


# ---- GSO ------------------------------------------------------------------------------------------------------------


RUNS = [
    [1200] * 8,
    [1200] * 8 + [7],
    [1200] * 3 + [7] * 3 + [1200] * 2,
    [7, 1200, 1200, 7],
    [1200, 0, 1200, 0, 0],
    [100] * 130,
    [1400] * 100,
    [30_000] * 5,
    [500, 400, 500, 400],
    [65507, 65507],
]


@pytest.mark.parametrize("gso", [True, False])
@pytest.mark.parametrize("sizes", RUNS, ids=range(len(RUNS)))
async def test_runs_arrive_as_they_were_sent(open_udp: Open, sizes: list[int], gso: bool) -> None:
    set_gso(gso)
    sender, _ = open_udp()
    udp, inbox = open_udp()
    sent = [random.Random(index).randbytes(size) for index, size in enumerate(sizes)]
    sender.send_batch(sent, udp.local_address)
    assert await inbox.get(len(sent)) == sent
    assert sender.counters()["datagrams_out"] == len(sent)
    assert bool(udp.counters()["gro_receives"]) == bool(sender.counters()["gso_sends"])
    assert gso or sender.counters()["gso_sends"] == 0


async def test_equal_datagrams_leave_as_one_send(open_udp: Open, plain: socket.socket) -> None:
    udp, _ = open_udp()
    udp.send_batch([bytes(1000)] * 64 + [bytes(999)], plain.getsockname())
    udp.send_batch([bytes(1000)] * 5 + [bytes(999)], plain.getsockname())
    assert udp.counters()["gso_sends"] == 2
    assert udp.counters()["datagrams_out"] == 71
    assert [len(plain.recv(2000)) for _ in range(71)] == [1000] * 64 + [999] + [1000] * 5 + [999]


async def test_refused_gso_is_sent_one_by_one(open_udp: Open, plain: socket.socket) -> None:
    udp, _ = open_udp()
    own_option(udp, socket.SOL_SOCKET, SO_NO_CHECK, 1)
    sent = [random.Random(index).randbytes(1000) for index in range(10)] + [b"last"]
    for _ in range(2):
        udp.send_batch(sent, plain.getsockname())
        assert [plain.recv(2000) for _ in sent] == sent
    assert udp.counters()["gso_sends"] == 0
    assert udp.counters()["datagrams_out"] == 22
    assert dropped(udp) == {}


async def test_gso_run_keeps_its_local_address(open_udp: Open, plain: socket.socket) -> None:
    udp, _ = open_udp("0.0.0.0")
    udp.send_batch([b"one", b"two"], plain.getsockname(), ("127.0.0.2", 0))
    assert [plain.recvfrom(9) for _ in range(2)] == [
        (data, ("127.0.0.2", udp.local_address[1])) for data in (b"one", b"two")
    ]
    assert udp.counters()["gso_sends"] == 1


async def test_refusal_does_not_stop_the_batch(open_udp: Open, plain: socket.socket) -> None:
    udp, _ = open_udp("0.0.0.0")
    udp.send_batch([b"a", b"b", b"c" * 65508, b"d"], plain.getsockname())
    assert [plain.recv(9) for _ in range(3)] == [b"a", b"b", b"d"]
    udp.send_batch([b"one", b"three", b"2"], ("127.255.255.255", 9))
    assert dropped(udp) == {"dropped_oversize": 1, "dropped_forbidden": 3}


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remote", "local", "reason"),
    [
        ((ADDRESS, 0), None, "dropped_address"),
        (("::1", 9), None, "dropped_address"),
        ((ADDRESS, 9), ("::1", 0), "dropped_address"),
        ((ADDRESS, 9), ("203.0.113.9", 0), "dropped_unreachable"),
        (("127.255.255.255", 9), None, "dropped_forbidden"),
    ],
)
async def test_refused_send_is_counted_by_reason(
    open_udp: Open, remote: tuple[str, int], local: tuple[str, int] | None, reason: str
) -> None:
    udp, _ = open_udp("0.0.0.0")
    udp.send(b"x", remote, local)
    assert dropped(udp) == {reason: 1}
    assert udp.counters()["datagrams_out"] == 0


async def test_unreachable_port_is_no_error(open_udp: Open, plain: socket.socket) -> None:
    udp, _ = open_udp()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind((ADDRESS, 0))
        nobody = gone.getsockname()
    for _ in range(3):
        udp.send(b"x", nobody)
    udp.send(b"y", plain.getsockname())
    assert plain.recv(10) == b"y"
    assert udp.counters()["datagrams_out"] == 4


@pytest.mark.parametrize("address", [("example.org", 1), ("", 1), (ADDRESS, 65536), (ADDRESS, -1), ("fe80::1%lo", 1)])
async def test_bad_address_is_the_callers_error(open_udp: Open, address: tuple[str, int]) -> None:
    udp, _ = open_udp()
    with pytest.raises(ValueError, match="not a"):
        udp.send(b"x", address)
    with pytest.raises(ValueError, match="not a"):
        open_udp(*address)


async def test_port_in_use_raises(open_udp: Open) -> None:
    udp, _ = open_udp()
    with pytest.raises(OSError, match="in use"):
        open_udp(*udp.local_address)


# ---- in memory ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "wildcard"), [("203.0.113.5", "0.0.0.0"), ("2001:db8::5", "::")])
async def test_own_address_never_reaches_the_kernel(open_udp: Open, host: str, wildcard: str) -> None:
    set_own_addresses([host])
    relay, relay_inbox = open_udp(wildcard, announced=host)
    sfu, sfu_inbox = open_udp(wildcard)
    relay_port, sfu_port = relay.local_address[1], sfu.local_address[1]
    relay.send(b"question", (host, sfu_port))
    await sfu_inbox.get(1)
    assert sfu_inbox.datagrams == [(0, b"question", (host, relay_port), (host, sfu_port))]
    sfu.send(b"answer", (host, relay_port), sfu_inbox.datagrams[0][3])
    await relay_inbox.get(1)
    assert relay_inbox.datagrams == [(0, b"answer", (host, sfu_port), (host, relay_port))]
    assert relay.counters()["memory_out"] == sfu.counters()["memory_in"] == 1
    assert relay.counters()["datagrams_out"] == sfu.counters()["datagrams_in"] == 0


@pytest.mark.parametrize(
    ("bound", "announced", "local", "source"),
    [
        ("0.0.0.0", "", None, "203.0.113.5"),
        ("0.0.0.0", "192.0.2.7", None, "192.0.2.7"),
        ("0.0.0.0", "192.0.2.7", ("198.51.100.1", 1), "198.51.100.1"),
        (ADDRESS, "", None, ADDRESS),
        (ADDRESS, "192.0.2.7", None, "192.0.2.7"),
    ],
)
async def test_source_seen_in_memory(
    open_udp: Open, bound: str, announced: str, local: tuple[str, int] | None, source: str
) -> None:
    set_own_addresses(["203.0.113.5"])
    sender, _ = open_udp(bound, announced=announced)
    udp, inbox = open_udp("0.0.0.0")
    sender.send(b"x", ("203.0.113.5", udp.local_address[1]), local)
    await inbox.get(1)
    assert inbox.datagrams[0][2] == (source, sender.local_address[1])


async def test_specific_address_wins_over_none(open_udp: Open) -> None:
    set_own_addresses(["127.0.0.2", "127.0.0.3"])
    udp, inbox = open_udp("127.0.0.2")
    other, other_inbox = open_udp("127.0.0.3", udp.local_address[1])
    sender, _ = open_udp()
    sender.send(b"two", udp.local_address)
    sender.send(b"three", other.local_address)
    assert await inbox.get(1) == [b"two"]
    assert await other_inbox.get(1) == [b"three"]
    assert sender.counters()["memory_out"] == 2


async def test_own_address_without_our_port_goes_to_the_kernel(open_udp: Open, plain: socket.socket) -> None:
    set_own_addresses([ADDRESS])
    udp, _ = open_udp()
    udp.send(b"out", plain.getsockname())
    assert plain.recv(10) == b"out"
    assert udp.counters()["memory_out"] == 0


async def test_our_port_on_a_foreign_address_goes_to_the_kernel(open_udp: Open, plain: socket.socket) -> None:
    set_own_addresses(["203.0.113.5"])
    udp, _ = open_udp("0.0.0.0")
    open_udp("127.0.0.9", plain.getsockname()[1])
    udp.send(b"out", plain.getsockname())
    assert plain.recv(10) == b"out"
    assert udp.counters()["memory_out"] == 0


async def test_empty_datagram_in_memory(open_udp: Open) -> None:
    set_own_addresses([ADDRESS])
    udp, inbox = open_udp()
    udp.send(b"", udp.local_address)
    assert await inbox.get(1) == [b""]


@pytest.mark.parametrize("beyond", [0, 1])
async def test_memory_queue_bound_by_number(open_udp: Open, beyond: int) -> None:
    set_own_addresses([ADDRESS])
    udp, inbox = open_udp()
    for _ in range(4096 + beyond):
        udp.send(b"x", udp.local_address)
    counters = udp.counters()
    assert (counters["memory_out"], counters["dropped_memory_full"]) == (4096, beyond)
    await turns()
    assert udp.counters()["memory_in"] == 4096
    assert len(inbox.datagrams) == 1024
    assert udp.counters()["dropped_kept_full"] == 4096 - 1024


async def test_memory_queue_bound_by_bytes(open_udp: Open) -> None:
    set_own_addresses([ADDRESS])
    udp, _ = open_udp()
    for _ in range(64):
        udp.send(bytes(65000), udp.local_address)
    udp.send(bytes(4 * 1024 * 1024 - 64 * 65000), udp.local_address)
    assert dropped(udp) == {}
    udp.send(b"x", udp.local_address)
    assert dropped(udp) == {"dropped_memory_full": 1}
    await turns()


@pytest.mark.parametrize("beyond", [0, 1])
async def test_kept_bound_by_number(open_udp: Open, beyond: int) -> None:
    set_own_addresses([ADDRESS])
    udp, inbox = open_udp()
    for _ in range(1024 + beyond):
        udp.send(b"x", udp.local_address)
    assert len(await inbox.get(1024)) == 1024
    assert udp.counters()["dropped_kept_full"] == beyond


@pytest.mark.parametrize("beyond", [0, 1])
async def test_kept_bound_by_bytes(open_udp: Open, beyond: int) -> None:
    set_own_addresses([ADDRESS])
    udp, inbox = open_udp()
    udp.send_batch([bytes(65000)] * 32 + [bytes(2 * 1024 * 1024 - 32 * 65000)] + [b"x"] * beyond, udp.local_address)
    assert len(await inbox.get(33)) == 33
    assert udp.counters()["dropped_kept_full"] == beyond


async def test_answers_in_memory_do_not_starve_the_loop(open_udp: Open) -> None:
    """Two sockets that answer each other for ever leave the loop its turns."""
    set_own_addresses([ADDRESS])
    loop = asyncio.get_running_loop()
    seen = collections.Counter[str]()

    def bounce(datagrams: list[Any]) -> None:
        for _tag, data, source, _local in datagrams:
            seen["bounces"] += 1
            udp.send(data, source)

    udp = UdpSocket(loop, (ADDRESS, 0), CallbackReceiver(bounce), component="test")
    udp.send(b"x", udp.local_address)
    await turns(50)
    udp.close()
    assert 10 < seen["bounces"] < 60


def test_own_addresses_are_canonical() -> None:
    set_own_addresses(["192.0.2.1", "2001:DB8:0:0::1", "::ffff:192.0.2.2"])
    assert own_addresses() == {"192.0.2.1", "2001:db8::1", "192.0.2.2"}
    with pytest.raises(ValueError, match="not an IP"):
        set_own_addresses(["198.51.100.1", "nonsense"])
    assert own_addresses() == {"192.0.2.1", "2001:db8::1", "192.0.2.2"}
    set_own_addresses([f"10.0.0.{number}" for number in range(256)])
    with pytest.raises(ValueError, match="256"):
        set_own_addresses([f"10.0.{number // 256}.{number % 256}" for number in range(257)])
    set_own_addresses([])
    assert own_addresses() == frozenset()


@pytest.mark.parametrize("seed", range(4))
async def test_random_traffic_like_the_model(open_udp: Open, seed: int) -> None:
    """Each socket gets from each other what the model says, whichever way it came."""
    rng = random.Random(seed)
    own = ["127.0.0.1", "127.0.0.2", "203.0.113.5"]
    set_own_addresses(own[1:])
    opened = [open_udp(rng.choice(["0.0.0.0", "127.0.0.1", "127.0.0.2"])) for _ in range(6)]
    expected: list[dict[int, list[bytes]]] = [collections.defaultdict(list) for _ in opened]
    for _ in range(60):
        sender, _ = rng.choice(opened)
        to = rng.randrange(len(opened))
        bound, port = opened[to][0].local_address
        host = rng.choice(own)
        data = rng.randbytes(rng.choice([0, 1, 100, 1200, 5000]))
        in_memory = host in own[1:] and bound in ("0.0.0.0", host)
        if not in_memory and (host == own[2] or bound not in ("0.0.0.0", host)):
            continue  # that would leave the machine or find nobody
        if not in_memory and sender.local_address[0] == "127.0.0.2" and host != "127.0.0.1":
            continue
        sender.send(data, (host, port))
        expected[to][sender.local_address[1]].append(data)
    for (_, inbox), per_sender in zip(opened, expected, strict=True):
        await inbox.get(sum(map(len, per_sender.values())))
        got: dict[int, list[bytes]] = collections.defaultdict(list)
        for _tag, data, source, _local in inbox.datagrams:
            got[source[1]].append(data)
        assert {port: sorted(sent) for port, sent in got.items()} == {
            port: sorted(sent) for port, sent in per_sender.items()
        }


# ---- failures and closing -------------------------------------------------------------------------------------------


async def test_exception_in_one_receiver_leaves_the_others(open_udp: Open) -> None:
    set_own_addresses([ADDRESS])
    loop = asyncio.get_running_loop()
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: reported.append(context))

    def fail(_datagrams: list[Any]) -> None:
        raise LookupError("broken receiver")

    broken = UdpSocket(loop, (ADDRESS, 0), CallbackReceiver(fail), component="test")
    udp, inbox = open_udp()
    udp.send(b"x", broken.local_address)
    udp.send(b"y", udp.local_address)
    assert await inbox.get(1) == [b"y"]
    broken.close()
    assert [type(context["exception"]) for context in reported] == [LookupError]


@pytest.mark.parametrize("in_memory", [False, True])
async def test_close_inside_its_own_dispatch(open_udp: Open, in_memory: bool) -> None:
    set_own_addresses([ADDRESS] if in_memory else [])
    loop = asyncio.get_running_loop()
    closed = asyncio.Event()
    holder: list[UdpSocket] = []

    def close(_datagrams: list[Any]) -> None:
        udp = holder.pop()
        udp.send(b"to itself, closing", udp.local_address)
        udp.close()
        udp.close()
        closed.set()

    holder.append(UdpSocket(loop, (ADDRESS, 0), CallbackReceiver(close), component="test"))
    sender, _ = open_udp()
    address = holder[0].local_address
    for _ in range(100):
        sender.send(b"x", address)
    await closed.wait()
    gc.collect()
    await turns()
    sender.send(b"after", address)
    assert sender.counters()["datagrams_out"] == (1 if in_memory else 101)


async def test_close_drops_what_waits_in_memory(open_udp: Open) -> None:
    set_own_addresses([ADDRESS])
    udp, inbox = open_udp()
    other, other_inbox = open_udp()
    for _ in range(3):
        udp.send(b"x", udp.local_address)
        udp.send(b"y", other.local_address)
    udp.close()
    assert await other_inbox.get(3) == [b"y"] * 3
    assert inbox.datagrams == []
    assert dropped(udp) == {"dropped_closed": 3}


async def test_send_after_close_is_counted(open_udp: Open) -> None:
    udp, _ = open_udp()
    udp.close()
    udp.send(b"x", (ADDRESS, 9))
    assert dropped(udp) == {"dropped_closed": 1}
    assert udp.fileno() == -1


async def test_port_of_a_closed_socket_is_free_and_foreign(open_udp: Open, plain: socket.socket) -> None:
    set_own_addresses([ADDRESS])
    udp, _ = open_udp()
    sender, _ = open_udp()
    address = udp.local_address
    udp.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(address)
        other.settimeout(5)
        sender.send(b"x", address)
        assert other.recv(10) == b"x"


def test_unclosed_socket_is_warned_of() -> None:
    async def main() -> None:
        UdpSocket(asyncio.get_running_loop(), (ADDRESS, 0), Inbox().receiver, component="test")

    def leave_it_open() -> None:
        asyncio.run(main())
        gc.collect()

    with pytest.warns(ResourceWarning):
        leave_it_open()


async def test_opening_and_closing_leaks_nothing(open_udp: Open) -> None:
    set_own_addresses([ADDRESS])
    loop = asyncio.get_running_loop()

    def once() -> None:
        inbox = Inbox()
        udp = UdpSocket(loop, (ADDRESS, 0), inbox.receiver, component="test")
        udp.send(bytes(30_000), udp.local_address)
        udp.close()

    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(100):
        once()
    await turns()
    gc.collect()
    before = resident_bytes(), descriptors()
    for _ in range(1000):
        once()
    await turns()
    gc.collect()
    assert descriptors() == before[1]
    assert resident_bytes() - before[0] < 4 << 20


@pytest.mark.parametrize("seed", range(3))
async def test_sockets_come_and_go_under_traffic(seed: int) -> None:
    """Nothing is lost uncounted, whoever closes whom in the middle of what."""
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    set_own_addresses(["127.0.0.2"])
    sockets: list[UdpSocket] = []
    gone: list[UdpSocket] = []
    dispatched = collections.Counter[str]()

    def open_one() -> None:
        sockets.append(UdpSocket(loop, ("0.0.0.0", 0), CallbackReceiver(react), component=f"churn{seed}"))

    def react(datagrams: list[Any]) -> None:
        dispatched["datagrams"] += len(datagrams)
        for _tag, data, source, local in datagrams:
            if len(sockets) > 2 and rng.random() < 0.1:
                gone.append(sockets.pop(rng.randrange(len(sockets))))
                gone[-1].close()
                open_one()
            if rng.random() < 0.5:
                rng.choice(sockets + gone[-2:]).send(data, source, local)

    for _ in range(5):
        open_one()
    for _ in range(400):
        host = rng.choice(["127.0.0.1", "127.0.0.2"])
        to = (host, rng.choice(sockets).local_address[1])
        rng.choice(sockets).send_batch([rng.randbytes(900)] * rng.randrange(1, 9), to)
        if rng.random() < 0.2:
            await turns(1)
    await turns(20)
    for udp in sockets:
        udp.close()
    counters = totals()[f"churn{seed}"]
    set_own_addresses([])
    assert dispatched["datagrams"] == counters["datagrams_in"] + counters["memory_in"] - counters["dropped_kept_full"]
    # what waited in memory for a socket that closed is the only thing sent and not received
    in_memory_closed = counters["memory_out"] - counters["memory_in"]
    assert 0 <= in_memory_closed <= counters["dropped_closed"]
    assert dispatched["datagrams"] > 1000


async def test_counters_are_a_closed_set(open_udp: Open) -> None:
    udp, _ = open_udp()
    assert tuple(udp.counters()) == COUNTER_NAMES
    assert set(udp.counters().values()) == {0}


async def test_totals_include_closed_sockets(open_udp: Open, plain: socket.socket) -> None:
    for _ in range(2):
        udp, _ = open_udp(component="totals")
        udp.send(b"12345", plain.getsockname())
        udp.close()
    assert totals()["totals"]["datagrams_out"] == 2
    assert totals()["totals"]["bytes_out"] == 10


# ---- a link without room, in a network namespace of its own ---------------------------------------------------------


@pytest.fixture
def slow_loopback() -> Callable[[Callable[[], Any], str], Any]:
    """Runs a function where the loopback device has this rate and an MTU of 1500; the sockets it opens stay there."""
    if os.geteuid() != 0:
        pytest.skip("needs root")

    def run(function: Callable[[], Any], rate: str) -> Any:
        result: list[Any] = []

        def in_namespace() -> None:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
                return
            for command in (
                "ip link set lo mtu 1500 up",
                f"tc qdisc add dev lo root tbf rate {rate} burst 3kb limit 1mb",
            ):
                subprocess.run(command.split(), check=True)
            result.append(function())

        thread = threading.Thread(target=in_namespace)
        thread.start()
        thread.join()
        if not result:
            pytest.skip("no network namespaces here")
        return result[0]

    return run


def slow_pair(open_udp: Open) -> tuple[UdpSocket, UdpSocket, Inbox]:
    """A sender with a small send buffer and whom it sends to."""
    udp, _ = open_udp()
    own_option(udp, socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    other, inbox = open_udp()
    return udp, other, inbox


@pytest.mark.netns
@pytest.mark.parametrize("gso", [True, False])
async def test_waits_for_room_and_sends_in_order(open_udp: Open, slow_loopback: Any, gso: bool) -> None:
    set_gso(gso)
    udp, other, inbox = slow_loopback(lambda: slow_pair(open_udp), "4mbit")
    sent = [bytes([index]) * 500 for index in range(60)]
    for start in range(0, 60, 10):
        udp.send_batch(sent[start : start + 10], other.local_address)
    assert udp.counters()["datagrams_out"] < 60
    assert await inbox.get(60) == sent
    assert dropped(udp) == {}
    assert udp.counters()["datagrams_out"] == 60


@pytest.mark.netns
async def test_sheds_what_waited_too_long(open_udp: Open, slow_loopback: Any) -> None:
    udp, other, inbox = slow_loopback(lambda: slow_pair(open_udp), "64kbit")
    sent = [bytes([index]) * 500 for index in range(40)]
    set_gso(False)
    udp.send_batch(sent, other.local_address)
    while not udp.counters()["dropped_queue_age"]:
        await inbox.get(len(inbox.datagrams) + 1)
    counters = udp.counters()
    assert counters["datagrams_out"] + counters["dropped_queue_age"] == 40
    got = await inbox.get(counters["datagrams_out"])
    assert got == sent[: len(got)]


@pytest.mark.netns
@pytest.mark.parametrize("beyond", [0, 1])
async def test_send_queue_bound(open_udp: Open, slow_loopback: Any, beyond: int) -> None:
    set_gso(False)
    udp, other, _inbox = slow_loopback(lambda: slow_pair(open_udp), "8kbit")
    udp.send_batch([bytes(1024)] * 100, other.local_address)
    waiting = 100 - udp.counters()["datagrams_out"]
    udp.send_batch([bytes(1024)] * (1024 - waiting + beyond), other.local_address)
    assert udp.counters()["dropped_queue_full"] == beyond
    udp.close()
    assert udp.counters()["dropped_closed"] == 1024


@pytest.mark.netns
async def test_runs_beyond_the_mtu_are_fragmented_and_shorter_ones_stay_in_gso(
    open_udp: Open, slow_loopback: Any
) -> None:
    udp, other, inbox = slow_loopback(lambda: (open_udp()[0], *open_udp()), "1gbit")
    sent = [random.Random(index).randbytes(2000) for index in range(5)]
    udp.send_batch(sent, other.local_address)
    assert await inbox.get(5) == sent
    assert udp.counters()["gso_sends"] == 0
    udp.send_batch([bytes(1400)] * 5, other.local_address)
    assert await inbox.get(10) == sent + [bytes(1400)] * 5
    assert udp.counters()["gso_sends"] == 1
    assert dropped(udp) == {}


@pytest.mark.netns
async def test_no_route_is_counted(open_udp: Open, slow_loopback: Any) -> None:
    udp, _, _ = slow_loopback(lambda: slow_pair(open_udp), "1mbit")
    udp.send(b"x", ("192.0.2.1", 9))
    assert dropped(udp) == {"dropped_unreachable": 1}
