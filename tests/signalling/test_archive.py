"""Rooms, what was said in them and their files, over a restart, and when nobody is there."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from signalling.archive import MAX_STORED_ROOMS, RETURN_SECONDS
from signalling.charter import RESTORE_SECONDS
from signalling.file_limits import FileLimits
from signalling.server import SignallingSettings
from tests.signalling.house import Client, House
from tests.signalling.tus_client import Tus
from tests.signalling.whip_client import Whip

KEEPING = SignallingSettings(keep_seconds=7200.0)
BROADCAST = {"settings": {"mode": "broadcast", "video": "vp9"}}


class Street:
    """Houses in one place, one after the other."""

    def __init__(self, web_directory: Path) -> None:
        self.web_directory = web_directory
        self.houses: list[House] = []

    @property
    def state(self) -> Path:
        return self.web_directory.parent / "state"

    async def open(self, settings: SignallingSettings | None = None, *, later: float = 0) -> House:
        """The next house, `later` seconds by the wall clock; the one before is closed as by a restart."""
        wall = 1_700_000_000.0
        if self.houses:
            wall = self.houses[-1].wall
            await self.houses[-1].close()
        self.houses.append(House(self.web_directory, settings or SignallingSettings()))
        self.houses[-1].wall = wall + later
        await self.houses[-1].start()
        return self.houses[-1]

    async def table(self, name: str) -> list[tuple[Any, ...]]:
        """Its rows, when all has been written that the house put so far."""
        written, loop = asyncio.Event(), asyncio.get_running_loop()
        self.houses[-1].service.storage.store.then(lambda: loop.call_soon_threadsafe(written.set))
        async with asyncio.timeout(5):
            await written.wait()
        connection = sqlite3.connect(self.state / "rooms.sqlite3")
        rows = connection.execute(f"SELECT * FROM {name}").fetchall()
        connection.close()
        return rows

    def files(self) -> set[str]:
        return {path.name for path in (self.state / "files").iterdir()}


@pytest.fixture
async def street(web_directory: Path) -> AsyncIterator[Street]:
    street = Street(web_directory)
    yield street
    await street.houses[-1].close()


async def say(client: Client, text: str, **fields: Any) -> None:
    await client.send(type="chat", text=text, request=text, **fields)
    await client.receive("chat", request=text)


async def leave(house: House, *clients: Client) -> None:
    for client in clients:
        await client.send(type="leave")
        await client.close_code()


def texts(client: Client) -> list[str]:
    return [line["text"] for line in client.joined["chat"]]


def token(client: Client) -> str:
    return str(client.joined["resume"]["token"])


async def refused(house: House, name: str, **fields: Any) -> str:
    client = await house.connect()
    await client.send(type="join", version=1, name=name, **fields)
    return str((await client.receive("error"))["code"])


async def test_a_meeting_is_there_again(street: Street) -> None:
    house = await street.open()
    ada, bob, eve = [await house.join(name, password="p") for name in ("Ada", "Bob", "Eve")]
    await say(ada, "all")
    await say(ada, "psst", to=bob.id)
    await ada.send(type="rules", rights={"share": False})
    await bob.receive("rules")
    house = await street.open()
    assert house.measure("stored_rooms") == 1
    assert await refused(house, "Zoë") == "password"
    late = await house.join("Zoë", password="p")
    assert (texts(late), late.joined["role"]) == (["all"], "speaker")
    assert late.joined["rules"]["rights"]["share"] is False
    back = [await house.join(name, resume=token(client)) for name, client in (("Ada", ada), ("Bob", bob), ("Eve", eve))]
    assert [client.id for client in back] == [ada.id, bob.id, eve.id]
    assert [texts(client) for client in back] == [["all", "psst"], ["all", "psst"], ["all"]]
    assert [client.joined["role"] for client in back] == ["host", "speaker", "speaker"]
    house.service.tick()
    assert house.measure("stored_rooms") == 0


async def test_the_end_of_the_server_makes_nobody_a_host(street: Street) -> None:
    house = await street.open()
    ada = await house.join("Ada")
    for name in ("Bob", "Eve"):
        await house.join(name)
    await street.open()
    [(_, _, record, _)] = await street.table("rooms")
    assert json.loads(record)["hosts"] == [ada.id]


async def test_what_hosts_decided_holds_after_a_restart(street: Street) -> None:
    house = await street.open()
    ada, bob = await house.join("Ada"), await house.join("Bob")
    eve = await house.join("Eve", address="127.0.0.2")
    await ada.send(type="invite", seconds=3600)
    invitation = (await ada.receive("invited"))["invitation"]
    await ada.send(type="moderate", action="remove", participant=bob.id)
    await ada.send(type="moderate", action="ban", participant=eve.id)
    await ada.send(type="rules", lobby=True)
    moderation = (await ada.receive("moderation", "rules"))["moderation"]
    while not moderation["bans"]:
        moderation = (await ada.receive("moderation"))["moderation"]
    await ada.receive("rules")
    house = await street.open(later=60)
    for name, client in (("Bob", bob), ("Zoë", None)):
        visitor = await house.connect()
        answer = await visitor.knock(name, **({} if client is None else {"resume": token(client)}))
        assert answer == {"type": "waiting", "host": False}
    banned = await house.connect(address="127.0.0.2")
    assert (await banned.knock("Eve", resume=token(eve)))["code"] == "banned"
    assert (await house.join("Kim", invitation=invitation["token"])).joined["role"] == "speaker"
    back = await house.join("Ada", host_key=moderation["host_key"])
    assert back.joined["role"] == "host"
    assert [who["name"] for who in back.joined["moderation"]["waiting"]] == ["Bob", "Zoë"]
    assert {**back.joined["moderation"], "waiting": []} == {**moderation, "waiting": []}


async def test_who_comes_over_whip_finds_the_rooms_password(street: Street) -> None:
    house = await street.open()
    await house.join("Ada", password="p")
    house = await street.open()
    assert (await Whip(house).post()).status == 401


async def test_a_webinar_is_there_again_with_its_questions_and_votes(street: Street) -> None:
    house = await street.open()
    ada, bob, eve = await house.join("Ada", **BROADCAST), await house.join("Bob"), await house.join("Eve")
    ids = []
    for text in ("Why?", "How?", "Who?"):
        await bob.send(type="ask", text=text, request=text)
        ids.append((await bob.receive("question", request=text))["question"]["id"])
    for client in (bob, eve):
        await client.send(type="vote", question=ids[0], on=True)
        await client.receive("votes")
    await eve.send(type="vote", question=ids[0], on=False)
    await eve.receive("votes")
    await ada.send(type="answered", question=ids[1], on=True)
    await bob.receive("question", event="changed")
    await bob.send(type="withdraw", question=ids[2])
    await bob.receive("question", event="removed")
    house = await street.open()
    eve, bob = await house.join("Eve", resume=token(eve)), await house.join("Bob", resume=token(bob))
    shown = [(each["text"], each["votes"], each["answered"], each["voted"]) for each in bob.joined["questions"]]
    assert shown == [("Why?", 1, False, True), ("How?", 0, True, False)]
    assert [each["voted"] for each in eve.joined["questions"]] == [False, False]
    assert bob.joined["settings"]["video"] == "vp9"
    await bob.send(type="withdraw", question=ids[0], request="w")
    await eve.receive("question", event="removed")
    house = await street.open()
    again = await house.join("Bob", resume=token(bob))
    assert [each["id"] for each in again.joined["questions"]] == [ids[1]]
    assert await street.table("votes") == []


async def test_a_room_that_has_ended_leaves_nothing(street: Street) -> None:
    house = await street.open()
    ada = await house.join("Ada", **BROADCAST)
    await say(ada, "a word to find")
    await ada.send(type="ask", text="Why?", request="q")
    question = (await ada.receive("question"))["question"]["id"]
    await ada.send(type="vote", question=question, on=True)
    await ada.receive("votes")
    await Tus(house).upload(ada, b"x")
    await leave(house, ada)
    await street.open()
    for table in ("rooms", "lines", "questions", "votes", "files"):
        assert await street.table(table) == []
    assert street.files() == set()
    for path in street.state.glob("rooms.sqlite3*"):
        assert b"a word to find" not in path.read_bytes()


async def test_the_next_of_that_name_is_another(street: Street) -> None:
    house = await street.open()
    ada = await house.join("Ada", password="p")
    await say(ada, "before")
    await leave(house, ada)
    eve = await house.join("Eve")
    assert (texts(eve), eve.joined["role"]) == ([], "host")
    house = await street.open()
    assert texts(await house.join("Eve", resume=token(eve))) == []


async def test_history_is_the_same_bounded_one(street: Street) -> None:
    house = await street.open()
    ada = await house.join("Ada")
    for number in range(205):
        house.now += 1
        await say(ada, str(number))
    house = await street.open()
    assert texts(await house.join("Ada", resume=token(ada))) == [str(number) for number in range(5, 205)]
    assert len(await street.table("lines")) == 200


async def test_a_room_nobody_comes_back_to_is_forgotten(street: Street) -> None:
    house = await street.open()
    ada = await house.join("Ada", password="p")
    await Tus(house).upload(ada, b"x")
    house = await street.open()
    house.wall += RETURN_SECONDS - 1
    house.service.tick()
    assert house.measure("stored_rooms") == 1
    house.wall += 1
    house.service.tick()
    assert house.measure("stored_rooms") == 0
    eve = await house.join("Eve")
    assert eve.joined["role"] == "host"
    await street.open()
    assert len(await street.table("rooms")) == 1
    assert street.files() == set()


async def test_a_knock_at_a_stored_room_does_not_end_it(street: Street) -> None:
    house = await street.open()
    ada = await house.join("Ada", password="p")
    await say(ada, "hello")
    house = await street.open()
    for _ in range(2):
        assert await refused(house, "Eve", password="q") == "password"
        house.advance(RESTORE_SECONDS + 1)
        assert (house.measure("rooms"), house.measure("stored_rooms")) == (0, 1)
    assert texts(await house.join("Ada", password="p")) == ["hello"]


async def test_a_room_can_outlive_its_last_participant(street: Street) -> None:
    house = await street.open(KEEPING)
    ada, bob = await house.join("Ada", password="p"), await house.join("Bob", password="p")
    await say(ada, "hello")
    url = await Tus(house).upload(ada, b"data")
    await leave(house, ada, bob)
    assert (house.measure("rooms"), house.measure("stored_rooms")) == (0, 1)
    assert (await Tus(house).get(url)).body == b"data"
    assert await refused(house, "Eve") == "password"
    house.advance(RESTORE_SECONDS + 1)
    late = await house.join("Zoë", password="p")
    assert texts(late) == ["hello", ""]
    await say(late, "and more")
    await leave(house, late)
    house.advance(RESTORE_SECONDS + 1)
    house = await street.open(KEEPING, later=3600)
    assert texts(await house.join("Ada", resume=token(ada))) == ["hello", "", "and more"]


async def test_a_kept_room_is_forgotten_at_its_time_also_over_a_restart(street: Street) -> None:
    house = await street.open(KEEPING)
    ada = await house.join("Ada", password="p")
    await leave(house, ada)
    house = await street.open(KEEPING, later=7199)
    assert house.measure("stored_rooms") == 1
    house = await street.open(KEEPING, later=1)
    assert house.measure("stored_rooms") == 0
    assert await street.table("rooms") == []


async def test_a_kept_room_that_lives_again_when_the_server_stops_waits_anew(street: Street) -> None:
    house = await street.open(KEEPING)
    ada = await house.join("Ada", password="p")
    await leave(house, ada)
    house.wall += 7000
    await house.join("Bob", password="p")
    house.service.tick()
    house = await street.open(KEEPING, later=7000)
    assert await refused(house, "Eve") == "password"


async def test_a_host_who_ends_the_room_ends_it_for_good(street: Street) -> None:
    house = await street.open(KEEPING)
    ada = await house.join("Ada", password="p")
    await ada.send(type="end")
    await ada.receive("closing")
    await ada.close_code()
    assert house.measure("stored_rooms") == 0
    assert (await house.join("Eve")).joined["role"] == "host"


async def test_stored_rooms_are_bounded(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalling.archive.MAX_STORED_ROOMS", 2)
    assert MAX_STORED_ROOMS == 1000
    house = await street.open(KEEPING)
    for room in ("a", "b", "c"):
        house.wall += 1
        await leave(house, await house.join("Ada", room=room))
    assert house.measure("stored_rooms") == 2
    house = await street.open(KEEPING)
    assert sorted(row[1] for row in (await street.table("rooms"))) == ["b", "c"]


async def test_files_and_uploads_are_there_again(street: Street) -> None:
    house = await street.open()
    tus, ada = Tus(house), await house.join("Ada")
    url, half = await tus.upload(ada, b"whole", "été.pdf"), await tus.create(ada, 10)
    await tus.patch(half, ada, 0, b"01234")
    house = await street.open()
    tus = Tus(house)
    response = await tus.get(url)
    assert response.body == b"whole"
    assert "%C3%A9t%C3%A9.pdf" in response.headers["Content-Disposition"]
    assert (await tus.post(ada, 1)).status == 401
    back = await house.join("Ada", resume=token(ada))
    assert back.joined["chat"][0]["file"]["name"] == "été.pdf"
    assert await tus.offset(half, back) == 5
    assert (await tus.patch(half, back, 5, b"56789")).status == 204
    assert (await back.receive("chat"))["participant"] == ada.id
    assert (await tus.get(half)).body == b"0123456789"
    assert (await tus.request("DELETE", url, back)).status == 204


async def test_an_upload_whose_end_nobody_was_told_of_is_told_of(street: Street) -> None:
    house = await street.open()
    tus, ada = Tus(house), await house.join("Ada")
    url = await tus.create(ada, 10)
    await tus.patch(url, ada, 0, b"01234")
    await house.close()
    with (street.state / "files" / url.rpartition("/")[2]).open("ab") as file:
        file.write(b"56789")
    house = await street.open()
    back = await house.join("Ada", resume=token(ada))
    [line] = back.joined["chat"]
    assert (line["participant"], line["name"], line["file"]["bytes"]) == (ada.id, "Ada", 10)
    assert (await Tus(house).get(url)).body == b"0123456789"
    house = await street.open()
    assert len((await house.join("Ada", resume=token(ada))).joined["chat"]) == 1


async def test_what_does_not_belong_together_is_swept(street: Street, caplog: pytest.LogCaptureFixture) -> None:
    house = await street.open()
    tus, ada = Tus(house), await house.join("Ada")
    missing, short, whole = [await tus.upload(ada, b"data") for _ in range(3)]
    directory = street.state / "files"
    await house.close()
    (directory / "orphan").write_bytes(b"x")
    (directory / missing.rpartition("/")[2]).unlink()
    (directory / short.rpartition("/")[2]).write_bytes(b"d")
    house = await street.open()
    assert [(await Tus(house).get(url)).status for url in (missing, short, whole)] == [404, 404, 200]
    assert street.files() == {whole.rpartition("/")[2]}
    assert len(await street.table("files")) == 1


async def test_a_damaged_database_costs_the_rooms_and_not_the_service(street: Street) -> None:
    house = await street.open()
    ada = await house.join("Ada", password="p")
    await say(ada, "hello")
    await Tus(house).upload(ada, b"x")
    await house.close()
    (street.state / "rooms.sqlite3").write_bytes(b"no database" * 1000)
    house = await street.open()
    back = await house.join("Ada", resume=token(ada))
    assert (back.joined["role"], texts(back)) == ("host", [])
    assert street.files() == set()
    await say(back, "hello again")
    house = await street.open()
    assert texts(await house.join("Ada", resume=token(back))) == ["hello again"]


async def test_rows_that_cannot_be_read_are_left_out(street: Street) -> None:
    house = await street.open()
    ada = await house.join("Ada", password="p")
    for text in ("one", "two"):
        await say(ada, text)
    await house.close()
    connection = sqlite3.connect(street.state / "rooms.sqlite3")
    connection.execute("UPDATE lines SET line = '{\"id\": 5}' WHERE number = 1")
    connection.execute("INSERT INTO rooms (id, name, record) VALUES ('x', 'cellar', '{}'), ('y', 'attic', 'no JSON')")
    connection.commit()
    connection.close()
    house = await street.open()
    assert texts(await house.join("Ada", resume=token(ada))) == ["two"]
    for room in ("cellar", "attic"):
        assert (await house.join("Eve", room=room)).joined["role"] == "host"
    assert house.measure("database_errors_total") == 2


async def test_what_is_of_no_room_is_forgotten(street: Street) -> None:
    house = await street.open()
    ada = await house.join("Ada", **BROADCAST)
    await say(ada, "hello")
    await ada.send(type="ask", text="Why?")
    question = (await ada.receive("question"))["question"]["id"]
    await ada.send(type="vote", question=question, on=True)
    await ada.receive("votes")
    await house.close()
    connection = sqlite3.connect(street.state / "rooms.sqlite3")
    connection.execute("DELETE FROM rooms")
    connection.commit()
    connection.close()
    await street.open()
    for table in ("lines", "questions", "votes"):
        assert await street.table(table) == []


async def test_a_server_that_keeps_nothing_serves(web_directory: Path) -> None:
    (web_directory.parent / "state").write_text("in the way")
    house = House(web_directory, SignallingSettings(files=FileLimits()))
    await house.start()
    ada = await house.join("Ada")
    await say(ada, "hello")
    assert (await Tus(house).post(ada, 5)).status == 500
    await house.close()
    assert house.measure("database_errors_total") == 1


async def test_what_is_said_is_on_the_disk_soon(street: Street) -> None:
    house = await street.open()
    ada = await house.join("Ada", password="p")
    await say(ada, "hello")
    assert [len(await street.table(name)) for name in ("rooms", "lines")] == [1, 1]
