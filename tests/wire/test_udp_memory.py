"""Delivery in memory between our own ports, its bounds, and random traffic beside a small model."""

import asyncio
import collections
import random
import socket
from typing import Any

import pytest

from tests.wire.udp_sockets import ADDRESS, Open, dropped, turns
from wire.udp import CallbackReceiver, UdpSocket, own_addresses, set_own_addresses


@pytest.mark.parametrize(("host", "wildcard"), [("203.0.113.5", "0.0.0.0"), ("2001:db8::5", "::")])
async def test_own_address_never_reaches_the_kernel(open_udp: Open, host: str, wildcard: str) -> None:
    set_own_addresses([host])
    relay, relay_inbox = open_udp(wildcard, announced=host)
    sfu, sfu_inbox = open_udp(wildcard)
    relay_port, sfu_port = relay.local_address[1], sfu.local_address[1]
    relay.send(b"question", (host, sfu_port))
    await sfu_inbox.get(1)
    assert sfu_inbox.datagrams[0][:4] == (0, b"question", (host, relay_port), (host, sfu_port))
    sfu.send(b"answer", (host, relay_port), sfu_inbox.datagrams[0][3])
    await relay_inbox.get(1)
    assert relay_inbox.datagrams[0][:4] == (0, b"answer", (host, sfu_port), (host, relay_port))
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
        for _tag, data, source, *_ in datagrams:
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
        for _tag, data, source, *_ in inbox.datagrams:
            got[source[1]].append(data)
        assert {port: sorted(sent) for port, sent in got.items()} == {
            port: sorted(sent) for port, sent in per_sender.items()
        }
