"""What a call costs: kB/s up and down of each participant and of the host, CPU, memory, time to the first picture.

Rooms of browser-like participants (simulcast of a 720p camera, Opus with DTX, one speaks at a time), each in a window
of 1280x720, with the product's defaults; then a room of 20 under each budget of the host's uplink. Writes
docs/bandwidth.svg, .png and .json.

    .venv/bin/python -m benchmarks.bandwidth_per_participant [--sizes 2 3 4 6 10 16 20] [--budgets 8 20 100]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.attendee import tile_width
from benchmarks.daemon import REPOSITORY, lag_ms, scrape, start_turnd
from benchmarks.media import Engine
from benchmarks.meeting import Meeting, fault_column, spread_of
from benchmarks.plots import circumstances, save_plot
from benchmarks.process import Server, pin_load, print_table, save

SETTLE_SECONDS = 12.0
BUDGET_ROOM = 20
WINDOW_BINS = 10
TARGET_BYTES = 200_000


def pictures(meeting: Meeting) -> dict[str, Any]:
    """Widths that arrive and frames a second by layer, over all tiles, and how long the longest stood still."""
    widths: Counter[int] = Counter()
    empty, longest = 0, 0.0
    for attendee in meeting.people:
        reports = attendee.reports("video")
        widths.update(report.width for _, report in reports if report.decoded)
        empty += len(meeting.people) - 1 - sum(1 for _, report in reports if report.decoded)
        longest = max([longest, *(report.longest_gap / 1e9 for _, report in reports)])
    return {"widths": dict(sorted(widths.items())), "tiles_without_picture": empty, "longest_gap_s": round(longest, 2)}


def decoded(meeting: Meeting) -> list[int]:
    """Frames so far of each tile that has somebody."""
    return [report.decoded for attendee in meeting.people for _, report in attendee.reports("video")]


def greatest_second(bins: list[int]) -> tuple[int, float]:
    """Most bytes of any ten adjacent bins of 100 ms, and the second at which they begin."""
    sums = [sum(bins[at : at + WINDOW_BINS]) for at in range(len(bins) - WINDOW_BINS + 1)]
    most = max(sums, default=0)
    return most, sums.index(most) / WINDOW_BINS if sums else 0.0


async def measure(size: int, sfu: Mapping[str, object], engine: Engine, seconds: float) -> dict[str, Any]:
    """One room, from a fresh server on."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server: Server = start_turnd(folder, sfu)
        stack.callback(server.stop)
        idle_bytes = server.memory_bytes()
        meeting = Meeting(engine)
        stack.push_async_callback(meeting.leave)
        first_bin = len(engine.bins())
        await meeting.gather(size)
        await asyncio.sleep(SETTLE_SECONDS)
        joins = meeting.join_seconds()
        before, frames = scrape(), decoded(meeting)
        interval = await meeting.observe(server, seconds)
        after = scrape()
        moved = [now - then for now, then in zip(decoded(meeting), frames, strict=True)]
        most, most_at = greatest_second(engine.bins()[first_bin:])
        up, down = [flow.up for flow in interval.flows], [flow.down for flow in interval.flows]
        return {
            "size": size,
            "sfu": dict(sfu),
            "tile_width": tile_width(size),
            "up_kb_per_s": [round(value / 1000, 1) for value in spread_of(up)],
            "down_kb_per_s": [round(value / 1000, 1) for value in spread_of(down)],
            "host_in_kb_per_s": round(interval.host.down / 1000, 1),
            "host_out_kb_per_s": round(interval.host.up / 1000, 1),
            "greatest_second_kb": round(most / 1000, 1),
            "greatest_second_at_s": most_at,
            "padding_share": round(interval.padding_bytes / seconds / max(interval.host.up, 1), 4),
            "packets_in_per_s": round(interval.packets_in / interval.seconds),
            "packets_out_per_s": round(interval.packets_out / interval.seconds),
            "core": round(interval.core, 3),
            "rss_mb": round(interval.rss_bytes / 1e6, 1),
            "idle_rss_mb": round(idle_bytes / 1e6, 1),
            "join_s": [round(value, 2) for value in spread_of(joins)],
            "tiles": size * (size - 1),
            "tiles_moving": sum(each > 0 for each in moved),
            "frames_per_s": round(sum(moved) / interval.seconds / (size * (size - 1)), 1),
            "audio_p99_ms": interval.audio.percentile_ms(0.99),
            "video_p99_ms": interval.video.percentile_ms(0.99),
            "lag_p99_ms": lag_ms(after, before, 0.99),
            "generator_core": round(interval.generator_cpu_seconds / interval.seconds, 2),
            **pictures(meeting),
            "faults": meeting.faults_found(),
        }


def rows(results: list[dict[str, Any]]) -> list[list[str]]:
    """For the table."""
    return [
        [
            str(one["size"]),
            f"{one['sfu'].get('uplink_bps', 0) / 1e6:.0f} Mbit/s" if one["sfu"].get("uplink_bps") else "-",
            " / ".join(f"{value:.0f}" for value in one["up_kb_per_s"]),
            " / ".join(f"{value:.0f}" for value in one["down_kb_per_s"]),
            f"{one['host_in_kb_per_s']:.0f}",
            f"{one['host_out_kb_per_s']:.0f}",
            f"{one['greatest_second_kb'] * 8000 / one['sfu']['uplink_bps']:.3f}"
            if one["sfu"].get("uplink_bps")
            else "-",
            f"{one['tile_width']} < {', '.join(f'{width}x{count}' for width, count in one['widths'].items())}",
            f"{one['frames_per_s']} in {one['tiles_moving']} of {one['tiles']}",
            f"{one['core']:.1%}",
            f"{one['rss_mb']:.0f}",
            " / ".join(str(value) for value in one["join_s"]),
            f"{one['audio_p99_ms']} / {one['video_p99_ms']}",
            fault_column(one["faults"]),
        ]
        for one in results
    ]


HEADER = [
    *("room", "budget", "up kB/s (median / most)", "down kB/s", "host in", "host out", "worst second : budget"),
    *("tile < widths", "frames/s", "core", "RSS MB", "join s (median / most)", "p99 ms audio / video", "faults"),
]


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """kB/s of a participant by size of the room, and the host's."""
    sizes = [one["size"] for one in results]
    save_plot(
        path,
        "What a call costs, with turnd's defaults (720p cameras, window of 1280x720)",
        "people in the room",
        [
            (
                "kB/s of each",
                sizes,
                {
                    "up": [one["up_kb_per_s"][0] for one in results],
                    "down": [one["down_kb_per_s"][0] for one in results],
                },
            ),
            (
                "kB/s of the host",
                sizes,
                {
                    "in": [one["host_in_kb_per_s"] for one in results],
                    "out": [one["host_out_kb_per_s"] for one in results],
                },
            ),
            ("server, % of a core", sizes, {"CPU": [100 * one["core"] for one in results]}),
        ],
    )


async def main() -> None:
    """All rooms, then all budgets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[2, 3, 4, 6, 10, 16, 20])
    parser.add_argument("--budgets", type=float, nargs="*", default=[8, 20, 100], help="Mbit/s")
    parser.add_argument("--budget-room", type=int, default=BUDGET_ROOM)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "bandwidth")
    arguments = parser.parse_args()
    pin_load()
    engine = Engine()
    cases = [(size, {}) for size in arguments.sizes]
    cases += [(arguments.budget_room, {"uplink_bps": int(budget * 1e6)}) for budget in arguments.budgets]
    results = []
    for size, sfu in cases:
        results.append(await measure(size, sfu, engine, arguments.seconds))
        print_table(HEADER, rows(results[-1:]))
    engine.stop()
    print()
    print_table(HEADER, rows(results))
    save(arguments.out.with_suffix(".json"), {**circumstances(), "results": results})
    plain = [one for one in results if not one["sfu"]]
    if plain:
        draw(plain, arguments.out)


if __name__ == "__main__":
    asyncio.run(main())
