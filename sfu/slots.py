"""Outgoing m-lines: slots that follow other participants' tracks, and the places they are paired in.

A place has one audio and one video m-line that share a media stream and a CNAME, so that browsers keep a voice and its
face in sync whoever sits there. It belongs to one participant's camera side (microphone, camera) or screen side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from sfu.codecs import Kind
from sfu.layers import ALL, Option
from sfu.publish_answer import Source
from sfu.subscribe_offer import SlotLine
from sfu.track import Layer, Publication

if TYPE_CHECKING:
    from sfu import layers
    from sfu.forward import Slot

OVERSHOOT = 2.0  # a layer that costs so many times what was given does not play on where bits are short
KEYFRAME_SECONDS = 2.0  # so long a slot waits for a layer's keyframe before it is taken to send none


class SlotView(NamedTuple):
    """Whose media an m-line carries from now on."""

    mid: str
    peer_id: str
    source: Source


class Side(NamedTuple):
    """What sits in a place: the camera or the screen side of one participant."""

    peer_id: str
    screen: bool


def side_of(peer_id: str, source: Source) -> Side:
    """The side a source belongs to."""
    return Side(peer_id, source in (Source.SCREEN, Source.SCREEN_AUDIO))


class Limit(StrEnum):
    """Why a receiver does not get more of a track."""

    NONE = "none"  # it is the best there is
    TILE = "tile"  # enough for the size it is shown at
    HIDDEN = "hidden"  # not seen
    LINK = "link"  # the receiver's path
    UPLINK = "uplink"  # the host's budget, or the room's cap
    SENDER = "sender"  # the publisher does not send what it agreed to
    MUTED = "muted"
    CODEC = "codec"  # the receiver did not take it


@dataclass(eq=False, slots=True)
class OutgoingSlot:
    """One m-line of ours. `usable` once the subscriber agreed to a codec on it, `refused` when it agreed to none."""

    line: SlotLine
    slot: Slot
    usable: bool = False
    refused: bool = False
    kinds: frozenset[Kind] = frozenset()  # what it may carry, known with the answer
    publication: Publication | None = None
    peer_id: str = ""  # whose it is
    lost: int = 0
    choice: Option | None = None  # what it was given of its video
    limit: Limit = Limit.NONE
    lowered_at: float = float("-inf")  # when it was last given less than it could show
    waiting_since: float | None = None  # for a keyframe of the stream it is to follow
    _hoped: Option | None = None
    silent: bool = True  # nobody sits here, and it follows nothing
    _limits: tuple[int, int] = (ALL, ALL)
    _watched: frozenset[tuple[layers.Layer, int]] = frozenset()

    def sit(self, publication: Publication | None, peer_id: str, now: float) -> None:
        """Another track, or none, is here from now on."""
        if publication is self.publication:
            return
        self.peer_id, self.publication, self.choice, self.limit = peer_id, publication, None, Limit.NONE
        self.lowered_at, self.waiting_since = float("-inf"), None
        self._watch(frozenset(), now)

    def take_codecs(self, payloads: Mapping[Kind, tuple[int, int | None]]) -> None:
        """What the subscriber agreed to: kind -> (payload type, RTX payload type)."""
        for kind, (payload_type, rtx) in payloads.items():
            self.slot.map_payload(kind, payload_type, rtx)
        self.usable, self.refused, self.kinds = bool(payloads), not payloads, frozenset(payloads)

    @property
    def undecodable(self) -> bool:
        """Whether the subscriber does not take what the publisher sends."""
        kind = None if self.publication is None else self.publication.kind
        return self.refused or (self.usable and kind is not None and kind not in self.kinds)

    def switched(self, connected: bool, now: float) -> None:
        """It has gone over to the stream it waited for."""
        playing = self.playing
        if playing is not None:
            playing.view.came(now)
        self.follow(connected, now)
        self.watch(self._hoped, now)

    def follow(self, connected: bool, now: float) -> None:
        """Carries what it was given, or what comes nearest to it while that is still on its way."""
        if self.publication is None and self.silent:
            return
        self.silent = self.publication is None
        layer = self._carried() if connected and self.usable else None
        stream = None if layer is None else layer.stream
        if self._overshoots():
            self.slot.follow(None)  # what is to come shall not wait in its queue
        if (self.slot.target() or self.slot.current()) is not stream:
            self.slot.follow(stream)
            self.waiting_since = now if self.slot.target() is not None else None
        elif self.slot.target() is None:
            self.waiting_since = None
        elif layer is not None and self._waits_in_vain(layer):
            layer.view.deaf_at = now
        self._limit()

    def _waits_in_vain(self, layer: Layer) -> bool:
        """Whether packets of it have come for long enough, and no keyframe among them."""
        since, view = self.waiting_since, layer.view
        if since is None or view.alive_since is None:
            return False
        return view.last_packet_at - max(since, view.alive_since) > KEYFRAME_SECONDS + view.patience_seconds

    def _overshoots(self) -> bool:
        """Whether what plays on costs, with the fewest frames, far too much."""
        playing, choice = self.playing, self.choice
        if self.publication is None or playing is None or choice is None or playing.rid == choice.rid:
            return False
        least = min((option.bps for option in self.publication.every if option.rid == playing.rid), default=0)
        return self.limit in (Limit.LINK, Limit.UPLINK) and least > OVERSHOOT * choice.bps

    def _limit(self) -> None:
        """Leaves out what was not given inside the layer; of a larger one that plays on, where bits are short, all."""
        limits = (ALL, ALL)
        if self.choice is not None:
            limits = (self.choice.spatial, self.choice.temporal)
            playing = self.playing
            if playing is not None and playing.rid != self.choice.rid:
                short = self.limit in (Limit.LINK, Limit.UPLINK) and playing.view.bps > self.choice.bps
                limits = (0, 0) if short else (ALL, ALL)
        if limits != self._limits:
            self._limits = limits
            self.slot.limit(*limits)

    @property
    def playing(self) -> Layer | None:
        """The layer whose packets go out."""
        current = self.slot.current()
        if self.publication is None or current is None:
            return None
        return next((layer for layer in self.publication.layers.values() if layer.stream is current), None)

    @property
    def carried_option(self) -> Option | None:
        """What goes out now; None for nothing."""
        playing = self.playing
        if self.publication is None or playing is None or self.publication.muted:
            return None
        if self.choice is not None and self.choice.rid == playing.rid:
            return self.choice
        return next((option for option in self.publication.every if option.rid == playing.rid), None)

    def _carried(self) -> Layer | None:
        if self.publication is None:
            return None
        if self.publication.audio:
            return self.publication.sound
        if self.choice is None:
            return None
        chosen = self.publication.layers.get(self.choice.rid)
        playing = self.playing
        if chosen is not None and (chosen.view.alive or (playing is not None and playing.view.alive)):
            return chosen  # what plays goes on until its first keyframe
        if playing is not None and playing.view.alive:
            return playing
        return self._nearest(self.choice) or chosen

    def _nearest(self, choice: Option) -> Layer | None:
        """The best living layer that is no larger than what was given."""
        if self.publication is None:
            return None
        smaller = [option for option in self.publication.every if option.pixels <= choice.pixels]
        for option in sorted(smaller, key=lambda each: -each.pixels):
            layer = self.publication.layers.get(option.rid)
            if layer is not None and layer.view.alive:
                return layer
        return None

    def watch(self, ideal: Option | None, now: float) -> None:
        """Tells the publisher's layers which of them are wanted here: given, hoped for, or still playing."""
        self._hoped = ideal
        publication, watched = self.publication, set()
        if publication is not None and not publication.audio:
            for option in (self.choice, ideal):
                if option is not None and option.rid in publication.views:
                    watched.add((publication.views[option.rid], option.spatial))
            watched |= self._meanwhile(publication)
        self._watch(frozenset(watched), now)

    def _meanwhile(self, publication: Publication) -> set[tuple[layers.Layer, int]]:
        """What fills the time until what was given comes: the layer that plays, or the smallest that might soon."""
        playing = self.playing
        if self.choice is None or (playing is not None and playing.rid == self.choice.rid and playing.view.alive):
            return set()
        if playing is not None and playing.rid != self.choice.rid and playing.view.alive:
            return {(playing.view, 0)}
        least = min(publication.every, key=lambda option: option.pixels)
        return {(publication.views[least.rid], least.spatial)}

    def _watch(self, watched: frozenset[tuple[layers.Layer, int]], now: float) -> None:
        for view, spatial in watched - self._watched:
            view.watch(spatial, now, 1)
        for view, spatial in self._watched - watched:
            view.watch(spatial, now, -1)
        self._watched = watched

    def give_nothing(self, limit: Limit, now: float) -> None:
        """It is of no use here."""
        self.choice, self.limit = None, limit
        self.watch(None, now)

    def close(self, now: float) -> None:
        """Carries nothing and wants nothing any more."""
        self.sit(None, "", now)
        self.follow(False, now)


@dataclass(eq=False, slots=True)
class Place:
    """A pair of slots and who sits there."""

    audio: OutgoingSlot
    video: OutgoingSlot
    side: Side | None = None
    slots: tuple[OutgoingSlot, OutgoingSlot] = field(init=False)

    def __post_init__(self) -> None:
        self.slots = (self.audio, self.video)
