"""Questions from the audience to the stage of a broadcast room, with votes. Belongs to its room; clocks are parameters.

Votes are counted at once and told together, once a second: a webinar votes with a thousand hands. Who voted is told to
nobody, and who leaves leaves their votes and questions there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from signalling.access import TokenBucket, new_id
from signalling.client_messages import Ask, MarkAnswered, Vote, Withdraw
from signalling.records import Journal
from signalling.seat import ForbiddenError, Seat, UnknownError, tell
from signalling.server_messages import QuestionEvent, QuestionView, Role, Votes, Written

MAX_QUESTIONS = 200
# Of one participant, without those that have been answered.
MAX_OPEN_OF_ONE = 10
# Votes for one question: more than a room has people, for some leave and come again as others.
MAX_VOTES = 5000
VOTES_SECONDS = 1.0
# Burst and questions per second of all viewers of a room together: everybody is told each of them.
VIEWERS_QUESTIONS = (20, 1.0)


class Question:
    """One question, and the ids of who wants it answered."""

    __slots__ = ("_head", "answered", "asker", "id", "name", "text", "time", "voters")

    def __init__(self, question_id: str, asker: str, name: str, text: str, time: float) -> None:
        self.id = question_id
        self.asker = asker
        """Id of the participant, who may have left."""
        self.name = name
        self.text = text
        self.time = time
        self.answered = False
        self.voters: set[str] = set()
        # What does not change, written once for all who join.
        fixed = {"id": question_id, "participant": asker, "name": name, "text": text, "time": time}
        self._head = json.dumps(fixed, ensure_ascii=False, separators=(",", ":"))[:-1]

    def view(self) -> QuestionView:
        """As it is told to all."""
        return QuestionView(
            id=self.id,
            participant=self.asker,
            name=self.name,
            text=self.text,
            time=self.time,
            votes=len(self.voters),
            answered=self.answered,
        )

    def shown_to(self, participant_id: str) -> str:
        """The JSON of it for one who joins."""
        answered, voted = json.dumps(self.answered), json.dumps(participant_id in self.voters)
        return f'{self._head},"votes":{len(self.voters)},"answered":{answered},"voted":{voted}}}'


class Questions:
    """In the order they were asked; told to all of `seats`."""

    def __init__(self, seats: Mapping[str, Seat], journal: Journal, now: float) -> None:
        self._seats = seats
        self._journal = journal
        self._questions: dict[str, Question] = {}
        self._changed: set[str] = set()
        self._tell_at = now
        self.viewers_rate = TokenBucket(*VIEWERS_QUESTIONS, now)
        """What all viewers together may ask."""

    def shown_to(self, participant_id: str) -> Written:
        """All of them, and which of them that participant has voted for."""
        return Written(f"[{','.join(each.shown_to(participant_id) for each in self._questions.values())}]")

    def all(self) -> list[Question]:
        """All of them, oldest first."""
        return list(self._questions.values())

    def restore(self, questions: Iterable[Question]) -> None:
        """Puts those that were kept before in front; nobody is told."""
        self._questions = {**{each.id: each for each in questions}, **self._questions}

    def serve(self, seat: Seat, message: Ask | Vote | MarkAnswered | Withdraw, wall: float) -> None:
        """What `seat` asks; UnknownError, ForbiddenError."""
        match message:
            case Ask(text=text):
                self.ask(seat, text, wall, message.request)
            case Vote(question=question, on=on):
                self.vote(seat, question, on, message.request)
            case MarkAnswered(question=question, on=on):
                self.mark(seat, question, on)
            case Withdraw(question=question):
                self.withdraw(seat, question)

    def ask(self, seat: Seat, text: str, wall: float, request: str | None) -> None:
        """Adds a question; ForbiddenError over a bound. The oldest that was answered makes room for it."""
        open_ones = sum(each.asker == seat.id and not each.answered for each in self._questions.values())
        if open_ones >= MAX_OPEN_OF_ONE:
            raise ForbiddenError(f"you have {MAX_OPEN_OF_ONE} questions that wait for an answer")
        if len(self._questions) >= MAX_QUESTIONS:
            oldest = next((each for each in self._questions.values() if each.answered), None)
            if oldest is None:
                raise ForbiddenError("there are too many questions")
            self._remove(oldest)
        question = Question(new_id(), seat.id, seat.name, text, round(wall, 3))
        self._questions[question.id] = question
        self._journal.question(question)
        tell(
            QuestionEvent(event="asked", question=question.view()),
            [each for each in self._seats.values() if each is not seat],
        )
        seat.send(QuestionEvent(event="asked", question=question.view(), request=request))

    def vote(self, seat: Seat, question_id: str, on: bool, request: str | None) -> None:
        """Counts a vote once, or no longer, and says so to who gave it at once; UnknownError, ForbiddenError."""
        question = self._get(question_id)
        if on is not (seat.id in question.voters):
            if on and len(question.voters) >= MAX_VOTES:
                raise ForbiddenError("this question has as many votes as are counted")
            (question.voters.add if on else question.voters.remove)(seat.id)
            self._changed.add(question.id)
            self._journal.vote(question.id, seat.id, on)
        seat.send(Votes(votes={question.id: len(question.voters)}, request=request))

    def mark(self, seat: Seat, question_id: str, answered: bool) -> None:
        """Says whether it has been answered; UnknownError, and ForbiddenError for all but hosts."""
        if seat.role is not Role.HOST:
            raise ForbiddenError("only a host says what has been answered")
        question = self._get(question_id)
        if question.answered is not answered:
            question.answered = answered
            self._journal.question(question)
            tell(QuestionEvent(event="changed", question=question.view()), self._seats.values())

    def withdraw(self, seat: Seat, question_id: str) -> None:
        """Takes it away; UnknownError, and ForbiddenError for all but who asked and hosts."""
        question = self._get(question_id)
        if seat.role is not Role.HOST and seat.id != question.asker:
            raise ForbiddenError("this is somebody else's question")
        self._remove(question)

    def handle_timer(self, now: float) -> None:
        """Tells the numbers of votes that have changed, not more often than each VOTES_SECONDS."""
        if self._changed and now >= self._tell_at:
            self._tell_at = now + VOTES_SECONDS
            votes = {each: len(self._questions[each].voters) for each in sorted(self._changed)}
            self._changed.clear()
            tell(Votes(votes=votes), self._seats.values())

    def _get(self, question_id: str) -> Question:
        question = self._questions.get(question_id)
        if question is None:
            raise UnknownError("there is no such question")
        return question

    def _remove(self, question: Question) -> None:
        del self._questions[question.id]
        self._changed.discard(question.id)
        self._journal.question_gone(question.id)
        tell(QuestionEvent(event="removed", question=question.view()), self._seats.values())
