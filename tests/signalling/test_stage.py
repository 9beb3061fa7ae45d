"""Broadcast rooms: the stage, its hosts, and the audience."""

from __future__ import annotations

from typing import Any

import pytest

from signalling.audience import COUNT_SECONDS, MAX_VIEWERS_LISTED
from signalling.charter import MAX_FORMER_HOSTS, RESTORE_SECONDS
from signalling.client_messages import Join, Mode, RoomSettings, State
from signalling.entry import JoinRefusedError
from signalling.media import Source
from signalling.room import EMPTY_STAGE_SECONDS, RoomLimits
from signalling.seat import ForbiddenError, Seat
from signalling.server_messages import Role
from tests.signalling.test_rooms import Building, Recorder

BROADCAST = RoomSettings(mode=Mode.BROADCAST)
CAMERA = {"0": Source.CAMERA}


class Hall(Building):
    """A building whose rooms are broadcast rooms."""

    def enter(self, name: str, room: str = "garden", now: float = 0, **fields: Any) -> tuple[Seat, Recorder]:
        return super().enter(name, room, now, **{"settings": BROADCAST, **fields})

    def stage(self, by: Seat, seat: Seat, on: bool, now: float = 0) -> None:
        seat.room.set_stage(by, seat.id, on, now)


@pytest.fixture
def hall() -> Hall:
    return Hall()


def events(recorder: Recorder) -> list[tuple[str, str]]:
    told = [frame for frame in recorder.frames if frame["type"] == "participant"]
    return [(frame["event"], frame["participant"]["name"]) for frame in told]


def test_in_a_meeting_the_first_is_host_and_all_others_speak() -> None:
    building = Building()
    assert [building.enter(name)[0].role for name in ("Ada", "Bob", "Eve")] == [Role.HOST, Role.SPEAKER, Role.SPEAKER]


def test_in_a_broadcast_room_the_first_is_host_and_all_others_view(hall: Hall) -> None:
    assert [hall.enter(name)[0].role for name in ("Ada", "Bob", "Eve")] == [Role.HOST, Role.VIEWER, Role.VIEWER]


def test_settings_are_those_of_the_join_that_makes_the_room(hall: Hall) -> None:
    hall.enter("Ada")
    bob, _ = hall.enter("Bob", settings=RoomSettings(uplink_kbps=8))
    assert bob.room.settings == BROADCAST


def test_viewers_are_shown_to_hosts_only(hall: Hall) -> None:
    ada, host = hall.enter("Ada")
    bob, viewer = hall.enter("Bob")
    eve, _ = hall.enter("Eve")
    assert events(host) == [("joined", "Bob"), ("joined", "Eve")]
    assert events(viewer) == []
    assert [other.name for other in ada.room.others(ada)] == ["Bob", "Eve"]
    assert [other.name for other in bob.room.others(bob)] == ["Ada"]
    hall.rooms.leave(eve, 0)
    assert events(host)[-1] == ("left", "Eve")
    assert events(viewer) == []


def test_viewer_publishes_nothing_until_on_stage(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    bob, recorder = hall.enter("Bob")
    with pytest.raises(ForbiddenError):
        bob.publish("v=0", CAMERA)
    hall.stage(ada, bob, True)
    assert recorder.frames[-1] == {"type": "role", "role": "speaker", "resume": {"token": bob.token}}
    bob.publish("v=0", CAMERA)
    assert bob.view().camera


def test_who_is_sent_back_stays_in_the_room_without_what_they_published(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    bob, recorder = hall.enter("Bob")
    hall.stage(ada, bob, True)
    bob.publish("v=0", CAMERA)
    hall.stage(ada, bob, False)
    peer = hall.peer(bob)
    assert (peer.present, peer.on_stage, peer.tracks) == (True, False, {})
    assert bob.connection is recorder
    assert recorder.closed is None
    assert recorder.frames[-1] == {"type": "role", "role": "viewer", "resume": {"token": bob.token}}
    assert not bob.view().camera


def test_all_others_hear_who_comes_on_the_stage_and_goes(hall: Hall) -> None:
    ada, host = hall.enter("Ada")
    bob, _ = hall.enter("Bob")
    _, viewer = hall.enter("Eve")
    hall.stage(ada, bob, True)
    hall.stage(ada, bob, False)
    assert events(viewer) == [("joined", "Bob"), ("left", "Bob")]
    assert events(host)[2:] == [("changed", "Bob"), ("changed", "Bob")]


def test_stage_twice_is_stage_once(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    bob, recorder = hall.enter("Bob")
    for on in (True, True, False, False):
        hall.stage(ada, bob, on)
    assert recorder.types() == ["role", "role"]


def test_stage_of_somebody_who_left_is_nothing(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    ada.room.set_stage(ada, "nobody", True, 0)


def test_only_hosts_say_who_is_on_the_stage(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    bob, _ = hall.enter("Bob")
    eve, _ = hall.enter("Eve")
    hall.stage(ada, bob, True)
    for by, seat, on in ((eve, eve, True), (bob, eve, True), (bob, ada, False), (eve, bob, False)):
        with pytest.raises(ForbiddenError):
            hall.stage(by, seat, on)


def test_anybody_may_leave_the_stage(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    bob, _ = hall.enter("Bob")
    hall.stage(ada, bob, True)
    hall.stage(bob, bob, False)
    assert bob.role is Role.VIEWER


def test_meeting_has_no_stage() -> None:
    building = Building()
    ada, _ = building.enter("Ada")
    with pytest.raises(ForbiddenError):
        ada.room.set_stage(ada, ada.id, False, 0)


def test_last_host_on_the_stage_stays_there(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    hall.enter("Bob")
    with pytest.raises(ForbiddenError):
        hall.stage(ada, ada, False)
    assert ada.role is Role.HOST


def test_host_who_leaves_the_stage_is_followed_by_who_is_there_longest(hall: Hall) -> None:
    ada, former = hall.enter("Ada")
    bob, recorder = hall.enter("Bob")
    hall.enter("Eve")
    hall.stage(ada, bob, True)
    hall.stage(ada, ada, False)
    assert (ada.role, bob.role) == (Role.VIEWER, Role.HOST)
    assert former.frames[-1]["participant"]["role"] == "host"
    assert ("joined", "Eve") in events(recorder)
    assert events(recorder)[-1] == ("changed", "Ada")


def test_longest_speaker_with_a_socket_follows_a_host_whose_seat_ended(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    bob, broken = hall.enter("Bob")
    eve, _ = hall.enter("Eve")
    for seat in (bob, eve):
        hall.stage(ada, seat, True)
    hall.rooms.detach(bob, broken, 0)
    hall.rooms.leave(ada, 1)
    assert (bob.role, eve.role) == (Role.SPEAKER, Role.HOST)


def test_host_whose_seat_ended_is_host_again_with_the_token(hall: Hall) -> None:
    ada, _ = hall.enter("Ada", password="p")
    bob, _ = hall.enter("Bob", password="p")
    hall.rooms.leave(ada, 1)
    assert bob.role is Role.VIEWER
    again, _ = hall.enter("Ada", resume=ada.token)
    assert again.role is Role.HOST
    assert again is not ada


def test_former_hosts_are_remembered_in_bounded_number(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    hall.enter("Bob")
    key = ada.room.charter.entry.host_key
    hosts = [ada, *(hall.enter(str(number), host_key=key)[0] for number in range(MAX_FORMER_HOSTS))]
    for host in hosts[:MAX_FORMER_HOSTS]:
        hall.rooms.leave(host, 1)
    again, _ = hall.enter("Ada", resume=ada.token)
    assert again.role is Role.HOST
    hall.rooms.leave(hosts[-1], 1)
    hall.rooms.leave(again, 1)
    assert hall.enter("0", resume=hosts[1].token)[0].role is Role.VIEWER
    assert hall.enter("1", resume=hosts[2].token)[0].role is Role.HOST


def test_room_with_nobody_on_stage_ends_after_its_time(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    bob, recorder = hall.enter("Bob")
    hall.rooms.leave(ada, 100)
    hall.rooms.handle_timer(99.9 + EMPTY_STAGE_SECONDS)
    assert not bob.ended
    hall.rooms.handle_timer(100 + EMPTY_STAGE_SECONDS)
    assert bob.ended
    assert recorder.closed is not None
    assert (getattr(recorder.closed[0], "reason", ""), recorder.closed[1]) == ("ended", 1000)
    assert len(hall.rooms) == 0


def test_host_who_comes_back_in_time_keeps_the_room(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    bob, _ = hall.enter("Bob")
    hall.rooms.leave(ada, 100)
    hall.enter("Ada", resume=ada.token)
    hall.rooms.handle_timer(100 + EMPTY_STAGE_SECONDS)
    assert not bob.ended


def test_stage_and_audience_are_bounded_apart() -> None:
    hall = Hall(RoomLimits(participants=2, viewers=2))
    ada, _ = hall.enter("Ada")
    bob, _ = hall.enter("Bob")
    eve, _ = hall.enter("Eve")
    with pytest.raises(JoinRefusedError) as caught:
        hall.enter("Zoe")
    assert caught.value.code == "room-full"
    hall.stage(ada, bob, True)
    hall.enter("Zoe")
    with pytest.raises(ForbiddenError):
        hall.stage(ada, eve, True)
    assert eve.role is Role.VIEWER


def test_hosts_are_shown_the_first_viewers_and_those_who_follow_when_one_goes(hall: Hall) -> None:
    ada, host = hall.enter("Ada")
    viewers = [hall.enter(str(number))[0] for number in range(MAX_VIEWERS_LISTED + 1)]
    assert events(host)[-1] == ("joined", str(MAX_VIEWERS_LISTED - 1))
    assert len(ada.room.others(ada)) == MAX_VIEWERS_LISTED
    hall.rooms.leave(viewers[3], 0)
    assert events(host)[-2:] == [("left", "3"), ("joined", str(MAX_VIEWERS_LISTED))]
    hall.rooms.leave(viewers[-1], 0)
    assert events(host)[-1] == ("left", str(MAX_VIEWERS_LISTED))


def test_viewer_who_is_not_listed_can_be_brought_to_the_stage(hall: Hall) -> None:
    ada, host = hall.enter("Ada")
    viewers = [hall.enter(str(number))[0] for number in range(MAX_VIEWERS_LISTED + 2)]
    hall.rooms.leave(viewers[-2], 0)
    assert events(host)[-1] == ("joined", str(MAX_VIEWERS_LISTED - 1))
    hall.stage(ada, viewers[-1], True)
    assert events(host)[-1] == ("joined", str(MAX_VIEWERS_LISTED + 1))
    hall.stage(ada, viewers[-1], False)
    assert events(host)[-1] == ("left", str(MAX_VIEWERS_LISTED + 1))


def test_number_of_viewers_is_told_at_most_once_a_second(hall: Hall) -> None:
    _, host = hall.enter("Ada")
    _, viewer = hall.enter("Bob")
    hall.rooms.handle_timer(10)
    hall.rooms.handle_timer(20)
    eve, _ = hall.enter("Eve")
    hall.rooms.handle_timer(30)
    hall.rooms.leave(eve, 30)
    hall.rooms.handle_timer(29.9 + COUNT_SECONDS)
    for recorder in (host, viewer):
        assert [frame["count"] for frame in recorder.frames if frame["type"] == "audience"] == [1, 2]
    hall.rooms.handle_timer(30 + COUNT_SECONDS)
    assert viewer.frames[-1] == {"type": "audience", "count": 1}


def test_source_muted_before_stays_muted_on_the_stage_again(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    bob, _ = hall.enter("Bob")
    hall.stage(ada, bob, True)
    bob.publish("v=0", {"0": Source.MICROPHONE})
    bob.set_state(State(microphone=False))
    hall.stage(ada, bob, False)
    hall.stage(ada, bob, True)
    bob.publish("v=0", {"0": Source.MICROPHONE})
    assert hall.peer(bob).muted == {Source.MICROPHONE}
    assert not bob.view().microphone


def test_state_of_a_viewer_shows_nothing(hall: Hall) -> None:
    hall.enter("Ada")
    bob, _ = hall.enter("Bob")
    assert not bob.set_state(State(microphone=True, camera=True))
    assert not bob.view().camera


def silent(hall: Building, role: Role, **fields: Any) -> Seat:
    join = Join(version=1, name="OBS", **{"settings": BROADCAST, **fields})
    return hall.rooms.take("garden", join, 0, silent_as=role)


def test_silent_client_is_what_it_is_let_in_as(hall: Hall) -> None:
    hall.enter("Ada")
    assert silent(hall, Role.SPEAKER).role is Role.SPEAKER
    assert silent(hall, Role.VIEWER).role is Role.VIEWER


def test_silent_client_is_nobodys_host(hall: Hall) -> None:
    first = silent(hall, Role.SPEAKER)
    ada, _ = hall.enter("Ada")
    assert (first.role, ada.role) == (Role.SPEAKER, Role.HOST)
    hall.rooms.leave(ada, 1)
    assert first.role is Role.SPEAKER


def test_silent_client_listens_unseen_to_no_meeting() -> None:
    building = Building()
    ada, recorder = building.enter("Ada")
    seat = silent(building, Role.VIEWER)
    building.rooms.attach(seat, Recorder(), resumed=False)
    assert events(recorder) == [("joined", "OBS")]
    assert [other.name for other in ada.room.others(ada)] == ["OBS"]


def test_silent_seat_lives_without_a_socket_until_it_is_left(hall: Hall) -> None:
    _, recorder = hall.enter("Ada")
    seat, connection = silent(hall, Role.SPEAKER), Recorder()
    hall.rooms.attach(seat, connection, resumed=False)
    hall.rooms.handle_timer(100_000)
    assert not seat.ended
    hall.rooms.leave(seat, 100_000)
    assert events(recorder) == [("joined", "OBS"), ("left", "OBS")]


def test_tokens_of_both_roles_take_the_seat_back_and_older_ones_do_not(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    bob, _ = hall.enter("Bob")
    tokens = [bob.token]
    for on in (True, False):
        hall.stage(ada, bob, on)
        tokens.append(bob.token)
    assert [ada.room.seat_of(token) for token in tokens] == [None, bob, bob]
    hall.rooms.leave(bob, 0)
    assert [ada.room.seat_of(token) for token in tokens] == [None, None, None]


def test_after_a_restart_everybody_is_what_they_were_whoever_comes_first(hall: Hall) -> None:
    ada, _ = hall.enter("Ada", settings=RoomSettings(mode=Mode.BROADCAST, uplink_kbps=8))
    bob, _ = hall.enter("Bob")
    eve, _ = hall.enter("Eve")
    hall.stage(ada, bob, True)
    restarted = Hall()
    viewer, _ = restarted.enter("Eve", settings=RoomSettings(), resume=eve.token)
    speaker, _ = restarted.enter("Bob", resume=bob.token)
    host, _ = restarted.enter("Ada", resume=ada.token)
    assert (viewer.role, speaker.role, host.role) == (Role.VIEWER, Role.SPEAKER, Role.HOST)
    assert viewer.room.settings == ada.room.settings


def test_after_a_restart_a_newcomer_is_no_host_until_the_host_had_time(hall: Hall) -> None:
    hall.enter("Ada")
    bob, _ = hall.enter("Bob")
    restarted = Hall()
    restarted.enter("Bob", resume=bob.token, now=10)
    assert restarted.enter("Eve", now=10)[0].role is Role.VIEWER
    assert restarted.enter("Zoe", now=9.9 + RESTORE_SECONDS)[0].role is Role.VIEWER
    assert restarted.enter("Kim", now=10 + RESTORE_SECONDS)[0].role is Role.HOST


def test_after_a_restart_a_speaker_follows_a_host_who_stays_away(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    bob, _ = hall.enter("Bob")
    hall.stage(ada, bob, True)
    restarted = Hall()
    again, _ = restarted.enter("Bob", resume=bob.token, now=10)
    restarted.rooms.handle_timer(9.9 + RESTORE_SECONDS)
    assert again.role is Role.SPEAKER
    restarted.rooms.handle_timer(10 + RESTORE_SECONDS)
    assert again.role is Role.HOST


def test_tokens_of_another_life_of_the_room_give_no_role(hall: Hall) -> None:
    old, _ = hall.enter("Ada")
    hall.rooms.leave(old, 0)
    hall.enter("Bob")
    assert hall.enter("Ada", resume=old.token)[0].role is Role.VIEWER
    restarted = Hall()
    seats = list(hall.rooms.seats())
    restarted.enter("Bob", resume=seats[0].token)
    assert restarted.enter("Ada", resume=old.token)[0].role is Role.VIEWER


def test_role_of_a_token_is_given_only_after_a_restart(hall: Hall) -> None:
    ada, _ = hall.enter("Ada")
    bob, _ = hall.enter("Bob")
    hall.stage(ada, bob, True)
    on_stage = bob.token
    hall.stage(ada, bob, False)
    hall.rooms.leave(bob, 0)
    assert hall.enter("Bob", resume=on_stage)[0].role is Role.VIEWER
