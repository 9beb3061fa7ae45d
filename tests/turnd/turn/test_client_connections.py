from __future__ import annotations

import pytest

from turnd.turn.allocation import Flow
from turnd.turn.client_connections import ClientConnections
from turnd.turn.connection import TurnClient
from turnd.turn.relay import Relay


class Client(TurnClient):
    """A connection that only knows whether it was ended."""

    def __init__(self) -> None:
        self.ended = False

    def answer(self, response: bytes) -> None:
        raise AssertionError

    def allocated(self, relays: list[Relay]) -> None:
        raise AssertionError

    def expected(self) -> None:
        raise AssertionError

    def abort(self) -> None:
        self.ended = True


def flow_of(port: int, host: str = "203.0.113.9") -> Flow:
    return Flow("tcp", (host, port), ("192.0.2.1", 3478))


@pytest.fixture
def connections() -> ClientConnections:
    return ClientConnections(3, unproved_of_source=2, idle_seconds=30)


def entered(connections: ClientConnections, flow: Flow, now: float = 0) -> Client:
    client = Client()
    assert connections.enter(client, flow, now)
    return client


def test_there_are_no_more_than_the_bound(connections: ClientConnections) -> None:
    taken = [entered(connections, flow_of(1, f"192.0.2.{number}")) for number in range(3)]
    assert not connections.enter(Client(), flow_of(1, "192.0.2.3"), 0)
    assert list(connections.values()) == taken


def test_one_5_tuple_has_one_connection(connections: ClientConnections) -> None:
    first = entered(connections, flow_of(1))
    assert not connections.enter(Client(), flow_of(1), 0)
    assert connections[flow_of(1)] is first
    assert connections.idle == 1


def test_only_what_has_no_allocation_counts_towards_the_bound_of_its_source(connections: ClientConnections) -> None:
    entered(connections, flow_of(1))
    entered(connections, flow_of(2))
    assert not connections.enter(Client(), flow_of(3), 0)
    connections.end_idle(flow_of(1))
    entered(connections, flow_of(3))
    assert (len(connections), connections.idle, connections.idle_sources) == (3, 2, 1)


def test_who_loses_an_allocation_is_idle_again_even_over_the_bound(connections: ClientConnections) -> None:
    for port in (1, 2, 3):
        entered(connections, flow_of(port))
        connections.end_idle(flow_of(port))
    assert (connections.idle, connections.next_timer()) == (0, None)
    for port in (1, 2, 3):
        connections.begin_idle(flow_of(port), 10)
    assert (connections.idle, connections.next_timer()) == (3, 40)


def test_the_idle_ones_end_in_time(connections: ClientConnections) -> None:
    first, proved, second = (entered(connections, flow_of(1, f"192.0.2.{at}"), at) for at in (1, 2, 3))
    connections.end_idle(flow_of(1, "192.0.2.2"))
    assert connections.next_timer() == 31
    connections.handle_timer(30.9)
    assert not first.ended
    connections.handle_timer(31)
    assert (first.ended, proved.ended, second.ended) == (True, False, False)
    assert connections.next_timer() == 33
    assert connections.idle == 1


def test_a_connection_that_has_left_leaves_nothing(connections: ClientConnections) -> None:
    first = entered(connections, flow_of(1))
    assert connections.leave(first, flow_of(1))
    connections.begin_idle(flow_of(1), 1)
    assert (len(connections), connections.idle, connections.idle_sources, connections.next_timer()) == (0, 0, 0, None)


def test_a_connection_that_was_refused_takes_nobody_s_place(connections: ClientConnections) -> None:
    first = entered(connections, flow_of(1))
    assert not connections.leave(Client(), flow_of(1))
    assert (connections[flow_of(1)], connections.idle) == (first, 1)


def test_an_allocation_without_its_connection_is_loud(connections: ClientConnections) -> None:
    with pytest.raises(KeyError):
        connections.end_idle(flow_of(1))
