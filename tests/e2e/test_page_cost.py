"""What the page itself costs its browser with nine people in the call, by Chromium's own profiler and counters."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.browsers import Chromium
from tests.e2e.call import Person, until
from tests.e2e.conftest import PersonFactory
from tests.e2e.crowd import crowd
from tests.e2e.daemon import Daemon
from tests.e2e.page import PAGE, hide

pytestmark = [pytest.mark.browser, pytest.mark.alone]
ROOM = f"{PAGE}/r/nine"
PEOPLE = 9
SECONDS = 5.0
SPEECH_SECONDS = 1.5
MAX_SCRIPT_SHARE = 0.05
# What the server says of pictures and who speaks changes colours; nobody has to be laid out anew for that.
# During the speech the pictures of the beginning are still finding their sizes.
MAX_LAYOUTS_AT_REST = 0.5
MAX_LAYOUTS_WITH_SPEECH = 3.0
# Not the page's own: waiting, and the browser's inside.
NOT_SCRIPT = {"(idle)", "(program)", "(root)"}


@dataclass(frozen=True)
class Cost:
    """Shares are of one core, counts a second."""

    script: float
    task: float
    layout: float
    layouts: float
    styles: float

    def __str__(self) -> str:
        return (
            f"script {self.script:.2%} of a core (all tasks of the main thread {self.task:.2%}), "
            f"{self.layouts:.2f} layouts/s taking {self.layout:.2%}, {self.styles:.2f} style recalculations/s"
        )


def script_seconds(profile: dict[str, Any]) -> float:
    """Seconds in which JavaScript ran."""
    names = {node["id"]: node["callFrame"]["functionName"] for node in profile["nodes"]}
    deltas = zip(profile["samples"], profile["timeDeltas"], strict=True)
    return sum(delta for node, delta in deltas if names[node] not in NOT_SCRIPT) / 1e6


async def counters(session: Any) -> dict[str, float]:
    """The browser's counters of this page."""
    reply = await session.send("Performance.getMetrics")
    return {each["name"]: each["value"] for each in reply["metrics"]}


async def measure(session: Any, seconds: float) -> Cost:
    """What the page costs for a while."""
    before, began = await counters(session), time.monotonic()
    await session.send("Profiler.start")
    await asyncio.sleep(seconds)
    profile = (await session.send("Profiler.stop"))["profile"]
    after, took = await counters(session), time.monotonic() - began

    def rate(name: str) -> float:
        return (after[name] - before[name]) / took

    return Cost(
        script_seconds(profile) / took,
        rate("TaskDuration"),
        rate("LayoutDuration"),
        rate("LayoutCount"),
        rate("RecalcStyleCount"),
    )


async def test_nine_people_cost_little_script_and_no_layout(loopback: Daemon, person: PersonFactory) -> None:
    ada = await person("Ada", Chromium)
    await ada.join(ROOM)
    await ada.browser.page.wait_for_selector('turnd-call[data-phase="call"]')  # type: ignore[attr-defined]
    session = await ada.browser.page.context.new_cdp_session(ada.browser.page)  # type: ignore[attr-defined]
    await session.send("Performance.enable")
    await session.send("Profiler.enable")
    async with crowd(ROOM) as others:
        people = await others.come(PEOPLE - 1)

        async def all_seen() -> bool:
            return len(await ada.sees()) == PEOPLE - 1

        await until("everybody is seen", all_seen, 20)

        async def speak() -> None:
            while True:
                for one in people:
                    one.talk(talking=True)
                    await asyncio.sleep(SPEECH_SECONDS)
                    one.talk(talking=False)

        # Rest comes after speech: by then every picture has the layer it keeps.
        speech = asyncio.create_task(speak())
        busy = await measure(session, SECONDS)
        speech.cancel()
        for one in people:
            one.talk(talking=False)
        quiet = await measure(session, SECONDS)
        print("with speech:", busy)
        print("at rest:", quiet)
        await hides(ada)
    assert max(quiet.script, busy.script) < MAX_SCRIPT_SHARE, f"{quiet}; {busy}"
    assert quiet.layouts <= MAX_LAYOUTS_AT_REST, quiet
    assert busy.layouts <= MAX_LAYOUTS_WITH_SPEECH, busy


async def hides(ada: Person) -> None:
    """A hidden tab receives no picture any more, and all of them again when it is looked at."""
    state = "document.querySelector('turnd-call').call.store.state.received.streams"
    page = ada.browser.page  # type: ignore[attr-defined]

    async def pictures() -> int:
        return int(await page.evaluate(f"{state}.filter(stream => stream.kbps > 0).length"))

    async def none() -> bool:
        return await pictures() == 0

    async def everybody() -> bool:
        return await pictures() == PEOPLE - 1

    await until("everybody's picture comes", everybody, 10)
    await hide(page, hidden=True)
    await until("no picture comes to a hidden tab", none, 10)
    still = await frames(ada)
    await asyncio.sleep(1)
    assert await frames(ada) == still
    await hide(page, hidden=False)
    await until("everybody's picture comes again", everybody, 15)


async def frames(person: Person) -> dict[str, int]:
    """How many of each picture have been decoded."""
    return {each["mid"]: each["frames"] for each in await person.inbound() if each["kind"] == "video"}
