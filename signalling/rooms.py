"""Rooms and the seats in them: who is there, what was said, whose media is whose.

A room begins with its first seat and ends with its last. A seat outlives its socket by `keep_seconds`, so that a client
whose network broke comes back to it with its resume token while media flows on. `Rooms` belongs to the service; clocks
are parameters (`now` monotonic seconds, `wall` seconds since 1970).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from signalling.access import RoomPassword, new_id, new_token
from signalling.media import MediaFullError, MediaPeer, MediaRoom, MediaService, SlotView, Source
from signalling.messages import (
    ChatLine,
    Closing,
    ErrorCode,
    Frame,
    Join,
    MediaLost,
    Offer,
    ParticipantEvent,
    ParticipantView,
    ServerMessage,
    SlotContent,
    Slots,
    Speaker,
    State,
    encode,
)
from signalling.session import CLOSE_NORMAL

MAX_CHAT_LINES = 200
MAX_CHAT_BYTES = 256 * 1024

# What a `state` flag mutes when it is false.
_SOURCES_OF = {
    "microphone": (Source.MICROPHONE,),
    "camera": (Source.CAMERA,),
    "screen": (Source.SCREEN, Source.SCREEN_AUDIO),
}


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """How much is let in."""

    rooms: int = 1000
    """Rooms at a time."""
    participants: int = 100
    """Seats in a room, kept ones included."""
    keep_seconds: float = 60.0
    """How long a seat outlives its socket."""


class JoinRefusedError(Exception):
    """There is no seat for this client; `code` is for the wire, `retry_ms` says when to come back if it makes sense."""

    def __init__(self, code: ErrorCode, message: str, *, retry_ms: int | None = None) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message
        self.retry_ms = retry_ms


class Connection(Protocol):
    """A seat's socket, as rooms use it. Neither call blocks or fails."""

    def send(self, frame: Frame) -> None:
        """Queues the frame."""

    def close(self, message: ServerMessage | None, code: int) -> None:
        """Sends what is queued, then `message`, then the close frame."""


class Seat:
    """One participant. Listens to its own media, and keeps what the client must hear when it has a socket again."""

    def __init__(self, room: Room, participant_id: str, token: str, name: str, addresses: Sequence[str]) -> None:
        self.room = room
        self.id = participant_id
        self.token = token
        self.name = name
        self.connection: Connection | None = None
        self.kept_until: float | None = None
        self.ended = False
        self._on = dict.fromkeys(_SOURCES_OF, False)
        self._said: set[str] = set()
        self._muted: set[Source] = set()
        self._offer: Offer | None = None
        self._slots: Slots | None = None
        self._speaker = Speaker(participant=None)
        self._lost: set[Literal["publish", "subscribe"]] = set()
        self.media: MediaPeer = room.media.join(participant_id, self, extra_addresses=addresses)

    def view(self) -> ParticipantView:
        """This participant as others see it."""
        return ParticipantView(id=self.id, name=self.name, connected=self.connection is not None, **self._on)

    # --- the socket ---

    def attach(self, connection: Connection) -> None:
        """Makes `connection` the seat's socket, replacing the one it has, and tells it what it does not know yet."""
        previous, self.connection = self.connection, connection
        self.kept_until = None
        if previous is not None:
            previous.close(Closing(reason="replaced"), CLOSE_NORMAL)
        for lost in sorted(self._lost):
            self.send(MediaLost(connection=lost))
        for message in (self._offer, self._slots):
            if message is not None:
                self.send(message)
        if self._speaker.participant is not None:
            self.send(self._speaker)

    def send(self, message: ServerMessage) -> None:
        """Tells the client, if it is there."""
        if self.connection is not None:
            self.connection.send(encode(message))

    # --- what the client asks ---

    def publish(self, sdp: str, tracks: Mapping[str, Source]) -> tuple[str, bool]:
        """The answer, and whether anything others see has changed; SdpError."""
        answer = self.media.publish(sdp, tracks)
        self._lost.discard("publish")
        for source in tracks.values():
            if source in self._muted:
                self.media.set_muted(source, True)
        before = dict(self._on)
        for flag in self._on.keys() - self._said:
            self._on[flag] = _SOURCES_OF[flag][0] in tracks.values()
        return answer, self._on != before

    def subscribe(self, *, fresh: bool, restart: bool) -> None:
        """Asks the media side for an offer."""
        self._lost.discard("subscribe")
        self.media.subscribe(fresh=fresh, restart=restart)

    def answer(self, sdp: str, generation: int) -> None:
        """Takes the answer to the newest offer, ignores others; SdpError."""
        offer = self._offer
        if offer is None or offer.generation != generation:
            return
        self.media.answer(sdp, generation)
        if self._offer is offer:
            self._offer = None

    def set_state(self, state: State) -> bool:
        """Turns sources on and off; whether anything others see has changed."""
        before = dict(self._on)
        for flag, sources in _SOURCES_OF.items():
            on: bool | None = getattr(state, flag)
            if on is None:
                continue
            self._said.add(flag)
            self._on[flag] = on
            for source in sources:
                (self._muted.discard if on else self._muted.add)(source)
                self.media.set_muted(source, not on)
        return self._on != before

    # --- what the media side tells (MediaListener) ---

    def media_offer(self, sdp: str, generation: int, fresh: bool) -> None:
        """The subscribe connection has a new offer."""
        self._offer = Offer(sdp=sdp, generation=generation, fresh=fresh)
        self.send(self._offer)

    def media_slots(self, slots: Sequence[SlotView]) -> None:
        """The whole list of who is where."""
        contents = [SlotContent(mid=slot.mid, participant=slot.peer_id, source=slot.source.value) for slot in slots]
        self._slots = Slots(slots=contents)
        self.send(self._slots)

    def media_speaker(self, peer_id: str | None) -> None:
        """Somebody else speaks now."""
        self._speaker = Speaker(participant=peer_id)
        self.send(self._speaker)

    def media_failed(self, connection: Literal["publish", "subscribe"]) -> None:
        """A peer connection is gone."""
        self._lost.add(connection)
        self.send(MediaLost(connection=connection))


class Room:
    """Seats in the order they were taken, and the chat."""

    def __init__(self, name: str, password: str, media: MediaRoom, now: float) -> None:
        self.name = name
        self.password = RoomPassword(password)
        self.media = media
        self.began_at = now
        self.seats: dict[str, Seat] = {}
        self._tokens: dict[str, Seat] = {}
        self._chat: deque[tuple[ChatLine, int]] = deque()
        self._chat_bytes = 0

    def chat(self) -> list[ChatLine]:
        """The last lines, oldest first."""
        return [line for line, _ in self._chat]

    def others(self, seat: Seat) -> list[ParticipantView]:
        """All but `seat`, in order."""
        return [other.view() for other in self.seats.values() if other is not seat]

    def seat_of(self, token: str) -> Seat | None:
        """The seat that a resume token stands for."""
        return self._tokens.get(token)

    def add(self, name: str, addresses: Sequence[str]) -> Seat:
        """A new seat without a socket."""
        seat = Seat(self, new_id(), new_token(), name, addresses)
        self.seats[seat.id] = seat
        self._tokens[seat.token] = seat
        return seat

    def remove(self, seat: Seat) -> None:
        """Ends the seat and its media and tells the others."""
        del self.seats[seat.id]
        del self._tokens[seat.token]
        seat.ended = True
        seat.connection = None
        self.announce("left", seat)
        seat.media.leave()

    def announce(self, event: Literal["joined", "changed", "left"], seat: Seat) -> None:
        """Tells all others about `seat`."""
        self._broadcast(ParticipantEvent(event=event, participant=seat.view()), seat)

    def say(self, seat: Seat, text: str, wall: float, request: str | None) -> None:
        """Adds a chat line and sends it to all, the writer's with its `request`."""
        line = ChatLine(id=new_id(), participant=seat.id, name=seat.name, text=text, time=round(wall, 3))
        size = len(line.text.encode()) + len(line.name.encode())
        self._chat.append((line, size))
        self._chat_bytes += size
        while len(self._chat) > MAX_CHAT_LINES or self._chat_bytes > MAX_CHAT_BYTES:
            self._chat_bytes -= self._chat.popleft()[1]
        self._broadcast(line, seat)
        seat.send(
            ChatLine(
                id=line.id, participant=line.participant, name=line.name, text=text, time=line.time, request=request
            )
        )

    def _broadcast(self, message: ServerMessage, but: Seat) -> None:
        frame = encode(message)
        for seat in list(self.seats.values()):
            if seat is not but and seat.connection is not None:
                seat.connection.send(frame)


class Rooms:
    """All rooms. `ended` is called with each ended room's length in seconds."""

    def __init__(self, limits: RoomLimits, media: MediaService, ended: Callable[[float], None]) -> None:
        self.limits = limits
        self._media = media
        self._ended = ended
        self._rooms: dict[str, Room] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def get(self, name: str) -> Room | None:
        """The room of that name, if somebody holds a seat in it."""
        return self._rooms.get(name)

    def seats(self) -> Iterator[Seat]:
        """Every seat of every room."""
        for room in self._rooms.values():
            yield from room.seats.values()

    def take(self, room_name: str, join: Join, now: float, addresses: Sequence[str] = ()) -> Seat:
        """A new seat, without a socket yet; JoinRefusedError. `addresses`: more candidate IPs for its client alone."""
        room = self._rooms.get(room_name)
        if room is None:
            if len(self._rooms) >= self.limits.rooms:
                raise JoinRefusedError("room-full", "there are too many rooms")
            room = Room(room_name, join.password, self._media.room(), now)
            self._rooms[room_name] = room
        elif not room.password.admits(join.password):
            raise JoinRefusedError("password", "wrong room password" if join.password else "this room has a password")
        elif len(room.seats) >= self.limits.participants:
            raise JoinRefusedError("room-full", "this room is full")
        try:
            return room.add(join.name, addresses)
        except MediaFullError as error:
            raise JoinRefusedError("room-full", str(error)) from None
        finally:
            self._end_if_empty(room, now)

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
            seat.room.remove(seat)
        finally:
            self._end_if_empty(seat.room, now)

    def _end_if_empty(self, room: Room, now: float) -> None:
        if not room.seats:
            del self._rooms[room.name]
            room.media.close()
            self._ended(now - room.began_at)

    def expire(self, now: float) -> None:
        """Ends the seats nobody came back to."""
        for seat in list(self.seats()):
            if seat.kept_until is not None and now >= seat.kept_until:
                self.leave(seat, now)

    def close(self, now: float) -> None:
        """Ends every room."""
        for seat in list(self.seats()):
            self.leave(seat, now)
