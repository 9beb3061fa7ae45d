"""Allocations with a relayed address of each family (RFC 8656 §7.2, §8.2), through the core and model relays."""

from __future__ import annotations

import pytest

from tests.turnd.turn.core import INSIDE, INSIDE_IPV6, PEER, PUBLIC, Client, House, error_code
from turnd.turn.limits import Limits
from wire import stun
from wire.stun import Attribute, Method

PEER_IPV6 = ("2a00::1", 5000)
BOTH = (Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6))
FAMILIES = {
    4: (Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV4)),
    6: (Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6)),
}
EVEN = (Attribute.EVEN_PORT, stun.encode_even_port(reserve_next=False))


def seconds(number: int) -> tuple[int, bytes]:
    return Attribute.LIFETIME, stun.encode_lifetime(number)


def relayed_hosts(answer: stun.Message) -> list[str]:
    values = answer.all(Attribute.XOR_RELAYED_ADDRESS)
    return [stun.decode_xor_address(value, answer.transaction_id)[0] for value in values]


def address_error(answer: stun.Message) -> tuple[int, int, str] | None:
    value = answer.get(Attribute.ADDRESS_ERROR_CODE)
    return None if value is None else stun.decode_address_error(value)


@pytest.fixture
def dual(client: Client) -> Client:
    assert len(relayed_hosts(client.allocate(BOTH))) == 2
    return client


def test_both_families_are_relayed(house: House, client: Client) -> None:
    answer = client.allocate(BOTH)
    assert relayed_hosts(answer) == [PUBLIC, INSIDE_IPV6]
    assert address_error(answer) is None
    assert client.relay_of(6).other is client.relay_of(4)
    counts = house.server.count_allocations()
    assert counts["udp", "ipv4"] == counts["udp", "ipv6"] == 1


def test_the_number_the_attribute_had_in_drafts_is_understood(client: Client) -> None:
    assert relayed_hosts(client.allocate((0x8032, stun.encode_family(stun.Family.IPV6)))) == [PUBLIC, INSIDE_IPV6]


def test_even_port_means_both(client: Client) -> None:
    client.allocate(BOTH, EVEN)
    assert [each.address[1] % 2 for each in client.allocation.relays.values()] == [0, 0]


def test_a_reserved_port_cannot_be_had_beside_a_second_family(house: House, client: Client) -> None:
    even_pair = (Attribute.EVEN_PORT, stun.encode_even_port(reserve_next=True))
    assert error_code(client.allocate(BOTH, even_pair)) == 400
    assert not house.host.relays


@pytest.mark.parametrize("family", [0, 1, 3])
def test_only_ipv6_can_be_the_second_family(client: Client, family: int) -> None:
    assert error_code(client.allocate((Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(family)))) == 400


def test_without_an_ipv6_address_of_ours_ipv4_is_had_and_440_said(house: House, client: Client) -> None:
    house.server.set_addresses([INSIDE], [PUBLIC], [])
    answer = client.allocate(BOTH)
    assert relayed_hosts(answer) == [PUBLIC]
    assert address_error(answer) == (2, 440, "")


def test_without_an_ipv4_address_of_ours_ipv6_is_had_and_440_said(house: House, client: Client) -> None:
    client.flow = client.flow._replace(local=(INSIDE_IPV6, 3478))
    house.server.set_addresses([INSIDE_IPV6], [], [])
    answer = client.allocate(BOTH)
    assert relayed_hosts(answer) == [INSIDE_IPV6]
    assert address_error(answer) == (1, 440, "")


def test_without_a_free_ipv6_port_ipv4_is_had_and_508_said(house: House) -> None:
    for port in range(10):
        assert error_code(Client(house, 1 + port).allocate(FAMILIES[6])) == 0
    answer = Client(house).allocate(BOTH)
    assert relayed_hosts(answer) == [PUBLIC]
    assert address_error(answer) == (2, 508, "")


def test_without_a_port_of_either_family_508_is_the_answer(house: House) -> None:
    for port in range(10):
        assert error_code(Client(house, 1 + port).allocate(BOTH)) == 0
    assert error_code(Client(house).allocate(BOTH)) == 508


def test_each_family_counts_towards_the_quotas() -> None:
    house = House(limits=Limits(allocations_of_user=3))
    assert len(relayed_hosts(Client(house, 1).allocate(BOTH))) == 2
    answer = Client(house, 2).allocate(BOTH)
    assert relayed_hosts(answer) == [PUBLIC]
    assert address_error(answer) == (2, 508, "")
    assert error_code(Client(house, 3).allocate(BOTH)) == 486


def test_each_family_counts_towards_the_bound_of_all() -> None:
    house = House(limits=Limits(allocations=2))
    assert len(relayed_hosts(Client(house, 1).allocate(BOTH))) == 2
    assert error_code(Client(house, 2).allocate()) == 486


def test_permissions_and_channels_go_to_the_relay_of_the_peers_family(dual: Client) -> None:
    assert error_code(dual.permit(PEER, PEER_IPV6)) == 0
    assert list(dual.relay_of(4).permissions) == [PEER[0]]
    assert list(dual.relay_of(6).permissions) == [PEER_IPV6[0]]
    assert error_code(dual.bind(0x4000, PEER)) == 0
    assert error_code(dual.bind(0x4001, PEER_IPV6)) == 0
    assert list(dual.relay_of(4).channels) == [0x4000]
    assert list(dual.relay_of(6).channels) == [0x4001]


def test_send_goes_out_from_the_relay_of_the_peers_family(dual: Client) -> None:
    dual.permit(PEER, PEER_IPV6)
    for family, peer in ((4, PEER), (6, PEER_IPV6)):
        dual.relay_of(family).now = dual.now
        dual.send(peer, b"hello")
        assert dual.relay_of(family).sent == [(peer, b"hello")]


def test_a_channel_number_is_one_peers_of_either_family(dual: Client) -> None:
    dual.bind(0x4000, PEER)
    assert error_code(dual.bind(0x4000, PEER_IPV6)) == 400


def test_an_expired_channel_number_can_move_to_the_other_family(dual: Client) -> None:
    dual.refresh(seconds(3600))
    dual.bind(0x4000, PEER)
    dual.now += 600
    dual.nonce = None
    assert error_code(dual.bind(0x4000, PEER_IPV6)) == 0
    assert not dual.relay_of(4).channels


def test_refresh_without_a_family_means_both(dual: Client) -> None:
    dual.now += 100
    dual.refresh(seconds(900))
    assert [each.expires_at for each in dual.allocation.relays.values()] == [dual.now + 900] * 2


def test_refresh_of_one_family_leaves_the_other_as_it_is(dual: Client) -> None:
    began = dual.now
    dual.now += 100
    dual.refresh(seconds(900), FAMILIES[6])
    assert [each.expires_at for each in dual.allocation.relays.values()] == [began + 600, dual.now + 900]


@pytest.mark.parametrize(("ended", "left"), [(4, 6), (6, 4)])
def test_refresh_0_of_one_family_ends_that_one_alone(house: House, dual: Client, ended: int, left: int) -> None:
    dual.permit(PEER, PEER_IPV6)
    dual.bind(0x4000, PEER)
    dual.bind(0x4001, PEER_IPV6)
    gone = dual.relay_of(ended)
    assert error_code(dual.refresh(seconds(0), FAMILIES[ended])) == 0
    assert gone.closed
    assert list(dual.allocation.relays) == [left]
    assert not dual.relay_of(left).closed
    assert (len(dual.allocation.permissions), len(dual.allocation.channels)) == (1, 1)
    assert house.host.live
    peers = {4: PEER, 6: PEER_IPV6}
    assert error_code(dual.permit(peers[ended])) == 443
    assert error_code(dual.bind(0x4002, peers[ended])) == 443
    assert error_code(dual.permit(peers[left])) == 0
    assert error_code(dual.refresh(FAMILIES[ended])) == 443


def test_the_allocation_goes_with_its_last_relayed_address(house: House, dual: Client) -> None:
    dual.refresh(seconds(0), FAMILIES[4])
    dual.refresh(seconds(0), FAMILIES[6])
    assert not house.host.live
    assert not house.server.registry.ports
    assert error_code(dual.refresh()) == 437
    assert error_code(dual.allocate(BOTH)) == 0


def test_each_relayed_address_expires_in_its_own_time(house: House, dual: Client) -> None:
    began = dual.now
    dual.refresh(seconds(3600), FAMILIES[6])
    first, second = dual.relay_of(4), dual.relay_of(6)
    assert house.server.registry.next_timer() == began + 600
    house.server.registry.handle_timer(began + 600)
    assert (first.closed, second.closed) == (True, False)
    assert house.server.registry.next_timer() == began + 3600
    house.server.registry.handle_timer(began + 3600)
    assert second.closed
    assert not house.server.registry.allocations


def test_a_relayed_address_that_expired_is_gone_even_before_the_timer(dual: Client) -> None:
    dual.refresh(seconds(3600), FAMILIES[6])
    dual.now += 601
    dual.nonce = None
    assert error_code(dual.permit(PEER)) == 443
    assert error_code(dual.permit(PEER_IPV6)) == 0


def test_a_thousand_dual_allocations_leak_no_port(house: House, client: Client) -> None:
    for _ in range(1000):
        client.now += 1
        client.nonce = None
        assert len(relayed_hosts(client.allocate(BOTH, EVEN))) == 2
        client.refresh(seconds(0))
    assert all(relay.closed for relay in house.host.relays)


def test_a_retransmitted_refresh_of_one_family_is_answered_the_same(house: House, dual: Client) -> None:
    request = dual.signed(Method.REFRESH, [seconds(0), FAMILIES[4]])
    first = house.server.receive(request, dual.flow, dual.now)
    assert house.server.receive(request, dual.flow, dual.now) == first
    assert list(dual.allocation.relays) == [6]
