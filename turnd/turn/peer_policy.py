"""Which peers a client may reach through the relay: nobody special, nobody near, and of ourselves only open ports.

A table of networks, judged on the address and on every IPv4 address that a transition mechanism carries inside it
(RFC 4291, 6052, 8215, 3056, 4380; the IANA special-purpose registries, RFC 6890). Immutable: a change is a new object.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

LAN_PREFIX_BITS = 64  # neighbours of our own global IPv6 addresses share this much with them
VERDICT_CACHE = 4096


class Verdict(NamedTuple):
    """`reason` is why the peer is denied, empty when it is allowed; `restricted`: only our own open ports."""

    allowed: bool
    restricted: bool = False
    reason: str = ""


ALLOWED = Verdict(allowed=True)
OWN_PORTS_ONLY = Verdict(allowed=True, restricted=True)

SPECIAL: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "private"),  # carrier-grade NAT
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link_local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "special"),
    ("192.0.2.0/24", "special"),
    ("192.31.196.0/24", "special"),
    ("192.52.193.0/24", "special"),
    ("192.88.99.0/24", "special"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "special"),
    ("198.18.0.0/15", "special"),
    ("198.51.100.0/24", "special"),
    ("203.0.113.0/24", "special"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "special"),  # broadcast among them
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("64:ff9b:1::/48", "special"),  # local-use NAT64: where the IPv4 address stands is the operator's secret
    ("100::/64", "special"),
    ("100:0:0:1::/64", "special"),
    ("2001::/23", "special"),
    ("2001:db8::/32", "special"),
    ("2620:4f:8000::/48", "special"),
    ("3fff::/20", "special"),
    ("5f00::/16", "special"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link_local"),
    ("fec0::/10", "private"),  # site-local, deprecated
    ("ff00::/8", "multicast"),
)
LOOPBACK_IPV6 = IPv6Address("::1")
GLOBAL_IPV6 = (IPv6Network("2000::/3"), IPv6Network("64:ff9b::/96"))

MAPPED = tuple(IPv6Network(network) for network in ("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96"))  # IPv4 in disguise

# (prefix, bits to the right of the IPv4 address, whether it is stored inverted, reason to deny regardless)
EMBEDDED: tuple[tuple[IPv6Network, int, bool, str], ...] = (
    *((network, 0, False, "mapped") for network in MAPPED),
    (IPv6Network("64:ff9b::/96"), 0, False, ""),
    (IPv6Network("2002::/16"), 80, False, ""),
    (IPv6Network("2001::/32"), 0, True, "special"),
)

NEVER = frozenset({"unspecified", "multicast"})  # no configuration opens these
DENY_REASONS = (
    "unspecified",
    "loopback",
    "private",
    "link_local",
    "special",
    "multicast",
    "mapped",
    "own",
    "lan",
    "port",
)

_SPECIAL = tuple((ip_network(network), reason) for network, reason in SPECIAL)


def canonical(host: str) -> str:
    """An address as sockets and policies compare it: no scope, IPv4-mapped IPv6 as IPv4. ValueError when it is none."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def embedded_ipv4(address: IpAddress) -> tuple[IPv4Address, str] | None:
    """The IPv4 address that a transition address reaches, and why it is denied whatever that is (empty: it is not)."""
    if isinstance(address, IPv4Address):
        return None
    for network, shift, inverted, reason in EMBEDDED:
        if address in network:
            number = int(address) >> shift & 0xFFFFFFFF
            return IPv4Address(number ^ 0xFFFFFFFF if inverted else number), reason
    return None


class PeerPolicy:
    """Judges peers. `own` are all addresses that mean this machine, `allow` what configuration opens nevertheless."""

    def __init__(self, own: Collection[str] = (), allow: Iterable[IpNetwork] = ()) -> None:
        self._own = frozenset(canonical(host) for host in own)
        self._allow = tuple(allow)
        self._neighbours = tuple(
            IPv6Network((address, LAN_PREFIX_BITS), strict=False)
            for address in map(ip_address, self._own)
            if isinstance(address, IPv6Address) and address in GLOBAL_IPV6[0]
        )
        self.judge = lru_cache(maxsize=VERDICT_CACHE)(self._judge)

    def _judge(self, host: str) -> Verdict:
        """The verdict on a peer's address, as it stood in XOR-PEER-ADDRESS."""
        address = ip_address(host)
        disguised = address != LOOPBACK_IPV6 and any(address in network for network in MAPPED)
        opened = not disguised and any(address in network for network in self._allow)
        if str(address) in self._own:
            return ALLOWED if opened else OWN_PORTS_ONLY
        reason = self._denied(address)
        if not reason or (opened and reason not in NEVER):
            return ALLOWED
        return Verdict(allowed=False, reason=reason)

    def _denied(self, address: IpAddress) -> str:
        """Why a peer that is not ourselves is denied; empty when it is not."""
        for network, reason in _SPECIAL:
            if address in network and reason != "special":
                return reason
        carried = embedded_ipv4(address)
        if carried is not None:
            inner, reason = carried
            return ("own" if str(inner) in self._own else self._denied(inner)) or reason
        if any(address in network for network, _ in _SPECIAL):
            return "special"
        if isinstance(address, IPv6Address) and not any(address in network for network in GLOBAL_IPV6):
            return "special"
        if any(address in network for network in self._neighbours):
            return "lan"
        return ""
