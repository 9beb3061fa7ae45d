"""Somebody leaves the house: from Wi-Fi behind one NAT to 4G behind another, in the middle of a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.browsers import Chromium, Firefox
from tests.e2e.call import Person, until
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.home import VISITOR_NAT
from tests.e2e.network import Host, Network
from tests.e2e.watching import recorded, watch

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.netns]
SERVER = "203.0.113.7"
BACK_SECONDS = 2.0
# Chromium on Linux tells its WebRTC of a new address two seconds after it is there (its network change notifier waits
# for more changes), and no page can have it sooner; what it takes after that is ours.
CHROMIUM_WAITS_SECONDS = 2.1
PICTURE_SECONDS = 4.0  # an encoder that sent into the void begins with its smallest layer


class Roamer:
    """A host with two interfaces, each behind a NAT of its own; one of them is up."""

    def __init__(self, network: Network, internet: Host) -> None:
        self.host = network.host("roamer")
        self._uplinks = {
            "wifi": self._uplink(network, internet, "wifi", 1),
            "mobile": self._uplink(network, internet, "mobile", 2),
        }

    def _uplink(self, network: Network, internet: Host, name: str, number: int) -> tuple[str, str]:
        """A gateway that masquerades; the roamer's interface and its gateway's inner address."""
        gateway = network.host(name)
        near, _ = network.link(gateway, f"198.51.{number}.9/24", internet, f"198.51.{number}.1/24")
        inner, interface = network.link(gateway, f"172.16.{number}.1/24", self.host, f"172.16.{number}.20/24")
        for old, new in ((near, "wan"), (inner, "lan")):
            gateway.ip("link", "set", old, "down")
            gateway.ip("link", "set", old, "name", new)
            gateway.ip("link", "set", new, "up")
        gateway.ip("route", "add", "default", "via", f"198.51.{number}.1")
        gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        gateway.nft(VISITOR_NAT)
        self.host.ip("link", "set", interface, "down")
        return interface, f"172.16.{number}.1"

    def come(self, name: str) -> None:
        """Brings an interface up, the way by which everything goes from now on."""
        interface, gateway = self._uplinks[name]
        self.host.ip("link", "set", interface, "up")
        self.host.ip("route", "replace", "default", "via", gateway, "dev", interface)

    def go(self, name: str) -> None:
        """Out of reach."""
        self.host.ip("link", "set", self._uplinks[name][0], "down")


@pytest.fixture
def internet(network: Network) -> Host:
    """What joins everybody."""
    made = network.host("internet")
    made.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    return made


@pytest.fixture
async def server(network: Network, internet: Host, tmp_path: Path) -> AsyncIterator[Host]:
    """The daemon's host; somebody else can sit there."""
    host = network.host("server")
    network.link(host, f"{SERVER}/24", internet, "203.0.113.1/24")
    host.ip("route", "add", "default", "via", "203.0.113.1")
    daemon = Daemon(tmp_path / "daemon", host)
    await daemon.start()
    yield host
    await daemon.kill()


async def back(person: Person, key: str, since: float) -> tuple[float, float]:
    """How long after `since` there was sound again, and the picture moved for good; waits for that."""

    async def probe() -> tuple[float, float] | None:
        timeline = await recorded(person)
        heard, moves = timeline.heard_at(since), timeline.moves_since(key, since + 0.3)
        if heard is None or moves is None or timeline.now < moves + 1.5:
            return None
        return heard - since, moves - since

    try:
        return await until(f"{person.name} sees {key} move", probe, 12)
    except AssertionError as error:
        timeline = await recorded(person)
        last = [(round(at - since, 2), width) for at, width in timeline.frames.get(key, [])[-20:]]
        raise AssertionError(f"{error}; last frames {last}; {await person.situation()}") from None


@pytest.mark.parametrize(("engine", "waits"), [(Chromium, CHROMIUM_WAITS_SECONDS), (Firefox, 0.0)])
async def test_media_is_back_soon_behind_another_nat(
    network: Network,
    internet: Host,
    server: Host,
    person: PersonFactory,
    engine: type[Chromium] | type[Firefox],
    waits: float,
) -> None:
    roamer = Roamer(network, internet)
    roamer.come("wifi")
    moving, staying = await person("Moving", engine, roamer.host), await person("Staying", Chromium, server)
    await asyncio.gather(*(one.join(f"https://{SERVER}:8443/r/street") for one in (moving, staying)))
    await asyncio.gather(*(one.sees_others(1, 30) for one in (moving, staying)))
    keys = {}
    for one, other in ((moving, staying), (staying, moving)):
        await watch(one)
        keys[one] = await other.browser.evaluate("document.querySelector('turnd-call').dataset.self") + "/camera"
    await asyncio.sleep(3)
    roamer.go("wifi")
    await asyncio.sleep(1)
    since = {one: (await recorded(one)).now for one in keys}
    roamer.come("mobile")
    try:
        took = {one.name: await back(one, key, since[one]) for one, key in keys.items()}
    except AssertionError as error:
        raise AssertionError(f"{error}; the one who moved {await moving.situation()}") from None
    print(f"{engine.name}: sound and picture are back after {took}")
    for sound, picture in took.values():
        assert sound < BACK_SECONDS + waits
        assert picture < PICTURE_SECONDS + waits
    assert (await moving.pair("publish"))["type"] in {"host", "srflx", "prflx"}  # type: ignore[index]
