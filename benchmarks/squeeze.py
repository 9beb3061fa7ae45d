"""A subscriber of three is squeezed to 300 kbit/s and freed again: what the server believes, sends, and is seen of it.

Network namespaces (root) and Chromium are needed. The bottleneck is tc-tbf(8) with a queue of 300 ms.
Writes docs/squeeze.json, .svg and .png.

    .venv/bin/python -m benchmarks.squeeze [--before 5] [--squeezed 12] [--after 15] [--loss 5]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.daemon import REPOSITORY
from benchmarks.plots import circumstances, save_courses
from benchmarks.process import print_table, save
from tests.e2e.call import Person
from tests.e2e.conftest import People, hosts_of, make_lan
from tests.e2e.daemon import Daemon
from tests.e2e.network import Host, Network
from tests.e2e.test_squeeze import HALF, call_of_three
from tests.e2e.watching import Timeline, recorded

BOTTLENECK_BPS = 300_000
STEP_SECONDS = 0.25
SMOOTHED_SECONDS = 0.5
Points = list[tuple[float, float]]


class ObservedDaemon(Daemon):
    """A daemon that writes its estimates down."""

    module = "benchmarks.observed_daemon"


async def call(stack: AsyncExitStack, folder: Path, lan: dict[str, Host]) -> tuple[list[Person], list[str]]:
    """Daemon and people, all at the top layer; and whose pictures there are."""
    daemon = ObservedDaemon(folder / "daemon", lan["daemon"])
    os.environ["ESTIMATES"] = str(folder / "estimates")
    await daemon.start()
    stack.push_async_callback(daemon.kill)
    people = People(folder)
    stack.push_async_callback(people.close)
    return await call_of_three(people.make, lan)


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """One squeeze: courses of all quantities, seconds from its beginning."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        network = Network()
        stack.callback(network.close)
        switch = make_lan(network)
        lan = hosts_of(switch)
        (_, _, cleo), selves = await call(stack, folder, lan)
        cleos = lan["c"]
        if arguments.loss:
            switch.lose(cleos, f"numgen random mod 100 < {arguments.loss} drop")
        await asyncio.sleep(arguments.before)
        squeezed_at = time.monotonic()
        switch.squeeze(cleos, str(BOTTLENECK_BPS), "300ms")
        await asyncio.sleep(arguments.squeezed)
        freed_at = time.monotonic()
        switch.free(cleos)
        await asyncio.sleep(arguments.after)
        seen = await recorded(cleo)
        shift = time.monotonic() - seen.now - squeezed_at  # from the recording's seconds to those of the squeeze
        end = freed_at - squeezed_at
        window = (-arguments.before, end + arguments.after)
        path = squeezed_path((folder / "estimates").read_text(), squeezed_at, end)
        return {
            "freed_s": round(end, 2),
            "estimate_bps": within([(at, bps) for at, bps, _ in path], window),
            "sent_bps": rates([(at, sent) for at, _, sent in path], window),
            "width": {
                name: within([(at + shift, width) for at, width in seen.frames[key]], window)
                for name, key in zip(("Ada", "Bob"), selves[:2], strict=True)
            },
            "until_next_picture_ms": {
                name: gaps(seen, key, shift, window) for name, key in zip(("Ada", "Bob"), selves[:2], strict=True)
            },
            "sound_made_up_ms": concealed(seen, shift, window),
        }


def squeezed_path(text: str, zero: float, end: float) -> list[tuple[float, float, float]]:
    """(seconds, estimate, bytes sent so far) of the path that had least in the squeeze."""
    paths: dict[str, list[tuple[float, float, float]]] = {}
    for line in text.splitlines():
        number, at, estimate, sent = line.split()
        paths.setdefault(number, []).append((float(at) - zero, float(estimate), float(sent)))
    return min(paths.values(), key=lambda path: min((bps for at, bps, _ in path if 0 < at < end), default=1e12))


def within(points: Sequence[tuple[float, float]], window: tuple[float, float]) -> Points:
    """Those of the window."""
    return [(round(at, 3), value) for at, value in points if window[0] <= at <= window[1]]


def steps(window: tuple[float, float]) -> list[float]:
    """Moments of the window."""
    return [window[0] + STEP_SECONDS * number for number in range(1, int((window[1] - window[0]) / STEP_SECONDS))]


def rates(counted: Sequence[tuple[float, float]], window: tuple[float, float]) -> Points:
    """Bits a second of a count of bytes, over `SMOOTHED_SECONDS`."""
    times = [at for at, _ in counted]
    result = []
    for at in steps(window):
        first, last = (max(0, bisect_right(times, moment) - 1) for moment in (at - SMOOTHED_SECONDS, at))
        passed = times[last] - times[first]
        if passed > 0:
            result.append((round(at, 3), round(8 * (counted[last][1] - counted[first][1]) / passed)))
    return result


def gaps(seen: Timeline, key: str, shift: float, window: tuple[float, float]) -> Points:
    """Milliseconds from each picture to the next."""
    pairs = pairwise(at for at, _ in seen.frames[key])
    return within([(before + shift, round(1000 * (after - before))) for before, after in pairs], window)


def concealed(seen: Timeline, shift: float, window: tuple[float, float]) -> Points:
    """Milliseconds of sound that were made up of each `SMOOTHED_SECONDS`, of the voice that had most."""
    sounding = seen.sounding()
    return [
        (
            round(at, 3),
            round(
                1000
                * SMOOTHED_SECONDS
                * max(seen.concealment(mid, at - shift - SMOOTHED_SECONDS, at - shift) for mid in sounding)
            ),
        )
        for at in steps(window)[int(SMOOTHED_SECONDS / STEP_SECONDS) : -1]
    ]


def draw(path: Path, result: dict[str, Any]) -> None:
    """Three panels over the same seconds."""
    freed = result["freed_s"]
    kilobits = {
        name: [(at, bps / 1000) for at, bps in result[key]]
        for name, key in (("estimate", "estimate_bps"), ("sent", "sent_bps"))
    }
    bottleneck = [(at, BOTTLENECK_BPS / 1000) for at in (0.0, freed)]
    broken = {f"{name}: to the next picture": gap for name, gap in result["until_next_picture_ms"].items()}
    save_courses(
        path,
        f"A subscriber squeezed to {BOTTLENECK_BPS // 1000} kbit/s for {freed:.0f} s",
        [
            ("kbit/s", {**kilobits, "bottleneck": bottleneck}),
            ("width of the picture", result["width"]),
            ("ms", {**broken, f"sound made up in {SMOOTHED_SECONDS} s": result["sound_made_up_ms"]}),
        ],
        (0.0, freed),
    )


def summary(result: dict[str, Any]) -> list[list[str]]:
    """A row a picture."""
    freed, rows = result["freed_s"], []
    for name, widths in result["width"].items():
        down = next((at for at, width in widths if at > 0 and width <= HALF), None)
        back = next((at - freed for at, width in widths if at > freed and width > HALF), None)
        worst = max(gap for at, gap in result["until_next_picture_ms"][name] if at > 0)
        before = max(gap for at, gap in result["until_next_picture_ms"][name] if at <= 0)
        made_up = max(ms for _, ms in result["sound_made_up_ms"])
        rows.append([name, *(f"{each:.1f}" if each is not None else "-" for each in (down, back))])
        rows[-1] += [f"{before:.0f} / {worst:.0f}", str(made_up)]
    return rows


async def main() -> None:
    """One squeeze."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=float, default=5)
    parser.add_argument("--squeezed", type=float, default=12)
    parser.add_argument("--after", type=float, default=15)
    parser.add_argument("--loss", type=int, default=0, help="percent of the packets towards the subscriber")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "squeeze", help="without suffix")
    arguments = parser.parse_args()
    result = await run(arguments)
    header = ["picture", "down after s", "back after s", "longest gap ms: before / after", "sound made up ms in 0.5 s"]
    print_table(header, summary(result))
    save(arguments.out.with_suffix(".json"), {**circumstances(), **result})
    draw(arguments.out, result)


if __name__ == "__main__":
    asyncio.run(main())
