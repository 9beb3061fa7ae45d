"""TCP allocations as the core decides on them, RFC 6062 §5, with peers that a model plays."""

from __future__ import annotations

import pytest

from tests.turnd.turn.core import (
    INSIDE,
    OTHER_PEER,
    PEER,
    PUBLIC,
    UDP,
    Client,
    House,
    error_code,
    networks,
    relayed,
)
from tests.turnd.turn.tcp_model import ModelTcpRelay
from turnd.turn.allocation import Allocation
from turnd.turn.credentials import rest_credentials
from turnd.turn.limits import Limits
from turnd.turn.tcp_connections import MAX_TCP_CONNECTIONS, MAX_TCP_CONNECTIONS_OF_ALLOCATION, WAIT_SECONDS
from wire import stun
from wire.stun import Attribute, MessageClass, Method

TCP = (Attribute.REQUESTED_TRANSPORT, stun.encode_transport(6))
ALICE = rest_credentials("new", "alice", 3600, 1_800_000_000.0)


class TcpClient(Client):
    """A client on a stream that has, or may have, a TCP allocation."""

    def allocate_tcp(self, *attributes: tuple[int, bytes]) -> stun.Message:
        return self.call(Method.ALLOCATE, TCP, *attributes)

    def connect(self, peer: tuple[str, int] = PEER) -> stun.Message | None:
        """The answer, when it comes at once."""
        attributes, transaction_id = self.peers(peer)
        return self.receive(self.signed(Method.CONNECT, attributes, transaction_id))

    def connect_bind(self, number: int) -> stun.Message:
        return self.call(Method.CONNECTION_BIND, (Attribute.CONNECTION_ID, stun.encode_connection_id(number)))

    @property
    def allocation(self) -> Allocation:
        return self.house.server.registry.allocations[self.flow]

    @property
    def tcp(self) -> ModelTcpRelay:
        relay = next(iter(self.allocation.relays.values())).relay
        assert isinstance(relay, ModelTcpRelay)
        return relay

    def told(self) -> stun.Message:
        """The newest message the core has sent by itself; it came to this client."""
        flow, message = self.house.host.told[-1]
        assert flow == self.flow
        return message

    def peer_comes(self, peer: tuple[str, int] = PEER) -> int | None:
        number = self.house.server.tcp.accepted(self.allocation, self.tcp, peer, self.now)
        self.tcp.accepted(number, peer)
        return number

    def connected(self, peer: tuple[str, int] = PEER) -> int:
        """A Connect that succeeds; its CONNECTION-ID."""
        assert self.connect(peer) is None
        self.house.server.tcp.connected(list(self.tcp.open)[-1], self.now)
        return connection_id(self.told())


def connection_id(message: stun.Message) -> int:
    value = message.get(Attribute.CONNECTION_ID)
    assert value is not None
    return stun.decode_connection_id(value)


@pytest.fixture
def house() -> House:
    return House(tcp_relay=True)


@pytest.fixture
def client(house: House) -> TcpClient:
    """With a TCP allocation."""
    client = TcpClient(house, transport="tcp")
    assert error_code(client.allocate_tcp()) == 0
    return client


@pytest.fixture
def data(house: House) -> TcpClient:
    """Another connection of the same user."""
    return TcpClient(house, 50001, transport="tcp")


def results(house: House) -> dict[str, int]:
    return {result: value for result, value in house.server.tcp.results.items() if value}


# Allocate, §5.1.


def test_tcp_is_switched_off_by_default() -> None:
    client = TcpClient(House(), transport="tcp")
    assert error_code(client.allocate_tcp()) == 442
    assert client.house.server.allocation_results["442"] == 1
    assert client.connect() is None  # not one of the methods there are
    assert client.house.server.requests["tcp", "ignored"] == 1


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_an_allocation_over_a_stream(house: House, transport: str) -> None:
    client = TcpClient(house, transport=transport)
    answer = client.allocate_tcp()
    assert error_code(answer) == 0
    assert relayed(answer)[0] == PUBLIC
    assert answer.get(Attribute.RESERVATION_TOKEN) is None
    assert client.allocation.is_tcp
    assert not house.host.path.is_open(relayed(answer))


def test_not_over_udp(house: House) -> None:
    assert error_code(TcpClient(house).allocate_tcp()) == 400


@pytest.mark.parametrize(
    "attribute",
    [
        (Attribute.DONT_FRAGMENT, b""),
        (Attribute.EVEN_PORT, stun.encode_even_port(reserve_next=False)),
        (Attribute.RESERVATION_TOKEN, bytes(8)),
    ],
)
def test_not_with_what_only_udp_has(house: House, attribute: tuple[int, bytes]) -> None:
    assert error_code(TcpClient(house, transport="tcp").allocate_tcp(attribute)) == 400


def test_another_protocol_is_refused(house: House) -> None:
    client = TcpClient(house, transport="tcp")
    assert error_code(client.call(Method.ALLOCATE, (Attribute.REQUESTED_TRANSPORT, stun.encode_transport(132)))) == 442


def test_udp_can_still_be_had(house: House) -> None:
    client = TcpClient(house, transport="tcp")
    assert error_code(client.call(Method.ALLOCATE, UDP)) == 0
    assert not client.allocation.is_tcp


def test_a_second_allocation_is_refused(client: TcpClient) -> None:
    assert error_code(client.allocate_tcp()) == 437


def test_the_quota_counts_both_protocols_alike() -> None:
    house = House(limits=Limits(allocations_of_user=2), tcp_relay=True)
    assert error_code(TcpClient(house, 1, transport="tcp").allocate_tcp()) == 0
    assert error_code(TcpClient(house, 2, transport="udp").allocate()) == 0
    assert error_code(TcpClient(house, 3, transport="tcp").allocate_tcp()) == 486


def test_the_ports_are_those_of_udp(house: House) -> None:
    house.host.busy |= set(range(40002, 40011))
    assert error_code(TcpClient(house, 1, transport="tcp").allocate_tcp()) == 0
    assert error_code(TcpClient(house, 2, transport="udp").allocate()) == 508
    assert error_code(TcpClient(house, 3, transport="tcp").allocate_tcp()) == 508


def test_an_ipv6_allocation(house: House) -> None:
    client = TcpClient(house, transport="tcp")
    family = (Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6))
    assert error_code(client.allocate_tcp(family)) == 0
    assert error_code(client.connect()) == 443
    assert client.connect(("2a00::7", 80)) is None


def test_both_families(house: House) -> None:
    client = TcpClient(house, transport="tcp")
    both = (Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6))
    assert error_code(client.allocate_tcp(both)) == 0
    first, second = (each.relay for each in client.allocation.relays.values())
    assert client.connect() is None
    assert client.connect(("2a00::7", 80)) is None
    assert isinstance(first, ModelTcpRelay)
    assert isinstance(second, ModelTcpRelay)
    assert list(first.open.values()) == [PEER]
    assert list(second.open.values()) == [("2a00::7", 80)]
    family = (Attribute.REQUESTED_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV4))
    assert error_code(client.refresh(family, (Attribute.LIFETIME, stun.encode_lifetime(0)))) == 0
    assert first.closed
    assert client.allocation.is_tcp
    assert len(house.server.tcp) == 1


def test_the_bandwidth_of_an_allocation_is_that_of_udp() -> None:
    client = TcpClient(House(limits=Limits(allocation_bps=8000), tcp_relay=True), transport="tcp")
    client.allocate_tcp()
    assert client.tcp.bytes_per_second == 1000


# What else an allocation understands.


def test_refresh_with_lifetime_zero_ends_it_and_its_connections(client: TcpClient, data: TcpClient) -> None:
    data.connect_bind(client.connected())
    client.connected(OTHER_PEER)
    relay = client.tcp
    assert error_code(client.refresh((Attribute.LIFETIME, stun.encode_lifetime(0)))) == 0
    assert relay.closed
    assert len(client.house.server.tcp) == 0
    assert client.house.server.tcp.next_timer() is None
    assert error_code(client.connect()) == 437


def test_a_permission_is_the_core_s_to_remember(client: TcpClient) -> None:
    assert error_code(client.permit(PEER)) == 0
    assert client.allocation.permissions.live(PEER[0], client.now)


def test_channels_are_refused(client: TcpClient) -> None:
    assert error_code(client.bind(0x4000, PEER)) == 400


def test_send_indications_are_ignored(client: TcpClient) -> None:
    client.permit(PEER)
    client.send(PEER, b"x")
    assert client.house.server.requests["tcp", "malformed"] == 1


# Connect, §5.2.


def test_connect_is_answered_when_the_peer_has_taken_the_connection(client: TcpClient) -> None:
    attributes, transaction_id = client.peers(PEER)
    assert client.receive(client.signed(Method.CONNECT, attributes, transaction_id)) is None
    assert client.house.host.told == []
    (number,) = client.tcp.open
    assert client.tcp.open[number] == PEER
    client.house.server.tcp.connected(number, client.now)
    answer = client.told()
    assert (answer.method, answer.message_class) == (Method.CONNECT, MessageClass.SUCCESS)
    assert answer.transaction_id == transaction_id
    assert stun.verify_integrity(answer, client.key)
    assert connection_id(answer) == number
    assert results(client.house) == {"connected": 1}


def test_connect_needs_no_permission_and_gives_none(client: TcpClient) -> None:
    client.connected()
    assert not client.allocation.permissions.live(PEER[0], client.now)


def test_connect_without_an_allocation(house: House) -> None:
    assert error_code(TcpClient(house, transport="tcp").connect()) == 437


def test_connect_on_a_udp_allocation(house: House) -> None:
    client = TcpClient(house, transport="tcp")
    client.call(Method.ALLOCATE, UDP)
    assert error_code(client.connect()) == 437


def test_connect_of_another_user(house: House, client: TcpClient) -> None:
    other = TcpClient(house, transport="tcp", credentials=ALICE)
    assert error_code(other.connect()) == 441


def test_connect_without_a_peer(client: TcpClient) -> None:
    assert error_code(client.call(Method.CONNECT)) == 400
    assert error_code(client.connect((PEER[0], 0))) == 400
    assert error_code(client.call(Method.CONNECT, (Attribute.XOR_PEER_ADDRESS, b"no"))) == 400


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
def test_connect_to_a_peer_the_policy_denies(client: TcpClient, host: str, reason: str) -> None:
    assert error_code(client.connect((host, 80))) == 403
    assert error_code(client.permit((host, 80))) == 403
    assert client.house.server.denied_peers[reason] == 2
    assert not client.tcp.open


def test_our_own_address_is_denied_on_ports_that_are_open_to_udp(house: House, client: TcpClient) -> None:
    udp = Client(house, 2)
    address = relayed(udp.allocate())
    assert house.host.path.is_open(address)
    assert error_code(client.connect(address)) == 403


def test_what_configuration_opens_can_be_reached(house: House, client: TcpClient) -> None:
    house.server.set_addresses([INSIDE], [PUBLIC], networks("127.0.0.0/8", PUBLIC + "/32"))
    assert client.connect(("127.0.0.1", 80)) is None
    assert client.connect((PUBLIC, 80)) is None


def test_a_second_connect_to_the_same_peer(client: TcpClient, data: TcpClient) -> None:
    assert client.connect() is None
    assert error_code(client.connect()) == 446
    (number,) = client.tcp.open
    client.house.server.tcp.connected(number, client.now)
    assert error_code(client.connect()) == 446
    data.connect_bind(number)
    assert error_code(client.connect()) == 446
    client.house.server.tcp.ended(number)
    assert client.connect() is None
    assert results(client.house)["exists"] == 3


def test_a_connection_with_another_port_of_the_peer(client: TcpClient) -> None:
    assert client.connect() is None
    assert client.connect((PEER[0], 5001)) is None


def test_a_peer_that_refuses(client: TcpClient) -> None:
    assert client.connect() is None
    (number,) = client.tcp.open
    client.house.server.tcp.failed(number)
    assert error_code(client.told()) == 447
    assert stun.verify_integrity(client.told(), client.key)
    assert results(client.house) == {"failed": 1}
    assert client.connect() is None


def test_a_peer_that_does_not_answer(client: TcpClient) -> None:
    assert client.connect() is None
    assert client.house.server.tcp.next_timer() == client.now + WAIT_SECONDS
    client.house.server.tcp.handle_timer(client.now + WAIT_SECONDS - 0.01)
    assert client.house.host.told == []
    client.house.server.tcp.handle_timer(client.now + WAIT_SECONDS)
    assert error_code(client.told()) == 447
    assert not client.tcp.open
    assert results(client.house) == {"timed_out": 1}


def test_the_connections_of_an_allocation_are_bounded(client: TcpClient) -> None:
    for port in range(MAX_TCP_CONNECTIONS_OF_ALLOCATION):
        assert client.connect((PEER[0], 1 + port)) is None
    assert error_code(client.connect()) == 508
    client.house.server.tcp.failed(next(iter(client.tcp.open)))
    assert client.connect() is None
    assert results(client.house)["full"] == 1


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


# ConnectionAttempt, §5.3.


def test_a_permitted_peer_is_announced(client: TcpClient) -> None:
    client.permit(PEER)
    peer = (PEER[0], 777)
    number = client.peer_comes(peer)
    indication = client.told()
    assert (indication.method, indication.message_class) == (Method.CONNECTION_ATTEMPT, MessageClass.INDICATION)
    assert connection_id(indication) == number
    value = indication.get(Attribute.XOR_PEER_ADDRESS)
    assert value is not None
    assert stun.decode_xor_address(value, indication.transaction_id) == peer
    assert results(client.house) == {"accepted": 1}


def test_a_peer_without_permission_is_sent_away(client: TcpClient) -> None:
    client.permit(OTHER_PEER)
    assert client.peer_comes() is None
    assert client.house.host.told == []
    assert results(client.house) == {"not_permitted": 1}


def test_a_permission_that_is_over_lets_nobody_in(client: TcpClient) -> None:
    client.permit(PEER)
    client.now += 301
    assert client.peer_comes() is None


def test_peers_that_come_are_bounded(client: TcpClient) -> None:
    client.permit(PEER)
    for port in range(MAX_TCP_CONNECTIONS_OF_ALLOCATION):
        assert client.peer_comes((PEER[0], 1 + port)) is not None
    assert client.peer_comes((PEER[0], 9999)) is None
    assert results(client.house)["full"] == 1


def test_a_peer_that_is_being_called_does_not_come_as_well(client: TcpClient) -> None:
    client.permit(PEER)
    client.connect()
    assert client.peer_comes() is None
    assert results(client.house)["exists"] == 1


# ConnectionBind, §5.4.


def test_a_connection_is_bound(client: TcpClient, data: TcpClient) -> None:
    number = client.connected()
    answer = data.connect_bind(number)
    assert error_code(answer) == 0
    assert client.tcp.bound == {number: data.flow}
    assert results(client.house)["bound"] == 1
    client.house.server.tcp.handle_timer(client.now + WAIT_SECONDS)
    assert client.tcp.open


def test_a_connection_of_a_peer_that_came_is_bound(client: TcpClient, data: TcpClient) -> None:
    client.permit(PEER)
    number = client.peer_comes()
    assert number is not None
    assert error_code(data.connect_bind(number)) == 0


def test_a_connection_is_bound_once(client: TcpClient, data: TcpClient) -> None:
    number = client.connected()
    data.connect_bind(number)
    assert error_code(TcpClient(client.house, 3, transport="tcp").connect_bind(number)) == 400


def test_a_connection_that_is_not_there_yet_is_not_bound(client: TcpClient, data: TcpClient) -> None:
    client.connect()
    (number,) = client.tcp.open
    assert error_code(data.connect_bind(number)) == 400


def test_a_wrong_connection_id(client: TcpClient, data: TcpClient) -> None:
    number = client.connected()
    assert error_code(data.connect_bind(number ^ 1)) == 400
    assert error_code(data.call(Method.CONNECTION_BIND)) == 400
    assert error_code(data.call(Method.CONNECTION_BIND, (Attribute.CONNECTION_ID, b"no"))) == 400


def test_a_connection_is_not_bound_over_udp(client: TcpClient) -> None:
    number = client.connected()
    assert error_code(TcpClient(client.house, 3).connect_bind(number)) == 400


def test_the_connection_of_an_allocation_carries_no_data(client: TcpClient) -> None:
    assert error_code(client.connect_bind(client.connected())) == 400


def test_a_connection_of_another_user(client: TcpClient) -> None:
    number = client.connected()
    other = TcpClient(client.house, 3, transport="tcp", credentials=ALICE)
    assert error_code(other.connect_bind(number)) == 441
    assert not client.tcp.bound


def test_a_name_whose_time_is_over_binds_its_own_connections(client: TcpClient, data: TcpClient) -> None:
    number = client.connected()
    client.house.epoch += 3601
    assert error_code(data.connect_bind(number ^ 1)) == 401
    assert error_code(data.connect_bind(number)) == 0


def test_a_connection_that_is_not_bound_in_time_ends(client: TcpClient) -> None:
    client.connected()
    client.now += 10
    client.connected(OTHER_PEER)
    client.house.server.tcp.handle_timer(client.now - 10 + WAIT_SECONDS)
    assert list(client.tcp.open.values()) == [OTHER_PEER]
    client.house.server.tcp.handle_timer(client.now + WAIT_SECONDS)
    assert not client.tcp.open
    assert results(client.house)["not_bound"] == 2


def test_the_time_to_bind_begins_when_the_peer_has_answered(client: TcpClient) -> None:
    client.connect()
    client.now += 20
    client.house.server.tcp.connected(next(iter(client.tcp.open)), client.now)
    assert client.house.server.tcp.next_timer() == client.now + WAIT_SECONDS


# A policy that changes.


def test_a_peer_that_is_denied_from_now_on_is_out_of_reach(client: TcpClient, data: TcpClient) -> None:
    server = client.house.server
    client.permit(OTHER_PEER)
    data.connect_bind(client.connected())
    client.connect((PEER[0], 1))
    client.connected(OTHER_PEER)
    server.set_addresses([INSIDE], [PEER[0]], [])
    server.enforce_policy(client.now)
    assert error_code(client.told()) == 403
    assert list(client.tcp.open.values()) == [OTHER_PEER]
    assert results(client.house)["denied"] == 2
    server.set_addresses([INSIDE], [PEER[0], OTHER_PEER[0]], [])
    server.enforce_policy(client.now)
    assert not client.tcp.open
    assert client.peer_comes(OTHER_PEER) is None


def test_what_there_is_is_counted(client: TcpClient, data: TcpClient) -> None:
    data.connect_bind(client.connected())
    client.connected(OTHER_PEER)
    client.connect((PEER[0], 1))
    assert client.house.server.tcp.count() == {"connecting": 1, "pending": 1, "bound": 1}
