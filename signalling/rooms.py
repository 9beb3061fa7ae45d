"""All rooms: who gets a seat, how long it is kept, when a room ends.

A room begins with its first seat and ends with its last. A seat outlives its socket by `keep_seconds`, so that a client
whose network broke comes back to it with its resume token while media flows on. `Rooms` belongs to the service; clocks
are parameters (`now` monotonic seconds, `wall` seconds since 1970).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from signalling.client_messages import ErrorCode, Join, RoomSettings
from signalling.media import Kind, MediaFullError, MediaService
from signalling.media import RoomSettings as MediaSettings
from signalling.resume import ResumeTokens
from signalling.room import EMPTY_STAGE_SECONDS, Room, RoomLimits
from signalling.seat import Connection, Seat
from signalling.server_messages import Closing, Role
from signalling.session import CLOSE_NORMAL


class JoinRefusedError(Exception):
    """There is no seat for this client; `code` is for the wire, `retry_ms` says when to come back if it makes sense."""

    def __init__(self, code: ErrorCode, message: str, *, retry_ms: int | None = None) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message
        self.retry_ms = retry_ms


class Rooms:
    """All rooms. `ended` is called with each ended room's length in seconds."""

    def __init__(
        self,
        limits: RoomLimits,
        media: MediaService,
        ended: Callable[[float], None],
        tokens: ResumeTokens | None = None,
    ) -> None:
        self.limits = limits
        self._media = media
        self._ended = ended
        self._tokens = tokens or ResumeTokens()
        self._rooms: dict[str, Room] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def get(self, name: str) -> Room | None:
        """The room of that name, if somebody holds a seat in it."""
        return self._rooms.get(name)

    def is_resume_token(self, room_name: str, token: str) -> bool:
        """Whether we issued this for a room of that name, which may have ended."""
        return self._tokens.read(room_name, token) is not None

    def seats(self) -> Iterator[Seat]:
        """Every seat of every room."""
        for room in self._rooms.values():
            yield from room.seats.values()

    def take(
        self,
        room_name: str,
        join: Join,
        now: float,
        addresses: Sequence[str] = (),
        *,
        silent_as: Role | None = None,
    ) -> Seat:
        """A new seat, without a socket yet; JoinRefusedError. `addresses`: more candidate IPs for its client alone.

        `silent_as` is for a client that does not speak this protocol: what it is in a broadcast room. The seat is its
        caller's to `leave`, or to `attach` a connection to that hears of the seat's end.
        """
        room = self._rooms.get(room_name)
        if room is None:
            if len(self._rooms) >= self.limits.rooms:
                raise JoinRefusedError("room-full", "there are too many rooms")
            room = self._rooms[room_name] = self._begin(room_name, join, now)
        elif not room.is_host(join.resume) and not room.password.admits(join.password):
            raise JoinRefusedError("password", "wrong room password" if join.password else "this room has a password")
        try:
            role = room.role_of_next(join.resume, silent_as, now)
            if not room.has_place(role):
                raise JoinRefusedError("room-full", "this room is full")
            return room.add(join.name, role, addresses, silent=silent_as is not None)
        except MediaFullError as error:
            raise JoinRefusedError("room-full", str(error)) from None
        finally:
            self._end_if_empty(room, now)

    def _begin(self, room_name: str, join: Join, now: float) -> Room:
        restored = self._tokens.read(room_name, join.resume)
        settings = restored.settings if restored is not None else join.settings
        media = self._media.room(_media_settings(settings))
        return Room(room_name, join.password, settings, self.limits, media, self._tokens, now, restored=restored)

    def resume(self, room_name: str, join: Join) -> Seat | None:
        """The seat that the token stands for, under its perhaps new name."""
        room = self._rooms.get(room_name)
        seat = room.seat_of(join.resume) if room is not None else None
        if seat is not None:
            seat.name = join.name
        return seat

    def attach(self, seat: Seat, connection: Connection, *, resumed: bool) -> None:
        """Gives the seat its socket and tells the others."""
        seat.attach(connection)
        seat.room.announce("changed" if resumed else "joined", seat)

    def detach(self, seat: Seat, connection: Connection, now: float) -> None:
        """Keeps the seat for its client to come back, if `connection` still was its socket."""
        if seat.ended or seat.connection is not connection:
            return
        seat.connection = None
        seat.kept_until = now + self.limits.keep_seconds
        seat.room.announce("changed", seat)

    def leave(self, seat: Seat, now: float) -> None:
        """Ends the seat, and the room with its last one."""
        if seat.ended:
            return
        try:
            seat.room.remove(seat, now)
        finally:
            self._end_if_empty(seat.room, now)

    def _end_if_empty(self, room: Room, now: float) -> None:
        if not room.seats:
            del self._rooms[room.name]
            room.media.close()
            self._ended(now - room.began_at)

    def handle_timer(self, now: float) -> None:
        """Ends the seats nobody came back to and the rooms nobody sends in, and tells how many viewers there are."""
        for seat in list(self.seats()):
            if seat.kept_until is not None and now >= seat.kept_until:
                self.leave(seat, now)
        for room in list(self._rooms.values()):
            if room.stage_empty_at is not None and now >= room.stage_empty_at + EMPTY_STAGE_SECONDS:
                self._end(room, now)
            else:
                room.handle_timer(now)

    def _end(self, room: Room, now: float) -> None:
        for seat in list(room.seats.values()):
            if seat.connection is not None:
                seat.connection.close(Closing(reason="ended"), CLOSE_NORMAL)
            self.leave(seat, now)

    def close(self, now: float) -> None:
        """Ends every room."""
        for seat in list(self.seats()):
            self.leave(seat, now)


def _media_settings(settings: RoomSettings) -> MediaSettings:
    """What of a room's settings is the media side's matter."""
    return MediaSettings(video=Kind[settings.video.name], uplink_bps=1000 * settings.uplink_kbps)
