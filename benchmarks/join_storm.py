"""Many arrive at once: how soon each sees video, and what it does to the media of those inside.

Twenty join a room of four within a second; five hundred viewers come to a webinar within ten. Times are from opening
the socket to the first whole keyframe of what each should see: the four, or the stage. Writes docs/join_storm.json.

    .venv/bin/python -m benchmarks.join_storm [--storms meeting webinar] [--people 20] [--viewers 500]
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.attendee import Attendee
from benchmarks.daemon import REPOSITORY, lag_ms, scrape, start_turnd
from benchmarks.media import Engine
from benchmarks.meeting import Meeting, fault_column
from benchmarks.plots import circumstances
from benchmarks.process import pin_load, print_table, save

SETTLE_SECONDS = 8.0
BEFORE_SECONDS = 5.0
GIVE_UP_SECONDS = 15.0
POLL_SECONDS = 0.1
LOOK_EVERY = 16  # a newcomer that has its picture checks one packet in so many: the generator is not to be the limit
STAGE = (1008, 576)


@dataclass(frozen=True)
class Storm:
    """Who is inside, who comes, in which time."""

    name: str
    speakers: int
    audience: int
    newcomers: int
    seconds: float
    settings: dict[str, object] | None

    @property
    def webinar(self) -> bool:
        """Whether newcomers only watch."""
        return self.settings is not None


async def open_room(meeting: Meeting, storm: Storm) -> list[Attendee]:
    """Those inside before the storm."""
    await meeting.gather(storm.speakers, storm.settings)
    for _ in range(storm.audience):
        await meeting.invite(STAGE).enter()
    await asyncio.sleep(SETTLE_SECONDS)
    return list(meeting.people)


async def arrive(attendee: Attendee, inside: set[str], storm: Storm) -> float | None:
    """Enters and waits for the picture of each of `inside`; how long it took, None when it did not come."""
    attendee.measured = False
    try:
        await attendee.enter()
        if not storm.webinar:
            await attendee.show()
    except RuntimeError as error:
        attendee.refusals.append(str(error))
        return None
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < deadline:
        first = {slot.participant: report.first_keyframe_at for slot, report in attendee.reports("video")}
        if all(first.get(each) for each in inside):
            if storm.webinar:
                attendee.engine.follow(attendee.subscribing, check_every=LOOK_EVERY, measured=False)
            return max(first[each] for each in inside) / 1e9 - attendee.opened_at
        await asyncio.sleep(POLL_SECONDS)
    return None


def losses(inside: list[Attendee], watched: set[str]) -> dict[str, int]:
    """What those inside have missed of those inside, so far."""
    count = {"audio": 0, "video": 0, "unheard": 0, "undecodable": 0}
    for attendee in inside:
        for kind in ("audio", "video"):
            for slot, report in attendee.reports(kind):
                if slot.participant in watched:
                    count[kind] += report.lost
                    count["unheard"] += report.unheard
                    count["undecodable"] += report.undecodable
    return count


def longest_gap_ms(inside: list[Attendee], watched: set[str], *, fresh: bool) -> float:
    """The longest time a picture of those inside stood still."""
    gaps = [
        report.longest_gap / 1e6
        for attendee in inside
        for slot, report in attendee.reports("video", fresh=fresh)
        if slot.participant in watched
    ]
    return max(gaps, default=0.0)


async def run(storm: Storm, engine: Engine) -> dict[str, Any]:
    """One storm on a fresh server."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = start_turnd(folder)
        stack.callback(server.stop)
        meeting = Meeting(engine)
        stack.push_async_callback(meeting.leave)
        inside = await open_room(meeting, storm)
        watched = {attendee.id for attendee in inside[: storm.speakers]}
        lost = losses(inside, watched)
        longest_gap_ms(inside, watched, fresh=True)
        before = await meeting.observe(server, BEFORE_SECONDS)
        gap_before = longest_gap_ms(inside, watched, fresh=True)
        first_scrape, cpu, usage = scrape(), server.cpu(), resource.getrusage(resource.RUSAGE_SELF)
        began, tasks = time.monotonic(), []
        for number in range(storm.newcomers):
            await asyncio.sleep(max(0.0, began + number * storm.seconds / storm.newcomers - time.monotonic()))
            tasks.append(asyncio.create_task(arrive(meeting.invite(STAGE if storm.webinar else None), watched, storm)))
        times = await asyncio.gather(*tasks)
        took = time.monotonic() - began
        used, spent = server.cpu().since(cpu), resource.getrusage(resource.RUSAGE_SELF)
        seen = sorted(each for each in times if each is not None)
        after = losses(inside, watched)
        latencies = {kind: engine.latency(video=kind == "video") for kind in ("audio", "video")}
        generator = spent.ru_utime + spent.ru_stime - usage.ru_utime - usage.ru_stime
        last_scrape = scrape()
        return {
            "storm": storm.name,
            "newcomers": storm.newcomers,
            "within_s": storm.seconds,
            "seen": len(seen),
            "p50_s": statistics.median(seen) if seen else None,
            "p99_s": seen[min(len(seen) - 1, int(len(seen) * 0.99))] if seen else None,
            "most_s": seen[-1] if seen else None,
            "lost_inside": {name: after[name] - lost[name] for name in after},
            "longest_gap_ms": [gap_before, longest_gap_ms(inside, watched, fresh=False)],
            "audio_p99_ms": [before.audio.percentile_ms(0.99), latencies["audio"].percentile_ms(0.99)],
            "video_p99_ms": [before.video.percentile_ms(0.99), latencies["video"].percentile_ms(0.99)],
            "lag_p99_ms": lag_ms(last_scrape, first_scrape, 0.99),
            "lag_most_ms": lag_ms(last_scrape, first_scrape, 1.0),
            "server_core": used.total / took,
            "rss_mb": server.memory_bytes() / 1e6,
            "generator_core": generator / took,
            "faults": meeting.faults_found(),
            "refusals": sorted({each for attendee in meeting.people for each in attendee.refusals})[:5],
        }


HEADER = [
    *("storm", "see video", "p50 s", "p99 s", "most s", "lost inside", "longest gap inside ms: before / during"),
    *("audio p99 ms", "video p99 ms", "loop lag p99 / most ms", "server core", "RSS MB", "generator core", "faults"),
]


def row(one: dict[str, Any]) -> list[str]:
    """For the table."""

    def pair(values: list[float | None]) -> str:
        return " / ".join("-" if value is None else f"{value:.1f}" for value in values)

    return [
        f"{one['newcomers']} in {one['within_s']:g} s, {one['storm']}",
        f"{one['seen']} of {one['newcomers']}",
        *("-" if one[key] is None else f"{one[key]:.2f}" for key in ("p50_s", "p99_s", "most_s")),
        ", ".join(f"{name} {count}" for name, count in one["lost_inside"].items() if count) or "nothing",
        *(pair(one[key]) for key in ("longest_gap_ms", "audio_p99_ms", "video_p99_ms")),
        f"{one['lag_p99_ms']:g} / {one['lag_most_ms']:g}",
        f"{one['server_core']:.0%}",
        f"{one['rss_mb']:.0f}",
        f"{one['generator_core']:.0%}",
        fault_column(one["faults"]),
    ]


async def main() -> None:
    """Both storms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--storms", nargs="*", default=["meeting", "webinar"], choices=["meeting", "webinar"])
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--viewers", type=int, default=500)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "join_storm.json")
    arguments = parser.parse_args()
    pin_load()
    storms = {
        "meeting": Storm("meeting", 4, 0, arguments.people, 1.0, None),
        "webinar": Storm("webinar", 1, 20, arguments.viewers, 10.0, {"mode": "broadcast"}),
    }
    engine = Engine()
    results = []
    for name in arguments.storms:
        results.append(await run(storms[name], engine))
        print_table(HEADER, [row(results[-1])])
        if results[-1]["refusals"]:
            print("refused:", "; ".join(results[-1]["refusals"]))
    engine.stop()
    save(arguments.out, {**circumstances(), "results": results})


if __name__ == "__main__":
    asyncio.run(main())
