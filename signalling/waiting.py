"""Those who wait for a host to let them in. A `WaitingRoom` belongs to its room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from signalling.access import new_id
from signalling.entry import FullError
from signalling.seat import Connection
from signalling.server_messages import Waiting, WaitingView, encode

MAX_WAITING: Final = 50
# From one address, so that it does not keep all others out; more of a school or a home come in as places get free.
MAX_WAITING_OF_SOURCE: Final = 10


class Visitor:
    """One of them: a socket without a seat. `admit` gives it one, if there still is a place; `deny` sends it away."""

    def __init__(
        self,
        name: str,
        connection: Connection,
        admit: Callable[[], None],
        deny: Callable[[], None],
        *,
        source: str = "",
    ) -> None:
        self.id = new_id()
        self.name = name
        self.source = source
        self.connection = connection
        self.admit = admit
        self.deny = deny

    def tell(self, host_there: bool) -> None:
        """Says that they wait, and whether somebody could let them in."""
        self.connection.send(encode(Waiting(host=host_there)))

    def view(self) -> WaitingView:
        """What hosts are told."""
        return WaitingView(id=self.id, name=self.name)


class WaitingRoom:
    """Visitors in the order they came."""

    def __init__(self) -> None:
        self._visitors: dict[str, Visitor] = {}
        self._host_there = False

    def __len__(self) -> int:
        return len(self._visitors)

    def views(self) -> list[WaitingView]:
        """What hosts are told."""
        return [visitor.view() for visitor in self._visitors.values()]

    def count_from(self, source: str) -> int:
        """How many came from there."""
        return sum(visitor.source == source for visitor in self._visitors.values())

    def add(self, visitor: Visitor) -> None:
        """Tells them that they wait; FullError."""
        if len(self._visitors) >= MAX_WAITING:
            raise FullError("too many wait already")
        self._visitors[visitor.id] = visitor
        visitor.tell(self._host_there)

    def remove(self, visitor: Visitor) -> bool:
        """Whether they were still there."""
        return self._visitors.pop(visitor.id, None) is not None

    def take(self, visitor_id: str = "") -> list[Visitor]:
        """Takes that one out, or all of them; nobody when they are not there."""
        if not visitor_id:
            taken = list(self._visitors.values())
            self._visitors.clear()
            return taken
        visitor = self._visitors.pop(visitor_id, None)
        return [] if visitor is None else [visitor]

    def set_host_there(self, host_there: bool) -> None:
        """Tells all who wait when that has changed."""
        if host_there is not self._host_there:
            self._host_there = host_there
            for visitor in self._visitors.values():
                visitor.tell(host_there)
