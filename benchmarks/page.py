"""The page as it is loaded: its weight, when something is seen, and how long from the link to being seen and heard.

Loading: a visitor who was never here, with an empty cache, and then the same again with what the browser has kept;
nobody else is there. Meeting: Ada waits in the room, in the same Chromium; Bob, who was never here, has a link with a
name in it and clicks "Join", once. Time ends when Ada has decoded his picture and played his sound; both pages read one
clock.
Writes docs/page.json.

    .venv/bin/python -m benchmarks.page [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.daemon import HOST, HTTP_PORT, REPOSITORY, start_turnd
from benchmarks.plots import circumstances
from benchmarks.process import print_table, save
from tests.e2e.browsers import Chromium

ROOM = f"http://{HOST}:{HTTP_PORT}/r/benchmark-of-the-page"
JOIN = '[data-action="join"]'
NOW = "performance.timeOrigin + performance.now()"

# What came over the network until now, in kB as sent, and when the first words or lines were painted.
LOADED = """async () => {
  const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const paint = await new Promise((done) =>
    new PerformanceObserver((list) => {
      for (const { startTime } of list.getEntriesByName("first-contentful-paint")) done(startTime);
    }).observe({ type: "paint", buffered: true }));
  const [{ responseEnd }] = entries;
  return { kB: entries.reduce((sum, { transferSize }) => sum + transferSize, 0) / 1000, requests: entries.length,
    document_ms: responseEnd, painted_ms: paint, ready_ms: window.readyAt - performance.timeOrigin };
}"""

# When the button to join is there, noted by the page itself.
WATCH = f"""(() => {{
  const look = () => {{
    if (document.querySelector('{JOIN}')) window.readyAt = {NOW};
    else requestAnimationFrame(look);
  }};
  look();
}})()"""

# Resolves when a picture and a sound of somebody else have been played, with the time of both.
MET = f"""() => new Promise((done) => {{
  const look = async () => {{
    const report = await document.querySelector('turnd-call').call.subscribeConnection?.getStats();
    const streams = [...(report?.values() ?? [])].filter(({{ type }}) => type === 'inbound-rtp');
    const seen = streams.some(({{ kind, framesDecoded }}) => kind === 'video' && framesDecoded > 0);
    const heard = streams.some((s) => s.kind === 'audio' && s.packetsReceived > 0 && s.totalSamplesReceived > 0);
    if (seen && heard) done({NOW});
    else setTimeout(look, 15);
  }};
  look();
}})"""


async def load(chromium: Chromium) -> dict[str, Any]:
    """What a visitor's browser loads and when it shows it: the first time, and again."""
    bob = await chromium.another()
    await bob.page.add_init_script(WATCH)
    figures = {}
    for visit in ("first visit", "again"):
        await bob.open(ROOM)
        await bob.page.wait_for_selector(JOIN)
        figures[visit] = await bob.evaluate(LOADED)
        await bob.open("about:blank")
    await bob.leave()
    return figures


async def meet(chromium: Chromium) -> float:
    """Milliseconds from Bob's link until Ada sees and hears him."""
    ada, bob = await chromium.another(), await chromium.another()
    await ada.open(f"{ROOM}?name=Ada")
    await ada.click(JOIN)
    await ada.page.wait_for_selector('turnd-call[data-phase="call"] turnd-tile.is-self video')
    met = asyncio.create_task(ada.evaluate(MET))
    await bob.open(f"{ROOM}?name=Bob")
    await bob.click(JOIN)
    met_at: float = await asyncio.wait_for(met, 30)
    started_at: float = await bob.evaluate("performance.timeOrigin")
    await bob.leave()
    await ada.leave()
    return met_at - started_at


async def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """All rounds; one before them is not counted."""
    chromium = await Chromium.start(folder / "chromium")
    try:
        loads = [await load(chromium) for _ in range(rounds + 1)][1:]
        return {"loads": loads, "met_ms": [await meet(chromium) for _ in range(rounds + 1)][1:]}
    finally:
        await chromium.close()


def shown(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.0f} ({min(values):.0f}-{max(values):.0f})"


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "docs" / "page.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        server = start_turnd(Path(name))
        try:
            runs = asyncio.run(measure(Path(name), options.rounds))
        finally:
            server.stop()
    loads = runs["loads"]
    print_table(
        ["", *loads[0]["again"]],
        [[visit, *(shown([one[visit][key] for one in loads]) for key in loads[0][visit])] for visit in loads[0]],
    )
    print(f"\nlink to being seen and heard: {shown(runs['met_ms'])} ms")
    save(options.output, {"circumstances": circumstances(), **runs})


if __name__ == "__main__":
    main()
