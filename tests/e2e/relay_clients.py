"""Relay-only WebRTC clients that others wrote, each driven through the same few calls, and a CA that they trust."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Protocol

from tests.e2e.browsers import Browser
from tests.e2e.daemon import REPOSITORY, Daemon
from tests.e2e.network import Host, run

CLIENTS = Path(__file__).parent / "clients"
DROPS = r"turnd_turn_dropped_packets_total\{.*\}|turnd_udp_(send|receive)_errors_total\{.*\}"
RELAY_TO_KERNEL = 'turnd_udp_datagrams_total{component="relay",direction="out"}'
RELAY_IN_MEMORY = 'turnd_udp_memory_deliveries_total{component="relay"}'
RELAY_PEER = (CLIENTS / "relay_peer.js").read_text()


class Authority:
    """A certificate authority of the test's own; `certificate` and `private_key` are a server's."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.root, self.certificate, self.private_key = (
            folder / name for name in ("root.pem", "server.pem", "key.pem")
        )
        root_key, new_key = folder / "root.key", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        request = ["openssl", "req", "-x509", *new_key, "-days", "9"]
        run(*request, "-keyout", str(root_key), "-out", str(self.root), "-subj", "/CN=Root of a test")
        alternatives = ",".join(f"IP:{name}" if name[-1].isdigit() else f"DNS:{name}" for name in names)
        extensions = ["-addext", f"subjectAltName={alternatives}", "-addext", "basicConstraints=critical,CA:FALSE"]
        signed = ["-CA", str(self.root), "-CAkey", str(root_key)]
        written = ["-keyout", str(self.private_key), "-out", str(self.certificate)]
        run(*request, *signed, *written, "-subj", f"/CN={names[0]}", *extensions)

    def into_profile(self, profile: Path) -> None:
        """Has a new Firefox profile trust it."""
        profile.mkdir(parents=True)
        database = f"sql:{profile}"
        run("certutil", "-N", "-d", database, "--empty-password")
        run("certutil", "-A", "-d", database, "-n", "test", "-t", "C,,", "-i", str(self.root))


async def credentials(daemon: Daemon) -> dict[str, Any]:
    """What the operator of a daemon in a namespace gets from `turnd credentials`."""
    assert daemon.host
    command = [sys.executable, "-m", "turnd", "credentials", "--config", str(daemon.config)]
    process = await asyncio.create_subprocess_exec(
        *daemon.host.command(*command), stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY
    )
    printed, _ = await process.communicate()
    return dict(json.loads(printed))


def by(way: str, server: dict[str, Any]) -> dict[str, Any]:
    """The ICE server with the first of its URLs for `way`, which is udp, tcp or tls."""
    scheme, transport = {"udp": ("turn:", "udp"), "tcp": ("turn:", "tcp"), "tls": ("turns:", "tcp")}[way]
    return {**server, "urls": [u for u in server["urls"] if u.startswith(scheme) and u.endswith(transport)][:1]}


def dropped(samples: dict[str, float]) -> dict[str, float]:
    """The counters of what was lost on sockets and relays."""
    return {name: value for name, value in samples.items() if re.fullmatch(DROPS, name)}


class Stack(Protocol):
    """A WebRTC implementation that holds peers."""

    async def call(self, peer: str, method: str, *arguments: Any) -> Any:
        """Calls a method of `RelayPeer` in clients/relay_peer.js; "new" makes one with an ICE server."""


class InBrowser:
    """Peers in a blank page of a browser."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @classmethod
    async def on_blank_page(cls, browser: Browser) -> InBrowser:
        """Opens the page and brings the client into it."""
        await browser.open("about:blank")
        await browser.evaluate(f"(() => {{ {RELAY_PEER}; globalThis.peers = new Map(); }})()")
        return cls(browser)

    async def call(self, peer: str, method: str, *arguments: Any) -> Any:
        """See `Stack`."""
        given = ", ".join(json.dumps(argument) for argument in arguments)
        name = json.dumps(peer)
        if method == "new":
            made = f"new RelayPeer(RTCPeerConnection, {given})"
            return await self._browser.evaluate(f"(() => {{ globalThis.peers.set({name}, {made}); }})()")
        return await self._browser.evaluate(f"globalThis.peers.get({name}).{method}({given})")


class UnderNode:
    """Peers of a stack for Node, in a process of their own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count()
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, stack: str, host: Host, authority: Authority) -> UnderNode:
        """Starts Node with `wrtc` or `werift`."""
        command = ["node", str(CLIENTS / "relay_peer_node.js"), stack]
        process = await asyncio.create_subprocess_exec(
            *host.command(*command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(authority.root)},
        )
        return cls(process)

    async def _read(self) -> None:
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            reply = json.loads(line)
            self._answer(self._replies.pop(reply["id"]), reply)
        for waiting in self._replies.values():
            self._answer(waiting, {"error": "the client ended"})

    @staticmethod
    def _answer(waiting: asyncio.Future[dict[str, Any]], reply: dict[str, Any]) -> None:
        if not waiting.done():
            waiting.set_result(reply)

    async def call(self, peer: str, method: str, *arguments: Any) -> Any:
        """See `Stack`."""
        number = next(self._numbers)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        request = {"id": number, "peer": peer, "method": method, "arguments": arguments}
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        answer = await reply
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    async def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        await self._process.wait()
        await self._reader


async def meet(left: Stack, left_peer: str, right: Stack, right_peer: str) -> list[dict[str, Any]]:
    """Carries descriptions and candidates between two peers until their channel is open; the pair each selected.

    Both ends of it are relays. The other's check may come before word of its candidate (RFC 8445 §7.3.1.3): it is
    peer-reflexive then, and a relay for its own side.
    """

    async def carry(source: Stack, source_peer: str, target: Stack, target_peer: str) -> None:
        while (candidate := await source.call(source_peer, "candidate")) is not None:
            await target.call(target_peer, "add", candidate)

    answer = await right.call(right_peer, "answer", await left.call(left_peer, "offer"))
    await left.call(left_peer, "accept", answer)
    ends = (left, left_peer), (right, right_peer)
    carriers = [asyncio.create_task(carry(*source, *target)) for source, target in (ends, ends[::-1])]
    try:
        pairs = await asyncio.gather(*(stack.call(peer, "pair") for stack, peer in ends))
        for pair in pairs:
            assert pair["local"] == "relay"
            assert pair["remote"] in ("relay", "prflx")
        return pairs
    finally:
        for carrier in carriers:
            carrier.cancel()
        await asyncio.wait(carriers)
