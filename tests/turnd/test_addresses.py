import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import pytest

from tests.turnd.routers import NAT_PMP_ANSWER, NOBODY, nat_pmp_router
from turnd import addresses
from turnd.addresses import AddressWatch, LocalAddresses, OwnAddresses, local_addresses
from turnd.router import RouterPorts

REPOSITORY = Path(__file__).resolve().parents[2]


def test_this_machine_has_loopback_and_a_candidate() -> None:
    local = local_addresses()
    assert "127.0.0.1" in local.every
    assert local.candidates


def test_the_default_gateway_is_read_best_metric_first() -> None:
    lines = [
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT",
        "wlan0 00000000 FE02A8C0 0003 0 0 600 00000000 0 0 0",
        "eth0 00000000 FE01A8C0 0003 0 0 100 00000000 0 0 0",
        "eth0 0001A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0",
    ]
    assert list(addresses._ipv4_gateways(lines)) == [("eth0", "192.168.1.254"), ("wlan0", "192.168.2.254")]


def test_networks_and_gateways_of_ipv4_routes_are_read() -> None:
    lines = [
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT",
        "eth0 00000000 FE01A8C0 0003 0 0 100 00000000 0 0 0",
        "eth0 0001A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0",
        "ppp0 01020A0A 00000000 0005 0 0 0 FFFFFFFF 0 0 0",
        "* 0000FEA9 00000000 0201 0 0 0 0000FFFF 0 0 0",
        "eth1 0002A8C0 00000000 0000 0 0 0 00FFFFFF 0 0 0",
    ]
    assert list(addresses._ipv4_routes(lines)) == [
        ("0.0.0.0/0", "192.168.1.254"),
        ("192.168.1.0/24", None),
        ("10.10.2.1/32", None),
    ]


def test_networks_and_gateways_of_ipv6_routes_are_read() -> None:
    none, prefix, gateway, own = "0" * 32, "2a01cafe" + "0" * 24, "fe80" + "0" * 27 + "1", "2a01cafe" + "0" * 23 + "7"
    rows = [
        (prefix, "40", none, "00000001", "eth0"),
        (none, "00", gateway, "00000003", "eth0"),
        (own, "80", none, "80200001", "eth0"),
        (own, "80", none, "01000001", "eth0"),
        (prefix, "30", none, "00000201", "eth0"),
        (none, "00", none, "00200200", "lo"),
        (none, "80", none, "00000001", "lo"),
    ]
    lines = [f"{to} {bits} {none} 00 {by} 00000100 1 0 {flags} {name}" for to, bits, by, flags, name in rows]
    assert list(addresses._ipv6_routes(lines)) == [("2a01:cafe::/64", None), ("::/0", "fe80::1")]


def watch_of(local: LocalAddresses, configured: tuple[str, ...] = ()) -> OwnAddresses:
    watch = AddressWatch(asyncio.get_running_loop(), configured, lambda _new: None)
    watch._local = local
    return watch._combine()


async def test_lan_then_outside_then_ipv6_are_announced() -> None:
    local = LocalAddresses(("127.0.0.1", "192.168.1.10", "2001:db8::1"), ("192.168.1.10", "2001:db8::1"), None)
    own = watch_of(local, ("203.0.113.7",))
    assert own.candidates == ("192.168.1.10", "203.0.113.7", "2001:db8::1")
    assert own.public == ("203.0.113.7",)
    assert own.every == ("127.0.0.1", "192.168.1.10", "2001:db8::1", "203.0.113.7")


async def test_an_outside_address_on_an_interface_is_not_outside_a_nat() -> None:
    own = watch_of(LocalAddresses(("127.0.0.1", "203.0.113.7"), ("203.0.113.7",), None), ("203.0.113.7",))
    assert own.public == ()


async def test_loopback_is_announced_only_when_there_is_nothing_else() -> None:
    local = LocalAddresses(("127.0.0.1",), ("127.0.0.1",), None)
    assert watch_of(local).candidates == ("127.0.0.1",)
    assert watch_of(local, ("203.0.113.7",)).candidates == ("203.0.113.7",)


class Clock:
    """As much of a loop as `AddressWatch` needs for the time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now


def test_a_lost_outside_address_means_us_for_ten_minutes() -> None:
    clock, seen = Clock(), list[OwnAddresses]()
    watch = AddressWatch(cast("asyncio.AbstractEventLoop", clock), ("203.0.113.7",), seen.append)
    watch.configure(["203.0.113.8"])
    assert (seen[-1].public, seen[-1].former) == (("203.0.113.8",), ("203.0.113.7",))
    assert "203.0.113.7" in seen[-1].every
    assert "203.0.113.7" not in seen[-1].candidates
    clock.now += addresses.FORMER_SECONDS - 1
    watch._look()
    assert len(seen) == 1
    clock.now += 1
    watch._look()
    assert seen[-1].former == ()
    assert "203.0.113.7" not in seen[-1].every


def test_an_address_that_comes_back_is_former_no_more() -> None:
    watch = AddressWatch(cast("asyncio.AbstractEventLoop", Clock()), ("203.0.113.7",), lambda _new: None)
    for address in ("203.0.113.8", "203.0.113.7"):
        watch.configure([address])
    assert watch.current.former == ("203.0.113.8",)


def test_former_addresses_are_bounded_and_none_of_the_lan() -> None:
    watch = AddressWatch(cast("asyncio.AbstractEventLoop", Clock()), (), lambda _new: None)
    for number in range(20):
        lost = f"2a01:e0a::{number:x}", f"192.168.1.{number}"
        watch._local = LocalAddresses(("127.0.0.1", *lost), lost, None)
        watch._update()
    assert watch.current.former == tuple(f"2a01:e0a::{number:x}" for number in range(11, 19))


async def test_the_found_address_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    local = LocalAddresses(("127.0.0.1", "192.168.1.10"), ("192.168.1.10",), "127.0.0.1")
    monkeypatch.setattr(addresses, "local_addresses", lambda: local)
    loop = asyncio.get_running_loop()
    changed: asyncio.Future[OwnAddresses] = loop.create_future()
    async with nat_pmp_router(NAT_PMP_ANSWER) as (_, port):
        watch = AddressWatch(loop, (), changed.set_result, router_ports=RouterPorts(port, NOBODY))
        watch.start()
        try:
            async with asyncio.timeout(5):
                own = await changed
        finally:
            await watch.close()
    assert own.public == ("203.0.113.7",)
    assert own.candidates == ("192.168.1.10", "203.0.113.7")
    assert {m.labels["family"]: m.value for m in watch.measures()} == {"ipv4": 1, "ipv6": 0}


@contextmanager
def new_namespace() -> Iterator[str]:
    name = f"turnd-{secrets.token_hex(4)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-netns", name, "link", "set", "lo", "up"], check=True)
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.fixture
def namespace() -> Iterator[str]:
    with new_namespace() as name:
        yield name


def ip(namespace: str, *arguments: str) -> None:
    subprocess.run(["ip", "-netns", namespace, *arguments], check=True)


WATCHER = """
import asyncio, json, uvloop
from turnd.addresses import AddressWatch

async def main():
    loop = asyncio.get_running_loop()
    def say(own): print(json.dumps([own.inside, own.candidates, own.networks, own.routers]), flush=True)
    watch = AddressWatch(loop, (), say)
    say(watch.current)
    watch.start()
    await asyncio.Event().wait()

asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())
"""


class Said(NamedTuple):
    """A line of the watcher."""

    inside: list[str]
    candidates: list[str]
    networks: list[str]
    routers: list[str]


@asynccontextmanager
async def watcher(namespace: str) -> AsyncIterator[Callable[[], Awaitable[Said]]]:
    """An `AddressWatch` in the namespace; the function awaits what it says next."""
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", WATCHER]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environment)

    async def said() -> Said:
        assert process.stdout is not None
        async with asyncio.timeout(8):  # less than the poll: netlink says it
            return Said(*json.loads(await process.stdout.readline()))

    try:
        yield said
    finally:
        process.kill()
        await process.wait()


@pytest.mark.netns
async def test_changes_are_seen_and_container_bridges_not_announced(namespace: str) -> None:
    async with watcher(namespace) as said:
        assert (await said()).candidates == ["127.0.0.1"]
        for name, address in (("lan0", "192.168.1.10/24"), ("docker0", "172.17.0.1/16")):
            ip(namespace, "link", "add", name, "type", "bridge" if name == "docker0" else "veth")
            ip(namespace, "addr", "add", address, "dev", name)
            ip(namespace, "link", "set", name, "up")
        now = await said()
        while "172.17.0.1" not in now.inside or "192.168.1.10" not in now.inside:
            now = await said()
        assert [address for address in now.candidates if "." in address] == ["192.168.1.10"]
        ip(namespace, "addr", "delete", "192.168.1.10/24", "dev", "lan0")
        ip(namespace, "addr", "add", "192.168.1.77/24", "dev", "lan0")
        while "192.168.1.77" not in now.candidates:
            now = await said()
        assert "192.168.1.10" not in now.inside


@pytest.mark.netns
async def test_networks_and_routers_are_seen_while_they_change(namespace: str) -> None:
    async with watcher(namespace) as said:
        assert (await said()).routers == []
        ip(namespace, "link", "add", "lan0", "type", "veth", "peer", "name", "far0")
        ip(namespace, "link", "add", "docker0", "type", "bridge")
        ip(namespace, "link", "add", "tun0", "type", "veth", "peer", "name", "far1")
        for name in ("lan0", "far0", "docker0", "tun0", "far1"):
            ip(namespace, "link", "set", name, "up")
        ip(namespace, "addr", "add", "51.15.8.77/24", "dev", "lan0")
        ip(namespace, "addr", "add", "172.17.0.1/16", "dev", "docker0")
        ip(namespace, "addr", "add", "10.9.0.1", "peer", "10.9.0.2", "dev", "tun0")
        ip(namespace, "addr", "add", "2a01:cafe::7/56", "dev", "lan0", "nodad")
        ip(namespace, "route", "add", "default", "via", "51.15.8.1")
        ip(namespace, "route", "add", "default", "via", "2a01:cafe::1")
        wanted = {"51.15.8.0/24", "172.17.0.0/16", "10.9.0.2/32", "2a01:cafe::/56"}
        now = await said()
        while not wanted <= set(now.networks) or set(now.routers) != {"51.15.8.1", "2a01:cafe::1"}:
            now = await said()
        ip(namespace, "route", "replace", "default", "via", "51.15.8.2")
        while now.routers != ["2a01:cafe::1", "51.15.8.2"]:
            now = await said()
        ip(namespace, "addr", "flush", "dev", "lan0")
        ip(namespace, "-6", "route", "delete", "default")
        while wanted & set(now.networks) != {"172.17.0.0/16", "10.9.0.2/32"} or now.routers:
            now = await said()
