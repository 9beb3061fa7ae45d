"""Fixtures of the end-to-end tests: networks, the daemon in them, people with browsers."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.browsers import Browser, Chromium, Firefox
from tests.e2e.call import Person
from tests.e2e.daemon import Daemon
from tests.e2e.network import Host, Network, Switch
from tests.e2e.page import PAGE, SCREENSHOTS, SHARE, loopback_daemon

ROOMS = itertools.count(1)

LAN = ("daemon", "a", "b", "c")
DAEMON_ADDRESS = "10.77.0.1"


def make_lan(network: Network) -> Switch:
    """A LAN of four hosts, 10.77.0.1 to 10.77.0.4."""
    hosts = [network.host(name) for name in LAN]
    addresses = {host: f"10.77.0.{number}/24" for number, host in enumerate(hosts, 1)}
    return network.lan(network.host("switch"), addresses)


def hosts_of(switch: Switch) -> dict[str, Host]:
    """The hosts of such a LAN: `daemon`, `a`, `b`, `c`."""
    return dict(zip(LAN, switch.interfaces, strict=True))


@pytest.fixture
def switch(network: Network) -> Switch:
    """A LAN of four hosts, 10.77.0.1 to 10.77.0.4."""
    return make_lan(network)


@pytest.fixture
def lan(switch: Switch) -> dict[str, Host]:
    """Its hosts `daemon`, `a`, `b`, `c`."""
    return hosts_of(switch)


@pytest.fixture
async def daemon(lan: dict[str, Host], tmp_path: Path) -> AsyncIterator[Daemon]:
    """The daemon with its defaults on the LAN's first host."""
    made = Daemon(tmp_path / "daemon", lan["daemon"])
    await made.start()
    yield made
    await made.kill()


class People:
    """Makes people and remembers them; their last screens and consoles are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[Person] = []
        self._stack = AsyncExitStack()

    async def make(
        self, name: str, engine: type[Chromium] | type[Firefox], host: Host | None = None, **options: object
    ) -> Person:
        """Somebody with a browser of their own on that host."""
        folder = self._folder / f"browser{len(self._all)}"
        browser = await engine.start(folder, host, **options)  # type: ignore[arg-type]
        return self.add(name, browser, browser.close)

    def add(self, name: str, browser: Browser, close: Callable[[], Awaitable[None]]) -> Person:
        """Somebody whose browser is there already; `close` ends it."""
        self._stack.push_async_callback(close)
        self._all.append(Person(name, browser))
        return self._all[-1]

    async def keep(self, test: str) -> None:
        """Their screens and consoles, under the test's name."""
        SCREENSHOTS.mkdir(exist_ok=True)
        for one in self._all:
            try:
                await one.browser.screenshot(SCREENSHOTS / f"{test}-{one.name}.png")
            except Exception as error:
                print("no screenshot of", one.name, error)
            print(one.name, "console:", *one.browser.console[-20:], sep="\n  ")

    async def close(self) -> None:
        """Ends the browsers."""
        await self._stack.aclose()


PersonFactory = Callable[..., Awaitable[Person]]


@pytest.fixture
async def person(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[PersonFactory]:
    """Makes people: `await person("Ada", Chromium, host)`."""
    people = People(tmp_path)
    try:
        yield people.make
        await people.keep(request.node.name)
    finally:
        await people.close()


class Scene:
    """What the tests of a module share: a LAN, its daemon, and people, who are made when they are first asked for."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.switch = make_lan(network)
        self.lan = hosts_of(self.switch)
        self.daemon = Daemon(folder / "daemon", self.lan["daemon"])
        self.people = People(folder)
        self._known: dict[tuple[str, str, str], Person] = {}

    async def person(self, name: str, engine: type[Chromium] | type[Firefox], host: str) -> Person:
        """The one of that name with that browser on that host."""
        key = name, engine.name, host
        if key not in self._known:
            self._known[key] = await self.people.make(name, engine, self.lan[host])
        return self._known[key]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """The module's scene, its daemon started."""
    network = Network()
    made = Scene(network, tmp_path_factory.mktemp("scene"))
    try:
        await made.daemon.start()
        yield made
        await made.people.close()
        await made.daemon.kill()
    finally:
        network.close()


@pytest_asyncio.fixture(loop_scope="module")
async def kept(scene: Scene, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """What everybody in the scene sees at the end of a test."""
    yield
    await scene.people.keep(request.node.name)


@pytest.fixture
async def loopback(tmp_path: Path) -> AsyncIterator[Daemon]:
    """The daemon on loopback, for one test."""
    async with loopback_daemon(tmp_path / "daemon") as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Daemon]:
    """The same for the tests of a module, each in a room of its own."""
    async with loopback_daemon(tmp_path_factory.mktemp("house") / "daemon") as made:
        yield made


@pytest.fixture
def room(house: Daemon) -> str:
    """The URL of a room of this test."""
    return f"{PAGE}/r/room-{next(ROOMS)}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chromium]:
    """The process of the browsers of all visitors of a module."""
    made = await Chromium.start(tmp_path_factory.mktemp("chromium"), arguments=SHARE)
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(
    house: Daemon, chromium: Chromium, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[PersonFactory]:
    """Makes people: `await visitor("Ada")`, with the options of a Playwright context."""
    people = People(tmp_path)

    async def make(name: str, **options: object) -> Person:
        browser = await chromium.another(**options)
        return people.add(name, browser, browser.leave)

    yield make
    await people.keep(request.node.name)
    await people.close()
