"""What hosts do to participants, over real sockets, and that nobody else can."""

from __future__ import annotations

from typing import Any

import pytest

from signalling.entry import MAX_BANS
from signalling.media import Source
from tests.signalling.house import Client, House
from tests.signalling.media import Peer
from tests.signalling.whip_client import Whip

ALL_ON = [{"mid": str(mid), "source": source.value} for mid, source in enumerate(Source)]
BROADCAST = {"mode": "broadcast"}

FOR_ALL = ("mute", "stop-video", "stop-share", "lower-hand", "remove")

# Everything that hosts alone may ask.
HOST_REQUESTS: list[dict[str, Any]] = [
    {"type": "rules", "locked": True},
    {"type": "rules", "lobby": True},
    {"type": "rules", "password": "mine"},
    {"type": "rules", "rights": {"chat": False}},
    {"type": "admit", "on": True},
    {"type": "admit", "waiting": "nobody", "on": False},
    *(
        {"type": "moderate", "action": action}
        for action in ("mute", "stop-video", "stop-share", "lower-hand", "remove")
    ),
    *(
        {"type": "moderate", "action": action, "participant": "ADA"}
        for action in (*FOR_ALL, "ban", "promote", "demote")
    ),
    {"type": "moderate", "action": "promote", "participant": "OWN"},
    {"type": "lift-ban", "ban": "some"},
    {"type": "invite", "seconds": 60},
    {"type": "revoke", "invitation": "some"},
    {"type": "end"},
]


def peer(house: House, client: Client) -> Peer:
    return house.media.rooms[-1].peers[client.id]


async def publish(client: Client) -> None:
    await client.send(type="publish", sdp="v=0", tracks=ALL_ON)
    await client.receive("published")


def aimed(request: dict[str, Any], ada: Client, own: str) -> dict[str, Any]:
    names = {"ADA": ada.id, "OWN": own}
    return {name: names.get(value, value) if isinstance(value, str) else value for name, value in request.items()}


@pytest.mark.parametrize("request_", HOST_REQUESTS, ids=lambda request: "-".join(map(str, request.values())))
@pytest.mark.parametrize("settings", [{}, BROADCAST], ids=["speaker", "viewer"])
async def test_who_is_no_host_is_refused_whatever_they_ask(
    house: House, settings: dict[str, Any], request_: dict[str, Any]
) -> None:
    ada = await house.join("Ada", settings=settings)
    bob = await house.join("Bob")
    await publish(ada)
    await ada.quiet()
    assert await bob.refused(**aimed(request_, ada, bob.id)) == "forbidden"
    assert house.measure("refusals_total", code="forbidden") == 1
    await ada.send(type="ping")
    assert (await ada.receive())["type"] == "pong"
    assert not peer(house, ada).muted
    eve = await house.join("Eve")
    assert eve.joined["rules"] == ada.joined["rules"]
    roles = {other["name"]: other["role"] for other in eve.joined["participants"]}
    assert roles.get("Ada") == "host"
    assert roles.get("Bob", "viewer") in ("speaker", "viewer")


@pytest.mark.parametrize(
    "request_", [*HOST_REQUESTS, {"type": "hand", "up": True}, {"type": "chat", "text": "hi"}], ids=str
)
async def test_who_waits_in_the_lobby_can_ask_nothing(house: House, request_: dict[str, Any]) -> None:
    ada = await house.join("Ada")
    await ada.send(type="rules", lobby=True)
    await ada.receive("rules")
    bob = await house.connect()
    assert (await bob.knock("Bob"))["type"] == "waiting"
    assert await bob.refused(**aimed(request_, ada, "nobody")) == "not-joined"
    assert [who["name"] for who in (await ada.receive("moderation"))["moderation"]["waiting"]] == ["Bob"]


@pytest.mark.parametrize("action", ["remove", "ban"])
async def test_removed_participant_is_out_at_once_and_their_token_is_worth_nothing(house: House, action: str) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob", address="127.0.0.2")
    await publish(bob)
    media = peer(house, bob)
    await ada.send(type="moderate", action=action, participant=bob.id)
    reason = {"remove": "removed", "ban": "banned"}[action]
    assert (await bob.receive("closing"))["reason"] == reason
    assert await bob.close_code() == 1008
    assert not media.present
    assert (await ada.receive("participant", event="left"))["participant"]["id"] == bob.id
    again = await house.connect(address="127.0.0.2")
    answer = await again.knock("Bob", resume=bob.joined["resume"]["token"])
    if action == "ban":
        assert (answer["type"], answer["code"], answer["fatal"]) == ("error", "banned", True)
    else:
        assert (answer["resumed"], answer["role"]) == (False, "speaker")
        assert answer["self"] != bob.id


async def test_removed_participant_does_not_get_past_a_lock_with_their_token(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await ada.send(type="moderate", action="remove", participant=bob.id)
    await ada.send(type="rules", locked=True)
    await bob.close_code()
    again = await house.connect()
    answer = await again.knock("Bob", resume=bob.joined["resume"]["token"])
    assert (answer["code"], answer["fatal"]) == ("locked", True)
    assert house.measure("joins_total", result="locked") == 1


async def test_who_was_removed_while_away_hears_it_once(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    bob.break_off()
    await ada.receive("participant", event="changed")
    await ada.send(type="moderate", action="remove", participant=bob.id)
    await ada.receive("participant", event="left")
    token = bob.joined["resume"]["token"]
    assert (await (await house.connect()).knock("Bob", resume=token))["code"] == "denied"
    assert (await (await house.connect()).knock("Bob", resume=token))["resumed"] is False


async def test_banned_address_is_closed_to_who_comes_new_and_to_nobody_else(house: House) -> None:
    ada = await house.join("Ada", address="127.0.0.3")
    bob = await house.join("Bob", address="127.0.0.2")
    kim = await house.join("Kim", address="127.0.0.2")
    await ada.send(type="invite", seconds=60)
    invitation = (await ada.receive("invited"))["invitation"]["token"]
    await ada.send(type="moderate", action="ban", participant=bob.id)
    [ban] = (await ada.receive("moderation", "error"))["moderation"]["bans"]
    assert ban["name"] == "Bob"
    assert (await (await house.connect(address="127.0.0.2")).knock("Eve"))["code"] == "banned"
    assert house.measure("joins_total", result="banned") == 1
    assert (await (await house.connect(address="127.0.0.4")).knock("Zoe"))["type"] == "joined"
    assert (await (await house.connect(address="127.0.0.2")).knock("Ann", invitation=invitation))["type"] == "joined"
    await kim.quiet()
    resumed = await house.join("Kim", address="127.0.0.2", resume=kim.joined["resume"]["token"])
    assert resumed.joined["resumed"]
    await ada.send(type="lift-ban", ban=ban["id"])
    assert (await ada.receive("moderation"))["moderation"]["bans"] == []
    assert (await (await house.connect(address="127.0.0.2")).knock("Eve"))["type"] == "joined"


async def test_bans_are_bounded(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    entry = next(iter(house.service._rooms.seats())).room.charter.entry
    for number in range(MAX_BANS - 1):
        entry.ban("Eve", str(number))
    kim = await house.join("Kim", address="127.0.0.2")
    await ada.send(type="moderate", action="ban", participant=kim.id)
    await kim.close_code()
    assert await ada.refused(type="moderate", action="ban", participant=bob.id) == "forbidden"
    await bob.quiet()


async def test_mute_stops_what_is_forwarded_until_it_is_turned_on_again(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await publish(bob)
    await ada.receive("participant", event="changed")
    media = peer(house, bob)
    for action, source in (("mute", "microphone"), ("stop-video", "camera"), ("stop-share", "screen")):
        await ada.send(type="moderate", action=action, participant=bob.id)
        assert await bob.receive("moderated") == {"type": "moderated", "action": action, "by": "Ada"}
        assert (await ada.receive("participant", event="changed"))["participant"][source] is False
    assert media.muted == set(Source)
    await bob.send(type="state", microphone=True, camera=True, screen=True)
    await bob.quiet()
    assert not media.muted


async def test_publishing_again_does_not_undo_a_mute(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await publish(bob)
    await ada.send(type="moderate", action="mute", participant=bob.id)
    await bob.receive("moderated")
    await publish(bob)
    assert Source.MICROPHONE in peer(house, bob).muted


async def test_what_was_done_to_who_was_away_they_hear_on_return(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await publish(bob)
    await bob.send(type="hand", up=True)
    await bob.quiet()
    bob.break_off()
    await house.closed_sockets(1)
    for action in ("mute", "lower-hand", "mute"):
        await ada.send(type="moderate", action=action, participant=bob.id)
    await ada.quiet()
    again = await house.join("Bob", resume=bob.joined["resume"]["token"])
    told = [(await again.receive("moderated"))["action"] for _ in range(2)]
    assert told == ["mute", "lower-hand"]
    own = (await again.receive("participant"))["participant"]
    assert (own["id"], own["microphone"], own["camera"], own["hand"]) == (bob.id, False, True, 0)
    bob = await house.join("Bob", resume=bob.joined["resume"]["token"])
    await bob.send(type="ping")
    while (message := await bob.receive())["type"] != "pong":
        assert message["type"] != "moderated"


async def test_mute_of_all_spares_hosts_and_says_nothing_to_who_is_silent(house: House) -> None:
    ada, bob, kim = [await house.join(name) for name in ("Ada", "Bob", "Kim")]
    for client in (ada, bob):
        await publish(client)
    await ada.send(type="moderate", action="mute")
    await bob.receive("moderated")
    await ada.quiet()
    assert not peer(house, ada).muted
    await kim.send(type="ping", request="end")
    told = []
    while (message := await kim.receive())["type"] != "pong":
        told.append(message["type"])
    assert "moderated" not in told


async def test_removing_all_leaves_the_hosts(house: House) -> None:
    ada, bob, kim = [await house.join(name) for name in ("Ada", "Bob", "Kim")]
    await ada.send(type="moderate", action="promote", participant=kim.id)
    await kim.receive("role")
    await ada.send(type="moderate", action="remove")
    assert (await bob.receive("closing"))["reason"] == "removed"
    await ada.quiet()
    await kim.quiet()


async def test_host_cannot_remove_themselves(house: House) -> None:
    ada = await house.join("Ada")
    await house.join("Bob")
    assert await ada.refused(type="moderate", action="remove", participant=ada.id) == "forbidden"


@pytest.mark.parametrize(
    "request_",
    [
        {"type": "moderate", "action": "mute", "participant": "nobody"},
        {"type": "moderate", "action": "ban", "participant": "nobody"},
        {"type": "admit", "waiting": "nobody", "on": True},
        {"type": "lift-ban", "ban": "none"},
        {"type": "revoke", "invitation": "none"},
    ],
    ids=str,
)
async def test_who_or_what_is_not_there_is_unknown(house: House, request_: dict[str, Any]) -> None:
    ada = await house.join("Ada")
    assert await ada.refused(**request_) == "unknown"


async def test_several_hosts(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await ada.send(type="moderate", action="promote", participant=bob.id)
    role = await bob.receive("role")
    assert role["role"] == "host"
    assert "host_key" in (await bob.receive("moderation"))["moderation"]
    assert (await bob.receive("moderated"))["action"] == "promote"
    assert (await ada.receive("participant", event="changed"))["participant"]["role"] == "host"
    await bob.send(type="rules", locked=True)
    assert (await ada.receive("rules"))["rules"]["locked"]


async def test_last_host_stays_host_until_there_is_another(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    assert await ada.refused(type="moderate", action="demote", participant=ada.id) == "forbidden"
    await ada.send(type="moderate", action="promote", participant=bob.id)
    await ada.send(type="moderate", action="demote", participant=ada.id)
    assert (await ada.receive("role"))["role"] == "speaker"
    assert await ada.refused(type="rules", locked=True) == "forbidden"
    assert await bob.refused(type="moderate", action="demote", participant=bob.id) == "forbidden"


async def test_demoted_host_has_nothing_left_of_the_role(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await ada.send(type="moderate", action="promote", participant=bob.id)
    token = (await bob.receive("role"))["resume"]["token"]
    key = (await bob.receive("moderation"))["moderation"]["host_key"]
    await ada.send(type="moderate", action="demote", participant=bob.id)
    assert (await bob.receive("role"))["role"] == "speaker"
    assert (await ada.receive("moderation"))["moderation"]["host_key"] != key
    assert await bob.refused(type="end") == "forbidden"
    await bob.send(type="leave")
    await bob.close_code()
    for fields in ({"host_key": key}, {"resume": token}):
        again = await house.join("Bob", **fields)
        assert again.joined["role"] == "speaker"
        assert "moderation" not in again.joined


async def test_host_who_steps_down_leaves_the_key_as_it_is(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await ada.send(type="moderate", action="promote", participant=bob.id)
    key = (await bob.receive("moderation"))["moderation"]["host_key"]
    await bob.send(type="moderate", action="demote", participant=bob.id)
    assert (await bob.receive("role"))["role"] == "speaker"
    assert (await house.join("Bob", host_key=key)).joined["moderation"]["host_key"] == key


async def test_promoting_a_viewer_brings_them_to_the_stage(house: House) -> None:
    ada = await house.join("Ada", settings=BROADCAST)
    bob, kim = await house.join("Bob"), await house.join("Kim")
    await ada.send(type="moderate", action="promote", participant=bob.id)
    assert (await bob.receive("role"))["role"] == "host"
    event = await kim.receive("participant", event="joined")
    assert (event["participant"]["name"], event["participant"]["role"]) == ("Bob", "host")
    assert (await bob.receive("participant", event="joined"))["participant"]["name"] == "Kim"
    await publish(bob)


async def test_host_sent_off_the_stage_by_another_loses_the_key(house: House) -> None:
    ada = await house.join("Ada", settings=BROADCAST)
    bob = await house.join("Bob")
    await ada.send(type="moderate", action="promote", participant=bob.id)
    key = (await bob.receive("moderation"))["moderation"]["host_key"]
    await ada.send(type="stage", participant=bob.id, on=False)
    assert (await ada.receive("moderation"))["moderation"]["host_key"] != key
    assert (await house.join("Bob", host_key=key)).joined["role"] == "viewer"


async def test_end_is_the_end_for_all_and_the_next_room_is_another(house: House) -> None:
    ada, bob = await house.join("Ada", password="p"), await house.join("Bob", password="p")
    await ada.send(type="rules", lobby=True)
    await ada.receive("rules")
    eve = await house.connect()
    assert (await eve.knock("Eve", password="p"))["type"] == "waiting"
    await ada.send(type="end")
    for client in (ada, bob, eve):
        assert (await client.receive("closing"))["reason"] == "ended"
        assert await client.close_code() == 1000
    assert house.measure("rooms") == 0
    answer = await (await house.connect()).knock("Eve", resume=ada.joined["resume"]["token"])
    assert answer["type"] == "joined"
    assert answer["rules"] == {**ada.joined["rules"], "password": False}


async def test_hosts_requests_are_limited(house: House) -> None:
    ada = await house.join("Ada")
    for _ in range(20):
        await ada.send(type="rules", locked=False)
    await ada.quiet()
    assert await ada.refused(type="rules", locked=True) == "rate"
    assert house.measure("rate_limited_total", scope="moderation") == 1


async def test_removed_whip_session_ends(house: House) -> None:
    ada = await house.join("Ada")
    whip = Whip(house)
    assert (await whip.post()).status == 201
    joined = await ada.receive("participant", event="joined")
    media = house.media.rooms[-1].peers[joined["participant"]["id"]]
    await ada.send(type="moderate", action="remove", participant=joined["participant"]["id"])
    assert (await ada.receive("participant"))["event"] == "left"
    assert not media.present
    house.advance(0)
    assert house.measure("whip_sessions") == 0
    assert (await whip.patch()).status == 404
