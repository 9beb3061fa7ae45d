"""Rounds of choice: what every receiver gets, inside the host's uplink and the rooms' caps.

A receiver that nothing but its own path bounds is served alone, at once. Where a budget is shared, all who share it
are served in one round, at most every `ROUND_SECONDS` and soon after somebody asks for it; who is congested meanwhile
is served alone at once, with no more than it has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from sfu.budget import UNLIMITED, Pool, Receiver, share
from sfu.subscription import SubscribeConnection
from sfu.transport import NEVER

ROUND_SECONDS = 0.25
URGENT_SECONDS = 0.1  # when video waits for the uplink
CLAIMS_A_TURN = 128  # of a round, so that a large one does not hold up the loop: 2 ms
HEADROOM = 0.9  # part of a budget that is given away: the rest is for repairs, keyframes and what grows meanwhile
MIN_HEADROOM = 0.6  # as little is given away when more is sent than was given
MEASURE_SECONDS = 1.0
FULL = 0.95  # part of the budget that may really be sent
REGAIN = 0.01  # of the headroom, a measure


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
        self.used_bps = 0.0  # what was really sent, as measured last
        self._peers = peers
        self._round: Iterator[None] | None = None  # the one under way
        self._now = 0.0
        self._served_at = -NEVER
        self._headroom = HEADROOM
        self.measure_at = -NEVER  # when `measure` is to be called next
        self._measured_at = -NEVER
        self._measured_bytes = 0

    def set_budget(self, bps: int, now: float) -> None:
        """Another budget from now on."""
        self.budget_bps, self._headroom = bps, HEADROOM
        for peer in self._peers:
            if peer.subscribed is not None:
                peer.subscribed.allocate_by(now)

    def measure(self, sent_bytes: int, now: float) -> None:
        """What has been sent altogether, headers included: gives away less while that is more than it should be."""
        passed, sent = now - self._measured_at, sent_bytes - self._measured_bytes
        self._measured_at, self._measured_bytes = now, sent_bytes
        self.measure_at = now + MEASURE_SECONDS
        self.used_bps = 8 * sent / passed if passed > 0 else 0.0
        if self.budget_bps and self.used_bps > FULL * self.budget_bps:
            self._headroom = max(MIN_HEADROOM, self._headroom * FULL * self.budget_bps / self.used_bps)
            self.wake_at = now
        else:
            self._headroom = min(HEADROOM, self._headroom + REGAIN)

    def full(self, now: float) -> None:
        """Video waits for the uplink: gives away less, soon."""
        self._headroom = max(MIN_HEADROOM, self._headroom * FULL)
        self.wake_at = min(self.wake_at, max(now, self._served_at + URGENT_SECONDS))

    def allocate(self, peer: Served, now: float) -> bool:
        """Chooses for a receiver: now (True) if it is on its own, else with the others who share, soon."""
        connection = peer.subscribed
        if connection is None:
            return True
        shared = bool(self.budget_bps or peer.cap_bps)
        if shared:
            self.wake_at = min(self.wake_at, max(now, self._served_at + ROUND_SECONDS))
        if shared and not connection.downlink.congested:
            return False
        pool = Pool(connection.allocation.used_bps) if shared else Pool()  # until the round no more than it has
        receiver = connection.claim(pool, now)
        share([receiver], pool)
        connection.take(receiver, now)
        return True

    def handle_timer(self, now: float) -> None:
        """The next part of a round."""
        if self._round is None:
            self._served_at = now
            self._round = self._parts()
        self._now = now
        try:
            next(self._round)
        except StopIteration:
            self._round = None
            self.wake_at = NEVER
        else:
            self.wake_at = now

    def _parts(self) -> Iterator[None]:
        """A round, `CLAIMS_A_TURN` at a time: all claims, then the sharing, then what was granted."""
        rooms: dict[object, Pool] = {}
        claims = 0
        served: list[tuple[Served, SubscribeConnection, Receiver]] = []
        for peer in list(self._peers):
            connection = peer.subscribed
            if connection is None or not (self.budget_bps or peer.cap_bps):
                continue
            if claims >= CLAIMS_A_TURN:
                claims = 0
                yield
            room = rooms.setdefault(peer.cap_key, Pool(peer.cap_bps * HEADROOM or UNLIMITED))
            if peer.subscribed is connection:
                served.append((peer, connection, connection.claim(room, self._now)))
                claims += 1 + len(served[-1][2].claims)
        share([receiver for *_, receiver in served], Pool(self.budget_bps * self._headroom or UNLIMITED))
        for peer, connection, receiver in served:
            if claims >= CLAIMS_A_TURN:
                claims = 0
                yield
            claims += 1 + len(receiver.claims)
            if peer.subscribed is connection:
                connection.take(receiver, self._now)
