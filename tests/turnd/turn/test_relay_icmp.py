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

from tests.e2e.network import Host, Network, inside
from tests.turnd.turn.served import until
from tests.turnd.turn.test_relay import LOOPBACK, SENTINEL, SENTINEL_CHANNEL, Bench, channel_data
from tests.wire.udp_sockets import CLONE_NEWNET
from turnd.turn.relay import Relay, RelayPath
from wire import stun
from wire.stun import Attribute, Method
from wire.udp import UdpSocket

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


FAR = {4: ("10.77.0.1/24", "10.77.0.2/24", "10.78.0.1/24", "10.78.0.2/24", "10.78.0.0/24"),
       6: ("fd77::1/64", "fd77::2/64", "fd78::1/64", "fd78::2/64", "fd78::/64")}  # fmt: skip
NARROW_MTU = 1280


@pytest.fixture
def narrow_path(network: Network, request: pytest.FixtureRequest) -> tuple[Host, Host]:
    """A host, and one behind a router whose link to it takes packets of NARROW_MTU bytes."""
    family: int = request.getfixturevalue("family")
    server, router, far = (network.host(name) for name in ("server", "router", "far"))
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    here, gateway, near, there, net = FAR[family]
    network.link(server, here, router, gateway)
    ends = network.link(router, near, far, there)
    for host, end in zip((router, far), ends, strict=True):
        host.ip("link", "set", end, "mtu", str(NARROW_MTU))
    server.ip("route", "add", net, "via", gateway.split("/")[0])
    far.ip("route", "add", "default", "via", near.split("/")[0])
    return server, far


@pytest.mark.netns
@pytest.mark.parametrize(("family", "told"), [(4, (3, 4, NARROW_MTU)), (6, (2, 0, NARROW_MTU))])
async def test_a_path_too_narrow_is_told_with_its_mtu(
    family: int, told: tuple[int, int, int], narrow_path: tuple[Host, Host]
) -> None:
    server, far = narrow_path
    loop = asyncio.get_running_loop()
    relay, written = Relay(RelayPath(b"seedseed")), asyncio.Queue[bytes]()
    wildcard, kind = ("0.0.0.0", socket.AF_INET) if family == 4 else ("::", socket.AF_INET6)
    with inside(server.name):
        relay.attach_socket(UdpSocket(loop, (wildcard, 0), relay, component="relay"))
    with inside(far.name):
        peer = socket.socket(kind, socket.SOCK_DGRAM)
    address = FAR[family][3].split("/")[0], 5000
    with peer:
        peer.setblocking(False)
        peer.bind(address)
        relay.serve_stream(written.put_nowait)
        relay.permit(address[0], loop.time() + 100, False)
        relay.send(address, bytes(1400), True)
        assert icmp(await asyncio.wait_for(written.get(), 5)) == (address, told)
        relay.send(address, bytes(1000), True)
        assert await asyncio.wait_for(loop.sock_recv(peer, 2000), 5) == bytes(1000)
        relay.send(address, bytes(1400))  # in fragments
        assert await asyncio.wait_for(loop.sock_recv(peer, 2000), 5) == bytes(1400)
    relay.close()
