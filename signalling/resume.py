"""Resume tokens: the key to a seat, and after a restart of the server the proof of what it was.

A token is found again as it is while its seat lives. It also says, signed, of which room it is, whose and in which
role, so that a server that knows nothing any more can make the room as it was, with its host as host and its viewers as
viewers, each under the id they had.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
from typing import NamedTuple

from signalling.access import ID_BYTES
from signalling.client_messages import MAX_UPLINK_KBPS, Mode, RoomSettings, VideoCodec
from signalling.server_messages import Role

KEY_BYTES = 32
# 16 random bytes, room id, participant id, indices of role, mode and codec, uplink_kbps; then the MAC. All in network
# byte order.
_LAYOUT = struct.Struct(f">16s8s{ID_BYTES}sBBBI")
_MAC_BYTES = 16
_ROLES, _MODES, _CODECS = tuple(Role), tuple(Mode), tuple(VideoCodec)


class Claim(NamedTuple):
    """What a token says: which life of the room of that name (a new one has another id), its settings, who, what in it.

    `participant` is an id as `signalling.access.new_id` makes them.
    """

    room_id: bytes
    settings: RoomSettings
    role: Role
    participant: str


def new_room_id() -> bytes:
    """Eight random bytes."""
    return secrets.token_bytes(8)


class ResumeTokens:
    """Makes and reads tokens. Whoever has the key can make any, so it is kept like a password."""

    def __init__(self, key: bytes | None = None) -> None:
        """None: a key of its own, whose tokens say nothing after a restart."""
        self._key = key or secrets.token_bytes(KEY_BYTES)

    def _mac(self, room_name: str, content: bytes) -> bytes:
        return hmac.digest(self._key, content + room_name.encode(), hashlib.sha256)[:_MAC_BYTES]

    def issue(self, room_name: str, claim: Claim) -> str:
        """A new token, 128 of its bits random; URL-safe."""
        settings = claim.settings
        content = _LAYOUT.pack(
            secrets.token_bytes(16),
            claim.room_id,
            bytes.fromhex(claim.participant),
            _ROLES.index(claim.role),
            _MODES.index(settings.mode),
            _CODECS.index(settings.video),
            settings.uplink_kbps,
        )
        return base64.urlsafe_b64encode(content + self._mac(room_name, content)).decode().rstrip("=")

    def read(self, room_name: str, token: str) -> Claim | None:
        """What a token of ours for that room says; None for any other text."""
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except ValueError:
            return None
        content, mac = data[: _LAYOUT.size], data[_LAYOUT.size :]
        if len(content) != _LAYOUT.size or not hmac.compare_digest(mac, self._mac(room_name, content)):
            return None
        _, room_id, participant, role, mode, codec, uplink_kbps = _LAYOUT.unpack(content)
        if role >= len(_ROLES) or mode >= len(_MODES) or codec >= len(_CODECS) or uplink_kbps > MAX_UPLINK_KBPS:
            return None
        settings = RoomSettings(mode=_MODES[mode], video=_CODECS[codec], uplink_kbps=uplink_kbps)
        return Claim(room_id, settings, _ROLES[role], participant.hex())
