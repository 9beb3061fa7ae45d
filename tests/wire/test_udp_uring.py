"""Plain datagrams leave by io_uring, many sockets' in one call, and all as ever where that cannot be."""

import asyncio
import socket
from typing import Any

import pytest

from tests.wire.udp_sockets import ADDRESS, Open, dropped, own_option
from wire.udp import CallbackReceiver, UdpSocket, set_uring


@pytest.fixture(autouse=True)
def ring() -> None:
    if not set_uring(True):
        pytest.skip("no io_uring here")


class Trigger:
    """Runs a function inside a drain, where all that is sent leaves together."""

    def __init__(self, plain: socket.socket) -> None:
        self.done = asyncio.Event()
        self._plain = plain
        self._socket = UdpSocket(
            asyncio.get_running_loop(), (ADDRESS, 0), CallbackReceiver(self._receive), component="test"
        )

    def _receive(self, _datagrams: list[Any]) -> None:
        self._action()
        self.done.set()

    async def run(self, action: Any) -> None:
        self._action = action
        self._plain.sendto(b"now", self._socket.local_address)
        await asyncio.wait_for(self.done.wait(), 5)
        await asyncio.sleep(0)
        self._socket.close()


@pytest.mark.parametrize("number", [2, 64, 65, 150])
async def test_each_socket_sends_its_own(open_udp: Open, plain: socket.socket, number: int) -> None:
    senders = [open_udp()[0] for _ in range(number)]

    def send() -> None:
        for index, udp in enumerate(senders):
            udp.send(b"%d" % index, plain.getsockname())

    await Trigger(plain).run(send)
    got = dict(reversed(plain.recvfrom(100)) for _ in range(number))
    assert got == {udp.local_address: b"%d" % index for index, udp in enumerate(senders)}
    assert {udp.counters()["ring_out"] for udp in senders} == {1}
    assert {udp.counters()["datagrams_out"] for udp in senders} == {1}


async def test_runs_go_as_ever_and_order_is_kept(open_udp: Open, plain: socket.socket) -> None:
    many, run, one, other = (open_udp()[0] for _ in range(4))

    def send() -> None:
        many.send_batch([b"1", b"22", b"333"], plain.getsockname())
        one.send(b"one", plain.getsockname())
        run.send_batch([b"aa", b"bb"], plain.getsockname())
        other.send(b"other", plain.getsockname())

    await Trigger(plain).run(send)
    got: dict[tuple[str, int], list[bytes]] = {}
    for _ in range(7):
        data, source = plain.recvfrom(100)
        got.setdefault(source, []).append(data)
    assert got == {
        many.local_address: [b"1", b"22", b"333"],
        run.local_address: [b"aa", b"bb"],
        one.local_address: [b"one"],
        other.local_address: [b"other"],
    }
    assert [udp.counters()["ring_out"] for udp in (many, run, one, other)] == [3, 0, 1, 1]


async def test_what_is_refused_is_counted_and_costs_the_others_nothing(open_udp: Open, plain: socket.socket) -> None:
    good, bad, better = (open_udp()[0] for _ in range(3))
    own_option(bad, socket.SOL_SOCKET, socket.SO_BROADCAST, 0)

    def send() -> None:
        good.send(b"good", plain.getsockname())
        bad.send(b"bad", ("255.255.255.255", 9))  # EACCES without SO_BROADCAST
        better.send(b"better", plain.getsockname())

    await Trigger(plain).run(send)
    assert {plain.recv(100) for _ in range(2)} == {b"good", b"better"}
    assert dropped(bad) == {"dropped_forbidden": 1}
    assert dropped(good) == dropped(better) == {}


async def test_a_chosen_source_address_goes_as_ever(open_udp: Open, plain: socket.socket) -> None:
    one, other = open_udp("0.0.0.0")[0], open_udp("0.0.0.0")[0]

    def send() -> None:
        for udp, host in ((one, "127.0.0.2"), (other, "127.0.0.3")):
            udp.send(b"x", plain.getsockname(), (host, udp.local_address[1]))

    await Trigger(plain).run(send)
    assert {plain.recvfrom(100)[1][0] for _ in range(2)} == {"127.0.0.2", "127.0.0.3"}
    assert one.counters()["ring_out"] == 0


async def test_it_can_be_switched_off(open_udp: Open, plain: socket.socket) -> None:
    assert set_uring(False) is False
    one, other = open_udp()[0], open_udp()[0]

    def send() -> None:
        for udp in (one, other):
            udp.send(b"x", plain.getsockname())

    await Trigger(plain).run(send)
    assert [plain.recv(100) for _ in range(2)] == [b"x", b"x"]
    assert one.counters()["ring_out"] == 0
