"""What those who are not hosts may do: held by the server, whatever a client sends."""

from __future__ import annotations

from typing import Any

import pytest

from signalling.client_messages import RIGHTS, ChangeRules, State
from signalling.media import Source
from signalling.seat import Seat
from tests.signalling.house import Client, House
from tests.signalling.test_rooms import Building, Recorder
from tests.signalling.whip_client import Whip

MICROPHONE = {"0": Source.MICROPHONE}
SCREEN = {"0": Source.SCREEN, "1": Source.SCREEN_AUDIO}
TURNED_ON = [
    pytest.param("unmute", MICROPHONE, State(microphone=True), "mute", id="microphone"),
    pytest.param("share", SCREEN, State(screen=True), "stop-share", id="screen"),
    pytest.param("share", {"0": Source.SCREEN_AUDIO}, State(screen=True), "stop-share", id="sound-of-a-screen"),
]


class School(Building):
    def __init__(self, **rights: bool) -> None:
        super().__init__()
        self.ada, _ = self.enter("Ada")
        self.bob, self.his = self.enter("Bob")
        self.allow(**rights)

    def allow(self, **rights: bool) -> None:
        self.ada.room.change_rules(ChangeRules(rights=rights))

    def muted(self, seat: Seat) -> set[Source]:
        return self.peer(seat).muted & set(self.peer(seat).tracks.values())


def told(recorder: Recorder) -> list[str]:
    return [frame["action"] for frame in recorder.frames if frame["type"] == "moderated" and frame["by"] == ""]


@pytest.mark.parametrize(("right", "tracks", "on", "action"), TURNED_ON)
def test_what_is_published_without_the_right_is_not_forwarded(
    right: str, tracks: dict[str, Source], on: State, action: str
) -> None:
    school = School(**{right: False})
    school.bob.publish("v=0", tracks)
    assert school.muted(school.bob) == set(tracks.values())
    assert not school.bob.view().microphone
    assert not school.bob.view().screen
    assert told(school.his) == [action]


@pytest.mark.parametrize(("right", "tracks", "on", "action"), TURNED_ON)
def test_saying_that_it_is_on_does_not_make_it_so(
    right: str, tracks: dict[str, Source], on: State, action: str
) -> None:
    school = School(**{right: False})
    for say in (lambda: school.bob.set_state(on), lambda: school.bob.publish("v=0", tracks)) * 2:
        say()
    assert school.muted(school.bob) == set(tracks.values())
    assert set(told(school.his)) == {action}


@pytest.mark.parametrize(("right", "tracks", "on", "action"), TURNED_ON)
def test_with_the_right_it_is_turned_on_again(right: str, tracks: dict[str, Source], on: State, action: str) -> None:
    school = School(**{right: False})
    school.bob.publish("v=0", tracks)
    school.allow(**{right: True})
    assert school.muted(school.bob)
    school.bob.set_state(on)
    assert not school.muted(school.bob)


@pytest.mark.parametrize(("right", "tracks", "on", "action"), TURNED_ON)
def test_who_is_on_when_the_right_goes_stays_on_until_turned_off(
    right: str, tracks: dict[str, Source], on: State, action: str
) -> None:
    school = School()
    school.bob.publish("v=0", tracks)
    school.allow(**{right: False})
    school.bob.publish("v=0", tracks)
    school.bob.set_state(on)
    assert not school.muted(school.bob)
    school.bob.turn_off("microphone" if right == "unmute" else "screen")
    school.bob.set_state(on)
    school.bob.publish("v=0", tracks)
    assert school.muted(school.bob) == set(tracks.values())


@pytest.mark.parametrize(("right", "tracks", "on", "action"), TURNED_ON)
def test_who_turned_it_off_themselves_needs_the_right_too(
    right: str, tracks: dict[str, Source], on: State, action: str
) -> None:
    school = School()
    school.bob.publish("v=0", tracks)
    school.allow(**{right: False})
    school.bob.set_state(State(microphone=False, screen=False))
    school.bob.set_state(on)
    assert school.muted(school.bob) == set(tracks.values())


def test_track_that_was_taken_away_and_comes_again_needs_the_right() -> None:
    school = School()
    school.bob.publish("v=0", SCREEN)
    school.allow(share=False)
    school.bob.publish("v=0", {})
    school.bob.publish("v=0", SCREEN)
    assert school.muted(school.bob) == set(SCREEN.values())


def test_rights_are_not_about_hosts_and_cameras() -> None:
    school = School(**dict.fromkeys(RIGHTS, False))
    everything = {str(mid): source for mid, source in enumerate(Source)}
    school.ada.publish("v=0", everything)
    school.bob.publish("v=0", {"0": Source.CAMERA})
    assert not school.muted(school.ada)
    assert not school.muted(school.bob)
    assert all(school.ada.room.may(school.ada, right) for right in RIGHTS)
    assert not any(school.ada.room.may(school.bob, right) for right in RIGHTS)


def test_who_is_demoted_keeps_what_is_on_and_turns_nothing_on() -> None:
    school = School(unmute=False)
    school.ada.room.promote(school.bob)
    school.bob.publish("v=0", MICROPHONE)
    school.ada.room.demote(school.bob)
    assert not school.muted(school.bob)
    school.bob.set_state(State(microphone=False))
    school.bob.set_state(State(microphone=True))
    assert school.muted(school.bob) == {Source.MICROPHONE}


def test_what_was_turned_on_in_one_breath_with_what_is_allowed_is_told_apart() -> None:
    school = School(unmute=False)
    school.bob.publish("v=0", {"0": Source.MICROPHONE, "1": Source.CAMERA})
    assert school.bob.set_state(State(microphone=True, camera=False))
    assert school.muted(school.bob) == {Source.MICROPHONE, Source.CAMERA}
    assert school.bob.set_state(State(microphone=True, camera=True))
    assert school.muted(school.bob) == {Source.MICROPHONE}


async def changed(ada: Client, **rights: bool) -> None:
    await ada.send(type="rules", rights=rights)
    await ada.receive("rules")


async def test_chat_without_the_right_reaches_nobody(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await changed(ada, chat=False)
    assert await bob.refused(type="chat", text="hi") == "forbidden"
    assert await bob.refused(type="chat", text="hi", to=ada.id) == "forbidden"
    await ada.send(type="chat", text="quiet, please")
    assert (await bob.receive("chat"))["text"] == "quiet, please"
    assert [line["text"] for line in (await house.join("Kim")).joined["chat"]] == ["quiet, please"]


async def test_liar_is_told_and_stays_muted_over_a_socket(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await changed(ada, unmute=False)
    tracks: list[dict[str, Any]] = [{"mid": "0", "source": "microphone"}]
    await bob.send(type="publish", sdp="v=0", tracks=tracks, request="p")
    assert await bob.receive("moderated") == {"type": "moderated", "action": "mute", "by": ""}
    assert (await bob.receive("published"))["request"] == "p"
    await bob.send(type="state", microphone=True)
    await bob.receive("moderated")
    assert house.media.rooms[0].peers[bob.id].muted == {Source.MICROPHONE}
    kim = await house.join("Kim")
    assert {other["name"]: other["microphone"] for other in kim.joined["participants"]}["Bob"] is False


async def test_program_of_a_host_may_send_what_a_host_may(house: House) -> None:
    ada = await house.join("Ada")
    await changed(ada, unmute=False)
    for token, muted in (("", {Source.MICROPHONE}), (ada.joined["moderation"]["host_key"], set())):
        assert (await Whip(house, token=token).post()).status == 201
        *_, media = house.media.rooms[0].peers.values()
        assert media.muted == muted
