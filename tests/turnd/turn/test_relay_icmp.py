"""The compiled relay path and the network's refusals: ICMP becomes Data indications, DONT-FRAGMENT the DF bit."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.turnd.turn.served import until
from tests.turnd.turn.test_relay import LOOPBACK, SENTINEL, SENTINEL_CHANNEL, Bench, channel_data
from tests.wire.udp_sockets import CLONE_NEWNET
from wire import stun
from wire.stun import Attribute, Method

PORT_UNREACHABLE = {4: (3, 3, 0), 6: (1, 4, 0)}


def nobody(family: int) -> tuple[str, int]:
    """An address of ours where nobody listens."""
    with socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind((LOOPBACK[family][0], 0))
        address = made.getsockname()
        return str(address[0]), int(address[1])


def icmp(data: bytes) -> tuple[tuple[str, int], tuple[int, int, int]]:
    """(peer, (type, code, data)) of a Data indication with ICMP."""
    message = stun.parse(data)
    assert (message.method, message.message_class) == (Method.DATA, stun.MessageClass.INDICATION)
    assert [kind for kind, _ in message.attributes] == [Attribute.XOR_PEER_ADDRESS, Attribute.ICMP]
    peer, value = (each for _, each in message.attributes)
    return stun.decode_xor_address(peer, message.transaction_id), stun.decode_icmp(value)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_peer_that_is_not_there_is_told_by_icmp(family: int, stream: bool) -> None:
    async with Bench(family, stream=stream) as bench:
        gone = nobody(family)
        bench.relay.permit(gone[0], bench.at(live=True), False)
        bench.relay.send(gone, b"anybody?")
        if stream:
            await asyncio.wait_for(bench.wrote.wait(), 5)
        assert icmp(bench.written[0] if stream else await bench.at_client()) == (gone, PORT_UNREACHABLE[family])
        assert bench.path.counters()["icmp_to_client"] == 1


async def test_icmp_needs_a_permission_too() -> None:
    async with Bench() as bench:
        gone = nobody(4)[1]
        bench.relay.permit("127.0.0.7", bench.at(live=True), False)
        bench.relay.send(("127.0.0.7", gone), b"anybody?")
        bench.relay.permit("127.0.0.7", bench.at(live=False), False)
        await until(lambda: bench.dropped() == {"peer_no_permission": 1})
        assert bench.path.counters()["icmp_to_client"] == 0


async def test_icmp_of_one_peer_costs_another_nothing() -> None:
    async with Bench() as bench:
        gone = nobody(4)
        bench.relay.permit(gone[0], bench.at(live=True), False)
        for _ in range(50):
            bench.relay.send(gone, b"anybody?")
            bench.relay.send(bench.addresses[4], SENTINEL)
            bench.from_peer(4, SENTINEL)
        assert {await bench.at_peer(4) for _ in range(50)} == {SENTINEL}
        messages = [await bench.at_client() for _ in range(100)]
        assert messages.count(channel_data(SENTINEL_CHANNEL, SENTINEL)) == 50
        assert all(icmp(each)[0] == gone for each in messages if each[0] < 0x40)


@pytest.fixture
def narrow_loopback() -> Callable[[Callable[[], Any]], Any]:
    """Runs a function where the loopback device has an MTU of 1500; the sockets it opens stay there."""
    if os.geteuid() != 0:
        pytest.skip("needs root")

    def run(function: Callable[[], Any]) -> Any:
        result: list[Any] = []

        def in_namespace() -> None:
            assert ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0
            subprocess.run(["ip", "link", "set", "lo", "mtu", "1500", "up"], check=True)
            result.append(function())

        thread = threading.Thread(target=in_namespace)
        thread.start()
        thread.join()
        return result[0]

    return run


@pytest.mark.netns
@pytest.mark.parametrize(("family", "most"), [(4, 1472), (6, 1452)])
async def test_dont_fragment_holds_for_its_datagram_alone(family: int, most: int, narrow_loopback: Any) -> None:
    loop = asyncio.get_running_loop()
    async with narrow_loopback(lambda: Bench(family, loop=loop)) as bench:
        bench.relay.send(bench.addresses[4], bytes(most + 1), True)
        bench.relay.send(bench.addresses[4], bytes(most), True)
        bench.relay.send(bench.addresses[4], bytes(most + 1))
        assert [len(await bench.at_peer(4)) for _ in range(2)] == [most, most + 1]
        assert bench.relay_udp.counters()["dropped_oversize"] == 1
