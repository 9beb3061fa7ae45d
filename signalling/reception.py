"""What all conversations share: the rooms, the counters, and how often one may come in from one place.

The `Reception` belongs to the service.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from signalling.access import SourceLimiter
from signalling.client_messages import Join
from signalling.counters import Counters
from signalling.entry import JoinRefusedError
from signalling.hosts import HostAddresses, is_loopback
from signalling.rooms import Rooms
from signalling.seat import Seat
from signalling.server_messages import Role
from signalling.turnstile import Turnstile
from signalling.waiting import MAX_WAITING_OF_SOURCE, WaitingRoom

IceServers = Callable[[str, str], Sequence[dict[str, object]]]

# Burst and attempts per second for one source. A webinar's viewers behind one address all come at once, and again after
# a restart. What a join costs is paced by the turnstile; this keeps one source from taking all the server's seats.
JOINS: Final = (600, 10.0)
WRONG_PASSWORDS: Final = (10, 0.1)
SESSION_REQUESTS: Final = (100, 10.0)  # of WHIP and WHEP
DRAINING_RETRY_MS: Final = 1000
LOBBY_RETRY_MS: Final = 5000


class Reception:
    """What all conversations share."""

    def __init__(
        self,
        rooms: Rooms,
        counters: Counters,
        ice_servers: IceServers,
        addresses: HostAddresses,
        turnstile: Turnstile,
        version: str,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.rooms = rooms
        self.counters = counters
        self.ice_servers = ice_servers
        self.addresses = addresses
        self.turnstile = turnstile
        self.version = version
        self.clock = clock
        self.wall = wall
        self.file_bytes = 0
        """How large a file may be."""
        self.leaving = False
        """No newcomers; who has a seat can take it back."""
        self.draining = False
        """No joins at all."""
        self.joins = SourceLimiter(*JOINS)
        self.wrong_passwords = SourceLimiter(*WRONG_PASSWORDS)
        self.session_requests = SourceLimiter(*SESSION_REQUESTS)

    def check(self, source: str, *, returning: bool = False) -> None:
        """JoinRefusedError when nobody may join now, or not so often from `source`; who is `returning` has a seat."""
        if self.draining or (self.leaving and not returning):
            raise JoinRefusedError("draining", "the server restarts", retry_ms=DRAINING_RETRY_MS)
        if not is_loopback(source) and not self.joins.take(source, self.clock()):
            self.counters.rate_limited["join"] += 1
            raise JoinRefusedError("rate", "too many joins from this address", retry_ms=5000)

    def check_lobby(self, waiting: WaitingRoom, source: str) -> None:
        """JoinRefusedError when as many from `source` wait there as may."""
        if not is_loopback(source) and waiting.count_from(source) >= MAX_WAITING_OF_SOURCE:
            self.counters.rate_limited["lobby"] += 1
            raise JoinRefusedError("rate", "too many from this address wait already", retry_ms=LOBBY_RETRY_MS)

    def check_guesses(self, room_name: str, join: Join, source: str) -> None:
        """JoinRefusedError when the password decides and `source` gave too many wrong ones."""
        now = self.clock()
        room = self.rooms.find(room_name, now)
        if room is None or not room.asks_password(join, now, self.wall()):
            return
        if self.wrong_passwords.exhausted(source, now):
            self.counters.rate_limited["password"] += 1
            raise JoinRefusedError("rate", "too many wrong passwords from this address", retry_ms=10_000)

    def wrong_password(self, source: str) -> None:
        """Counts one against `source`."""
        self.wrong_passwords.take(source, self.clock())
        self.counters.auth_failures["password"] += 1

    def take(
        self,
        room_name: str,
        join: Join,
        source: str,
        addresses: Sequence[str],
        *,
        silent_as: Role | None = None,
        admitted: bool = False,
    ) -> Seat:
        """A new seat; JoinRefusedError, MustWaitError. See `Rooms.take`."""
        if not admitted:
            self.check_guesses(room_name, join, source)
        try:
            return self.rooms.take(
                room_name, join, self.clock(), addresses, source=source, silent_as=silent_as, admitted=admitted
            )
        except JoinRefusedError as error:
            if error.code == "password":
                self.wrong_password(source)
            elif error.code == "invitation":
                self.counters.auth_failures["invitation"] += 1
            raise
