"""The tables of sfu_fanout.py: minimum / median / maximum of the rounds, the ratios turnd to janus of a round."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.process import print_table, spread

Visit = dict[str, object]
Results = dict[str, dict[str, list[Visit]]]
"""By case, then by server: a visit per round."""

PEER, OURS = "janus", "turnd"


def _runs(visits: Sequence[Visit], ends: str, load: str) -> list[Mapping[str, float]]:
    """The same run of each round."""
    return [visit["runs"][ends][load] for visit in visits]  # type: ignore[index]


def _values(visits: Sequence[Visit], ends: str, load: str, figure: str) -> list[float]:
    return [run[figure] for run in _runs(visits, ends, load)]


def _ends(visits: Sequence[Visit]) -> list[str]:
    runs = visits[0]["runs"]
    assert isinstance(runs, dict)
    return list(runs)


def ratios(servers: Mapping[str, Sequence[Visit]], ends: str) -> list[float]:
    """turnd's packets per CPU-second to janus's in each round."""
    if not {PEER, OURS} <= servers.keys():
        return []
    both = (_values(servers[name], ends, "full", "packets_out_per_cpu_second") for name in (OURS, PEER))
    return [ours / theirs for ours, theirs in zip(*both, strict=True)]


def print_report(about: Mapping[str, str], results: Results) -> None:
    """All tables."""
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print("min / median / max of the rounds; ratio: turnd to janus within each round\n")
    header = [
        "case",
        "server",
        "k packets out/CPU-s",
        "ratio",
        "user",
        "lost",
        "server core",
        "p50 us",
        "p99 us",
        "SRTP",
    ]
    print_table(header, [row for case, servers in results.items() for row in _full(case, servers)])
    rows = [row for case, servers in results.items() for row in _half(case, servers)]
    if rows:
        print("\nHalf of the packets that would fill the core:\n")
        header = ["case", "server", "k packets out/s", "lost", "server core", "p50 us", "p99 us"]
        print_table(header, rows)
    print()
    header = ["resident memory, kB", "server", "idle", "each, set up", "each, after traffic"]
    print_table(header, [row for case, servers in results.items() for row in _memory(case, servers)])


def _full(case: str, servers: Mapping[str, Sequence[Visit]]) -> list[list[str]]:
    rows = []
    for ends in _ends(next(iter(servers.values()))):
        found = ratios(servers, ends)
        for name, visits in servers.items():
            profiles = visits[0]["profiles"]
            assert isinstance(profiles, list)
            rows.append(
                [
                    f"{case}, {ends}",
                    name,
                    spread(_values(visits, ends, "full", "packets_out_per_cpu_second")),
                    spread(found, 1, 1) if found and name == OURS else "",
                    *(f"{_median(visits, ends, 'full', figure):.2%}" for figure in ("user_share", "lost")),
                    f"{_median(visits, ends, 'full', 'server_core'):.0%}",
                    *(spread(_values(visits, ends, "full", figure), 1) for figure in ("p50_us", "p99_us")),
                    " ".join(profiles),
                ]
            )
    return rows


def _median(visits: Sequence[Visit], ends: str, load: str, figure: str) -> float:
    return statistics.median(_values(visits, ends, load, figure))


def _half(case: str, servers: Mapping[str, Sequence[Visit]]) -> list[list[str]]:
    return [
        [
            f"{case}, {ends}",
            name,
            spread(_values(visits, ends, "half", "packets_out_per_second")),
            f"{_median(visits, ends, 'half', 'lost'):.2%}",
            f"{_median(visits, ends, 'half', 'server_core'):.0%}",
            *(spread(_values(visits, ends, "half", figure), 1) for figure in ("p50_us", "p99_us")),
        ]
        for name, visits in servers.items()
        for ends in _ends(visits)
        if all(_runs(visits, ends, "half"))
    ]


def _memory(case: str, servers: Mapping[str, Sequence[Visit]]) -> list[list[str]]:
    rows = []
    for name, visits in servers.items():
        memories = [visit["memory"] for visit in visits]
        each = int(case.split()[-1])
        parts = (("idle_bytes", 1), ("setup_bytes", each), ("traffic_bytes", each))
        columns = [spread([memory[key] / by for memory in memories], 1024) for key, by in parts]  # type: ignore[index]
        rows.append([case, name, *columns])
    return rows
