"""The real daemon on ports of its own, and the tools to look at it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import randrange
from typing import Any

import aiohttp
import pytest

from tests.e2e.daemon import Daemon

PORTS_FOR_ONE = 40
# Below the ephemeral ports, so that no client's socket is in the way.
PORTS = (20000, 30000)


def free_ports() -> int:
    """The first of PORTS_FOR_ONE ports that are free for UDP and TCP on 127.0.0.1."""
    for _ in range(100):
        first = randrange(*PORTS, PORTS_FOR_ONE)
        opened: list[socket.socket] = []
        try:
            for port in range(first, first + PORTS_FOR_ONE):
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    opened.append(socket.socket(socket.AF_INET, kind))
                    opened[-1].bind(("127.0.0.1", port))
        except OSError:
            continue
        else:
            return first
        finally:
            for one in opened:
                one.close()
    raise RuntimeError("no free ports")


class Local(Daemon):
    """The daemon on 127.0.0.1 with everything else about it as in real life."""

    def __init__(self, folder: Path, **changes: dict[str, object]) -> None:
        first = free_ports()
        self.http = f"http://127.0.0.1:{first}"
        self.https = f"https://127.0.0.1:{first + 1}"
        self.https_port = first + 1
        self.turn_port = first + 3
        self.exporter = f"http://127.0.0.1:{first + 2}"
        self.sections: dict[str, dict[str, object]] = {
            "http": {"listen": f"127.0.0.1:{first}", "tls_listen": f"127.0.0.1:{first + 1}"},
            "metrics": {"listen": f"127.0.0.1:{first + 2}"},
            "turn": {
                "listen": ["127.0.0.1"],
                "port": first + 3,
                "tls_port": first + 4,
                "relay_ports": [first + 10, first + PORTS_FOR_ONE - 1],
                "allow_peers": ["127.0.0.0/8"],
            },
            "sfu": {"port": first + 5},
            "log": {"format": "json"},
        }
        for section, values in changes.items():
            self.sections[section] = {**self.sections.get(section, {}), **values}
        super().__init__(folder, **self.sections)

    def records(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def messages(self) -> list[str]:
        """The messages of `records`."""
        return [str(record["message"]) for record in self.records()]


def trusting() -> ssl.SSLContext:
    """For clients that take any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Local]]]:
    """Starts daemons: `await local(sfu={"port": 1234})`; they end with the test."""
    made: list[Local] = []

    async def start(**changes: dict[str, object]) -> Local:
        made.append(Local(tmp_path / f"daemon{len(made)}", **changes))
        await made[-1].start()
        return made[-1]

    yield start
    for daemon in made:
        if daemon.process is not None and daemon.process.returncode is None:
            await daemon.kill()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that takes any certificate."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting())) as session:
        yield session


class FarTransport(asyncio.Transport):
    """A connection from `peer`, as far as a protocol can tell; keeps what is written."""

    def __init__(self, peer: tuple[str, int]) -> None:
        super().__init__({"peername": peer, "sockname": ("192.0.2.9", 3478)})
        self.aborted = False
        self.written = b""

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass
