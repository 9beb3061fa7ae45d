"""What each picture of one receiver may cost: from what it sees to claims on the budget, and back to its slots.

A tile that is seen gets the smallest layer that fills it; what is not seen gets nothing. Without a view everything is
seen at full size. Pure: `now` is monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from sfu.budget import IMPORTANT, THUMBNAIL, UNLIMITED, UP_MARGIN, Bound, Claim, Pool, Receiver
from sfu.forward import MAX_PRIORITY
from sfu.layers import Option
from sfu.publish_answer import Source
from sfu.slots import Limit, OutgoingSlot
from sfu.speakers import OPEN_MICROPHONES
from sfu.track import Publication

MIN_PRIORITY = 0  # where the uplink is short: thumbnails go last, and are left out first
UP_SECONDS = 2.0  # a picture that was made worse stays so for as long
CAUTION_SECONDS = 8.0  # after congestion what becomes better must leave so much more: it begins with a keyframe,
CAUTIOUS_MARGIN = 0.5  # several times a frame, which would fill the queue of a narrow path and stop the picture
UNKNOWN_SECONDS = 2.0  # a receiver that tells nothing of its path for so long is not bounded by it
AMPLE = 0.8  # who can be given all there is for less than this part of what the path takes is not short of bits
HASTE = 0.7  # of what a path seems to take is given away when it is too much: to come down twice costs a keyframe more
GRACE = 1.5  # times what the path takes one picture may need for GRACE_SECONDS although it is congested: queues empty
GRACE_SECONDS = 5.0
TRIAL_PAUSE_SECONDS = 10.0  # between trials that ended in congestion, doubled each time
MAX_TRIAL_PAUSE_SECONDS = 60.0
NOTABLE, NOTABLE_FRAMES = 0.25, 4  # changes of a rate, and of frames a second, that are told
SOUND_BPS = 55_000  # of somebody who begins to speak: Opus at 32 kbit/s and the headers of 50 packets a second


class Tile(NamedTuple):
    """A picture somebody sees, in device pixels of the picture itself."""

    peer_id: str
    source: Source
    width: int
    height: int
    pinned: bool = False


NEVER = float("inf")


class Path(Protocol):
    """What is asked of a receiver's path."""

    @property
    def estimate_bps(self) -> int:
        """What it takes."""

    @property
    def known(self) -> bool:
        """Whether the receiver has told anything of it."""

    @property
    def congested(self) -> bool:
        """Whether it is too much now."""


class ReceivedStream(NamedTuple):
    """What one video slot carries now, and why it is not more. Sizes are 0 while nothing is."""

    mid: str
    width: int
    height: int
    framerate: int
    bps: int
    limit: Limit


View = Mapping[tuple[str, Source], Tile]


class _Wish(NamedTuple):
    """A claim and the slot it is for; `ladder` is what its steps are."""

    slot: OutgoingSlot
    publication: Publication
    size: tuple[int, int] | None
    ladder: tuple[Option, ...]
    claim: Claim
    held: bool  # made worse a moment ago: it may not become better yet


class Allocation:
    """The pictures of one receiver. `view`, `speaker`, `flows` are set from outside; `claim` and `take` are a round."""

    def __init__(self) -> None:
        self.view: View | None = None
        self.speaker: str | None = None
        self.flows = False  # whether media can flow
        self.used_bps = 0
        self.best_bps = 0  # what it would take to give everything that is seen as it is wanted
        self.bounds: frozenset[Bound] = frozenset()
        self.link_bps = UNLIMITED  # as it was used last
        self._switches = {"up": 0, "down": 0}
        self.again_at = NEVER  # when time alone may change the choice
        self._wanted_at: float | None = None  # since when there is something to give
        self.tried = False  # whether the first picture exceeds the link
        self._tried_at: float | None = None  # since when
        self._next_trial_at = 0.0
        self._trial_pause = TRIAL_PAUSE_SECONDS
        self._cautious_until = 0.0
        self._up_margin = UP_MARGIN
        self._wishes: list[_Wish] = []

    def claim(self, slots: Iterable[OutgoingSlot], path: Path, room: Pool, now: float) -> Receiver:
        """What this receiver asks of the budget."""
        self._wishes, self.best_bps = [], 0
        sounds: list[float] = []
        for slot in slots:
            publication = slot.publication
            if publication is None:
                continue
            if not publication.audio:
                wish = self._wish(slot, publication, now)
                if wish is not None:
                    self._wishes.append(wish)
            elif not publication.muted:
                sounds.append(publication.sound_bps)
        sounds.sort()
        reserved = max(int(sum(sounds[-OPEN_MICROPHONES:])), SOUND_BPS if sounds else 0)
        self.best_bps += reserved
        self.link_bps = self._link(path, now)
        first_bps = self._first_bps(path, now)
        if path.congested:
            self._cautious_until = now + CAUTION_SECONDS
        self._up_margin = CAUTIOUS_MARGIN if now < self._cautious_until else UP_MARGIN
        claims = [wish.claim for wish in self._wishes]
        sinks = path.congested and self.used_bps > self.link_bps
        link_bps = HASTE * self.link_bps if sinks else self.link_bps
        return Receiver(claims, reserved, link_bps, room, first_bps, self._up_margin)

    def _link(self, path: Path, now: float) -> float:
        """What its path takes; who tells nothing of it has what it asks for, after a while."""
        if not self.flows:
            self._wanted_at = None
        elif self._wanted_at is None and self._wishes:
            self._wanted_at = now
        unknown_until = NEVER if path.known or self._wanted_at is None else self._wanted_at + UNKNOWN_SECONDS
        self.again_at = unknown_until if now < unknown_until else NEVER
        return path.estimate_bps if now < unknown_until else UNLIMITED

    def _first_bps(self, path: Path, now: float) -> float:
        """What one picture may take: any, while nothing says that it is too much, for nothing else would show it."""
        if self._tried_at is not None and path.congested:
            far = self.used_bps > GRACE * self.link_bps
            if far or now - self._tried_at >= GRACE_SECONDS:
                self._next_trial_at = now + self._trial_pause
                self._trial_pause = min(2 * self._trial_pause, MAX_TRIAL_PAUSE_SECONDS)
        if now < self._next_trial_at:
            return self.link_bps
        return GRACE * self.link_bps if path.congested else UNLIMITED

    def _wish(self, slot: OutgoingSlot, publication: Publication, now: float) -> _Wish | None:
        """What a video slot asks for; None when it asks for nothing."""
        if slot.undecodable:
            slot.give_nothing(Limit.CODEC, now)
            return None
        size: tuple[int, int] | None = None
        important = publication.source is Source.SCREEN or slot.peer_id == self.speaker
        if self.view is not None:
            tile = self.view.get((slot.peer_id, publication.source))
            if tile is None:
                slot.give_nothing(Limit.HIDDEN, now)
                return None
            size, important = (tile.width, tile.height), important or tile.pinned
        if publication.muted:
            slot.limit = Limit.MUTED
            return None
        ladder = publication.ladder(size)
        current = _position(ladder, slot.choice)
        self.best_bps += ladder[-1].bps if ladder else 0
        held = now - slot.lowered_at < UP_SECONDS
        costs = [option.bps for option in ladder[: max(1, current) if held else None]]
        claim = Claim(costs, IMPORTANT if important else THUMBNAIL, current)
        return _Wish(slot, publication, size, ladder, claim, held)

    def take(self, receiver: Receiver, now: float) -> None:
        """Gives the slots what the claims were granted."""
        self.used_bps = receiver.used_bps
        self.tried = receiver.used_bps > max(self.link_bps, receiver.reserved_bps)
        if not self.tried:
            self._tried_at = None
        elif self._tried_at is None:
            self._tried_at = now
        if not self.tried and receiver.used_bps > receiver.reserved_bps:
            self._trial_pause = TRIAL_PAUSE_SECONDS
        self.bounds = frozenset(wish.claim.bound for wish in self._wishes if wish.claim.bound is not None)
        for wish in self._wishes:
            slot, claim = wish.slot, wish.claim
            if slot.publication is not wish.publication:
                continue  # somebody else has come meanwhile
            slot.slot.priority = MAX_PRIORITY if claim.weight == IMPORTANT else MIN_PRIORITY
            choice = wish.ladder[claim.granted - 1] if claim.granted else None
            if claim.granted < claim.current and claim.bound is not None:
                slot.lowered_at = now
            if now < slot.lowered_at + UP_SECONDS:
                self.again_at = min(self.again_at, slot.lowered_at + UP_SECONDS)
            self._count(slot.choice, choice)
            slot.choice = choice
            if not (wish.held and claim.bound is None):
                slot.limit = _limit(wish)
            slot.watch(_hoped_for(wish), now)
        self._wishes = []
        if Bound.LINK in self.bounds:
            later = (at for at in (self._next_trial_at, self._cautious_until) if now < at)
            self.again_at = min([self.again_at, *later])

    @property
    def bounded(self) -> bool:
        """Whether something is not given that would be of use."""
        return self.used_bps < self.best_bps

    def cautious(self, now: float) -> bool:
        """Whether its path holds something back, or was too narrow a moment ago."""
        return Bound.LINK in self.bounds or now < self._cautious_until

    @property
    def short(self) -> bool:
        """Whether what it is given is near to what bounds it."""
        return bool(self.bounds) or self.best_bps > AMPLE * self.link_bps

    @property
    def wanted_bps(self) -> int:
        """What its path should take: all there is to give with the margin that takes, or what a budget leaves of it."""
        if Bound.UPLINK in self.bounds:
            return self.used_bps
        return int(self.best_bps * (1 + self._up_margin)) if self.bounded else self.best_bps

    def take_switches(self) -> dict[str, int]:
        """Slots that went over to a better or a worse layer since the last call."""
        taken, self._switches = self._switches, {"up": 0, "down": 0}
        return taken

    def _count(self, before: Option | None, after: Option | None) -> None:
        if before is not None and after is not None and before.rid != after.rid:
            self._switches["up" if after.pixels > before.pixels else "down"] += 1


def _limit(wish: _Wish) -> Limit:
    """Why the slot gets no more than it was given."""
    if wish.claim.bound is not None:
        return Limit(wish.claim.bound)
    if not wish.ladder:
        return Limit.SENDER
    given, ideal = wish.ladder[-1], wish.publication.ideal(wish.size)
    if ideal is not None and ideal.pixels != given.pixels:
        return Limit.SENDER
    return Limit.TILE if any(option.pixels > given.pixels for option in wish.publication.every) else Limit.NONE


def _hoped_for(wish: _Wish) -> Option | None:
    """A layer to be kept on at the publisher beside what was given: the one that does not come, or any at all."""
    publication = wish.publication
    if not publication.every:
        return None
    if not wish.claim.granted:
        return min(publication.every, key=lambda option: option.bps)
    return publication.ideal(wish.size) if wish.claim.bound is None and not wish.held else None


def _position(ladder: Sequence[Option], choice: Option | None) -> int:
    """How many steps of a ladder a slot has with its present choice; with another ladder those that cost no more."""
    if choice is None:
        return 0
    for number, option in enumerate(ladder):
        if option[:3] == choice[:3]:
            return number + 1
    return sum(option.bps <= choice.bps for option in ladder)


def received(slots: Iterable[OutgoingSlot]) -> tuple[ReceivedStream, ...]:
    """What the video slots carry now, coarsely: it is told only when it changes."""
    result = []
    for slot in slots:
        if slot.publication is None or slot.line.audio:
            continue
        option = slot.carried_option
        if option is None:
            result.append(ReceivedStream(slot.line.mid, 0, 0, 0, 0, slot.limit))
        else:
            size = (option.width, option.height, _coarse_framerate(option.framerate))
            result.append(ReceivedStream(slot.line.mid, *size, coarse(option.bps), slot.limit))
    return tuple(result)


def differ(told: Sequence[ReceivedStream], now: Sequence[ReceivedStream]) -> bool:
    """Whether there is something to tell: rates go up and down a little all the time."""
    if [(each.mid, each.width, each.height, each.limit) for each in told] != [
        (each.mid, each.width, each.height, each.limit) for each in now
    ]:
        return True
    return any(
        abs(before.bps - after.bps) > NOTABLE * before.bps or abs(before.framerate - after.framerate) > NOTABLE_FRAMES
        for before, after in zip(told, now, strict=True)
    )


def _coarse_framerate(framerate: float) -> int:
    return round(framerate) if framerate < 12 else 5 * round(framerate / 5)


def coarse(bps: float) -> int:
    """Two digits that matter, the second a multiple of two: steps of a tenth or so."""
    if bps == UNLIMITED or bps < 10:
        return 0
    unit = int(10 ** (len(str(int(bps))) - 2))
    return round(bps / unit / 2) * 2 * unit
