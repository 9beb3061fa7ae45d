"""The compiled relay path: policy installs fields on these objects, the packet code only follows them.

All methods run on the loop thread. `expires_at` is on the clock of `loop.time()`; what has expired is dropped by the
packet code itself.
"""

from collections.abc import Callable

from wire.udp import Datagram, Receiver, UdpSocket

Address = tuple[str, int]

MAX_RELAY_PEERS: int
DROP_REASONS: tuple[str, ...]
BANDWIDTH_REASONS: tuple[str, ...]

class RelayPath:
    """What all relays of the process share: totals, and the ports of ours that clients may reach through a relay."""

    def __init__(self, seed: bytes) -> None:
        """`seed`, at least 8 random bytes, keys the hash tables."""
    def open_port(self, family: int, port: int) -> None:
        """Lets restricted permissions reach this port of our own addresses; `family` is 4 or 6."""
    def close_port(self, family: int, port: int) -> None: ...
    def is_open(self, address: Address) -> bool: ...
    def limit(self, bytes_per_second: int) -> None:
        """What all relays together may pass in each direction, one second's worth at once; 0: unlimited."""
    def counters(self) -> dict[str, int]:
        """`packets_…` and `bytes_to_peer`/`_to_client` (payload), `icmp_to_client`, `dropped_<reason>` for each of
        DROP_REASONS, and `dropped_bytes_<reason>` for each of BANDWIDTH_REASONS.
        """

class ClientReceiver(Receiver):
    """Receives on one UDP listening socket: forwards ChannelData, gives STUN to `on_messages` as one list a batch."""

    def __init__(
        self,
        path: RelayPath,
        on_messages: Callable[[list[Datagram]], list[bytes | None]],
    ) -> None:
        """`on_messages` gets (0, message, client, local) and returns an answer or None for each, in order.

        What is neither ChannelData nor STUN is dropped as `malformed`.

        A relay without a socket stands for a client that is expected (RFC 8016): its ChannelData go there too.
        """
    def attach_socket(self, udp: UdpSocket) -> None:
        """The socket this object was made the receiver of, by which answers leave."""
    def __len__(self) -> int:
        """How many relays have their client here."""

class Relay(Receiver):
    """One relayed transport address: the receiver of its socket, its client, and the peers it may talk to."""

    paused: bool
    """Set while the stream's buffer is over its bound: datagrams to the client are dropped as `stream_full`."""

    def __init__(self, path: RelayPath) -> None: ...
    def attach_socket(self, relay_udp: UdpSocket) -> None:
        """The socket this object was made the receiver of; owned and closed by it from now on."""
    def serve_datagrams(self, clients: ClientReceiver, client_udp: UdpSocket, client: Address, local: Address) -> None:
        """Serves a UDP client. Raises ValueError when the 5-tuple has a relay already."""
    def serve_stream(self, write: Callable[[bytes], None], *, each: bool = False) -> None:
        """Serves a TCP or TLS client; `write` gets whole, padded messages: once a batch, or once for `each` of them."""
    def pair(self, first: Relay) -> None:
        """Makes this relay the second of `first`'s allocation, for the other family.

        Both have one client, one space of channel numbers and one limit. When one closes the other goes on.
        """
    def leave(self) -> None:
        """Writes what is there for the client and stops serving it, for both of a pair.

        `serve_…` may give it a new one (RFC 8016).
        """
    def limit(self, bytes_per_second: int) -> None:
        """What the allocation may pass in each direction, one second's worth at once; 0: unlimited."""
    def permit(self, host: str, expires_at: float, restricted: bool) -> None:
        """Installs or refreshes; `restricted`: only for the open ports of our own. ValueError past the bound."""
    def bind_channel(self, channel: int, address: Address, expires_at: float) -> None:
        """Binds or refreshes; a number bound to another peer, of this or the paired relay, moves (policy has checked).

        ValueError past the bound.
        """
    def send(self, address: Address, data: bytes, dont_fragment: bool = False) -> None:
        """A Send indication's data, with the DF bit on request; dropped and counted without a live permission."""
    def forward(self, messages: list[bytes]) -> None:
        """ChannelData messages that came over a stream, or from a client that was expected."""
    @property
    def local_address(self) -> Address:
        """Where the relay's socket is bound."""
    @property
    def peers(self) -> int:
        """Permissions and channels held, expired ones included until room is needed."""
    def counters(self) -> dict[str, int]: ...
    def close(self) -> None:
        """Forgets client and peers and closes the relay socket; datagrams still in flight are counted as `closed`."""
