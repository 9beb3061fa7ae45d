"""Allocate with every answer the RFC gives it (RFC 8656 §7), through the core and model relays."""

from __future__ import annotations

import pytest

from tests.turnd.turn.core import (
    INSIDE,
    INSIDE_IPV6,
    LOCAL,
    PUBLIC,
    UDP,
    Client,
    House,
    error_code,
    relayed,
)
from turnd.turn.limits import Limits
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
    assert len(house.server.registry.allocations) == 1


def test_late_duplicate_of_allocate_does_not_bring_an_ended_allocation_back(house: House, client: Client) -> None:
    request = client.signed(Method.ALLOCATE, [UDP])
    client.receive(request)
    client.refresh(seconds(0))
    client.receive(request)
    assert not house.server.registry.allocations


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
        (Attribute.ADDITIONAL_ADDRESS_FAMILY, b""),
    ],
)
def test_malformed_attributes_are_400(client: Client, attribute: tuple[int, bytes]) -> None:
    assert error_code(client.allocate(attribute)) == 400


@pytest.mark.parametrize("other", [EVEN, IPV6, (Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(2))])
def test_reservation_token_excludes_other_choices(client: Client, other: tuple[int, bytes]) -> None:
    assert error_code(client.allocate((Attribute.RESERVATION_TOKEN, bytes(8)), other)) == 400


def test_requested_and_additional_family_exclude_each_other(client: Client) -> None:
    assert error_code(client.allocate(IPV6, (Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(2)))) == 400


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
    due = house.server.registry.next_timer()
    assert due == client.now + 30
    house.server.registry.handle_timer(due)
    assert not house.server.registry.reservations
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


def test_over_the_bound_of_all_is_486() -> None:
    house = House(limits=Limits(allocations=2))
    answers = [error_code(Client(house, port).allocate()) for port in (1, 2, 3)]
    assert answers == [0, 0, 486]


def test_quotas_can_change_while_allocations_live(house: House) -> None:
    clients = [Client(house, port) for port in (1, 2, 3)]
    assert error_code(clients[0].allocate()) == 0
    house.server.use_limits(Limits(allocations=1))
    assert error_code(clients[1].allocate()) == 486
    house.server.use_limits(Limits(allocations_of_user=1))
    assert error_code(clients[1].allocate()) == 486
    assert error_code(clients[0].refresh()) == 0
    house.server.use_limits(Limits())
    assert error_code(clients[1].allocate()) == 0


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
    house.server.registry.handle_timer(client.now + 600)
    assert error_code(Client(house, 3).allocate()) == 0
    house.server.registry.close(client.now)
    assert not house.server.registry._ports_of


def test_a_reserved_port_counts_towards_its_user_until_it_is_taken_or_too_old() -> None:
    house = House(limits=Limits(allocations_of_user=2))
    client = Client(house)
    token = client.allocate(EVEN_PAIR).get(Attribute.RESERVATION_TOKEN) or b""
    assert error_code(Client(house, 2).allocate()) == 486
    assert error_code(Client(house, 2).allocate((Attribute.RESERVATION_TOKEN, token))) == 0
    assert error_code(Client(house, 3).allocate()) == 486
    assert error_code(Client(house, 4, credentials=ANNA).allocate(EVEN_PAIR)) == 0
    house.server.registry.handle_timer(client.now + 30)
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
