"""The viewers of a broadcast room: how many, and which of them its hosts are shown. Belongs to its room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signalling.seat import Seat

MAX_VIEWERS_LISTED = 200
MAX_HANDS_LISTED = 50
COUNT_SECONDS = 1.0


class Audience:
    """The longest there are listed, as many as are shown at a time, and beside them some of those who raise a hand.

    The others wait for a place on the list.
    """

    def __init__(self) -> None:
        self._listed: dict[str, Seat] = {}
        self._raised: dict[str, Seat] = {}
        self._waiting: dict[str, Seat] = {}
        self._told = 0
        self._tell_at = 0.0

    def __len__(self) -> int:
        return len(self._listed) + len(self._raised) + len(self._waiting)

    def shown(self) -> Iterator[Seat]:
        """Those whom hosts are shown."""
        yield from self._listed.values()
        yield from self._raised.values()

    def shows(self, seat: Seat) -> bool:
        """Whether hosts are shown this one."""
        return seat.id in self._listed or seat.id in self._raised

    def add(self, seat: Seat) -> None:
        """Puts a viewer on the list, or at the end of those who wait."""
        (self._listed if len(self._listed) < MAX_VIEWERS_LISTED else self._waiting)[seat.id] = seat

    def remove(self, seat: Seat) -> Seat | None:
        """Takes a viewer away; who is shown in their place and was not before."""
        if self._waiting.pop(seat.id, None) is not None:
            return None
        if self._raised.pop(seat.id, None) is not None:
            return self._next_hand()
        del self._listed[seat.id]
        # Whose hand is up is shown already.
        others = self._waiting or self._raised
        if not others:
            return None
        longest = others.pop(next(iter(others)))
        self._listed[longest.id] = longest
        return None if others is self._raised else longest

    def raise_hand(self, seat: Seat) -> bool:
        """Shows a viewer whose hand is up, if there is a place; whether they were not shown before."""
        if seat.id not in self._waiting or len(self._raised) >= MAX_HANDS_LISTED:
            return False
        self._raised[seat.id] = self._waiting.pop(seat.id)
        return True

    def shows_for_hand(self, seat: Seat) -> bool:
        """Whether this viewer is shown for their hand alone."""
        return seat.id in self._raised

    def lower_hand(self, seat: Seat) -> Seat | None:
        """Hides a viewer who was shown for their hand alone; whose hand is shown instead."""
        del self._raised[seat.id]
        following = self._next_hand()
        self._waiting[seat.id] = seat
        return following

    def _next_hand(self) -> Seat | None:
        """Whose hand is up longest of those who are not shown; they are from now on."""
        longest = min((seat for seat in self._waiting.values() if seat.hand), key=lambda seat: seat.hand, default=None)
        if longest is not None:
            self.raise_hand(longest)
        return longest

    def count_due(self, now: float) -> int | None:
        """The number of viewers, when it is another than was told, and not more often than each COUNT_SECONDS."""
        if len(self) == self._told or now < self._tell_at:
            return None
        self._told, self._tell_at = len(self), now + COUNT_SECONDS
        return self._told
