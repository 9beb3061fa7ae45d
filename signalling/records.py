"""What keeps rooms over a restart of the daemon, as the rooms see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from signalling.charter import Record
from signalling.server_messages import ChatLine

if TYPE_CHECKING:
    from signalling.questions import Question
    from signalling.room import Room


class Journal(Protocol):
    """Where what is said in one room is stored, piece by piece. No call blocks or fails."""

    def line(self, line: ChatLine) -> None:
        """A line of the chat is new, or another than before."""

    def line_gone(self, line_id: str) -> None:
        """It is shown to nobody any more."""

    def question(self, question: Question) -> None:
        """A question is new, or another than before, apart from its votes."""

    def question_gone(self, question_id: str) -> None:
        """It was taken away, and its votes with it."""

    def vote(self, question_id: str, voter: str, on: bool) -> None:
        """Somebody gave their vote, or took it back."""


class Records(Protocol):
    """Where rooms are stored. No call blocks or fails."""

    def read(self, name: str) -> Record | None:
        """What is known of the room of that name, which nobody is in."""

    def restore(self, room: Room) -> None:
        """Fills a room that was made of what `read` said with what was said in it."""

    def journal(self, room_id: str) -> Journal:
        """Where what is said in that room goes."""

    def changed(self, room: Room) -> None:
        """`room.record()` is another than before, or there is one at last. Called often: store it a little later."""

    def ended(self, room: Room) -> None:
        """The room is over: the next of that name is another. Not called when the server stops."""


class NoJournal:
    """`Journal` of a room that is not kept."""

    def line(self, line: ChatLine) -> None:
        """See Journal."""

    def line_gone(self, line_id: str) -> None:
        """See Journal."""

    def question(self, question: Question) -> None:
        """See Journal."""

    def question_gone(self, question_id: str) -> None:
        """See Journal."""

    def vote(self, question_id: str, voter: str, on: bool) -> None:
        """See Journal."""


class NoRecords:
    """`Records` of a server that keeps nothing."""

    def read(self, name: str) -> Record | None:
        """See Records."""
        del name
        return None

    def restore(self, room: Room) -> None:
        """See Records."""

    def journal(self, room_id: str) -> Journal:
        """See Records."""
        del room_id
        return NoJournal()

    def changed(self, room: Room) -> None:
        """See Records."""

    def ended(self, room: Room) -> None:
        """See Records."""
