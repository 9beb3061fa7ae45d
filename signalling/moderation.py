"""What hosts may do, and nobody else: each request of theirs is checked here, whatever their page shows."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from signalling.client_messages import (
    Admit,
    ChangeRules,
    EndRoom,
    Invite,
    LiftBan,
    Moderate,
    Moderation,
    Revoke,
)
from signalling.entry import FullError
from signalling.rooms import Rooms
from signalling.seat import MODERATION_OF, ForbiddenError, Seat, UnknownError
from signalling.server_messages import Invited, Role, ServerMessage

HostRequest = ChangeRules | Admit | Moderate | LiftBan | Invite | Revoke | EndRoom

_FLAG_OF = {moderation: flag for flag, moderation in MODERATION_OF.items()}


def moderate(rooms: Rooms, by: Seat, message: HostRequest, now: float, wall: float) -> ServerMessage | None:
    """Does what a host asks, and gives the reply if there is one; ForbiddenError, UnknownError."""
    if by.role is not Role.HOST:
        raise ForbiddenError("only hosts may do that")
    match message:
        case ChangeRules():
            by.room.change_rules(message)
        case Admit(waiting=waiting, on=on):
            _admit(by, waiting, on)
        case Moderate(action=action, participant=participant):
            _Measure(rooms, by, action, now).take(participant)
        case Invite():
            return _invite(by, message, wall)
        case LiftBan(ban=ban):
            _take_away(by, by.room.charter.entry.bans, ban)
        case Revoke(invitation=invitation):
            _take_away(by, by.room.charter.entry.invitations, invitation)
        case EndRoom():
            rooms.end(by.room, now)
    return None


def _take_away(by: Seat, things: MutableMapping[str, Any], thing: str) -> None:
    if things.pop(thing, None) is None:
        raise UnknownError("there is nothing by that id")
    by.room.moderation_changed()


def _invite(by: Seat, message: Invite, wall: float) -> Invited:
    try:
        invitation = by.room.charter.entry.invite(message.seconds, message.label, wall)
    except FullError as error:
        raise ForbiddenError(str(error)) from None
    by.room.moderation_changed()
    return Invited(invitation=invitation.view(), request=message.request)


def _admit(by: Seat, waiting: str, on: bool) -> None:
    visitors = by.room.waiting.take(waiting)
    if waiting and not visitors:
        raise UnknownError("nobody waits by that id")
    for visitor in visitors:
        (visitor.admit if on else visitor.deny)()
    if visitors:
        by.room.moderation_changed()


class _Measure:
    """One `moderate` of a host, against one participant or all who are not hosts."""

    def __init__(self, rooms: Rooms, by: Seat, action: Moderation, now: float) -> None:
        self._rooms = rooms
        self._by = by
        self._room = by.room
        self._action = action
        self._now = now

    def take(self, participant: str) -> None:
        """ForbiddenError, UnknownError."""
        if participant:
            seat = self._room.seats.get(participant)
            if seat is None:
                raise UnknownError("there is no such participant")
            self._apply(seat)
            return
        # Those whom hosts are not shown first, so that they are not shown them one after the other.
        for seat in sorted(self._room.seats.values(), key=self._room.viewers.shows):
            if seat.role is not Role.HOST and not seat.ended:
                self._apply(seat)

    def _apply(self, seat: Seat) -> None:
        match self._action:
            case Moderation.MUTE | Moderation.STOP_VIDEO | Moderation.STOP_SHARE:
                if seat.turn_off(_FLAG_OF[self._action]):
                    self._room.announce("changed", seat)
                    self._tell(seat)
            case Moderation.LOWER_HAND:
                if seat.hand:
                    self._room.set_hand(seat, False)
                    self._tell(seat)
            case Moderation.PROMOTE:
                if seat.role is not Role.HOST:
                    self._room.promote(seat)
                    self._tell(seat)
            case Moderation.DEMOTE:
                if seat.role is Role.HOST:
                    self._demote(seat)
            case Moderation.REMOVE | Moderation.BAN:
                self._eject(seat)

    def _tell(self, seat: Seat) -> None:
        if seat is not self._by:
            seat.tell_moderated(self._action, self._by.name)

    def _demote(self, seat: Seat) -> None:
        self._room.demote(seat)
        if seat is not self._by:
            self._tell(seat)
            self._room.distrust(seat)

    def _eject(self, seat: Seat) -> None:
        if seat is self._by:
            raise ForbiddenError("leave instead")
        was_host, banned = seat.role is Role.HOST, self._action is Moderation.BAN
        if banned:
            try:
                self._room.charter.entry.ban(seat.name, seat.source)
            except FullError as error:
                raise ForbiddenError(str(error)) from None
        self._rooms.eject(seat, "banned" if banned else "removed", self._now)
        if was_host:
            self._room.distrust(seat)
        elif banned:
            self._room.moderation_changed()
        else:
            self._room.changed()
