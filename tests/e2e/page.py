"""The page without a network: a daemon on loopback for the tests of what people do there, and pictures to look at."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.e2e.call import Person
from tests.e2e.daemon import REPOSITORY, Daemon

SCREENSHOTS = REPOSITORY / "screenshots"
# Below the ports that the kernel gives to who calls: one of them, not yet forgotten, keeps a daemon from starting.
# Tests that run side by side (pytest-xdist's `gw0`, `gw1`) have a thousand each.
HOST = "127.0.0.1"
FIRST_PORT = 25000 + 1000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORT, TURN_PORT, TURNS_PORT = FIRST_PORT + 80, FIRST_PORT + 478, FIRST_PORT + 349
PAGE = f"http://{HOST}:{PORT}"
# Chromium asks nobody which screen.
SHARE = ["--auto-select-desktop-capture-source=Entire screen"]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


@asynccontextmanager
async def loopback_daemon(folder: Path, **http: object) -> AsyncIterator[Daemon]:
    """The daemon on ports of these tests, with these keys of `[http]`."""
    made = Daemon(
        folder,
        http={"listen": f"{HOST}:{PORT}", "tls_listen": f"{HOST}:{FIRST_PORT + 443}", **http},
        turn={
            "listen": [HOST],
            "port": TURN_PORT,
            "tls_port": TURNS_PORT,
            "relay_ports": [FIRST_PORT + 1, FIRST_PORT + 79],
        },
        sfu={"port": FIRST_PORT},
        metrics={"listen": f"{HOST}:{FIRST_PORT + 641}"},
    )
    await made.start()
    try:
        yield made
    finally:
        await made.kill()


async def picture(person: Person, name: str) -> None:
    """A screenshot to look at."""
    SCREENSHOTS.mkdir(exist_ok=True)
    await person.browser.screenshot(SCREENSHOTS / f"{name}.png")


async def both_themes(person: Person, name: str) -> None:
    """The same in both colour schemes."""
    for scheme in ("light", "dark"):
        await person.browser.page.emulate_media(color_scheme=scheme)  # type: ignore[attr-defined]
        await picture(person, f"{name}-{scheme}")


async def hide(page: Any, *, hidden: bool) -> None:
    """Headless browsers never hide a page: says to it what others would."""
    await page.evaluate(
        """hidden => {
            Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
            const state = hidden ? 'hidden' : 'visible';
            Object.defineProperty(document, 'visibilityState', {value: state, configurable: true});
            document.dispatchEvent(new Event('visibilitychange'));
        }""",
        hidden,
    )
