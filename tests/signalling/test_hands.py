"""Raised hands and reactions."""

from __future__ import annotations

from typing import Any

import pytest

from signalling.audience import MAX_HANDS_LISTED, MAX_VIEWERS_LISTED
from signalling.client_messages import Moderate, Moderation, ReactionKind
from signalling.moderation import moderate
from signalling.room import VIEWERS_REACTIONS
from signalling.seat import Seat
from tests.signalling.house import House
from tests.signalling.test_rooms import Building, Recorder
from tests.signalling.test_stage import Hall, events


def hands(recorder: Recorder) -> dict[str, int]:
    """The last that was told of each."""
    told = [frame["participant"] for frame in recorder.frames if frame["type"] == "participant"]
    return {who["name"]: who["hand"] for who in told}


def test_hands_are_ordered_by_when_they_went_up() -> None:
    building = Building()
    (ada, recorder), (bob, _), (kim, _) = [building.enter(name) for name in ("Ada", "Bob", "Kim")]
    for seat, up in ((kim, True), (ada, True), (bob, True), (kim, True)):
        ada.room.set_hand(seat, up)
    order = hands(recorder)
    assert order["Kim"] < order["Ada"] < order["Bob"]
    ada.room.set_hand(kim, False)
    ada.room.set_hand(kim, True)
    assert hands(recorder)["Bob"] < hands(recorder)["Kim"]


def test_hand_that_is_down_is_zero_and_all_hear_of_it_oneself_included() -> None:
    building = Building()
    (ada, host), (_, other) = building.enter("Ada"), building.enter("Bob")
    ada.room.set_hand(ada, True)
    ada.room.set_hand(ada, False)
    for recorder in (host, other):
        assert hands(recorder)["Ada"] == 0
    before = len(host.frames)
    ada.room.set_hand(ada, False)
    assert len(host.frames) == before


def test_hand_goes_with_the_seat() -> None:
    building = Building()
    ada, _ = building.enter("Ada")
    bob, _ = building.enter("Bob")
    ada.room.set_hand(bob, True)
    building.rooms.leave(bob, 0)
    again, _ = building.enter("Bob", resume=bob.token)
    assert (again.id, again.hand) == (bob.id, 0)


def test_hand_stays_up_while_the_network_is_broken() -> None:
    building = Building()
    building.enter("Ada")
    bob, connection = building.enter("Bob")
    bob.room.set_hand(bob, True)
    building.rooms.detach(bob, connection, 0)
    building.rooms.attach(bob, Recorder(), resumed=True)
    assert bob.view().hand == 1


def test_coming_to_the_stage_answers_the_hand() -> None:
    hall = Hall()
    ada, host = hall.enter("Ada")
    bob, his = hall.enter("Bob")
    ada.room.set_hand(bob, True)
    hall.stage(ada, bob, True)
    assert hands(host)["Bob"] == hands(his)["Bob"] == 0
    ada.room.set_hand(bob, True)
    hall.stage(ada, bob, False)
    assert hands(host)["Bob"] == hands(his)["Bob"] == 0


class Crowd(Hall):
    """More viewers than hosts are shown."""

    def __init__(self, unlisted: int) -> None:
        super().__init__()
        self.ada, self.host = self.enter("Ada")
        viewers = [self.enter(str(number))[0] for number in range(MAX_VIEWERS_LISTED + unlisted)]
        self.listed, self.others = viewers[:MAX_VIEWERS_LISTED], viewers[MAX_VIEWERS_LISTED:]

    def raise_(self, *seats: Seat, up: bool = True) -> None:
        for seat in seats:
            self.ada.room.set_hand(seat, up)


def test_viewer_who_is_not_listed_is_shown_to_hosts_while_their_hand_is_up() -> None:
    crowd = Crowd(2)
    seat = crowd.others[1]
    crowd.raise_(seat)
    assert events(crowd.host)[-1] == ("joined", seat.name)
    assert hands(crowd.host)[seat.name] == 1
    again = crowd.ada.room.others(crowd.ada)
    assert [other.name for other in again if other.hand] == [seat.name]
    crowd.raise_(seat, up=False)
    assert events(crowd.host)[-1] == ("left", seat.name)
    assert seat.name not in [other.name for other in crowd.ada.room.others(crowd.ada)]


def test_shown_hands_are_bounded_and_the_longest_up_follows() -> None:
    crowd = Crowd(MAX_HANDS_LISTED + 3)
    crowd.raise_(*crowd.others[:MAX_HANDS_LISTED])
    assert events(crowd.host)[-1] == ("joined", crowd.others[MAX_HANDS_LISTED - 1].name)
    crowd.raise_(crowd.others[-1], crowd.others[-2])
    assert len(crowd.ada.room.others(crowd.ada)) == MAX_VIEWERS_LISTED + MAX_HANDS_LISTED
    crowd.raise_(crowd.others[0], up=False)
    assert events(crowd.host)[-2:] == [("left", crowd.others[0].name), ("joined", crowd.others[-1].name)]
    crowd.rooms.leave(crowd.others[1], 0)
    assert events(crowd.host)[-2:] == [("left", crowd.others[1].name), ("joined", crowd.others[-2].name)]
    assert len(crowd.ada.room.viewers) == MAX_VIEWERS_LISTED + len(crowd.others) - 1


def test_listed_viewer_who_lowers_their_hand_stays_listed() -> None:
    crowd = Crowd(1)
    crowd.raise_(crowd.listed[0])
    crowd.raise_(crowd.listed[0], up=False)
    assert events(crowd.host)[-1] == ("changed", crowd.listed[0].name)


def test_place_on_the_list_goes_to_a_raised_hand_only_when_nobody_waits() -> None:
    crowd = Crowd(2)
    crowd.raise_(crowd.others[0])
    crowd.rooms.leave(crowd.listed[0], 0)
    assert events(crowd.host)[-1] == ("joined", crowd.others[1].name)
    told = len(crowd.host.frames)
    crowd.rooms.leave(crowd.listed[1], 0)
    assert [event for event, _ in events(crowd.host)][-1] == "left"
    assert len(crowd.host.frames) == told + 1
    crowd.raise_(crowd.others[0], up=False)
    assert events(crowd.host)[-1] == ("changed", crowd.others[0].name)


def test_raised_viewer_can_be_brought_to_the_stage() -> None:
    crowd = Crowd(1)
    crowd.raise_(crowd.others[0])
    crowd.stage(crowd.ada, crowd.others[0], True)
    assert events(crowd.host)[-1] == ("changed", crowd.others[0].name)
    crowd.stage(crowd.ada, crowd.others[0], False)
    assert events(crowd.host)[-1] == ("left", crowd.others[0].name)


@pytest.mark.parametrize("action", [Moderation.LOWER_HAND, Moderation.REMOVE])
def test_what_is_done_to_all_tells_hosts_of_those_they_are_shown_and_no_others(action: Moderation) -> None:
    crowd = Crowd(MAX_HANDS_LISTED + 100)
    crowd.raise_(*crowd.others, *crowd.listed)
    crowd.host.frames.clear()
    moderate(crowd.rooms, crowd.ada, Moderate(action=action), 0, 0)
    told = [frame["participant"]["id"] for frame in crowd.host.frames if frame["type"] == "participant"]
    assert len(told) == len(set(told)) == MAX_VIEWERS_LISTED + MAX_HANDS_LISTED
    assert not any(seat.hand for seat in crowd.ada.room.seats.values())


@pytest.mark.parametrize("kind", ReactionKind)
async def test_reaction_is_shown_to_all_the_sender_included(house: House, kind: ReactionKind) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await bob.send(type="reaction", reaction=kind.value)
    shown = {"type": "reaction", "participant": bob.id, "name": "Bob", "reaction": kind.value}
    assert await ada.receive("reaction") == await bob.receive("reaction") == shown


async def test_hand_and_lower_hand_over_sockets(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await bob.send(type="hand", up=True)
    for client in (ada, bob):
        assert (await client.receive("participant", event="changed"))["participant"]["hand"] == 1
    await ada.send(type="moderate", action="lower-hand")
    for client in (ada, bob):
        assert (await client.receive("participant", event="changed"))["participant"]["hand"] == 0
    assert (await bob.receive("moderated"))["action"] == "lower-hand"


@pytest.mark.parametrize(
    ("message", "burst"), [({"type": "hand", "up": False}, 10), ({"type": "reaction", "reaction": "like"}, 10)], ids=str
)
async def test_hands_and_reactions_are_limited(house: House, message: dict[str, Any], burst: int) -> None:
    ada = await house.join("Ada")
    for _ in range(burst):
        await ada.send(**message)
    await ada.quiet()
    assert await ada.refused(**message) == "rate"
    assert house.measure("rate_limited_total", scope=message["type"]) == 1


async def test_reactions_of_all_viewers_together_are_limited(house: House) -> None:
    await house.join("Ada", settings={"mode": "broadcast"})
    viewers = [await house.join(str(number)) for number in range(4)]
    for viewer in viewers:
        for _ in range(10):
            await viewer.send(type="reaction", reaction="applause")
        await viewer.quiet()
    assert house.measure("rate_limited_total", scope="audience") == 40 - VIEWERS_REACTIONS[0]
