"""What a track has to offer: its layers, what each costs, and in which order a receiver climbs them.

A layer is one SSRC; inside it there may be spatial and temporal layers. An `Option` is a way to forward the track: one
layer up to some spatial and temporal layer. Rates are measured from what the data path counts; of layers that are
switched off the last measured rate holds, or one guessed from their siblings. Pure: `now` is monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sfu.forward import LayerCount

ALL = 7  # as spatial or temporal layer: whatever there is
LIVE_SECONDS = 1.0  # a layer without packets for so long, while others of its source come, is not alive
ALONE_SECONDS = 3.0  # and one of which nobody can tell whether the source has stopped altogether
DETAIL_LIVE_SECONDS = 5.0  # of a screen, of which nothing need come while nothing moves
PATIENCE_FRAMES = 3  # of the source, for which a layer is waited longer: slow senders leave some out
MAX_PATIENCE_SECONDS = 2.0
STEADY_SECONDS = 1.0  # who comes back by itself is believed after so long
COMING_SECONDS = 2.0  # so long a layer that was asked for is waited for
SHRUNK_SECONDS = 60.0  # so long a layer counts as large as it was: an encoder short of bits or time makes it smaller
DEAF_SECONDS = 10.0  # so long a layer that sent no keyframe is not tried again
SAMPLE_SECONDS = 0.25
SMOOTHING_SECONDS = 1.0
PACKET_OVERHEAD_BYTES = 72  # IPv4 and UDP 28, RTP 12, our extensions 16, SRTP tag 16
MIN_FRAMERATE = 7.0  # a smaller picture is better than fewer frames than these ...
MIN_SHARE_OF_FRAMES = 0.5  # ... and than fewer than this part of those the source sends at all
MIN_DETAIL_FRAMERATE = 2.0  # of a screen, which is read
TOLERANCE = 1.05  # a picture so much smaller than its tile still fills it
CHANGE = 0.1  # part of a rate by which it must change to count as changed
GUESSED_SIZE = (1280, 720)  # of the best layer while nothing is known
GUESSED_BPS = 1_300_000  # of a picture of that size; a smaller one needs less, by pixels to the power of _EXPONENT
_EXPONENT = 0.75
_NONE = (0, 0)  # bytes, frames


class Option(NamedTuple):
    """A way to forward a track. `framerate` 0: not known; `bps` counts everything down to the IP header."""

    rid: str
    spatial: int
    temporal: int
    width: int
    height: int
    framerate: float
    bps: int

    @property
    def pixels(self) -> int:
        """Of one picture."""
        return self.width * self.height


@dataclass(slots=True)
class Meter:
    """Smoothed rates of each (spatial, temporal) layer of a stream: [bytes a second, frames a second].

    A spatial layer that has stopped, as it does while nobody wants it, keeps the rates it had.
    """

    rates: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    overhead: float = 1.0
    smoothing_seconds: float = SMOOTHING_SECONDS
    _counts: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    _packets: int = 0
    _at: float | None = None

    def observe(self, counts: Sequence[LayerCount], packets: int, now: float) -> None:
        """Takes cumulative counts, every `SAMPLE_SECONDS` or less often; a gap is averaged over when it is over."""
        elapsed = None if self._at is None else now - self._at
        if elapsed is not None and (elapsed < SAMPLE_SECONDS or packets == self._packets):
            return
        new_bytes = 0
        moving = {
            each.spatial for each in counts if each.bytes > self._counts.get((each.spatial, each.temporal), _NONE)[0]
        }
        for each in counts:
            key = (each.spatial, each.temporal)
            bytes_before, frames_before = self._counts.get(key, _NONE)
            self._counts[key] = (each.bytes, each.frames)
            new_bytes += each.bytes - bytes_before
            if elapsed is not None and each.spatial in moving:
                self._smooth(key, each.bytes - bytes_before, each.frames - frames_before, elapsed)
        if elapsed is not None and new_bytes > 0:
            self.overhead = 1 + PACKET_OVERHEAD_BYTES * (packets - self._packets) / new_bytes
        self._packets, self._at = packets, now

    def _smooth(self, key: tuple[int, int], octets: int, frames: int, elapsed: float) -> None:
        rate = self.rates.get(key)
        if rate is None:
            if octets:
                self.rates[key] = [octets / elapsed, frames / elapsed]
            return
        weight = min(1.0, elapsed / self.smoothing_seconds)
        rate[0] += weight * (octets / elapsed - rate[0])
        rate[1] += weight * (frames / elapsed - rate[1])

    @property
    def framerate(self) -> float:
        """Of its fastest spatial layer; 0 while nothing is known."""
        frames: dict[int, float] = {}
        for (spatial, _), rate in self.rates.items():
            frames[spatial] = frames.get(spatial, 0.0) + rate[1]
        return max(frames.values(), default=0.0)

    def pause(self) -> None:
        """The stream has fallen silent: what was measured stays, the silence is not measured."""
        self._at = None


class Pace(NamedTuple):
    """How a source sends in all its layers, by which each of them is judged: nothing absolute can be asked of it."""

    newest_at: float  # when the latest packet of any layer came
    patience_seconds: float = 0.0


@dataclass(eq=False, slots=True)
class Layer:
    """What is known of one layer, also while it is not sent. `order` is its place in the publisher's list."""

    rid: str
    order: int = 0
    detail: bool = False  # of a screen
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)  # by spatial layer
    shrunk_at: dict[int, float] = field(default_factory=dict)  # since when it is smaller than that, by spatial layer
    meter: Meter = field(default_factory=Meter)
    last_packet_at: float = 0.0
    patience_seconds: float = 0.0  # for which it is waited longer, as its source is slow
    last_keyframe_at: float = 0.0
    alive_since: float | None = None
    wanted: bool = True  # what the publisher has been told
    wanted_at: float = 0.0  # since when
    unwanted_at: float = float("-inf")  # when it was last switched off
    wanted_spatial: int = ALL  # the highest spatial layer that is wanted of it
    less_watched_at: float | None = None  # since when nobody watches that one
    deaf_at: float | None = None  # when somebody gave up waiting for a keyframe
    watchers: list[int] = field(default_factory=lambda: [0] * (ALL + 1))  # slots that want it, by spatial layer
    unwatched_at: float = 0.0  # since when nobody wants it

    def observe(
        self, counts: Sequence[LayerCount], packets: int, last_packet_at: float, pace: Pace, now: float
    ) -> None:
        """Takes what the data path says now of it, and of its source."""
        self.last_packet_at = last_packet_at
        self.patience_seconds = pace.patience_seconds
        self.meter.smoothing_seconds = SMOOTHING_SECONDS + pace.patience_seconds
        if self._is_silent(pace, now):
            self.alive_since = None
            self.meter.pause()
            return
        if self.alive_since is None:
            self.alive_since = now
        for each in counts:
            if each.width and each.height:
                self._see(each.spatial, (each.width, each.height), now)
        self.meter.observe(counts, packets, now)

    def _see(self, spatial: int, size: tuple[int, int], now: float) -> None:
        """A size. A smaller one is not believed at once: a larger layer in its place would cost still more."""
        held = self.sizes.get(spatial, (0, 0))
        if self.detail or size[0] * size[1] >= held[0] * held[1]:
            self.shrunk_at.pop(spatial, None)
        elif now - self.shrunk_at.setdefault(spatial, now) < SHRUNK_SECONDS:
            return
        self.sizes[spatial] = size

    def _is_silent(self, pace: Pace, now: float) -> bool:
        """Whether it has stopped: while the source goes on soon; when nothing comes the source may only be slow."""
        if self.detail:
            return now - self.last_packet_at > DETAIL_LIVE_SECONDS
        alone = ALONE_SECONDS if self.wanted and self.last_packet_at >= self.wanted_at else LIVE_SECONDS
        behind = pace.newest_at - max(self.last_packet_at, self.wanted_at)
        return (
            behind > LIVE_SECONDS + self.patience_seconds or now - self.last_packet_at > alone + self.patience_seconds
        )

    def came(self, now: float) -> None:
        """A receiver has just gone over to it."""
        if self.alive_since is None:
            self.alive_since = now

    @property
    def bps(self) -> float:
        """What all of it costs, as far as measured."""
        return sum(8 * self.meter.overhead * rate[0] for rate in self.meter.rates.values())

    @property
    def alive(self) -> bool:
        """Whether packets come."""
        return self.alive_since is not None

    def available(self, now: float) -> bool:
        """Whether a receiver may be given it: it plays steadily, or would come if it were asked for."""
        if self.deaf_at is not None and self.last_keyframe_at <= self.deaf_at and now < self.deaf_at + DEAF_SECONDS:
            return False
        if self.alive_since is None:
            return not self.wanted or not self.is_late(now)
        came_when_asked = self.alive_since - self.wanted_at < COMING_SECONDS + LIVE_SECONDS + self.patience_seconds
        return came_when_asked or now - self.alive_since >= STEADY_SECONDS

    def is_late(self, now: float) -> bool:
        """Whether it was asked for and has not come for so long that it is not waited for."""
        return self.wanted and not self.alive and now - self.wanted_at >= COMING_SECONDS + self.patience_seconds

    def watch(self, spatial: int, now: float, count: int) -> None:
        """One slot more (1) or less (-1) wants it up to a spatial layer."""
        self.watchers[spatial] += count
        if not any(self.watchers):
            self.unwatched_at = now


def pace(layers: Collection[Layer], newest_at: float) -> Pace:
    """How the source of these layers sends, the newest packet of which came then."""
    framerate = max((layer.meter.framerate for layer in layers if layer.alive), default=0.0)
    patience = min(MAX_PATIENCE_SECONDS, PATIENCE_FRAMES / framerate) if framerate else 0.0
    return Pace(newest_at, patience)


def _scaled(size: tuple[int, int], steps: int) -> tuple[int, int]:
    return (max(1, int(size[0] * 2.0**steps)), max(1, int(size[1] * 2.0**steps)))


def _sizes(layers: Sequence[Layer]) -> dict[str, dict[int, tuple[int, int]]]:
    """The pictures of each layer by spatial layer; what is not known is taken to be half or twice its neighbour."""
    known = [layer for layer in layers if layer.sizes]
    top = max(layers, key=lambda layer: layer.order)
    result = {}
    for layer in layers:
        if layer.sizes:
            result[layer.rid] = layer.sizes
        elif known:
            near = min(known, key=lambda each: abs(each.order - layer.order))
            result[layer.rid] = {ALL: _scaled(near.sizes[max(near.sizes)], layer.order - near.order)}
        else:
            result[layer.rid] = {ALL: _scaled(GUESSED_SIZE, layer.order - top.order)}
    return result


def _guessed_bps(pixels: int, measured: Sequence[Option]) -> int:
    """What a picture of that size may cost, going by a sibling's."""
    if measured:
        near = min(measured, key=lambda each: abs(each.pixels - pixels))
        return int(near.bps * (pixels / near.pixels) ** _EXPONENT)
    return int(GUESSED_BPS * (pixels / (GUESSED_SIZE[0] * GUESSED_SIZE[1])) ** _EXPONENT)


def _measured(layer: Layer, sizes: dict[int, tuple[int, int]]) -> list[Option]:
    """The options inside one layer; each temporal and spatial layer includes those below it."""
    rates = layer.meter.rates
    spatials, temporals = sorted({key[0] for key in rates}), sorted({key[1] for key in rates})
    result: list[Option] = []
    for spatial in spatials:
        width, height = sizes.get(spatial, sizes[max(sizes)])
        for temporal in temporals:
            octets = sum(rate[0] for key, rate in rates.items() if key[0] <= spatial and key[1] <= temporal)
            frames = sum(rate[1] for key, rate in rates.items() if key[0] == spatial and key[1] <= temporal)
            up_to = (ALL if spatial == spatials[-1] else spatial, ALL if temporal == temporals[-1] else temporal)
            bps = max(1, int(8 * octets * layer.meter.overhead))
            result.append(Option(layer.rid, *up_to, width, height, round(frames, 1), bps))
    return result


def options(layers: Collection[Layer], now: float, *, every: bool = False) -> tuple[Option, ...]:
    """What receivers may be given now; `every`: also of layers that do not come although they were asked for.

    A layer that is off is not tried in place of a smaller one that does not come: it costs more and comes no sooner.
    When none is available those that are alive count, and when none is, all: then whoever plays one keeps it.
    """
    listed = list(layers)
    if not listed:
        return ()
    sizes = _sizes(listed)
    measured = {layer.rid: _measured(layer, sizes[layer.rid]) for layer in listed if layer.meter.rates}
    known = [found[-1] for found in measured.values()]
    late = min((layer.order for layer in listed if layer.is_late(now)), default=len(listed))
    usable = (
        listed
        if every
        else [layer for layer in listed if layer.available(now) and (layer.alive or layer.wanted or layer.order < late)]
    )
    usable = usable or [layer for layer in listed if layer.alive] or listed
    result: list[Option] = []
    for layer in usable:
        if layer.rid in measured:
            result += measured[layer.rid]
        else:
            width, height = max(sizes[layer.rid].values())
            bps = _guessed_bps(width * height, known)
            result.append(Option(layer.rid, ALL, ALL, width, height, 0.0, max(1, bps)))
    return tuple(result)


def alike(one: Sequence[Option], other: Sequence[Option]) -> bool:
    """Whether nothing has changed that would matter to a choice."""
    if len(one) != len(other):
        return False
    for a, b in zip(one, other, strict=True):
        if a[:5] != b[:5] or abs(a.bps - b.bps) > CHANGE * b.bps or abs(a.framerate - b.framerate) > 1 + CHANGE:
            return False
    return True


def fills(option: Option, width: int, height: int) -> bool:
    """Whether a picture is as large as it is shown; turned by 90° too, for phones say that beside the picture."""
    ours, shown = sorted((option.width, option.height)), sorted((width, height))
    return all(TOLERANCE * side >= wanted for side, wanted in zip(ours, shown, strict=True))


def ladder(found: Sequence[Option], size: tuple[int, int] | None, *, detail: bool) -> tuple[Option, ...]:
    """The options worth having for a tile of that size (None: any), cheapest first.

    Down from the smallest picture that fills the tile: first fewer frames, as long as there are enough for motion
    (`detail`: to read), then a smaller picture. What costs no less than the option above it is left out.
    """
    pictures: dict[int, list[Option]] = {}
    for option in found:
        pictures.setdefault(option.pixels, []).append(option)
    ascending = sorted(pictures)
    filling = [pixels for pixels in ascending if size is None or fills(pictures[pixels][0], *size)]
    best = (filling[-1] if size is None else filling[0]) if filling else (ascending[-1] if ascending else 0)
    floor = MIN_DETAIL_FRAMERATE if detail else MIN_FRAMERATE
    floor = min(floor, MIN_SHARE_OF_FRAMES * max((option.framerate for option in found), default=0.0))
    steps: list[Option] = []
    for pixels in (each for each in reversed(ascending) if each <= best):
        for position, option in enumerate(sorted(pictures[pixels], key=lambda each: -each.bps)):
            smooth = position == 0 or option.framerate >= floor or pixels == ascending[0]
            if smooth and (not steps or option.bps < steps[-1].bps):
                steps.append(option)
    return tuple(reversed(steps))
