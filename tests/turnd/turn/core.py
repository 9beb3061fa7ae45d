"""A TURN core with model relays, and a client that signs requests: what the tests of the core share."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network

from tests.turnd.turn.relay_model import ModelPath, ModelRelay
from tests.turnd.turn.tcp_model import ModelTcpRelay
from turnd.turn.allocation import Allocation, Flow, RelayedAddress
from turnd.turn.credentials import Credentials, rest_credentials
from turnd.turn.limits import DEFAULT_LIMITS, Limits
from turnd.turn.relay_ports import PortPool
from turnd.turn.server import TurnServer
from wire import stun
from wire.stun import Attribute, MessageClass, Method

REALM = "turnd"
EPOCH = 1_800_000_000.0
PUBLIC = "192.88.2.1"
INSIDE = "192.168.1.5"
INSIDE_IPV6 = "2a01:e0a::5"
PEER = ("8.8.4.4", 5000)
OTHER_PEER = ("9.9.9.9", 5000)
LOCAL = (INSIDE, 3478)
UDP = (Attribute.REQUESTED_TRANSPORT, stun.encode_transport(17))
TCP = (Attribute.REQUESTED_TRANSPORT, stun.encode_transport(6))
Attributes = Sequence[tuple[int, bytes]]


class Host:
    """Opens model relays; `busy` are ports that somebody else holds."""

    def __init__(self) -> None:
        self.path = ModelPath({(4, 40000), (6, 40000)})
        self.busy: set[int] = set()
        self.relays: list[ModelRelay] = []
        self.live: list[Allocation] = []
        self.tcp_relays: list[ModelTcpRelay] = []
        self.told: list[tuple[Flow, stun.Message]] = []
        self.ended: Callable[[int], None] | None = None
        self.expected: set[Flow] = set()
        self.moves: list[tuple[Flow, Flow]] = []

    def open_relay(self, family: int, port: int, announced: str) -> ModelRelay:
        if port in self.busy:
            raise OSError("in use")
        self.relays.append(ModelRelay(self.path))
        return self.relays[-1]

    def open_tcp_relay(self, family: int, port: int) -> ModelTcpRelay:
        if port in self.busy:
            raise OSError("in use")
        assert self.ended is not None
        self.tcp_relays.append(ModelTcpRelay(self.ended))
        return self.tcp_relays[-1]

    def open_relays(self) -> int:
        """How many are open, of UDP and TCP."""
        return sum(not each.closed for each in self.relays) + sum(not each.closed for each in self.tcp_relays)

    def tell(self, flow: Flow, message: bytes) -> None:
        self.told.append((flow, stun.parse(message)))

    def allocated(self, allocation: Allocation) -> None:
        self.live.append(allocation)
        if not allocation.is_tcp:
            self.path.open_ports |= {(each.family, each.address[1]) for each in allocation.relays.values()}

    def closed(self, allocation: Allocation, relayed: RelayedAddress) -> None:
        if not isinstance(relayed.relay, ModelTcpRelay):
            self.path.open_ports.remove((relayed.family, relayed.address[1]))

    def released(self, allocation: Allocation) -> None:
        self.live.remove(allocation)

    def expect(self, flow: Flow) -> None:
        self.expected.add(flow)

    def unexpect(self, flow: Flow) -> None:
        self.expected.remove(flow)

    def moved(self, allocation: Allocation, old_flow: Flow) -> None:
        self.expected.remove(allocation.flow)
        self.moves.append((old_flow, allocation.flow))
        for each in allocation.relays.values():
            assert isinstance(each.relay, ModelRelay)
            each.relay.clientless = False

    def is_open(self, address: tuple[str, int]) -> bool:
        return self.path.is_open(address)


class House:
    """A core at a home: LAN address, public address, relay ports 40001-40010, secrets `new` and `old`, user anna."""

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        ports: tuple[int, int] = (40000, 40010),
        host: Host | None = None,
        users: Mapping[str, str] | None = None,
        tcp_relay: bool = False,
        mobility: bool = False,
    ) -> None:
        self.random = random.Random(1)
        self.host = host or Host()
        self.epoch = EPOCH
        self.pools = {family: PortPool(*ports, self.random.randrange, {40000}) for family in (4, 6)}
        self.server = TurnServer(
            self.host,
            Credentials(REALM, ("new", "old"), users or {"anna": "pass"}),
            self.pools,
            token=self.random.randbytes,
            epoch=lambda: self.epoch,
            limits=limits,
            tcp_relay=tcp_relay,
            mobility=mobility,
        )
        self.host.ended = self.server.tcp.ended
        self.server.set_addresses([INSIDE, INSIDE_IPV6], [PUBLIC], [])


class Client:
    """Speaks to a core from one 5-tuple. `call` goes through the challenge when it has no nonce yet."""

    def __init__(
        self,
        house: House,
        port: int = 50000,
        *,
        transport: str = "udp",
        credentials: tuple[str, str] | None = None,
    ) -> None:
        self.house = house
        self.flow = Flow(transport, ("203.0.113.9", port), LOCAL)
        self.username, self.password = credentials or rest_credentials("new", "bob", 3600, EPOCH)
        self.nonce: bytes | None = None
        self.now = 1000.0

    @property
    def key(self) -> bytes:
        return stun.long_term_key(self.username, REALM, self.password)

    def receive(self, data: bytes) -> stun.Message | None:
        answer = self.house.server.receive(data, self.flow, self.now)
        return None if answer is None else stun.parse(answer)

    def transaction(self) -> bytes:
        return self.house.random.randbytes(12)

    def plain(self, method: int, attributes: Attributes = ()) -> stun.Message | None:
        return self.receive(stun.encode(method, MessageClass.REQUEST, self.transaction(), attributes))

    def signed(self, method: int, attributes: Attributes = (), transaction_id: bytes | None = None) -> bytes:
        """The request as bytes, with the nonce of the last challenge."""
        if self.nonce is None:
            challenge = self.plain(Method.ALLOCATE, [UDP])
            assert challenge is not None
            self.nonce = challenge.get(Attribute.NONCE)
        assert self.nonce is not None
        proof = [
            (Attribute.USERNAME, self.username.encode()),
            (Attribute.REALM, REALM.encode()),
            (Attribute.NONCE, self.nonce),
        ]
        transaction_id = transaction_id or self.transaction()
        return stun.encode(method, MessageClass.REQUEST, transaction_id, [*attributes, *proof], key=self.key)

    def call(self, method: int, *attributes: tuple[int, bytes]) -> stun.Message:
        answer = self.receive(self.signed(method, attributes))
        assert answer is not None
        if answer.get(Attribute.ERROR_CODE) is None or error_code(answer) not in (401, 438):
            assert stun.verify_integrity(answer, self.key)
        return answer

    def allocate(self, *attributes: tuple[int, bytes]) -> stun.Message:
        return self.call(Method.ALLOCATE, UDP, *attributes)

    def refresh(self, *attributes: tuple[int, bytes]) -> stun.Message:
        return self.call(Method.REFRESH, *attributes)

    def peers(self, *addresses: tuple[str, int]) -> tuple[list[tuple[int, bytes]], bytes]:
        transaction_id = self.transaction()
        return [
            (Attribute.XOR_PEER_ADDRESS, stun.encode_xor_address(address, transaction_id)) for address in addresses
        ], transaction_id

    def permit(self, *addresses: tuple[str, int]) -> stun.Message:
        attributes, transaction_id = self.peers(*addresses)
        answer = self.receive(self.signed(Method.CREATE_PERMISSION, attributes, transaction_id))
        assert answer is not None
        return answer

    def bind(self, number: int, address: tuple[str, int]) -> stun.Message:
        attributes, transaction_id = self.peers(address)
        attributes.append((Attribute.CHANNEL_NUMBER, stun.encode_channel(number)))
        answer = self.receive(self.signed(Method.CHANNEL_BIND, attributes, transaction_id))
        assert answer is not None
        return answer

    def send(self, address: tuple[str, int], data: bytes, *attributes: tuple[int, bytes]) -> None:
        peers, transaction_id = self.peers(address)
        message = stun.encode(
            Method.SEND, MessageClass.INDICATION, transaction_id, [*peers, (Attribute.DATA, data), *attributes]
        )
        assert self.receive(message) is None

    @property
    def allocation(self) -> Allocation:
        return self.house.server.registry.allocations[self.flow]

    @property
    def relay(self) -> ModelRelay:
        return self.relay_of(next(iter(self.allocation.relays)))

    def relay_of(self, family: int) -> ModelRelay:
        relay = self.allocation.relays[family].relay
        assert isinstance(relay, ModelRelay)
        return relay


def error_code(message: stun.Message | None) -> int:
    """The error of an answer, 0 for a success."""
    assert message is not None
    value = message.get(Attribute.ERROR_CODE)
    return 0 if value is None else stun.decode_error(value)[0]


def relayed(message: stun.Message) -> tuple[str, int]:
    value = message.get(Attribute.XOR_RELAYED_ADDRESS)
    assert value is not None
    return stun.decode_xor_address(value, message.transaction_id)


def networks(*texts: str) -> list:  # type: ignore[type-arg]
    return [ip_network(text) for text in texts]
