"""Failing receivers, closing sockets in use, leaks and totals."""

import asyncio
import collections
import gc
import random
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.wire.udp_sockets import ADDRESS, Inbox, Open, dropped, turns
from wire.udp import COUNTER_NAMES, CallbackReceiver, UdpSocket, set_own_addresses, totals


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
        for _tag, data, source, local, _arrived in datagrams:
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
