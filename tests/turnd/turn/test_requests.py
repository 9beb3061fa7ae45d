"""Every method with every answer the RFC gives it, through the core and model relays."""

from __future__ import annotations

import pytest

from tests.turnd.turn.core import (
    INSIDE,
    OTHER_PEER,
    PEER,
    PUBLIC,
    Client,
    House,
    error_code,
    relayed,
)
from turnd.turn.channel import MAX_CHANNELS, RFC5766_MAX_CHANNEL
from turnd.turn.limits import ALLOCATION_BPS, Limits
from turnd.turn.permission import MAX_PERMISSIONS
from turnd.turn.relay import MAX_RELAY_PEERS
from wire import stun
from wire.stun import Attribute, Method

IPV6 = (Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(2))
EVEN = (Attribute.EVEN_PORT, stun.encode_even_port(reserve_next=False))
EVEN_PAIR = (Attribute.EVEN_PORT, stun.encode_even_port(reserve_next=True))


def lifetime(message: stun.Message) -> int:
    value = message.get(Attribute.LIFETIME)
    assert value is not None
    return stun.decode_lifetime(value)


def seconds(number: int) -> tuple[int, bytes]:
    return Attribute.LIFETIME, stun.encode_lifetime(number)


# Binding


def test_binding_tells_the_address_and_nothing_else(client: Client) -> None:
    answer = client.plain(Method.BINDING)
    assert answer is not None
    assert [kind for kind, _ in answer.attributes] == [Attribute.XOR_MAPPED_ADDRESS]
    assert stun.decode_xor_address(answer.attributes[0][1], answer.transaction_id) == client.flow.client


def test_binding_with_an_unknown_required_attribute_is_420(client: Client) -> None:
    answer = client.plain(Method.BINDING, [(0x7777, b"")])
    assert answer is not None
    assert error_code(answer) == 420
    assert stun.decode_unknown_attributes(answer.get(Attribute.UNKNOWN_ATTRIBUTES) or b"") == [0x7777]


def test_fingerprint_is_answered_with_fingerprint(client: Client) -> None:
    answer = client.receive(stun.encode(Method.BINDING, 0, client.transaction(), fingerprint=True))
    assert answer is not None
    assert stun.verify_fingerprint(answer)


def test_wrong_fingerprint_is_not_answered(client: Client) -> None:
    data = stun.encode(Method.BINDING, 0, client.transaction(), fingerprint=True)
    assert client.receive(data[:-1] + bytes([data[-1] ^ 1])) is None


# Refresh


def test_refresh_begins_the_lifetime_anew(house: House, allocated: Client) -> None:
    allocated.now += 500
    assert lifetime(allocated.refresh(seconds(900))) == 900
    assert allocated.allocation.relays[4].expires_at == allocated.now + 900


def test_refresh_0_frees_the_5_tuple_and_the_port_at_once(house: House, allocated: Client) -> None:
    relay = allocated.relay
    assert lifetime(allocated.refresh(seconds(0))) == 0
    assert relay.closed
    assert not house.host.live
    assert error_code(allocated.allocate()) == 0


def test_retransmitted_refresh_0_is_answered_the_same(house: House, allocated: Client) -> None:
    request = allocated.signed(Method.REFRESH, [seconds(0)])
    first = house.server.receive(request, allocated.flow, allocated.now)
    assert house.server.receive(request, allocated.flow, allocated.now) == first


@pytest.mark.parametrize("method", [Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND])
def test_without_an_allocation_requests_are_437(client: Client, method: Method) -> None:
    assert error_code(client.call(method)) == 437


@pytest.mark.parametrize("method", [Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND])
def test_another_users_allocation_is_441(allocated: Client, method: Method) -> None:
    allocated.username, allocated.password = "anna", "pass"
    assert error_code(allocated.call(method)) == 441


@pytest.mark.parametrize("method", [Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND])
def test_unknown_required_attributes_are_420_and_named(allocated: Client, method: Method) -> None:
    answer = allocated.call(method, (0x7777, b""), (0xC001, b""), (0x7001, b"x"))
    assert error_code(answer) == 420
    assert stun.decode_unknown_attributes(answer.get(Attribute.UNKNOWN_ATTRIBUTES) or b"") == [0x7777, 0x7001]


def test_refresh_of_another_family_is_443(allocated: Client) -> None:
    assert error_code(allocated.refresh(IPV6)) == 443


def test_an_allocation_expires(house: House, allocated: Client) -> None:
    assert house.server.registry.next_timer() == allocated.now + 600
    relay = allocated.relay
    house.server.registry.handle_timer(allocated.now + 599.9)
    assert not relay.closed
    house.server.registry.handle_timer(allocated.now + 600)
    assert relay.closed
    assert house.server.registry.next_timer() is None


def test_a_shortened_lifetime_ends_sooner(house: House, client: Client) -> None:
    client.allocate(seconds(3600))
    relay = client.relay
    client.refresh(seconds(600))
    assert house.server.registry.next_timer() == client.now + 600
    house.server.registry.handle_timer(client.now + 600)
    assert relay.closed


def test_an_expired_allocation_is_gone_even_before_the_timer(allocated: Client) -> None:
    allocated.now += 600
    assert error_code(allocated.refresh()) == 437


# CreatePermission


def test_permissions_are_for_addresses_for_300_seconds(allocated: Client) -> None:
    assert error_code(allocated.permit(PEER, OTHER_PEER)) == 0
    assert allocated.relay.permissions == {
        PEER[0]: (allocated.now + 300, False),
        OTHER_PEER[0]: (allocated.now + 300, False),
    }


def test_one_denied_address_denies_all(house: House, allocated: Client) -> None:
    assert error_code(allocated.permit(PEER, ("10.0.0.1", 1))) == 403
    assert not allocated.relay.permissions
    assert house.server.denied_peers["private"] == 1


def test_permission_without_peer_is_400(allocated: Client) -> None:
    assert error_code(allocated.call(Method.CREATE_PERMISSION)) == 400


def test_malformed_peer_is_400(allocated: Client) -> None:
    assert error_code(allocated.call(Method.CREATE_PERMISSION, (Attribute.XOR_PEER_ADDRESS, b"\0\1"))) == 400


def test_peer_of_another_family_is_443(allocated: Client) -> None:
    assert error_code(allocated.permit(("2a00::1", 1))) == 443


def test_own_addresses_get_a_restricted_permission(allocated: Client) -> None:
    assert error_code(allocated.permit((PUBLIC, 40000), (INSIDE, 22))) == 0
    assert [restricted for _, restricted in allocated.relay.permissions.values()] == [True, True]


def test_permissions_are_bounded_and_expired_ones_make_room(allocated: Client) -> None:
    for number in range(MAX_PERMISSIONS):
        assert error_code(allocated.permit((f"8.8.{number >> 8}.{number & 255}", 1))) == 0
    assert error_code(allocated.permit(PEER)) == 508
    assert error_code(allocated.permit(("8.8.0.0", 1))) == 0
    allocated.now += 301
    assert error_code(allocated.permit(PEER)) == 0


# ChannelBind


def test_channel_bind_binds_for_600_seconds_and_permits_for_300(allocated: Client) -> None:
    assert error_code(allocated.bind(0x4000, PEER)) == 0
    assert allocated.relay.channels == {0x4000: (PEER, allocated.now + 600)}
    assert allocated.relay.permissions == {PEER[0]: (allocated.now + 300, False)}


@pytest.mark.parametrize("number", [0x0000, 0x3FFF, 0x5000, 0x7FFF, 0x8000, 0xFFFF])
def test_numbers_that_are_no_channel_are_400(allocated: Client, number: int) -> None:
    assert error_code(allocated.bind(number, PEER)) == 400


@pytest.mark.parametrize("number", [0x4000, 0x4FFF])
def test_numbers_of_channels_are_taken(allocated: Client, number: int) -> None:
    assert error_code(allocated.bind(number, PEER)) == 0


@pytest.mark.parametrize(("number", "error"), [(0x4000, 0), (0x7FFF, 0), (0x3FFF, 400), (0x8000, 400)])
def test_numbers_of_rfc_5766_are_taken_when_allowed(house: House, allocated: Client, number: int, error: int) -> None:
    house.server.use_limits(Limits(last_channel=RFC5766_MAX_CHANNEL))
    assert error_code(allocated.bind(number, PEER)) == error


def test_a_number_cannot_be_bound_to_another_peer(allocated: Client) -> None:
    allocated.bind(0x4000, PEER)
    assert error_code(allocated.bind(0x4000, OTHER_PEER)) == 400


def test_a_peer_cannot_be_bound_to_another_number(allocated: Client) -> None:
    allocated.bind(0x4000, PEER)
    assert error_code(allocated.bind(0x4001, PEER)) == 400


def test_binding_again_refreshes(allocated: Client) -> None:
    allocated.bind(0x4000, PEER)
    allocated.now += 500
    assert error_code(allocated.bind(0x4000, PEER)) == 0
    assert allocated.relay.channels[0x4000] == (PEER, allocated.now + 600)


def test_an_expired_channel_can_be_bound_anew(allocated: Client) -> None:
    allocated.refresh(seconds(3600))
    allocated.bind(0x4000, PEER)
    allocated.bind(0x4001, OTHER_PEER)
    allocated.now += 600
    allocated.nonce = None
    assert error_code(allocated.bind(0x4000, OTHER_PEER)) == 0


@pytest.mark.parametrize("kind", [Attribute.XOR_PEER_ADDRESS, Attribute.CHANNEL_NUMBER])
def test_channel_bind_needs_both_attributes(allocated: Client, kind: Attribute) -> None:
    attributes, transaction_id = allocated.peers(PEER)
    attributes.append((Attribute.CHANNEL_NUMBER, stun.encode_channel(0x4000)))
    rest = [each for each in attributes if each[0] != kind]
    answer = allocated.receive(allocated.signed(Method.CHANNEL_BIND, rest, transaction_id))
    assert error_code(answer) == 400


def test_channel_to_a_denied_peer_is_403(allocated: Client) -> None:
    assert error_code(allocated.bind(0x4000, ("169.254.169.254", 80))) == 403


def test_channel_to_our_sfu_is_bound(allocated: Client) -> None:
    assert error_code(allocated.bind(0x4000, (PUBLIC, 40000))) == 0
    assert allocated.relay.permissions[PUBLIC][1]


def test_channel_to_a_live_relay_port_is_bound(house: House, allocated: Client) -> None:
    other = relayed(Client(house, 50001).allocate())
    assert error_code(allocated.bind(0x4000, other)) == 0


def test_channel_to_another_port_of_ours_is_403(house: House, allocated: Client) -> None:
    assert error_code(allocated.bind(0x4000, (PUBLIC, 22))) == 403
    assert house.server.denied_peers["port"] == 1


def test_channels_are_bounded(allocated: Client) -> None:
    for number in range(MAX_CHANNELS):
        assert error_code(allocated.bind(0x4000 + number, ("8.8.8.8", 1000 + number))) == 0
    assert error_code(allocated.bind(0x4FFF, PEER)) == 508


def test_a_channel_needs_room_for_its_permission_too() -> None:
    house = House(limits=Limits(permissions=1))
    client = Client(house)
    client.allocate()
    client.permit(PEER)
    assert error_code(client.bind(0x4000, OTHER_PEER)) == 508
    assert error_code(client.bind(0x4000, PEER)) == 0


def test_bounds_of_an_allocation_can_change_while_it_lives(house: House, allocated: Client) -> None:
    assert error_code(allocated.bind(0x4000, PEER)) == 0
    house.server.use_limits(Limits(permissions=1, channels=1, allocation_bps=8000))
    assert error_code(allocated.bind(0x4001, (PEER[0], 5001))) == 508
    assert error_code(allocated.permit(OTHER_PEER)) == 508
    house.server.use_limits(Limits(permissions=1, channels=0))
    assert error_code(allocated.bind(0x4000, PEER)) == 0  # what is there can be refreshed
    assert error_code(allocated.permit(PEER)) == 0


def test_the_packet_path_has_room_for_all_that_policy_allows() -> None:
    assert MAX_PERMISSIONS + MAX_CHANNELS <= MAX_RELAY_PEERS


# Bandwidth


def test_an_allocation_has_its_bandwidth_from_the_start_and_a_new_one_at_once(house: House, allocated: Client) -> None:
    assert allocated.relay.bytes_per_second == ALLOCATION_BPS // 8
    house.server.use_limits(Limits(allocation_bps=0))
    assert allocated.relay.bytes_per_second == 0


# Send


def test_send_reaches_a_permitted_peer(allocated: Client) -> None:
    allocated.permit(PEER)
    allocated.relay.now = allocated.now
    allocated.send(PEER, b"hello")
    assert allocated.relay.sent == [(PEER, b"hello")]


def test_send_to_another_family_is_discarded(house: House, allocated: Client) -> None:
    allocated.send(("2a00::1", 1), b"hello")
    assert house.server.requests["udp", "malformed"] == 1


def test_send_with_an_unknown_required_attribute_is_discarded(allocated: Client) -> None:
    allocated.permit(PEER)
    allocated.relay.now = allocated.now
    allocated.send(PEER, b"hello", (0x7777, b""))
    assert not allocated.relay.sent


def test_send_without_allocation_is_discarded(client: Client) -> None:
    client.send(PEER, b"hello")


def test_attributes_behind_the_integrity_are_not_obeyed(house: House, allocated: Client) -> None:
    request = allocated.signed(Method.REFRESH, [])
    forged = request + b"\x00\x0d\x00\x04" + bytes(4)
    forged = forged[:2] + (len(forged) - 20).to_bytes(2, "big") + forged[4:]
    allocated.receive(forged)
    assert allocated.flow in house.server.registry.allocations
