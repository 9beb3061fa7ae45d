from __future__ import annotations

import json
from typing import Any

import pytest

from signalling.client_messages import Join, Mode, RoomSettings, State
from signalling.entry import JoinRefusedError
from signalling.media import SdpError, Source
from signalling.resume import ResumeTokens
from signalling.room import RoomLimits
from signalling.rooms import Rooms
from signalling.seat import Seat
from signalling.server_messages import Frame, Role, ServerMessage
from tests.signalling.media import Media, Peer


class Recorder:
    """A connection that remembers."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.closed: tuple[ServerMessage | None, int] | None = None

    def send(self, frame: Frame) -> None:
        self.frames.append(json.loads(frame.text))

    def close(self, message: ServerMessage | None, code: int) -> None:
        self.closed = (message, code)

    def types(self) -> list[str]:
        return [frame["type"] for frame in self.frames]


class Building:
    tokens = ResumeTokens()
    broadcast = RoomSettings(mode=Mode.BROADCAST)

    def __init__(self, limits: RoomLimits | None = None) -> None:
        self.media = Media()
        self.lengths: list[float] = []
        self.wall = 1_700_000_000.0
        self.rooms = Rooms(limits or RoomLimits(), self.media, self.lengths.append, self.tokens, wall=lambda: self.wall)

    def enter(self, name: str, room: str = "garden", now: float = 0, **fields: Any) -> tuple[Seat, Recorder]:
        seat = self.rooms.take(room, Join(version=1, name=name, **fields), now)
        connection = Recorder()
        self.rooms.attach(seat, connection, resumed=False)
        return seat, connection

    def silent(self, name: str, role: Role, room: str = "garden") -> Seat:
        """Somebody who came over WHIP or WHEP."""
        return self.rooms.take(room, Join(version=1, name=name), 0, silent_as=role)

    def peer(self, seat: Seat) -> Peer:
        assert isinstance(seat.media, Peer)
        return seat.media


@pytest.fixture
def building() -> Building:
    return Building()


def test_room_begins_with_its_first_seat_and_ends_with_its_last(building: Building) -> None:
    ada, _ = building.enter("Ada", now=10)
    bob, _ = building.enter("Bob", now=20)
    assert len(building.rooms) == len(building.media.rooms) == 1
    building.rooms.leave(ada, 30)
    assert len(building.rooms) == 1
    building.rooms.leave(bob, 40)
    assert len(building.rooms) == 0
    assert building.media.rooms[0].closed
    assert building.lengths == [30]


def test_tokens_of_a_room_that_has_ended_do_not_bring_it_back(building: Building) -> None:
    ada, _ = building.enter("Ada", password="secret")
    bob, _ = building.enter("Bob", password="secret")
    building.rooms.leave(ada, 1)
    building.rooms.leave(bob, 1)
    again, _ = building.enter("Bob", now=2, resume=bob.token)
    assert (again.role, again.room.id == bob.room.id) == (Role.HOST, False)
    building.rooms.leave(again, 3)
    assert len(building.rooms) == 0


def test_tokens_bring_back_a_room_that_a_restart_has_ended(building: Building) -> None:
    ada, _ = building.enter("Ada")
    bob, _ = building.enter("Bob")
    restarted = Building()
    again, _ = restarted.enter("Bob", resume=bob.token)
    assert (again.role, again.room.id, again.id) == (Role.SPEAKER, bob.room.id, bob.id)
    assert restarted.enter("Ada", resume=ada.token)[0].role is Role.HOST


def test_leaving_twice_is_leaving_once(building: Building) -> None:
    ada, _ = building.enter("Ada")
    building.rooms.leave(ada, 1)
    building.rooms.leave(ada, 2)
    assert building.lengths == [1]


def test_first_password_counts_until_the_room_ends(building: Building) -> None:
    ada, _ = building.enter("Ada", password="p")
    with pytest.raises(JoinRefusedError, match="wrong"):
        building.enter("Eve", password="q")
    with pytest.raises(JoinRefusedError) as caught:
        building.enter("Eve")
    assert caught.value.code == "password"
    building.enter("Bob", password="p")
    for seat in list(building.rooms.seats()):
        building.rooms.leave(seat, 1)
    building.enter("Eve", password="q")
    assert ada.ended


def test_participants_are_bounded() -> None:
    building = Building(RoomLimits(participants=2))
    building.enter("Ada")
    bob, _ = building.enter("Bob")
    with pytest.raises(JoinRefusedError) as caught:
        building.enter("Eve")
    assert caught.value.code == "room-full"
    building.rooms.leave(bob, 0)
    building.enter("Eve")


def test_rooms_are_bounded() -> None:
    building = Building(RoomLimits(rooms=1))
    building.enter("Ada", room="a")
    with pytest.raises(JoinRefusedError) as caught:
        building.enter("Bob", room="b")
    assert caught.value.code == "room-full"
    building.enter("Bob", room="a")


def test_media_that_fails_leaves_no_room_behind(building: Building, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("tests.signalling.media.Room.join", fail)
    with pytest.raises(RuntimeError):
        building.enter("Ada")
    assert len(building.rooms) == 0
    assert building.media.rooms[0].closed


def test_broken_seat_is_kept_for_its_time_and_not_longer(building: Building) -> None:
    ada, connection = building.enter("Ada")
    _, others = building.enter("Bob")
    building.rooms.detach(ada, connection, 100)
    assert others.frames[-1]["participant"]["connected"] is False
    building.rooms.handle_timer(159.9)
    assert others.frames[-1]["event"] == "changed"
    building.rooms.handle_timer(160)
    assert ada.ended
    assert [frame["event"] for frame in others.frames if frame["type"] == "participant"] == ["changed", "left"]


def test_resumed_seat_keeps_its_media_and_place(building: Building) -> None:
    ada, connection = building.enter("Ada")
    building.enter("Bob")
    building.rooms.detach(ada, connection, 0)
    again = building.rooms.resume("garden", Join(version=1, name="Ada L.", resume=ada.token))
    assert again is ada
    building.rooms.attach(ada, Recorder(), resumed=True)
    building.rooms.handle_timer(1000)
    assert [seat.name for seat in building.rooms.seats()] == ["Ada L.", "Bob"]
    assert building.peer(ada).present


def test_token_is_of_one_room_only(building: Building) -> None:
    ada, _ = building.enter("Ada")
    building.enter("Bob", room="cellar")
    assert building.rooms.resume("cellar", Join(version=1, name="Ada", resume=ada.token)) is None
    assert building.rooms.resume("attic", Join(version=1, name="Ada", resume=ada.token)) is None


def test_second_socket_replaces_the_first_whose_end_changes_nothing(building: Building) -> None:
    ada, first = building.enter("Ada")
    second = Recorder()
    building.rooms.attach(ada, second, resumed=True)
    assert first.closed is not None
    assert getattr(first.closed[0], "reason", "") == "replaced"
    building.rooms.detach(ada, first, 0)
    assert ada.connection is second
    assert ada.kept_until is None


def test_what_the_media_side_said_meanwhile_is_told_on_return(building: Building) -> None:
    ada, first = building.enter("Ada")
    building.rooms.detach(ada, first, 0)
    ada.media_offer("old", 1, False)
    ada.media_offer("new", 2, False)
    ada.media_slots([])
    ada.media_speaker("somebody")
    ada.media_failed("publish")
    second = Recorder()
    building.rooms.attach(ada, second, resumed=True)
    assert second.types() == ["media-lost", "offer", "slots", "speaker", "participant"]
    assert second.frames[1]["generation"] == 2


def test_answered_offer_is_not_told_again(building: Building) -> None:
    ada, _ = building.enter("Ada")
    ada.subscribe(fresh=False, restart=False)
    ada.answer("v=0", 1)
    second = Recorder()
    building.rooms.attach(ada, second, resumed=True)
    assert "offer" not in second.types()


def test_only_the_newest_offer_can_be_answered(building: Building) -> None:
    ada, _ = building.enter("Ada")
    ada.subscribe(fresh=False, restart=False)
    ada.subscribe(fresh=False, restart=True)
    for generation in (1, 3, 2, 2):
        ada.answer("v=0", generation)
    assert building.peer(ada).answered == [2]


def test_refused_answer_may_be_given_again(building: Building) -> None:
    ada, _ = building.enter("Ada")
    ada.subscribe(fresh=False, restart=False)
    with pytest.raises(SdpError):
        ada.answer("bad", 1)
    ada.answer("v=0", 1)
    assert building.peer(ada).answered == [1]


def test_screen_off_mutes_its_sound_too(building: Building) -> None:
    ada, _ = building.enter("Ada")
    assert not ada.set_state(State(screen=False))
    assert building.peer(ada).muted == {Source.SCREEN, Source.SCREEN_AUDIO}
    assert ada.set_state(State(screen=True))
    assert not building.peer(ada).muted


def test_source_muted_before_it_is_published_stays_muted(building: Building) -> None:
    ada, _ = building.enter("Ada")
    ada.set_state(State(microphone=False))
    building.peer(ada).muted.clear()
    ada.publish("v=0", {"0": Source.MICROPHONE, "1": Source.CAMERA})
    assert building.peer(ada).muted == {Source.MICROPHONE}


def test_published_source_is_on_until_state_speaks_of_it(building: Building) -> None:
    ada, _ = building.enter("Ada")
    _, changed = ada.publish("v=0", {"0": Source.MICROPHONE, "1": Source.CAMERA})
    assert changed
    assert (ada.view().microphone, ada.view().camera, ada.view().screen) == (True, True, False)
    ada.set_state(State(camera=False))
    _, changed = ada.publish("v=0", {"1": Source.CAMERA})
    assert changed
    assert (ada.view().microphone, ada.view().camera) == (False, False)
