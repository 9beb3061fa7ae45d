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
from tests.e2e.call import Person
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.network import Host, Network

pytestmark = [pytest.mark.browser, pytest.mark.netns]

BOX_PUBLIC = "203.0.113.7"
BOX = """
table ip box {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    iifname "wan" tcp dport { 80, 443, 3478, 5349 } dnat to 192.168.1.10
    iifname "wan" udp dport { 3478, 5349, 40000-40100 } dnat to 192.168.1.10
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "wan" masquerade
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "lan" accept
    ct status dnat accept
  }
}
"""
# Symmetric: every flow gets a random outside port of its own, and only answers of the same peer come back.
VISITOR_NAT = """
table ip nat {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "wan" masquerade random,fully-random
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "lan" accept
  }
}
"""
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


class Home:
    """The namespaces of the scene."""

    def __init__(self, network: Network) -> None:
        self.server = network.host("server")
        self.neighbour = network.host("neighbour")
        self.box = network.host("box")
        self.internet = network.host("internet")
        self.gateway = network.host("gateway")
        self.visitor = network.host("visitor")
        self._home_lan(network)
        self._wan(network, self.box, f"{BOX_PUBLIC}/24", "203.0.113.1/24")
        self._wan(network, self.gateway, "198.51.100.9/24", "198.51.100.1/24")
        self.internet.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        inner, _ = network.link(self.gateway, "172.16.5.1/24", self.visitor, "172.16.5.20/24")
        self._name(self.gateway, inner, "lan")
        self.visitor.ip("route", "add", "default", "via", "172.16.5.1")
        self.box.nft(BOX)
        self.gateway.nft(VISITOR_NAT)
        for router in (self.box, self.gateway):
            router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")

    def _home_lan(self, network: Network) -> None:
        switch = network.host("switch")
        members = {self.server: "192.168.1.10/24", self.neighbour: "192.168.1.20/24", self.box: "192.168.1.254/24"}
        self._name(self.box, network.lan(switch, members)[self.box], "lan")
        for member in (self.server, self.neighbour):
            member.ip("route", "add", "default", "via", "192.168.1.254")

    def _wan(self, network: Network, router: Host, address: str, gateway: str) -> None:
        near, _ = network.link(router, address, self.internet, gateway)
        self._name(router, near, "wan")
        router.ip("route", "add", "default", "via", gateway.split("/")[0])

    @staticmethod
    def _name(host: Host, interface: str, name: str) -> None:
        host.ip("link", "set", interface, "down")
        host.ip("link", "set", interface, "name", name)
        host.ip("link", "set", name, "up")


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


async def test_video_goes_on_through_five_percent_loss(daemon: Daemon, home: Home, person: PersonFactory) -> None:
    people = await all_three(home, person, Chromium)
    home.gateway.nft(LOSS)
    first = {one: await videos(one) for one in people}
    last = first
    for _ in range(12):
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
        assert all(stream["frozen"] < 3 for stream in gained.values())
    for stream in last[people[0]].values():
        assert stream["retransmitted"] > 20  # towards the visitor
    samples = await daemon.metrics()
    assert samples["turnd_rtp_retransmitted_packets_total"] > 40
    assert samples['turnd_rtcp_messages_total{direction="out",type="nack"}'] > 20  # from the visitor


GAINED = ("frozen", "lost", "retransmitted", "nacks")


async def videos(one: Person) -> dict[str, dict[str, Any]]:
    """The video streams this person receives, by m-line."""
    return {stream["mid"]: stream for stream in await one.inbound() if stream["kind"] == "video" and stream["frames"]}
