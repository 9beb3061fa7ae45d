"""The home: the daemon behind a masquerading box with the README's ports forwarded, a visitor behind a symmetric NAT.

Somebody else sits on the daemon's own LAN. Then there is loss on the visitor's path.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browsers import Chromium, Firefox
from tests.e2e.call import Person, until
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.home import BOX_PUBLIC, Home
from tests.e2e.network import Network

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.netns]

ONLY_HTTPS = """
table ip firewall {
  chain forward {
    type filter hook forward priority filter - 10;
    iifname "lan" meta l4proto udp drop
    iifname "lan" tcp dport != 443 drop
  }
}
"""
LOSS = """
table ip loss {
  chain forward {
    type filter hook forward priority filter - 10;
    numgen random mod 100 < 5 drop
  }
}
"""


@pytest.fixture
def home(network: Network) -> Home:
    """The home, the box, the Internet, the visitor's gateway and the visitor."""
    return Home(network)


@pytest.fixture
async def daemon(home: Home, tmp_path: Path) -> AsyncIterator[Daemon]:
    """The daemon as the README sets it up behind a box: the ports it forwards, and no address configured."""
    made = Daemon(tmp_path / "daemon", home.server, http={"listen": "0.0.0.0:80", "tls_listen": "0.0.0.0:443"})
    await made.start()
    yield made
    await made.kill()


async def all_three(
    home: Home, person: PersonFactory, neighbours: type[Chromium] | type[Firefox] = Firefox
) -> list[Person]:
    visitor = await person("Visitor", Chromium, home.visitor)
    neighbour = await person("Neighbour", neighbours, home.neighbour)
    host = await person("Host", Chromium, home.server)
    await asyncio.gather(
        visitor.join(f"https://{BOX_PUBLIC}/r/home"),
        neighbour.join("https://192.168.1.10/r/home"),
        host.join("https://192.168.1.10/r/home"),
    )
    people = [visitor, neighbour, host]
    await asyncio.gather(*(one.sees_others(2, 30) for one in people))
    return people


async def test_all_three_see_each_other_through_box_and_symmetric_nat(
    daemon: Daemon, home: Home, person: PersonFactory
) -> None:
    people = await all_three(home, person)
    moving = await asyncio.gather(*(one.moving(2) for one in people))
    assert all(moving)
    pair = await people[0].pair()
    assert pair
    assert pair["remote"].startswith(BOX_PUBLIC)


async def test_a_visitor_whose_network_lets_only_https_out_is_relayed_by_itself(
    daemon: Daemon, home: Home, person: PersonFactory
) -> None:
    home.gateway.nft(ONLY_HTTPS)
    people = await all_three(home, person)
    for connection in ("publish", "subscribe"):
        pair = await people[0].pair(connection)
        assert pair
        assert (pair["type"], pair["relay"]) == ("relay", "tls")
    assert (await daemon.metrics())['turnd_ice_selected_pairs{path="relay"}'] == 2


async def test_a_visitor_is_relayed_over_udp_tcp_and_tls(daemon: Daemon, home: Home, person: PersonFactory) -> None:
    visitor, host = await person("Visitor", Chromium, home.visitor), await person("Host", Chromium, home.server)
    await host.join("https://192.168.1.10/r/home")
    for relay, port in (("udp", 3478), ("tcp", 3478), ("tls", 5349)):
        await visitor.join(f"https://{BOX_PUBLIC}/r/home?relay={relay}")
        await asyncio.gather(*(one.sees_others(1, 30) for one in (visitor, host)))
        assert await visitor.moving(1)
        for connection in ("publish", "subscribe"):
            pair = await visitor.pair(connection)
            assert pair
            assert (pair["type"], pair["relay"]) == ("relay", relay)
            assert f"{BOX_PUBLIC}:{port}" in pair["url"]


async def test_video_goes_on_through_five_percent_loss(daemon: Daemon, home: Home, person: PersonFactory) -> None:
    people = await all_three(home, person, Chromium)
    home.gateway.nft(LOSS)
    first = {one: await videos(one) for one in people}
    last = first
    for _ in range(3):
        await asyncio.sleep(5)
        now = {one: await videos(one) for one in people}
        for one in people:
            for mid, stream in now[one].items():
                assert stream["frames"] > last[one][mid]["frames"], f"{one.name}'s picture {mid} stopped"
        last = now
    for one in people:
        gained = {
            mid: {key: round(stream[key] - first[one][mid][key], 2) for key in GAINED}
            for mid, stream in last[one].items()
        }
        print(one.name, gained)
        assert all(stream["frozen"] < 1.5 for stream in gained.values())

    async def repaired() -> bool:
        return all(stream["retransmitted"] > 8 for stream in (await videos(people[0])).values())

    await until("each picture was repaired towards the visitor", repaired, 30)  # a busy browser sends few packets
    samples = await daemon.metrics()
    assert samples["turnd_rtp_retransmitted_packets_total"] > 15
    assert samples['turnd_rtcp_messages_total{direction="out",type="nack"}'] > 8  # from the visitor


GAINED = ("frozen", "lost", "retransmitted", "nacks")


async def videos(one: Person) -> dict[str, dict[str, Any]]:
    """The video streams this person receives, by m-line."""
    return {stream["mid"]: stream for stream in await one.inbound() if stream["kind"] == "video" and stream["frames"]}
