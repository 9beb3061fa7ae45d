"""The methods of TCP allocations (RFC 6062 §5.2, §5.4): handlers as in `requests`, there only when TCP is relayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from turnd.turn.allocation import STREAMS, TcpRelay
from turnd.turn.authentication import Refused
from turnd.turn.requests import Attributes, Handler, Request, judge
from turnd.turn.tcp_connections import TcpConnection
from wire import stun
from wire.stun import Attribute, Method

if TYPE_CHECKING:
    from turnd.turn.server import TurnServer


def connect(server: TurnServer, request: Request) -> None:
    """RFC 6062 §5.2; the answer comes when the peer has answered, or has not in time."""
    # 1. No TCP allocation: 437.
    allocation = request.held()
    if not allocation.is_tcp:
        raise Refused(437)
    # 2. XOR-PEER-ADDRESS is there, with a port: 400.
    peers = request.peers()
    if not peers or not peers[0][1]:
        raise Refused(400)
    # 3. The peer's family 443, policy 403.
    relay, _ = judge(server, allocation, peers[0][0])
    # 4. A connection with this peer is there or begun: 446; there are too many: 508.
    # 5. Begin; a failure or 30 s without an answer: 447.
    if isinstance(relay, TcpRelay):
        server.tcp.connect(request, relay, peers[0])


def pending(server: TurnServer, message: stun.Message) -> TcpConnection | None:
    """The connection that CONNECTION-ID names, while it waits to be bound; None also for a malformed one."""
    value = message.get(Attribute.CONNECTION_ID)
    try:
        return None if value is None else server.tcp.pending(stun.decode_connection_id(value))
    except stun.StunError:
        return None


def connection_bind(server: TurnServer, request: Request) -> Attributes:
    """RFC 6062 §5.4: behind a success the client's connection carries the peer's bytes, and no message any more."""
    # 1. Over TCP or TLS, on a connection that is not an allocation's: 400.
    if request.flow.transport not in STREAMS or request.allocation is not None:
        raise Refused(400)
    # 2. CONNECTION-ID names a pending connection: 400. Of the same user: 441.
    connection = pending(server, request.message)
    if connection is None:
        raise Refused(400)
    if connection.allocation.username != request.identity.username:
        raise Refused(441)
    # 3. Join them.
    server.tcp.bind(connection, request.flow)
    return []


HANDLERS: dict[int, Handler] = {Method.CONNECT: connect, Method.CONNECTION_BIND: connection_bind}
