"""A link without room, in a network namespace of its own."""

import ctypes
import os
import random
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.wire.udp_sockets import CLONE_NEWNET, Inbox, Open, dropped, own_option
from wire.udp import UdpSocket, set_gso


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
