"""A room: its seats, who is on its stage, and who is told what.

In a meeting everybody is on the stage. In a broadcast room the others are viewers, whom only hosts are shown. Rooms
belong to `signalling.rooms.Rooms`; clocks are parameters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from signalling.access import RoomPassword, TokenBucket, new_id
from signalling.audience import Audience as Viewers
from signalling.chat import Chat
from signalling.client_messages import Mode, RoomSettings
from signalling.media import MediaRoom
from signalling.questions import Questions
from signalling.resume import Claim, ResumeTokens, new_room_id
from signalling.seat import ForbiddenError, Seat, tell
from signalling.server_messages import (
    Audience,
    ParticipantEvent,
    ParticipantView,
    Role,
)

# Burst and lines per second of all viewers of a room together.
VIEWERS_CHAT = (30, 10.0)
MAX_FORMER_HOSTS = 16
# How long after a restart those who were there get their roles back, and nobody else is made host.
RESTORE_SECONDS = 60.0
# How long a broadcast room goes on with nobody on its stage.
EMPTY_STAGE_SECONDS = 600.0

Event = Literal["joined", "changed", "left"]


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """How much is let in."""

    rooms: int = 1000
    """Rooms at a time."""
    participants: int = 100
    """Seats in a meeting or on a stage, kept ones included."""
    viewers: int = 1500
    """Seats in the audience of a broadcast room, kept ones included."""
    keep_seconds: float = 60.0
    """How long a seat outlives its socket."""


class Room:
    """Seats in the order they were taken, the stage in the order it was entered."""

    def __init__(
        self,
        name: str,
        password: str,
        settings: RoomSettings,
        limits: RoomLimits,
        media: MediaRoom,
        tokens: ResumeTokens,
        now: float,
        *,
        restored: Claim | None = None,
    ) -> None:
        """`restored`: what somebody brought from before a restart; the room goes on under its id."""
        self.name = name
        self.password = RoomPassword(password)
        self.settings = settings
        self._room_id = restored.room_id if restored is not None else new_room_id()
        self._restored_until = now + RESTORE_SECONDS if restored is not None else now
        self._issued = tokens
        self.media = media
        self.began_at = now
        self.seats: dict[str, Seat] = {}
        self.stage: dict[str, Seat] = {}
        self.viewers = Viewers()
        self.stage_empty_at: float | None = now
        self._limits = limits
        self._tokens: dict[str, Seat] = {}
        self._had_host = False
        self._former_hosts: deque[str] = deque(maxlen=MAX_FORMER_HOSTS)
        self.viewers_chat = TokenBucket(*VIEWERS_CHAT, now)
        """What all viewers together may write: all in the room hear it."""
        self.chat = Chat(self.seats)
        self.questions = Questions(self.seats, now)

    @property
    def broadcast(self) -> bool:
        """Whether there are viewers."""
        return self.settings.mode is Mode.BROADCAST

    def hosts(self) -> list[Seat]:
        """Who says who is on the stage."""
        return [seat for seat in self.stage.values() if seat.role is Role.HOST]

    def others(self, seat: Seat) -> list[ParticipantView]:
        """All that `seat` is shown, in order: the stage, and to a host the listed viewers."""
        viewers: Iterable[Seat] = self.viewers.listed.values() if seat.role is Role.HOST else ()
        return [other.view() for others in (self.stage.values(), viewers) for other in others if other is not seat]

    # --- coming and going ---

    def seat_of(self, token: str) -> Seat | None:
        """The seat that a resume token stands for."""
        return self._tokens.get(token)

    def was_host(self, token: str) -> bool:
        """Whether this is the resume token of a host whose seat has ended."""
        return token in self._former_hosts

    def is_host(self, token: str) -> bool:
        """Whether this is the resume token of a host, whose seat may have ended."""
        seat = self._tokens.get(token)
        return self.was_host(token) or (seat is not None and seat.role is Role.HOST)

    def role_of_next(self, token: str, asked: Role | None, now: float) -> Role:
        """What the next to come is. `asked`: what the server itself lets in as, for a client that is nobody's host."""
        audience = Role.VIEWER if self.broadcast else Role.SPEAKER
        if asked is not None:
            return audience if asked is Role.VIEWER else Role.SPEAKER
        if now < self._restored_until:
            claim = self._issued.read(self.name, token)
            return claim.role if claim is not None and claim.room_id == self._room_id else audience
        return Role.HOST if not self._had_host or self.was_host(token) else audience

    def _new_token(self, role: Role) -> str:
        return self._issued.issue(self.name, Claim(self._room_id, self.settings, role))

    def _change_role(self, seat: Seat, role: Role) -> None:
        """Gives the seat a token that says so; the one before stays good until the next, should the client miss it."""
        self._tokens.pop(seat.former_token, None)
        seat.former_token, seat.token = seat.token, self._new_token(role)
        self._tokens[seat.token] = seat
        self._had_host = self._had_host or role is Role.HOST
        seat.set_role(role)

    def has_place(self, role: Role) -> bool:
        """Whether one more of that role fits in."""
        if role is Role.VIEWER:
            return len(self.viewers) < self._limits.viewers
        return len(self.stage) < self._limits.participants

    def add(self, name: str, role: Role, addresses: Sequence[str], *, silent: bool = False) -> Seat:
        """A new seat without a socket."""
        seat = Seat(self, new_id(), self._new_token(role), name, role, addresses, silent=silent)
        self.seats[seat.id] = seat
        self._tokens[seat.token] = seat
        self._had_host = self._had_host or role is Role.HOST
        if role is Role.VIEWER:
            self.viewers.add(seat)
        else:
            self._enter_stage(seat)
        return seat

    def remove(self, seat: Seat, now: float) -> None:
        """Ends the seat and its media and tells the others."""
        del self.seats[seat.id]
        del self._tokens[seat.token]
        self._tokens.pop(seat.former_token, None)
        seat.ended = True
        seat.connection = None
        self.announce("left", seat)
        if seat.role is Role.VIEWER:
            self._list(self.viewers.remove(seat))
        else:
            if seat.role is Role.HOST:
                self._former_hosts.append(seat.token)
            self._leave_stage(seat, now)
        seat.media.leave()

    # --- the stage ---

    def set_stage(self, by: Seat, participant_id: str, on: bool, now: float) -> None:
        """Brings a participant to the stage or back, as `by` asks; nothing when they have left. ForbiddenError."""
        if not self.broadcast:
            raise ForbiddenError("this room has no stage")
        seat = self.seats.get(participant_id)
        if by.role is not Role.HOST and (on or seat is not by):
            raise ForbiddenError("only a host says who is on the stage")
        if seat is None or on is (seat.role is not Role.VIEWER):
            return
        if on:
            self._bring(seat)
        else:
            self._send_back(seat, now)

    def _bring(self, seat: Seat) -> None:
        if not self.has_place(Role.SPEAKER):
            raise ForbiddenError("the stage is full")
        known_to = self.hosts() if seat.id in self.viewers.listed else []
        next_listed = self.viewers.remove(seat)
        self._enter_stage(seat)
        self._change_role(seat, Role.SPEAKER)
        self._tell("changed", seat, known_to)
        self._tell("joined", seat, self._all_but(seat, *known_to))
        self._list(next_listed)

    def _send_back(self, seat: Seat, now: float) -> None:
        others = [other for other in self.stage.values() if other is not seat and not other.silent]
        if seat.role is Role.HOST and not others:
            raise ForbiddenError("the last on the stage stays there")
        self.viewers.add(seat)
        self._change_role(seat, Role.VIEWER)
        self._leave_stage(seat, now)
        shown_to = self.hosts() if seat.id in self.viewers.listed else []
        self._tell("changed", seat, shown_to)
        self._tell("left", seat, self._all_but(seat, *shown_to))

    def _enter_stage(self, seat: Seat) -> None:
        self.stage[seat.id] = seat
        self.stage_empty_at = None

    def _leave_stage(self, seat: Seat, now: float) -> None:
        del self.stage[seat.id]
        if not self.stage:
            self.stage_empty_at = now
        if not self.hosts():
            self._appoint_host()

    def _appoint_host(self) -> None:
        """Makes the longest on the stage the host, those with a socket first."""
        eligible = [seat for seat in self.stage.values() if not seat.silent]
        seat = next((seat for seat in eligible if seat.connection is not None), next(iter(eligible), None))
        if seat is None:
            return
        self._change_role(seat, Role.HOST)
        self.announce("changed", seat)
        for viewer in self.viewers.listed.values():
            self._tell("joined", viewer, [seat])

    # --- telling ---

    def announce(self, event: Event, seat: Seat) -> None:
        """Tells all who are shown `seat`."""
        if seat.role is not Role.VIEWER:
            self._tell(event, seat, self._all_but(seat))
        elif seat.id in self.viewers.listed:
            self._tell(event, seat, self.hosts())

    def _list(self, viewer: Seat | None) -> None:
        if viewer is not None:
            self.announce("joined", viewer)

    def _tell(self, event: Event, seat: Seat, to: Iterable[Seat]) -> None:
        tell(ParticipantEvent(event=event, participant=seat.view()), to)

    def handle_timer(self, now: float) -> None:
        """Tells how many viewers and votes there are, when due; a restored room whose host stays away gets another."""
        if not self._had_host and now >= self._restored_until:
            self._appoint_host()
        self.questions.handle_timer(now)
        count = self.viewers.count_due(now)
        if count is not None:
            tell(Audience(count=count), self._all_but())

    def _all_but(self, *seats: Seat) -> Iterator[Seat]:
        return (seat for seat in list(self.seats.values()) if seat not in seats)
