"""What is seen decides what is sent: layers, sizes, hidden pages, lonely cameras; real browsers, the real daemon."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.browsers import Chromium, Firefox
from tests.e2e.call import Person, until
from tests.e2e.conftest import DAEMON_ADDRESS, Scene

pytestmark = [
    pytest.mark.browser,
    pytest.mark.alone,
    pytest.mark.netns,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.usefixtures("kept"),
]
ROOM = f"https://{DAEMON_ADDRESS}:8443/r/layers-of-"
Engine = type[Chromium] | type[Firefox]

# Headless pages are never hidden: what the browser would say of a page that nobody looks at is said in its place.
HIDE = """(hidden) => {
  Object.defineProperty(document, 'hidden', {value: %s, configurable: true});
  document.dispatchEvent(new Event('visibilitychange'));
}"""


async def hide(person: Person, hidden: bool) -> None:
    """The person looks at another tab, or comes back."""
    await person.browser.evaluate(HIDE % str(hidden).lower())


async def camera_sent(person: Person) -> dict[str, dict[str, Any]]:
    """The encodings of a camera by rid."""
    return {stream["rid"]: stream for stream in await person.outbound() if stream["kind"] == "video"}


async def rests(person: Person, seconds: float = 6) -> None:
    """Awaits that not one byte of video leaves within half a second."""

    async def silent() -> bool:
        before = await camera_sent(person)
        await asyncio.sleep(0.5)
        after = await camera_sent(person)
        return all(after[rid]["bytes"] == before[rid]["bytes"] for rid in after)

    await until(f"{person.name} sends no video", silent, seconds)


async def shows(person: Person, width: int, seconds: float) -> float:
    """Awaits that another's picture has this width; the seconds it took."""
    started = time.monotonic()

    async def fits() -> bool:
        return any(video["width"] == width for video in await person.sees())

    await until(f"{person.name} sees a picture {width} wide", fits, seconds)
    return time.monotonic() - started


@pytest.fixture(scope="module", params=[Chromium, Firefox], ids=["Chromium", "Firefox"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """The one that publishes."""
    return request.param  # type: ignore[no-any-return]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ada(scene: Scene, engine: Engine) -> Person:
    """Publishes with the engine, alone at first."""
    ada = await scene.person("Ada", engine, "a")
    await ada.join(ROOM + engine.name)
    return ada


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bob(scene: Scene, engine: Engine, ada: Person) -> Person:
    """Looks at Ada with Chromium."""
    bob = await scene.person("Bob", Chromium, "b")
    await bob.browser.resize(1280, 800)
    await bob.join(ROOM + engine.name)
    await bob.sees_others(1, 30)
    return bob


async def test_alone_nobody_sends_video(ada: Person) -> None:
    async def published() -> bool:
        return bool(await camera_sent(ada))

    await until("Ada publishes", published, 10)
    await rests(ada, 5)


async def test_a_hidden_page_gets_no_video_and_has_it_back_within_a_second(
    engine: Engine, ada: Person, bob: Person
) -> None:
    await hide(bob, True)
    await rests(ada)
    frames = (await bob.progress())[0]
    await hide(bob, False)
    started = time.monotonic()

    async def moves() -> bool:
        return (await bob.progress())[0] > frames

    await until("Bob's picture moves again", moves, 2)
    took = time.monotonic() - started
    print(f"{engine.name}: back after {took:.2f} s")
    assert took < 1


async def test_a_small_window_gets_a_small_picture_and_the_others_rest(
    engine: Engine, ada: Person, bob: Person
) -> None:
    await bob.browser.resize(320, 500)
    print(f"{engine.name}: small after {await shows(bob, 320, 5):.2f} s")

    async def one() -> bool:
        before = await camera_sent(ada)
        await asyncio.sleep(0.5)
        after = await camera_sent(ada)
        return {rid for rid in after if after[rid]["bytes"] > before[rid]["bytes"]} == {"q"}

    await until("Ada sends the smallest layer alone", one, 3)
    await bob.browser.resize(640, 480)
    print(f"{engine.name}: large after {await shows(bob, 640, 5):.2f} s")
