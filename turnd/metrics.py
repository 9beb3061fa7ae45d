"""The exporter's collector: reads every component's plain-integer `measures()` at scrape and refuses undeclared names.

Also measures of no component: event-loop lag, build, the totals of all UDP sockets.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from turnd import __version__
from turnd.metric_names import METRICS, Declaration
from wire.measure import Histogram, Measure
from wire.udp import COUNTER_NAMES

PREFIX = "turnd_"
LAG_INTERVAL_SECONDS = 0.1
LAG_BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)

UDP_COMPONENTS = ("turn", "relay", "sfu")
# Counters of a socket that are losses on the way in; the other `dropped_` ones are on the way out.
RECEIVE_ERRORS = {
    "overflow": "overflow",
    "receive_errors": "kernel",
    "dropped_truncated": "truncated",
    "dropped_kept_full": "kept_full",
    "dropped_memory_full": "memory_full",
}

Source = Callable[[], Iterable[Measure]]


class MeasureError(Exception):
    """A component gave a measure that is not declared, or not as declared: a bug of ours."""


class MeasureCollector(Collector):
    """Turns the measures of all sources into metric families, in the order of the declarations."""

    def __init__(self, sources: Iterable[Source], *, openmetrics: bool) -> None:
        self._sources = tuple(sources)
        self._openmetrics = openmetrics

    def describe(self) -> Iterable[Metric]:
        """Nothing: families are known at scrape only."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families. MeasureError for a name, a label set or a kind that is not declared."""
        values: dict[str, dict[tuple[str, ...], int | float | Histogram]] = {}
        for source in self._sources:
            for measure in source():
                _add(values, measure)
        for name, declaration in METRICS.items():
            if name in values:
                yield self._family(name, declaration, values[name])

    def _family(
        self, name: str, declaration: Declaration, values: Mapping[tuple[str, ...], int | float | Histogram]
    ) -> Metric:
        full, labels, text = PREFIX + name, declaration.labels, declaration.help
        if declaration.kind == "histogram":
            histogram = HistogramMetricFamily(full, text, labels=labels)
            for key, value in values.items():
                if isinstance(value, Histogram):
                    histogram.add_metric(key, _buckets(value), value.sum)
            return histogram
        if declaration.kind == "info":
            info = InfoMetricFamily(full, text)
            for key in values:
                info.add_metric((), dict(zip(labels, key, strict=True)))
            return info
        family: CounterMetricFamily | GaugeMetricFamily | UnknownMetricFamily
        if declaration.kind == "gauge":
            family = GaugeMetricFamily(full, text, labels=labels)
        elif self._openmetrics and name.removesuffix("_total") in METRICS:
            # OpenMetrics names a counter's family without _total, and a gauge has taken that name.
            family = UnknownMetricFamily(full, text, labels=labels)
        else:
            family = CounterMetricFamily(full, text, labels=labels)
        for key, value in values.items():
            if not isinstance(value, Histogram):
                family.add_metric(key, value)
        return family


def _add(values: dict[str, dict[tuple[str, ...], int | float | Histogram]], measure: Measure) -> None:
    """Files `measure` under its name and labels; the same count from two components is added up."""
    declaration = METRICS.get(measure.name)
    if declaration is None:
        raise MeasureError(f"metric {measure.name!r} is not declared in turnd/metric_names.py")
    if set(measure.labels) != set(declaration.labels):
        raise MeasureError(f"metric {measure.name!r} has labels {declaration.labels}, not {tuple(measure.labels)}")
    if isinstance(measure.value, Histogram) != (declaration.kind == "histogram"):
        raise MeasureError(f"metric {measure.name!r} is a {declaration.kind}, not {type(measure.value).__name__}")
    key = tuple(str(measure.labels[label]) for label in declaration.labels)
    family = values.setdefault(measure.name, {})
    present = family.get(key, 0)
    if isinstance(present, Histogram) or isinstance(measure.value, Histogram):
        if key in family:
            raise MeasureError(f"metric {measure.name!r} comes from two components with the same labels")
        family[key] = measure.value
    else:
        family[key] = present + measure.value


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    total = 0
    result: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, map(float, histogram.bounds)), "+Inf"), histogram.counts, strict=True):
        total += count
        result.append((bound, total))
    return result


class Exposition:
    """Renders all metrics in the format a scraper asks for: Prometheus text or OpenMetrics."""

    def __init__(self, sources: Iterable[Source]) -> None:
        every = tuple(sources)
        self._registries = {}
        for openmetrics in (False, True):
            registry = CollectorRegistry(auto_describe=False)
            registry.register(MeasureCollector(every, openmetrics=openmetrics))
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
            GCCollector(registry=registry)
            self._registries[openmetrics] = registry

    def render(self, accept: str) -> tuple[bytes, str]:
        """Body and Content-Type for the Accept header `accept`."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registries["openmetrics" in content_type]), content_type


class LoopLag:
    """Measures each LAG_INTERVAL_SECONDS how late the event loop is."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._histogram = Histogram(LAG_BOUNDS)
        self._due_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins to measure."""
        self._due_at = self._loop.time() + LAG_INTERVAL_SECONDS
        self._timer = self._loop.call_at(self._due_at, self._fired)

    def close(self) -> None:
        """Stops measuring."""
        if self._timer is not None:
            self._timer.cancel()

    def measures(self) -> Iterator[Measure]:
        """The histogram."""
        yield Measure("eventloop_lag_seconds", {}, self._histogram)

    def _fired(self) -> None:
        self._histogram.observe(max(0.0, self._loop.time() - self._due_at))
        self.start()


def udp_measures(totals: Mapping[str, Mapping[str, int]]) -> Iterator[Measure]:
    """The sockets' counters by component, as `wire.udp.totals` gives them."""
    for component in dict.fromkeys((*UDP_COMPONENTS, *totals)):
        counters = totals.get(component) or dict.fromkeys(COUNTER_NAMES, 0)
        labels = {"component": component}
        for direction in ("in", "out"):
            both = {"direction": direction, **labels}
            yield Measure("udp_datagrams_total", both, counters[f"datagrams_{direction}"])
            yield Measure("udp_bytes_total", both, counters[f"bytes_{direction}"])
        yield Measure("udp_memory_deliveries_total", labels, counters["memory_in"])
        yield Measure("udp_gso_sends_total", labels, counters["gso_sends"])
        yield Measure("udp_gro_receives_total", labels, counters["gro_receives"])
        for name, count in counters.items():
            if name in RECEIVE_ERRORS:
                yield Measure("udp_receive_errors_total", {"reason": RECEIVE_ERRORS[name]}, count)
            elif name.startswith("dropped_"):
                yield Measure("udp_send_errors_total", {"reason": name.removeprefix("dropped_")}, count)


def build_measures() -> Iterator[Measure]:
    """Versions."""
    yield Measure("build", {"version": __version__, "python": platform.python_version()}, 1)
