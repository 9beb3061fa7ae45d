"""What is done for one client: its session's effects carried out on the rooms.

The `Reception` belongs to the service and is shared; a `Conversation` belongs to one socket's handler and is the
connection that its seat sees.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from signalling.access import SourceLimiter, TokenBucket
from signalling.audience import MAX_VIEWERS_LISTED
from signalling.client_messages import (
    MAX_CHAT_LENGTH,
    MAX_MESSAGE_BYTES,
    MAX_NAME_LENGTH,
    MAX_TILES,
    RIGHTS,
    Answer,
    Ask,
    Chat,
    ClientMessage,
    ErrorCode,
    Join,
    Leave,
    MarkAnswered,
    Publish,
    Resubscribe,
    Stage,
    State,
    View,
    Vote,
    Withdraw,
)
from signalling.counters import Counters
from signalling.hosts import HostAddresses, is_loopback
from signalling.media import SdpError
from signalling.room import Room
from signalling.rooms import JoinRefusedError, Rooms
from signalling.seat import ForbiddenError, Seat, UnknownError
from signalling.server_messages import Closing, Error, Frame, Joined, Published, Role, Rules, ServerMessage, encode
from signalling.session import (
    CLOSE_RESTART,
    INVALID,
    PING_SECONDS,
    TIMEOUT_SECONDS,
    Accepted,
    Effect,
    End,
    Phase,
    Reply,
    Session,
)
from signalling.turnstile import Rank, Turnstile
from signalling.websocket import Socket

logger = logging.getLogger(__name__)

IceServers = Callable[[str, str], Sequence[dict[str, object]]]

# Burst and attempts per second for one source. A webinar's viewers behind one address all come at once, and again after
# a restart. What a join costs is paced by the turnstile; this keeps one source from taking all the server's seats.
JOINS: Final = (600, 10.0)
WRONG_PASSWORDS: Final = (10, 0.1)
SESSION_REQUESTS: Final = (100, 10.0)  # of WHIP and WHEP
DRAINING_RETRY_MS: Final = 1000


class Reception:
    """What all conversations share."""

    def __init__(
        self,
        rooms: Rooms,
        counters: Counters,
        ice_servers: IceServers,
        addresses: HostAddresses,
        turnstile: Turnstile,
        version: str,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.rooms = rooms
        self.counters = counters
        self.ice_servers = ice_servers
        self.addresses = addresses
        self.turnstile = turnstile
        self.version = version
        self.clock = clock
        self.wall = wall
        self.leaving = False
        """No newcomers; who has a seat can take it back."""
        self.draining = False
        """No joins at all."""
        self.joins = SourceLimiter(*JOINS)
        self.wrong_passwords = SourceLimiter(*WRONG_PASSWORDS)
        self.session_requests = SourceLimiter(*SESSION_REQUESTS)

    def check(self, source: str, *, returning: bool = False) -> None:
        """JoinRefusedError when nobody may join now, or not so often from `source`; who is `returning` has a seat."""
        if self.draining or (self.leaving and not returning):
            raise JoinRefusedError("draining", "the server restarts", retry_ms=DRAINING_RETRY_MS)
        if not is_loopback(source) and not self.joins.take(source, self.clock()):
            self.counters.rate_limited["join"] += 1
            raise JoinRefusedError("rate", "too many joins from this address", retry_ms=5000)

    def check_guesses(self, room: Room | None, source: str) -> None:
        """JoinRefusedError when the room has a password and `source` gave too many wrong ones."""
        if room is not None and room.password.required and self.wrong_passwords.exhausted(source, self.clock()):
            self.counters.rate_limited["password"] += 1
            raise JoinRefusedError("rate", "too many wrong passwords from this address", retry_ms=10_000)

    def wrong_password(self, source: str) -> None:
        """Counts one against `source`."""
        self.wrong_passwords.take(source, self.clock())
        self.counters.auth_failures["password"] += 1

    def take(
        self, room_name: str, join: Join, source: str, addresses: Sequence[str], *, silent_as: Role | None = None
    ) -> Seat:
        """A new seat; JoinRefusedError. See `Rooms.take`."""
        try:
            return self.rooms.take(room_name, join, self.clock(), addresses, silent_as=silent_as)
        except JoinRefusedError as error:
            if error.code == "password":
                self.wrong_password(source)
            raise


class Conversation:
    """One client, from its socket's opening to its end."""

    def __init__(self, reception: Reception, socket: Socket, *, room_name: str, host: str, source: str) -> None:
        self._reception = reception
        self._socket = socket
        self._room_name = room_name
        self._host = host
        self._source = source
        self._session = Session(reception.clock())
        self._seat: Seat | None = None

    # --- the seat's connection ---

    def send(self, frame: Frame) -> None:
        """Queues the frame."""
        self._socket.send(frame)

    def close(self, message: ServerMessage | None, code: int) -> None:
        """Closes the socket; the seat is kept unless it has been given up or taken over."""
        self._session.ended()
        self._socket.close(message, code)
        self._release()

    def drain(self, retry_ms: int) -> None:
        """Sends the client away to come back later."""
        self.close(Closing(reason="draining", retry_ms=retry_ms), CLOSE_RESTART)

    # --- the socket's receiver ---

    async def receive_text(self, text: str) -> None:
        """One text message."""
        await self._act(self._session.receive(text, self._reception.clock()))

    async def receive_binary(self) -> None:
        """One binary message."""
        await self._act(self._session.receive_binary(self._reception.clock()))

    def too_large(self) -> ServerMessage | None:
        """What is said about a message over the limit."""
        self._reception.counters.messages_in[INVALID] += 1
        end = self._session.too_large()
        self._release()
        return end.message

    def gone(self, *, for_good: bool = False) -> None:
        """The socket is closed or broken; `for_good`: the client gave up its seat by that."""
        self._session.ended()
        seat = self._seat
        self._release()
        if for_good and seat is not None and seat.connection is None:
            self._reception.rooms.leave(seat, self._reception.clock())

    def handle_timer(self, now: float) -> None:
        """Pings a silent client and ends a dead one."""
        for effect in self._session.handle_timer(now):
            self._carry_out(effect)

    def _release(self) -> None:
        seat, self._seat = self._seat, None
        if seat is not None:
            self._reception.rooms.detach(seat, self, self._reception.clock())

    # --- effects ---

    async def _act(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if not isinstance(effect, Accepted):
                self._carry_out(effect)
            elif isinstance(effect.message, Join):
                await self._guarded_join(effect.message)
            else:
                await self._serve_in_turn(effect.message)
        counters = self._reception.counters
        counters.messages_in[self._session.received_type] += 1
        if self._session.limited_scope is not None:
            counters.rate_limited[self._session.limited_scope] += 1

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, Reply):
            self.send(encode(effect.message))
        elif isinstance(effect, End):
            if isinstance(effect.message, Error) and effect.message.code == "version":
                self._reception.counters.joins["version"] += 1
            self.close(effect.message, effect.code)

    def _refuse(self, code: ErrorCode, message: str, request: str | None) -> None:
        for effect in self._session.refuse(code, message, self._reception.clock(), request):
            self._carry_out(effect)

    # --- joining ---

    async def _guarded_join(self, join: Join) -> None:
        """A fault of ours costs this client its socket and nobody anything else."""
        started_at = self._reception.clock()
        try:
            await self._join(join, started_at)
        except JoinRefusedError as error:
            self._refuse_join(error.code, error.message, join.request, retry_ms=error.retry_ms)
        except Exception:
            logger.exception("joining failed")
            self._reception.counters.internal_errors += 1
            self._refuse_join("internal", "the server failed", join.request)

    def _refuse_join(self, code: ErrorCode, message: str, request: str | None, *, retry_ms: int | None = None) -> None:
        self._reception.counters.joins[code] += 1
        self._carry_out(self._session.refuse_join(code, message, request, retry_ms=retry_ms))

    async def _join(self, join: Join, started_at: float) -> None:
        reception = self._reception
        reception.check(self._source, returning=bool(join.resume))
        room = reception.rooms.get(self._room_name)
        returning = room is not None and room.seat_of(join.resume) is not None
        addresses = () if returning else await reception.addresses.of(self._host)
        audience = not returning and room is not None and room.broadcast and not room.was_host(join.resume)
        rank = Rank.AUDIENCE if audience else Rank.STAGE
        await reception.turnstile.run(rank, lambda: self._sit_down(join, addresses, started_at))

    def _sit_down(self, join: Join, addresses: Sequence[str], started_at: float) -> None:
        """Takes the seat or a new one and tells the client all it needs; JoinRefusedError."""
        reception = self._reception
        if self._session.phase is Phase.ENDED:
            return
        seat = reception.rooms.resume(self._room_name, join) if join.resume else None
        if join.resume:
            reception.counters.reconnects["resumed" if seat is not None else "unknown"] += 1
        resumed = seat is not None
        if seat is None:
            if reception.leaving:
                raise JoinRefusedError("draining", "the server restarts", retry_ms=DRAINING_RETRY_MS)
            reception.check_guesses(reception.rooms.get(self._room_name), self._source)
            seat = reception.take(self._room_name, join, self._source, addresses)
        self._welcome(seat, join, resumed)
        reception.counters.joins["resumed" if resumed else "ok"] += 1
        reception.counters.join_seconds.observe(reception.clock() - started_at)

    def _welcome(self, seat: Seat, join: Join, resumed: bool) -> None:
        reception = self._reception
        self._session.joined()
        self._seat = seat
        self.send(encode(self._joined(seat, join, resumed)))
        reception.rooms.attach(seat, self, resumed=resumed)
        if join.subscribe and not resumed:
            seat.subscribe(fresh=False, restart=False)

    def _joined(self, seat: Seat, join: Join, resumed: bool) -> Joined:
        reception = self._reception
        limits = reception.rooms.limits
        return Joined(
            request=join.request,
            room=seat.room.name,
            own_id=seat.id,
            resumed=resumed,
            resume={"token": seat.token, "seconds": int(limits.keep_seconds)},
            settings=seat.room.settings,
            role=seat.role,
            audience=len(seat.room.viewers),
            participants=seat.room.others(seat),
            rules=Rules(
                locked=False,
                lobby=False,
                password=seat.room.password.required,
                rights=dict.fromkeys(RIGHTS, True),
            ),
            questions=seat.room.questions.shown_to(seat.id),
            chat=seat.room.chat.shown_to(seat.id),
            ice_servers=reception.ice_servers(self._host, seat.id),
            heartbeat={"interval_ms": int(PING_SECONDS * 1000), "timeout_ms": int(TIMEOUT_SECONDS * 1000)},
            limits={
                "name": MAX_NAME_LENGTH,
                "chat": MAX_CHAT_LENGTH,
                "message_bytes": MAX_MESSAGE_BYTES,
                "participants": limits.participants,
                "viewers": limits.viewers,
                "viewers_listed": MAX_VIEWERS_LISTED,
                "tiles": MAX_TILES,
            },
            server={"version": reception.version},
        )

    # --- everything else ---

    async def _serve_in_turn(self, message: ClientMessage) -> None:
        """At once, but negotiation, which takes long, in its turn."""
        if self._seat is not None and isinstance(message, Publish | Answer | Resubscribe):
            rank = Rank.AUDIENCE if self._seat.role is Role.VIEWER else Rank.STAGE
            await self._reception.turnstile.run(rank, lambda: self._guarded_serve(message))
        else:
            self._guarded_serve(message)

    def _guarded_serve(self, message: ClientMessage) -> None:
        seat = self._seat
        if seat is None:
            return
        try:
            self._serve(seat, message)
        except SdpError as error:
            self._refuse("sdp", str(error), message.request)
        except ForbiddenError as error:
            self._refuse("forbidden", str(error), message.request)
        except UnknownError as error:
            self._refuse("unknown", str(error), message.request)
        except Exception:
            logger.exception("serving a %s message failed", message.type)
            self._reception.counters.internal_errors += 1
            self._refuse("internal", "the server failed", message.request)

    def _serve(self, seat: Seat, message: ClientMessage) -> None:
        match message:
            case Publish() | Answer() | Resubscribe():
                self._negotiate(seat, message)
            case State():
                if seat.set_state(message):
                    seat.room.announce("changed", seat)
            case View(tiles=tiles):
                seat.set_view(tiles)
            case Stage(participant=participant, on=on):
                seat.room.set_stage(seat, participant, on, self._reception.clock())
            case Chat():
                self._say(seat, message)
            case Ask() | Vote() | MarkAnswered() | Withdraw():
                self._question(seat, message)
            case Leave():
                self._seat = None
                self._reception.rooms.leave(seat, self._reception.clock())

    def _say(self, seat: Seat, message: Chat) -> None:
        if self._in_the_audiences_rate(seat, seat.room.viewers_chat, message):
            seat.room.chat.say(seat, message.text, message.to, self._reception.wall(), message.request)

    def _question(self, seat: Seat, message: Ask | Vote | MarkAnswered | Withdraw) -> None:
        if not seat.room.broadcast:
            raise ForbiddenError("in a meeting everybody can ask aloud")
        rate = seat.room.questions.viewers_rate
        if not isinstance(message, Ask) or self._in_the_audiences_rate(seat, rate, message):
            seat.room.questions.serve(seat, message, self._reception.wall())

    def _in_the_audiences_rate(self, seat: Seat, rate: TokenBucket, message: ClientMessage) -> bool:
        """Whether a viewer may write now; refuses when all of them together write too much."""
        if seat.role is not Role.VIEWER or rate.take(self._reception.clock()):
            return True
        self._reception.counters.rate_limited["audience"] += 1
        self._refuse("rate", "the viewers write too much", message.request)
        return False

    def _negotiate(self, seat: Seat, message: Publish | Answer | Resubscribe) -> None:
        match message:
            case Publish(sdp=sdp, tracks=tracks):
                answer, changed = seat.publish(sdp, tracks)
                self.send(encode(Published(sdp=answer, request=message.request)))
                if changed:
                    seat.room.announce("changed", seat)
            case Answer(sdp=sdp, generation=generation):
                seat.answer(sdp, generation)
            case Resubscribe(fresh=fresh):
                seat.subscribe(fresh=fresh, restart=not fresh)
