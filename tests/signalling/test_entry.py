"""Ways into a room: host key, invitations, locks and passwords, over real sockets."""

from __future__ import annotations

from typing import Any

import pytest

from signalling.client_messages import MAX_INVITATION_SECONDS, MIN_INVITATION_SECONDS
from signalling.entry import MAX_INVITATIONS, MAX_REMOVED, Entry
from signalling.reception import WRONG_PASSWORDS
from tests.signalling.house import Client, House


async def knock(house: House, **fields: Any) -> dict[str, Any]:
    return await (await house.connect()).knock("Eve", **fields)


async def change(ada: Client, **rules: Any) -> dict[str, Any]:
    await ada.send(type="rules", **rules)
    return dict((await ada.receive("rules"))["rules"])


async def invite(ada: Client, seconds: int = 3600, label: str = "") -> dict[str, Any]:
    await ada.send(type="invite", seconds=seconds, label=label, request="i")
    told = (await ada.receive("moderation"))["moderation"]["invitations"]
    invitation = dict((await ada.receive("invited", request="i"))["invitation"])
    assert told[-1] == invitation
    return invitation


async def test_all_hear_of_changed_rules_and_what_is_absent_stays(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    free = {"chat": True, "share": True, "unmute": True, "files": True}
    told = await change(ada, locked=True, rights={"chat": False})
    assert told == {"locked": True, "lobby": False, "password": False, "rights": {**free, "chat": False}}
    assert (await bob.receive("rules"))["rules"] == told
    told = await change(ada, password="p", rights={"files": False})
    assert told == {"locked": True, "lobby": False, "password": True, "rights": {**free, "chat": False, "files": False}}
    assert (await house.join("Kim", resume=bob.joined["resume"]["token"])).joined["rules"] == told


async def test_locked_room_takes_nobody_new(house: House) -> None:
    ada, bob = await house.join("Ada", password="p"), await house.join("Bob", password="p")
    await change(ada, locked=True)
    error = await knock(house, password="p")
    assert (error["code"], error["fatal"]) == ("locked", True)
    assert (await house.join("Bob", resume=bob.joined["resume"]["token"])).joined["resumed"]
    assert (await house.join("Kim", invitation=(await invite(ada))["token"])).joined["role"] == "speaker"
    assert (await house.join("Ann", host_key=ada.joined["moderation"]["host_key"])).joined["role"] == "host"
    await change(ada, locked=False)
    assert (await knock(house, password="p"))["type"] == "joined"


@pytest.mark.parametrize("rules", [{"locked": True}, {"lobby": True}, {"locked": True, "lobby": True}])
async def test_who_has_been_there_is_nobody_new(house: House, rules: dict[str, bool]) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await change(ada, **rules)
    await bob.send(type="leave")
    await bob.close_code()
    again = await house.join("Bob", resume=bob.joined["resume"]["token"])
    assert not again.joined["resumed"]
    assert (again.id, again.joined["role"]) == (bob.id, "speaker")


async def test_who_has_been_there_still_needs_the_password(house: House) -> None:
    ada, bob = await house.join("Ada", password="p"), await house.join("Bob", password="p")
    await change(ada, password="q")
    await bob.send(type="leave")
    await bob.close_code()
    again = await house.connect()
    token = bob.joined["resume"]["token"]
    assert (await again.knock("Bob", password="p", resume=token))["code"] == "password"


async def test_who_has_been_in_another_life_of_the_room_is_new(house: House) -> None:
    ada = await house.join("Ada")
    await ada.send(type="leave")
    await ada.close_code()
    bob = await house.join("Bob")
    await change(bob, locked=True)
    again = await house.connect()
    assert (await again.knock("Ada", resume=ada.joined["resume"]["token"]))["code"] == "locked"


async def test_changed_password_is_asked_of_who_comes_from_then_on(house: House) -> None:
    ada, bob = await house.join("Ada", password="p"), await house.join("Bob", password="p")
    await change(ada, password="q")
    assert (await knock(house, password="p"))["code"] == "password"
    assert (await house.join("Bob", resume=bob.joined["resume"]["token"])).joined["resumed"]
    assert (await knock(house, password="q"))["type"] == "joined"
    assert not (await change(ada, password=""))["password"]
    assert (await knock(house))["type"] == "joined"


async def test_host_key_makes_a_host_without_a_password_also_after_wrong_ones(house: House) -> None:
    ada = await house.join("Ada", password="p")
    for _ in range(WRONG_PASSWORDS[0]):
        assert (await knock(house, password="q"))["code"] == "password"
    assert (await knock(house, password="p"))["code"] == "rate"
    answer = await knock(house, host_key=ada.joined["moderation"]["host_key"])
    assert (answer["type"], answer["role"]) == ("joined", "host")
    assert answer["moderation"]["host_key"] == ada.joined["moderation"]["host_key"]


async def test_wrong_host_key_is_as_none(house: House) -> None:
    await house.join("Ada", password="p")
    assert (await knock(house, host_key="x"))["code"] == "password"
    assert (await knock(house, host_key="x", password="p"))["role"] == "speaker"
    await house.join("Bob", room="open")
    assert (await (await house.connect("open")).knock("Eve", host_key="x"))["role"] == "speaker"


async def test_only_hosts_are_told_the_key(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    assert "moderation" not in bob.joined
    await invite(ada)
    await change(ada, lobby=True)
    await bob.send(type="ping")
    heard = []
    while (message := await bob.receive())["type"] != "pong":
        heard.append(message)
    assert {"offer", "rules"} <= {message["type"] for message in heard}
    assert "moderation" not in {message["type"] for message in heard}
    assert ada.joined["moderation"]["host_key"] not in str(heard)


async def test_invitation_opens_until_it_is_over(house: House) -> None:
    ada = await house.join("Ada", password="p")
    invitation = await invite(ada, MIN_INVITATION_SECONDS, "for Kim")
    assert invitation["label"] == "for Kim"
    assert invitation["expires"] == house.wall + MIN_INVITATION_SECONDS
    house.wall += MIN_INVITATION_SECONDS - 0.1
    assert (await knock(house, invitation=invitation["token"]))["type"] == "joined"
    house.wall += 0.1
    error = await knock(house, invitation=invitation["token"])
    assert (error["code"], error["fatal"]) == ("invitation", True)
    assert house.measure("auth_failures_total", kind="invitation") == 1
    house.advance(1)
    assert (await ada.receive("moderation"))["moderation"]["invitations"] == []


async def test_revoked_invitation_is_good_for_nothing(house: House) -> None:
    ada = await house.join("Ada", password="p")
    invitation = await invite(ada)
    await ada.send(type="revoke", invitation=invitation["id"])
    await ada.quiet()
    assert (await knock(house, invitation=invitation["token"]))["code"] == "invitation"
    assert (await knock(house, invitation=invitation["token"], password="p"))["type"] == "joined"
    await change(ada, locked=True)
    assert (await knock(house, invitation=invitation["token"], password="p"))["code"] == "invitation"


async def test_invitation_that_is_over_does_no_harm_where_none_is_needed(house: House) -> None:
    await house.join("Ada")
    assert (await knock(house, invitation="over"))["type"] == "joined"


async def test_expired_invitations_count_as_no_wrong_passwords(house: House) -> None:
    await house.join("Ada", password="p")
    for _ in range(WRONG_PASSWORDS[0] + 1):
        assert (await knock(house, invitation="over"))["code"] == "invitation"
    assert (await knock(house, password="p"))["type"] == "joined"


async def test_invitations_are_bounded_and_those_that_are_over_make_room(house: House) -> None:
    ada = await house.join("Ada")
    entry = next(iter(house.service._rooms.seats())).room.charter.entry
    for _ in range(MAX_INVITATIONS - 1):
        entry.invite(60, "", house.wall)
    await invite(ada, MAX_INVITATION_SECONDS)
    assert await ada.refused(type="invite", seconds=60) == "forbidden"
    house.wall += 60
    await invite(ada)


def test_removed_participants_are_remembered_in_bounded_number() -> None:
    entry = Entry()
    for number in range(MAX_REMOVED):
        entry.remove(str(number), told=True)
    assert entry.was_removed("0")
    entry.remove("another", told=True)
    assert not entry.was_removed("0")
    assert entry.was_removed("1")
