"""Uploads over the wire: tus 1.0, and every refusal of it."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from signalling.file_endpoint import UPLOADS
from signalling.file_exchange import BATCH_BYTES
from signalling.file_limits import FileLimits
from signalling.files import IDLE_SECONDS
from signalling.server import SignallingSettings
from tests.signalling.house import House
from tests.signalling.tus_client import Tus, stored, until

Open = Callable[..., Awaitable[House]]
SMALL = FileLimits(max_bytes=1000, room_bytes=2500, total_bytes=3000, uploads_of_seat=2)


@pytest.fixture
async def small(open_house: Open) -> House:
    return await open_house(SignallingSettings(files=SMALL))


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """No file of this process grows over that; the kernel says so as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_file_is_told_to_the_room_with_its_last_byte(house: House, tus: Tus) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    url = await tus.create(ada, 10, "été.pdf")
    response = await tus.patch(url, ada, 0, b"01234")
    assert (response.status, response.headers["Upload-Offset"], response.headers["Tus-Resumable"]) == (
        204,
        "5",
        "1.0.0",
    )
    await bob.quiet()
    assert (await tus.get(url)).status == 404
    assert (await tus.patch(url, ada, 5, b"56789")).headers["Upload-Offset"] == "10"
    line = await bob.receive("chat")
    assert line["file"] == {
        "id": url.rpartition("/")[2],
        "name": "été.pdf",
        "bytes": 10,
        "expires": 1_700_000_000 + 24 * 3600,
    }
    assert (line["participant"], line["text"], line.get("to")) == (ada.id, "", None)
    assert (await ada.receive("chat")) == line
    assert len(line["file"]["id"]) >= 32
    assert (await tus.get(url)).body == b"0123456789"
    late = await house.join("Eve")
    assert late.joined["chat"] == [{key: value for key, value in line.items() if key != "type"}]
    assert house.measure("uploads_total", result="finished") == 1
    assert (house.measure("files"), house.measure("uploads"), house.measure("files_stored_bytes")) == (1, 0, 10)
    assert house.measure("files_bytes_total", direction="in") == 10


async def test_files_are_for_their_owner_alone_on_the_disk(house: House, tus: Tus) -> None:
    url = await tus.upload(await house.join("Ada"), b"x")
    path = house.files_directory / url.rpartition("/")[2]
    assert path.stat().st_mode & 0o777 == 0o600
    assert house.files_directory.stat().st_mode & 0o777 == 0o700


async def test_an_empty_file_is_there_at_once(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    url = await tus.create(ada, 0)
    assert (await ada.receive("chat"))["file"]["bytes"] == 0
    assert (await tus.get(url)).body == b""
    assert await tus.offset(url) == 0


async def test_a_private_file_is_told_to_its_two_only(house: House, tus: Tus) -> None:
    ada, bob, eve = [await house.join(name) for name in ("Ada", "Bob", "Eve")]
    url = await tus.upload(ada, b"secret", to=bob.id)
    for client in (ada, bob):
        assert (await client.receive("chat"))["to"] == bob.id
    assert (await tus.request("DELETE", url, ada)).status == 204
    for client in (ada, bob):
        assert (await client.receive("file-gone"))["file"] == url.rpartition("/")[2]
    await ada.send(type="chat", text="all")
    assert (await eve.receive("chat", "file-gone"))["text"] == "all"


async def test_abilities(house: House, tus: Tus) -> None:
    response = await tus.request("OPTIONS", tus.endpoint, tus_resumable=None)
    assert response.status == 204
    assert response.headers["Tus-Version"] == "1.0.0"
    assert response.headers["Tus-Extension"] == "creation,termination"
    assert response.headers["Tus-Max-Size"] == str(2 * 1024**3)


async def test_a_method_can_stand_in_a_header(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    url = await tus.create(ada, 5)
    response = await tus.request(
        "POST",
        url,
        ada,
        b"hello",
        x_http_method_override="PATCH",
        upload_offset="0",
        content_type="application/offset+octet-stream",
    )
    assert response.status == 204
    assert (await tus.get(url)).body == b"hello"


# --- refusals ---


async def test_400_for_headers_that_make_no_sense(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    for size in ("-1", "1.5", "many", ""):
        assert (await tus.post(ada, size)).status == 400
    assert (await tus.post(ada, 5, upload_metadata="filename !!!")).status == 400
    url = await tus.create(ada, 5)
    assert (await tus.patch(url, ada, "x", b"hello")).status == 400


async def test_401_without_a_seat(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    cellar = await house.join("Eve", room="cellar")
    url = await tus.create(ada, 5)
    refused = [
        await tus.post(None, 5),
        await tus.post(cellar, 5),
        await tus.post(None, 5, authorization="Bearer "),
        await tus.post(None, 5, authorization="Basic YTpi"),
        await tus.post(None, 5, authorization="Bearer " + "x" * 200),
        await tus.patch(url, None, 0, b"hello"),
        await tus.patch(url, cellar, 0, b"hello"),
        await tus.request("DELETE", url, cellar),
    ]
    assert [each.status for each in refused] == [401] * len(refused)
    assert "Bearer" in refused[0].headers["WWW-Authenticate"]
    assert house.measure("auth_failures_total", kind="token") == len(refused)
    await ada.send(type="leave")
    await ada.close_code()
    assert (await tus.post(ada, 5)).status == 401


async def test_403_for_viewers_and_other_origins(house: House, tus: Tus) -> None:
    ada = await house.join("Ada", settings={"mode": "broadcast"})
    bob = await house.join("Bob")
    assert (await tus.post(bob, 5)).status == 403
    assert house.measure("uploads_total", result="forbidden") == 1
    assert (await tus.post(ada, 5)).status == 201
    assert (await tus.post(ada, 5, origin="https://example.org")).status == 403
    assert (await tus.post(ada, 5, origin=house.url)).status == 201


async def test_403_when_a_host_has_taken_the_right_away(house: House, tus: Tus) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    url = await tus.create(bob, 5)
    await ada.send(type="rules", rights={"files": False})
    await bob.receive("rules")
    assert [(await tus.post(bob, 5)).status, (await tus.patch(url, bob, 0, b"hello")).status] == [403, 403]
    assert (await tus.post(ada, 5)).status == 201
    assert (await tus.request("DELETE", url, bob)).status == 204


async def test_403_for_a_private_file_to_who_does_not_read_and_404_to_nobody(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    assert (await tus.post(ada, 5, to="0" * 12)).status == 404
    bob = await house.join("Bob")
    await bob.send(type="leave")
    await bob.close_code()
    assert (await tus.post(ada, 5, to=bob.id)).status == 404


async def test_404_and_410(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    url = await tus.upload(ada, b"hello")
    assert (await tus.request("HEAD", url + "x")).status == 404
    assert (await tus.request("POST", "/r/No_Room/files", ada, upload_length="5")).status == 404
    assert (await tus.get(url.replace("garden", "cellar"))).status == 404
    assert (await tus.request("DELETE", url, ada)).status == 204
    assert [(await tus.get(url)).status, (await tus.request("HEAD", url)).status] == [410, 410]
    assert (await tus.patch(url, ada, 5, b"")).status == 410
    assert (await tus.request("DELETE", url, ada)).status == 410


async def test_405(house: House, tus: Tus) -> None:
    response = await tus.request("GET", tus.endpoint)
    assert (response.status, response.headers["Allow"]) == (405, "OPTIONS, POST")
    assert (await tus.request("PUT", f"{tus.endpoint}/x")).headers["Allow"] == "OPTIONS, HEAD, GET, PATCH, DELETE"


async def test_409_when_another_offset_is_here(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    url = await tus.create(ada, 10)
    await tus.patch(url, ada, 0, b"01234")
    for offset in (0, 4, 6):
        response = await tus.patch(url, ada, offset, b"x")
        assert (response.status, response.headers["Upload-Offset"]) == (409, "5")
    assert await tus.offset(url) == 5


async def test_412_for_another_version(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    url = await tus.create(ada, 10)
    for version in (None, "0.2.2"):
        assert (await tus.post(ada, 5, tus_resumable=version)).status == 412
        assert (await tus.patch(url, ada, 0, b"x", tus_resumable=version)).headers["Tus-Version"] == "1.0.0"
        assert (await tus.request("DELETE", url, ada, tus_resumable=version)).status == 412
    assert (await tus.request("HEAD", url, tus_resumable="2.0.0")).status == 412


async def test_413_over_the_limit_of_a_file(small: House) -> None:
    ada, tus = await small.join("Ada"), Tus(small)
    assert ada.joined["limits"]["file_bytes"] == 1000
    assert (await tus.post(ada, 1000)).status == 201
    assert (await tus.post(ada, 1001)).status == 413
    assert small.measure("uploads_total", result="too-large") == 1


async def test_413_for_more_than_was_said(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    url = await tus.create(ada, 10)
    assert (await tus.patch(url, ada, 0, b"x" * 11)).status == 413
    assert await tus.offset(url) == 0

    async def endless() -> Iterator[bytes]:
        for _ in range(3):
            yield b"01234"

    assert (await tus.patch(url, ada, 0, endless())).status == 413
    assert await tus.offset(url) == 10


async def test_415_for_another_type(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    url = await tus.create(ada, 10)
    for headers in ({"content_type": "application/octet-stream"}, {"content_encoding": "gzip"}):
        assert (await tus.patch(url, ada, 0, b"x", **headers)).status == 415


async def test_429_for_too_many_uploads_of_a_seat(small: House) -> None:
    ada, bob, tus = await small.join("Ada"), await small.join("Bob"), Tus(small)
    first, second = await tus.create(ada, 500), await tus.create(ada, 500)
    response = await tus.post(ada, 1)
    assert (response.status, response.headers["Retry-After"]) == (429, "5")
    assert small.measure("uploads_total", result="too-many") == 1
    assert (await tus.post(bob, 1)).status == 201
    small.advance(IDLE_SECONDS - 0.1)
    await tus.patch(first, ada, 0, b"x")
    assert (await tus.post(ada, 1)).status == 429
    small.advance(0.1)
    assert (await tus.post(ada, 1)).status == 201
    assert [(await tus.request("HEAD", url)).status for url in (first, second)] == [200, 410]


async def test_429_for_too_many_files_of_a_seat(house: House, tus: Tus) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    for _ in range(UPLOADS[0]):
        assert (await tus.post(ada, 0)).status == 201
    response = await tus.post(ada, 0)
    assert (response.status, response.headers["Retry-After"]) == (429, "2")
    assert house.measure("rate_limited_total", scope="files") == 1
    assert (await tus.post(bob, 0)).status == 201
    house.now += 1 / UPLOADS[1]
    assert (await tus.post(ada, 0)).status == 201


async def test_507_over_the_limits_of_a_room_and_of_all(small: House) -> None:
    ada, tus = await small.join("Ada"), Tus(small)
    for _ in range(2):
        await tus.upload(ada, b"x" * 1000)
    assert (await tus.post(ada, 501)).status == 507
    eve, cellar = await small.join("Eve", room="cellar"), Tus(small, "cellar")
    assert (await cellar.post(eve, 1001)).status == 413
    await cellar.create(eve, 600)
    assert (await cellar.post(eve, 401)).status == 507
    url = await cellar.create(eve, 400)
    assert (await cellar.request("DELETE", url, eve)).status == 204
    assert (await cellar.post(eve, 400)).status == 201
    assert small.measure("uploads_total", result="no-room") == 2
    assert small.measure("uploads_total", result="cancelled") == 1


async def test_507_when_the_disk_is_full(house: House, tus: Tus, caplog: pytest.LogCaptureFixture) -> None:
    ada = await house.join("Ada")
    url = await tus.create(ada, 4 * BATCH_BYTES)
    with full_disk(2 * BATCH_BYTES):
        response = await tus.patch(url, ada, 0, b"x" * (4 * BATCH_BYTES))
    assert response.status == 507
    assert (await tus.request("HEAD", url)).status == 410
    await until(lambda: not stored(house))
    assert (house.measure("uploads_total", result="no-room"), house.measure("files_errors_total")) == (1, 1)
    assert "a file cannot be written" in caplog.text
    await tus.upload(ada, b"room again")
    await ada.receive("chat")


async def test_507_before_a_disk_that_is_nearly_full_is(
    house: House, tus: Tus, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await house.join("Ada")
    await tus.create(ada, 1)
    monkeypatch.setattr("signalling.file_exchange.FREE_BYTES", 2 * shutil.disk_usage(house.files_directory).free)
    assert (await tus.post(ada, 1)).status == 507
    await until(lambda: len(stored(house)) == 1)


async def test_500_when_the_disk_fails(house: House, tus: Tus) -> None:
    ada = await house.join("Ada")
    url = await tus.create(ada, 10)
    (house.files_directory / url.rpartition("/")[2]).unlink()
    assert (await tus.patch(url, ada, 0, b"0123456789")).status == 500
    assert house.measure("uploads_total", result="failed") == 1


async def test_a_server_without_a_place_for_files_takes_none(open_house: Open, web_directory: Path) -> None:
    house = await open_house(SignallingSettings(files=replace(FileLimits(), max_bytes=0)))
    ada = await house.join("Ada")
    assert ada.joined["limits"]["file_bytes"] == 0
    assert (await Tus(house).post(ada, 1)).status == 413
