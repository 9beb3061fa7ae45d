"""What is seen decides what is sent: layers, sizes, hidden pages, lonely cameras; real browsers, the real daemon."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.e2e.browsers import Chromium, Firefox
from tests.e2e.call import Person, until
from tests.e2e.conftest import DAEMON_ADDRESS, PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.network import Host

pytestmark = [pytest.mark.browser, pytest.mark.netns]
ROOM = f"https://{DAEMON_ADDRESS}:8443/r/layers-room"
ENGINES = pytest.mark.parametrize("engine", [Chromium, Firefox])
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


async def two(person: PersonFactory, lan: dict[str, Host], engine: Engine) -> tuple[Person, Person]:
    """Ada publishes with the engine, Bob looks with Chromium."""
    ada = await person("Ada", engine, lan["a"])
    bob = await person("Bob", Chromium, lan["b"])
    await ada.join(ROOM)
    await bob.join(ROOM)
    await bob.sees_others(1, 30)
    return ada, bob


@ENGINES
async def test_alone_nobody_sends_video(
    daemon: Daemon, lan: dict[str, Host], person: PersonFactory, engine: Engine
) -> None:
    ada = await person("Ada", engine, lan["a"])
    await ada.join(ROOM)

    async def published() -> bool:
        return bool(await camera_sent(ada))

    await until("Ada publishes", published, 10)
    await rests(ada, 5)


@ENGINES
async def test_a_hidden_page_gets_no_video_and_has_it_back_within_a_second(
    daemon: Daemon, lan: dict[str, Host], person: PersonFactory, engine: Engine
) -> None:
    ada, bob = await two(person, lan, engine)
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


@ENGINES
async def test_a_small_window_gets_a_small_picture_and_the_others_rest(
    daemon: Daemon, lan: dict[str, Host], person: PersonFactory, engine: Engine
) -> None:
    ada, bob = await two(person, lan, engine)
    await bob.browser.resize(340, 500)
    print(f"{engine.name}: small after {await shows(bob, 320, 5):.2f} s")

    async def one() -> bool:
        before = await camera_sent(ada)
        await asyncio.sleep(0.5)
        after = await camera_sent(ada)
        return {rid for rid in after if after[rid]["bytes"] > before[rid]["bytes"]} == {"q"}

    await until("Ada sends the smallest layer alone", one, 3)
    await bob.browser.resize(1280, 720)
    print(f"{engine.name}: large after {await shows(bob, 640, 5):.2f} s")
