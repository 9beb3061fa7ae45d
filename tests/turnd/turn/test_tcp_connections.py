"""The connections of TCP allocations: peers that come (RFC 6062 §5.3), bounds, time, and a policy that changes."""

from __future__ import annotations

from tests.turnd.turn.core import INSIDE, OTHER_PEER, PEER, House, error_code
from tests.turnd.turn.tcp_core import TcpClient, connection_id, results
from turnd.turn.tcp_connections import MAX_TCP_CONNECTIONS, MAX_TCP_CONNECTIONS_OF_ALLOCATION, WAIT_SECONDS
from wire import stun
from wire.stun import Attribute, MessageClass, Method


def test_a_permitted_peer_is_announced(control: TcpClient) -> None:
    control.permit(PEER)
    peer = (PEER[0], 777)
    number = control.peer_comes(peer)
    indication = control.told()
    assert (indication.method, indication.message_class) == (Method.CONNECTION_ATTEMPT, MessageClass.INDICATION)
    assert connection_id(indication) == number
    value = indication.get(Attribute.XOR_PEER_ADDRESS)
    assert value is not None
    assert stun.decode_xor_address(value, indication.transaction_id) == peer
    assert results(control.house) == {"accepted": 1}


def test_a_peer_without_permission_is_sent_away(control: TcpClient) -> None:
    control.permit(OTHER_PEER)
    assert control.peer_comes() is None
    assert control.house.host.told == []
    assert results(control.house) == {"not_permitted": 1}


def test_a_permission_that_is_over_lets_nobody_in(control: TcpClient) -> None:
    control.permit(PEER)
    control.now += 301
    assert control.peer_comes() is None


def test_peers_that_come_are_bounded(control: TcpClient) -> None:
    control.permit(PEER)
    for port in range(MAX_TCP_CONNECTIONS_OF_ALLOCATION):
        assert control.peer_comes((PEER[0], 1 + port)) is not None
    assert control.peer_comes((PEER[0], 9999)) is None
    assert results(control.house)["full"] == 1


def test_a_peer_that_is_being_called_does_not_come_as_well(control: TcpClient) -> None:
    control.permit(PEER)
    control.connect()
    assert control.peer_comes() is None
    assert results(control.house)["exists"] == 1


# Bounds.


def test_the_connections_of_an_allocation_are_bounded(control: TcpClient) -> None:
    for port in range(MAX_TCP_CONNECTIONS_OF_ALLOCATION):
        assert control.connect((PEER[0], 1 + port)) is None
    assert error_code(control.connect()) == 508
    control.house.server.tcp.failed(next(iter(control.tcp.open)))
    assert control.connect() is None
    assert results(control.house)["full"] == 1


def test_all_connections_together_are_bounded() -> None:
    house = House(ports=(40000, 40000 + 100), tcp_relay=True)
    for client_port in range(MAX_TCP_CONNECTIONS // MAX_TCP_CONNECTIONS_OF_ALLOCATION):
        client = TcpClient(house, 1 + client_port, transport="tcp")
        client.allocate_tcp()
        for port in range(MAX_TCP_CONNECTIONS_OF_ALLOCATION):
            assert client.connect((PEER[0], 1 + port)) is None
    one_more = TcpClient(house, transport="tcp")
    one_more.allocate_tcp()
    assert error_code(one_more.connect()) == 508


# Time.


def test_a_peer_that_does_not_answer(control: TcpClient) -> None:
    assert control.connect() is None
    assert control.house.server.tcp.next_timer() == control.now + WAIT_SECONDS
    control.house.server.tcp.handle_timer(control.now + WAIT_SECONDS - 0.01)
    assert control.house.host.told == []
    control.house.server.tcp.handle_timer(control.now + WAIT_SECONDS)
    assert error_code(control.told()) == 447
    assert not control.tcp.open
    assert results(control.house) == {"timed_out": 1}


def test_a_connection_that_is_not_bound_in_time_ends(control: TcpClient) -> None:
    control.connected()
    control.now += 10
    control.connected(OTHER_PEER)
    control.house.server.tcp.handle_timer(control.now - 10 + WAIT_SECONDS)
    assert list(control.tcp.open.values()) == [OTHER_PEER]
    control.house.server.tcp.handle_timer(control.now + WAIT_SECONDS)
    assert not control.tcp.open
    assert results(control.house)["not_bound"] == 2


def test_the_time_to_bind_begins_when_the_peer_has_answered(control: TcpClient) -> None:
    control.connect()
    control.now += 20
    control.house.server.tcp.connected(next(iter(control.tcp.open)), control.now)
    assert control.house.server.tcp.next_timer() == control.now + WAIT_SECONDS


# A policy that changes.


def test_a_peer_that_is_denied_from_now_on_is_out_of_reach(control: TcpClient, data: TcpClient) -> None:
    server = control.house.server
    control.permit(OTHER_PEER)
    data.connect_bind(control.connected())
    control.connect((PEER[0], 1))
    control.connected(OTHER_PEER)
    server.set_addresses([INSIDE], [PEER[0]], [])
    server.enforce_policy(control.now)
    assert error_code(control.told()) == 403
    assert list(control.tcp.open.values()) == [OTHER_PEER]
    assert results(control.house)["denied"] == 2
    server.set_addresses([INSIDE], [PEER[0], OTHER_PEER[0]], [])
    server.enforce_policy(control.now)
    assert not control.tcp.open
    assert control.peer_comes(OTHER_PEER) is None


def test_what_there_is_is_counted(control: TcpClient, data: TcpClient) -> None:
    data.connect_bind(control.connected())
    control.connected(OTHER_PEER)
    control.connect((PEER[0], 1))
    assert control.house.server.tcp.count() == {"connecting": 1, "pending": 1, "bound": 1}
