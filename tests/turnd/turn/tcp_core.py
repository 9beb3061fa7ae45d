"""A client of a core that relays TCP (RFC 6062), with peers that a model plays: what its tests share."""

from __future__ import annotations

from tests.turnd.turn.core import PEER, TCP, Client, House
from tests.turnd.turn.tcp_model import ModelTcpRelay
from wire import stun
from wire.stun import Attribute, Method


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


def results(house: House) -> dict[str, int]:
    return {result: value for result, value in house.server.tcp.results.items() if value}
