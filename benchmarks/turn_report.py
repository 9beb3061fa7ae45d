"""The tables of turn_relay.py: minimum / median / maximum of the rounds, and ratios of medians, turnd to coturn."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.process import print_table, spread

Runs = Sequence[Mapping[str, float]]
Results = Mapping[str, Mapping[str, Runs]]
"""By row, then by server."""

MAIN_FIGURES = ("packets_per_cpu_second", "setups_per_cpu_second", "p99_us", "bytes")


def values(runs: Runs, figure: str) -> list[float]:
    """One figure of all rounds."""
    return [run[figure] for run in runs]


def median(runs: Runs, figure: str) -> float:
    """Of all rounds."""
    return statistics.median(values(runs, figure))


def ratio(row: Mapping[str, Runs], figure: str) -> str:
    """turnd's median to coturn's, and in brackets the least, middle and greatest ratio of one round's neighbours."""
    if "turnd" not in row or "coturn" not in row or not median(row["coturn"], figure):
        return ""
    pairs = zip(values(row["turnd"], figure), values(row["coturn"], figure), strict=True)
    by_round = [ours / theirs for ours, theirs in pairs if theirs]
    return f"{median(row['turnd'], figure) / median(row['coturn'], figure):.2f} ({spread(by_round, 1, 2)})"


def ratios(results: Results) -> dict[str, str]:
    """Of each row's main figure."""
    return {
        name: ratio(row, figure)
        for name, row in results.items()
        for figure in MAIN_FIGURES
        if figure in next(iter(row.values()))[0]
    }


def _each(row: Mapping[str, Runs], figure: str, form: str) -> str:
    """The medians of a figure, server by server."""
    return " · ".join(f"{median(runs, figure):{form}}" for runs in row.values())


def print_report(about: Mapping[str, str], results: Results, servers: Sequence[str]) -> None:
    """All tables that have rows."""
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    each = " · ".join(servers)
    print("\nmin / median / max of the rounds; where two figures stand side by side they are the medians of", each)
    print("ratio: of the medians, in brackets min / median / max of the ratios within each round")
    for header, rows in (
        _throughput(results, servers),
        _latency(results, servers),
        _memory(results, servers),
        _setups(results, servers),
    ):
        if rows:
            print()
            print_table(header, rows)


Table = tuple[list[str], list[list[str]]]


def _throughput(results: Results, servers: Sequence[str]) -> Table:
    figure = "packets_per_cpu_second"
    header = ["thousand packets per CPU-second", *servers, "ratio", "user share", "lost", "server core", "generator"]
    rows = [
        [
            name,
            *(spread(values(runs, figure)) for runs in row.values()),
            ratio(row, figure),
            _each(row, "user_share", ".0%"),
            _each(row, "lost", ".2%"),
            _each(row, "server_busy", ".0%"),
            _each(row, "generator_busy", ".0%"),
        ]
        for name, row in results.items()
        if figure in next(iter(row.values()))[0]
    ]
    return header, rows


def _latency(results: Results, servers: Sequence[str]) -> Table:
    names = [f"{name} {part}" for part in ("p50 us", "p99 us") for name in servers]
    header = ["latency, one way", *names, "ratio p50", "ratio p99", "lost", "server core"]
    rows = [
        [
            name.removeprefix("latency "),
            *(spread(values(runs, figure), 1) for figure in ("p50_us", "p99_us") for runs in row.values()),
            ratio(row, "p50_us"),
            ratio(row, "p99_us"),
            _each(row, "lost", ".2%"),
            _each(row, "server_busy", ".0%"),
        ]
        for name, row in results.items()
        if name.startswith("latency ")
    ]
    return header, rows


def _memory(results: Results, servers: Sequence[str]) -> Table:
    header = ["resident memory, kB", *servers, "ratio"]
    rows = [
        [
            name.removeprefix("memory "),
            *(spread(values(runs, "bytes"), 1024, 1) for runs in row.values()),
            ratio(row, "bytes"),
        ]
        for name, row in results.items()
        if name.startswith("memory ")
    ]
    return header, rows


def _setups(results: Results, servers: Sequence[str]) -> Table:
    header = ["per CPU-second", *servers, "ratio", "user share", "server core", "generator", "sent again"]
    rows = [
        [
            name,
            *(spread(values(runs, "setups_per_cpu_second"), 1) for runs in row.values()),
            ratio(row, "setups_per_cpu_second"),
            _each(row, "user_share", ".0%"),
            _each(row, "server_busy", ".0%"),
            _each(row, "generator_busy", ".0%"),
            _each(row, "resends", ".0f"),
        ]
        for name, row in results.items()
        if name == "set-ups"
    ]
    return header, rows
