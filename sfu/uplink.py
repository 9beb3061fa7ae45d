"""Rounds of choice: what every receiver gets, inside the host's uplink and the rooms' caps.

A receiver that nothing but its own path bounds is served alone, at once. Where a budget is shared, all who share it
are served in one round, at most every `ROUND_SECONDS` and soon after somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from sfu.budget import UNLIMITED, Pool, Receiver, share
from sfu.subscription import SubscribeConnection
from sfu.transport import NEVER

ROUND_SECONDS = 0.25
URGENT_SECONDS = 0.05  # when somebody's path is congested
HEADROOM = 0.9  # part of a budget that is given away: the rest is for repairs, keyframes and what grows meanwhile


class Served(Protocol):
    """A participant as rounds see it."""

    @property
    def subscribed(self) -> SubscribeConnection | None:
        """Its slots."""

    @property
    def cap_bps(self) -> int:
        """What its room may send altogether; 0: no cap."""

    @property
    def cap_key(self) -> object:
        """Its room."""


class Uplink:
    """The host's budget; `budget_bps` 0: none."""

    def __init__(self, peers: Collection[Served], budget_bps: int = 0) -> None:
        self.budget_bps = budget_bps
        self.wake_at = NEVER
        self._peers = peers
        self._served_at = -NEVER

    def allocate(self, peer: Served, now: float) -> None:
        """Chooses for a receiver: now if it is on its own, else with the others who share."""
        connection = peer.subscribed
        if connection is None:
            return
        if self.budget_bps or peer.cap_bps:
            apart = URGENT_SECONDS if connection.downlink.congested else ROUND_SECONDS
            self.wake_at = min(self.wake_at, max(now, self._served_at + apart))
            return
        receiver = connection.claim(Pool(), now)
        share([receiver], Pool())
        connection.take(receiver, now)

    def handle_timer(self, now: float) -> None:
        """A round."""
        self.wake_at, self._served_at = NEVER, now
        rooms: dict[object, Pool] = {}
        served: list[tuple[SubscribeConnection, Receiver]] = []
        for peer in self._peers:
            connection = peer.subscribed
            if connection is not None and (self.budget_bps or peer.cap_bps):
                room = rooms.setdefault(peer.cap_key, Pool(peer.cap_bps * HEADROOM or UNLIMITED))
                served.append((connection, connection.claim(room, now)))
        share([receiver for _, receiver in served], Pool(self.budget_bps * HEADROOM or UNLIMITED))
        for connection, receiver in served:
            connection.take(receiver, now)
