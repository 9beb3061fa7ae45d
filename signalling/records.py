"""What keeps rooms over a restart of the daemon, as `signalling.rooms` sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from signalling.charter import Record

if TYPE_CHECKING:
    from signalling.room import Room


class Records(Protocol):
    """Where rooms are stored. No call blocks or fails."""

    def read(self, name: str) -> Record | None:
        """What is known of the room of that name, which nobody is in."""

    def changed(self, room: Room) -> None:
        """`room.record()` is another than before, or there is one at last. Called often: store it a little later."""

    def ended(self, room: Room) -> None:
        """The room is over: the next of that name is another. Not called when the server stops."""


class NoRecords:
    """`Records` of a server that keeps nothing."""

    def read(self, name: str) -> Record | None:
        """See Records."""
        del name
        return None

    def changed(self, room: Room) -> None:
        """See Records."""

    def ended(self, room: Room) -> None:
        """See Records."""
