"""What connections, peers and rooms need of the service: time, randomness, sockets and the tables that all share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sfu.counters import Counters
    from sfu.forward import Stream
    from sfu.peer import MediaPeer
    from sfu.publication import PublishConnection
    from sfu.timers import Timed
    from sfu.transport import PeerTransport
    from sfu.uplink import Uplink


class Endpoint(Protocol):
    """The service, as it is seen from inside."""

    counters: Counters
    streams: dict[Stream, PublishConnection]  # whose stream an event is about
    peers: set[MediaPeer]  # of all rooms
    uplink: Uplink

    @property
    def port(self) -> int:
        """The port of all media."""

    def now(self) -> float:
        """Monotonic seconds."""

    def session_id(self) -> int:
        """A random number for an o= line."""

    def transport(self) -> PeerTransport:
        """A new transport with fresh credentials."""

    def addresses(self, extra: Sequence[str]) -> list[str]:
        """Candidate addresses, best first."""

    def watch(self, timed: Timed) -> None:
        """Wakes it from now on."""

    def unwatch(self, timed: Timed) -> None:
        """No longer."""
