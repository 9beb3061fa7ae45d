"""A participant's address changes during a call, as from Wi-Fi to mobile or with a VPN switched on."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.e2e.browsers import Chromium, Firefox
from tests.e2e.call import Person, until
from tests.e2e.conftest import DAEMON_ADDRESS, PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.network import Host, Switch

pytestmark = [pytest.mark.browser, pytest.mark.netns]
ROOM = f"https://{DAEMON_ADDRESS}:8443/r/moving-room"

# Chromium on Linux tells its WebRTC of a new address two seconds after it is there (its network change notifier waits
# for more changes), and no page can have it sooner; what it takes after that is ours.
CHROMIUM_WAITS_SECONDS = 2.1


async def packets(person: Person) -> int:
    """All RTP packets received so far."""
    return sum(stream["packets"] for stream in await person.inbound())


async def hears_again(person: Person, since: float) -> float:
    """Awaits RTP that arrives after now; the seconds since then."""
    before = await packets(person)

    async def more() -> bool:
        return await packets(person) > before + 5

    await until(f"{person.name} receives again", more, 12)
    return time.monotonic() - since


@pytest.mark.parametrize(("engine", "waits"), [(Chromium, CHROMIUM_WAITS_SECONDS), (Firefox, 0.0)])
async def test_media_is_back_soon_after_a_change_of_address(
    daemon: Daemon,
    lan: dict[str, Host],
    switch: Switch,
    person: PersonFactory,
    engine: type[Chromium] | type[Firefox],
    waits: float,
) -> None:
    ada = await person("Ada", engine, lan["a"])
    bob = await person("Bob", Chromium, lan["b"])
    await asyncio.gather(ada.join(ROOM), bob.join(ROOM))
    await asyncio.gather(ada.sees_others(1, 30), bob.sees_others(1, 30))
    assert await ada.moving(1)
    interface = switch.interfaces[lan["a"]]
    lan["a"].ip("addr", "del", "10.77.0.2/24", "dev", interface)
    lan["a"].ip("addr", "add", "10.77.0.12/24", "dev", interface)
    changed = time.monotonic()
    await asyncio.sleep(0.1)  # what was under way has arrived
    took = await asyncio.gather(hears_again(ada, changed), hears_again(bob, changed))
    print(f"{engine.name}: Ada hears after {took[0]:.2f} s, Bob after {took[1]:.2f} s")
    assert max(took) < 2 + waits
    assert (await ada.pair("publish"))["type"] in {"host", "prflx"}  # type: ignore[index]
