"""A room: its seats, who is on its stage, and who is told what.

In a meeting everybody is on the stage. In a broadcast room the others are viewers, whom only hosts are shown. Rooms
belong to `signalling.rooms.Rooms`; clocks are parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from signalling.access import TokenBucket, new_id
from signalling.audience import Audience as Viewers
from signalling.charter import Charter, Record
from signalling.chat import Chat
from signalling.client_messages import ChangeRules, Join, Mode, ReactionKind, RoomSettings
from signalling.media import MediaRoom
from signalling.questions import Questions
from signalling.records import Journal, NoJournal
from signalling.seat import ForbiddenError, Seat, tell
from signalling.server_messages import (
    Audience,
    ModerationChange,
    ModerationView,
    ParticipantEvent,
    ParticipantView,
    Reaction,
    Role,
    RulesChange,
)
from signalling.turnstile import Rank
from signalling.waiting import WaitingRoom

# Burst and lines, or reactions, per second of all viewers of a room together.
VIEWERS_CHAT = (30, 10.0)
VIEWERS_REACTIONS = (30, 10.0)
# How long a broadcast room goes on with nobody on its stage.
EMPTY_STAGE_SECONDS = 600.0
# What hosts know is told them at once when one of them changed it, and so often when others did.
MODERATION_SECONDS = 1.0

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
        charter: Charter,
        limits: RoomLimits,
        media: MediaRoom,
        now: float,
        *,
        changed: Callable[[Room], None] = lambda _: None,
        journal: Journal | None = None,
    ) -> None:
        """`changed` is called when `record` says something else than before; `journal` takes what is said."""
        self.charter = charter
        self.media = media
        self.began_at = now
        self.ended = False
        self.over = False
        """A host ended it for all, or nobody sent anything."""
        self.was_entered = False
        self.seats: dict[str, Seat] = {}
        self.stage: dict[str, Seat] = {}
        self.viewers = Viewers()
        self.waiting = WaitingRoom()
        self.stage_empty_at: float | None = now
        self._changed = changed
        self._limits = limits
        self._tokens: dict[str, Seat] = {}
        self._hands = 0
        self._moderation_due = False
        self._moderation_told_at = now - MODERATION_SECONDS
        self.viewers_chat = TokenBucket(*VIEWERS_CHAT, now)
        """What all viewers together may write: all in the room hear it."""
        self.viewers_reactions = TokenBucket(*VIEWERS_REACTIONS, now)
        journal = journal or NoJournal()
        self.chat = Chat(self.seats, journal)
        self.questions = Questions(self.seats, journal, now)

    @property
    def name(self) -> str:
        """As it stands in its URL."""
        return self.charter.name

    @property
    def id(self) -> str:
        """Of this life of the room: the next of that name has another."""
        return self.charter.room_id.hex()

    @property
    def settings(self) -> RoomSettings:
        """What the join that made it fixed."""
        return self.charter.settings

    @property
    def broadcast(self) -> bool:
        """Whether there are viewers."""
        return self.settings.mode is Mode.BROADCAST

    def record(self) -> Record:
        """All that makes it the same room after a restart, as JSON; `Charter.of_record` reads it."""
        return self.charter.record([seat.id for seat in self.hosts()])

    def may(self, seat: Seat, right: str) -> bool:
        """Whether `seat` has that one of RIGHTS."""
        return seat.role is Role.HOST or seat.of_host or self.charter.rules.rights[right]

    def hosts(self) -> list[Seat]:
        """Who says who is on the stage."""
        return [seat for seat in self.stage.values() if seat.role is Role.HOST]

    def others(self, seat: Seat) -> list[ParticipantView]:
        """All that `seat` is shown, in order: the stage, and to a host the listed viewers."""
        viewers: Iterable[Seat] = self.viewers.shown() if seat.role is Role.HOST else ()
        return [other.view() for others in (self.stage.values(), viewers) for other in others if other is not seat]

    # --- coming and going ---

    def seat_of(self, token: str) -> Seat | None:
        """The seat that a resume token stands for."""
        return self._tokens.get(token)

    def is_host(self, token: str) -> bool:
        """Whether this is the host key or the resume token of a host, whose seat may have ended."""
        seat = self._tokens.get(token)
        live = seat is not None and seat.role is Role.HOST
        return live or self.charter.was_host(token) or self.charter.entry.is_host_key(token)

    def _change_role(self, seat: Seat, role: Role) -> None:
        """Gives the seat a token that says so; the one before stays good until the next, should the client miss it."""
        hosts_change = Role.HOST in (role, seat.role)
        if role is not Role.HOST:
            self.charter.forget_host(seat.id)
        self._tokens.pop(seat.former_token, None)
        seat.former_token, seat.token = seat.token, self.charter.issue(seat.id, role)
        self._tokens[seat.token] = seat
        seat.set_role(role)
        if hosts_change:
            self.hosts_changed()
        if role is Role.HOST:
            seat.send(ModerationChange(moderation=self.moderation()))

    def asks_password(self, join: Join, now: float, wall: float) -> bool:
        """Whether it depends on the password if they get in."""
        return not self.is_host(join.resume) and self.charter.asks_password(join, now, wall)

    def must_wait(self, join: Join, source: str, now: float, wall: float) -> bool:
        """Whether who comes new waits for a host; JoinRefusedError when they may not come."""
        return not self.is_host(join.resume) and self.charter.must_wait(join, source, now, wall)

    def rank_of_next(self, join: Join) -> Rank:
        """Whose turn the next to come waits for."""
        host = self.is_host(join.resume) or self.charter.entry.is_host_key(join.host_key)
        return Rank.AUDIENCE if self.broadcast and not host else Rank.STAGE

    def has_place(self, role: Role) -> bool:
        """Whether one more of that role fits in."""
        if role is Role.VIEWER:
            return len(self.viewers) < self._limits.viewers
        return len(self.stage) < self._limits.participants

    def add(
        self,
        name: str,
        role: Role,
        addresses: Sequence[str],
        *,
        participant_id: str = "",
        source: str = "",
        silent: bool = False,
        of_host: bool = False,
    ) -> Seat:
        """A new seat without a socket, under that id if nobody has it."""
        seat_id = participant_id if participant_id and participant_id not in self.seats else new_id()
        token = self.charter.issue(seat_id, role)
        seat = Seat(self, seat_id, token, name, role, addresses, source=source, silent=silent, of_host=of_host)
        self.was_entered = True
        self.seats[seat.id] = seat
        self._tokens[seat.token] = seat
        if role is Role.VIEWER:
            self.viewers.add(seat)
        else:
            self._enter_stage(seat)
        if role is Role.HOST:
            self.hosts_changed()
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
                self.charter.remember_host(seat.id)
            self._leave_stage(seat, now)
        seat.media.leave()
        if seat.role is Role.HOST:
            self.hosts_changed()

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
            self._bring(seat, Role.SPEAKER)
            return
        was_host = seat.role is Role.HOST
        self._send_back(seat, now)
        if was_host and by is not seat:
            self.distrust(seat)

    def _bring(self, seat: Seat, role: Role) -> None:
        """Brings a viewer to the stage, whose hand that answers; ForbiddenError."""
        if not self.has_place(role):
            raise ForbiddenError("the stage is full")
        self._drop_hand(seat)
        known_to = self.hosts() if self.viewers.shows(seat) else []
        next_listed = self.viewers.remove(seat)
        self._enter_stage(seat)
        self._change_role(seat, role)
        self._tell("changed", seat, known_to)
        self._tell("joined", seat, self._all_but(seat, *known_to))
        self._list(next_listed)

    def _send_back(self, seat: Seat, now: float) -> None:
        others = [other for other in self.stage.values() if other is not seat and not other.silent]
        if seat.role is Role.HOST and not others:
            raise ForbiddenError("the last on the stage stays there")
        self._drop_hand(seat)
        self.viewers.add(seat)
        self._change_role(seat, Role.VIEWER)
        self._leave_stage(seat, now)
        shown_to = self.hosts() if self.viewers.shows(seat) else []
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
        if seat is not None:
            self.promote(seat)

    # --- hosts ---

    def promote(self, seat: Seat) -> None:
        """Makes a host of somebody, whom that brings to the stage; ForbiddenError."""
        if seat.silent:
            raise ForbiddenError("this participant's program can be no host")
        if seat.role is Role.HOST:
            return
        if seat.role is Role.VIEWER:
            self._bring(seat, Role.HOST)
        else:
            self._change_role(seat, Role.HOST)
            self.announce("changed", seat)
        for viewer in self.viewers.shown():
            self._tell("joined", viewer, [seat])

    def demote(self, seat: Seat) -> None:
        """Makes a speaker of a host; ForbiddenError for the last one."""
        if seat.role is not Role.HOST:
            return
        if len(self.hosts()) == 1:
            raise ForbiddenError("the last host stays host; make somebody else host first")
        self._change_role(seat, Role.SPEAKER)
        self.announce("changed", seat)

    def distrust(self, seat: Seat) -> None:
        """The key that a host knows, who by somebody else's doing is none any more, is good for nothing from now on."""
        self.charter.forget_host(seat.id)
        self.charter.entry.change_host_key()
        self.moderation_changed()

    def hosts_changed(self) -> None:
        """Who is host, or whether one is there, is another than before."""
        self.host_came_or_went()
        self.changed()

    def host_came_or_went(self) -> None:
        """Tells those who wait whether somebody could let them in."""
        self.waiting.set_host_there(any(seat.connection is not None for seat in self.hosts()))

    def moderation(self) -> ModerationView:
        """What hosts alone know."""
        entry = self.charter.entry
        return ModerationView(
            host_key=entry.host_key,
            waiting=self.waiting.views(),
            invitations=[each.view() for each in entry.invitations.values()],
            bans=[each.view() for each in entry.bans.values()],
        )

    def moderation_changed(self) -> None:
        """Tells hosts what they know, by the doing of one of them."""
        self._moderation_due = False
        tell(ModerationChange(moderation=self.moderation()), self.hosts())
        self.changed()

    def waiting_changed(self, now: float) -> None:
        """Somebody waits, or does no more: hosts hear of it soon, however often it happens."""
        self._moderation_due = True
        self._tell_moderation(now)

    def _tell_moderation(self, now: float) -> None:
        if self._moderation_due and now >= self._moderation_told_at + MODERATION_SECONDS:
            self._moderation_due, self._moderation_told_at = False, now
            tell(ModerationChange(moderation=self.moderation()), self.hosts())

    def change_rules(self, change: ChangeRules) -> None:
        """Tells all."""
        self.charter.rules = self.charter.rules.changed(change)
        tell(RulesChange(rules=self.charter.rules.view()), self._all_but())
        self.changed()

    def changed(self) -> None:
        """`record` says something else than before."""
        self._changed(self)

    # --- hands and reactions ---

    def set_hand(self, seat: Seat, up: bool) -> None:
        """Raises a hand, behind those that are up, or takes it down."""
        if up is bool(seat.hand):
            return
        if up:
            self._hands += 1
        seat.hand = self._hands if up else 0
        if up and seat.role is Role.VIEWER and self.viewers.raise_hand(seat):
            self._tell("joined", seat, self.hosts())
        elif not up and self.viewers.shows_for_hand(seat):
            self._tell("left", seat, self.hosts())
            self._list(self.viewers.lower_hand(seat))
        else:
            self.announce("changed", seat)
        seat.send(ParticipantEvent(event="changed", participant=seat.view()))

    @staticmethod
    def _drop_hand(seat: Seat) -> None:
        """For a change that all are told of anyway."""
        if seat.hand:
            seat.hand = 0
            seat.send(ParticipantEvent(event="changed", participant=seat.view()))

    def react(self, seat: Seat, reaction: ReactionKind) -> None:
        """Shows it to all."""
        tell(Reaction(participant=seat.id, name=seat.name, reaction=reaction.value), self._all_but())

    # --- telling ---

    def announce(self, event: Event, seat: Seat) -> None:
        """Tells all who are shown `seat`."""
        if seat.role is not Role.VIEWER:
            self._tell(event, seat, self._all_but(seat))
        elif self.viewers.shows(seat):
            self._tell(event, seat, self.hosts())

    def _list(self, viewer: Seat | None) -> None:
        if viewer is not None:
            self.announce("joined", viewer)

    def _tell(self, event: Event, seat: Seat, to: Iterable[Seat]) -> None:
        tell(ParticipantEvent(event=event, participant=seat.view()), to)

    def handle_timer(self, now: float, wall: float) -> None:
        """Tells what is due; a restored room whose host stays away gets another; invitations end."""
        if not self.charter.had_host and now >= self.charter.restored_until:
            self._appoint_host()
        if self.charter.entry.expire(wall):
            self.moderation_changed()
        self._tell_moderation(now)
        self.questions.handle_timer(now)
        count = self.viewers.count_due(now)
        if count is not None:
            tell(Audience(count=count), self._all_but())

    def _all_but(self, *seats: Seat) -> Iterator[Seat]:
        return (seat for seat in list(self.seats.values()) if seat not in seats)
