"""What clients ask for with a TCP allocation: Connect and ConnectionBind, RFC 6062 §5.2, §5.4."""

from __future__ import annotations

import pytest

from tests.turnd.turn.core import INSIDE, PEER, PUBLIC, UDP, Client, House, error_code, networks, relayed
from tests.turnd.turn.tcp_core import TcpClient, connection_id, results
from turnd.turn.credentials import rest_credentials
from turnd.turn.tcp_connections import WAIT_SECONDS
from wire import stun
from wire.stun import Attribute, MessageClass, Method

ALICE = rest_credentials("new", "alice", 3600, 1_800_000_000.0)


# Connect, §5.2.


def test_connect_is_answered_when_the_peer_has_taken_the_connection(control: TcpClient) -> None:
    attributes, transaction_id = control.peers(PEER)
    assert control.receive(control.signed(Method.CONNECT, attributes, transaction_id)) is None
    assert control.house.host.told == []
    (number,) = control.tcp.open
    assert control.tcp.open[number] == PEER
    control.house.server.tcp.connected(number, control.now)
    answer = control.told()
    assert (answer.method, answer.message_class) == (Method.CONNECT, MessageClass.SUCCESS)
    assert answer.transaction_id == transaction_id
    assert stun.verify_integrity(answer, control.key)
    assert connection_id(answer) == number
    assert results(control.house) == {"connected": 1}


def test_connect_needs_no_permission_and_gives_none(control: TcpClient) -> None:
    control.connected()
    assert not control.allocation.permissions.live(PEER[0], control.now)


def test_connect_without_an_allocation(tcp_house: House) -> None:
    assert error_code(TcpClient(tcp_house, transport="tcp").connect()) == 437


def test_connect_on_a_udp_allocation(tcp_house: House) -> None:
    client = TcpClient(tcp_house, transport="tcp")
    client.call(Method.ALLOCATE, UDP)
    assert error_code(client.connect()) == 437


def test_connect_of_another_user(tcp_house: House, control: TcpClient) -> None:
    other = TcpClient(tcp_house, transport="tcp", credentials=ALICE)
    assert error_code(other.connect()) == 441


def test_connect_without_a_peer(control: TcpClient) -> None:
    assert error_code(control.call(Method.CONNECT)) == 400
    assert error_code(control.connect((PEER[0], 0))) == 400
    assert error_code(control.call(Method.CONNECT, (Attribute.XOR_PEER_ADDRESS, b"no"))) == 400


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("192.168.1.1", "private"),
        ("169.254.169.254", "link_local"),
        (PUBLIC, "own"),
        (INSIDE, "own"),
    ],
)
def test_connect_to_a_peer_the_policy_denies(control: TcpClient, host: str, reason: str) -> None:
    assert error_code(control.connect((host, 80))) == 403
    assert error_code(control.permit((host, 80))) == 403
    assert control.house.server.denied_peers[reason] == 2
    assert not control.tcp.open


def test_our_own_address_is_denied_on_ports_that_are_open_to_udp(tcp_house: House, control: TcpClient) -> None:
    udp = Client(tcp_house, 2)
    address = relayed(udp.allocate())
    assert tcp_house.host.path.is_open(address)
    assert error_code(control.connect(address)) == 403


def test_what_configuration_opens_can_be_reached(tcp_house: House, control: TcpClient) -> None:
    tcp_house.server.set_addresses([INSIDE], [PUBLIC], networks("127.0.0.0/8", PUBLIC + "/32"))
    assert control.connect(("127.0.0.1", 80)) is None
    assert control.connect((PUBLIC, 80)) is None


def test_a_second_connect_to_the_same_peer(control: TcpClient, data: TcpClient) -> None:
    assert control.connect() is None
    assert error_code(control.connect()) == 446
    (number,) = control.tcp.open
    control.house.server.tcp.connected(number, control.now)
    assert error_code(control.connect()) == 446
    data.connect_bind(number)
    assert error_code(control.connect()) == 446
    control.house.server.tcp.ended(number)
    assert control.connect() is None
    assert results(control.house)["exists"] == 3


def test_a_connection_with_another_port_of_the_peer(control: TcpClient) -> None:
    assert control.connect() is None
    assert control.connect((PEER[0], 5001)) is None


def test_a_peer_that_refuses(control: TcpClient) -> None:
    assert control.connect() is None
    (number,) = control.tcp.open
    control.house.server.tcp.failed(number)
    assert error_code(control.told()) == 447
    assert stun.verify_integrity(control.told(), control.key)
    assert results(control.house) == {"failed": 1}
    assert control.connect() is None


# ConnectionBind, §5.4.


def test_a_connection_is_bound(control: TcpClient, data: TcpClient) -> None:
    number = control.connected()
    answer = data.connect_bind(number)
    assert error_code(answer) == 0
    assert control.tcp.bound == {number: data.flow}
    assert results(control.house)["bound"] == 1
    control.house.server.tcp.handle_timer(control.now + WAIT_SECONDS)
    assert control.tcp.open


def test_a_connection_of_a_peer_that_came_is_bound(control: TcpClient, data: TcpClient) -> None:
    control.permit(PEER)
    number = control.peer_comes()
    assert number is not None
    assert error_code(data.connect_bind(number)) == 0


def test_a_connection_is_bound_once(control: TcpClient, data: TcpClient) -> None:
    number = control.connected()
    data.connect_bind(number)
    assert error_code(TcpClient(control.house, 3, transport="tcp").connect_bind(number)) == 400


def test_a_connection_that_is_not_there_yet_is_not_bound(control: TcpClient, data: TcpClient) -> None:
    control.connect()
    (number,) = control.tcp.open
    assert error_code(data.connect_bind(number)) == 400


def test_a_wrong_connection_id(control: TcpClient, data: TcpClient) -> None:
    number = control.connected()
    assert error_code(data.connect_bind(number ^ 1)) == 400
    assert error_code(data.call(Method.CONNECTION_BIND)) == 400
    assert error_code(data.call(Method.CONNECTION_BIND, (Attribute.CONNECTION_ID, b"no"))) == 400


def test_a_connection_is_not_bound_over_udp(control: TcpClient) -> None:
    number = control.connected()
    assert error_code(TcpClient(control.house, 3).connect_bind(number)) == 400


def test_the_connection_of_an_allocation_carries_no_data(control: TcpClient) -> None:
    assert error_code(control.connect_bind(control.connected())) == 400


def test_a_connection_of_another_user(control: TcpClient) -> None:
    number = control.connected()
    other = TcpClient(control.house, 3, transport="tcp", credentials=ALICE)
    assert error_code(other.connect_bind(number)) == 441
    assert not control.tcp.bound


def test_a_name_whose_time_is_over_binds_its_own_connections(control: TcpClient, data: TcpClient) -> None:
    number = control.connected()
    control.house.epoch += 3601
    assert error_code(data.connect_bind(number ^ 1)) == 401
    assert error_code(data.connect_bind(number)) == 0
