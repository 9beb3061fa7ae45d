"""TCP allocations as the core gives them and lets go of them, RFC 6062 §5.1."""

from __future__ import annotations

import pytest

from tests.turnd.turn.core import OTHER_PEER, PEER, PUBLIC, UDP, House, error_code, relayed
from tests.turnd.turn.tcp_core import TcpClient
from tests.turnd.turn.tcp_model import ModelTcpRelay
from turnd.turn.limits import Limits
from wire import stun
from wire.stun import Attribute, Method


def test_tcp_is_switched_off_by_default() -> None:
    client = TcpClient(House(), transport="tcp")
    assert error_code(client.allocate_tcp()) == 442
    assert client.house.server.allocation_results["442"] == 1
    assert client.connect() is None  # not one of the methods there are
    assert client.house.server.requests["tcp", "ignored"] == 1


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_an_allocation_over_a_stream(tcp_house: House, transport: str) -> None:
    client = TcpClient(tcp_house, transport=transport)
    answer = client.allocate_tcp()
    assert error_code(answer) == 0
    assert relayed(answer)[0] == PUBLIC
    assert answer.get(Attribute.RESERVATION_TOKEN) is None
    assert client.allocation.is_tcp
    assert not tcp_house.host.path.is_open(relayed(answer))


def test_not_over_udp(tcp_house: House) -> None:
    assert error_code(TcpClient(tcp_house).allocate_tcp()) == 400


@pytest.mark.parametrize(
    "attribute",
    [
        (Attribute.DONT_FRAGMENT, b""),
        (Attribute.EVEN_PORT, stun.encode_even_port(reserve_next=False)),
        (Attribute.RESERVATION_TOKEN, bytes(8)),
    ],
)
def test_not_with_what_only_udp_has(tcp_house: House, attribute: tuple[int, bytes]) -> None:
    assert error_code(TcpClient(tcp_house, transport="tcp").allocate_tcp(attribute)) == 400


def test_another_protocol_is_refused(tcp_house: House) -> None:
    client = TcpClient(tcp_house, transport="tcp")
    assert error_code(client.call(Method.ALLOCATE, (Attribute.REQUESTED_TRANSPORT, stun.encode_transport(132)))) == 442


def test_udp_can_still_be_had(tcp_house: House) -> None:
    client = TcpClient(tcp_house, transport="tcp")
    assert error_code(client.call(Method.ALLOCATE, UDP)) == 0
    assert not client.allocation.is_tcp


def test_a_second_allocation_is_refused(control: TcpClient) -> None:
    assert error_code(control.allocate_tcp()) == 437


def test_the_quota_counts_both_protocols_alike() -> None:
    house = House(limits=Limits(allocations_of_user=2), tcp_relay=True)
    assert error_code(TcpClient(house, 1, transport="tcp").allocate_tcp()) == 0
    assert error_code(TcpClient(house, 2, transport="udp").allocate()) == 0
    assert error_code(TcpClient(house, 3, transport="tcp").allocate_tcp()) == 486


def test_the_ports_are_those_of_udp(tcp_house: House) -> None:
    tcp_house.host.busy |= set(range(40002, 40011))
    assert error_code(TcpClient(tcp_house, 1, transport="tcp").allocate_tcp()) == 0
    assert error_code(TcpClient(tcp_house, 2, transport="udp").allocate()) == 508
    assert error_code(TcpClient(tcp_house, 3, transport="tcp").allocate_tcp()) == 508


def test_an_ipv6_allocation(tcp_house: House) -> None:
    client = TcpClient(tcp_house, transport="tcp")
    family = (Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6))
    assert error_code(client.allocate_tcp(family)) == 0
    assert error_code(client.connect()) == 443
    assert client.connect(("2a00::7", 80)) is None


def test_both_families(tcp_house: House) -> None:
    client = TcpClient(tcp_house, transport="tcp")
    both = (Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6))
    assert error_code(client.allocate_tcp(both)) == 0
    first, second = (each.relay for each in client.allocation.relays.values())
    assert client.connect() is None
    assert client.connect(("2a00::7", 80)) is None
    assert isinstance(first, ModelTcpRelay)
    assert isinstance(second, ModelTcpRelay)
    assert list(first.open.values()) == [PEER]
    assert list(second.open.values()) == [("2a00::7", 80)]
    family = (Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV4))
    assert error_code(client.refresh(family, (Attribute.LIFETIME, stun.encode_lifetime(0)))) == 0
    assert first.closed
    assert client.allocation.is_tcp
    assert len(tcp_house.server.tcp) == 1


def test_the_bandwidth_of_an_allocation_is_that_of_udp() -> None:
    client = TcpClient(House(limits=Limits(allocation_bps=8000), tcp_relay=True), transport="tcp")
    client.allocate_tcp()
    assert client.tcp.bytes_per_second == 1000


# What else an allocation understands.


def test_refresh_with_lifetime_zero_ends_it_and_its_connections(control: TcpClient, data: TcpClient) -> None:
    data.connect_bind(control.connected())
    control.connected(OTHER_PEER)
    relay = control.tcp
    assert error_code(control.refresh((Attribute.LIFETIME, stun.encode_lifetime(0)))) == 0
    assert relay.closed
    assert len(control.house.server.tcp) == 0
    assert control.house.server.tcp.next_timer() is None
    assert error_code(control.connect()) == 437


def test_a_permission_is_the_core_s_to_remember(control: TcpClient) -> None:
    assert error_code(control.permit(PEER)) == 0
    assert control.allocation.permissions.live(PEER[0], control.now)


def test_channels_are_refused(control: TcpClient) -> None:
    assert error_code(control.bind(0x4000, PEER)) == 400


def test_send_indications_are_ignored(control: TcpClient) -> None:
    control.permit(PEER)
    control.send(PEER, b"x")
    assert control.house.server.requests["tcp", "malformed"] == 1
