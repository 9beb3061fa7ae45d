"""What breaks in a call at the browser's edge, and what the page says and does about it: it mends itself, or tells.

Twenty seconds without network and a power cut of the server are in test_call.py, another network in test_roaming.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.e2e.browsers import Chromium
from tests.e2e.call import Person, until
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.devices import BUILT_IN_HZ, HEADSET_HZ, device, hears, with_devices
from tests.e2e.page import PAGE, picture

pytestmark = pytest.mark.browser
STATE = "document.querySelector('turnd-call').call.store.state"
# The server gives the socket up after 12 seconds, and keeps the seat for a minute from then on.
ASLEEP_SECONDS = 60


async def says(person: Person, banner: str, words: str, seconds: float = 5) -> None:
    """Awaits that this banner is shown with these words in it."""
    selector = f'[data-banner="{banner}"]:not([hidden])'

    async def probe() -> bool:
        return words in await person.browser.evaluate(f"document.querySelector({selector!r})?.textContent ?? ''")

    await until(f"{banner} says {words!r}", probe, seconds)


async def silent(person: Person, banner: str, seconds: float = 5) -> None:
    """Awaits that this banner is gone."""

    async def probe() -> bool:
        return await person.browser.evaluate(f"!document.querySelector('[data-banner=\"{banner}\"]:not([hidden])')")

    await until(f"{banner} is gone", probe, seconds)


async def hum(person: Person, frequency_hz: float) -> None:
    """Awaits that this person hears such a tone from the other."""

    async def probe() -> bool:
        return abs(await hears(person) - frequency_hz) < 30

    await until(f"{person.name} hears {frequency_hz} Hz", probe, 8)


async def sees_other(person: Person, shown: bool) -> None:
    """Awaits that the other's picture is there, or is not."""

    async def probe() -> bool:
        return bool(await person.sees()) is shown

    await until(f"{person.name} {'sees' if shown else 'does not see'} the other", probe, 8)


async def test_devices_that_come_and_go(loopback: Daemon, person: PersonFactory) -> None:
    ada, room = await person("Ada", Chromium), f"{PAGE}/r/devices"
    await with_devices(ada)
    bob = Person("Bob", await ada.browser.another())  # type: ignore[attr-defined]
    await asyncio.gather(ada.join(room), bob.join(room))
    await bob.sees_others(1)
    await hum(bob, HEADSET_HZ)

    # Another microphone during the call: the other side goes on hearing.
    await ada.browser.click('[data-action="more"]')
    await ada.browser.click('[data-action="settings"]')
    await ada.browser.page.select_option("#settings-device-microphone", "built-in")  # type: ignore[attr-defined]
    await hum(bob, BUILT_IN_HZ)
    await ada.browser.click('[data-action="close-settings"]')

    # The one in use is pulled out: the other one takes over, and gives way when the chosen one is back.
    await device(ada, "unplug('built-in')")
    await says(ada, "notice", "Your microphone was unplugged. Now in use: Headset.")
    await hum(bob, HEADSET_HZ)
    await device(ada, "plug('built-in')")
    await hum(bob, BUILT_IN_HZ)

    # The only camera.
    await device(ada, "unplug('webcam')")
    await says(ada, "problem", "Plug it in again")
    await picture(ada, "recovery-camera-unplugged")
    await sees_other(bob, shown=False)
    await device(ada, "plug('webcam')")
    await silent(ada, "problem")
    await sees_other(bob, shown=True)

    # The permission is taken away in the middle of the call, and given again.
    await device(ada, "refuse()")
    await says(ada, "problem", "Your browser was not allowed to use camera and microphone.")
    await says(ada, "problem", "Press the icon left of the page’s address.")
    await sees_other(bob, shown=False)
    await device(ada, "allow()")
    await silent(ada, "problem")
    await sees_other(bob, shown=True)
    await hum(bob, BUILT_IN_HZ)
    assert await bob.moving(1)


async def test_a_camera_in_use_at_the_start_says_so_and_is_tried_again(loopback: Daemon, person: PersonFactory) -> None:
    ada = await person("Ada", Chromium)
    await with_devices(ada)
    await ada.browser.open(f"{PAGE}/r/taken")
    await device(ada, "take('webcam')")
    await ada.browser.click('[data-action="start-devices"]')
    await says(ada, "problem", "Another program is using the camera.")
    await picture(ada, "recovery-camera-taken")
    assert await ada.browser.evaluate(f"{STATE}.microphone") == "on"
    await device(ada, "free('webcam')")
    await ada.browser.click('[data-action="try-again"]')
    await silent(ada, "problem")
    assert await ada.browser.evaluate(f"{STATE}.camera") == "on"


def processes_of(folder: Path) -> list[int]:
    """The browser with this home and all that came of it: its renderers write over their environment."""
    mark = f"HOME={folder}".encode()
    parents, found = {}, set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if mark in (path / "environ").read_bytes().split(b"\0"):
                found.add(int(path.name))
        except OSError:  # gone meanwhile
            continue
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


async def test_a_laptop_that_sleeps_and_a_server_that_restarts(
    loopback: Daemon, person: PersonFactory, tmp_path: Path
) -> None:
    ada, bob, room = await person("Ada", Chromium), await person("Bob", Chromium), f"{PAGE}/r/asleep"
    await asyncio.gather(ada.join(room), bob.join(room))
    await asyncio.gather(ada.sees_others(1), bob.sees_others(1))
    laptop = processes_of(tmp_path / "browser0")
    assert len(laptop) > 2

    async def away() -> bool:
        return bool(await bob.browser.evaluate("document.querySelector('turnd-tile.is-away') !== null"))

    for process in laptop:
        os.kill(process, signal.SIGSTOP)
    try:
        await asyncio.sleep(ASLEEP_SECONDS)
        await until("Bob is told that Ada is away", away, 6)
        await picture(bob, "recovery-other-asleep")
    finally:
        for process in laptop:
            os.kill(process, signal.SIGCONT)

    async def together() -> bool:
        return all(await asyncio.gather(ada.moving(1), bob.moving(1)))

    await until("both see and hear each other after the sleep", together, 12)

    await loopback.kill()
    await says(ada, "reconnecting", "Connection lost. Reconnecting…")
    await picture(ada, "recovery-reconnecting")
    await loopback.start()
    await silent(ada, "reconnecting", 10)
    await until("both see and hear each other after the restart", together, 10)
