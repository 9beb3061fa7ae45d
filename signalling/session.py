"""One client's side of the protocol, without input or output: order, rate, liveness.

`receive` takes what came over the socket and answers with what is to be done: `Reply` (send this), `Accepted` (act on
this message) and `End` (send this if there is something, then close). State belongs to the socket's owner, which calls
`handle_timer` about twice a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from signalling.access import TokenBucket
from signalling.client_messages import (
    MAX_MESSAGE_BYTES,
    ClientMessage,
    ErrorCode,
    Join,
    Leave,
    MalformedMessage,
    Ping,
    Pong,
)
from signalling.message_reader import decode
from signalling.server_messages import Closing, Error, ServerMessage, ServerPing, ServerPong

PING_SECONDS = 5.0
TIMEOUT_SECONDS = 12.0
# A socket that does not get a seat within this is closed, pings or not.
JOIN_SECONDS = 12.0

# Burst and messages per second for each scope. "message" covers everything, before it is read.
RATES: Final[Mapping[str, tuple[float, float]]] = {
    "message": (200, 50),
    "negotiation": (20, 4),
    "state": (20, 5),
    "view": (20, 5),
    "stage": (20, 5),
    "chat": (10, 2),
    "ask": (5, 0.2),
    "vote": (30, 5),
    "hand": (10, 1),
    "reaction": (10, 2),
    "moderation": (20, 5),
}
# So many refused messages, won back slowly, and the socket is closed.
REFUSALS = (60, 1.0)

INVALID = "invalid"

_SCOPES: Final[Mapping[str, str]] = {
    "publish": "negotiation",
    "answer": "negotiation",
    "resubscribe": "negotiation",
    "state": "state",
    "view": "view",
    "stage": "stage",
    "chat": "chat",
    "ask": "ask",
    "vote": "vote",
    "answered": "vote",
    "withdraw": "vote",
    "hand": "hand",
    "reaction": "reaction",
    **dict.fromkeys(("rules", "admit", "moderate", "lift-ban", "invite", "revoke", "end"), "moderation"),
}
_FATAL: Final = frozenset({"version", "too-large", "password", "room-full", "draining"})


class Phase(Enum):
    """How far the socket has come."""

    NEW = auto()
    WAITING = auto()
    """For a host to let it in."""
    JOINED = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class Reply:
    """Send this."""

    message: ServerMessage


@dataclass(frozen=True, slots=True)
class Accepted:
    """The client may ask this now: do it. A Join is followed by `joined` or `refuse`."""

    message: ClientMessage


@dataclass(frozen=True, slots=True)
class End:
    """Send `message` and close the socket with this RFC 6455 §7.4 code."""

    message: ServerMessage | None
    code: int


# RFC 6455 §7.4.1 and its registry.
CLOSE_NORMAL = 1000
CLOSE_GOING_AWAY = 1001
CLOSE_POLICY = 1008
CLOSE_TOO_LARGE = 1009
CLOSE_INTERNAL = 1011
CLOSE_RESTART = 1012
CLOSE_OVERLOADED = 1013

_CLOSE_CODES: Final[Mapping[str, int]] = {
    "draining": CLOSE_RESTART,
    "too-large": CLOSE_TOO_LARGE,
    "internal": CLOSE_INTERNAL,
}

Effect = Reply | Accepted | End


class Session:
    """What is known of one socket."""

    def __init__(self, now: float) -> None:
        self.phase = Phase.NEW
        self.opened_at = now
        self.received_at = now
        self._ping_at = now + PING_SECONDS
        self._buckets = {scope: TokenBucket(burst, rate, now) for scope, (burst, rate) in RATES.items()}
        self._refusals = TokenBucket(*REFUSALS, now)
        self.limited_scope: str | None = None
        self.received_type = INVALID

    # --- what came in ---

    def receive(self, text: str, now: float) -> Iterator[Effect]:
        """Effects of one text message. `received_type` and `limited_scope`, the limit it ran into, tell about it."""
        self.limited_scope, self.received_type = None, INVALID
        if self.phase is Phase.ENDED:
            return
        self._heard(now)
        if not self._buckets["message"].take(now):
            yield from self._limit("message", None, now)
            return
        try:
            message = decode(text)
        except MalformedMessage as error:
            yield from self.refuse(error.code, error.message, now, error.request)
            return
        self.received_type = message.type
        yield from self._in_order(message, now)

    def receive_binary(self, now: float) -> Iterator[Effect]:
        """Effects of a binary message, which the protocol does not have."""
        self.limited_scope, self.received_type = None, INVALID
        if self.phase is Phase.ENDED:
            return
        self._heard(now)
        yield from self.refuse("malformed", "messages are text", now)

    def _heard(self, now: float) -> None:
        self.received_at = now
        self._ping_at = now + PING_SECONDS

    def _in_order(self, message: ClientMessage, now: float) -> Iterator[Effect]:
        if isinstance(message, Join):
            if self.phase is Phase.NEW:
                yield Accepted(message)
            else:
                yield from self.refuse("already-joined", "this socket has joined", now, message.request)
            return
        if self.phase is not Phase.JOINED and not self._while_waiting(message):
            yield from self.refuse("not-joined", "join first", now, message.request)
            return
        scope = _SCOPES.get(message.type)
        if scope is not None and not self._buckets[scope].take(now):
            yield from self._limit(scope, message.request, now)
        elif isinstance(message, Ping):
            yield Reply(ServerPong(request=message.request))
        elif not isinstance(message, Pong):
            yield Accepted(message)
            if isinstance(message, Leave):
                yield self._end(Closing(reason="left", request=message.request), CLOSE_NORMAL)

    def _while_waiting(self, message: ClientMessage) -> bool:
        return self.phase is Phase.WAITING and isinstance(message, Ping | Pong | Leave)

    # --- what is answered ---

    def _limit(self, scope: str, request: str | None, now: float) -> Iterator[Effect]:
        self.limited_scope = scope
        yield from self.refuse("rate", "too many messages", now, request)

    def refuse(
        self, code: ErrorCode, message: str, now: float, request: str | None = None, *, retry_ms: int | None = None
    ) -> Iterator[Effect]:
        """The error, and the end when it is a fatal one or one too many."""
        if code in _FATAL or not self._refusals.take(now):
            error = Error(code=code, message=message, fatal=True, request=request, retry_ms=retry_ms)
            yield self._end(error, _close_code(code))
        else:
            yield Reply(Error(code=code, message=message, request=request, retry_ms=retry_ms))

    def refuse_join(
        self, code: ErrorCode, message: str, request: str | None = None, *, retry_ms: int | None = None
    ) -> End:
        """The end of a socket whose join is refused."""
        return self._end(
            Error(code=code, message=message, fatal=True, request=request, retry_ms=retry_ms), _close_code(code)
        )

    def too_large(self) -> End:
        """The end after a message over the limit."""
        limit = f"messages are at most {MAX_MESSAGE_BYTES} bytes"
        return self._end(Error(code="too-large", message=limit, fatal=True), CLOSE_TOO_LARGE)

    def waiting(self) -> None:
        """A host has to let it in, who may take their time."""
        self.phase = Phase.WAITING

    def joined(self) -> None:
        """The seat is taken."""
        self.phase = Phase.JOINED

    def ended(self) -> None:
        """The socket is gone, or about to go for a reason of the server's."""
        self.phase = Phase.ENDED

    def _end(self, message: ServerMessage | None, code: int) -> End:
        self.phase = Phase.ENDED
        return End(message, code)

    # --- time ---

    def handle_timer(self, now: float) -> Iterator[Effect]:
        """A ping when the client is silent, the end when it stays so or never joins."""
        if self.phase is Phase.ENDED:
            return
        unjoined = self.phase is Phase.NEW and now >= self.opened_at + JOIN_SECONDS
        if unjoined or now >= self.received_at + TIMEOUT_SECONDS:
            yield self._end(Closing(reason="timeout"), CLOSE_POLICY)
        elif now >= self._ping_at:
            self._ping_at = now + PING_SECONDS
            yield Reply(ServerPing())

    def next_timer(self) -> float:
        """When `handle_timer` has something to do."""
        deadline = min(self._ping_at, self.received_at + TIMEOUT_SECONDS)
        return min(deadline, self.opened_at + JOIN_SECONDS) if self.phase is Phase.NEW else deadline


def _close_code(code: ErrorCode) -> int:
    return _CLOSE_CODES.get(code, CLOSE_POLICY)
