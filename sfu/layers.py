"""Which layer of a simulcast track a slot gets: for now the best that is alive.

A layer is alive while packets of it came within `LIVE_SECONDS`; browsers pause upper layers when their uplink is short,
and never start those a small capture leaves no room for. Coming back up takes `STEADY_SECONDS` of life, so a layer that
flaps is not followed. Pure functions over what the data path counts; what tile and budget allow narrows `candidates`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

LIVE_SECONDS = 1.0
STEADY_SECONDS = 1.0


@dataclass(slots=True)
class Layer:
    """What is known of one layer. `order` is its place in the publisher's list, `pixels` 0 while unknown."""

    key: Hashable
    order: int = 0
    pixels: int = 0
    last_packet_at: float = 0.0
    alive_since: float | None = None

    def observe(self, last_packet_at: float, pixels: int, now: float) -> None:
        """Takes what the data path says now."""
        self.last_packet_at, self.pixels = last_packet_at, pixels
        if now - last_packet_at > LIVE_SECONDS:
            self.alive_since = None
        elif self.alive_since is None:
            self.alive_since = now


def rank(layers: Sequence[Layer]) -> dict[Hashable, tuple[int, int]]:
    """Greater is better: by the pictures' sizes when all are known, else by the publisher's order."""
    sized = all(layer.pixels for layer in layers)
    return {layer.key: (layer.pixels if sized else 0, layer.order) for layer in layers}


def choose(candidates: Sequence[Layer], current: Hashable | None, now: float) -> Hashable | None:
    """The key of the layer to forward; `current` stays when nothing better or alive is there."""
    ranks = rank(candidates)
    alive = [layer for layer in candidates if layer.alive_since is not None]
    playing = next((layer for layer in alive if layer.key == current), None)
    if not alive:
        known = any(layer.key == current for layer in candidates)
        return current if known else max(ranks, key=ranks.__getitem__, default=None)
    if playing is None:
        return max(alive, key=lambda each: ranks[each.key]).key
    steady = [layer for layer in alive if layer.alive_since is not None and now - layer.alive_since >= STEADY_SECONDS]
    return max([*steady, playing], key=lambda each: ranks[each.key]).key
