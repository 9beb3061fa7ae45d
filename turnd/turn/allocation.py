"""One allocation (RFC 8656 §5): a client's 5-tuple, its relayed transport addresses, its permissions and channels.

`Relay` is what an allocation needs from the packet path; in the daemon `turnd.turn.relay.Relay` is it, and
`turnd.turn.tcp_listener.TcpListener` is a `TcpRelay`. `RelayHost` is what the core needs from its adapter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple, Protocol, Self

from turnd.turn.channel import Channels
from turnd.turn.permission import Permissions

Address = tuple[str, int]

TRANSPORTS = ("udp", "tcp", "tls", "dtls")
STREAMS = ("tcp", "tls")
FAMILIES = {4: "ipv4", 6: "ipv6"}
DEFAULT_LIFETIME = 600  # RFC 8656 §3.2
MAX_LIFETIME = 3600
RESERVATION_SECONDS = 30.0
MAX_MOVES = 10  # of one allocation at once (RFC 8016)
MOVE_SECONDS = 10.0  # one more move after each


class Flow(NamedTuple):
    """A client's 5-tuple. `transport` is one of TRANSPORTS; addresses are canonical text."""

    transport: str
    client: Address
    local: Address


class Relay(Protocol):
    """A relay socket and its packet path; expiry is on the same clock as the core's `now`."""

    def permit(self, host: str, expires_at: float, restricted: bool) -> None:
        """Lets data pass to and from `host`; `restricted`: only for open ports of our own."""

    def bind_channel(self, channel: int, address: Address, expires_at: float) -> None:
        """Wraps data to and from this peer into ChannelData."""

    def send(self, address: Address, data: bytes, dont_fragment: bool) -> None:
        """Sends to a permitted peer, else drops and counts."""

    def forward(self, messages: list[bytes]) -> None:
        """Unwraps ChannelData messages and sends them on."""

    def pair(self, first: Self) -> None:
        """Makes this the second relay of one allocation: its client, channel numbers and limit are those of `first`."""

    def leave(self) -> None:
        """Serves no client any more, for both of a pair; peers and permissions stay."""

    def limit(self, bytes_per_second: int) -> None:
        """What the allocation may relay in each direction; 0: unlimited."""

    def close(self) -> None:
        """Gives everything up at once, the port included."""


class TcpRelay:
    """A listener of a TCP allocation (RFC 6062) and its connections with peers, by number.

    What becomes of them it tells `turnd.turn.tcp_connections.TcpConnections`. A class, to be told from a `Relay`;
    what has sockets is derived from it.
    """

    def connect(self, number: int, peer: Address) -> None:
        """Begins a connection from the relayed address; tells `connected` or `failed`, never before it returns."""

    def bind(self, number: int, flow: Flow) -> None:
        """Joins it to the client's connection `flow`, behind the answer that is written there next."""

    def end(self, number: int) -> None:
        """Closes one, in whatever state; tells nothing."""

    def pair(self, first: Self) -> None:
        """Makes this the second relay of one allocation: its limit is that of `first`."""

    def limit(self, bytes_per_second: int) -> None:
        """What the allocation may relay in each direction; 0: unlimited."""

    def close(self) -> None:
        """Closes everything at once, the port included; tells `ended` of each connection."""


class RelayHost(Protocol):
    """The adapter: opens relay sockets, ties them to clients, knows which of our ports are open."""

    def open_relay(self, family: int, port: int, announced: str) -> Relay:
        """A relay on this port of the family's wildcard address; OSError when the port cannot be had."""

    def open_tcp_relay(self, family: int, port: int) -> TcpRelay:
        """The same for a TCP allocation: it accepts peers once the allocation has begun."""

    def tell(self, flow: Flow, message: bytes) -> None:
        """Sends a message to a client on a stream, if it is still there."""

    def allocated(self, allocation: Allocation) -> None:
        """An allocation has begun: its relays serve its flow from now on, their ports are open to our own relays."""

    def closed(self, allocation: Allocation, relayed: RelayedAddress) -> None:
        """A relayed address of an allocation has ended; its relay is closed already, another may go on."""

    def released(self, allocation: Allocation) -> None:
        """An allocation has ended, with the last of its relayed addresses."""

    def expect(self, flow: Flow) -> None:
        """The client of an allocation may go on from there: ChannelData are to be told to `TurnServer.arrived`."""

    def unexpect(self, flow: Flow) -> None:
        """Nobody will go on from there."""

    def moved(self, allocation: Allocation, old_flow: Flow) -> None:
        """The relays serve the allocation's flow, where it was expected, and `old_flow` no more."""

    def is_open(self, address: Address) -> bool:
        """Whether `address`, one of our own, has a port that relays may reach: the SFU's or a live relay's."""


AnyRelay = Relay | TcpRelay


@dataclass(slots=True, eq=False)
class RelayedAddress:
    """One relayed transport address of an allocation; it has a time to expiry of its own."""

    relay: AnyRelay
    address: Address
    """As it was announced; the port is the relay's."""
    family: int
    expires_at: float


@dataclass(slots=True)
class Roaming:
    """The mobility of one allocation; moves are a token bucket."""

    ticket: bytes
    """The one that is good for the next move."""
    filled_at: float
    moves: float = MAX_MOVES
    former: bytes = b""
    """The one before, by which a repeated request is known (RFC 8016 §3.2.2)."""
    shown_from: Flow | None = None
    """Where `former` was shown."""
    arriving: Flow | None = None
    """The same as long as it has not been used yet; until then the old 5-tuple is served."""

    def take(self, now: float) -> bool:
        """Takes one move; False when there were too many."""
        self.moves = min(MAX_MOVES, self.moves + max(0.0, now - self.filled_at) / MOVE_SECONDS)
        self.filled_at = now
        if self.moves < 1:
            return False
        self.moves -= 1
        return True


@dataclass(slots=True, eq=False)
class Allocation:
    """What the server holds for one client. Owned by `turnd.turn.registry.Registry`."""

    flow: Flow
    username: str
    began_at: float
    relays: dict[int, RelayedAddress]
    """By family, IPv4 first; never empty while the allocation lives."""
    permissions: Permissions = field(default_factory=Permissions)
    channels: Channels = field(default_factory=Channels)
    timer_at: float = inf
    """When the registry looks at it next."""
    roaming: Roaming | None = None
    """None: it cannot be moved to another 5-tuple."""

    @property
    def is_tcp(self) -> bool:
        """Whether it relays TCP (RFC 6062)."""
        first = next(iter(self.relays.values()), None)  # both families are of one kind
        return first is not None and isinstance(first.relay, TcpRelay)


@dataclass(slots=True)
class Reservation:
    """The odd port of a pair, kept open for the client that holds the token (RFC 8656 §7.2)."""

    relay: AnyRelay
    relayed: str
    family: int
    port: int
    username: str
    """Whose quota it counts towards."""
    expires_at: float


def lifetime_for(requested: int | None) -> int:
    """Seconds granted for a LIFETIME (None: absent), RFC 8656 §7.2."""
    return DEFAULT_LIFETIME if requested is None else max(DEFAULT_LIFETIME, min(requested, MAX_LIFETIME))
