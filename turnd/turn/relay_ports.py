"""The ports relays are given: one pool for each address family, drawn at random (RFC 8656 §7.2: hard to guess).

Holds numbers only. A port is free, or taken until it is released; opening the socket is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

RandBelow = Callable[[int], int]


class PortPool:
    """The free ports of `first`..`last` of one family, without `excluded` (ports we hold ourselves)."""

    def __init__(self, first: int, last: int, randbelow: RandBelow, excluded: Collection[int] = ()) -> None:
        self._free = [port for port in range(first, last + 1) if port not in excluded]
        self._at = {port: position for position, port in enumerate(self._free)}
        self._randbelow = randbelow
        self.size = len(self._free)

    def __len__(self) -> int:
        """How many are free."""
        return len(self._free)

    def take(self) -> int | None:
        """Any free port; None when there is none."""
        return self._take(self._free[self._randbelow(len(self._free))]) if self._free else None

    def take_even(self, *, pair: bool) -> int | None:
        """A free even port; with `pair` the odd one above it is taken too."""
        even = [port for port in self._free if not port & 1 and (not pair or port + 1 in self._at)]
        if not even:
            return None
        port = even[self._randbelow(len(even))]
        if pair:
            self._take(port + 1)
        return self._take(port)

    def _take(self, port: int) -> int:
        position = self._at.pop(port)
        last = self._free.pop()
        if last != port:
            self._free[position] = last
            self._at[last] = position
        return port

    def release(self, port: int) -> None:
        """Gives back a port that was taken."""
        if port in self._at:
            raise ValueError(f"port {port} is free already")
        self._at[port] = len(self._free)
        self._free.append(port)
