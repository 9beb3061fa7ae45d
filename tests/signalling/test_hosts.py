from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from signalling.hosts import (
    MAX_LOOKUPS,
    Authority,
    HostAddresses,
    is_candidate,
    is_loopback,
    parse_authority,
    same_origin,
)


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("Example.org", Authority("example.org", None)),
        ("example.org.:8443", Authority("example.org", 8443)),
        ("192.0.2.1:80", Authority("192.0.2.1", 80)),
        ("[2001:DB8:0::1]:443", Authority("2001:db8::1", 443)),
        ("[::1]", Authority("::1", None)),
        ("my_box", Authority("my_box", None)),
    ],
)
def test_host_header_is_understood(text: str, authority: Authority) -> None:
    assert parse_authority(text) == authority


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a b",
        "a/b",
        "user@host",
        "host:0",
        "host:65536",
        "host:x",
        "[::1",
        "[zz]",
        "-a",
        "a..b",
        "x" * 300,
        "é",
        "a\r\nb",
        "evil;x",
        "host:",
        "[1.2.3]",
    ],
)
def test_bad_host_header_is_none(text: str) -> None:
    assert parse_authority(text) is None


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("https://a.org", "a.org", True),
        ("https://A.org:443", "a.org", True),
        ("http://a.org", "a.org:80", True),
        ("https://a.org:8443", "a.org:8443", True),
        ("https://[::1]:8443", "[::1]:8443", True),
        ("https://a.org:8443", "a.org", False),
        ("https://b.org", "a.org", False),
        ("https://a.org.evil.org", "a.org", False),
        ("null", "a.org", False),
        ("file://a.org", "a.org", False),
        ("https://a.org/path", "a.org", False),
        ("", "a.org", False),
    ],
)
def test_origin(origin: str, host: str, same: bool) -> None:
    assert same_origin(origin, host) is same


def test_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "x.localhost", "127.0.0.1", "::1", "127.9.9.9", "::ffff:127.0.0.1")))
    assert not any(map(is_loopback, ("example.org", "192.168.1.1", "2001:db8::1", "")))


@pytest.mark.parametrize("address", ["192.168.1.5", "10.0.0.1", "8.8.8.8", "2a01:e0a::1", "fd00::1", "100.64.0.1"])
def test_unicast_addresses_are_candidates(address: str) -> None:
    assert is_candidate(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "169.254.1.1",
        "fe80::1",
        "255.255.255.255",
        "::ffff:8.8.8.8",
    ],
)
def test_other_addresses_are_not(address: str) -> None:
    assert not is_candidate(address)


class Resolver:
    """Stands for a loop: answers when told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    create_task = staticmethod(asyncio.create_task)

    async def getaddrinfo(self, host: str, port: None, **_: Any) -> list[Any]:
        self.asked.append(host)
        return await self.answer


def entry(address: str) -> Any:
    return (socket.AF_INET, socket.SOCK_DGRAM, 17, "", (address, 0))


@pytest.fixture
async def resolver() -> Resolver:
    return Resolver()


@pytest.fixture
async def addresses(resolver: Resolver) -> HostAddresses:
    return HostAddresses(resolver, lambda: 0.0)  # type: ignore[arg-type]


async def test_literal_is_itself(addresses: HostAddresses, resolver: Resolver) -> None:
    assert await addresses.of("192.168.1.5") == ("192.168.1.5",)
    assert await addresses.of("127.0.0.1") == ()
    assert await addresses.of("localhost") == ()
    assert not resolver.asked


async def test_name_is_looked_up_once(addresses: HostAddresses, resolver: Resolver) -> None:
    resolver.answer.set_result([entry("192.168.1.5"), entry("192.168.1.5"), entry("127.0.0.1")])
    assert await addresses.of("a.org") == ("192.168.1.5",)
    assert await addresses.of("a.org") == ("192.168.1.5",)
    assert resolver.asked == ["a.org"]


async def test_failed_lookup_is_no_address(addresses: HostAddresses, resolver: Resolver) -> None:
    resolver.answer.set_exception(socket.gaierror())
    assert await addresses.of("a.org") == ()


async def test_slow_lookup_is_not_waited_for_but_remembered(addresses: HostAddresses, resolver: Resolver) -> None:
    assert await addresses.of("a.org") == ()
    resolver.answer.set_result([entry("192.168.1.5")])
    assert await addresses.of("a.org") == ("192.168.1.5",)
    assert resolver.asked == ["a.org"]


async def test_lookups_under_way_are_bounded(addresses: HostAddresses, resolver: Resolver) -> None:
    await asyncio.gather(*(addresses.of(f"{number}.org") for number in range(MAX_LOOKUPS + 1)))
    assert len(resolver.asked) == MAX_LOOKUPS
    await addresses.close()
