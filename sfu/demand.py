"""Which layers a publisher should send: those that somebody watches. The others are switched off at the source.

A layer is wanted again soon (at once while no smaller one comes), and no longer after nobody has watched it for
`OFF_SECONDS`, so that a receiver that goes over to another layer, or looks away for a moment, costs nothing: with every
change an encoder begins all layers with a keyframe. Pure: `now` is monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sfu.layers import ALL, Layer
from sfu.publish_answer import Source

OFF_SECONDS = 2.0
REST_SECONDS = 1.0  # so long a layer that was switched off stays so, while a smaller one comes
TELL_SECONDS = 0.2  # at least between two messages to a publisher


class WantedLayer(NamedTuple):
    """`rid` is empty for a track without simulcast; `spatial`: up to which spatial layer, None: all."""

    rid: str
    active: bool
    spatial: int | None = None


class WantedSource(NamedTuple):
    """What of one source somebody watches."""

    source: Source
    layers: Sequence[WantedLayer]


def settle(layers: Collection[Layer], now: float) -> tuple[WantedLayer, ...]:
    """Sets `wanted` of each layer by who watches it; the whole state as the publisher is to be told."""
    for layer in layers:
        watched = any(layer.watchers)
        if watched:
            _settle_spatial(layer, now)
        if watched and not layer.wanted:
            smaller = any(each.wanted and each.alive and each.order < layer.order for each in layers)
            if now - layer.unwanted_at >= REST_SECONDS or not smaller:
                layer.wanted, layer.wanted_at = True, now
        elif not watched and layer.wanted and now - max(layer.unwatched_at, layer.wanted_at) >= OFF_SECONDS:
            layer.wanted, layer.unwanted_at = False, now
    return tuple(
        WantedLayer(layer.rid, layer.wanted, None if layer.wanted_spatial == ALL else layer.wanted_spatial)
        for layer in layers
    )


def _settle_spatial(layer: Layer, now: float) -> None:
    """Spatial layers come and go as whole layers do: a publisher that changes their number begins with a keyframe."""
    highest = max(number for number, count in enumerate(layer.watchers) if count)
    if highest >= layer.wanted_spatial or not layer.wanted:
        layer.wanted_spatial, layer.less_watched_at = highest, None
    elif layer.less_watched_at is None:
        layer.less_watched_at = now
    elif now - layer.less_watched_at >= OFF_SECONDS:
        layer.wanted_spatial, layer.less_watched_at = highest, None
