"""What a room is, apart from who is in it now: id, settings, rules, ways in, and whose it was. All of it can be stored.

It says who gets in and as what. A `Charter` belongs to its room; `now` is monotonic seconds, `wall` seconds since 1970.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from signalling.access import RoomPassword
from signalling.client_messages import Join, Mode, RoomSettings, VideoCodec
from signalling.entry import Entry, JoinRefusedError
from signalling.resume import Claim, ResumeTokens, new_room_id
from signalling.rules import RoomRules
from signalling.server_messages import Role

MAX_FORMER_HOSTS: Final = 16
# How long after a restart those who were there get their seats and roles back, and nobody else is made host.
RESTORE_SECONDS: Final = 60.0
RECORD_VERSION: Final = 1

Record = dict[str, Any]
"""JSON, as `Charter.record` makes it."""


class RecordError(ValueError):
    """This is not the record of a room, or not one of this version."""


class Charter:
    """Made by the join that makes the room, by a token from before a restart, or by a record."""

    def __init__(self, name: str, tokens: ResumeTokens, now: float, settings: RoomSettings, rules: RoomRules) -> None:
        self.name = name
        self.settings = settings
        self.rules = rules
        self.entry = Entry()
        self.room_id = new_room_id()
        self.had_host = False
        """Whether somebody was host since the room began or was restored."""
        self.restored_until = now
        self._tokens = tokens
        self._former_hosts: OrderedDict[str, None] = OrderedDict()
        self._recorded = False

    @classmethod
    def of_join(cls, name: str, join: Join, claim: Claim | None, tokens: ResumeTokens, now: float) -> Charter:
        """As the first to come wants it, or as their token says that it was before a restart: `claim`."""
        settings = claim.settings if claim is not None else join.settings
        charter = cls(name, tokens, now, settings, RoomRules(RoomPassword(join.password)))
        if claim is not None:
            charter.room_id = claim.room_id
            charter.restored_until = now + RESTORE_SECONDS
        return charter

    @classmethod
    def of_record(cls, name: str, record: Mapping[str, Any], tokens: ResumeTokens, now: float) -> Charter:
        """As it was stored; RecordError."""
        try:
            if record["version"] != RECORD_VERSION:
                raise RecordError(f"version {record['version']}")
            stored = record["settings"]
            settings = RoomSettings(
                mode=Mode(stored["mode"]), video=VideoCodec(stored["video"]), uplink_kbps=int(stored["uplink_kbps"])
            )
            charter = cls(name, tokens, now, settings, RoomRules.restored(record["rules"]))
            charter.room_id = bytes.fromhex(record["id"])
            charter.entry = Entry.restored(record["entry"])
            charter._former_hosts = OrderedDict.fromkeys(map(str, record["hosts"]))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise RecordError(f"{type(error).__name__}: {error}") from error
        charter.restored_until = now + RESTORE_SECONDS
        charter._recorded = True
        return charter

    def record(self, hosts: Sequence[str] = ()) -> Record:
        """What can be stored, as JSON; `hosts`: ids of those who are host now."""
        former = [each for each in self._former_hosts if each not in hosts]
        return {
            "version": RECORD_VERSION,
            "id": self.room_id.hex(),
            "settings": asdict(self.settings),
            "rules": self.rules.record(),
            "entry": self.entry.record(),
            "hosts": [*former, *hosts],
        }

    # --- tokens ---

    def issue(self, participant_id: str, role: Role) -> str:
        """A new token."""
        self.had_host = self.had_host or role is Role.HOST
        return self._tokens.issue(self.name, Claim(self.room_id, self.settings, role, participant_id))

    def _read(self, token: str) -> Claim | None:
        """What a token of this room says, also when its participant was removed."""
        claim = self._tokens.read(self.name, token)
        return claim if claim is not None and claim.room_id == self.room_id else None

    def claim(self, token: str) -> Claim | None:
        """What a token of this room says, unless its participant was removed."""
        claim = self._read(token)
        return None if claim is None or self.entry.was_removed(claim.participant) else claim

    def _returning(self, token: str, now: float) -> Claim | None:
        """The claim of somebody who was there before the restart that the room has just come through."""
        return self.claim(token) if now < self.restored_until else None

    def remember_host(self, participant_id: str) -> None:
        """Their token is good for the role, as one of the last MAX_FORMER_HOSTS."""
        self._former_hosts[participant_id] = None
        self._former_hosts.move_to_end(participant_id)
        while len(self._former_hosts) > MAX_FORMER_HOSTS:
            self._former_hosts.popitem(last=False)

    def forget_host(self, participant_id: str) -> None:
        """Their tokens of that role are good for it no more."""
        self._former_hosts.pop(participant_id, None)

    def was_host(self, token: str) -> bool:
        """Whether this is the token of a host whose seat has ended."""
        claim = self.claim(token)
        return claim is not None and claim.role is Role.HOST and claim.participant in self._former_hosts

    # --- who gets in ---

    def is_expected(self, join: Join, now: float, wall: float) -> bool:
        """Whether they need no password and wait for nobody."""
        return (
            self.entry.is_host_key(join.host_key)
            or self.entry.is_invited(join.invitation, wall)
            or self.was_host(join.resume)
            or self._returning(join.resume, now) is not None
        )

    def asks_password(self, join: Join, now: float, wall: float) -> bool:
        """Whether it depends on the password."""
        return self.rules.password.required and not self.is_expected(join, now, wall)

    def must_wait(self, join: Join, source: str, now: float, wall: float) -> bool:
        """Whether who comes new waits for a host; JoinRefusedError when they may not come."""
        returning = self._read(join.resume)
        if returning is not None and self.entry.tell_removal(returning.participant):
            raise JoinRefusedError("denied", "a host removed you from this room")
        if self.is_expected(join, now, wall):
            return False
        # Whose seat has ended, as that of a page that was reloaded has, is nobody new as long as the room lives.
        known = self.claim(join.resume) is not None
        # Who speaks HTTP has one token for all purposes.
        late = join.invitation not in ("", join.password)
        if self.entry.is_banned(source) and not known:
            raise JoinRefusedError("banned", "this address may not come into this room")
        if self.rules.locked and not known:
            raise JoinRefusedError("invitation" if late else "locked", "this room takes nobody new")
        if not self.rules.password.admits(join.password):
            if late and not join.password:
                raise JoinRefusedError("invitation", "the invitation is over")
            raise JoinRefusedError("password", "wrong room password" if join.password else "this room has a password")
        return self.rules.lobby and not known

    def role_of_next(self, join: Join, asked: Role | None, now: float) -> Role:
        """What the next to come is. `asked`: what the server itself lets in as, for a client that is nobody's host."""
        audience = Role.VIEWER if self.settings.mode is Mode.BROADCAST else Role.SPEAKER
        if asked is not None:
            return audience if asked is Role.VIEWER else Role.SPEAKER
        if self.entry.is_host_key(join.host_key) or self.was_host(join.resume):
            return Role.HOST
        if now >= self.restored_until:
            return audience if self.had_host else Role.HOST
        claim = self._returning(join.resume, now)
        if claim is None:
            return audience
        # A record knows who was host; without one the token alone says it.
        return Role.SPEAKER if self._recorded and claim.role is Role.HOST else claim.role
