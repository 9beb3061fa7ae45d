from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnd.turn.peer_policy import DENY_REASONS, PeerPolicy, Verdict, canonical, embedded_ipv4

OWN = ("192.168.1.5", "192.88.2.1", "2a01:e0a:1:2::5", "127.0.0.1", "::1", "fe80::1%eth0")
POLICY = PeerPolicy(OWN)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("10.255.255.255", "private"),
        ("100.64.0.1", "private"),
        ("100.127.255.255", "private"),
        ("127.0.0.2", "loopback"),
        ("169.254.169.254", "link_local"),
        ("172.16.0.0", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.8", "special"),
        ("192.0.2.1", "special"),
        ("192.88.99.1", "special"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "special"),
        ("198.51.100.7", "special"),
        ("203.0.113.7", "special"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "special"),
        ("255.255.255.255", "special"),
        ("::", "unspecified"),
        ("::2", "unspecified"),
        ("::127.0.0.1", "own"),
        ("::8.8.8.8", "mapped"),
        ("::ffff:127.0.0.1", "own"),
        ("::ffff:127.0.0.2", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:8.8.8.8", "mapped"),
        ("::ffff:192.88.2.1", "own"),
        ("::ffff:0:8.8.8.8", "mapped"),
        ("64:ff9b::7f00:1", "own"),
        ("64:ff9b::a9fe:a9fe", "link_local"),
        ("64:ff9b::c058:201", "own"),
        ("64:ff9b:1::1", "special"),
        ("2002:7f00:1::", "own"),
        ("2002:c0a8:101::1", "private"),
        ("2002:c058:201::1", "own"),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", "own"),
        ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", "special"),
        ("2001:2::1", "special"),
        ("2001:db8::1", "special"),
        ("3fff::1", "special"),
        ("5f00::1", "special"),
        ("100::1", "special"),
        ("fc00::1", "private"),
        ("fd12:3456::1", "private"),
        ("fe80::2", "link_local"),
        ("febf::1", "link_local"),
        ("fec0::1", "private"),
        ("ff02::1", "multicast"),
        ("4000::1", "special"),
        ("e000::1", "special"),
        ("2a01:e0a:1:2::6", "lan"),
    ],
)
def test_denied(host: str, reason: str) -> None:
    assert POLICY.judge(host) == Verdict(allowed=False, reason=reason)
    assert reason in DENY_REASONS


@pytest.mark.parametrize(
    "host",
    ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255",
     "192.169.0.0", "223.255.255.255", "2a00:1450::1", "2a01:e0a:1:3::6", "2001:200::1", "64:ff9b::808:808",
     "2002:808:808::1"],
)  # fmt: skip
def test_allowed(host: str) -> None:
    assert POLICY.judge(host) == Verdict(allowed=True)


@pytest.mark.parametrize("host", ["192.168.1.5", "192.88.2.1", "2a01:e0a:1:2::5", "127.0.0.1", "::1", "fe80::1"])
def test_our_own_addresses_are_restricted_to_open_ports(host: str) -> None:
    assert POLICY.judge(host) == Verdict(allowed=True, restricted=True)


def test_configuration_opens_what_is_denied_and_ourselves() -> None:
    policy = PeerPolicy(OWN, [ip_network("127.0.0.0/8"), ip_network("::1/128"), ip_network("fd00::/8")])
    assert policy.judge("::1") == Verdict(allowed=True)
    assert policy.judge("127.0.0.1") == policy.judge("127.0.0.9") == policy.judge("fd00::1") == Verdict(allowed=True)
    assert not policy.judge("10.0.0.1").allowed


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "224.0.0.1", "::", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::7f00:1"]
)
def test_configuration_never_opens_these(host: str) -> None:
    policy = PeerPolicy(OWN, [ip_network("0.0.0.0/0"), ip_network("::/0")])
    assert not policy.judge(host).allowed


@given(st.ip_addresses(v=4))
def test_an_address_in_disguise_is_never_better_off(address: IPv4Address) -> None:
    plain = POLICY.judge(str(address))
    number = int(address)
    disguises = (
        0xFFFF << 32 | number,
        number,
        0x0064FF9B << 96 | number,
        0x2002 << 112 | number << 80,
        0x20010000 << 96 | number ^ 0xFFFFFFFF,
    )
    for disguise in disguises:
        verdict = POLICY.judge(str(IPv6Address(disguise)))
        assert not verdict.restricted or IPv6Address(disguise) == ip_address("::1")
        if not plain.allowed or plain.restricted:
            assert not verdict.allowed or verdict.restricted


@given(st.ip_addresses())
def test_nothing_the_registry_calls_special_is_allowed(address: IPv4Address | IPv6Address) -> None:
    verdict = PeerPolicy().judge(str(address))
    if not address.is_global and embedded_ipv4(address) is None:
        assert not verdict.allowed
    assert verdict.allowed or verdict.reason in DENY_REASONS


def test_canonical_text() -> None:
    assert canonical("::ffff:1.2.3.4") == "1.2.3.4"
    assert canonical("fe80::1%eth0") == "fe80::1"
    assert canonical("2001:0db8::0") == "2001:db8::"
