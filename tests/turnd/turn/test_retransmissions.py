"""Answers that are kept, and what a client that repeats itself meets."""

from __future__ import annotations

import pytest

from tests.turnd.turn.core import PEER, UDP, Client, House, error_code
from turnd.turn.allocation import Flow
from turnd.turn.nonce import NONCE_SECONDS
from turnd.turn.retransmissions import MAX_ANSWERS, MAX_BYTES, RETRANSMISSION_SECONDS, RecentAnswers
from wire import stun
from wire.stun import Attribute, Method

FLOW = Flow("udp", ("192.0.2.1", 1), ("192.0.2.2", 3478))
END = (Attribute.LIFETIME, stun.encode_lifetime(0))


def test_found_while_a_client_may_repeat() -> None:
    recent = RecentAnswers()
    recent.keep(FLOW, b"request", b"response", 1.0)
    assert recent.find(FLOW, b"request", 1.0 + RETRANSMISSION_SECONDS - 0.1) == b"response"
    assert recent.find(FLOW, b"request", 1.0 + RETRANSMISSION_SECONDS) is None


@pytest.mark.parametrize(
    "other",
    [
        FLOW._replace(transport="tcp"),
        FLOW._replace(client=("192.0.2.1", 2)),
        FLOW._replace(client=("192.0.2.3", 1)),
        FLOW._replace(local=("192.0.2.2", 3479)),
        FLOW._replace(local=("192.0.2.4", 3478)),
    ],
)
def test_only_the_very_same_request_is_found(other: Flow) -> None:
    recent = RecentAnswers()
    recent.keep(FLOW, b"request", b"response", 1.0)
    assert recent.find(FLOW, b"other", 1.0) is None
    assert recent.find(other, b"request", 1.0) is None


def test_the_newest_are_kept() -> None:
    recent = RecentAnswers()
    for number in range(MAX_ANSWERS + 1):
        recent.keep(FLOW, b"%d" % number, b"a", 1.0)
    assert len(recent) == MAX_ANSWERS
    assert recent.find(FLOW, b"0", 1.0) is None
    assert recent.find(FLOW, b"1", 1.0) == b"a"


def test_old_ones_go_when_new_ones_come() -> None:
    recent = RecentAnswers()
    recent.keep(FLOW, b"1", b"a", 1.0)
    recent.keep(FLOW, b"2", b"a", 100.0)
    assert len(recent) == 1


def test_answers_are_bounded_in_bytes_and_requests_are_not_kept() -> None:
    recent = RecentAnswers()
    requests = [b"%d" % number + bytes(60_000) for number in range(20)]
    for request in requests:
        recent.keep(FLOW, request, bytes(60_000), 1.0)
    assert recent.bytes == sum(len(answer.response) for answer in recent._answers.values()) <= MAX_BYTES
    assert recent.find(FLOW, requests[-1], 1.0) == bytes(60_000)
    assert recent.find(FLOW, requests[0], 1.0) is None
    assert all(len(key) <= 32 for key in recent._answers)


def test_an_answer_kept_anew_counts_once() -> None:
    recent = RecentAnswers()
    recent.keep(FLOW, b"1", b"long answer", 1.0)
    recent.keep(FLOW, b"1", b"short", 1.0)
    assert (len(recent), recent.bytes) == (1, 5)


def permission(client: Client) -> bytes:
    attributes, transaction_id = client.peers(PEER)
    return client.signed(Method.CREATE_PERMISSION, attributes, transaction_id)


def channel(client: Client) -> bytes:
    attributes, transaction_id = client.peers(PEER)
    number = (Attribute.CHANNEL_NUMBER, stun.encode_channel(0x4000))
    return client.signed(Method.CHANNEL_BIND, [*attributes, number], transaction_id)


def refresh(client: Client) -> bytes:
    return client.signed(Method.REFRESH, [(Attribute.LIFETIME, stun.encode_lifetime(900))])


@pytest.mark.parametrize("request_of", [permission, channel, refresh])
def test_a_repeated_request_gets_the_same_answer_and_changes_nothing(
    house: House, allocated: Client, request_of: object
) -> None:
    assert callable(request_of)
    request = request_of(allocated)
    first = house.server.receive(request, allocated.flow, allocated.now)
    relay, ends = allocated.relay, allocated.allocation.relays[4].expires_at
    held = dict(relay.permissions), dict(relay.channels)
    assert house.server.receive(request, allocated.flow, allocated.now + 30) == first
    assert (relay.permissions, relay.channels) == held
    assert allocated.allocation.relays[4].expires_at == ends


def test_a_repeated_error_is_the_same_error(house: House, client: Client) -> None:
    request = client.signed(Method.REFRESH)
    first = house.server.receive(request, client.flow, client.now)
    assert first is not None
    assert error_code(stun.parse(first)) == 437
    client.allocate()
    assert house.server.receive(request, client.flow, client.now) == first


@pytest.mark.parametrize(("method", "result"), [(Method.ALLOCATE, "success"), (Method.REFRESH, "error")])
def test_a_repeated_answer_counts_as_what_it_is(house: House, client: Client, method: Method, result: str) -> None:
    request = client.signed(method, [UDP])
    client.receive(request)
    before = dict(house.server.requests)
    client.receive(request)
    changed = {key[1] for key, number in house.server.requests.items() if number != before[key]}
    assert changed == {result}


@pytest.mark.parametrize("later", [0.0, 39.0, 41.0, NONCE_SECONDS, NONCE_SECONDS + 1, 65_536.0])
def test_a_late_duplicate_never_brings_an_ended_allocation_back(house: House, client: Client, later: float) -> None:
    request = client.signed(Method.ALLOCATE, [UDP])
    assert error_code(client.receive(request)) == 0
    client.refresh(END)
    client.now += later
    client.receive(request)
    assert not house.server.registry.allocations


def test_the_5_tuple_is_free_at_once_and_a_late_duplicate_leaves_the_next_allocation_alone(
    house: House, client: Client
) -> None:
    ended = client.signed(Method.REFRESH, [END])
    client.allocate()
    client.receive(ended)
    assert error_code(client.allocate()) == 0
    assert error_code(client.receive(ended)) == 0
    assert client.flow in house.server.registry.allocations
