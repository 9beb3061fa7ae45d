"""The core as a whole: bounds, rate limit, timers, and any bytes at all."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.turnd.turn.core import INSIDE, OTHER_PEER, PEER, PUBLIC, UDP, Client, House, error_code
from turnd.turn.limits import Limits
from turnd.turn.peer_policy import Near
from wire import stun
from wire.stun import Attribute, Method


def test_unauthenticated_answers_are_limited_for_each_source() -> None:
    house = House(limits=Limits(unauthenticated_rate=1, unauthenticated_burst=3))
    client = Client(house)
    assert [client.plain(Method.BINDING) is None for _ in range(4)] == [False, False, False, True]
    assert client.plain(Method.ALLOCATE, [UDP]) is None
    client.now += 1
    assert client.plain(Method.BINDING) is not None
    assert house.server.requests["udp", "limited"] == 2


def test_authenticated_requests_are_not_limited() -> None:
    house = House(limits=Limits(unauthenticated_rate=0, unauthenticated_burst=1))
    client = Client(house)
    client.allocate()
    assert all(error_code(client.refresh()) == 0 for _ in range(50))


def test_answers_and_indications_of_clients_are_ignored() -> None:
    client = Client(House())
    for message_class in (1, 2, 3):
        assert client.receive(stun.encode(Method.BINDING, message_class, client.transaction())) is None


def test_methods_there_are_not_are_ignored() -> None:
    client = Client(House())
    assert client.plain(Method.CONNECT) is None
    assert client.plain(0x7FF) is None


def test_churn_of_allocations_keeps_no_memory_of_them() -> None:
    house = House()
    client = Client(house)
    for _ in range(500):
        client.now += 0.01
        client.allocate()
        client.refresh((Attribute.LIFETIME, stun.encode_lifetime(0)))
    assert len(house.server.registry._queue) < 100
    assert not house.host.live


def test_refreshed_allocations_outlive_their_first_timer() -> None:
    house = House()
    client = Client(house)
    client.allocate()
    client.now += 300
    client.refresh()
    house.server.registry.handle_timer(1600.0)
    assert house.server.registry.next_timer() == 1900.0
    house.server.registry.handle_timer(1900.0)
    assert not house.server.registry.allocations


def test_the_end_of_a_stream_ends_its_allocation() -> None:
    house = House()
    client = Client(house, transport="tcp")
    client.allocate()
    relay = client.relay
    house.server.registry.release_flow(client.flow, client.now)
    assert relay.closed
    assert house.server.registry.lifetimes.counts[0] == 1


def test_close_ends_everything() -> None:
    house = House()
    client = Client(house)
    client.allocate((Attribute.EVEN_PORT, b"\x80"))
    house.server.registry.close(client.now)
    assert all(relay.closed for relay in house.host.relays)
    assert len(house.host.relays) == 2


def test_allocations_are_counted_by_transport_and_family() -> None:
    house = House()
    Client(house).allocate()
    Client(house, 1, transport="tls").allocate((Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(2)))
    counts = house.server.count_allocations()
    assert counts["udp", "ipv4"] == counts["tls", "ipv6"] == 1
    assert sum(counts.values()) == 2


def test_a_change_of_policy_reaches_living_permissions_and_channels() -> None:
    house = House()
    client = Client(house)
    client.allocate()
    assert error_code(client.bind(0x4000, PEER)) == error_code(client.permit(OTHER_PEER)) == 0
    near = Near(networks=("8.8.4.0/24",))
    house.server.set_addresses([INSIDE], [PUBLIC], [], near=near)
    house.server.enforce_policy(client.now)
    client.relay.now = client.now
    client.send(PEER, b"refused")
    client.send(OTHER_PEER, b"sent")
    client.relay.forward([b"\x40\x00\x00\x01x"])
    assert client.relay.sent == [(OTHER_PEER, b"sent")]
    assert not client.relay.from_peer(PEER, b"refused")
    assert client.relay.permissions[OTHER_PEER[0]] == (client.now + 300, False)
    assert error_code(client.permit(PEER)) == 403


def test_an_address_that_becomes_ours_is_restricted_to_open_ports_at_once() -> None:
    house = House()
    client = Client(house)
    client.allocate()
    client.permit(PEER)
    house.server.set_addresses([INSIDE], [PEER[0]], [])
    house.server.enforce_policy(client.now)
    assert client.relay.permissions == {PEER[0]: (client.now + 300, True)}


METHODS = [Method.BINDING, Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND, Method.SEND]
KINDS = [int(each) for each in Attribute if each not in (0x0008, 0x001C, 0x8028)] + [0x7777, 0xC001]
VALUES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([stun.encode_transport(17), b"\x80", b"\0\1" + bytes(6), b"\0\2" + bytes(18), b"\x40\0\0\0"]),
)


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(METHODS),
            st.integers(0, 3),
            st.lists(st.tuples(st.sampled_from(KINDS), VALUES), max_size=6),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_any_attributes_get_an_answer_that_parses_or_none(
    messages: list[tuple[int, int, list[tuple[int, bytes]], bool]],
) -> None:
    house = House()
    client = Client(house)
    for method, message_class, attributes, signed in messages:
        if signed and message_class == 0:
            client.receive(client.signed(method, attributes))
        else:
            client.receive(stun.encode(method, message_class, client.transaction(), attributes))
    house.server.registry.handle_timer(client.now + 4000)
    assert not house.server.registry.allocations
    assert all(relay.closed for relay in house.host.relays)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 255)), min_size=1, max_size=5), st.binary(max_size=60))
def test_mutated_and_random_bytes_never_raise(changes: list[tuple[int, int]], noise: bytes) -> None:
    house = House()
    client = Client(house)
    client.allocate()
    attributes, transaction_id = client.peers(PEER)
    for data in (
        client.signed(Method.CREATE_PERMISSION, attributes, transaction_id),
        stun.encode(Method.SEND, 1, transaction_id, [*attributes, (Attribute.DATA, noise)], fingerprint=True),
    ):
        changed = bytearray(data)
        for at, flip in changes:
            changed[at % len(changed)] ^= flip
        client.receive(bytes(changed))
    client.receive(noise)
    assert error_code(client.refresh()) == 0
