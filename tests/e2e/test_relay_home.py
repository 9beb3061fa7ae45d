"""A TURN server at home without a word of configuration: the box forwards 3478, 5349 and the relay range, nothing else.

Two relay-only clients outside, one of them behind a symmetric NAT, meet in the daemon's memory, whether the box tells
its outside address (miniupnpd, by UPnP alone) or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.call import until
from tests.e2e.daemon import Daemon
from tests.e2e.home import Home
from tests.e2e.network import Network
from tests.e2e.relay_clients import RELAY_TO_KERNEL, Authority, UnderNode, by, credentials, dropped, meet

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.netns]

PUBLIC, INSIDE = "9.9.9.7", "192.168.1.10"  # miniupnpd tells no address of a documentation range
TURN_PORTS = {"tcp": "3478, 5349", "udp": "3478, 5349, 40001-40100"}
WAYS = "udp", "tcp", "tls"
SIZES = [*[1200] * 200, 16_384]
UPNP_ONLY = """
ext_ifname=wan
listening_ip=lan
enable_natpmp=no
enable_upnp=yes
uuid=00000000-0000-0000-0000-000000000001
"""


@asynccontextmanager
async def upnp(home: Home, folder: Path) -> AsyncIterator[None]:
    """The box tells its address within the block."""
    (folder / "miniupnpd.conf").write_text(UPNP_ONLY)
    command = ["miniupnpd", "-d", "-f", str(folder / "miniupnpd.conf"), "-P", str(folder / "pid")]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*home.box.command(*command), stderr=pipe)
    assert process.stderr
    try:
        async with asyncio.timeout(20):
            while b"port" not in await process.stderr.readline():  # "HTTP listening on port …"
                pass
        drain = asyncio.create_task(process.stderr.read())
        yield
    finally:
        process.terminate()
        await process.wait()
    await drain


class Scene:
    """The home, its daemon, and a client on each of two networks outside."""

    def __init__(self, daemon: Daemon, clients: list[UnderNode]) -> None:
        self.daemon = daemon
        self.clients = clients

    async def everything_arrives(self, server: dict[str, Any], announced: str) -> None:
        """Over UDP, TCP and TLS at once: two clients meet on relayed addresses at `announced` and exchange all."""
        left, right = self.clients
        for way, client in ((way, client) for way in WAYS for client in self.clients):
            await client.call(way, "new", by(way, server))
        async with asyncio.timeout(30):
            pairs = await asyncio.gather(*(meet(left, way, right, way) for way in WAYS))
        for pair in (one for both in pairs for one in both):
            assert pair["address"] == announced
        before = await self.daemon.metrics()
        async with asyncio.timeout(30):
            done = await asyncio.gather(
                *(
                    client.call(way, "exchange", side, SIZES, 16)
                    for way in WAYS
                    for side, client in enumerate(self.clients)
                )
            )
        after = await self.daemon.metrics()
        assert done == [{"received": len(SIZES), "right": len(SIZES)}] * 6
        assert dropped(before) == dropped(after)
        assert after[RELAY_TO_KERNEL] == before[RELAY_TO_KERNEL]


@pytest.fixture
def home(network: Network) -> Home:
    return Home(network, PUBLIC, TURN_PORTS)


@pytest.fixture
async def scene(home: Home, tmp_path: Path) -> AsyncIterator[Scene]:
    authority = Authority(tmp_path / "authority", [PUBLIC])
    files = {"certificate": str(authority.certificate), "private_key": str(authority.private_key)}
    daemon = Daemon(tmp_path / "daemon", home.server, http=files)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(daemon.kill)
        clients = []
        for host in (home.visitor, home.internet):
            clients.append(await UnderNode.start("werift", host, authority))
            stack.push_async_callback(clients[-1].close)
        yield Scene(daemon, clients)


async def test_the_address_is_learned_from_the_box_and_relays_under_it_meet_in_memory(
    scene: Scene, home: Home, tmp_path: Path
) -> None:
    async with upnp(home, tmp_path):
        await scene.daemon.start()
        learned = 'turnd_public_address_changes_total{family="ipv4"}'

        async def probe() -> bool:
            return (await scene.daemon.metrics())[learned] == 1

        await until("the address is learned", probe, 10)
        server = await credentials(scene.daemon)
        assert [url.split(":")[1] for url in server["urls"]] == [PUBLIC] * 5 + [INSIDE] * 5
        await scene.everything_arrives(server, PUBLIC)


async def test_relays_meet_in_memory_though_the_box_tells_nothing(scene: Scene) -> None:
    await scene.daemon.start()
    server = await credentials(scene.daemon)
    assert [url.split(":")[1] for url in server["urls"]] == [INSIDE] * 5
    outside = {**server, "urls": [url.replace(INSIDE, PUBLIC) for url in server["urls"]]}
    await scene.everything_arrives(outside, INSIDE)
