from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnd.turn.peer_policy import ALLOWED, DENY_REASONS, Near, PeerPolicy, Verdict, canonical, embedded_ipv4

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
        ("255.255.255.255", "broadcast"),
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
        ("64:ff9b:1::1", "unspecified"),
        ("64:ff9b:1::808:808", "special"),
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
    if not address.is_global and not embedded_ipv4(address):
        assert not verdict.allowed
    assert verdict.allowed or verdict.reason in DENY_REASONS


def test_canonical_text() -> None:
    assert canonical("::ffff:1.2.3.4") == "1.2.3.4"
    assert canonical("fe80::1%eth0") == "fe80::1"
    assert canonical("2001:0db8::0") == "2001:db8::"


# What has to be denied, written down anew from the registries (iana-ipv4-special-registry, iana-ipv6-special-registry
# of 2025, ipv6-address-space, RFC 5771, RFC 3879), so that an error in the policy's own table shows.
REGISTERED_IPV4 = (
    "0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/32", "192.0.0.171/32",
    "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16",
    "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "255.255.255.255/32",
    "224.0.0.0/4",
)  # fmt: skip
REGISTERED_IPV6 = (
    "::1/128", "::/128", "::ffff:0:0/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001::/32",
    "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48", "2001:3::/32", "2001:4:112::/48", "2001:10::/28",
    "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7",
    "fe80::/10", "fec0::/10", "ff00::/8", "::/96", "::ffff:0:0:0/96",
    # not given to anybody, and so nobody's peer
    "::/8", "100::/8", "200::/7", "400::/6", "800::/5", "1000::/4", "4000::/3", "6000::/3", "8000::/3", "a000::/3",
    "c000::/3", "e000::/4", "f000::/5", "f800::/6", "fe00::/9",
)  # fmt: skip
JUDGED_BY_WHAT_IS_INSIDE = (ip_network("64:ff9b::/96"), ip_network("2002::/16"))
NEIGHBOURS = Near(
    ("51.15.8.77/24", "62.210.0.0/23", "45.9.9.8/31", "46.1.2.3/32", "2a02:cafe::7/56", "172.17.0.1/16"),
    ("51.15.9.1", "2a0b::1", "fe80::1"),
)
NEAR_IPV4 = ("51.15.8.0/24", "62.210.0.0/23", "45.9.9.8/31", "46.1.2.3/32", "172.17.0.0/16", "51.15.9.1/32")
NEAR_IPV6 = ("2a02:cafe::/56", "2a0b::1/128")
DENIED_IPV4 = tuple(ip_network(text) for text in (*REGISTERED_IPV4, *NEAR_IPV4))
DENIED_IPV6 = tuple(ip_network(text) for text in (*REGISTERED_IPV6, *NEAR_IPV6))
AMONG_NEIGHBOURS = PeerPolicy(("8.8.8.1",), near=NEIGHBOURS)


def wrapped(address: IPv4Address, rest: int) -> dict[str, IPv6Address]:
    """Every form in which IPv6 carries an IPv4 address; `rest` fills the bits that say nothing."""
    number = int(address)
    first_8, last_24, first_16, last_16 = number >> 24, number & 0xFFFFFF, number >> 16, number & 0xFFFF
    local = 0x0064FF9B0001 << 80
    return {
        form: IPv6Address(value)
        for form, value in {
            "mapped": 0xFFFF << 32 | number,
            "compatible": number,
            "translated": 0xFFFF << 48 | number,
            "nat64": 0x0064FF9B << 96 | number,
            "nat64_local_48": local | first_16 << 64 | last_16 << 40 | rest & 0xFFFFFFFFFF,
            "nat64_local_56": local | (rest & 0xFF) << 72 | first_8 << 64 | last_24 << 32 | rest & 0xFFFFFFFF,
            "nat64_local_64": local | (rest & 0xFFFF) << 64 | number << 24 | rest & 0xFFFFFF,
            "nat64_local_96": local | (rest & 0xFFFFFFFFFF) << 40 | number,
            "6to4": 0x2002 << 112 | number << 80 | rest & (1 << 80) - 1,
            "teredo": 0x20010000 << 96 | (rest & (1 << 64) - 1) << 32 | number ^ 0xFFFFFFFF,
        }.items()
    }


def of_range(network: IPv4Network | IPv6Network) -> set[IPv4Address | IPv6Address]:
    """The first, the middle and the last address."""
    return {network[0], network[network.num_addresses // 2], network[-1]}


def outside(network: IPv4Network | IPv6Network) -> list[IPv4Address | IPv6Address]:
    """The addresses just before and just behind a range, where there are any."""
    kind, last = type(network[0]), (1 << network.max_prefixlen) - 1
    return [kind(number) for number in (int(network[0]) - 1, int(network[-1]) + 1) if 0 <= number <= last]


@pytest.mark.parametrize("network", [*DENIED_IPV4, *DENIED_IPV6], ids=str)
def test_every_special_range_is_denied_from_its_first_to_its_last_address(network: IPv4Network | IPv6Network) -> None:
    for address in of_range(network):
        verdict = AMONG_NEIGHBOURS.judge(str(address))
        assert not verdict.allowed, address
        assert verdict.reason in DENY_REASONS


@pytest.mark.parametrize("rest", [0, (1 << 80) - 1], ids=["zeros", "ones"])
@pytest.mark.parametrize("network", DENIED_IPV4, ids=str)
def test_every_wrapped_form_of_every_special_range_is_denied(network: IPv4Network, rest: int) -> None:
    for address in of_range(network):
        assert isinstance(address, IPv4Address)
        for form, disguise in wrapped(address, rest).items():
            assert not AMONG_NEIGHBOURS.judge(str(disguise)).allowed, (form, address, disguise)


def test_our_own_address_is_denied_in_every_wrapped_form() -> None:
    for form, disguise in wrapped(IPv4Address("8.8.8.1"), 0).items():
        assert AMONG_NEIGHBOURS.judge(str(disguise)) == Verdict(allowed=False, reason="own"), form


@pytest.mark.parametrize("network", [*DENIED_IPV4, *DENIED_IPV6], ids=str)
def test_what_is_just_outside_of_a_special_range_is_allowed(network: IPv4Network | IPv6Network) -> None:
    for address in outside(network):
        ranges = DENIED_IPV4 if isinstance(address, IPv4Address) else (*DENIED_IPV6, *JUDGED_BY_WHAT_IS_INSIDE)
        if not any(address in other for other in ranges):
            assert AMONG_NEIGHBOURS.judge(str(address)) == ALLOWED, address


def test_the_neighbours_of_ranges_that_are_allowed_are_many() -> None:
    """The test before this one says something."""
    ranges = (*DENIED_IPV4, *DENIED_IPV6, *JUDGED_BY_WHAT_IS_INSIDE)
    edges = {address for network in ranges for address in outside(network)}
    allowed = {str(address) for address in edges if AMONG_NEIGHBOURS.judge(str(address)).allowed}
    assert len(allowed) > 50
    assert allowed >= {"1.0.0.0", "126.255.255.255", "223.255.255.255", "51.15.7.255", "2000::", "2001:200::"}


@pytest.mark.parametrize("address", ["8.8.8.8", "1.0.0.0", "223.255.255.255", "51.15.7.255"])
def test_of_wrapped_public_addresses_only_nat64_and_6to4_are_reached(address: str) -> None:
    forms = wrapped(IPv4Address(address), 0)
    assert {form for form, disguise in forms.items() if AMONG_NEIGHBOURS.judge(str(disguise)).allowed} == {
        "nat64",
        "6to4",
    }


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("51.15.8.78", "lan"),
        ("2a02:cafe:0:0:ff::1", "lan"),
        ("46.1.2.3", "lan"),
        ("45.9.9.9", "lan"),
        ("51.15.9.1", "router"),
        ("2a0b::1", "router"),
        ("64:ff9b::330f:84e", "lan"),
        ("2002:330f:901::", "router"),
        ("51.15.8.255", "broadcast"),
        ("51.15.8.0", "broadcast"),
        ("62.210.1.255", "broadcast"),
        ("172.17.255.255", "broadcast"),
        ("64:ff9b::3ed2:1ff", "broadcast"),
    ],
)
def test_what_is_near_is_denied_and_told(host: str, reason: str) -> None:
    assert AMONG_NEIGHBOURS.judge(host) == Verdict(allowed=False, reason=reason)


@pytest.mark.parametrize("host", ["62.210.0.255", "62.210.1.0"])
def test_an_address_that_only_looks_like_a_broadcast_is_a_neighbour(host: str) -> None:
    assert AMONG_NEIGHBOURS.judge(host).reason == "lan"


def test_our_own_address_in_our_own_lan_keeps_its_open_ports() -> None:
    policy = PeerPolicy(("51.15.8.77", "2a02:cafe::7"), near=NEIGHBOURS)
    assert all(policy.judge(host).restricted for host in ("51.15.8.77", "2a02:cafe::7"))


def test_a_network_as_wide_as_the_internet_denies_nothing() -> None:
    policy = PeerPolicy(near=Near(("0.0.0.0/0", "8.0.0.0/7", "::/0", "2000::/3", "2a00::/31")))
    assert all(policy.judge(host) == ALLOWED for host in ("8.8.8.8", "9.255.255.255", "2a00::1", "2600::1"))


def test_the_widest_network_that_counts() -> None:
    policy = PeerPolicy(near=Near(("44.0.0.0/8", "2a00:1::/32")))
    assert {policy.judge(host).reason for host in ("44.1.2.3", "2a00:1:ffff::1")} == {"lan"}
    assert all(policy.judge(host) == ALLOWED for host in ("45.0.0.0", "43.255.255.255", "2a00:2::"))


def test_a_single_address_denies_no_other() -> None:
    policy = PeerPolicy(("46.1.2.3",), near=Near(("46.1.2.3/32", "46.1.2.9/32")))
    assert policy.judge("46.1.2.9").reason == "lan"
    assert all(policy.judge(host) == ALLOWED for host in ("46.1.2.2", "46.1.2.4", "46.1.2.8", "46.1.2.10"))


def test_neighbours_of_an_outside_address_are_the_routers_not_ours() -> None:
    """Behind a 1:1 NAT the address outside is ours, the network around it is not."""
    policy = PeerPolicy(("10.0.0.5", "52.1.2.3"), near=Near(("10.0.0.0/24",), ("10.0.0.1",)))
    assert policy.judge("52.1.2.3").restricted
    assert policy.judge("52.1.2.4") == ALLOWED
    assert policy.judge("10.0.0.1").reason == "router"


def test_configuration_opens_neighbours_and_routers_but_no_broadcast() -> None:
    policy = PeerPolicy(("51.15.8.77",), [ip_network("51.15.8.0/23"), ip_network("2a02:cafe::/56")], NEIGHBOURS)
    assert all(policy.judge(host) == ALLOWED for host in ("51.15.8.78", "51.15.9.1", "2a02:cafe::8", "51.15.8.77"))
    assert policy.judge("51.15.8.255").reason == "broadcast"
    assert policy.judge("62.210.0.5").reason == "lan"


@pytest.mark.parametrize("inside", ["0.0.0.0", "224.0.0.1", "255.255.255.255", "51.15.8.255"])
def test_configuration_never_opens_these_in_any_wrapped_form(inside: str) -> None:
    policy = PeerPolicy((), [ip_network("0.0.0.0/0"), ip_network("::/0")], NEIGHBOURS)
    for form, disguise in wrapped(IPv4Address(inside), 0).items():
        assert not policy.judge(str(disguise)).allowed, form


@pytest.mark.parametrize("form", ["nat64_local_56", "nat64_local_64", "nat64_local_96"])
def test_configuration_opens_local_use_nat64(form: str) -> None:
    policy = PeerPolicy((), [ip_network("64:ff9b:1::/48")])
    assert policy.judge(str(wrapped(IPv4Address("8.8.4.4"), 0)[form])) == ALLOWED
