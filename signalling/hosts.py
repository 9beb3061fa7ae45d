"""The names by which clients reach this server: Host and Origin headers (RFC 9110 §7.2, RFC 6454), and their addresses.

`HostAddresses` belongs to the service.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_CACHED = 256
MAX_LOOKUPS = 4
CACHE_SECONDS = 60.0
LOOKUP_SECONDS = 0.3

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*\.?")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,254})(:(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Authority:
    """Host (a name in lower case, or an IP address in canonical text without brackets) and port if one was given."""

    host: str
    port: int | None

    @property
    def bracketed(self) -> str:
        """The host as it stands in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_authority(text: str) -> Authority | None:
    """What a Host header says, or None when it says nothing usable."""
    match = _AUTHORITY.fullmatch(text.lower())
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 1 <= port <= 65535:
        return None
    try:
        return Authority(str(ipaddress.ip_address(match["host"].strip("[]"))), port)
    except ValueError:
        pass
    if match["host"].startswith("[") or not _NAME.fullmatch(match["host"]):
        return None
    return Authority(match["host"].rstrip("."), port)


def same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header names the host the request went to; default ports may be left out of either."""
    scheme, separator, rest = origin.partition("://")
    if not separator or scheme.lower() not in _DEFAULT_PORTS:
        return False
    theirs, ours = parse_authority(rest), parse_authority(host)
    if theirs is None or ours is None or theirs.host != ours.host:
        return False
    default = _DEFAULT_PORTS[scheme.lower()]
    return (theirs.port or default) == (ours.port or default)


def is_loopback(address: str) -> bool:
    """Whether the address or name means this machine itself."""
    if address == "localhost" or address.endswith(".localhost"):
        return True
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def is_ours(host: str, public_host: str) -> bool:
    """Whether a request for `host`, as `parse_authority` gives it, can be meant for us.

    It can by `public_host` (may be empty), as localhost, and by any IP address: a foreign page that had its own name
    point to us (DNS rebinding) comes under that name, which cannot be an address.
    """
    if is_loopback(host) or host == public_host.lower().rstrip("."):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_candidate(address: str) -> bool:
    """Whether a browser elsewhere could reach us at this IP: unicast, public or private."""
    parsed = ipaddress.ip_address(address)
    return not (
        parsed.is_loopback
        or parsed.is_link_local
        or parsed.is_multicast
        or parsed.is_unspecified
        or parsed.is_reserved
        or (isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None)
    )


class HostAddresses:
    """Which IPs a client may have meant by a host: one literal, or what the resolver says within LOOKUP_SECONDS."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._clock = clock
        self._cache: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()
        self._lookups: dict[str, asyncio.Task[tuple[str, ...]]] = {}

    async def of(self, host: str) -> tuple[str, ...]:
        """Candidate addresses for `host`, perhaps none; takes at most LOOKUP_SECONDS."""
        try:
            return (host,) if is_candidate(host) else ()
        except ValueError:
            pass
        if is_loopback(host):
            return ()
        cached = self._cache.get(host)
        if cached is not None and cached[0] > self._clock():
            return cached[1]
        task = self._lookups.get(host)
        if task is None:
            if len(self._lookups) >= MAX_LOOKUPS:
                return ()
            task = self._lookups[host] = self._loop.create_task(self._look_up(host))
        done, _ = await asyncio.wait({task}, timeout=LOOKUP_SECONDS)
        return task.result() if done and not task.cancelled() else ()

    async def _look_up(self, host: str) -> tuple[str, ...]:
        try:
            found = await self._loop.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
            addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
            addresses = tuple(address for address in addresses if "%" not in address and is_candidate(address))[:4]
        except (OSError, UnicodeError):
            addresses = ()
        finally:
            del self._lookups[host]
        self._cache[host] = (self._clock() + CACHE_SECONDS, addresses)
        self._cache.move_to_end(host)
        while len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return addresses

    async def close(self) -> None:
        """Gives up on lookups under way."""
        tasks = list(self._lookups.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
