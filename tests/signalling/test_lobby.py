"""The lobby: who waits, who lets them in, and who never waits."""

from __future__ import annotations

from typing import Any

import pytest

from signalling.room import MODERATION_SECONDS
from signalling.session import JOIN_SECONDS, PING_SECONDS, TIMEOUT_SECONDS
from signalling.waiting import MAX_WAITING, MAX_WAITING_OF_SOURCE
from tests.sfu.peers import recorded
from tests.signalling.house import Client, House
from tests.signalling.whip_client import OBS, Whip


@pytest.fixture
async def ada(house: House) -> Client:
    """A host who has everybody wait."""
    ada = await house.join("Ada", password="p")
    await ada.send(type="rules", lobby=True, password="")
    await ada.receive("rules")
    await ada.quiet()
    return ada


async def waiting(house: House, name: str, **fields: Any) -> Client:
    client = await house.connect()
    assert await client.knock(name, **fields) == {"type": "waiting", "host": True}
    return client


async def listed(ada: Client) -> list[dict[str, str]]:
    return list((await ada.receive("moderation"))["moderation"]["waiting"])


async def test_who_is_let_in_has_a_seat_like_any_other(house: House, ada: Client) -> None:
    bob = await waiting(house, "Bob", request="j")
    [who] = await listed(ada)
    assert who["name"] == "Bob"
    assert len(house.media.rooms[0].peers) == 1
    await ada.send(type="admit", waiting=who["id"], on=True)
    joined = await bob.receive("joined")
    assert (joined["request"], joined["role"], joined["rules"]["lobby"]) == ("j", "speaker", True)
    assert (await bob.receive())["type"] == "offer"
    assert (await ada.receive("moderation"))["moderation"]["waiting"] == []
    assert (await ada.receive("participant"))["event"] == "joined"
    assert house.measure("joins_total", result="waiting") == 1
    await bob.send(type="chat", text="hi")
    await ada.receive("chat")


async def test_who_is_sent_away_is_told(house: House, ada: Client) -> None:
    bob = await waiting(house, "Bob", request="j")
    [who] = await listed(ada)
    await ada.send(type="admit", waiting=who["id"], on=False)
    error = await bob.receive("error")
    assert (error["code"], error["fatal"], error["request"]) == ("denied", True, "j")
    assert await bob.close_code() == 1008
    assert house.measure("joins_total", result="denied") == 1
    assert house.measure("lobby_visitors") == 0


async def test_all_are_let_in_at_once(house: House, ada: Client) -> None:
    clients = [await waiting(house, name) for name in ("Bob", "Kim")]
    await ada.send(type="admit", on=True)
    for client in clients:
        await client.receive("joined")


async def test_nobody_to_let_in_is_no_error(ada: Client) -> None:
    await ada.send(type="admit", on=True)
    await ada.quiet()


async def test_waiting_goes_on_while_the_client_shows_life_and_not_longer(house: House, ada: Client) -> None:
    bob = await waiting(house, "Bob")
    for _ in range(2 * int(JOIN_SECONDS / PING_SECONDS) + 1):
        house.advance(PING_SECONDS)
        await bob.receive("ping")
        await bob.send(type="pong")
        await bob.send(type="ping", request="p")
        await bob.receive("pong", request="p")
        await ada.quiet()
    house.advance(TIMEOUT_SECONDS)
    assert (await bob.receive("closing"))["reason"] == "timeout"
    await bob.close_code()
    assert house.measure("lobby_visitors") == 0


@pytest.mark.parametrize("how", ["leave", "break", "close"])
async def test_who_goes_away_waits_no_more(house: House, ada: Client, how: str) -> None:
    bob = await waiting(house, "Bob")
    assert len(await listed(ada)) == 1
    if how == "leave":
        await bob.send(type="leave")
        assert (await bob.receive("closing"))["reason"] == "left"
    elif how == "break":
        bob.break_off()
    else:
        await bob.socket.close()
    await house.closed_sockets(1)
    assert house.measure("lobby_visitors") == 0
    house.advance(MODERATION_SECONDS)
    assert await listed(ada) == []


async def test_joining_twice_is_refused(house: House, ada: Client) -> None:
    bob = await waiting(house, "Bob")
    assert await bob.refused(type="join", version=1, name="Bob") == "already-joined"
    assert house.measure("lobby_visitors") == 1


async def test_those_who_wait_are_bounded(house: House, ada: Client) -> None:
    clients = [await waiting(house, str(number)) for number in range(MAX_WAITING)]
    late = await house.connect()
    assert (await late.knock("late"))["code"] == "room-full"
    await clients[0].send(type="leave")
    await clients[0].close_code()
    await waiting(house, "next")


async def test_one_address_does_not_fill_the_lobby(house: House, ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def come_from(address: str) -> None:
        monkeypatch.setattr("aiohttp.web.BaseRequest.remote", address)

    come_from("2001:db8:0:1::1")
    clients = [await waiting(house, str(number)) for number in range(MAX_WAITING_OF_SOURCE)]
    come_from("2001:db8:0:1::2")
    error = await (await house.connect()).knock("late")
    assert (error["code"], error["fatal"], error["retry_ms"]) == ("rate", True, 5000)
    assert house.measure("lobby_visitors") == MAX_WAITING_OF_SOURCE
    assert house.measure("rate_limited_total", scope="lobby") == 1
    come_from("2001:db8:0:2::1")
    await waiting(house, "from elsewhere")
    come_from("2001:db8:0:1::2")
    await clients[0].send(type="leave")
    await clients[0].close_code()
    await waiting(house, "next")


async def test_hosts_hear_of_a_crowd_once_a_second(house: House, ada: Client) -> None:
    for number in range(5):
        await waiting(house, str(number))
    assert len(await listed(ada)) == 1
    await ada.send(type="ping")
    assert (await ada.receive())["type"] == "pong"
    house.advance(MODERATION_SECONDS)
    assert len(await listed(ada)) == 5


async def test_who_waits_hears_whether_a_host_is_there(house: House, ada: Client) -> None:
    bob = await waiting(house, "Bob")
    ada.break_off()
    assert await bob.receive() == {"type": "waiting", "host": False}
    again = await house.join("Ada", resume=ada.joined["resume"]["token"])
    assert await bob.receive() == {"type": "waiting", "host": True}
    assert [who["name"] for who in again.joined["moderation"]["waiting"]] == ["Bob"]


async def test_end_of_the_room_is_the_end_of_waiting(house: House, ada: Client) -> None:
    bob = await waiting(house, "Bob")
    await ada.send(type="leave")
    assert await bob.receive("closing") == {"type": "closing", "reason": "ended"}
    assert await bob.close_code() == 1000


async def test_wrong_password_does_not_even_wait(house: House, ada: Client) -> None:
    await ada.send(type="rules", password="q")
    await ada.receive("rules")
    assert (await (await house.connect()).knock("Bob", password="p"))["code"] == "password"
    await waiting(house, "Bob", password="q")


async def test_key_invitation_and_resume_token_never_wait(house: House, ada: Client) -> None:
    kim = await waiting(house, "Kim")
    await ada.send(type="admit", on=True)
    await kim.receive("joined")
    await ada.send(type="invite", seconds=60)
    invitation = (await ada.receive("invited"))["invitation"]
    key = ada.joined["moderation"]["host_key"]
    assert (await house.join("Bob", invitation=invitation["token"])).joined["role"] == "speaker"
    assert (await house.join("Eve", host_key=key)).joined["role"] == "host"
    assert (await house.join("Ada", resume=ada.joined["resume"]["token"])).joined["resumed"]


async def test_place_that_was_taken_meanwhile_is_not_there(house: House, ada: Client) -> None:
    bob = await waiting(house, "Bob")
    room = next(iter(house.service._rooms.seats())).room
    room.media.full = True  # type: ignore[attr-defined]
    await ada.send(type="admit", on=True)
    error = await bob.receive("error")
    assert (error["code"], error["fatal"]) == ("room-full", True)


async def test_who_leaves_as_they_are_let_in_gets_no_seat(house: House, ada: Client) -> None:
    bob = await waiting(house, "Bob")
    await bob.send(type="leave")
    await ada.send(type="admit", on=True)
    await bob.close_code()
    await ada.quiet()
    assert len(list(house.service._rooms.seats())) == 1


async def test_draining_sends_away_who_waits(house: House, ada: Client) -> None:
    bob = await waiting(house, "Bob")
    house.service.drain()
    assert (await bob.receive("closing"))["reason"] == "draining"


PROGRAMS = [("whip", OBS), ("whep", recorded("gstreamer_whep"))]


@pytest.mark.parametrize(("path", "offer"), PROGRAMS, ids=["whip", "whep"])
async def test_program_gets_in_with_what_never_waits(house: House, ada: Client, path: str, offer: str) -> None:
    await ada.send(type="invite", seconds=60)
    invitation = (await ada.receive("invited"))["invitation"]["token"]
    for token in ("", "p"):
        assert (await Whip(house, f"/r/garden/{path}", token).post(offer)).status == 403
    key, resume = ada.joined["moderation"]["host_key"], ada.joined["resume"]["token"]
    for token in (key, resume, invitation):
        assert (await Whip(house, f"/r/garden/{path}", token).post(offer)).status == 201


@pytest.mark.parametrize(("path", "offer"), PROGRAMS, ids=["whip", "whep"])
async def test_locked_room_is_closed_to_programs_too(house: House, ada: Client, path: str, offer: str) -> None:
    await ada.send(type="rules", lobby=False, locked=True)
    await ada.receive("rules")
    response = await Whip(house, f"/r/garden/{path}", "guess").post(offer)
    assert response.status == 403
    assert "Retry-After" not in response.headers
    assert (await Whip(house, f"/r/garden/{path}", ada.joined["moderation"]["host_key"]).post(offer)).status == 201
