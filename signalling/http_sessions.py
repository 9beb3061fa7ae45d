"""WHIP and WHEP sessions: seats whose clients speak HTTP instead of our protocol (RFC 9725, draft-ietf-wish-whep).

A session ends by its client's DELETE, when its peer connection fails (no ICE for long enough, DTLS closed), when the
room takes its seat away, and with the server. `HttpSessions` belongs to the service; `now` is monotonic seconds.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from enum import StrEnum

from signalling.access import new_id, new_token
from signalling.media import IceFragment
from signalling.rooms import Rooms
from signalling.seat import Seat
from signalling.server_messages import Frame, MediaLost, Role, RoleChange, ServerMessage

MAX_SESSIONS = 2048
MAX_SESSIONS_OF_SOURCE = 400
MAX_FORMER = 1024


class Kind(StrEnum):
    """Which of the two protocols; also the last part of the endpoint's path."""

    WHIP = "whip"
    WHEP = "whep"


class HttpSession:
    """One publisher or viewer: the resource behind a session URL, and the connection that its seat sees."""

    def __init__(self, kind: Kind, seat: Seat, source: str) -> None:
        self.id = new_token()
        self.kind = kind
        self.seat = seat
        self.source = source
        self.etag = new_id()
        """Stands for the present ICE session."""
        self.lost = False
        """To be ended."""

    @property
    def path(self) -> str:
        """The session URL, relative to the server."""
        return f"/r/{self.seat.room.name}/{self.kind}/{self.id}"

    def trickle(self, fragment: IceFragment) -> str | None:
        """Our fragment and a new `etag` after a restart of ICE, None when it was none; SdpError."""
        text = self.seat.media.trickle(fragment)
        if text is not None:
            self.etag = new_id()
        return text

    def send(self, frame: Frame) -> None:
        """What the client would be told: heard only if it means that the session is over."""
        off_stage = frame.type == RoleChange.type and self.seat.role is Role.VIEWER
        if frame.type == MediaLost.type or (self.kind is Kind.WHIP and off_stage):
            self.lost = True

    def close(self, message: ServerMessage | None, code: int) -> None:
        """The seat has ended or will."""
        del message, code
        self.lost = True


class HttpSessions:
    """All of them, by id."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._sessions: dict[str, HttpSession] = {}
        self._of_source: Counter[str] = Counter()
        self._former: OrderedDict[str, None] = OrderedDict()

    def has_place(self, source: str, *, exempt: bool) -> bool:
        """Whether one more fits in; `exempt`: `source` itself may have any number."""
        of_source = 0 if exempt else self._of_source[source]
        return len(self._sessions) < MAX_SESSIONS and of_source < MAX_SESSIONS_OF_SOURCE

    def open(self, kind: Kind, seat: Seat, source: str) -> HttpSession:
        """Makes `seat` known to its room as somebody who is there."""
        session = HttpSession(kind, seat, source)
        self._sessions[session.id] = session
        self._of_source[source] += 1
        self._rooms.attach(seat, session, resumed=False)
        return session

    def get(self, kind: Kind, room_name: str, session_id: str) -> HttpSession | None:
        """The session under that URL; perhaps it is `lost`."""
        session = self._sessions.get(session_id)
        if session is None or session.kind is not kind or session.seat.room.name != room_name:
            return None
        return session

    def end(self, session: HttpSession, now: float) -> None:
        """Ends the seat too, and with it ICE and DTLS (RFC 7675 §5.2)."""
        session.lost = True
        if self._sessions.pop(session.id, None) is None:
            return
        self._former[session.path] = None
        if len(self._former) > MAX_FORMER:
            self._former.popitem(last=False)
        self._of_source[session.source] -= 1
        self._of_source += Counter()  # keeps what is positive
        self._rooms.leave(session.seat, now)

    def is_over(self, path: str) -> bool:
        """Whether this was the path of a session that has ended, one of the last MAX_FORMER."""
        return path in self._former

    def end_all(self, now: float) -> None:
        """Nobody stays."""
        for session in list(self._sessions.values()):
            self.end(session, now)

    def handle_timer(self, now: float) -> None:
        """Ends what is over. Not where that was noticed: there, connections are in the middle of their work."""
        for session in [each for each in self._sessions.values() if each.lost or each.seat.ended]:
            self.end(session, now)

    def count(self, kind: Kind) -> int:
        """How many there are of one protocol."""
        return sum(session.kind is kind for session in self._sessions.values())
