"""Half a gigabyte through the daemon, killed in the middle: what came is there, memory is flat, others are answered."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from tests.turnd.conftest import Local

Start = Callable[..., Awaitable[Local]]
MIB = 1024 * 1024
SIZE = 500 * MIB
CUT_AT = 200 * MIB
# What the process may grow by while files pass: buffers of the connection, of TLS and of the writer, and some slack.
MAX_GROWTH_BYTES = 30 * MIB


class Memory:
    """Samples the resident memory of the daemon while something goes on."""

    def __init__(self, daemon: Local) -> None:
        assert daemon.process
        self._path = Path(f"/proc/{daemon.process.pid}/status")
        self.first = self.most = self._resident()

    def _resident(self) -> int:
        line = next(line for line in self._path.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    async def watch(self) -> None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, StopIteration):
            while True:
                self.most = max(self.most, self._resident())
                await asyncio.sleep(0.02)

    @property
    def growth(self) -> int:
        return self.most - self.first


class Participant:
    """A seat and what is uploaded from it."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self.http = http
        self.base = base
        self.token = ""

    async def join(self) -> dict[str, Any]:
        self.socket = await self.http.ws_connect(f"{self.base}/r/garden/ws")
        message = {"type": "join", "version": 1, "name": "Ada", "password": "p", "subscribe": False}
        await self.socket.send_json({**message, **({"resume": self.token} if self.token else {})})
        joined: dict[str, Any] = await self.socket.receive_json(timeout=10)
        assert joined["type"] == "joined", joined
        self.token = joined["resume"]["token"]
        return joined

    async def receive(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while (message := await self.socket.receive_json())["type"] != kind:
                pass
        return dict(message)

    async def round_trip(self) -> float:
        began = time.perf_counter()
        await self.socket.send_json({"type": "ping"})
        await self.receive("pong")
        return time.perf_counter() - began

    def request(self, method: str, url: str, **options: Any) -> Any:
        headers = {"Tus-Resumable": "1.0.0", "Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.http.request(method, url, headers=headers, **options)

    async def create(self, size: int) -> str:
        headers = {"Upload-Length": str(size), "Upload-Metadata": "filename ZmlsbS5ta3Y="}
        async with self.request("POST", f"{self.base}/r/garden/files", headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            return self.base + answer.headers["Location"]

    async def offset(self, url: str) -> int:
        async with self.request("HEAD", url) as answer:
            assert answer.status == 200
            return int(answer.headers["Upload-Offset"])

    async def patch(self, url: str, offset: int, body: AsyncIterator[bytes]) -> int:
        headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        async with self.request("PATCH", url, headers=headers, data=body) as answer:
            return int(answer.status)


BLOCK = os.urandom(MIB - 8)


def block(number: int) -> bytes:
    """That MiB of the file: each is another."""
    return number.to_bytes(8, "big") + BLOCK


async def file_from(offset: int, at: Callable[[int], Awaitable[None]] | None = None) -> AsyncIterator[bytes]:
    """The rest of it; `at` is told how much has been given so far."""
    for number in range(offset // MIB, SIZE // MIB):
        if at is not None:
            await at(number * MIB)
        yield block(number)[offset % MIB if number == offset // MIB else 0 :]


def in_flight_bytes() -> int:
    """What a connection's two ends may hold at most, which is lost with a process that has not read it."""
    return sum(int(Path(f"/proc/sys/net/ipv4/tcp_{end}").read_text().split()[2]) for end in ("rmem", "wmem"))


async def digest_of(response: aiohttp.ClientResponse) -> str:
    digest = hashlib.sha256()
    async for part in response.content.iter_any():
        digest.update(part)
    return digest.hexdigest()


async def test_a_power_cut_costs_an_upload_a_moment(local: Start, http: aiohttp.ClientSession) -> None:
    daemon = await local()
    ada = Participant(http, daemon.http)
    await ada.join()
    await ada.socket.send_json({"type": "chat", "text": "before"})
    await ada.receive("chat")
    url = await ada.create(SIZE)

    async def cut(given: int) -> None:
        if given == CUT_AT:
            await daemon.kill()

    memory, began = Memory(daemon), time.monotonic()
    watching = asyncio.create_task(memory.watch())
    with contextlib.suppress(aiohttp.ClientError, ConnectionError):
        await ada.patch(url, 0, file_from(0, cut))
    await watching
    print("growth before the cut, MiB", round(memory.growth / MIB))
    assert memory.growth < MAX_GROWTH_BYTES

    await daemon.start()
    joined = await ada.join()
    assert ([line["text"] for line in joined["chat"]], joined["role"]) == (["before"], "host")
    offset = await ada.offset(url)
    assert CUT_AT - in_flight_bytes() - MIB < offset <= CUT_AT
    memory = Memory(daemon)
    watching = asyncio.create_task(memory.watch())
    assert await ada.patch(url, offset, file_from(offset)) == 204
    print("upload, MiB/s", round((CUT_AT + SIZE - offset) / MIB / (time.monotonic() - began)))
    assert (await ada.receive("chat"))["file"]["bytes"] == SIZE
    expected = hashlib.sha256()
    for number in range(SIZE // MIB):
        expected.update(block(number))
    began = time.monotonic()
    async with http.get(url) as answer:
        assert await digest_of(answer) == expected.hexdigest()
    print("download, MiB/s", round(SIZE / MIB / (time.monotonic() - began)))
    watching.cancel()
    print("growth, MiB", round(memory.growth / MIB))
    assert memory.growth < MAX_GROWTH_BYTES
    assert [path.stat().st_size for path in (daemon.folder / "state" / "files").iterdir()] == [SIZE]


async def test_others_are_answered_while_files_pass(local: Start, http: aiohttp.ClientSession) -> None:
    """Two uploads and two downloads over TLS as fast as they go; a message waits for pieces of them, no longer."""
    daemon = await local()
    ada = Participant(http, daemon.https)
    await ada.join()

    waits = []
    size = 30 * MIB

    async def pages() -> AsyncIterator[bytes]:
        for number in range(size // MIB):
            yield block(number)

    async def there_and_back() -> None:
        url = await ada.create(size)
        assert await ada.patch(url, 0, pages()) == 204
        async with http.get(url) as answer:
            await digest_of(answer)

    carrying = asyncio.gather(there_and_back(), there_and_back())
    while not carrying.done():
        waits.append(await ada.round_trip())
        await asyncio.sleep(0.01)
    await carrying
    waits.sort()
    half, longest = (round(1000 * wait, 1) for wait in (waits[len(waits) // 2], waits[-1]))
    print(f"{len(waits)} round trips, half within {half} ms, the longest {longest} ms")
    assert waits[len(waits) // 2] < 0.05
