"""What a forwarded packet costs with ten subscribers, and with a thousand: CPU of the server and latency.

One speaker of a webinar, 720p in simulcast and Opus; all viewers see the middle layer. Writes docs/growth.svg, .png and
.json.

    .venv/bin/python -m benchmarks.growth [--subscribers 1 10 100 500 1000] [--seconds 10] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.attendee import Attendee
from benchmarks.daemon import REPOSITORY, lag_ms, scrape, start_turnd
from benchmarks.media import Engine
from benchmarks.meeting import Interval, Meeting, fault_column
from benchmarks.plots import circumstances, save_plot
from benchmarks.process import pin_load, print_table, save

SHOWN = (640, 368)
AT_ONCE = 10
LOOK_EVERY = 16
SETTLE_SECONDS = 5.0


async def fill(meeting: Meeting, count: int) -> None:
    """A speaker, and so many viewers, a few at a time."""
    await meeting.gather(1, {"mode": "broadcast"})
    for begun in range(0, count, AT_ONCE):
        few = [meeting.invite(SHOWN) for _ in range(min(AT_ONCE, count - begun))]
        await asyncio.gather(*(each.enter() for each in few))
        await asyncio.gather(*(each.subscribed for each in few))
    await asyncio.sleep(SETTLE_SECONDS)


def watching(people: list[Attendee]) -> int:
    """How many have a picture."""
    return sum(any(report.decoded for _, report in attendee.reports("video")) for attendee in people)


def figures(interval: Interval) -> dict[str, float | None]:
    """One round."""
    packets = interval.packets_out
    return {
        "packets_out_per_s": packets / interval.seconds,
        "us_per_packet": interval.cpu.total / packets * 1e6,
        "core": interval.core,
        "audio_p50_ms": interval.audio.percentile_ms(0.5),
        "audio_p99_ms": interval.audio.percentile_ms(0.99),
        "video_p50_ms": interval.video.percentile_ms(0.5),
        "video_p99_ms": interval.video.percentile_ms(0.99),
        "generator_core": interval.generator_cpu_seconds / interval.seconds,
    }


async def measure(count: int, engine: Engine, arguments: argparse.Namespace) -> dict[str, Any]:
    """One size of audience, on a fresh server."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = start_turnd(folder)
        stack.callback(server.stop)
        idle_bytes = server.memory_bytes()
        meeting = Meeting(engine)
        stack.push_async_callback(meeting.leave)
        await fill(meeting, count)
        viewers = meeting.people[1:]
        seen = watching(viewers)
        for attendee in viewers:
            engine.follow(attendee.subscribing, check_every=LOOK_EVERY, measured=True)
        before = scrape()
        rounds = [figures(await meeting.observe(server, arguments.seconds)) for _ in range(arguments.rounds)]
        return {
            "subscribers": count,
            "watching": seen,
            "rounds": rounds,
            "rss_kb_per_subscriber": (server.memory_bytes() - idle_bytes) / 1000 / count,
            "lag_p99_ms": lag_ms(scrape(), before, 0.99),
            "faults": meeting.faults_found(),
        }


def further(one: dict[str, Any], least: dict[str, Any]) -> float | None:
    """us of CPU of each packet that there is more of than at the least size."""
    if one is least:
        return None
    packets = median(one, "packets_out_per_s") - median(least, "packets_out_per_s")
    return (median(one, "core") - median(least, "core")) / packets * 1e6


def median(one: dict[str, Any], key: str) -> float:
    """Of the rounds."""
    return statistics.median(each[key] or 0 for each in one["rounds"])


HEADER = [
    *("subscribers", "see video", "packets out/s", "us of CPU a packet: least / median / most", "further", "core"),
    *("audio p50 / p99 ms", "video p50 / p99 ms", "RSS kB each", "loop lag p99 ms", "generator core", "faults"),
]


def row(one: dict[str, Any], least: dict[str, Any]) -> list[str]:
    """For the table."""
    more = further(one, least)
    costs = [each["us_per_packet"] for each in one["rounds"]]
    return [
        str(one["subscribers"]),
        str(one["watching"]),
        f"{median(one, 'packets_out_per_s'):.0f}",
        f"{min(costs):.2f} / {statistics.median(costs):.2f} / {max(costs):.2f}",
        "-" if more is None else f"{more:.2f}",
        f"{median(one, 'core'):.0%}",
        f"{median(one, 'audio_p50_ms'):.2f} / {median(one, 'audio_p99_ms'):.2f}",
        f"{median(one, 'video_p50_ms'):.2f} / {median(one, 'video_p99_ms'):.2f}",
        f"{one['rss_kb_per_subscriber']:.0f}",
        f"{one['lag_p99_ms']:g}",
        f"{median(one, 'generator_core'):.0%}",
        fault_column(one["faults"]),
    ]


async def main() -> None:
    """All sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subscribers", type=int, nargs="*", default=[1, 10, 100, 500, 1000])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "growth")
    arguments = parser.parse_args()
    pin_load()
    engine = Engine()
    results = []
    for count in arguments.subscribers:
        results.append(await measure(count, engine, arguments))
        print_table(HEADER, [row(results[-1], results[0])])
    engine.stop()
    print()
    print_table(HEADER, [row(one, results[0]) for one in results])
    save(arguments.out.with_suffix(".json"), {**circumstances(), "results": results})
    x = [one["subscribers"] for one in results]
    save_plot(
        arguments.out,
        "One speaker, a growing audience",
        "subscribers",
        [
            (
                "us of CPU a forwarded packet",
                x,
                {
                    "all CPU by all packets": [median(one, "us_per_packet") for one in results],
                    "each further packet": [further(one, results[0]) for one in results],
                },
            ),
            (
                "ms from publisher to subscriber, p99",
                x,
                {kind: [median(one, f"{kind}_p99_ms") for one in results] for kind in ("audio", "video")},
            ),
        ],
        log_x=True,
    )


if __name__ == "__main__":
    asyncio.run(main())
