from __future__ import annotations

import json
from typing import Any

import pytest

from signalling.questions import MAX_OPEN_OF_ONE, MAX_QUESTIONS, MAX_VOTES, VIEWERS_QUESTIONS
from signalling.seat import ForbiddenError, Seat, UnknownError
from tests.signalling.house import House
from tests.signalling.test_rooms import Building, Recorder, building

__all__ = ["building"]

BROADCAST = {"settings": {"mode": "broadcast"}}


class Webinar:
    """A host and two viewers, and what they do."""

    def __init__(self, building: Building) -> None:
        self.building = building
        self.ada, self.host = building.enter("Ada", settings=building.broadcast)
        self.bob, self.his = building.enter("Bob")
        self.eve, self.hers = building.enter("Eve")
        self.questions = self.ada.room.questions

    def ask(self, seat: Seat, text: str = "Why?") -> str:
        self.questions.ask(seat, text, 1.5, None)
        return str(shown(seat)[-1]["id"])

    def told(self, connection: Recorder, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in connection.frames if frame["type"] == kind]


def shown(seat: Seat) -> list[dict[str, Any]]:
    return list(json.loads(seat.room.questions.shown_to(seat.id).text))


@pytest.fixture
def webinar(building: Building) -> Webinar:
    return Webinar(building)


def test_a_question_is_told_to_all_and_shown_to_who_comes_later(webinar: Webinar) -> None:
    webinar.questions.ask(webinar.bob, 'Why "é"?', 1.5, "r")
    [told] = webinar.told(webinar.hers, "question")
    expected = {
        "id": told["question"]["id"],
        "participant": webinar.bob.id,
        "name": "Bob",
        "text": 'Why "é"?',
        "time": 1.5,
        "votes": 0,
        "answered": False,
        "voted": False,
    }
    assert told == {"type": "question", "event": "asked", "question": expected}
    assert webinar.told(webinar.his, "question") == [{**told, "request": "r"}]
    late, _ = webinar.building.enter("Zoë")
    assert shown(late) == [expected]


def test_voting_twice_counts_once(webinar: Webinar) -> None:
    question = webinar.ask(webinar.bob)
    for _ in range(3):
        webinar.questions.vote(webinar.eve, question, True, None)
    webinar.questions.vote(webinar.bob, question, True, None)
    assert [frame["votes"] for frame in webinar.told(webinar.hers, "votes")] == [{question: 1}] * 3
    assert shown(webinar.eve)[0]["votes"] == 2
    for _ in range(2):
        webinar.questions.vote(webinar.eve, question, False, None)
    assert shown(webinar.eve)[0]["votes"] == 1
    assert (shown(webinar.eve)[0]["voted"], shown(webinar.bob)[0]["voted"]) == (False, True)


def test_votes_are_told_together_once_a_second(webinar: Webinar) -> None:
    first, second = webinar.ask(webinar.bob), webinar.ask(webinar.bob)
    webinar.ask(webinar.bob)
    for seat in (webinar.bob, webinar.eve):
        webinar.questions.vote(seat, first, True, "r")
    webinar.questions.vote(webinar.eve, second, True, None)
    assert webinar.told(webinar.host, "votes") == []
    assert webinar.told(webinar.his, "votes") == [{"type": "votes", "request": "r", "votes": {first: 1}}]
    room = webinar.ada.room
    room.handle_timer(10, 0)
    assert [frame["votes"] for frame in webinar.told(webinar.host, "votes")] == [{first: 2, second: 1}]
    webinar.questions.vote(webinar.bob, second, True, None)
    room.handle_timer(10.9, 0)
    assert len(webinar.told(webinar.host, "votes")) == 1
    room.handle_timer(11, 0)
    assert webinar.told(webinar.host, "votes")[-1]["votes"] == {second: 2}
    room.handle_timer(12, 0)
    assert len(webinar.told(webinar.host, "votes")) == 2


def test_votes_stay_when_their_givers_leave(webinar: Webinar) -> None:
    question = webinar.ask(webinar.bob)
    webinar.questions.vote(webinar.eve, question, True, None)
    webinar.building.rooms.leave(webinar.eve, 1)
    webinar.building.rooms.leave(webinar.bob, 1)
    assert [(each["votes"], each["name"]) for each in shown(webinar.ada)] == [(1, "Bob")]


def test_unknown_questions_are_refused(webinar: Webinar) -> None:
    question = webinar.ask(webinar.bob)
    webinar.questions.withdraw(webinar.bob, question)
    for seat in (webinar.ada, webinar.bob):
        with pytest.raises(UnknownError):
            webinar.questions.vote(seat, question, True, None)
        with pytest.raises(UnknownError):
            webinar.questions.withdraw(seat, question)
    with pytest.raises(UnknownError):
        webinar.questions.mark(webinar.ada, question, True)


def test_only_hosts_say_what_has_been_answered(webinar: Webinar) -> None:
    question = webinar.ask(webinar.bob)
    with pytest.raises(ForbiddenError):
        webinar.questions.mark(webinar.bob, question, True)
    assert not shown(webinar.bob)[0]["answered"]
    webinar.questions.mark(webinar.ada, question, True)
    webinar.questions.mark(webinar.ada, question, True)
    [_, changed] = webinar.told(webinar.hers, "question")
    assert (changed["event"], changed["question"]["answered"]) == ("changed", True)
    webinar.questions.mark(webinar.ada, question, False)
    assert not shown(webinar.bob)[0]["answered"]


def test_one_withdraws_ones_own_question_and_a_host_any(webinar: Webinar) -> None:
    first, second = webinar.ask(webinar.bob), webinar.ask(webinar.bob)
    with pytest.raises(ForbiddenError):
        webinar.questions.withdraw(webinar.eve, first)
    webinar.questions.withdraw(webinar.bob, first)
    webinar.questions.withdraw(webinar.ada, second)
    assert shown(webinar.ada) == []
    assert [frame["event"] for frame in webinar.told(webinar.hers, "question")] == ["asked"] * 2 + ["removed"] * 2


def test_no_votes_are_told_of_a_question_that_is_gone(webinar: Webinar) -> None:
    question = webinar.ask(webinar.bob)
    webinar.questions.vote(webinar.eve, question, True, None)
    webinar.questions.withdraw(webinar.bob, question)
    webinar.ada.room.handle_timer(10, 0)
    assert webinar.told(webinar.host, "votes") == []


def test_what_one_has_open_is_bounded(webinar: Webinar) -> None:
    asked = [webinar.ask(webinar.bob) for _ in range(MAX_OPEN_OF_ONE)]
    with pytest.raises(ForbiddenError):
        webinar.ask(webinar.bob)
    webinar.ask(webinar.eve)
    webinar.questions.mark(webinar.ada, asked[3], True)
    webinar.ask(webinar.bob)


def test_questions_are_bounded_and_the_oldest_answered_one_makes_room(webinar: Webinar) -> None:
    asked = []
    for number in range(MAX_QUESTIONS):
        if number % MAX_OPEN_OF_ONE == 0:
            viewer, _ = webinar.building.enter(str(number))
        asked.append(webinar.ask(viewer))
    with pytest.raises(ForbiddenError):
        webinar.ask(webinar.bob)
    for index in (7, 5):
        webinar.questions.mark(webinar.ada, asked[index], True)
    webinar.ask(webinar.bob)
    gone = webinar.told(webinar.hers, "question")[-2]
    assert (gone["event"], gone["question"]["id"]) == ("removed", asked[5])
    assert len(shown(webinar.ada)) == MAX_QUESTIONS


def test_votes_are_bounded(webinar: Webinar) -> None:
    question = webinar.ask(webinar.bob)
    webinar.questions._questions[question].voters.update(map(str, range(MAX_VOTES - 1)))
    webinar.questions.vote(webinar.eve, question, True, None)
    with pytest.raises(ForbiddenError):
        webinar.questions.vote(webinar.bob, question, True, None)
    webinar.questions.vote(webinar.eve, question, True, None)
    webinar.questions.vote(webinar.eve, question, False, None)
    webinar.questions.vote(webinar.bob, question, True, None)
    assert shown(webinar.bob)[0]["votes"] == MAX_VOTES


async def test_questions_over_the_wire(house: House) -> None:
    ada, bob = await house.join("Ada", **BROADCAST), await house.join("Bob")
    await bob.send(type="ask", text="Why?", request="q")
    asked = await bob.receive("question", request="q")
    question = asked["question"]["id"]
    await bob.send(type="vote", question=question, on=True, request="v")
    assert (await bob.receive("votes", request="v"))["votes"] == {question: 1}
    house.advance(1)
    assert (await ada.receive("votes"))["votes"] == {question: 1}
    await bob.send(type="answered", question=question, on=True, request="a")
    assert (await bob.receive("error", request="a"))["code"] == "forbidden"
    await bob.send(type="vote", question="f" * 12, on=True, request="u")
    assert (await bob.receive("error", request="u"))["code"] == "unknown"
    await ada.send(type="answered", question=question, on=True)
    assert (await bob.receive("question", event="changed"))["question"]["answered"]
    bob.break_off()
    bob = await house.join("Bob", resume=bob.joined["resume"]["token"])
    [shown] = bob.joined["questions"]
    assert (shown["id"], shown["votes"], shown["answered"], shown["voted"]) == (question, 1, True, True)
    late = await house.join("Eve")
    assert not late.joined["questions"][0]["voted"]
    await bob.send(type="withdraw", question=question)
    assert (await late.receive("question"))["event"] == "removed"


async def test_meetings_have_no_questions(house: House) -> None:
    ada = await house.join("Ada")
    assert ada.joined["questions"] == []
    for message in ({"type": "ask", "text": "Why?"}, {"type": "vote", "question": "f", "on": True}):
        await ada.send(**message)
        assert (await ada.receive("error"))["code"] == "forbidden"


async def test_questions_of_one_have_a_rate(house: House) -> None:
    await house.join("Ada", **BROADCAST)
    bob = await house.join("Bob")
    for number in range(6):
        await bob.send(type="ask", text="Why?", request=str(number))
    assert (await bob.receive("error"))["request"] == "5"
    assert house.measure("rate_limited_total", scope="ask") == 1


async def test_viewers_of_a_room_share_a_rate_of_questions(house: House) -> None:
    await house.join("Ada", **BROADCAST)
    viewers = [await house.join(str(number)) for number in range(5)]
    for viewer in viewers:
        for _ in range(5):
            await viewer.send(type="ask", text="Why?")
        await viewer.quiet()
    assert house.measure("rate_limited_total", scope="audience") == 25 - VIEWERS_QUESTIONS[0]
