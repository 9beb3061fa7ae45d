"""Downloads over the wire: ranges, conditions, what a browser may do with them, and their rate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import aiohttp
import pytest

from signalling.file_exchange import (
    MAX_DOWNLOADS,
    MAX_DOWNLOADS_OF_SOURCE,
    MIN_PIECE_BYTES,
    PIECE_BYTES,
    UPLINK_SHARE,
    Pace,
    TooManyDownloadsError,
)
from signalling.file_limits import FileLimits
from signalling.server import SignallingSettings
from tests.signalling.house import Client, House
from tests.signalling.tus_client import Tus

Open = Callable[..., Awaitable[House]]
DATA = bytes(range(256)) * 4


@pytest.fixture
async def ada(house: House) -> Client:
    return await house.join("Ada")


@pytest.fixture
async def url(ada: Client, tus: Tus) -> str:
    return await tus.upload(ada, DATA, "été.html")


async def test_a_browser_saves_it_and_shows_nothing(tus: Tus, url: str) -> None:
    response = await tus.get(url)
    assert response.body == DATA
    headers = response.headers
    assert headers["Content-Length"] == "1024"
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"] == "attachment; filename=\"ete.html\"; filename*=UTF-8''%C3%A9t%C3%A9.html"
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Accept-Ranges"] == "bytes"
    assert "Tus-Resumable" not in headers


async def test_head_of_a_file_is_what_get_says(tus: Tus, url: str) -> None:
    get, head = await tus.get(url), await tus.get(url, "HEAD")
    assert (head.status, head.body) == (200, b"")
    for name in ("Content-Length", "ETag", "Content-Disposition", "Content-Type"):
        assert head.headers[name] == get.headers[name]


async def test_a_range(tus: Tus, url: str) -> None:
    response = await tus.get(url, range="bytes=10-19")
    assert (response.status, response.body) == (206, DATA[10:20])
    assert response.headers["Content-Range"] == "bytes 10-19/1024"
    assert response.headers["Content-Length"] == "10"
    assert (await tus.get(url, range="bytes=-4")).body == DATA[-4:]
    assert (await tus.get(url, range="bytes=0-1,5-6")).status == 200


async def test_416_outside_of_the_file(tus: Tus, url: str) -> None:
    response = await tus.get(url, range="bytes=1024-")
    assert (response.status, response.headers["Content-Range"]) == (416, "bytes */1024")


async def test_conditions(tus: Tus, url: str) -> None:
    etag = (await tus.get(url)).headers["ETag"]
    assert url.rpartition("/")[2] not in etag
    assert (await tus.get(url, if_none_match=etag)).status == 304
    assert (await tus.get(url, if_none_match='"x"')).status == 200
    assert (await tus.get(url, if_match='"x"')).status == 412
    assert (await tus.get(url, if_match=etag)).status == 200
    assert (await tus.get(url, range="bytes=0-1", if_range=etag)).status == 206
    assert (await tus.get(url, range="bytes=0-1", if_range='"x"')).status == 200


async def test_a_download_needs_no_seat_but_the_name(house: House, tus: Tus, url: str) -> None:
    assert (await tus.get(url)).status == 200
    assert (await tus.get(url[:-1])).status == 404


async def test_files_go_at_their_age(house: House, tus: Tus, ada: Client, url: str) -> None:
    await ada.receive("chat")
    house.wall += 24 * 3600 - 1
    house.service.tick()
    assert (await tus.get(url)).status == 200
    house.wall += 1
    house.service.tick()
    assert (await tus.get(url)).status == 410
    assert (await ada.receive("file-gone"))["file"] == url.rpartition("/")[2]


async def test_a_file_that_goes_meanwhile_breaks_its_download_off(open_house: Open) -> None:
    house = await open_house(SignallingSettings(download_bps=80_000))
    tus, ada = Tus(house), await house.join("Ada")
    url = await tus.upload(ada, bytes(100_000))
    async with house.http.get(house.url + url) as response:
        await response.content.readany()
        assert (await tus.request("DELETE", url, ada)).status == 204
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await asyncio.wait_for(response.content.read(), 5)
    assert house.measure("signalling_errors_total") == 0


async def test_who_goes_away_frees_their_place(house: House, tus: Tus, ada: Client) -> None:
    url = await tus.upload(ada, bytes(30_000_000))
    response = await house.http.get(house.url + url)
    assert house.measure("downloads") == 1
    response.close()
    async with asyncio.timeout(5):
        while house.measure("downloads"):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert house.measure("files_bytes_total", direction="out") < 30_000_000


async def test_429_for_too_many_downloads(house: House, tus: Tus, url: str) -> None:
    exchange = house.service.storage.exchange
    with ExitStack() as others:
        for _ in range(MAX_DOWNLOADS - 1):
            others.enter_context(exchange.downloading("192.0.2.1", exempt=True))
        assert (await tus.get(url)).status == 200
        with exchange.downloading("192.0.2.1", exempt=True):
            response = await tus.get(url)
            assert (response.status, response.headers["Retry-After"]) == (429, "5")
        assert (await tus.get(url)).status == 200
    assert house.measure("rate_limited_total", scope="files") == 1


def test_downloads_of_one_address_are_bounded(house: House) -> None:
    exchange = house.service.storage.exchange
    with ExitStack() as others:
        for _ in range(MAX_DOWNLOADS_OF_SOURCE):
            others.enter_context(exchange.downloading("192.0.2.1", exempt=False))
        with pytest.raises(TooManyDownloadsError), exchange.downloading("192.0.2.1", exempt=False):
            pass
        with exchange.downloading("192.0.2.2", exempt=False), exchange.downloading("192.0.2.1", exempt=True):
            pass


async def test_all_downloads_share_a_rate(open_house: Open) -> None:
    house = await open_house(SignallingSettings(download_bps=8_000_000))
    tus, ada = Tus(house), await house.join("Ada")
    url = await tus.upload(ada, bytes(150_000))
    loop = asyncio.get_running_loop()
    started_at, house.now = loop.time(), loop.time()
    house.clock = loop.time
    bodies = await asyncio.gather(*(tus.get(url) for _ in range(2)))
    assert [len(each.body) for each in bodies] == [150_000] * 2
    assert 0.25 <= loop.time() - started_at < 3


def test_a_pace_is_held_and_no_burst_is_long() -> None:
    pace = Pace()
    assert (pace.spend(10**9, 0), pace.piece_bytes) == (0, PIECE_BYTES)
    pace.bytes_per_second = 1_000_000
    assert pace.piece_bytes == 20_000
    assert [pace.spend(500_000, 10), pace.spend(500_000, 10), pace.spend(1, 10.5)] == [0, 0.5, 0.5]
    assert pace.spend(1, 100) == 0
    pace.bytes_per_second = 1000
    assert pace.piece_bytes == MIN_PIECE_BYTES
    pace.bytes_per_second = 10**9
    assert pace.piece_bytes == PIECE_BYTES


async def test_without_a_rate_files_take_a_share_of_the_uplink(house: House) -> None:
    exchange = house.service.storage.exchange
    assert exchange.pace.bytes_per_second == 0
    exchange.set_rate(0, 8_000_000)
    assert exchange.pace.bytes_per_second == 1_000_000 * UPLINK_SHARE
    exchange.set_rate(800_000, 8_000_000)
    assert exchange.pace.bytes_per_second == 100_000


def test_the_defaults_are_what_is_documented() -> None:
    assert FileLimits().max_bytes == 2 * 1024**3
