"""The rules of a room: who may come in without a host's doing, and what those who are not hosts may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from signalling.access import RoomPassword
from signalling.client_messages import RIGHTS, ChangeRules
from signalling.server_messages import Rules


def _all_rights() -> Mapping[str, bool]:
    return dict.fromkeys(RIGHTS, True)


@dataclass(frozen=True, slots=True)
class RoomRules:
    """What hosts may change for all in the room."""

    password: RoomPassword
    locked: bool = False
    """Nobody new comes in."""
    lobby: bool = False
    """Who comes new waits for a host."""
    rights: Mapping[str, bool] = field(default_factory=_all_rights)
    """Of RIGHTS, for those who are not hosts."""

    def changed(self, change: ChangeRules) -> RoomRules:
        """These rules with what `change` speaks of."""
        return replace(
            self,
            password=self.password if change.password is None else RoomPassword(change.password),
            locked=self.locked if change.locked is None else change.locked,
            lobby=self.lobby if change.lobby is None else change.lobby,
            rights={**self.rights, **change.rights},
        )

    def view(self) -> Rules:
        """What all are told."""
        return Rules(locked=self.locked, lobby=self.lobby, password=self.password.required, rights=self.rights)

    def record(self) -> dict[str, Any]:
        """What can be stored."""
        return {
            "password": self.password.record(),
            "locked": self.locked,
            "lobby": self.lobby,
            "rights": dict(self.rights),
        }

    @classmethod
    def restored(cls, record: Mapping[str, Any]) -> RoomRules:
        """As `record` says; ValueError, KeyError, TypeError."""
        return cls(
            RoomPassword.restored(record["password"]),
            locked=bool(record["locked"]),
            lobby=bool(record["lobby"]),
            rights={right: bool(record["rights"].get(right, True)) for right in RIGHTS},
        )
