"""The page as it is loaded: its weight, when something is seen, and how long from the link to being seen and heard.

Everybody has a window open, on an empty page, and goes to the link from there: time begins with that, not with a
window or a profile that is made. Loading: a visitor who was never here, with an empty cache, and then the same again
with what the browser has kept; nobody else is there, no inspector either. Meeting: Ada waits in the room; Bob, who was
never here, has a link with a name in it and clicks "Join", once. Time ends when Ada has decoded his picture and played
his sound; both pages are in one Chromium and read one clock. Watching: a viewer of a webinar, with one click, until its
stage is seen. Writes docs/page.json.

    .venv/bin/python -m benchmarks.page [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
import statistics
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.daemon import HOST, HTTP_PORT, REPOSITORY, start_turnd
from benchmarks.plots import circumstances
from benchmarks.process import print_table, save
from tests.e2e.browsers import CHROMIUM_ARGUMENTS

ROOM = f"http://{HOST}:{HTTP_PORT}/r/benchmark-of-the-page"
WEBINAR = f"http://{HOST}:{HTTP_PORT}/r/benchmark-of-a-webinar?webinar"
CAMERA = 'turnd-controls [data-action="camera"]'
JOIN = '[data-action="join"]'
OWN_PICTURE = 'turnd-call[data-phase="call"] turnd-tile.is-self video'
NOW = "performance.timeOrigin + performance.now()"

# In this time a browser or a window has started, a page is loaded whole, or who came in stands in the room.
QUIET_S = 3.0

# What came over the network until now, in kB as sent, and when the first words or lines were painted: the form's, since
# nothing is shown before.
LOADED = """async () => {
  const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const paint = await new Promise((done) =>
    new PerformanceObserver((list) => {
      for (const { startTime } of list.getEntriesByName("first-contentful-paint")) done(startTime);
    }).observe({ type: "paint", buffered: true }));
  const [{ responseEnd }] = entries;
  return { kB: entries.reduce((sum, { transferSize }) => sum + transferSize, 0) / 1000, requests: entries.length,
    document_ms: responseEnd, painted_ms: paint };
}"""

# Where the middle of `selector` is, once it is shown.
PLACE = """for (;;) {
  const element = document.querySelector(selector);
  const { x, y, width, height } = element?.getBoundingClientRect() ?? {};
  if (element && width && !element.disabled) return { x: x + width / 2, y: y + height / 2 };
  await new Promise(requestAnimationFrame);
}"""

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

# Resolves when a picture of somebody else is played, with the time.
SEEN = f"""() => new Promise((done) => {{
  const look = () => {{
    const videos = [...document.querySelectorAll("turnd-tile:not(.is-self) video")];
    if (videos.some((video) => video.videoWidth && !video.paused && video.currentTime > 0)) done({NOW});
    else requestAnimationFrame(look);
  }};
  look();
}})"""


class GoneError(Exception):
    """What was asked could not be answered; the document may have been another one by then."""


class Watched:
    """A Chromium with an empty profile that is asked as little as can be, by the DevTools protocol.

    An inspector that is told of each of a hundred requests, as Playwright's is, makes 460 ms of 320.
    """

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, folder: Path) -> AsyncIterator[Watched]:
        """Runs it; all its processes go at the end."""
        process = await asyncio.create_subprocess_exec(
            "/usr/bin/chromium",
            *CHROMIUM_ARGUMENTS,
            "--use-fake-device-for-media-stream=fps=20",
            "--window-size=1280,800",
            f"--user-data-dir={folder}",
            "--remote-debugging-port=0",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stderr
        try:
            said = await process.stderr.readuntil(b"/devtools/browser/") + await process.stderr.readline()
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(said.decode().split()[-1], max_msg_size=0) as socket,
            ):
                self = cls()
                self._socket, self._numbers = socket, itertools.count(1)
                await asyncio.sleep(QUIET_S)
                yield self
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def ask(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """What the browser answers; one question at a time."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, "sessionId": session}
        await self._socket.send_json({key: value for key, value in message.items() if value is not None})
        while (answer := await self._socket.receive_json()).get("id") != number:
            pass
        if "error" in answer:
            raise GoneError(answer["error"]["message"])
        return answer["result"]

    async def window(self) -> Page:
        """An empty page in this profile."""
        return await self._open()

    async def visitor(self) -> Page:
        """A window of somebody who was never here: without cookies or a cache."""
        who = (await self.ask("Target.createBrowserContext"))["browserContextId"]
        return await self._open(browserContextId=who, newWindow=True, width=1280, height=800)

    async def _open(self, **how: Any) -> Page:
        target = await self.ask("Target.createTarget", url="about:blank", **how)
        await asyncio.sleep(QUIET_S)
        return Page(self, target["targetId"])


class Page:
    """A page of a Watched."""

    def __init__(self, chromium: Watched, target: str) -> None:
        self._chromium, self._target, self._session = chromium, target, ""

    async def ask(self, method: str, **parameters: Any) -> Any:
        """What the page answers."""
        if not self._session:
            attached = await self._chromium.ask("Target.attachToTarget", targetId=self._target, flatten=True)
            self._session = attached["sessionId"]
        return await self._chromium.ask(method, self._session, **parameters)

    async def go(self, url: str) -> None:
        """Begins to load it; nothing looks on until it is asked."""
        await self.ask("Page.navigate", url=url)

    async def evaluate(self, function: str) -> Any:
        """What the function returns."""
        called = {"expression": f"({function})()", "awaitPromise": True, "returnByValue": True}
        return (await self.ask("Runtime.evaluate", **called))["result"].get("value")

    async def place(self, selector: str) -> Any:
        """Where its middle is, once it is shown."""
        while True:
            # Asked of the empty document that was there before, it is asked again.
            with contextlib.suppress(GoneError):
                return await self.evaluate(f"async () => {{ const selector = {json.dumps(selector)}; {PLACE} }}")

    async def click(self, selector: str) -> None:
        """Presses the mouse in its middle, once it is there."""
        place = await self.place(selector)
        for kind in ("mousePressed", "mouseReleased"):
            await self.ask("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    async def close(self) -> None:
        """As its window is closed."""
        await self._chromium.ask("Target.closeTarget", targetId=self._target)


async def load(folder: Path) -> dict[str, Any]:
    """What a visitor's browser loads and when it shows it: the first time, and again."""
    figures = {}
    async with Watched.start(folder) as chromium:
        for visit in ("first visit", "again"):
            page = await chromium.window()
            await page.go(ROOM)
            await asyncio.sleep(QUIET_S)
            figures[visit] = await page.evaluate(LOADED)
            await page.close()
    return figures


async def meet(chromium: Watched) -> float:
    """Milliseconds from Bob's link until Ada sees and hears him."""
    ada, bob = await chromium.visitor(), await chromium.visitor()
    await ada.go(f"{ROOM}?name=Ada")
    await ada.click(JOIN)
    await ada.place(OWN_PICTURE)
    await asyncio.sleep(QUIET_S)
    await ada.evaluate(f"() => {{ window.met = ({MET})(); }}")
    await bob.go(f"{ROOM}?name=Bob")
    await bob.click(JOIN)
    met_at: float = await asyncio.wait_for(ada.evaluate("() => window.met"), 30)
    started_at: float = await bob.evaluate("() => performance.timeOrigin")
    await bob.close()
    await ada.close()
    return met_at - started_at


async def watch(chromium: Watched) -> float:
    """Milliseconds from a viewer's link to a webinar until they see the stage."""
    host, viewer = await chromium.visitor(), await chromium.visitor()
    await host.go(f"{WEBINAR}&name=Host")
    for selector in (JOIN, CAMERA):
        await host.click(selector)
    await host.place(OWN_PICTURE)
    await viewer.go(f"{WEBINAR}&name=Vera")
    await viewer.click(JOIN)
    seen_at: float = await asyncio.wait_for(viewer.evaluate(SEEN), 30)
    started_at: float = await viewer.evaluate("() => performance.timeOrigin")
    await viewer.close()
    await host.close()
    return seen_at - started_at


async def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """All rounds; one before them is not counted."""
    loads = [await load(folder / f"visitor-{number}") for number in range(rounds + 1)][1:]
    async with Watched.start(folder / "meeting") as chromium:
        met = [await meet(chromium) for _ in range(rounds + 1)][1:]
        watched = [await watch(chromium) for _ in range(rounds + 1)][1:]
    return {"loads": loads, "met_ms": met, "watched_ms": watched}


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
    print(f"link of a webinar to seeing the stage: {shown(runs['watched_ms'])} ms")
    save(options.output, {"circumstances": circumstances(), **runs})


if __name__ == "__main__":
    main()
