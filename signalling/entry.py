"""The ways into a room: its host key, invitations, and who is kept out.

An `Entry` belongs to its room. `wall` is seconds since 1970, since an invitation outlives the process.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from signalling.access import new_id, new_token
from signalling.client_messages import ErrorCode
from signalling.server_messages import BanView, InvitationView

MAX_INVITATIONS: Final = 50
MAX_BANS: Final = 200
# Of whom was removed, so that a token from before a restart is worth nothing either.
MAX_REMOVED: Final = 500


class JoinRefusedError(Exception):
    """There is no seat for this client; `code` is for the wire, `retry_ms` says when to come back if it makes sense."""

    def __init__(self, code: ErrorCode, message: str, *, retry_ms: int | None = None) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message
        self.retry_ms = retry_ms


class FullError(Exception):
    """There are as many as there may be; the text is for people."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """A way in until `expires`. The token is kept as it is, since hosts are shown it."""

    id: str
    token: str
    label: str
    expires: float

    def view(self) -> InvitationView:
        """What hosts are told."""
        return InvitationView(id=self.id, token=self.token, label=self.label, expires=self.expires)


@dataclass(frozen=True, slots=True)
class Ban:
    """Nobody new comes from `source`; `name` is whom it was meant for."""

    id: str
    name: str
    source: str

    def view(self) -> BanView:
        """What hosts are told."""
        return BanView(id=self.id, name=self.name)


class Entry:
    """The doors of one room."""

    def __init__(self) -> None:
        self.host_key = new_token()
        self.invitations: dict[str, Invitation] = {}
        self.bans: dict[str, Ban] = {}
        self._removed: OrderedDict[str, bool] = OrderedDict()

    # --- the host key ---

    def is_host_key(self, key: str) -> bool:
        """Whether `key` is the room's, in a time that does not tell how nearly it is."""
        return hmac.compare_digest(self.host_key.encode(), key.encode())

    def change_host_key(self) -> None:
        """The one before is good for nothing from now on."""
        self.host_key = new_token()

    # --- invitations ---

    def invite(self, seconds: float, label: str, wall: float) -> Invitation:
        """A new one; FullError."""
        self.expire(wall)
        if len(self.invitations) >= MAX_INVITATIONS:
            raise FullError(f"there are {MAX_INVITATIONS} invitations")
        invitation = Invitation(new_id(), new_token(), label, round(wall + seconds, 3))
        self.invitations[invitation.id] = invitation
        return invitation

    def is_invited(self, token: str, wall: float) -> bool:
        """Whether `token` is that of an invitation that is still good. All are compared, whatever is found."""
        given = token.encode()
        found = [
            hmac.compare_digest(each.token.encode(), given) for each in self.invitations.values() if each.expires > wall
        ]
        return any(found)

    def expire(self, wall: float) -> bool:
        """Forgets those that are over; whether there were any."""
        over = [each.id for each in self.invitations.values() if each.expires <= wall]
        for invitation_id in over:
            del self.invitations[invitation_id]
        return bool(over)

    # --- who is kept out ---

    def ban(self, name: str, source: str) -> None:
        """Keeps that source out; FullError."""
        if len(self.bans) >= MAX_BANS:
            raise FullError(f"there are {MAX_BANS} bans; lift one first")
        ban = Ban(new_id(), name, source)
        self.bans[ban.id] = ban

    def is_banned(self, source: str) -> bool:
        """Whether nobody new comes from there."""
        return any(ban.source == source for ban in self.bans.values())

    def remove(self, participant_id: str, *, told: bool) -> None:
        """Makes all tokens of that participant worth nothing; `told`: their client knows."""
        self._removed[participant_id] = told
        if len(self._removed) > MAX_REMOVED:
            self._removed.popitem(last=False)

    def was_removed(self, participant_id: str) -> bool:
        """Whether they were, one of the last MAX_REMOVED."""
        return participant_id in self._removed

    def tell_removal(self, participant_id: str) -> bool:
        """Whether their client does not know yet that they were removed; it does from now on."""
        untold = self._removed.get(participant_id) is False
        if untold:
            self._removed[participant_id] = True
        return untold

    # --- storage ---

    def record(self) -> dict[str, Any]:
        """What can be stored."""
        return {
            "host_key": self.host_key,
            "invitations": [asdict(each) for each in self.invitations.values()],
            "bans": [asdict(each) for each in self.bans.values()],
            "removed": list(self._removed),
        }

    @classmethod
    def restored(cls, record: Mapping[str, Any]) -> Entry:
        """As `record` says; KeyError, TypeError, ValueError."""
        entry = cls()
        entry.host_key = _text(record["host_key"])
        for each in record["invitations"]:
            invitation_id, token, label = map(_text, (each["id"], each["token"], each["label"]))
            invitation = Invitation(invitation_id, token, label, float(each["expires"]))
            entry.invitations[invitation.id] = invitation
        for each in record["bans"]:
            ban = Ban(*map(_text, (each["id"], each["name"], each["source"])))
            entry.bans[ban.id] = ban
        entry._removed = OrderedDict.fromkeys(map(_text, record["removed"]), True)
        return entry


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value
