"""Every method with every answer the RFC gives it, through the core and model relays."""

from __future__ import annotations

import pytest

from tests.turnd.turn.core import (
    INSIDE,
    INSIDE_IPV6,
    LOCAL,
    OTHER_PEER,
    PEER,
    PUBLIC,
    UDP,
    Client,
    House,
    error_code,
    relayed,
)
from turnd.turn.channel import MAX_CHANNELS
from turnd.turn.permission import MAX_PERMISSIONS
from turnd.turn.server import Limits
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


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def client(house: House) -> Client:
    return Client(house)


@pytest.fixture
def allocated(client: Client) -> Client:
    assert error_code(client.allocate()) == 0
    return client


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


# Allocate


def test_allocate_answers_with_the_public_address(client: Client) -> None:
    answer = client.allocate()
    host, port = relayed(answer)
    assert host == PUBLIC
    assert 40001 <= port <= 40010
    assert lifetime(answer) == 600
    mapped = answer.get(Attribute.XOR_MAPPED_ADDRESS)
    assert mapped is not None
    assert stun.decode_xor_address(mapped, answer.transaction_id) == client.flow.client


def test_without_a_public_address_the_one_the_client_talks_to_is_announced(house: House, client: Client) -> None:
    house.server.set_addresses([INSIDE, "192.168.7.7"], [], [])
    assert relayed(client.allocate())[0] == LOCAL[0]


@pytest.mark.parametrize(("wanted", "granted"), [(10, 600), (700, 700), (99999, 3600)])
def test_lifetime_is_between_default_and_maximum(client: Client, wanted: int, granted: int) -> None:
    assert lifetime(client.allocate(seconds(wanted))) == granted


def test_allocate_again_is_437(allocated: Client) -> None:
    assert error_code(allocated.allocate()) == 437


def test_retransmitted_allocate_gets_the_same_bytes(house: House, client: Client) -> None:
    request = client.signed(Method.ALLOCATE, [UDP])
    first = house.server.receive(request, client.flow, client.now)
    assert house.server.receive(request, client.flow, client.now + 30) == first
    assert len(house.server.allocations) == 1


def test_late_duplicate_of_allocate_does_not_bring_an_ended_allocation_back(house: House, client: Client) -> None:
    request = client.signed(Method.ALLOCATE, [UDP])
    client.receive(request)
    client.refresh(seconds(0))
    client.receive(request)
    assert not house.server.allocations


def test_same_transaction_id_with_other_bytes_is_not_a_retransmission(client: Client) -> None:
    transaction_id = client.transaction()
    client.receive(client.signed(Method.ALLOCATE, [UDP], transaction_id))
    answer = client.receive(client.signed(Method.ALLOCATE, [UDP, seconds(700)], transaction_id))
    assert error_code(answer) == 437


def test_allocate_without_transport_is_400(client: Client) -> None:
    assert error_code(client.call(Method.ALLOCATE)) == 400


def test_allocate_of_tcp_is_442(client: Client) -> None:
    assert error_code(client.call(Method.ALLOCATE, (Attribute.REQUESTED_TRANSPORT, stun.encode_transport(6)))) == 442


def test_allocate_with_an_unknown_required_attribute_is_420(client: Client) -> None:
    assert error_code(client.allocate((0x7F00, b"x"))) == 420


def test_dont_fragment_is_supported(client: Client) -> None:
    assert error_code(client.allocate((Attribute.DONT_FRAGMENT, b""))) == 0


@pytest.mark.parametrize(
    "attribute",
    [
        (Attribute.DONT_FRAGMENT, b"x"),
        (Attribute.EVEN_PORT, b""),
        (Attribute.LIFETIME, b"\0"),
        (Attribute.RESERVATION_TOKEN, b"short"),
        (Attribute.REQUESTED_ADDRESS_FAMILY, b"\1"),
        (Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(1)),
    ],
)
def test_malformed_attributes_are_400(client: Client, attribute: tuple[int, bytes]) -> None:
    assert error_code(client.allocate(attribute)) == 400


@pytest.mark.parametrize("other", [EVEN, IPV6, (Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(2))])
def test_reservation_token_excludes_other_choices(client: Client, other: tuple[int, bytes]) -> None:
    assert error_code(client.allocate((Attribute.RESERVATION_TOKEN, bytes(8)), other)) == 400


def test_requested_and_additional_family_exclude_each_other(client: Client) -> None:
    assert error_code(client.allocate(IPV6, (Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(2)))) == 400


def test_additional_family_gets_ipv4_and_the_reason_why_not_both(client: Client) -> None:
    answer = client.allocate((Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(2)))
    assert relayed(answer)[0] == PUBLIC
    assert len(answer.all(Attribute.XOR_RELAYED_ADDRESS)) == 1
    error = answer.get(Attribute.ADDRESS_ERROR_CODE)
    assert error is not None
    assert stun.decode_address_error(error) == (2, 440, "")


def test_who_asks_for_one_family_gets_no_address_error(client: Client) -> None:
    assert client.allocate().get(Attribute.ADDRESS_ERROR_CODE) is None


def test_ipv6_is_relayed_from_our_ipv6_address(client: Client) -> None:
    assert relayed(client.allocate(IPV6))[0] == INSIDE_IPV6


def test_a_family_we_have_no_address_of_is_440(house: House, client: Client) -> None:
    house.server.set_addresses([INSIDE], [PUBLIC], [])
    assert error_code(client.allocate(IPV6)) == 440


def test_an_unknown_family_is_440(client: Client) -> None:
    assert error_code(client.allocate((Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(3)))) == 440


def test_even_port_is_even(house: House) -> None:
    for port in range(50000, 50005):
        assert relayed(Client(house, port).allocate(EVEN))[1] % 2 == 0


def test_even_port_without_reservation_leaks_no_port(house: House, client: Client) -> None:
    for _ in range(1000):
        client.now += 1
        client.nonce = None
        assert error_code(client.allocate(EVEN)) == 0
        client.refresh(seconds(0))
    assert all(relay.closed for relay in house.host.relays)


def test_reserved_port_goes_to_the_holder_of_the_token(house: House, client: Client) -> None:
    answer = client.allocate(EVEN_PAIR)
    token = answer.get(Attribute.RESERVATION_TOKEN)
    assert token is not None
    second = Client(house, 50001).allocate((Attribute.RESERVATION_TOKEN, token))
    assert relayed(second)[1] == relayed(answer)[1] + 1


def test_a_relay_is_reached_under_the_address_it_was_announced_with(house: House, client: Client) -> None:
    relay = relayed(client.allocate())
    assert relay[0] == PUBLIC
    other = Client(house, 50001)
    house.server.set_addresses([INSIDE], ["192.88.2.2"], [], former=[PUBLIC])
    assert relayed(other.allocate())[0] == "192.88.2.2"
    assert error_code(other.bind(0x4000, relay)) == 0
    assert error_code(other.bind(0x4001, (PUBLIC, 9))) == 403
    house.server.set_addresses([INSIDE], ["192.88.2.2"], [])
    assert error_code(other.bind(0x4002, (PUBLIC, 9))) == 0  # another machine's now


def test_a_token_works_once(house: House, client: Client) -> None:
    token = client.allocate(EVEN_PAIR).get(Attribute.RESERVATION_TOKEN) or b""
    Client(house, 50001).allocate((Attribute.RESERVATION_TOKEN, token))
    assert error_code(Client(house, 50002).allocate((Attribute.RESERVATION_TOKEN, token))) == 508


def test_a_token_ends_after_30_seconds_and_its_port_is_free_again(house: House, client: Client) -> None:
    token = client.allocate(EVEN_PAIR).get(Attribute.RESERVATION_TOKEN) or b""
    due = house.server.next_timer()
    assert due == client.now + 30
    house.server.handle_timer(due)
    assert not house.server.reservations
    assert error_code(Client(house, 50001).allocate((Attribute.RESERVATION_TOKEN, token))) == 508
    assert [relay.closed for relay in house.host.relays] == [False, True]


def test_no_port_left_is_508(house: House) -> None:
    answers = [error_code(Client(house, port).allocate()) for port in range(50000, 50011)]
    assert answers == [0] * 10 + [508]


def test_ports_that_others_hold_are_passed_over(house: House) -> None:
    house.host.busy = {40001, 40003, 40004}
    answers = [error_code(Client(house, port).allocate()) for port in range(50000, 50008)]
    assert answers == [0] * 7 + [508]
    house.host.busy = set()
    assert error_code(Client(house, 50009).allocate()) == 0


def test_half_a_pair_is_given_back(house: House, client: Client) -> None:
    house.host.busy = {40003, 40005, 40007, 40009}
    assert error_code(client.allocate(EVEN_PAIR)) == 508
    assert all(relay.closed for relay in house.host.relays)


def test_over_the_bound_of_all_is_508() -> None:
    house = House(limits=Limits(allocations=2))
    answers = [error_code(Client(house, port).allocate()) for port in (1, 2, 3)]
    assert answers == [0, 0, 508]


ANNA = ("anna", "pass")


def test_over_the_bound_of_a_user_is_486_for_that_user_alone() -> None:
    house = House(limits=Limits(allocations_of_user=2))
    answers = [error_code(Client(house, port).allocate()) for port in (1, 2, 3)]
    assert answers == [0, 0, 486]
    assert error_code(Client(house, 4, credentials=ANNA).allocate()) == 0


def test_what_a_user_gives_back_can_be_had_again() -> None:
    house = House(limits=Limits(allocations_of_user=1))
    client = Client(house)
    client.allocate()
    client.refresh(seconds(0))
    assert error_code(Client(house, 2).allocate()) == 0
    house.server.handle_timer(client.now + 600)
    assert error_code(Client(house, 3).allocate()) == 0
    house.server.close(client.now)
    assert not house.server._held


def test_a_reserved_port_counts_towards_its_user_until_it_is_taken_or_too_old() -> None:
    house = House(limits=Limits(allocations_of_user=2))
    client = Client(house)
    token = client.allocate(EVEN_PAIR).get(Attribute.RESERVATION_TOKEN) or b""
    assert error_code(Client(house, 2).allocate()) == 486
    assert error_code(Client(house, 2).allocate((Attribute.RESERVATION_TOKEN, token))) == 0
    assert error_code(Client(house, 3).allocate()) == 486
    assert error_code(Client(house, 4, credentials=ANNA).allocate(EVEN_PAIR)) == 0
    house.server.handle_timer(client.now + 30)
    assert error_code(Client(house, 5, credentials=ANNA).allocate()) == 0


def test_a_token_is_not_lost_to_a_user_who_has_enough() -> None:
    house = House(limits=Limits(allocations_of_user=2))
    token = Client(house).allocate(EVEN_PAIR).get(Attribute.RESERVATION_TOKEN) or b""
    for port in (2, 3):
        Client(house, port, credentials=ANNA).allocate()
    assert error_code(Client(house, 4, credentials=ANNA).allocate((Attribute.RESERVATION_TOKEN, token))) == 486
    assert error_code(Client(house, 5).allocate((Attribute.RESERVATION_TOKEN, token))) == 0


def test_draining_refuses_new_allocations_and_keeps_old_ones(house: House, allocated: Client) -> None:
    house.server.draining = True
    assert error_code(Client(house, 50001).allocate()) == 508
    assert error_code(allocated.refresh()) == 0


# Refresh


def test_refresh_begins_the_lifetime_anew(house: House, allocated: Client) -> None:
    allocated.now += 500
    assert lifetime(allocated.refresh(seconds(900))) == 900
    assert house.server.allocations[allocated.flow].expires_at == allocated.now + 900


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


def test_another_users_allocation_is_441(allocated: Client) -> None:
    allocated.username, allocated.password = "anna", "pass"
    assert error_code(allocated.refresh()) == 441


def test_refresh_of_another_family_is_443(allocated: Client) -> None:
    assert error_code(allocated.refresh(IPV6)) == 443


def test_an_allocation_expires(house: House, allocated: Client) -> None:
    assert house.server.next_timer() == allocated.now + 600
    relay = allocated.relay
    house.server.handle_timer(allocated.now + 599.9)
    assert not relay.closed
    house.server.handle_timer(allocated.now + 600)
    assert relay.closed
    assert house.server.next_timer() is None


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


@pytest.mark.parametrize("number", [0x0000, 0x3FFF, 0x8000, 0xFFFF])
def test_numbers_that_are_no_channel_are_400(allocated: Client, number: int) -> None:
    assert error_code(allocated.bind(number, PEER)) == 400


@pytest.mark.parametrize("number", [0x4000, 0x4FFF, 0x7FFF])
def test_numbers_of_both_rfcs_are_taken(allocated: Client, number: int) -> None:
    assert error_code(allocated.bind(number, PEER)) == 0


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
    assert allocated.flow in house.server.allocations
