"""What of a room can be stored, and how it comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalling.charter import RESTORE_SECONDS, Charter, Record, RecordError
from signalling.client_messages import Admit, ChangeRules, Mode, RoomSettings, VideoCodec
from signalling.entry import JoinRefusedError
from signalling.moderation import moderate
from signalling.records import Journal, NoJournal, Records
from signalling.resume import ResumeTokens
from signalling.room import Room
from signalling.rooms import MustWaitError, Rooms
from signalling.seat import Seat
from signalling.server_messages import Role
from signalling.waiting import Visitor
from tests.signalling.media import Media
from tests.signalling.test_rooms import Building, Recorder

BROADCAST = RoomSettings(mode=Mode.BROADCAST, video=VideoCodec.AV1, uplink_kbps=8)


class Shelf:
    """Records, by name, as the JSON that a store would keep."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def read(self, name: str) -> Record | None:
        return json.loads(self.texts[name]) if name in self.texts else None

    def changed(self, room: Room) -> None:
        self.texts[room.name] = json.dumps(room.record())

    def ended(self, room: Room) -> None:
        del self.texts[room.name]

    def restore(self, room: Room) -> None:
        pass

    def journal(self, room_id: str) -> Journal:
        return NoJournal()


class Stored(Building):
    """A building that is there again after a restart."""

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Shelf()
        self.restart()

    def restart(self) -> None:
        """The old rooms are gone without a word, as when the daemon is killed."""
        records: Records = self.shelf
        self.media = Media()
        self.rooms = Rooms(
            self.rooms.limits, self.media, self.lengths.append, self.tokens, wall=lambda: self.wall, records=records
        )


@pytest.fixture
def stored() -> Stored:
    return Stored()


def test_room_comes_back_as_it_was(stored: Stored) -> None:
    ada, _ = stored.enter("Ada", password="p", settings=BROADCAST)
    room = ada.room
    room.change_rules(ChangeRules(locked=True, lobby=True, rights={"chat": False, "unmute": False}))
    invitation = room.charter.entry.invite(3600, "aunt", stored.wall)
    room.charter.entry.ban("Eve", "192.0.2.1")
    room.moderation_changed()
    stored.restart()
    again, _ = stored.enter("Ada", resume=ada.token)
    assert again.room is not room
    assert (again.room.id, again.room.settings) == (room.id, BROADCAST)
    assert again.room.charter.rules.view() == room.charter.rules.view()
    assert again.room.moderation() == room.moderation()
    assert stored.enter("Kim", invitation=invitation.token)[0].role is Role.VIEWER


def test_password_holds_after_a_restart(stored: Stored) -> None:
    ada, _ = stored.enter("Ada", password="p")
    bob, _ = stored.enter("Bob", password="p")
    stored.restart()
    for _ in range(2):
        with pytest.raises(JoinRefusedError) as caught:
            stored.enter("Eve", password="q")
        assert caught.value.code == "password"
    assert stored.enter("Kim", password="p")[0].role is Role.SPEAKER
    assert stored.enter("Bob", resume=bob.token)[0].role is Role.SPEAKER
    assert stored.enter("Ada", resume=ada.token)[0].role is Role.HOST


def test_everybody_has_the_id_they_had_unless_somebody_else_has_it(stored: Stored) -> None:
    ada, _ = stored.enter("Ada")
    bob, _ = stored.enter("Bob")
    stored.restart()
    assert stored.enter("Bob", resume=bob.token)[0].id == bob.id
    assert stored.enter("Ada", resume=ada.token)[0].id == ada.id
    second, _ = stored.enter("Bob", resume=bob.token)
    assert second.id not in (ada.id, bob.id)


def test_who_became_host_is_host_after_a_restart_and_who_was_demoted_is_not(stored: Stored) -> None:
    ada, _ = stored.enter("Ada")
    bob, _ = stored.enter("Bob")
    ada.room.promote(bob)
    as_host = ada.token
    ada.room.demote(ada)
    stored.restart()
    assert stored.enter("Ada", resume=as_host)[0].role is Role.SPEAKER
    assert stored.enter("Bob", resume=bob.token)[0].role is Role.HOST


def test_removed_stay_removed_after_a_restart(stored: Stored) -> None:
    ada, _ = stored.enter("Ada", password="p")
    bob, _ = stored.enter("Bob", password="p")
    stored.rooms.eject(bob, "removed", 0)
    ada.room.changed()
    stored.restart()
    with pytest.raises(JoinRefusedError) as caught:
        stored.enter("Bob", resume=bob.token)
    assert caught.value.code == "password"
    assert stored.enter("Bob", resume=bob.token, password="p")[0].id != bob.id


def test_restored_room_that_nobody_enters_is_there_again_for_the_next(stored: Stored) -> None:
    stored.enter("Ada", password="p")
    stored.restart()
    with pytest.raises(JoinRefusedError):
        stored.enter("Eve")
    assert len(stored.rooms) == 1
    stored.rooms.handle_timer(RESTORE_SECONDS)
    assert len(stored.rooms) == 0
    with pytest.raises(JoinRefusedError):
        stored.enter("Eve", now=1000)


def test_ended_room_is_forgotten(stored: Stored) -> None:
    ada, _ = stored.enter("Ada", password="p")
    stored.rooms.leave(ada, 1)
    assert not stored.shelf.texts
    assert stored.enter("Eve")[0].role is Role.HOST


def test_what_ends_with_the_server_is_not_forgotten(stored: Stored) -> None:
    stored.enter("Ada", password="p")
    stored.rooms.close(1)
    assert len(stored.rooms) == 0
    assert list(stored.shelf.texts) == ["garden"]


class Waiting:
    """Somebody in the lobby, who hears what is told."""

    def __init__(self, stored: Stored, now: float = 0) -> None:
        self.heard = Recorder()
        self.admitted: list[bool] = []
        self.visitor = Visitor("Eve", self.heard, lambda: self.admitted.append(True), lambda: None)
        with pytest.raises(MustWaitError) as caught:
            stored.enter("Eve", now=now)
        self.room = caught.value.room
        stored.rooms.wait(self.room, self.visitor, now)


def in_lobby(stored: Stored) -> Seat:
    ada, _ = stored.enter("Ada")
    ada.room.change_rules(ChangeRules(lobby=True, rights={}))
    stored.restart()
    return ada


def test_lobby_of_a_restored_room_is_kept_for_its_host(stored: Stored) -> None:
    ada = in_lobby(stored)
    eve = Waiting(stored)
    assert eve.heard.frames == [{"type": "waiting", "host": False}]
    again, host = stored.enter("Ada", resume=ada.token, now=RESTORE_SECONDS - 1)
    assert again.room is eve.room
    assert eve.heard.frames[-1] == {"type": "waiting", "host": True}
    assert [who.name for who in again.room.moderation().waiting] == ["Eve"]
    moderate(stored.rooms, again, Admit(on=True), 1, 1)
    assert eve.admitted == [True]
    assert host.frames[-1]["moderation"]["waiting"] == []


def test_lobby_of_a_restored_room_to_which_nobody_comes_back_ends(stored: Stored) -> None:
    in_lobby(stored)
    eve = Waiting(stored)
    stored.rooms.handle_timer(RESTORE_SECONDS - 0.1)
    assert eve.heard.closed is None
    stored.rooms.handle_timer(RESTORE_SECONDS)
    assert eve.heard.closed is not None
    assert getattr(eve.heard.closed[0], "reason", "") == "ended"
    Waiting(stored, now=1000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def a_record() -> dict[str, Any]:
    ada, _ = Building().enter("Ada", password="p")
    ada.room.charter.entry.invite(60, "", 0)
    ada.room.charter.entry.ban("Eve", "192.0.2.1")
    return ada.room.record()


@given(st.data())
def test_damaged_record_is_an_error_and_nothing_else(data: st.DataObject) -> None:
    record: Any = a_record()
    part, path = record, []
    while isinstance(part, dict) and part and data.draw(st.booleans()):
        path.append(data.draw(st.sampled_from(sorted(part))))
        part = part[path[-1]]
    if path:
        inside = record
        for name in path[:-1]:
            inside = inside[name]
        inside[path[-1]] = data.draw(JSON)
    try:
        charter = Charter.of_record("garden", record, ResumeTokens(), 0)
        charter.record()
    except RecordError:
        pass


def test_record_of_another_version_is_refused() -> None:
    with pytest.raises(RecordError):
        Charter.of_record("garden", {**a_record(), "version": 2}, ResumeTokens(), 0)


def test_damaged_record_makes_no_room_unusable(stored: Stored, caplog: pytest.LogCaptureFixture) -> None:
    stored.shelf.texts["garden"] = '{"version": 1}'
    assert stored.enter("Ada")[0].role is Role.HOST
    assert "cannot be read" in caplog.text
    assert json.loads(stored.shelf.texts["garden"])["id"]
