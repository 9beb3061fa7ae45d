"""All rooms: who gets a seat, how long it is kept, when a room ends.

A room begins with its first seat and ends with its last. A seat outlives its socket by `keep_seconds`, so that a client
whose network broke comes back to it with its resume token while media flows on. `Rooms` belongs to the service; clocks
are parameters (`now` monotonic seconds, `wall` seconds since 1970).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from signalling.charter import Charter, RecordError
from signalling.client_messages import Join, RoomSettings
from signalling.entry import FullError, JoinRefusedError
from signalling.media import Kind, MediaFullError, MediaService
from signalling.media import RoomSettings as MediaSettings
from signalling.records import NoRecords, Records
from signalling.resume import ResumeTokens
from signalling.room import EMPTY_STAGE_SECONDS, Room, RoomLimits
from signalling.seat import Connection, Seat
from signalling.server_messages import Closing, ClosingReason, ParticipantEvent, Role
from signalling.session import CLOSE_NORMAL, CLOSE_POLICY
from signalling.waiting import Visitor

logger = logging.getLogger(__name__)

# Of rooms that have ended, so that their tokens do not bring them back, as those from before a restart do.
MAX_OVER = 4096


class MustWaitError(Exception):
    """A host of `room` has to let this client in."""

    def __init__(self, room: Room) -> None:
        super().__init__("a host has to let in who comes here")
        self.room = room


class Rooms:
    """All rooms. `ended` is called with each ended room's length in seconds."""

    def __init__(
        self,
        limits: RoomLimits,
        media: MediaService,
        ended: Callable[[float], None],
        tokens: ResumeTokens | None = None,
        *,
        wall: Callable[[], float],
        records: Records | None = None,
    ) -> None:
        self.limits = limits
        self._media = media
        self._ended = ended
        self._tokens = tokens or ResumeTokens()
        self._wall = wall
        self._records = NoRecords() if records is None else records
        self._stopping = False
        self._rooms: dict[str, Room] = {}
        self._over: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rooms)

    def get(self, name: str) -> Room | None:
        """The room of that name, if somebody holds a seat in it or has come for one after a restart."""
        return self._rooms.get(name)

    def find(self, name: str, now: float) -> Room | None:
        """That room, or as it was stored before a restart: it lives on for RESTORE_SECONDS at least."""
        room = self._rooms.get(name)
        record = self._records.read(name) if room is None and len(self._rooms) < self.limits.rooms else None
        if record is None:
            return room
        try:
            room = self._open(Charter.of_record(name, record, self._tokens, now), now)
        except RecordError as error:
            logger.warning("a stored room cannot be read: %s", error)
            return None
        self._records.restore(room)
        return room

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
        source: str = "",
        silent_as: Role | None = None,
        admitted: bool = False,
    ) -> Seat:
        """A new seat, without a socket yet; JoinRefusedError, MustWaitError unless `admitted` by a host.

        `addresses`: more candidate IPs for its client alone; `source`: where it comes from. `silent_as` is for a client
        that does not speak this protocol: what it is in a broadcast room. The seat is its caller's to `leave`, or to
        `attach` a connection to that hears of the seat's end.
        """
        found = self.find(room_name, now)
        room = found or self._begin(room_name, join, now)
        try:
            if found is not None and not admitted and room.must_wait(join, source, now, self._wall()):
                raise MustWaitError(room)
            role = room.charter.role_of_next(join, silent_as, now)
            if not room.has_place(role):
                raise JoinRefusedError("room-full", "this room is full")
            silent, claim = silent_as is not None, room.charter.claim(join.resume)
            return room.add(
                join.name,
                role,
                addresses,
                participant_id=claim.participant if claim is not None and not silent else "",
                source=source,
                silent=silent,
                of_host=silent and room.is_host(join.resume),
            )
        except MediaFullError as error:
            raise JoinRefusedError("room-full", str(error)) from None
        finally:
            self._end_if_empty(room, now)
            if found is None and not room.ended:
                self._records.changed(room)

    def _begin(self, room_name: str, join: Join, now: float) -> Room:
        if len(self._rooms) >= self.limits.rooms:
            raise JoinRefusedError("room-full", "there are too many rooms")
        claim = self._tokens.read(room_name, join.resume)
        if claim is not None and claim.room_id in self._over:
            claim = None
        return self._open(Charter.of_join(room_name, join, claim, self._tokens, now), now)

    def _open(self, charter: Charter, now: float) -> Room:
        media = self._media.room(_media_settings(charter.settings))
        records = self._records
        journal = records.journal(charter.room_id.hex())
        room = Room(charter, self.limits, media, now, changed=records.changed, journal=journal)
        self._rooms[room.name] = room
        return room

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
        if resumed:
            seat.send(ParticipantEvent(event="changed", participant=seat.view()))
        seat.room.announce("changed" if resumed else "joined", seat)
        seat.room.host_came_or_went()

    def detach(self, seat: Seat, connection: Connection, now: float) -> None:
        """Keeps the seat for its client to come back, if `connection` still was its socket."""
        if seat.ended or seat.connection is not connection:
            return
        seat.connection = None
        seat.kept_until = now + self.limits.keep_seconds
        seat.room.announce("changed", seat)
        seat.room.host_came_or_went()

    def leave(self, seat: Seat, now: float) -> None:
        """Ends the seat, and the room with its last one."""
        if seat.ended:
            return
        try:
            seat.room.remove(seat, now)
        finally:
            self._end_if_empty(seat.room, now)

    def eject(self, seat: Seat, reason: ClosingReason, now: float) -> None:
        """Ends the seat against its client's will: its tokens are worth nothing."""
        connection = seat.connection
        seat.room.charter.entry.remove(seat.id, told=connection is not None)
        self.leave(seat, now)
        if connection is not None:
            connection.close(Closing(reason=reason), CLOSE_POLICY)

    # --- those who wait ---

    def wait(self, room: Room, visitor: Visitor, now: float) -> None:
        """Lets somebody wait for a host; JoinRefusedError."""
        try:
            room.waiting.add(visitor)
        except FullError as error:
            raise JoinRefusedError("room-full", str(error)) from None
        room.waiting_changed(now)

    def stop_waiting(self, room: Room, visitor: Visitor, now: float) -> None:
        """They went away."""
        if room.waiting.remove(visitor):
            room.waiting_changed(now)

    def visitors(self) -> int:
        """How many wait in all rooms."""
        return sum(len(room.waiting) for room in self._rooms.values())

    # --- the end ---

    def _end_if_empty(self, room: Room, now: float) -> None:
        if room.seats or room.ended or now < room.charter.restored_until:
            return
        room.ended = True
        del self._rooms[room.name]
        self._over[room.charter.room_id] = None
        if len(self._over) > MAX_OVER:
            self._over.popitem(last=False)
        for visitor in room.waiting.take():
            visitor.connection.close(Closing(reason="ended"), CLOSE_NORMAL)
        room.media.close()
        self._ended(now - room.began_at)
        if room.was_entered and not self._stopping:
            self._records.ended(room)

    def handle_timer(self, now: float) -> None:
        """Ends the seats nobody came back to and the rooms nobody sends in, and tells what is due."""
        for seat in list(self.seats()):
            if seat.kept_until is not None and now >= seat.kept_until:
                self.leave(seat, now)
        for room in list(self._rooms.values()):
            if room.broadcast and room.stage_empty_at is not None and now >= room.stage_empty_at + EMPTY_STAGE_SECONDS:
                self.end(room, now)
            elif room.seats:
                room.handle_timer(now, self._wall())
            else:
                self._end_if_empty(room, now)

    def end(self, room: Room, now: float) -> None:
        """Ends it for all."""
        room.charter.restored_until = now
        room.over = True
        for seat in list(room.seats.values()):
            connection = seat.connection
            self.leave(seat, now)
            if connection is not None:
                connection.close(Closing(reason="ended"), CLOSE_NORMAL)
        self._end_if_empty(room, now)

    def stop(self) -> None:
        """What ends from now on is to be there again after the restart."""
        self._stopping = True

    def close(self, now: float) -> None:
        """Ends every room."""
        self.stop()
        for room in list(self._rooms.values()):
            self.end(room, now)


def _media_settings(settings: RoomSettings) -> MediaSettings:
    """What of a room's settings is the media side's matter."""
    return MediaSettings(video=Kind[settings.video.name], uplink_bps=1000 * settings.uplink_kbps)
