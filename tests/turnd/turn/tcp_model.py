"""A TCP relay without sockets: what the core has asked of it, for the test to answer as peers would."""

from __future__ import annotations

from collections.abc import Callable

from turnd.turn.allocation import Address, Flow, TcpRelay


class ModelTcpRelay(TcpRelay):
    """`open` are its connections, whatever their state; `bound` says to which client's connection."""

    def __init__(self, ended: Callable[[int], None]) -> None:
        self._ended = ended
        self.open: dict[int, Address] = {}
        self.bound: dict[int, Flow] = {}
        self.bytes_per_second = 0
        self.closed = False

    def connect(self, number: int, peer: Address) -> None:
        self.open[number] = peer

    def accepted(self, number: int | None, peer: Address) -> None:
        """What the core has said to a peer that came."""
        if number is not None:
            self.open[number] = peer

    def bind(self, number: int, flow: Flow) -> None:
        assert number in self.open
        self.bound[number] = flow

    def end(self, number: int) -> None:
        del self.open[number]
        self.bound.pop(number, None)

    def pair(self, first: TcpRelay) -> None:
        """Their limit is one; nothing to do, since the model passes no bytes."""

    def limit(self, bytes_per_second: int) -> None:
        self.bytes_per_second = bytes_per_second

    def close(self) -> None:
        self.closed = True
        for number in list(self.open):
            self._ended(number)
        self.open.clear()
