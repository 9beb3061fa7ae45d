"""What is done for one client: its session's effects carried out on the rooms.

A `Conversation` belongs to one socket's handler and is the connection that its seat sees.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from signalling.access import TokenBucket
from signalling.audience import MAX_VIEWERS_LISTED
from signalling.client_messages import (
    MAX_CHAT_LENGTH,
    MAX_MESSAGE_BYTES,
    MAX_NAME_LENGTH,
    MAX_TILES,
    Admit,
    Answer,
    Ask,
    ChangeRules,
    Chat,
    ClientMessage,
    EndRoom,
    ErrorCode,
    Hand,
    Invite,
    Join,
    Leave,
    LiftBan,
    MarkAnswered,
    Moderate,
    Publish,
    React,
    Resubscribe,
    Revoke,
    Stage,
    State,
    View,
    Vote,
    Withdraw,
)
from signalling.entry import JoinRefusedError
from signalling.media import SdpError
from signalling.moderation import HostRequest, moderate
from signalling.reception import DRAINING_RETRY_MS, Reception
from signalling.room import Room
from signalling.rooms import MustWaitError
from signalling.seat import ForbiddenError, Seat, UnknownError
from signalling.server_messages import Closing, Error, Frame, Joined, Published, Role, ServerMessage, encode
from signalling.session import (
    CLOSE_NORMAL,
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
from signalling.turnstile import Rank
from signalling.waiting import Visitor
from signalling.websocket import Socket

logger = logging.getLogger(__name__)


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
        self._visit: tuple[Room, Visitor] | None = None

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
        now = self._reception.clock()
        seat, self._seat = self._seat, None
        if seat is not None:
            self._reception.rooms.detach(seat, self, now)
        visit, self._visit = self._visit, None
        if visit is not None:
            self._reception.rooms.stop_waiting(*visit, now)

    # --- effects ---

    async def _act(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if not isinstance(effect, Accepted):
                self._carry_out(effect)
            elif isinstance(effect.message, Join):
                with self._guarding(effect.message):
                    await self._join(effect.message)
            else:
                await self._serve_in_turn(effect.message)
        counters = self._reception.counters
        counters.messages_in[self._session.received_type] += 1
        if self._session.limited_scope is not None:
            counters.rate_limited[self._session.limited_scope] += 1

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, Reply | End) and isinstance(effect.message, Error):
            self._reception.counters.refusals[effect.message.code] += 1
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

    @contextmanager
    def _guarding(self, join: Join) -> Iterator[None]:
        """A fault of ours costs this client its socket and nobody anything else."""
        try:
            yield
        except JoinRefusedError as error:
            self._refuse_join(error.code, error.message, join.request, retry_ms=error.retry_ms)
        except Exception:
            logger.exception("joining failed")
            self._reception.counters.internal_errors += 1
            self._refuse_join("internal", "the server failed", join.request)

    def _refuse_join(self, code: ErrorCode, message: str, request: str | None, *, retry_ms: int | None = None) -> None:
        self._reception.counters.joins[code] += 1
        self._carry_out(self._session.refuse_join(code, message, request, retry_ms=retry_ms))

    async def _join(self, join: Join) -> None:
        reception, started_at = self._reception, self._reception.clock()
        reception.check(self._source, returning=bool(join.resume))
        room = reception.rooms.find(self._room_name, started_at)
        returning = room is not None and room.seat_of(join.resume) is not None
        addresses = () if returning else await reception.addresses.of(self._host)
        rank = Rank.STAGE if room is None or returning else room.rank_of_next(join)
        await reception.turnstile.run(rank, lambda: self._sit_down(join, addresses, started_at))

    def _sit_down(
        self, join: Join, addresses: Sequence[str], started_at: float, *, admitted_to: Room | None = None
    ) -> None:
        """Takes the seat or a new one and tells the client all it needs, or lets it wait; JoinRefusedError."""
        reception = self._reception
        if self._session.phase is Phase.ENDED:
            return
        seat = reception.rooms.resume(self._room_name, join) if join.resume else None
        if join.resume and admitted_to is None:
            reception.counters.reconnects["resumed" if seat is not None else "unknown"] += 1
        resumed = seat is not None
        if seat is None:
            if reception.leaving:
                raise JoinRefusedError("draining", "the server restarts", retry_ms=DRAINING_RETRY_MS)
            try:
                admitted = admitted_to is not None
                seat = reception.take(self._room_name, join, self._source, addresses, admitted=admitted)
            except MustWaitError as error:
                self._wait(error.room, join, addresses)
                return
        self._welcome(seat, join, resumed)
        reception.counters.joins["resumed" if resumed else "ok"] += 1
        reception.counters.join_seconds.observe(reception.clock() - started_at)

    def _wait(self, room: Room, join: Join, addresses: Sequence[str]) -> None:
        """Until a host lets it in or says no, or the room ends; JoinRefusedError when too many do."""
        reception = self._reception

        def admit() -> None:
            self._visit = None
            reception.turnstile.put(room.rank_of_next(join), lambda: self._enter(room, join, addresses))

        def deny() -> None:
            self._refuse_join("denied", "a host did not let you in", join.request)

        reception.check_lobby(room.waiting, self._source)
        visitor = Visitor(join.name, self, admit, deny, source=self._source)
        reception.rooms.wait(room, visitor, reception.clock())
        self._visit = room, visitor
        self._session.waiting()
        reception.counters.joins["waiting"] += 1

    def _enter(self, room: Room, join: Join, addresses: Sequence[str]) -> None:
        """What a host has let in takes its seat, if the room still is there."""
        if room.ended:
            self.close(Closing(reason="ended"), CLOSE_NORMAL)
            return
        with self._guarding(join):
            self._sit_down(join, addresses, self._reception.clock(), admitted_to=room)

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
            rules=seat.room.charter.rules.view(),
            moderation=seat.room.moderation() if seat.role is Role.HOST else None,
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
                "file_bytes": reception.file_bytes,
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
            case ChangeRules() | Admit() | Moderate() | LiftBan() | Invite() | Revoke() | EndRoom():
                self._moderate(seat, message)
            case Ask() | Vote() | MarkAnswered() | Withdraw():
                self._question(seat, message)
            case _:
                self._take_part(seat, message)

    def _take_part(self, seat: Seat, message: ClientMessage) -> None:
        match message:
            case Stage(participant=participant, on=on):
                seat.room.set_stage(seat, participant, on, self._reception.clock())
            case Hand(up=up):
                seat.room.set_hand(seat, up)
            case React(reaction=reaction):
                if self._in_the_audiences_rate(seat, seat.room.viewers_reactions, message):
                    seat.room.react(seat, reaction)
            case Chat():
                self._say(seat, message)
            case Leave():
                self._seat = None
                self._reception.rooms.leave(seat, self._reception.clock())

    def _moderate(self, seat: Seat, message: HostRequest) -> None:
        reception = self._reception
        reply = moderate(reception.rooms, seat, message, reception.clock(), reception.wall())
        if reply is not None:
            self.send(encode(reply))

    def _say(self, seat: Seat, message: Chat) -> None:
        if not seat.room.may(seat, "chat"):
            raise ForbiddenError("only hosts write in this room now")
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
