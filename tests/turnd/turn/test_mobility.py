"""Mobility (RFC 8016) in the core: who gets a ticket, what each wrong one is answered, and which 5-tuple is served."""

from __future__ import annotations

import pytest

from tests.turnd.turn.core import EPOCH, OTHER_PEER, PEER, Client, House, error_code
from turnd.turn.allocation import MAX_MOVES, MOVE_SECONDS
from turnd.turn.credentials import rest_credentials
from turnd.turn.mobility import TICKET_CHARACTERS
from turnd.turn.server import Limits
from wire import stun
from wire.stun import Attribute, Method

WISH = (Attribute.MOBILITY_TICKET, b"")
END = (Attribute.LIFETIME, stun.encode_lifetime(0))


@pytest.fixture
def house() -> House:
    return House(mobility=True)


def ticket_of(answer: stun.Message) -> bytes:
    """The ticket of a success answer."""
    assert error_code(answer) == 0
    ticket = answer.get(Attribute.MOBILITY_TICKET)
    assert ticket is not None
    return ticket


def showing(ticket: bytes) -> tuple[int, bytes]:
    return Attribute.MOBILITY_TICKET, ticket


@pytest.fixture
def ticket(client: Client) -> bytes:
    """That of the allocation of `client`, which may send to PEER, also by channel 0x4000."""
    ticket = ticket_of(client.allocate(WISH))
    client.bind(0x4000, PEER)
    return ticket


@pytest.fixture
def elsewhere(house: House, client: Client) -> Client:
    """The same user at another port."""
    return Client(house, 50001, credentials=(client.username, client.password))


# Who gets a ticket, RFC 8016 §3.1.


def test_who_asks_gets_a_ticket_that_tells_nothing(client: Client) -> None:
    ticket = ticket_of(client.allocate(WISH))
    assert len(ticket) == TICKET_CHARACTERS
    assert ticket.decode("ascii").isprintable()  # turnutils keeps it as a C string


def test_who_does_not_ask_gets_none(client: Client) -> None:
    assert client.allocate().get(Attribute.MOBILITY_TICKET) is None


def test_a_ticket_in_an_allocate_request_is_400(client: Client) -> None:
    assert error_code(client.allocate(showing(b"x"))) == 400


def test_switched_off_it_is_405_and_makes_nothing() -> None:
    house = House()
    client = Client(house)
    assert error_code(client.allocate(WISH)) == 405
    assert error_code(client.refresh()) == 437
    assert house.server.allocation_results["405"] == 1
    assert error_code(client.allocate()) == 0
    assert error_code(client.refresh(showing(b"x" * TICKET_CHARACTERS))) == 405


def test_an_allocation_that_is_refused_has_no_ticket(house: House, client: Client) -> None:
    client.allocate()
    assert error_code(client.allocate(WISH)) == 437
    assert not house.server.registry.mobility.tickets


def test_a_tcp_allocation_has_none() -> None:
    client = Client(House(mobility=True, tcp_relay=True), transport="tcp")
    tcp = Attribute.REQUESTED_TRANSPORT, stun.encode_transport(6)
    assert error_code(client.call(Method.ALLOCATE, tcp, WISH)) == 405
    assert error_code(client.call(Method.ALLOCATE, tcp)) == 0


# What a ticket does, §3.2.


def test_the_ticket_brings_the_allocation_with_all_it_has(client: Client, elsewhere: Client, ticket: bytes) -> None:
    relay = client.relay
    answer = elsewhere.refresh(showing(ticket), (Attribute.LIFETIME, stun.encode_lifetime(1200)))
    assert answer.get(Attribute.LIFETIME) == stun.encode_lifetime(1200)
    assert ticket_of(answer) != ticket
    elsewhere.send(PEER, b"from elsewhere")
    assert elsewhere.relay is relay
    assert relay.sent == [(PEER, b"from elsewhere")]
    assert set(relay.permissions) == {PEER[0]}
    assert set(relay.channels) == {0x4000}
    assert elsewhere.house.server.registry.allocations[elsewhere.flow].relays[4].expires_at == elsewhere.now + 1200


def test_the_old_5_tuple_is_served_until_the_new_one_is_used(
    house: House, client: Client, elsewhere: Client, ticket: bytes
) -> None:
    elsewhere.refresh(showing(ticket))
    assert house.host.expected == {elsewhere.flow}
    client.send(PEER, b"still here")
    assert client.relay.sent == [(PEER, b"still here")]
    assert error_code(client.permit(OTHER_PEER)) == 0
    assert not house.host.moves
    elsewhere.send(PEER, b"there now")
    assert house.host.moves == [(client.flow, elsewhere.flow)]
    assert not house.host.expected
    client.send(PEER, b"too late")
    assert elsewhere.relay.sent[1:] == [(PEER, b"there now")]
    assert error_code(client.permit(PEER)) == 437


def test_channel_data_are_use_of_the_new_5_tuple(
    house: House, client: Client, elsewhere: Client, ticket: bytes
) -> None:
    elsewhere.refresh(showing(ticket))
    assert house.server.arrived(elsewhere.flow, elsewhere.now) is house.server.registry.allocations[elsewhere.flow]
    assert house.host.moves == [(client.flow, elsewhere.flow)]


def test_channel_data_from_where_nobody_is_expected_move_nothing(
    house: House, client: Client, elsewhere: Client, ticket: bytes
) -> None:
    assert house.server.arrived(elsewhere.flow, elsewhere.now) is None
    assert client.flow in house.server.registry.allocations


@pytest.mark.parametrize("how", ["permit", "bind", "refresh"])
def test_a_request_of_the_user_is_use_of_the_new_5_tuple(
    house: House, client: Client, elsewhere: Client, ticket: bytes, how: str
) -> None:
    elsewhere.refresh(showing(ticket))
    answer = (
        elsewhere.permit(PEER)
        if how == "permit"
        else elsewhere.bind(0x4000, PEER)
        if how == "bind"
        else elsewhere.refresh()
    )
    assert error_code(answer) == 0
    assert house.host.moves == [(client.flow, elsewhere.flow)]


def test_what_shows_no_use_leaves_the_old_5_tuple_served(
    house: House, client: Client, elsewhere: Client, ticket: bytes
) -> None:
    elsewhere.refresh(showing(ticket))
    elsewhere.plain(Method.BINDING)
    elsewhere.plain(Method.REFRESH)
    assert error_code(elsewhere.allocate()) == 437
    other = Client(house, elsewhere.flow.client[1], credentials=rest_credentials("new", "eve", 3600, EPOCH))
    assert error_code(other.permit(PEER)) == 441
    assert client.flow in house.server.registry.allocations


def test_the_old_5_tuple_is_free_for_a_new_allocation(client: Client, elsewhere: Client, ticket: bytes) -> None:
    elsewhere.refresh(showing(ticket))
    assert error_code(client.allocate()) == 437
    elsewhere.permit(PEER)
    assert error_code(client.allocate()) == 0


def test_a_client_that_moves_on_before_it_has_sent_is_expected_at_the_last_place_only(
    house: House, client: Client, elsewhere: Client, ticket: bytes
) -> None:
    third = Client(house, 50002, credentials=(client.username, client.password))
    ticket_of(third.refresh(showing(ticket_of(elsewhere.refresh(showing(ticket))))))
    assert house.host.expected == {third.flow}
    assert error_code(elsewhere.permit(PEER)) == 437
    assert error_code(third.permit(PEER)) == 0
    assert house.host.moves == [(client.flow, third.flow)]


def test_it_can_come_back_to_where_it_was(client: Client, elsewhere: Client, ticket: bytes) -> None:
    second = ticket_of(elsewhere.refresh(showing(ticket)))
    elsewhere.permit(PEER)
    ticket_of(client.refresh(showing(second)))
    assert error_code(client.permit(PEER)) == 0
    assert error_code(elsewhere.permit(PEER)) == 437


def test_the_ticket_can_end_the_allocation(house: House, client: Client, elsewhere: Client, ticket: bytes) -> None:
    answer = elsewhere.refresh(showing(ticket), END)
    assert error_code(answer) == 0
    assert answer.get(Attribute.MOBILITY_TICKET) is None
    assert not house.server.registry.allocations
    assert not house.server.registry.mobility.tickets
    assert error_code(client.refresh()) == 437


# Repeated requests.


def test_a_repeated_request_is_answered_the_same(client: Client, elsewhere: Client, ticket: bytes) -> None:
    request = elsewhere.signed(Method.REFRESH, [showing(ticket)])
    first, second = elsewhere.receive(request), elsewhere.receive(request)
    assert first is not None
    assert second is not None
    assert first.data == second.data
    elsewhere.permit(PEER)
    third = elsewhere.receive(request)
    assert third is not None
    assert third.data == first.data


def test_asked_again_from_the_same_place_the_ticket_is_told_again_and_shows_no_use(
    house: House, elsewhere: Client, ticket: bytes
) -> None:
    second = ticket_of(elsewhere.refresh(showing(ticket)))
    assert ticket_of(elsewhere.refresh(showing(ticket))) == second
    assert not house.host.moves
    elsewhere.permit(PEER)
    assert ticket_of(elsewhere.refresh(showing(ticket))) == second
    assert len(house.host.moves) == 1


# What is refused.


@pytest.mark.parametrize(
    "wrong", [b"", b"x", b"x" * TICKET_CHARACTERS, bytes(TICKET_CHARACTERS), b"\xff" * TICKET_CHARACTERS, b"A" * 4000]
)
def test_a_ticket_that_is_none_of_ours_is_400(elsewhere: Client, ticket: bytes, wrong: bytes) -> None:
    assert error_code(elsewhere.refresh(showing(wrong))) == 400


@pytest.mark.parametrize("at", range(TICKET_CHARACTERS))
def test_a_changed_ticket_is_400(elsewhere: Client, ticket: bytes, at: int) -> None:
    changed = ticket[:at] + (b"A" if ticket[at : at + 1] != b"A" else b"B") + ticket[at + 1 :]
    assert error_code(elsewhere.refresh(showing(changed))) == 400


def test_a_ticket_of_another_process_is_400(elsewhere: Client, ticket: bytes) -> None:
    other = House(mobility=True)
    other.random.seed(2)
    other.server.registry.mobility._secret = bytes(32)
    assert error_code(elsewhere.refresh(showing(ticket_of(Client(other).allocate(WISH))))) == 400


def test_from_its_own_5_tuple_a_ticket_is_400(client: Client, elsewhere: Client, ticket: bytes) -> None:
    assert error_code(client.refresh(showing(ticket))) == 400
    second = ticket_of(elsewhere.refresh(showing(ticket)))
    assert error_code(elsewhere.refresh(showing(second))) == 400


def test_a_used_ticket_is_worth_nothing_anywhere_else(
    house: House, client: Client, elsewhere: Client, ticket: bytes
) -> None:
    elsewhere.refresh(showing(ticket))
    third = Client(house, 50002, credentials=(client.username, client.password))
    for _ in range(2):
        assert error_code(third.refresh(showing(ticket))) == 437
        assert error_code(client.refresh(showing(ticket))) == 437
        elsewhere.permit(PEER)


@pytest.mark.parametrize("how", ["released", "expired", "moved twice"])
def test_a_ticket_ends_with_its_allocation(
    house: House, client: Client, elsewhere: Client, ticket: bytes, how: str
) -> None:
    if how == "released":
        client.refresh(END)
    elif how == "expired":
        elsewhere.now += 600
    else:
        second = ticket_of(elsewhere.refresh(showing(ticket)))
        client.refresh(showing(second))
        elsewhere = Client(house, 50002, credentials=(client.username, client.password))
    assert error_code(elsewhere.refresh(showing(ticket))) == 437


def test_another_user_gets_441_and_learns_no_more(house: House, client: Client, ticket: bytes) -> None:
    eve = Client(house, 50002, credentials=rest_credentials("new", "eve", 3600, EPOCH))
    assert error_code(eve.refresh(showing(ticket))) == 441
    assert error_code(eve.allocate()) == 0
    assert error_code(eve.refresh(showing(ticket))) == 441
    assert client.flow in house.server.registry.allocations


def test_a_5_tuple_with_an_allocation_gets_437(client: Client, elsewhere: Client, ticket: bytes) -> None:
    elsewhere.allocate()
    assert error_code(elsewhere.refresh(showing(ticket))) == 437
    assert error_code(client.permit(PEER)) == 0


def test_a_refused_request_leaves_the_ticket_good(client: Client, elsewhere: Client, ticket: bytes) -> None:
    family = Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6)
    assert error_code(elsewhere.refresh(showing(ticket), family)) == 443
    assert error_code(elsewhere.refresh(showing(ticket), (Attribute.LIFETIME, b"x"))) == 400
    assert ticket_of(elsewhere.refresh(showing(ticket)))


def test_without_the_password_a_ticket_is_worth_nothing(house: House, client: Client, ticket: bytes) -> None:
    thief = Client(house, 50002, credentials=(client.username, "guessed"))
    assert error_code(thief.refresh(showing(ticket))) == 401
    assert not house.host.expected


def test_a_user_name_whose_time_is_over_still_moves_its_call(
    house: House, client: Client, elsewhere: Client, ticket: bytes
) -> None:
    house.epoch += 7200
    assert error_code(elsewhere.refresh()) == 401
    assert ticket_of(elsewhere.refresh(showing(ticket)))


def test_moves_are_bounded_and_the_refusal_is_counted(house: House, client: Client, ticket: bytes) -> None:
    clients = [client, Client(house, 50001, credentials=(client.username, client.password))]
    for number in range(MAX_MOVES):
        ticket = ticket_of(clients[(number + 1) % 2].refresh(showing(ticket)))
        clients[(number + 1) % 2].permit(PEER)
    mover = clients[(MAX_MOVES + 1) % 2]
    assert error_code(mover.refresh(showing(ticket))) == 508
    results = house.server.registry.mobility.results
    assert results["508"] == 1
    assert results["moved"] == results["accepted"] == MAX_MOVES
    assert error_code(mover.refresh()) == 437
    mover.now += MOVE_SECONDS
    assert ticket_of(mover.refresh(showing(ticket)))


def test_of_two_families_the_one_that_is_over_does_not_come_along(
    house: House, client: Client, elsewhere: Client
) -> None:
    both = Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6)
    ipv4, ipv6 = (
        (Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(each)) for each in (stun.Family.IPV4, stun.Family.IPV6)
    )
    ticket = ticket_of(client.allocate(WISH, both))
    client.refresh(ipv4, (Attribute.LIFETIME, stun.encode_lifetime(1200)))
    elsewhere.now += 600
    assert error_code(elsewhere.refresh(showing(ticket), ipv6)) == 443
    ticket_of(elsewhere.refresh(showing(ticket)))
    elsewhere.permit(PEER)
    assert set(house.server.registry.allocations[elsewhere.flow].relays) == {4}


def test_of_two_families_one_can_be_ended_on_the_way(house: House, client: Client, elsewhere: Client) -> None:
    both = Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6)
    ipv6 = Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6)
    ticket = ticket_of(client.allocate(WISH, both))
    ticket_of(elsewhere.refresh(showing(ticket), ipv6, END))
    elsewhere.permit(PEER)
    assert set(house.server.registry.allocations[elsewhere.flow].relays) == {4}


# Streams that end.


@pytest.fixture
def streaming(house: House) -> Client:
    return Client(house, 50005, transport="tcp")


@pytest.fixture
def returned(house: House, streaming: Client) -> Client:
    """The same user on another stream."""
    return Client(house, 50006, transport="tcp", credentials=(streaming.username, streaming.password))


def close(client: Client) -> None:
    client.house.server.registry.release_flow(client.flow, client.now)


def test_a_stream_that_ends_leaves_the_allocation_for_its_ticket(
    house: House, streaming: Client, returned: Client
) -> None:
    ticket = ticket_of(streaming.allocate(WISH))
    relay = streaming.relay
    close(streaming)
    assert not relay.closed
    assert relay.clientless
    ticket_of(returned.refresh(showing(ticket)))
    assert returned.relay is relay  # at once: there is no old 5-tuple to go on with


def test_a_stream_that_ends_takes_an_allocation_without_ticket_with_it(house: House, streaming: Client) -> None:
    streaming.allocate()
    close(streaming)
    assert not house.server.registry.allocations


def test_after_mobility_was_switched_off_a_stream_takes_its_allocation_with_it(house: House, streaming: Client) -> None:
    streaming.allocate(WISH)
    house.server.registry.mobility.allowed = False
    close(streaming)
    assert not house.server.registry.allocations


def test_whoever_gets_the_same_5_tuple_again_gets_nothing_of_it(house: House, streaming: Client) -> None:
    ticket = ticket_of(streaming.allocate(WISH))
    streaming.permit(PEER)
    relay = streaming.relay
    close(streaming)
    streaming.send(PEER, b"whose?")
    assert not relay.sent
    assert error_code(streaming.permit(PEER)) == 437
    ticket_of(streaming.refresh(showing(ticket)))
    assert error_code(streaming.permit(PEER)) == 0


def test_a_stream_that_ends_while_its_client_is_on_the_way_hands_over(
    house: House, streaming: Client, returned: Client
) -> None:
    ticket = ticket_of(streaming.allocate(WISH))
    returned.refresh(showing(ticket))
    close(streaming)
    assert house.host.moves == [(streaming.flow, returned.flow)]
    assert error_code(returned.permit(PEER)) == 0


def test_a_new_stream_that_ends_unused_leaves_the_old_one_served(
    house: House, streaming: Client, returned: Client
) -> None:
    ticket = ticket_of(streaming.allocate(WISH))
    second = ticket_of(returned.refresh(showing(ticket)))
    close(returned)
    assert not house.host.expected
    assert error_code(streaming.permit(PEER)) == 0
    assert ticket_of(returned.refresh(showing(second)))


def test_a_closed_old_stream_does_not_end_what_has_moved(house: House, streaming: Client, elsewhere: Client) -> None:
    elsewhere.username, elsewhere.password = streaming.username, streaming.password
    ticket = ticket_of(streaming.allocate(WISH))
    elsewhere.refresh(showing(ticket))
    elsewhere.permit(PEER)
    close(streaming)
    assert error_code(elsewhere.permit(PEER)) == 0


def test_an_allocation_without_a_client_ends_with_its_lifetime(
    house: House, streaming: Client, returned: Client
) -> None:
    ticket = ticket_of(streaming.allocate(WISH))
    relay = streaming.relay
    close(streaming)
    house.server.registry.handle_timer(streaming.now + 599)
    assert not relay.closed
    house.server.registry.handle_timer(streaming.now + 600)
    assert relay.closed
    assert not house.host.live
    assert error_code(returned.refresh(showing(ticket))) == 437


def test_the_quota_is_held_to_the_end() -> None:
    house = House(mobility=True, limits=Limits(allocations_of_user=2))
    clients = [Client(house, 50000 + number, transport="tcp", credentials=("anna", "pass")) for number in range(4)]
    tickets = []
    for client in clients[:2]:
        tickets.append(ticket_of(client.allocate(WISH)))
        close(client)
    assert error_code(clients[2].allocate(WISH)) == 486
    ticket_of(clients[2].refresh(showing(tickets[0])))
    assert error_code(clients[3].allocate(WISH)) == 486
    clients[2].refresh(END)
    assert error_code(clients[3].allocate(WISH)) == 0
    house.server.registry.handle_timer(clients[0].now + 600)
    assert not house.server.registry._ports_of
    assert not house.server.registry.mobility.tickets


def test_a_flood_of_moves_leaves_one_5_tuple_and_two_tickets(house: House, client: Client, ticket: bytes) -> None:
    for number in range(500):
        mover = Client(house, 51000 + number, credentials=(client.username, client.password))
        mover.now = client.now + number * MOVE_SECONDS / 2
        answer = mover.refresh(showing(ticket), (Attribute.LIFETIME, stun.encode_lifetime(3600)))
        if error_code(answer) == 0:
            ticket = ticket_of(answer)
    mobility = house.server.registry.mobility
    assert mobility.results["508"] > 200
    assert len(house.server.registry.allocations) == len(mobility.arriving) == len(house.host.expected) == 1
    assert len(mobility.tickets) == 2
