"""Plain-integer measures that the exporter reads at scrape; nothing here knows about Prometheus.

A component counts in attributes and dicts, and answers `measures()` with one `Measure` for each label combination it
can ever have, zeros included. Names carry no `turnd_` prefix; units are base units (seconds, bytes).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Histogram:
    """Counts of observations in buckets with inclusive upper `bounds` (ascending), the last bucket being +Inf."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts `value`, in the histogram's own unit."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Measure(NamedTuple):
    """One value of one metric, e.g. `Measure("turn_allocations", {"transport": "udp", "family": "ipv4"}, 3)`."""

    name: str
    labels: Mapping[str, str]
    value: int | float | Histogram
