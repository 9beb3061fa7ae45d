"""Uploads that break, are gone on with, cancelled or given up."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import aiohttp
import pytest

from signalling.file_exchange import BATCH_BYTES
from signalling.files import UNFINISHED_SECONDS
from signalling.server import SignallingSettings
from tests.signalling.house import House
from tests.signalling.tus_client import RawUpload, Tus, stored, until


async def test_what_came_before_the_cut_stays(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    size = 3 * BATCH_BYTES
    url = await tus.create(ada, size)
    raw = RawUpload(house, url, ada, 0, size)
    await raw.begin(b"a" * (BATCH_BYTES + 1000))
    await until(lambda: house.measure("files_bytes_total", direction="in") >= BATCH_BYTES)
    raw.abort()
    offset = await tus.offset(url)
    assert BATCH_BYTES <= offset <= BATCH_BYTES + 1000
    assert stored(house) == {url.rpartition("/")[2]: offset}
    assert (await tus.patch(url, ada, offset, b"b" * (size - offset))).status == 204
    assert (await tus.get(url)).body == b"a" * offset + b"b" * (size - offset)
    assert house.measure("signalling_errors_total") == 0


async def test_who_comes_back_ends_the_request_that_hangs(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    url = await tus.create(ada, 10)
    for again in (
        lambda offset: tus.request("HEAD", url, ada),
        lambda offset: tus.patch(url, ada, offset, b"x"),
    ):
        hanging = RawUpload(house, url, ada, await tus.offset(url), 5)
        await hanging.hang(b"ab")
        response = await again(await tus.offset(url))
        assert response.status in (200, 204)
        assert await hanging.status() == 0
    assert 1 <= await tus.offset(url) <= 5


async def test_of_two_who_send_the_same_at_once_one_wins(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    url = await tus.create(ada, 1_000_000)
    data = os.urandom(1_000_000)

    async def send() -> None:
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):  # who was overtaken is cut off
            await tus.patch(url, ada, 0, data)

    await asyncio.gather(*(send() for _ in range(5)))
    offset = await tus.offset(url)
    if offset < len(data):
        assert (await tus.patch(url, ada, offset, data[offset:])).status == 204
    assert (await tus.get(url)).body == data
    assert house.measure("uploads_total", result="finished") == 1
    await ada.receive("chat")


async def test_who_leaves_with_the_last_byte_finds_the_file_sent_when_they_ask_again(house: House, tus: Tus) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    url = await tus.create(ada, 4)
    raw = RawUpload(house, url, ada, 0, 4)
    await raw.hang(b"ab")
    await ada.send(type="leave")
    await ada.close_code()
    raw.writer.write(b"cd")
    assert await raw.status() == 403
    await bob.quiet()
    again = await house.join("Ada")
    assert await tus.offset(url) == 4
    assert house.measure("files") == 0
    assert await tus.offset(url, again) == 4
    assert (await bob.receive("chat"))["participant"] == again.id
    assert await tus.offset(url, again) == 4
    assert (await tus.get(url)).body == b"abcd"
    assert house.measure("uploads_total", result="finished") == 1


async def test_silence_ends_a_request_and_not_the_upload(
    house: House, tus: Tus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signalling.file_exchange.SILENCE_SECONDS", 0.05)
    ada = await house.join("Ada")
    url = await tus.create(ada, 10)
    raw = RawUpload(house, url, ada, 0, 10)
    await raw.begin(b"abc")
    assert await raw.status() == 408
    assert await tus.offset(url) == 3


async def test_a_body_that_is_no_http_is_no_fault_of_ours(
    house: House, tus: Tus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "signalling.file_exchange.SILENCE_SECONDS", 0.05
    )  # aiohttp does not always tell of a broken chunk
    ada = await house.join("Ada")
    url = await tus.create(ada, 10)
    raw = RawUpload(house, url, ada, 0, None)
    await raw.begin(b"3\r\nabc\r\nzz\r\n")
    assert await raw.status() == 400
    assert await tus.offset(url) in (0, 3)
    later = RawUpload(house, url, ada, await tus.offset(url), None)
    await later.hang(b"3\r\nabc\r\n")
    later.writer.write(b"zz\r\n")
    assert await later.status() == 408
    assert await tus.offset(url) in (3, 6)
    assert house.measure("signalling_errors_total") == 0


async def test_the_end_of_the_service_keeps_what_came(web_directory: Path) -> None:
    house = House(web_directory, SignallingSettings())
    await house.start()
    tus = Tus(house)
    ada = await house.join("Ada")
    url = await tus.create(ada, 10 * BATCH_BYTES)
    raw = RawUpload(house, url, ada, 0, 10 * BATCH_BYTES)
    await raw.begin(b"a" * BATCH_BYTES)
    await until(lambda: house.measure("files_bytes_total", direction="in") > 0)
    before = stored(house)
    house.service.storage.exchange.room_ended = lambda name: None  # type: ignore[method-assign]
    await house.close()
    assert stored(house).items() >= before.items()
    await raw.status()


async def test_an_upload_nobody_goes_on_with_is_dropped(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    url = await tus.create(ada, 10)
    house.advance(30)
    await tus.patch(url, ada, 0, b"x")
    house.now += UNFINISHED_SECONDS - 0.1
    house.service.storage.exchange.handle_timer()
    assert await tus.offset(url) == 1
    house.now += 0.1
    house.service.storage.exchange.handle_timer()
    assert (await tus.request("HEAD", url)).status == 410
    await until(lambda: not stored(house))
    assert house.measure("uploads_total", result="dropped") == 1


async def test_a_room_takes_its_files_and_uploads_with_it(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    file = await tus.upload(ada, b"hello")
    url = await tus.create(ada, 10)
    hanging = RawUpload(house, url, ada, 0, 10)
    await hanging.hang(b"ab")
    await ada.send(type="leave")
    await ada.close_code()
    assert await hanging.status() == 0
    await until(lambda: not stored(house))
    assert [(await tus.get(each)).status for each in (file, url)] == [410, 410]
    assert house.measure("uploads_total", result="room-ended") == 1
    eve = await house.join("Eve")
    assert eve.joined["chat"] == []


async def test_an_upload_can_be_cancelled_while_it_comes(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    url = await tus.create(ada, 10)
    hanging = RawUpload(house, url, ada, 0, 10)
    await hanging.hang(b"ab")
    assert (await tus.request("DELETE", url, ada)).status == 204
    assert await hanging.status() == 0
    await until(lambda: not stored(house))
    await ada.quiet()


async def test_only_its_sender_and_hosts_take_a_file_away(house: House, tus: Tus) -> None:
    ada, bob, eve = [await house.join(name) for name in ("Ada", "Bob", "Eve")]
    first, second = await tus.upload(bob, b"1"), await tus.upload(bob, b"2")
    assert (await tus.request("DELETE", first, eve)).status == 403
    for url, client in ((first, bob), (second, ada)):
        assert (await tus.request("DELETE", url, client)).status == 204
        assert (await eve.receive("file-gone"))["file"] == url.rpartition("/")[2]
    late = await house.join("Zoë")
    assert [line["file"]["expires"] for line in late.joined["chat"]] == [1_700_000_000] * 2


async def test_another_seat_can_end_what_one_began(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    await house.join("Bob")
    url = await tus.create(ada, 4)
    await tus.patch(url, ada, 0, b"ab")
    await ada.send(type="leave")
    await ada.close_code()
    again = await house.join("Ada")
    assert (await tus.patch(url, again, 2, b"cd")).status == 204
    assert (await again.receive("chat"))["participant"] == again.id
