"""Uploads and downloads of files, as a client makes them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.signalling.house import Client, House

TUS = {"Tus-Resumable": "1.0.0"}


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Tus:
    def __init__(self, house: House, room: str = "garden") -> None:
        self.house = house
        self.endpoint = f"{house.url}/r/{room}/files"

    async def request(
        self, method: str, url: str, client: Client | None = None, data: Any = None, **headers: str | None
    ) -> Answer:
        """Headers by name with underscores; None leaves a usual one out."""
        bearer = {"Authorization": f"Bearer {client.joined['resume']['token']}"} if client is not None else {}
        given = {name.replace("_", "-").title(): value for name, value in headers.items()}
        every = {name: value for name, value in {**TUS, **bearer, **given}.items() if value is not None}
        if url.startswith("/"):
            url = self.house.url + url
        if isinstance(data, bytes):
            data = io.BytesIO(data)
        request = self.house.http.request(method, url, data=data, headers=every, skip_auto_headers={"Content-Type"})
        async with request as response:
            return Answer(response.status, response.headers, await response.read())

    async def post(
        self, client: Client | None, size: int | str, name: str = "a.pdf", to: str = "", **headers: str | None
    ) -> Answer:
        metadata = f"filename {base64_of(name)}" + (f",to {base64_of(to)}" if to else "")
        fields: dict[str, str | None] = {"upload_length": str(size), "upload_metadata": metadata, **headers}
        return await self.request("POST", self.endpoint, client, **fields)

    async def create(self, client: Client, size: int, name: str = "a.pdf", to: str = "") -> str:
        """The upload's URL."""
        response = await self.post(client, size, name, to)
        assert response.status == 201, response.body
        return response.headers["Location"]

    async def patch(
        self, url: str, client: Client | None, offset: int | str, data: Any, **headers: str | None
    ) -> Answer:
        fields: dict[str, str | None] = {
            "content_type": "application/offset+octet-stream",
            "upload_offset": str(offset),
            **headers,
        }
        return await self.request("PATCH", url, client, data, **fields)

    async def upload(self, client: Client, data: bytes, name: str = "a.pdf", to: str = "") -> str:
        """A whole file; its URL."""
        url = await self.create(client, len(data), name, to)
        if data:
            response = await self.patch(url, client, 0, data)
            assert response.status == 204, response.body
        return url

    async def offset(self, url: str, client: Client | None = None) -> int:
        response = await self.request("HEAD", url, client)
        assert response.status == 200
        return int(response.headers["Upload-Offset"])

    async def get(self, url: str, method: str = "GET", **headers: str | None) -> Answer:
        return await self.request(method, url, **{"tus_resumable": None, **headers})


class RawUpload:
    """A PATCH written by hand, to be cut off in the middle."""

    def __init__(self, house: House, url: str, client: Client, offset: int, size: int | None) -> None:
        self._house = house
        length = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
        self._head = (
            f"PATCH {url} HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\nTus-Resumable: 1.0.0\r\n"
            f"Authorization: Bearer {client.joined['resume']['token']}\r\n{length}\r\n"
            f"Content-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\n\r\n"
        )

    async def begin(self, data: bytes = b"") -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._house.port)
        self.writer.write(self._head.encode() + data)
        await self.writer.drain()

    async def hang(self, data: bytes) -> None:
        """Begins, and is being received when this returns."""
        await self.begin(data)
        await until(lambda: bool(self._house.service.storage.exchange._receiving))

    async def status(self) -> int:
        """Of the answer; 0 when the connection ends without one."""
        async with asyncio.timeout(5):
            try:
                line = await self.reader.readline()
            except ConnectionError:
                line = b""
        self.abort()
        return int(line.split()[1]) if line else 0

    def abort(self) -> None:
        self.writer.transport.abort()


def stored(house: House) -> dict[str, int]:
    """What lies in the directory of files."""
    sizes = {}
    for path in house.files_directory.iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread takes it away
            sizes[path.name] = path.stat().st_size
    return sizes


async def until(condition: Callable[[], bool]) -> None:
    """Of what another thread, or a connection's end, brings about."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
