"""Whole conversations over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sfu.router import Limit, ReceivedStream, Tile, WantedLayer, WantedSource
from signalling.access import SourceLimiter
from signalling.media import Kind, RoomSettings, Source
from signalling.reception import WRONG_PASSWORDS
from signalling.room import VIEWERS_CHAT, RoomLimits
from signalling.server import SignallingSettings
from signalling.session import PING_SECONDS
from tests.signalling.house import Client, House

Open = Callable[..., asyncio.Future[House]]


async def refused(client: Client, **fields: Any) -> dict[str, Any]:
    await client.send(**{"type": "join", "version": 1, "name": "Eve", **fields})
    error = await client.receive("error")
    assert error["fatal"]
    return error


async def test_join_gives_everything_a_client_needs(house: House) -> None:
    client = await house.connect()
    joined = await client.join("Ada", request="j")
    token = joined["resume"].pop("token")
    host_key = joined["moderation"].pop("host_key")
    assert min(len(token), len(host_key)) >= 32
    assert joined == {
        "type": "joined",
        "version": 1,
        "request": "j",
        "room": "garden",
        "self": client.id,
        "resumed": False,
        "resume": {"seconds": 60},
        "settings": {"mode": "meeting", "video": "vp8", "uplink_kbps": 0},
        "role": "host",
        "audience": 0,
        "participants": [],
        "moderation": {"waiting": [], "invitations": [], "bans": []},
        "rules": {
            "locked": False,
            "lobby": False,
            "password": False,
            "rights": {"chat": True, "share": True, "unmute": True, "files": True},
        },
        "questions": [],
        "chat": [],
        "ice_servers": [{"urls": ["turn:127.0.0.1:3478"], "username": client.id, "credential": "c"}],
        "heartbeat": {"interval_ms": 5000, "timeout_ms": 12000},
        "limits": {
            "name": 64,
            "chat": 4000,
            "message_bytes": 262144,
            "participants": 100,
            "viewers": 1500,
            "viewers_listed": 200,
            "tiles": 64,
            "file_bytes": 2147483648,
        },
        "server": {"version": "1.2.3"},
    }
    assert (await client.receive())["type"] == "offer"


async def test_others_are_told_of_coming_changing_and_going(house: House) -> None:
    ada = await house.join("Ada")
    bob = await house.join("Bob")
    assert [other["name"] for other in bob.joined["participants"]] == ["Ada"]
    event = await ada.receive("participant")
    assert (event["event"], event["participant"]["id"], event["participant"]["connected"]) == ("joined", bob.id, True)
    await bob.send(type="state", microphone=True)
    event = await ada.receive("participant")
    assert (event["event"], event["participant"]["microphone"]) == ("changed", True)
    await bob.send(type="leave", request="bye")
    event = await ada.receive("participant")
    assert (event["event"], event["participant"]["id"]) == ("left", bob.id)
    assert await bob.receive("closing") == {"type": "closing", "reason": "left", "request": "bye"}
    assert await bob.close_code() == 1000


async def test_media_is_negotiated(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await ada.send(type="publish", sdp="v=0", tracks=[{"mid": "0", "source": "camera"}], request="p")
    assert await ada.receive("published") == {"type": "published", "sdp": "answer to v=0", "request": "p"}
    offer = await bob.receive("offer")
    assert (offer["generation"], offer["fresh"]) == (1, False)
    await bob.send(type="answer", sdp="v=0", generation=1)
    slots = [{"mid": "0", "participant": ada.id, "source": "camera"}]
    assert (await bob.receive("slots", slots=slots))["slots"] == slots
    await bob.quiet()
    assert house.media.rooms[0].peers[bob.id].answered == [1]
    await bob.send(type="resubscribe", fresh=True)
    assert (await bob.receive("offer"))["fresh"] is True


async def test_unusable_sdp_is_refused_and_leaves_what_was_agreed(house: House) -> None:
    ada = await house.join("Ada")
    await ada.send(type="publish", sdp="v=0", tracks=[{"mid": "0", "source": "camera"}])
    await ada.send(type="publish", sdp="bad", tracks=[], request="p")
    error = await ada.receive("error")
    assert (error["code"], error["message"], error["fatal"], error["request"]) == (
        "sdp", "no m-line can be used", False, "p",
    )  # fmt: skip
    assert house.media.rooms[0].peers[ada.id].tracks


async def test_fault_of_ours_costs_nobody_the_call(house: House, caplog: pytest.LogCaptureFixture) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await ada.send(type="publish", sdp="bug", tracks=[])
    error = await ada.receive("error")
    assert (error["code"], error["fatal"]) == ("internal", False)
    assert "fault" not in error["message"]
    assert "serving a publish message failed" in caplog.text
    assert house.measure("signalling_errors_total") == 1
    await ada.quiet()
    await bob.quiet()


async def test_without_subscribe_nothing_is_offered(house: House) -> None:
    ada = await house.join("Ada", subscribe=False)
    await ada.send(type="ping")
    assert (await ada.receive())["type"] == "pong"


async def test_viewer_is_brought_to_the_stage_and_back_on_the_same_socket(house: House) -> None:
    ada = await house.join("Ada", settings={"mode": "broadcast"})
    bob = await house.join("Bob")
    assert (ada.joined["role"], bob.joined["role"]) == ("host", "viewer")
    publish = {"type": "publish", "sdp": "v=0", "tracks": [{"mid": "0", "source": "camera"}]}
    await bob.send(**publish, request="1")
    error = await bob.receive("error")
    assert (error["code"], error["fatal"], error["request"]) == ("forbidden", False, "1")
    await ada.send(type="stage", participant=bob.id, on=True)
    assert (await bob.receive("role"))["role"] == "speaker"
    await bob.send(**publish)
    await bob.receive("published")
    await ada.send(type="stage", participant=bob.id, on=False)
    assert (await bob.receive("role"))["role"] == "viewer"
    assert not house.media.rooms[0].peers[bob.id].tracks
    await bob.quiet()


async def test_stage_is_the_hosts(house: House) -> None:
    await house.join("Ada", settings={"mode": "broadcast"})
    bob = await house.join("Bob")
    await bob.send(type="stage", participant=bob.id, on=True, request="r")
    error = await bob.receive("error")
    assert (error["code"], error["fatal"], error["request"]) == ("forbidden", False, "r")


async def test_all_hear_how_many_viewers_there_are(house: House) -> None:
    ada = await house.join("Ada", settings={"mode": "broadcast"})
    bob = await house.join("Bob")
    assert bob.joined["audience"] == 1
    house.advance(0)
    for client in (ada, bob):
        assert (await client.receive("audience"))["count"] == 1


async def test_whose_socket_ends_while_they_wait_for_their_turn_takes_no_seat(house: House) -> None:
    held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    turnstile = house.service._turnstile
    run = turnstile.run

    async def wait(rank: Any, work: Any) -> Any:
        await held
        return await run(rank, work)

    client = await house.connect()
    turnstile.run = wait  # type: ignore[method-assign]
    await client.send(type="join", version=1, name="Ada")
    house.service.drain()
    await client.receive("closing")
    held.set_result(None)
    await client.close_code()
    await house.closed_sockets(1)
    assert house.measure("rooms") == 0


async def test_viewers_of_a_room_share_a_rate_of_chat(house: House) -> None:
    ada = await house.join("Ada", settings={"mode": "broadcast"})
    viewers = [await house.join(str(number)) for number in range(4)]
    for viewer in viewers:
        for _ in range(10):
            await viewer.send(type="chat", text="hi")
        await viewer.quiet()
    assert house.measure("rate_limited_total", scope="audience") == 40 - VIEWERS_CHAT[0]
    await ada.send(type="chat", text="welcome", request="c")
    await ada.receive("chat", request="c")
    house.now += 1
    await viewers[0].send(type="chat", text="thanks")
    await ada.receive("chat", text="thanks")


async def test_parts_of_the_clients_are_pinged_at_a_time(house: House) -> None:
    clients = [await house.join(str(number)) for number in range(3)]
    house.now += PING_SECONDS
    for client in clients:
        await client.receive("ping")


async def test_view_is_taken(house: House) -> None:
    ada = await house.join("Ada")
    tile = {"participant": "p", "source": "camera", "width": 320, "height": 180}
    await ada.send(type="view", tiles=[tile], request="v")
    await ada.quiet()
    assert house.measure("websocket_messages_total", direction="in", type="view") == 1
    (seen,) = house.media.rooms[0].peers.values()
    assert seen.tiles == [Tile("p", Source.CAMERA, 320, 180, False)]


async def test_what_is_watched_and_received_is_told_and_told_again_to_a_new_socket(house: House) -> None:
    ada = await house.join("Ada")
    (peer,) = house.media.rooms[0].peers.values()
    peer.listener.media_wanted([WantedSource(Source.CAMERA, [WantedLayer("q", True), WantedLayer("f", False, 1)])])
    peer.listener.media_received([ReceivedStream("v0", 320, 180, 15, 120_000, Limit.TILE)], 2_000_000)
    wanted, received = await ada.receive("wanted"), await ada.receive("received")
    layers = [{"rid": "q", "active": True}, {"rid": "f", "active": False, "spatial": 1}]
    assert wanted["sources"] == [{"source": "camera", "layers": layers}]
    assert received["estimate_kbps"] == 2000
    stream = {"mid": "v0", "width": 320, "height": 180, "framerate": 15, "kbps": 120, "limit": "tile"}
    assert received["streams"] == [stream]
    again = await house.join("Ada", resume=ada.joined["resume"]["token"])
    assert (await again.receive("wanted"))["sources"] == wanted["sources"]
    assert (await again.receive("received"))["streams"] == received["streams"]


async def test_settings_of_a_room_reach_its_media(house: House) -> None:
    await house.join("Ada", settings={"video": "vp9", "uplink_kbps": 8000})
    assert house.media.settings == [RoomSettings(Kind.VP9, 8_000_000)]


async def test_late_joiner_gets_the_chat(house: House) -> None:
    ada = await house.join("Ada")
    await ada.send(type="chat", text="salut\nà tous", request="c")
    said = await ada.receive("chat")
    assert said.pop("request") == "c"
    assert said.pop("type") == "chat"
    assert (said["text"], said["name"], said["participant"], said["time"]) == ("salut\nà tous", "Ada", ada.id, 1.7e9)
    bob = await house.join("Bob")
    assert bob.joined["chat"] == [said]
    assert (await house.join("Eve", room="cellar")).joined["chat"] == []


async def test_broken_socket_gets_its_seat_back(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    peer = house.media.rooms[0].peers[bob.id]
    bob.break_off()
    event = await ada.receive("participant", event="changed")
    assert event["participant"]["connected"] is False
    house.now += 59
    await ada.send(type="chat", text="where are you?")
    await ada.receive("chat")
    again = await house.join("Bob", resume=bob.joined["resume"]["token"])
    assert again.joined["resumed"] is True
    assert again.id == bob.id
    assert again.joined["resume"]["token"] == bob.joined["resume"]["token"]
    assert [line["text"] for line in again.joined["chat"]] == ["where are you?"]
    assert (await ada.receive("participant"))["participant"]["connected"] is True
    assert house.media.rooms[0].peers[bob.id] is peer
    assert peer.present
    assert house.measure("reconnects_total", result="resumed") == 1


async def test_seat_is_lost_after_its_time(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    bob.break_off()
    await ada.receive("participant", event="changed")
    for _ in range(5):
        house.advance(10)
        await ada.quiet()
    house.advance(10)
    assert (await ada.receive("participant"))["event"] == "left"
    again = await house.join("Bob", resume=bob.joined["resume"]["token"])
    assert again.joined["resumed"] is False
    assert again.id == bob.id
    assert house.measure("reconnects_total", result="unknown") == 1


async def test_second_socket_with_the_token_replaces_the_first(house: House) -> None:
    ada = await house.join("Ada")
    again = await house.join("Ada", resume=ada.joined["resume"]["token"])
    assert again.joined["resumed"] is True
    assert (await ada.receive("closing"))["reason"] == "replaced"
    assert await ada.close_code() == 1000
    await again.quiet()
    assert house.measure("participants", role="host") == 1


async def test_token_opens_a_room_with_a_password(house: House) -> None:
    ada = await house.join("Ada", password="p")
    again = await house.join("Ada", resume=ada.joined["resume"]["token"])
    assert again.joined["resumed"] is True


async def test_silent_client_is_pinged_and_then_its_seat_kept(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    house.advance(5)
    assert (await ada.receive("ping"))["type"] == "ping"
    await bob.quiet()
    house.advance(5)
    await bob.quiet()
    house.advance(2)
    assert (await ada.receive("closing"))["reason"] == "timeout"
    event = await bob.receive("participant", event="changed")
    assert event["participant"] == {**event["participant"], "id": ada.id, "connected": False}


async def test_wrong_password_is_refused_and_counted(house: House) -> None:
    await house.join("Ada", password="p")
    for password in ("q", ""):
        client = await house.connect()
        assert (await refused(client, password=password))["code"] == "password"
        assert await client.close_code() == 1008
    assert house.measure("auth_failures_total", kind="password") == 2
    assert house.measure("joins_total", result="password") == 2
    await house.join("Bob", password="p")


async def test_guessing_passwords_is_slowed_down(house: House) -> None:
    await house.join("Ada", password="p")
    for number in range(int(WRONG_PASSWORDS[0])):
        assert (await refused(await house.connect(), password=str(number)))["code"] == "password"
    error = await refused(await house.connect(), password="p")
    assert (error["code"], error["retry_ms"]) == ("rate", 10_000)
    assert house.measure("rate_limited_total", scope="password") == 1
    await house.join("Bob", room="cellar")
    house.now += 10
    await house.join("Bob", password="p")


async def test_full_room(open_house: Open) -> None:
    house = await open_house(SignallingSettings(limits=RoomLimits(participants=1)))
    await house.join("Ada")
    assert (await refused(await house.connect()))["code"] == "room-full"
    assert house.measure("joins_total", result="room-full") == 1


async def test_a_join_to_a_full_media_side_is_refused_like_one_to_a_full_room(house: House) -> None:
    house.media.full = True
    assert (await refused(await house.connect()))["code"] == "room-full"
    assert house.measure("joins_total", result="room-full") == 1
    assert house.media.rooms[0].closed


async def test_other_version(house: House) -> None:
    client = await house.connect()
    assert (await refused(client, version=2))["code"] == "version"
    assert await client.close_code() == 1008
    assert house.measure("joins_total", result="version") == 1


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("", "malformed"),
        ("{", "malformed"),
        ("[" * 100_000, "malformed"),
        ('{"type":"dance"}', "unknown-type"),
        ('{"type":"chat","text":"' + "x" * 4001 + '"}', "malformed"),
        ('{"type":"join","version":1,"name":"Eve"}', "already-joined"),
        ('{"type":"publish","sdp":"bad","tracks":[]}', "sdp"),
        (b"\x00\xff", "malformed"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_bad_message_gets_an_error_and_leaves_others_undisturbed(
    house: House, bad: str | bytes, code: str
) -> None:
    ada, eve = await house.join("Ada"), await house.join("Eve")
    await eve.quiet()
    await ada.quiet()
    await (eve.socket.send_bytes(bad) if isinstance(bad, bytes) else eve.socket.send_str(bad))
    error = await eve.receive("error")
    assert (error["code"], error["fatal"]) == (code, False)
    await eve.quiet()
    await ada.send(type="ping")
    assert (await ada.receive())["type"] == "pong"


async def test_not_joined(house: House) -> None:
    client = await house.connect()
    await client.send(type="chat", text="hi")
    assert (await client.receive("error"))["code"] == "not-joined"
    await client.join("Ada")


async def test_too_many_messages_are_not_acted_on(house: House) -> None:
    ada, eve = await house.join("Ada"), await house.join("Eve")
    for number in range(12):
        await eve.send(type="chat", text=str(number))
    await eve.quiet()
    assert house.measure("rate_limited_total", scope="chat") == 2
    await ada.send(type="chat", text="done")
    await ada.receive("chat", text="done")
    assert len((await house.join("Bob")).joined["chat"]) == 11


async def test_extra_address_is_the_literal_in_the_host_header(house: House) -> None:
    client = await house.connect(headers={"Host": "192.168.7.7:8443"})
    await client.join("Ada")
    assert house.media.rooms[0].peers[client.id].addresses == ("192.168.7.7",)
    assert client.joined["ice_servers"][0]["urls"] == ["turn:192.168.7.7:3478"]


async def test_drain_refuses_joins_and_sends_everybody_away(house: House) -> None:
    ada, waiting = await house.join("Ada"), await house.connect()
    house.service.drain()
    for client in (ada, waiting):
        closing = await client.receive("closing")
        assert closing["reason"] == "draining"
        assert closing["retry_ms"] >= 500
        assert await client.close_code() == 1012
    late = await house.connect()
    error = await refused(late, resume=ada.joined["resume"]["token"])
    assert (error["code"], error["retry_ms"]) == ("draining", 1000)
    assert await late.close_code() == 1012


async def test_measures_are_a_closed_set(house: House) -> None:
    before = {(measure.name, *sorted(measure.labels.items())) for measure in house.service.measures()}
    ada = await house.join("Ada")
    await ada.send(type="leave")
    await ada.close_code()
    await house.http.get(f"{house.url}/nothing")
    after = [(measure.name, *sorted(measure.labels.items())) for measure in house.service.measures()]
    assert set(after) == before
    assert len(after) == len(before)
    assert house.measure("joins_total", result="ok") == 1
    assert house.measure("websocket_messages_total", direction="in", type="leave") == 1
    assert house.measure("websocket_messages_total", direction="out", type="joined") == 1
    assert house.measure("rooms") == 0
    assert sum(house.measure("room_seconds").counts) == 1


async def test_joins_from_one_address_are_limited(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiohttp.web.BaseRequest.remote", "192.0.2.1")
    monkeypatch.setattr(house.service._reception, "joins", SourceLimiter(1, 1))
    await house.join("Ada")
    error = await refused(await house.connect())
    assert (error["code"], error["retry_ms"]) == ("rate", 5000)
    assert house.measure("rate_limited_total", scope="join") == 1
    house.now += 1
    await house.join("Bob")


async def test_fault_of_ours_while_joining_is_told(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr("tests.signalling.media.Room.join", fail)
    client = await house.connect()
    assert (await refused(client))["code"] == "internal"
    assert await client.close_code() == 1011
    assert house.measure("rooms") == 0
    assert "joining failed" in caplog.text


async def test_client_that_breaks_off_while_joining_leaves_no_seat(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def wait(host: str) -> tuple[str, ...]:
        asked.set()
        await answer.wait()
        return ()

    monkeypatch.setattr(house.service._addresses, "of", wait)
    client = await house.connect()
    await client.send(type="join", version=1, name="Ada")
    await asked.wait()
    house.service.drain()
    answer.set()
    await client.close_code()
    assert house.measure("rooms") == 0
