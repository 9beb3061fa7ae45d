"""The connections of TURN clients, over TCP, TLS and DTLS: which there are, how many of one source, and for how long.

One without an allocation is *idle*: it counts towards its source's bound, and is ended when its time is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from turnd.turn.allocation import Flow
from turnd.turn.source_limit import SourceCounter

if TYPE_CHECKING:
    from turnd.turn.connection import TurnClient

MAX_CONNECTIONS = 2000
MAX_UNPROVED_OF_SOURCE = 250  # connections without an allocation from one source
IDLE_SECONDS = 30.0  # how long a connection may be without an allocation


class ClientConnections(Mapping[Flow, "TurnClient"]):
    """The live connections by their 5-tuple. `TurnService` tells which have allocations."""

    def __init__(
        self,
        bound: int = MAX_CONNECTIONS,
        *,
        unproved_of_source: int = MAX_UNPROVED_OF_SOURCE,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._bound = bound
        self._idle_seconds = idle_seconds
        self._connections: dict[Flow, TurnClient] = {}
        self._idle_until: dict[Flow, float] = {}  # in order of time
        self._unproved = SourceCounter(unproved_of_source)  # those of _idle_until

    def __getitem__(self, flow: Flow) -> TurnClient:
        return self._connections[flow]

    def __iter__(self) -> Iterator[Flow]:
        return iter(self._connections)

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def idle(self) -> int:
        """How many have no allocation."""
        return len(self._idle_until)

    @property
    def idle_sources(self) -> int:
        """From how many sources those come."""
        return len(self._unproved)

    def enter(self, connection: TurnClient, flow: Flow, now: float) -> bool:
        """Takes in a new one, idle; False when there are too many, in all or of its source, or its 5-tuple is taken."""
        if len(self._connections) >= self._bound or flow in self._connections:
            return False
        if not self._unproved.enter(flow.client[0]):
            return False
        self._connections[flow] = connection
        self._idle_until[flow] = now + self._idle_seconds
        return True

    def leave(self, connection: TurnClient, flow: Flow) -> bool:
        """Forgets one that has ended; False: it is not one of these."""
        if self._connections.get(flow) is not connection:
            return False
        self.end_idle(flow)
        del self._connections[flow]
        return True

    def begin_idle(self, flow: Flow, now: float) -> None:
        """A connection, if it is one and still there, has no allocation any more."""
        if flow in self._connections:
            self._unproved.enter(flow.client[0], force=True)
            self._idle_until[flow] = now + self._idle_seconds

    def end_idle(self, flow: Flow) -> TurnClient:
        """The connection: it has an allocation now, or may have one any time (RFC 8016), or is bound to a peer's."""
        if self._idle_until.pop(flow, None) is not None:
            self._unproved.leave(flow.client[0])
        return self._connections[flow]

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        return next(iter(self._idle_until.values()), None)

    def handle_timer(self, now: float) -> None:
        """Ends those that have been idle for too long."""
        for flow, due in list(self._idle_until.items()):
            if due > now:
                break
            self.end_idle(flow).abort()
