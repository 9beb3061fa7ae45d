"""Fixtures of the end-to-end tests: networks, the daemon in them, people with browsers."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.e2e.browsers import Chromium, Firefox
from tests.e2e.call import Person
from tests.e2e.daemon import Daemon
from tests.e2e.network import Host, Network, Switch

SCREENSHOTS = Path(__file__).resolve().parents[2] / "screenshots"

LAN = ("daemon", "a", "b", "c")
DAEMON_ADDRESS = "10.77.0.1"


@pytest.fixture
def switch(network: Network) -> Switch:
    """A LAN of four hosts, 10.77.0.1 to 10.77.0.4."""
    hosts = [network.host(name) for name in LAN]
    addresses = {host: f"10.77.0.{number}/24" for number, host in enumerate(hosts, 1)}
    return network.lan(network.host("switch"), addresses)


@pytest.fixture
def lan(switch: Switch) -> dict[str, Host]:
    """Its hosts `daemon`, `a`, `b`, `c`."""
    return dict(zip(LAN, switch.interfaces, strict=True))


@pytest.fixture
async def daemon(lan: dict[str, Host], tmp_path: Path) -> AsyncIterator[Daemon]:
    """The daemon with its defaults on the LAN's first host."""
    made = Daemon(tmp_path / "daemon", lan["daemon"])
    await made.start()
    yield made
    await made.kill()


PersonFactory = Callable[..., Awaitable[Person]]


@pytest.fixture
async def person(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[PersonFactory]:
    """Makes people: `await person("Ada", Chromium, host)`; their last screens and consoles are kept."""
    numbers = itertools.count()
    people: list[Person] = []
    async with AsyncExitStack() as stack:

        async def make(
            name: str, engine: type[Chromium] | type[Firefox], host: Host | None = None, **options: object
        ) -> Person:
            browser = await engine.start(tmp_path / f"browser{next(numbers)}", host, **options)  # type: ignore[arg-type]
            stack.push_async_callback(browser.close)
            people.append(Person(name, browser))
            return people[-1]

        yield make
        SCREENSHOTS.mkdir(exist_ok=True)
        for one in people:
            try:
                await one.browser.screenshot(SCREENSHOTS / f"{request.node.name}-{one.name}.png")
            except Exception as error:
                print("no screenshot of", one.name, error)
            print(one.name, "console:", *one.browser.console[-20:], sep="\n  ")
