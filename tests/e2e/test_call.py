"""Calls between real browsers through the real daemon on one LAN: one call of three, to which much happens."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.e2e.browsers import Chromium, Firefox
from tests.e2e.call import Person, until
from tests.e2e.conftest import DAEMON_ADDRESS, Scene
from tests.e2e.daemon import total

pytestmark = [
    pytest.mark.browser,
    pytest.mark.alone,
    pytest.mark.netns,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.usefixtures("kept"),
]
ROOM = f"https://{DAEMON_ADDRESS}:8443/r/test-room"


async def steady(people: list[Person], seconds: float) -> None:
    """Everybody decodes moving video and audio of all others in every second of the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        moving = await asyncio.gather(*(one.moving(len(people) - 1) for one in people))
        if not all(moving):  # one slow second on a busy machine is not a stall; two are
            moving = await asyncio.gather(*(one.moving(len(people) - 1) for one in people))
        assert all(moving), dict(zip((one.name for one in people), moving, strict=True))


async def back_together(people: list[Person], seconds: float) -> float:
    """Awaits that everybody's streams move again; the seconds it took."""
    started = time.monotonic()

    async def probe() -> bool:
        return all(await asyncio.gather(*(one.moving(len(people) - 1) for one in people)))

    await until("all are back in the call", probe, seconds)
    return time.monotonic() - started


async def three_parties(scene: Scene, query: str = "") -> list[Person]:
    """Ada, who comes anew by the link with that query, and Bob and Chloé, who stay."""
    ada = await scene.person("Ada", Chromium, "a")
    others = [await scene.person("Bob", Chromium, "b"), await scene.person("Chloé", Firefox, "c")]
    coming = [one for one in others if not await one.browser.evaluate("document.querySelector('turnd-call') !== null")]
    await asyncio.gather(ada.join(ROOM + query), *(one.join(ROOM) for one in coming))
    people = [ada, *others]
    await asyncio.gather(*(one.sees_others(2, 30) for one in people))
    await back_together(people, 20)  # what Ada left behind is gone
    return people


async def test_three_parties_see_and_hear_each_other(scene: Scene) -> None:
    people = await three_parties(scene)
    await steady(people, 6)
    for one in people:
        assert all(video["width"] > 0 for video in await one.sees())
        assert (await one.pair("publish"))["type"] in {"host", "prflx"}  # type: ignore[index]
    # Nobody needed a relay, so nobody took one of its few ports.
    assert total(await scene.daemon.metrics(), r"turnd_turn_allocations_total\{.*\}") == 0


@pytest.mark.parametrize(
    ("query", "relay", "port"),
    [
        ("?relay=udp", "udp", 3478),
        ("?relay=tcp", "tcp", 3478),
        ("?relay=tls&port=8443", "tls", 8443),
    ],
)
async def test_a_relayed_party_is_delivered_in_memory(scene: Scene, query: str, relay: str, port: int) -> None:
    people = await three_parties(scene, query)
    for connection in ("publish", "subscribe"):
        pair = await people[0].pair(connection)
        assert pair
        assert pair["type"] == "relay"
        assert pair["relay"] == relay
        assert f":{port}?" in pair["url"] + "?"
    before = await scene.daemon.metrics()
    await steady(people, 2)
    after = await scene.daemon.metrics()
    for component in ("relay", "sfu"):
        name = f'turnd_udp_memory_deliveries_total{{component="{component}"}}'
        assert after[name] - before[name] > 100
    relayed = r"turnd_turn_relayed_packets_total\{.*\}"
    assert total(after, relayed) - total(before, relayed) > 200
    # What the relay sent or received through the kernel is the client's leg alone: nothing went out to a peer.
    kernel = 'turnd_udp_datagrams_total{component="relay",direction="out"}'
    assert after[kernel] == before[kernel]


async def test_a_power_cut_heals_within_ten_seconds(scene: Scene) -> None:
    people = await three_parties(scene)
    await scene.daemon.kill()
    await asyncio.sleep(3)
    await scene.daemon.start()
    took = await back_together(people, 10)
    print(f"back in the call {took:.1f} s after the daemon's return")


async def test_twenty_seconds_without_network_heal(scene: Scene) -> None:
    people = await three_parties(scene)
    host = scene.lan["a"]
    host.ip("link", "set", scene.switch.interfaces[host], "down")
    await asyncio.sleep(20)
    host.ip("link", "set", scene.switch.interfaces[host], "up")
    took = await back_together(people, 10)
    print(f"back in the call {took:.1f} s after the network's return")
