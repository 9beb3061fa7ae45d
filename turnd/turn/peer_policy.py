"""Which peers a client may reach through the relay: nobody special, nobody near, and of ourselves only open ports.

A table of networks, judged on the address and on every IPv4 address that a transition mechanism carries inside it
(RFC 4291, 6052, 8215, 3056, 4380; the IANA special-purpose registries, RFC 6890). What is near is told by interfaces
and routes. Immutable: a change is a new object.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

LAN_PREFIX_BITS = 64  # neighbours of our own global IPv6 addresses share this much with them
MIN_LAN_PREFIX_BITS = {4: 8, 6: 32}  # what claims to be wider is no network of an interface, but the Internet
VERDICT_CACHE = 4096


class Near(NamedTuple):
    """What stands beside this machine: networks of its interfaces, container bridges among them, and its gateways."""

    networks: tuple[str, ...] = ()
    """In CIDR notation; host bits may be set."""
    routers: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """`reason` is why the peer is denied, empty when it is allowed; `restricted`: only our own open ports."""

    allowed: bool
    restricted: bool = False
    reason: str = ""


ALLOWED = Verdict(allowed=True)
OWN_PORTS_ONLY = Verdict(allowed=True, restricted=True)
OWN_DENIED = Verdict(allowed=False, reason="own")

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
    ("240.0.0.0/4", "special"),
    ("255.255.255.255/32", "broadcast"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("64:ff9b:1::/48", "special"),  # local-use NAT64
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
THIS_NETWORK = IPv4Network("0.0.0.0/8")
LOOPBACK_IPV6 = IPv6Address("::1")
GLOBAL_IPV6 = (IPv6Network("2000::/3"), IPv6Network("64:ff9b::/96"))

MAPPED = tuple(IPv6Network(network) for network in ("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96"))  # IPv4 in disguise

# (prefix, (first bit, bits) of the parts of the IPv4 address, whether it is stored inverted, reason to deny regardless)
_LAST_32 = ((96, 32),)
EMBEDDED: tuple[tuple[IPv6Network, tuple[tuple[int, int], ...], bool, str], ...] = (
    *((network, _LAST_32, False, "mapped") for network in MAPPED),
    (IPv6Network("64:ff9b::/96"), _LAST_32, False, ""),
    (IPv6Network("2002::/16"), ((16, 32),), False, ""),
    (IPv6Network("2001::/32"), _LAST_32, True, "special"),  # Teredo
    # Local-use NAT64: where in the /48 the address stands is its operator's choice (RFC 8215, RFC 6052 §2.2).
    *(
        (IPv6Network("64:ff9b:1::/48"), parts, False, "special")
        for parts in (((48, 16), (72, 16)), ((56, 8), (72, 24)), ((72, 32),), _LAST_32)
    ),
)

NEVER = frozenset({"unspecified", "multicast", "broadcast"})  # no configuration opens these
DENY_REASONS = (  # of several the first is told
    "unspecified",
    "multicast",
    "broadcast",
    "own",
    "loopback",
    "router",
    "private",
    "link_local",
    "lan",
    "mapped",
    "special",
    "port",
)


def canonical(host: str) -> str:
    """An address as sockets and policies compare it: no scope, IPv4-mapped IPv6 as IPv4. ValueError when it is none."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def family_of(host: str) -> int:
    """4 or 6."""
    return 6 if ":" in host else 4


def embedded_ipv4(address: IpAddress) -> list[tuple[IPv4Address, str]]:
    """The IPv4 addresses a transition address may reach, and why it is denied whatever they are (empty: it is not).

    One, but for local-use NAT64: there those of all placements, where zeros in front mean that none stands there.
    """
    if isinstance(address, IPv4Address):
        return []
    found = []
    for network, parts, inverted, reason in EMBEDDED:
        if address in network:
            number = 0
            for first, bits in parts:
                number = number << bits | int(address) >> 128 - first - bits & (1 << bits) - 1
            found.append((IPv4Address(number ^ 0xFFFFFFFF if inverted else number), reason))
    if len(found) > 1:
        found = [each for each in found if each[0] not in THIS_NETWORK] or found[:1]
    return found


class _Range(NamedTuple):
    """A range as it is looked for: the addresses whose bits under `mask` are `base`."""

    mask: int
    base: int
    reason: str


def _range(network: IpNetwork, reason: str = "") -> _Range:
    return _Range(int(network.netmask), int(network.network_address), reason)


def _is_in(ranges: Iterable[_Range], number: int) -> bool:
    return any(number & mask == base for mask, base, _ in ranges)


_SPECIAL = {
    version: tuple(_range(network, why) for text, why in SPECIAL if (network := ip_network(text)).version == version)
    for version in (4, 6)
}


class PeerPolicy:
    """Judges peers. `own` are all addresses that mean this machine, `allow` what configuration opens nevertheless."""

    def __init__(self, own: Collection[str] = (), allow: Iterable[IpNetwork] = (), near: Near | None = None) -> None:
        self._own = frozenset(canonical(host) for host in own)
        opened = list(allow)
        self._allow = {version: [_range(each) for each in opened if each.version == version] for version in (4, 6)}
        beside: dict[int, set[_Range]] = {4: set(), 6: set()}
        for network, reason in self._beside(near or Near()):
            beside[network.version].add(_range(network, reason))
        self._table = {version: (*_SPECIAL[version], *beside[version]) for version in (4, 6)}
        self.judge = lru_cache(maxsize=VERDICT_CACHE)(self._judge)

    def _beside(self, near: Near) -> Iterator[tuple[IpNetwork, str]]:
        """Our LANs, their broadcast addresses and our routers."""
        for address in map(ip_address, self._own):
            if address in GLOBAL_IPV6[0]:  # our prefix may be told as 128 bits and is shared nevertheless
                yield ip_network((int(address), LAN_PREFIX_BITS), strict=False), "lan"
        for network in (ip_network(text, strict=False) for text in near.networks):
            if network.prefixlen < MIN_LAN_PREFIX_BITS[network.version]:
                continue
            yield network, "lan"
            if network.version == 4 and network.prefixlen < 31:
                yield ip_network(network.broadcast_address), "broadcast"
                yield ip_network(network.network_address), "broadcast"  # once it was one too, RFC 1122 §3.3.6
        for host in near.routers:
            yield ip_network(canonical(host)), "router"

    def _judge(self, host: str) -> Verdict:
        """The verdict on a peer's address, as it stood in XOR-PEER-ADDRESS."""
        address = IPv6Address(host) if ":" in host else IPv4Address(host)
        disguised = address.version == 6 and address != LOOPBACK_IPV6 and any(address in each for each in MAPPED)
        opened = not disguised and _is_in(self._allow[address.version], int(address))
        if str(address) in self._own:
            return ALLOWED if opened else OWN_PORTS_ONLY
        reason = self._denied(address)
        if not reason or (opened and reason not in NEVER):
            return ALLOWED
        return Verdict(allowed=False, reason=reason)

    def _denied(self, address: IpAddress) -> str:
        """Why a peer that is not ourselves is denied; empty when it is not."""
        number = int(address)
        reasons = [reason for mask, base, reason in self._table[address.version] if number & mask == base]
        if isinstance(address, IPv6Address):
            for inner, reason in embedded_ipv4(address):
                reasons += [reason, self._denied(inner), "own" if str(inner) in self._own else ""]
            if not any(address in network for network in GLOBAL_IPV6):
                reasons.append("special")
        return min(filter(None, reasons), key=DENY_REASONS.index, default="") if reasons else ""
