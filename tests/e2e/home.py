"""A home network: the daemon's host behind a masquerading box that forwards ports, a visitor behind a symmetric NAT."""

from __future__ import annotations

from tests.e2e.network import Host, Network

BOX_PUBLIC = "203.0.113.7"
README_PORTS = {"tcp": "80, 443, 3478, 5349", "udp": "3478, 5349, 40000-40100"}
BOX = """
table ip box {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    iifname "wan" tcp dport {{ {tcp} }} dnat to 192.168.1.10
    iifname "wan" udp dport {{ {udp} }} dnat to 192.168.1.10
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    oifname "wan" masquerade
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "lan" accept
    ct status dnat accept
  }}
}}
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


class Home:
    """The namespaces of the scene; `ports` are those the box forwards."""

    def __init__(self, network: Network, public: str = BOX_PUBLIC, ports: dict[str, str] = README_PORTS) -> None:
        self.server = network.host("server")
        self.neighbour = network.host("neighbour")
        self.box = network.host("box")
        self.internet = network.host("internet")
        self.gateway = network.host("gateway")
        self.visitor = network.host("visitor")
        self._home_lan(network)
        self._wan(network, self.box, f"{public}/24", f"{public.rpartition('.')[0]}.1/24")
        self._wan(network, self.gateway, "198.51.100.9/24", "198.51.100.1/24")
        self.internet.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        inner, _ = network.link(self.gateway, "172.16.5.1/24", self.visitor, "172.16.5.20/24")
        self._name(self.gateway, inner, "lan")
        self.visitor.ip("route", "add", "default", "via", "172.16.5.1")
        self.box.nft(BOX.format(**ports))
        self.gateway.nft(VISITOR_NAT)
        for router in (self.box, self.gateway):
            router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")

    def _home_lan(self, network: Network) -> None:
        switch = network.host("switch")
        members = {self.server: "192.168.1.10/24", self.neighbour: "192.168.1.20/24", self.box: "192.168.1.254/24"}
        self._name(self.box, network.lan(switch, members).interfaces[self.box], "lan")
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
