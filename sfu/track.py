"""An incoming track: one m-line with a source, and the layers (SSRCs) that carry it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from sfu import layers as offered
from sfu.codecs import Kind
from sfu.feedback import KeyframeRequest, Nacks
from sfu.layers import Option
from sfu.publish_answer import AgreedTrack, Source

if TYPE_CHECKING:
    from sfu.forward import Stream

NO_RID = ""
MAX_LADDERS = 64  # tile sizes whose ladder is remembered until the options change


class Change(IntEnum):
    """What has become of the options of a track; greater is more."""

    NONE = 0
    RATES = 1
    LAYERS = 2


@dataclass(eq=False, slots=True)
class Layer:
    """One SSRC of a track."""

    publication: Publication
    rid: str
    stream: Stream
    view: offered.Layer
    nacks: Nacks
    keyframe: KeyframeRequest = field(default_factory=KeyframeRequest)
    lost: int = 0  # packets already counted as lost

    def observe(self, pace: offered.Pace, now: float) -> None:
        """Brings the layer chooser's view up to date."""
        stream = self.stream
        self.view.last_keyframe_at = stream.last_keyframe_at
        self.view.observe(stream.layer_counts(), stream.packets, stream.last_packet_at, pace, now)


@dataclass(eq=False, slots=True)
class Publication:
    """A track. `views` has every layer that was agreed, `layers` those whose SSRC is known."""

    mid: str
    source: Source
    track: AgreedTrack
    muted: bool = False
    layers: dict[str, Layer] = field(default_factory=dict)  # by rid
    views: dict[str, offered.Layer] = field(default_factory=dict)  # by rid
    early_repairs: dict[str, int] = field(default_factory=dict)  # rid -> RTX SSRC seen before the media
    options: tuple[Option, ...] = ()  # what receivers may be given
    every: tuple[Option, ...] = ()  # and what they may not, for it does not come
    _ladders: dict[tuple[int, int] | None, tuple[Option, ...]] = field(default_factory=dict)
    _ideals: dict[tuple[int, int] | None, Option | None] = field(default_factory=dict)

    @property
    def audio(self) -> bool:
        """Whether it is sound."""
        return self.source.audio

    @property
    def kind(self) -> Kind | None:
        """What its layers are encoded with, None before anything came."""
        return next((Kind(layer.stream.kind) for layer in self.layers.values() if layer.stream.packets), None)

    @property
    def detail(self) -> bool:
        """Whether sharpness counts for more than motion."""
        return self.source is Source.SCREEN

    @property
    def sound(self) -> Layer | None:
        """The stream of a track of sound."""
        return next(iter(self.layers.values()), None)

    @property
    def sound_bps(self) -> float:
        """What a track of sound costs now, 0 while nobody has spoken."""
        return sum(view.bps for view in self.views.values())

    def agree(self, rids: Iterable[str], now: float) -> None:
        """Takes over the layers that were agreed; known ones keep what is known of them."""
        names = tuple(rids) or (NO_RID,)
        before = self.views
        self.views = {}
        for order, rid in enumerate(names):
            self.views[rid] = before.get(rid) or offered.Layer(rid, wanted_at=now, unwatched_at=now)
            self.views[rid].order = order
            self.views[rid].detail = self.detail
        self.observe(now)

    def observe(self, now: float) -> Change:
        """Looks at all layers: whether receivers should choose anew."""
        before = [view.alive for view in self.views.values()]
        newest_at = max((layer.stream.last_packet_at for layer in self.layers.values()), default=0.0)
        pace = offered.pace(self.views.values(), newest_at)
        for layer in self.layers.values():
            layer.observe(pace, now)
        if self.audio:
            return Change.NONE  # there is nothing to choose
        options = offered.options(self.views.values(), now)
        changed = before != [view.alive for view in self.views.values()]
        if offered.alike(options, self.options):
            return Change.LAYERS if changed else Change.NONE
        changed = changed or [each[:5] for each in options] != [each[:5] for each in self.options]
        self.options = options
        self.every = offered.options(self.views.values(), now, every=True)
        self._ladders.clear()
        self._ideals.clear()
        return Change.LAYERS if changed else Change.RATES

    def ladder(self, size: tuple[int, int] | None) -> tuple[Option, ...]:
        """What is worth having for a tile of that size (None: as large as can be), cheapest first."""
        found = self._ladders.get(size)
        if found is None:
            if len(self._ladders) >= MAX_LADDERS:
                self._ladders.clear()
            found = self._ladders[size] = offered.ladder(self.options, size, detail=self.detail)
        return found

    def ideal(self, size: tuple[int, int] | None) -> Option | None:
        """The best for that size if every layer came."""
        if size not in self._ideals:
            if len(self._ideals) >= MAX_LADDERS:
                self._ideals.clear()
            ladder = offered.ladder(self.every, size, detail=self.detail)
            self._ideals[size] = ladder[-1] if ladder else None
        return self._ideals[size]
