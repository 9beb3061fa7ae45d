"""Twenty people in one room for ten minutes: a few Chromium browsers on the page, the rest participants of ours.

Every minute: does each of them see all others move, how much memory has the daemon, how late was its loop.
Frames of ours begin with what an encoder made, a grey picture, so that browsers decode them. The browsers' cameras have
few frames a second, and they use what the daemon and our participants, who go first, leave of two cores.

    .venv/bin/python -m benchmarks.long_call [--people 20] [--browsers 3] [--minutes 10] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.attendee import SIMULCAST
from benchmarks.daemon import HOST, HTTP_PORT, lag_ms, lag_share, scrape, start_turnd
from benchmarks.media import Engine
from benchmarks.meeting import Meeting, fault_column
from benchmarks.plots import circumstances
from benchmarks.process import Server, pin_load, print_table, save, unpin
from tests.e2e.browsers import Chromium
from tests.e2e.call import Person, until

CAMERA_FRAMES_PER_SECOND = 5
VIEWPORT = {"width": 1280, "height": 720}
SETTLE_SECONDS = 10.0
MINUTE = 60.0
SHOWN_SECONDS = 60.0
LAG_BOUND_SECONDS = 0.01


@dataclass
class Tiles:
    """How many frames each tile has decoded so far."""

    frames: dict[tuple[str, str], int] = field(default_factory=dict)

    def still(self, frames: Mapping[tuple[str, str], int]) -> int:
        """How many of these have not moved since the last look."""
        still = sum(count <= self.frames.get(tile, 0) for tile, count in frames.items())
        self.frames.update(frames)
        return still


async def browsers_streams(people: list[Person]) -> dict[tuple[str, str], dict[str, Any]]:
    """The browsers' statistics of each m-line that has carried anything."""
    return {(person.name, each["mid"]): each for person in people for each in await person.inbound() if each["packets"]}


def our_frames(meeting: Meeting) -> dict[tuple[str, str], int]:
    """The same of the participants of ours."""
    return {
        (str(attendee.number), slot.mid): report.decoded
        for attendee in meeting.people
        for slot, report in attendee.reports("video")
    }


async def all_shown(people: list[Person], count: int) -> bool:
    """Whether each browser shows so many others; whom it hears depends on who has spoken since."""
    return all([len(await person.sees()) >= count for person in people])


async def gather(stack: AsyncExitStack, folder: Path, meeting: Meeting, arguments: argparse.Namespace) -> list[Person]:
    """Fills the room; returns once the browsers see everybody."""
    await meeting.gather(arguments.people - arguments.browsers)
    browsers = []
    unpin()
    for number in range(arguments.browsers):
        camera = [f"--use-fake-device-for-media-stream=fps={CAMERA_FRAMES_PER_SECOND}"]
        browser = await Chromium.start(folder / str(number), arguments=camera, viewport=VIEWPORT)
        stack.push_async_callback(browser.close)
        browsers.append(Person(f"browser {number}", browser))
        await browsers[-1].join(f"http://{HOST}:{HTTP_PORT}/r/{meeting.room}")
    await until("all are shown", lambda: all_shown(browsers, arguments.people - 1), SHOWN_SECONDS)
    return browsers


async def observe(
    meeting: Meeting, browsers: list[Person], tiles: Tiles, server: Server, seconds: float
) -> dict[str, Any]:
    """What a while has brought."""
    before = scrape()
    interval = await meeting.observe(server, seconds)
    after = scrape()
    streams = await browsers_streams(browsers)
    ours = our_frames(meeting)
    theirs = {tile: each["frames"] for tile, each in streams.items() if each["kind"] == "video"}
    people = len(meeting.people) + len(browsers)
    return {
        "tiles": len(ours) + len(theirs),
        "tiles_wanted": people * (people - 1),
        "still_tiles": tiles.still({**ours, **theirs}),
        "shown_by_browsers": [len(await person.sees()) for person in browsers],
        "lost_in_browsers": sum(each["lost"] for each in streams.values()),
        "voices_in_browsers": sum(each["kind"] == "audio" and each["samples"] > 0 for each in streams.values()),
        "rss_mb": round(interval.rss_bytes / 1e6, 1),
        "core": round(interval.core, 3),
        "packets_out_per_s": round(interval.packets_out / interval.seconds),
        "audio_p99_ms": interval.audio.percentile_ms(0.99),
        "video_p99_ms": interval.video.percentile_ms(0.99),
        "lag_p99_ms": lag_ms(after, before, 0.99),
        "lag_most_ms": lag_ms(after, before, 1.0),
        "lag_within_10_ms": round(lag_share(after, before, LAG_BOUND_SECONDS), 4),
        "faults": meeting.faults_found(),
    }


async def call(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a minute; the first is of the time in which rates settle."""
    engine = Engine()
    async with AsyncExitStack() as stack:
        stack.callback(engine.stop)
        engine.mix([(width, height) for _, width, height, _ in SIMULCAST[:-1]])
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = start_turnd(folder)
        stack.callback(server.stop)
        meeting = Meeting(engine)
        stack.push_async_callback(meeting.leave)
        browsers = await gather(stack, folder, meeting, arguments)
        stack.enter_context(server.real_time())  # its lag is to be its own, not what browsers on its core cost it
        tiles, rows = Tiles(), []
        for minute in range(arguments.minutes + 1):
            seconds = MINUTE if minute else SETTLE_SECONDS
            rows.append({"minute": minute, **await observe(meeting, browsers, tiles, server, seconds)})
            print_table(HEADER, [row(rows[-1])])
        return rows


HEADER = [
    *(
        "minute",
        "tiles",
        "still",
        "in browsers: shown / voices / lost packets",
        "RSS MB",
        "core",
        "p99 ms audio / video",
    ),
    *("loop lag p99 / most ms", "within 10 ms", "faults"),
]


def row(one: dict[str, Any]) -> list[str]:
    """For the table."""
    return [
        str(one["minute"]),
        f"{one['tiles']} of {one['tiles_wanted']}",
        str(one["still_tiles"]),
        f"{sum(one['shown_by_browsers'])} / {one['voices_in_browsers']} / {one['lost_in_browsers']}",
        str(one["rss_mb"]),
        f"{one['core']:.1%}",
        f"{one['audio_p99_ms']} / {one['video_p99_ms']}",
        f"{one['lag_p99_ms']:g} / {one['lag_most_ms']:g}",
        f"{one['lag_within_10_ms']:.2%}",
        fault_column(one["faults"]),
    ]


async def main() -> None:
    """One call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--browsers", type=int, default=3)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pin_load()
    rows = await call(arguments)
    print()
    print_table(HEADER, [row(one) for one in rows])
    save(arguments.json, {**circumstances(), "minutes": rows})


if __name__ == "__main__":
    asyncio.run(main())
