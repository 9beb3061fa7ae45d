"""Clients nobody here wrote, relay-only: two of them meet over their relayed addresses, in the daemon's memory.

What each is told is what `turnd credentials` prints, as it is. The daemon has a name and a certificate that the clients
trust: Firefox does TURN over TLS with a host name and a trusted certificate only.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.browsers import Chromium, Firefox
from tests.e2e.call import until
from tests.e2e.daemon import Daemon, total
from tests.e2e.network import Host, Network
from tests.e2e.relay_clients import (
    CLIENTS,
    RELAY_IN_MEMORY,
    RELAY_TO_KERNEL,
    Authority,
    InBrowser,
    Stack,
    UnderNode,
    by,
    credentials,
    dropped,
    meet,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.alone,  # werift asks a few times for its way, and never again
    pytest.mark.netns,
    pytest.mark.asyncio(loop_scope="module"),
]

NAME, NAME_IPV6 = "turn.test", "six.turn.test"
SIZES = [*[1200] * 250, 16_384, *[1200] * 250, 16_384, 4, 16_384]
WINDOW = 32  # less under way than a TCP connection of a slow reader may hold


class Scene:
    """The daemon on a LAN with both families, and the clients, each started when it is first asked for."""

    def __init__(self, daemon: Daemon, authority: Authority, hosts: dict[str, Host], stack: AsyncExitStack) -> None:
        self.daemon = daemon
        self.authority = authority
        self.hosts = hosts
        self._stack = stack
        self._clients: dict[str, Stack] = {}

    async def client(self, name: str) -> Stack:
        """The client of this name."""
        if name not in self._clients:
            self._clients[name] = await self._start(name)
        return self._clients[name]

    async def _start(self, name: str) -> Stack:
        folder = self.daemon.folder.parent / name
        if name in ("wrtc", "werift"):
            node = await UnderNode.start(name, self.hosts["a"], self.authority)
            self._stack.push_async_callback(node.close)
            return node
        if name == "firefox":
            self.authority.into_profile(folder / "profile")
        engine: type[Chromium] | type[Firefox] = Firefox if name == "firefox" else Chromium
        browser = await engine.start(folder, self.hosts["b"])
        self._stack.push_async_callback(browser.close)
        return await InBrowser.on_blank_page(browser)

    async def server(self, way: str = "") -> dict[str, Any]:
        """What `turnd credentials` prints, of its URLs the first for `way`: udp, tcp or tls, with a 6 over IPv6."""
        server = await credentials(self.daemon)
        if way:
            server = by(way[:3], server)
        if way.endswith("6"):
            server["urls"] = [url.replace(NAME, NAME_IPV6) for url in server["urls"]]
        return server

    async def allocations(self) -> dict[str, int]:
        """How many there are now by the transport of their client."""
        samples = await self.daemon.metrics()
        pattern = r'turnd_turn_allocations\{.*transport="%s"\}'
        return {transport: int(total(samples, pattern % transport)) for transport in ("udp", "tcp", "tls")}


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, Host]]:
    network = Network()
    made = {name: network.host(name) for name in ("daemon", "a", "b")}
    members = {host: f"10.77.0.{number}/24" for number, host in enumerate(made.values(), 1)}
    interfaces = network.lan(network.host("switch"), members).interfaces
    for number, (host, interface) in enumerate(interfaces.items(), 1):
        host.ip("address", "add", f"fd77::{number}/64", "dev", interface, "nodad")
        host.know({NAME: "10.77.0.1", NAME_IPV6: "fd77::1", "localhost": "127.0.0.1"})
        if host is not made["daemon"]:  # Firefox uses the interface of the default route alone
            host.ip("route", "add", "default", "via", "10.77.0.1")
            host.ip("route", "add", "default", "via", "fd77::1")
    yield made
    network.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(hosts: dict[str, Host], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("relay")
    authority = Authority(folder / "authority", [NAME, NAME_IPV6])
    files = {"certificate": str(authority.certificate), "private_key": str(authority.private_key)}
    daemon = Daemon(folder / "daemon", hosts["daemon"], http={"public_host": NAME, **files})
    await daemon.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(daemon.kill)
        yield Scene(daemon, authority, hosts, stack)


async def everything_arrives(scene: Scene, left: tuple[str, str], right: tuple[str, str]) -> None:
    """Two clients, each (its name, how it reaches the server), exchange all messages, and nothing is left of them."""
    before_all = await scene.allocations()
    (a, b), ways = [await scene.client(name) for name, _ in (left, right)], [way for _, way in (left, right)]
    await a.call("left", "new", await scene.server(ways[0]))
    await b.call("right", "new", await scene.server(ways[1]))
    async with asyncio.timeout(20):
        pairs = await meet(a, "left", b, "right")
    for pair, (name, way) in zip(pairs, (left, right), strict=True):
        assert pair["relay"] == (None if name == "werift" else way[:3])
    held = await scene.allocations()
    for transport in {way[:3] for way in ways}:
        assert held[transport] > before_all[transport]
    before = await scene.daemon.metrics()
    async with asyncio.timeout(20):
        done = await asyncio.gather(
            a.call("left", "exchange", 0, SIZES, WINDOW), b.call("right", "exchange", 1, SIZES, WINDOW)
        )
    after = await scene.daemon.metrics()
    assert done == [{"received": len(SIZES), "right": len(SIZES)}] * 2
    assert dropped(before) == dropped(after)
    assert after[RELAY_IN_MEMORY] - before[RELAY_IN_MEMORY] >= len(SIZES)
    assert after[RELAY_TO_KERNEL] == before[RELAY_TO_KERNEL]
    await asyncio.gather(a.call("left", "close"), b.call("right", "close"))
    # werift sends no Refresh at its end: over UDP its allocation lives on until its lifetime ends.
    kept = [name == "werift" and way.startswith("udp") for name, way in (left, right)].count(True)
    await gone(scene, {**before_all, "udp": before_all["udp"] + kept})


async def gone(scene: Scene, expected: dict[str, int]) -> None:
    async def probe() -> bool:
        return await scene.allocations() == expected

    await until("the allocations are gone", probe, 5)


SAME = {
    "chromium": ("udp", "tcp", "tls", "udp6", "tls6"),
    "firefox": ("udp", "tcp", "tls", "udp6", "tcp6"),
    "wrtc": ("udp", "tcp", "udp6"),  # libwebrtc's own list of CAs cannot be added to from JavaScript
    "werift": ("udp", "tcp", "tls", "tcp6"),
}


@pytest.mark.parametrize(("name", "way"), [(name, way) for name, ways in SAME.items() for way in ways])
async def test_two_of_a_kind_meet_in_memory(scene: Scene, name: str, way: str) -> None:
    await everything_arrives(scene, (name, way), (name, way))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("chromium", "udp"), ("firefox", "udp")),
        (("firefox", "tls"), ("chromium", "tcp")),
        (("chromium", "udp"), ("werift", "tcp")),
        (("wrtc", "udp6"), ("firefox", "tcp")),
    ],
)
async def test_different_clients_meet_in_memory(scene: Scene, left: tuple[str, str], right: tuple[str, str]) -> None:
    await everything_arrives(scene, left, right)


@pytest.mark.parametrize("way", ["udp", "tcp", "tls", "udp6", "tls6"])
async def test_two_aioice_connections_meet_in_memory(scene: Scene, way: str) -> None:
    before_all, server = await scene.allocations(), await scene.server(way)
    command = [sys.executable, str(CLIENTS / "aioice_relay.py"), *server["urls"]]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *scene.hosts["a"].command(*command, server["username"], server["credential"]),
        stdin=pipe,
        stdout=pipe,
        env={**os.environ, "SSL_CERT_FILE": str(scene.authority.root)},
    )
    assert process.stdin
    assert process.stdout
    try:
        async with asyncio.timeout(20):
            assert json.loads(await process.stdout.readline()) == {"types": ["relay"]}
            assert (await scene.allocations())[way[:3]] == before_all[way[:3]] + 2
            before = await scene.daemon.metrics()
            process.stdin.write(b"\n")
            assert json.loads(await process.stdout.readline()) == {"right": [500, 500]}
            after = await scene.daemon.metrics()
            process.stdin.write(b"\n")
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert dropped(before) == dropped(after)
    assert after[RELAY_TO_KERNEL] == before[RELAY_TO_KERNEL]
    await gone(scene, before_all)


@pytest.mark.parametrize("name", ["chromium", "firefox"])
async def test_a_browser_takes_what_the_command_prints_as_it_is_and_uses_every_way(scene: Scene, name: str) -> None:
    client, server, before = await scene.client(name), await scene.server(), await scene.allocations()
    assert len(server["urls"]) == 5  # DTLS among them, which browsers take for TLS
    await client.call("all", "new", server)
    await client.call("all", "offer")

    async def probe() -> bool:
        now = await scene.allocations()
        return all(now[transport] > number for transport, number in before.items())

    await until("allocations over UDP, TCP and TLS", probe, 10)
    await client.call("all", "close")
    await gone(scene, before)
