"""Which addresses are this machine's, inside and outside the box, and a watch on them.

`LocalAddresses` is what the interfaces and routes say at one moment. `AddressWatch` owns the netlink socket
(rtnetlink(7)), the questions to the router and the latest `OwnAddresses`; it calls back on the
event loop when they change, also when a former address has been forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ifaddr

from turnd.outside_address import RouterError
from turnd.router import ROUTER_PORTS, RouterPorts, ask_router
from wire.measure import Measure

log = logging.getLogger(__name__)

MAX_CANDIDATES = 8
SETTLE_SECONDS = 0.5  # one change of an interface makes a burst of messages
POLL_SECONDS = 10.0
ASK_ROUTER_SECONDS = 60.0
FORMER_SECONDS = 600.0  # how long an address that was ours still means us
MAX_FORMER = 8

_RTMGRP = 0x1 | 0x10 | 0x40 | 0x100 | 0x400  # link, IPv4 address and route, IPv6 address and route
_CONTAINER_NAMES = re.compile(r"(docker|br-|veth|virbr|vnet|lxcbr|lxdbr|cni|cali|flannel|podman|kube|ifb|dummy)")
_SYS_NET = Path("/sys/class/net")
_IPV6_TENTATIVE, _IPV6_DEPRECATED, _IPV6_TEMPORARY = 0x40, 0x20, 0x01
_ROUTE_UP, _ROUTE_GATEWAY = 0x1, 0x2
_ROUTE_NOWHERE = 0x200 | 0x01000000 | 0x80000000  # rejected, cached for one destination, our own address


@dataclass(frozen=True)
class LocalAddresses:
    """What the interfaces of this machine say."""

    every: tuple[str, ...]
    """All addresses, best first, loopback, link-local and container bridges included."""
    candidates: tuple[str, ...]
    """Those others can be told to send media to: LAN IPv4 first, then IPv6, best first, at least one."""
    gateway: str | None
    """The IPv4 default gateway."""
    networks: tuple[str, ...] = ()
    """Those of our interfaces: around their addresses, and what routes say can be reached without a gateway."""
    routers: tuple[str, ...] = ()
    """The gateways of all routes."""


@dataclass(frozen=True)
class OwnAddresses:
    """Every address that means this machine."""

    inside: tuple[str, ...]
    """On our interfaces, best first."""
    candidates: tuple[str, ...]
    """To be announced: reachable ones on our interfaces, then those outside the NAT."""
    public: tuple[str, ...]
    """Outside the NAT: configured or found out."""
    former: tuple[str, ...] = ()
    """Ours until lately, newest last: relays announced under them live on, and who talks to them means us."""
    networks: tuple[str, ...] = ()
    """Networks of our interfaces, container bridges and the far ends of point-to-point links included."""
    routers: tuple[str, ...] = ()
    """Our gateways."""

    @property
    def every(self) -> tuple[str, ...]:
        """Inside and outside together, then the former ones."""
        return tuple(dict.fromkeys((*self.inside, *self.public, *self.former)))


def local_addresses() -> LocalAddresses:
    """Asks the system now; takes a millisecond or less."""
    flags = _ipv6_flags(_lines("/proc/net/if_inet6"))
    ipv4_routes, ipv6_routes = _lines("/proc/net/route"), _lines("/proc/net/ipv6_route")
    gateways = dict(_ipv4_gateways(ipv4_routes))
    routed = {*gateways, *_ipv6_routed(ipv6_routes)}
    routes = [*_ipv4_routes(ipv4_routes), *_ipv6_routes(ipv6_routes)]
    networks = {network for network, router in routes if router is None}
    every: list[str] = []
    ranked: list[tuple[tuple[int, ...], str]] = []
    for adapter in ifaddr.get_adapters():
        name = str(adapter.nice_name)
        for item in adapter.ips:
            text = item.ip if isinstance(item.ip, str) else item.ip[0]
            address = ipaddress.ip_address(text.partition("%")[0])
            every.append(str(address))
            networks.add(str(ipaddress.ip_network((address, item.network_prefix), strict=False)))
            rank = _rank(address, name, flags.get(str(address), 0), routed=name in routed)
            if rank is not None:
                ranked.append((rank, str(address)))
    kept = [text for rank, text in sorted(ranked, key=lambda pair: pair[0]) if rank[0] == 0]
    kept = kept or [text for _, text in sorted(ranked, key=lambda pair: pair[0])] or ["127.0.0.1"]
    return LocalAddresses(
        tuple(dict.fromkeys((*kept, *every))),
        tuple(dict.fromkeys(kept))[:MAX_CANDIDATES],
        next(iter(gateways.values()), None),
        tuple(sorted(networks)),
        tuple(sorted({router for _, router in routes if router is not None})),
    )


def _rank(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, interface: str, flags: int, *, routed: bool
) -> tuple[int, ...] | None:
    """Sorting key of a candidate, best first; the first number is 1 for one better than nothing. None: never."""
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        return None
    if flags & (_IPV6_TENTATIVE | _IPV6_DEPRECATED):
        return None
    container = not routed and _is_container_interface(interface)
    local_ipv6 = address.version == 6 and address in ipaddress.ip_network("fc00::/7")
    return (int(container), address.version, int(local_ipv6), int(not routed), flags & _IPV6_TEMPORARY)


def _is_container_interface(name: str) -> bool:
    """A bridge without hardware in it, or one of the names container and VM tools give."""
    if _CONTAINER_NAMES.match(name):
        return True
    bridge = _SYS_NET / name / "brif"
    return bridge.is_dir() and not any((_SYS_NET / port.name / "device").exists() for port in bridge.iterdir())


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _ipv4_gateways(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(interface, gateway) of the default routes in /proc/net/route, best metric first."""
    routes = []
    for row in (line.split() for line in lines[1:]):
        if len(row) > 7 and row[1] == row[7] == "00000000" and int(row[3], 16) & 1:
            gateway = ipaddress.IPv4Address(bytes.fromhex(row[2])[::-1])
            routes.append((int(row[6]), row[0], str(gateway)))
    for _, interface, gateway_text in sorted(routes):
        yield interface, gateway_text


def _ipv4_routes(lines: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """(network, gateway or None) of each route in /proc/net/route."""
    for row in (line.split() for line in lines[1:]):
        if len(row) > 7 and int(row[3], 16) & (_ROUTE_UP | _ROUTE_NOWHERE) == _ROUTE_UP:
            network, gateway, mask = (ipaddress.IPv4Address(bytes.fromhex(row[at])[::-1]) for at in (1, 2, 7))
            yield f"{network}/{int(mask).bit_count()}", str(gateway) if int(row[3], 16) & _ROUTE_GATEWAY else None


def _ipv6_routes(lines: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """(network, gateway or None) of each route in /proc/net/ipv6_route."""
    for row in (line.split() for line in lines):
        if len(row) > 9 and int(row[8], 16) & (_ROUTE_UP | _ROUTE_NOWHERE) == _ROUTE_UP and row[9] != "lo":
            network, gateway = (ipaddress.IPv6Address(bytes.fromhex(row[at])) for at in (0, 4))
            yield f"{network}/{int(row[1], 16)}", str(gateway) if int(row[8], 16) & _ROUTE_GATEWAY else None


def _ipv6_routed(lines: Sequence[str]) -> Iterator[str]:
    """The interfaces of default routes in /proc/net/ipv6_route."""
    for row in (line.split() for line in lines):
        if len(row) > 9 and row[0].strip("0") == "" and row[1] == "00" and row[9] != "lo":
            yield row[9]


def _ipv6_flags(lines: Sequence[str]) -> dict[str, int]:
    """Address to flags of /proc/net/if_inet6."""
    rows = [line.split() for line in lines]
    return {str(ipaddress.IPv6Address(bytes.fromhex(row[0]))): int(row[4], 16) for row in rows if len(row) > 5}


class AddressWatch:
    """Keeps `current` true and calls `changed(current)` on the loop after each change."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        configured: Sequence[str],
        changed: Callable[[OwnAddresses], None],
        *,
        router_ports: RouterPorts = ROUTER_PORTS,
    ) -> None:
        self._loop = loop
        self._configured = tuple(configured)
        self._changed = changed
        self._router_ports = router_ports
        self._local = local_addresses()
        self._discovered: str | None = None
        self._netlink: socket.socket | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._public_changes = {"ipv4": 0, "ipv6": 0}
        self._former: dict[str, float] = {}  # when each means us no more
        self.current = self._combine()

    def start(self) -> None:
        """Begins to watch."""
        with contextlib.suppress(OSError):
            self._netlink = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
            )
            self._netlink.bind((0, _RTMGRP))
            self._loop.add_reader(self._netlink, self._drain_netlink)
        self._task = self._loop.create_task(self._watch())

    async def close(self) -> None:
        """Stops watching."""
        if self._netlink is not None:
            self._loop.remove_reader(self._netlink)
            self._netlink.close()
            self._netlink = None
        if self._settling is not None:
            self._settling.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def configure(self, configured: Sequence[str]) -> None:
        """Other public addresses from now on; none: found out."""
        self._configured = tuple(configured)
        self._update()

    def measures(self) -> Iterator[Measure]:
        """How often the outside address became another one."""
        for family, count in self._public_changes.items():
            yield Measure("public_address_changes_total", {"family": family}, count)

    def _combine(self) -> OwnAddresses:
        local = self._local
        found = self._configured or ((self._discovered,) if self._discovered else ())
        public = tuple(address for address in found if address not in local.every)
        candidates = [address for address in local.candidates if ":" not in address]
        candidates += [*public, *(address for address in local.candidates if ":" in address)]
        if public:  # loopback is only better than nothing
            candidates = [address for address in candidates if not ipaddress.ip_address(address).is_loopback]
        return OwnAddresses(
            local.every, tuple(dict.fromkeys(candidates)), public, networks=local.networks, routers=local.routers
        )

    def _update(self) -> None:
        before, combined = self.current, self._combine()
        self.current = replace(combined, former=self._former_of(before, combined))
        if before == self.current:
            return
        for family, mark in (("ipv4", "."), ("ipv6", ":")):
            if {a for a in before.public if mark in a} != {a for a in self.current.public if mark in a}:
                self._public_changes[family] += 1
        log.info("addresses changed", extra=described(self.current))
        self._changed(self.current)

    def _former_of(self, before: OwnAddresses, after: OwnAddresses) -> tuple[str, ...]:
        """The addresses the world knew us by, and does not any more; in a LAN another machine may have it at once."""
        now, ours = self._loop.time(), {*after.inside, *after.public}
        lost = [*(a for a in before.inside if ipaddress.ip_address(a).is_global), *before.public]
        for address in lost:
            if address not in ours:
                self._former.pop(address, None)
                self._former[address] = now + FORMER_SECONDS
        kept = [(a, until) for a, until in self._former.items() if until > now and a not in ours]
        self._former = dict(kept[-MAX_FORMER:])
        return tuple(self._former)

    def _drain_netlink(self) -> None:
        with contextlib.suppress(OSError):  # until it would block, or messages were lost, which is a change as well
            while self._netlink is not None and self._netlink.recv(65536):
                pass
        if self._settling is None:
            self._settling = self._loop.call_later(SETTLE_SECONDS, self._look)

    def _look(self) -> None:
        self._settling = None
        gateway = self._local.gateway
        self._local = local_addresses()
        if self._local.gateway != gateway:
            self._discovered = None
        self._update()

    async def _watch(self) -> None:
        ask_at = 0.0
        gateway: str | None = None
        while True:
            now = self._loop.time()
            if not self._configured and self._local.gateway and (now >= ask_at or gateway != self._local.gateway):
                gateway, ask_at = self._local.gateway, now + ASK_ROUTER_SECONDS
                await self._ask_router(gateway)
            await asyncio.sleep(POLL_SECONDS)
            self._look()

    async def _ask_router(self, gateway: str) -> None:
        try:
            found = await ask_router(self._loop, gateway, self._router_ports)
        except RouterError as error:
            log.debug("the router does not tell its outside address", extra={"gateway": gateway, "reason": error})
            return
        if gateway == self._local.gateway:
            self._discovered = found
            self._update()


def described(addresses: OwnAddresses) -> dict[str, str]:
    """Fields for a log record."""
    return {"candidates": _listed(addresses.candidates), "public": _listed(addresses.public)}


def _listed(addresses: Iterable[str]) -> str:
    return ",".join(addresses) or "none"
