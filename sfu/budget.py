"""Shares bits per second: inside what each receiver's link takes, its room's cap and the host's uplink.

Sound is reserved before anything else. Then all pictures are raised step by step, always the one that has least for
its weight, first between the pictures of a receiver, and between receivers the one that has least altogether (max-min
fair). A step that fits nowhere stops its picture, not the others. Pure, O(steps log steps).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

UNLIMITED = float("inf")
IMPORTANT, THUMBNAIL = 16, 1  # weights: a pinned picture has 16 times what a thumbnail has before that gets more
UP_MARGIN = 0.1  # see `Receiver`
KEEPING = 0.8  # what a picture has already counts as so much cheaper, so that equals do not take turns


class Bound(StrEnum):
    """What held a picture back."""

    LINK = "link"
    UPLINK = "uplink"


@dataclass(slots=True)
class Pool:
    """Something shared: the host's uplink, or a room's cap."""

    bps: float = UNLIMITED
    used_bps: int = 0


@dataclass(slots=True)
class Claim:
    """One picture: what its steps cost altogether, ascending. `current` and `granted` count steps; 0 is no picture."""

    costs: Sequence[int]
    weight: int = THUMBNAIL
    current: int = 0
    granted: int = 0
    bound: Bound | None = None

    @property
    def granted_bps(self) -> int:
        """The cost of what it was given."""
        return self.costs[self.granted - 1] if self.granted else 0


@dataclass(slots=True)
class Receiver:
    """Who receives: `reserved_bps` goes to its sound whatever the rest; with one picture it may be `first_bps`.

    `up_margin`, a part of a step's cost, must be left when a picture is to become better than it is.
    """

    claims: Sequence[Claim]
    reserved_bps: int = 0
    link_bps: float = UNLIMITED
    room: Pool = field(default_factory=Pool)
    first_bps: float = 0.0
    up_margin: float = UP_MARGIN
    used_bps: int = 0


@dataclass(slots=True)
class _Step:
    """One step of a claim."""

    receiver: Receiver
    claim: Claim
    number: int
    key: float


def share(receivers: Sequence[Receiver], host: Pool) -> None:
    """Sets `granted` and `bound` of every claim."""
    steps: list[_Step] = []
    for receiver in receivers:
        receiver.used_bps = receiver.reserved_bps
        for pool in (receiver.room, host):
            pool.used_bps += receiver.reserved_bps
        steps += _own_order(receiver)
    if len(receivers) > 1:
        _order_between(receivers, steps)
    for step in steps:
        _take(step, host)


def _own_order(receiver: Receiver) -> list[_Step]:
    """The steps of one receiver in the order in which it would like them."""
    steps = []
    for claim in receiver.claims:
        claim.granted, claim.bound = 0, None
        for number, cost in enumerate(claim.costs):
            key = cost * (KEEPING if number < claim.current else 1.0) / claim.weight
            steps.append(_Step(receiver, claim, number, key))
    steps.sort(key=lambda step: (step.key, -step.claim.weight))
    return steps


def _order_between(receivers: Sequence[Receiver], steps: list[_Step]) -> None:
    """By what the receiver has with this step altogether: who has least is next."""
    total = {id(receiver): 0.0 for receiver in receivers}
    for step in steps:
        costs, number = step.claim.costs, step.number
        added = costs[number] - (costs[number - 1] if number else 0)
        total[id(step.receiver)] += added * (KEEPING if number < step.claim.current else 1.0)
        step.key = total[id(step.receiver)]
    steps.sort(key=lambda step: step.key)


def _take(step: _Step, host: Pool) -> None:
    claim, receiver = step.claim, step.receiver
    if claim.bound is not None:
        return
    cost = claim.costs[step.number]
    added = cost - claim.granted_bps
    margin = receiver.up_margin * cost if step.number >= claim.current else 0.0
    link_bps = receiver.link_bps
    if receiver.used_bps == receiver.reserved_bps:
        link_bps = max(link_bps, receiver.first_bps)
    if receiver.used_bps + added + margin > link_bps:
        claim.bound = Bound.LINK
    elif any(pool.used_bps + added + margin > pool.bps for pool in (receiver.room, host)):
        claim.bound = Bound.UPLINK
    else:
        claim.granted = step.number + 1
        receiver.used_bps += added
        receiver.room.used_bps += added
        host.used_bps += added
