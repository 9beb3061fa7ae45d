"""The connections between TCP allocations and their peers (RFC 6062 §5.2 to §5.5) as a state machine.

A connection begins with a Connect request or with a peer that comes, waits for the client's ConnectionBind, and ends
with either side or with its allocation. Sockets and bytes are the adapter's, `TcpRelay`; here is what is decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from turnd.turn.allocation import Address, Allocation, Flow, TcpRelay
from turnd.turn.authentication import Refused
from wire import stun
from wire.stun import Attribute, MessageClass, Method

if TYPE_CHECKING:
    from turnd.turn.requests import Attributes, Request

MAX_TCP_CONNECTIONS = 256
MAX_TCP_CONNECTIONS_OF_ALLOCATION = 32
WAIT_SECONDS = 30.0  # RFC 6062 §5.2, §5.3: until a peer answers (at least), and until the client binds
ID_BYTES = 4
TRANSACTION_ID_BYTES = 12
CONNECTION_RESULTS = (
    *("connected", "failed", "timed_out", "accepted", "not_permitted", "exists", "full"),  # with the peer
    *("bound", "not_bound"),  # with the client
    "denied",  # by a policy that has changed
)


class State(Enum):
    """What a connection waits for."""

    CONNECTING = "connecting"
    PENDING = "pending"
    BOUND = "bound"


@dataclass(slots=True, eq=False)
class TcpConnection:
    """One connection with a peer; `number` is its CONNECTION-ID."""

    number: int
    allocation: Allocation
    relay: TcpRelay
    peer: Address
    state: State
    request: Request | None = None
    """The Connect request that is not answered yet."""


class TcpConnections:
    """All of them. `tell` writes a message to a client, `reply` the late answer to a request, `token(n)` is random."""

    def __init__(
        self,
        tell: Callable[[Flow, bytes], None],
        reply: Callable[[Request, Attributes | Refused], None],
        token: Callable[[int], bytes],
    ) -> None:
        self._tell = tell
        self._reply = reply
        self._token = token
        self._connections: dict[int, TcpConnection] = {}
        self._of: dict[Allocation, dict[Address, TcpConnection]] = {}
        self._due_at: dict[TcpConnection, float] = {}  # in order of time: all wait equally long
        self.results = dict.fromkeys(CONNECTION_RESULTS, 0)

    def __len__(self) -> int:
        return len(self._connections)

    # The client.

    def connect(self, request: Request, relay: TcpRelay, peer: Address) -> None:
        """Begins one for a Connect request, to be answered later; raises Refused 446, and 508 over the bounds."""
        allocation = request.held()
        if refusal := self._no_room(allocation, peer):
            self.results[refusal] += 1
            raise Refused(446 if refusal == "exists" else 508)
        connection = self._add(allocation, relay, peer, State.CONNECTING, request.now)
        connection.request = request
        relay.connect(connection.number, peer)

    def pending(self, number: int) -> TcpConnection | None:
        """The connection with this CONNECTION-ID, while it waits for ConnectionBind."""
        connection = self._connections.get(number)
        return connection if connection is not None and connection.state is State.PENDING else None

    def bind(self, connection: TcpConnection, flow: Flow) -> None:
        """The client's connection `flow` carries a pending one from now on."""
        connection.state = State.BOUND
        del self._due_at[connection]
        self.results["bound"] += 1
        connection.relay.bind(connection.number, flow)

    # The adapter.

    def connected(self, number: int, now: float) -> None:
        """The peer has taken the connection: the client is told its number and has time to bind it."""
        connection = self._connections[number]
        request = self._waits_to_be_bound(connection, now)
        self.results["connected"] += 1
        if request is not None:
            self._reply(request, [(Attribute.CONNECTION_ID, stun.encode_connection_id(number))])

    def failed(self, number: int) -> None:
        """The peer has refused, or cannot be reached: 447."""
        self._refuse(self._connections[number], "failed", 447)

    def accepted(self, allocation: Allocation, relay: TcpRelay, peer: Address, now: float) -> int | None:
        """A peer has come (§5.3): the client is told by a ConnectionAttempt. None: to be closed at once."""
        permitted = allocation.permissions.live(peer[0], now)
        if refusal := self._no_room(allocation, peer) if permitted else "not_permitted":
            self.results[refusal] += 1
            return None
        connection = self._add(allocation, relay, peer, State.PENDING, now)
        self.results["accepted"] += 1
        transaction_id = self._token(TRANSACTION_ID_BYTES)
        attributes = [
            (int(Attribute.CONNECTION_ID), stun.encode_connection_id(connection.number)),
            (int(Attribute.XOR_PEER_ADDRESS), stun.encode_xor_address(peer, transaction_id)),
        ]
        indication = stun.encode(Method.CONNECTION_ATTEMPT, MessageClass.INDICATION, transaction_id, attributes)
        self._tell(allocation.flow, indication)
        return connection.number

    def end_denied(self, allowed: Callable[[TcpConnection], bool]) -> None:
        """Ends those whose peers are not allowed any more."""
        for connection in list(self._connections.values()):
            if not allowed(connection):
                connection.relay.end(connection.number)
                self._refuse(connection, "denied", 403)

    def ended(self, number: int) -> None:
        """It is closed, in whatever state: both sides have ended, or its relay has."""
        self._forget(self._connections[number])

    # Time.

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        return next(iter(self._due_at.values()), None)

    def handle_timer(self, now: float) -> None:
        """Gives up peers that do not answer (447), and ends what the client did not bind."""
        for connection, due_at in list(self._due_at.items()):
            if due_at > now:
                break
            connection.relay.end(connection.number)
            self._refuse(connection, "timed_out" if connection.state is State.CONNECTING else "not_bound", 447)

    def count(self) -> dict[str, int]:
        """Connections by state, zeros included."""
        counts = Counter(each.state for each in self._connections.values())
        return {state.value: counts[state] for state in State}

    # Within.

    def _no_room(self, allocation: Allocation, peer: Address) -> str:
        """Why there cannot be one more, to this peer; empty when there can."""
        of_allocation = self._of.get(allocation, {})
        if peer in of_allocation:
            return "exists"
        over = len(self._connections) >= MAX_TCP_CONNECTIONS or len(of_allocation) >= MAX_TCP_CONNECTIONS_OF_ALLOCATION
        return "full" if over else ""

    def _add(self, allocation: Allocation, relay: TcpRelay, peer: Address, state: State, now: float) -> TcpConnection:
        number = stun.decode_connection_id(self._token(ID_BYTES))
        while number in self._connections:
            number = stun.decode_connection_id(self._token(ID_BYTES))
        connection = TcpConnection(number, allocation, relay, peer, state)
        self._connections[number] = connection
        self._of.setdefault(allocation, {})[peer] = connection
        self._due_at[connection] = now + WAIT_SECONDS
        return connection

    def _waits_to_be_bound(self, connection: TcpConnection, now: float) -> Request | None:
        request, connection.request = connection.request, None
        connection.state = State.PENDING
        del self._due_at[connection]
        self._due_at[connection] = now + WAIT_SECONDS
        return request

    def _refuse(self, connection: TcpConnection, result: str, code: int) -> None:
        """Forgets a connection that is closed; a Connect request that waits gets `code`."""
        self.results[result] += 1
        self._forget(connection)
        if connection.request is not None:
            self._reply(connection.request, Refused(code))

    def _forget(self, connection: TcpConnection) -> None:
        del self._connections[connection.number]
        self._due_at.pop(connection, None)
        of_allocation = self._of[connection.allocation]
        del of_allocation[connection.peer]
        if not of_allocation:
            del self._of[connection.allocation]
