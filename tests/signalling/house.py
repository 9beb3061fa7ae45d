"""A signalling service on a real socket with a clock of its own, and clients that speak the protocol to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from signalling.media import MediaService
from signalling.server import SignallingService, SignallingSettings
from tests.signalling.media import Media

PATIENCE_SECONDS = 5.0


class House:
    def __init__(self, web_directory: Path, settings: SignallingSettings, sfu: MediaService | None = None) -> None:
        self.now = 1000.0
        self.wall = 1_700_000_000.0
        self.clock: Callable[[], float] | None = None
        self.files_directory = web_directory.parent / "state" / "files"
        self.media = Media()
        self.public_host = ""
        self.service = SignallingService(
            settings,
            sfu=sfu or self.media,
            ice_servers=lambda host, name: [{"urls": [f"turn:{host}:3478"], "username": name, "credential": "c"}],
            public_host=lambda: self.public_host,
            resume_key=b"k" * 32,
            assets=web_directory,
            state=web_directory.parent / "state",
            loop=asyncio.get_running_loop(),
            version="1.2.3",
            clock=lambda: self.clock() if self.clock is not None else self.now,
            wall=lambda: self.wall,
        )
        self.url = ""
        self._clients: list[Client] = []

    async def start(self) -> None:
        await self.service.start()
        self._server = await asyncio.get_running_loop().create_server(self.service.protocol, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = aiohttp.ClientSession(auto_decompress=False)
        self._elsewhere: dict[str, aiohttp.ClientSession] = {}

    async def close(self) -> None:
        self._server.close()
        for client in self._clients:
            client.abort()
        await self.service.close()
        for session in (self.http, *self._elsewhere.values()):
            await session.close()

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.service.tick()

    def values(self, name: str, **labels: str) -> list[Any]:
        return [m.value for m in self.service.measures() if m.name == name and labels.items() <= m.labels.items()]

    def measure(self, name: str, **labels: str) -> Any:
        [value] = [m.value for m in self.service.measures() if m.name == name and dict(m.labels) == labels]
        return value

    async def closed_sockets(self, count: int) -> None:
        """Waits until so many sockets have come to their end on the server's side."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sum(self.values("websocket_closes_total")) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def http_from(self, address: str) -> aiohttp.ClientSession:
        """What connects from another address of this machine."""
        if address not in self._elsewhere:
            connector = aiohttp.TCPConnector(local_addr=(address, 0))
            self._elsewhere[address] = aiohttp.ClientSession(connector=connector)
        return self._elsewhere[address]

    async def connect(self, room: str = "garden", *, address: str = "", **options: Any) -> Client:
        options.setdefault("max_msg_size", 0)
        http = self.http_from(address) if address else self.http
        client = Client(await http.ws_connect(f"{self.url}/r/{room}/ws", **options))
        self._clients.append(client)
        return client

    async def join(self, name: str, room: str = "garden", *, address: str = "", **fields: Any) -> Client:
        client = await self.connect(room, address=address)
        await client.join(name, **fields)
        return client


class Client:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.joined: dict[str, Any] = {}

    @property
    def id(self) -> str:
        return str(self.joined["self"])

    async def send(self, **message: Any) -> None:
        await self.socket.send_str(json.dumps(message))

    async def receive(self, *types: str, **content: Any) -> dict[str, Any]:
        """The next message, or the next of one of `types` with that `content`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                message = await self.socket.receive()
                assert message.type is aiohttp.WSMsgType.TEXT, (message, self.socket.close_code)
                decoded = json.loads(message.data)
                fits = all(decoded.get(key) == value for key, value in content.items())
                if fits and (not types or decoded["type"] in types):
                    return dict(decoded)

    async def join(self, name: str, **fields: Any) -> dict[str, Any]:
        await self.send(type="join", **{"version": 1, "name": name, **fields})
        self.joined = await self.receive("joined", "error")
        assert self.joined["type"] == "joined", self.joined
        return self.joined

    async def refused(self, **message: Any) -> str:
        """The code of the error that this is answered with."""
        await self.send(**message, request="refused")
        return str((await self.receive("error", request="refused"))["code"])

    async def knock(self, name: str, **fields: Any) -> dict[str, Any]:
        """What a join is answered with."""
        await self.send(type="join", **{"version": 1, "name": name, **fields})
        return await self.receive("joined", "waiting", "error")

    async def close_code(self) -> int | None:
        """Reads to the end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        return self.socket.close_code

    async def quiet(self) -> None:
        """Everything the server has said until now is known to the server's side of this socket: one round trip."""
        await self.send(type="ping", request="quiet")
        await self.receive("pong", request="quiet")

    def break_off(self) -> None:
        """As a network does: no close frame."""
        self._transport().abort()

    def pause(self) -> None:
        """Stops reading, while the server goes on."""
        self._transport().pause_reading()

    def abort(self) -> None:
        """The end, if it has not come yet."""
        connection = self.socket._response.connection
        if connection is not None:
            connection.close()

    def _transport(self) -> asyncio.Transport:
        connection = self.socket._response.connection
        assert connection is not None, self.socket._response
        assert connection.transport is not None
        return connection.transport
