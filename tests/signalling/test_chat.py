from __future__ import annotations

import json
from typing import Any

import pytest

from signalling.chat import MAX_CHAT_BYTES, MAX_CHAT_LINES, MAX_PRIVATE_LINES
from signalling.seat import ForbiddenError, Seat, UnknownError
from signalling.server_messages import FileView, Role
from tests.signalling.house import House
from tests.signalling.test_rooms import Building, building

__all__ = ["building"]


def shown(seat: Seat) -> list[dict[str, Any]]:
    return list(json.loads(seat.room.chat.shown_to(seat.id).text))


def texts(seat: Seat) -> list[str]:
    return [line["text"] for line in shown(seat)]


def say(seat: Seat, text: str, to: str = "") -> None:
    seat.room.chat.say(seat, text, to, 1.5, None)


def test_history_is_bounded_in_lines(building: Building) -> None:
    ada, _ = building.enter("Ada")
    for number in range(MAX_CHAT_LINES + 1):
        say(ada, str(number))
    assert texts(ada) == [str(number) for number in range(1, MAX_CHAT_LINES + 1)]


def test_history_is_bounded_in_bytes(building: Building) -> None:
    ada, _ = building.enter("Ada")
    for _ in range(MAX_CHAT_LINES):
        say(ada, "é" * 4000)
    chat = ada.room.chat.shown_to(ada.id).text
    lines = json.loads(chat)
    line_bytes = (len(chat.encode()) - 1) // len(lines) - 1  # brackets, and a comma after each but the last
    assert len(lines) == MAX_CHAT_BYTES // line_bytes < MAX_CHAT_LINES


def test_request_goes_back_to_the_writer_alone(building: Building) -> None:
    ada, own = building.enter("Ada")
    _, others = building.enter("Bob")
    ada.room.chat.say(ada, "hi", "", 0, "r")
    assert own.frames[-1]["request"] == "r"
    assert "request" not in others.frames[-1]
    assert "request" not in shown(ada)[0]


def test_a_private_line_is_told_to_its_two_and_shown_to_them_again(building: Building) -> None:
    ada, own = building.enter("Ada")
    bob, his = building.enter("Bob")
    eve, hers = building.enter("Eve")
    say(ada, "all")
    say(ada, "psst", bob.id)
    say(bob, "all too")
    assert [each["text"] for each in own.frames if each["type"] == "chat"] == ["all", "psst", "all too"]
    assert [each["text"] for each in his.frames if each["type"] == "chat"] == ["all", "psst", "all too"]
    assert [each["text"] for each in hers.frames if each["type"] == "chat"] == ["all", "all too"]
    assert texts(ada) == texts(bob) == ["all", "psst", "all too"]
    assert texts(eve) == ["all", "all too"]
    assert [line.get("to") for line in shown(bob)] == [None, bob.id, None]


def test_what_one_writes_to_oneself_comes_once(building: Building) -> None:
    ada, own = building.enter("Ada")
    say(ada, "note", ada.id)
    assert [each["text"] for each in own.frames if each["type"] == "chat"] == ["note"]


def test_private_lines_are_bounded_and_push_out_no_others(building: Building) -> None:
    ada, _ = building.enter("Ada")
    bob, _ = building.enter("Bob")
    eve, _ = building.enter("Eve")
    say(ada, "all")
    for number in range(MAX_PRIVATE_LINES + 1):
        say(ada, str(number), bob.id)
    assert texts(eve) == ["all"]
    assert texts(bob) == [
        str(number) for number in range(MAX_PRIVATE_LINES + 1 - MAX_CHAT_LINES, MAX_PRIVATE_LINES + 1)
    ]
    assert len(ada.room.chat._private.kept) == MAX_PRIVATE_LINES


def test_public_and_private_lines_together_are_bounded_in_bytes(building: Building) -> None:
    ada, _ = building.enter("Ada")
    bob, _ = building.enter("Bob")
    for _ in range(MAX_CHAT_LINES):
        say(ada, "é" * 4000)
        say(ada, "é" * 4000, bob.id)
    assert len(ada.room.chat.shown_to(bob.id).text.encode()) <= MAX_CHAT_BYTES + MAX_CHAT_LINES + 2


def test_nobody_writes_to_who_is_not_there(building: Building) -> None:
    ada, own = building.enter("Ada")
    bob, _ = building.enter("Bob")
    building.rooms.leave(bob, 0)
    with pytest.raises(UnknownError):
        say(ada, "hi", bob.id)
    assert texts(ada) == []
    assert "chat" not in own.types()


def test_viewers_write_alone_to_the_stage_only(building: Building) -> None:
    ada, _ = building.enter("Ada", settings=building.broadcast)
    bob, _ = building.enter("Bob")
    eve, _ = building.enter("Eve")
    say(bob, "psst", ada.id)
    say(ada, "yes?", bob.id)
    with pytest.raises(ForbiddenError):
        say(bob, "psst", eve.id)
    assert texts(bob) == ["psst", "yes?"]
    assert texts(eve) == []


def test_who_does_not_read_is_not_written_to(building: Building) -> None:
    ada, _ = building.enter("Ada")
    camera = building.silent("OBS", Role.SPEAKER)
    with pytest.raises(ForbiddenError):
        say(ada, "hi", camera.id)


def test_a_file_that_is_gone_is_shown_as_such_to_who_comes_later(building: Building) -> None:
    ada, _ = building.enter("Ada")
    bob, _ = building.enter("Bob")
    for name, to in (("public", ""), ("private", bob.id)):
        ada.room.chat.show_file(ada, FileView(id=name, name="a.pdf", bytes=9, expires=100), to, 1)
        assert shown(bob)[-1]["file"] == {"id": name, "name": "a.pdf", "bytes": 9, "expires": 100}
        ada.room.chat.file_gone(name, 50.12345)
        assert shown(bob)[-1]["file"]["expires"] == 50.123


async def test_private_chat_over_the_wire(house: House) -> None:
    ada, bob, eve = [await house.join(name) for name in ("Ada", "Bob", "Eve")]
    await ada.send(type="chat", text="psst", to=bob.id, request="r")
    line = await ada.receive("chat", request="r")
    assert (await bob.receive("chat")) | {"request": "r"} == line
    assert (line["text"], line["to"], line["participant"]) == ("psst", bob.id, ada.id)
    await ada.send(type="chat", text="psst", to="0" * 12, request="s")
    error = await ada.receive("error")
    assert (error["code"], error["fatal"], error["request"]) == ("unknown", False, "s")
    await ada.send(type="chat", text="all")
    assert (await eve.receive("chat"))["text"] == "all"
    late = await house.join("Zoë")
    assert [each["text"] for each in late.joined["chat"]] == ["all"]
    bob.break_off()
    again = await house.join("Bob", resume=bob.joined["resume"]["token"])
    assert [each["text"] for each in again.joined["chat"]] == ["psst", "all"]


async def test_viewers_share_their_rate_of_private_lines_too(house: House) -> None:
    ada = await house.join("Ada", settings={"mode": "broadcast"})
    viewers = [await house.join(str(number)) for number in range(4)]
    for viewer in viewers:
        for _ in range(10):
            await viewer.send(type="chat", text="hi", to=ada.id)
        await viewer.quiet()
    assert house.measure("rate_limited_total", scope="audience") == 10
