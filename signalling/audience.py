"""The viewers of a broadcast room: how many, and which of them its hosts are shown. Belongs to its room."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signalling.seat import Seat

MAX_VIEWERS_LISTED = 200
COUNT_SECONDS = 1.0


class Audience:
    """The longest there are listed, as many as are shown at a time; the others wait for a place on the list."""

    def __init__(self) -> None:
        self.listed: dict[str, Seat] = {}
        self._waiting: dict[str, Seat] = {}
        self._told = 0
        self._tell_at = 0.0

    def __len__(self) -> int:
        return len(self.listed) + len(self._waiting)

    def add(self, seat: Seat) -> None:
        """Puts a viewer on the list, or at the end of those who wait."""
        (self.listed if len(self.listed) < MAX_VIEWERS_LISTED else self._waiting)[seat.id] = seat

    def remove(self, seat: Seat) -> Seat | None:
        """Takes a viewer away; who comes on the list for it."""
        if self.listed.pop(seat.id, None) is None:
            del self._waiting[seat.id]
            return None
        if not self._waiting:
            return None
        longest = next(iter(self._waiting.values()))
        self.listed[longest.id] = self._waiting.pop(longest.id)
        return longest

    def count_due(self, now: float) -> int | None:
        """The number of viewers, when it is another than was told, and not more often than each COUNT_SECONDS."""
        if len(self) == self._told or now < self._tell_at:
            return None
        self._told, self._tell_at = len(self), now + COUNT_SECONDS
        return self._told
