"""Who is to be woken when: only those whose time has come are looked at. Pure; times are monotonic seconds."""

from __future__ import annotations

import heapq
import itertools
from abc import ABC, abstractmethod

NEVER = float("inf")


class Timed(ABC):
    """Sets `wake_at` to be woken then; base of what `Timers` wakes."""

    _wake_at = NEVER
    entered_at = NEVER  # of its valid entry
    timers: Timers | None = None

    @property
    def wake_at(self) -> float:
        """When `handle_timer` is to be called next."""
        return self._wake_at

    @wake_at.setter
    def wake_at(self, at: float) -> None:
        self._wake_at = at
        if at < self.entered_at and self.timers is not None:
            self.timers.enter(self)

    @abstractmethod
    def handle_timer(self, now: float) -> None:
        """Does what is due and sets `wake_at`."""


class Timers:
    """A heap. Later times are found out when the earlier one has come, so most changes cost nothing."""

    def __init__(self) -> None:
        self.members: set[Timed] = set()
        self._heap: list[tuple[float, int, Timed]] = []
        self._numbers = itertools.count()

    def add(self, timed: Timed) -> None:
        """Wakes it from now on."""
        self.members.add(timed)
        timed.timers = self
        self.enter(timed)

    def remove(self, timed: Timed) -> None:
        """No longer."""
        self.members.discard(timed)
        timed.timers, timed.entered_at = None, NEVER

    def enter(self, timed: Timed) -> None:
        """Takes note of its time, unless it will be looked at before anyway."""
        at = timed.wake_at
        if timed.timers is self and at < timed.entered_at:
            timed.entered_at = at
            heapq.heappush(self._heap, (at, next(self._numbers), timed))

    def due(self, now: float) -> list[Timed]:
        """Those whose time has come; each is to be entered again once it was woken."""
        result = []
        while self._heap and self._heap[0][0] <= now:
            at, _, timed = heapq.heappop(self._heap)
            if timed.timers is not self or at != timed.entered_at:
                continue
            timed.entered_at = NEVER
            if timed.wake_at <= now:
                result.append(timed)
            else:
                self.enter(timed)
        return result
