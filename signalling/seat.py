"""A seat: one participant of a room, whether its client is connected or not.

It is the media side's listener and remembers what a client must hear when it comes back. Seats belong to their room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

from signalling.client_messages import Moderation, State, Tile
from signalling.media import MediaPeer, SlotView, Source
from signalling.media import ReceivedStream as MediaStream
from signalling.media import Tile as SeenTile
from signalling.media import WantedSource as MediaWanted
from signalling.server_messages import (
    Closing,
    Frame,
    MediaLost,
    Moderated,
    Offer,
    ParticipantView,
    Received,
    ReceivedStream,
    Role,
    RoleChange,
    ServerMessage,
    SlotContent,
    Slots,
    Speaker,
    Wanted,
    WantedLayer,
    WantedSource,
    encode,
)
from signalling.session import CLOSE_NORMAL

if TYPE_CHECKING:
    from signalling.room import Room

# What a `state` flag mutes when it is false.
_SOURCES_OF = {
    "microphone": (Source.MICROPHONE,),
    "camera": (Source.CAMERA,),
    "screen": (Source.SCREEN, Source.SCREEN_AUDIO),
}


# What those who are not hosts may lack, and how a host turns off what they have on.
_RIGHT_TO = {"microphone": "unmute", "screen": "share"}
MODERATION_OF = {
    "microphone": Moderation.MUTE,
    "camera": Moderation.STOP_VIDEO,
    "screen": Moderation.STOP_SHARE,
}


class ForbiddenError(Exception):
    """The participant's role does not allow what it asks; the text is for its client."""


class UnknownError(Exception):
    """There is no participant or thing by that id; the text is for its client."""


class Connection(Protocol):
    """A seat's socket, as rooms use it, or what stands for one. Neither call blocks or fails."""

    def send(self, frame: Frame) -> None:
        """Queues the frame."""

    def close(self, message: ServerMessage | None, code: int) -> None:
        """Sends what is queued, then `message`, then the close frame."""


@lru_cache(maxsize=256)
def _speaker_frame(participant: str | None) -> Frame:
    """Encoded once for all who hear it."""
    return encode(Speaker(participant=participant))


class Seat:
    """One participant. Listens to its own media, and keeps what the client must hear when it has a socket again."""

    def __init__(
        self,
        room: Room,
        participant_id: str,
        token: str,
        name: str,
        role: Role,
        addresses: Sequence[str],
        *,
        source: str = "",
        silent: bool = False,
        of_host: bool = False,
    ) -> None:
        self.room = room
        self.id = participant_id
        self.token = token
        self.former_token = ""
        """Good too, since the client may not have heard of the newer one."""
        self.name = name
        self.role = role
        self.silent = silent
        """Its client does not speak this protocol, so it is nobody's host."""
        self.of_host = of_host
        """It is a host's program, which may send what a host may."""
        self.source = source
        """What a ban keeps out: see `signalling.access.source_of`."""
        self.hand = 0
        """0: down; otherwise the smaller the longer it is up."""
        self.connection: Connection | None = None
        self.kept_until: float | None = None
        self.ended = False
        self._on = dict.fromkeys(_SOURCES_OF, False)
        self._said: set[str] = set()
        self._muted: set[Source] = set()
        self._published: frozenset[Source] = frozenset()
        self._offer: Offer | None = None
        self._slots: Slots | None = None
        self._speaker: str | None = None
        self._wanted: Wanted | None = None
        self._received: Received | None = None
        self._lost: set[Literal["publish", "subscribe"]] = set()
        self._moderated: dict[str, Moderated] = {}
        self.media: MediaPeer = room.media.join(participant_id, self, extra_addresses=addresses)

    def view(self) -> ParticipantView:
        """This participant as others see it."""
        connected = self.connection is not None
        return ParticipantView(
            id=self.id, name=self.name, role=self.role, connected=connected, hand=self.hand, **self._on
        )

    def set_role(self, role: Role) -> None:
        """Tells the client, with its new token; who becomes a viewer publishes nothing from now on."""
        if Role.VIEWER in (role, self.role):
            self.media.set_stage(role is not Role.VIEWER)
        self.role = role
        if role is Role.VIEWER:
            self._on = dict.fromkeys(_SOURCES_OF, False)
            self._said.clear()
            self._published = frozenset()
            self._lost.discard("publish")
        self.send(RoleChange(role=role, resume={"token": self.token}))

    # --- the socket ---

    def attach(self, connection: Connection) -> None:
        """Makes `connection` the seat's socket, replacing the one it has, and tells it what it does not know yet."""
        previous, self.connection = self.connection, connection
        self.kept_until = None
        if previous is not None:
            previous.close(Closing(reason="replaced"), CLOSE_NORMAL)
        for lost in sorted(self._lost):
            self.send(MediaLost(connection=lost))
        for message in (self._offer, self._slots, self._wanted, self._received, *self._moderated.values()):
            if message is not None:
                self.send(message)
        self._moderated.clear()
        if self._speaker is not None:
            connection.send(_speaker_frame(self._speaker))

    def send(self, message: ServerMessage) -> None:
        """Tells the client, if it is there."""
        if self.connection is not None:
            self.connection.send(encode(message))

    def tell_moderated(self, action: Moderation, by: str) -> None:
        """Tells what was done to it; a client that is away hears the last of each kind when it comes back."""
        message = Moderated(action=action.value, by=by)
        if self.connection is None:
            self._moderated[message.action] = message
        else:
            self.send(message)

    # --- what the client asks ---

    def publish(self, sdp: str, tracks: Mapping[str, Source]) -> tuple[str, bool]:
        """The answer, and whether anything others see has changed; SdpError, ForbiddenError."""
        if self.role is Role.VIEWER:
            raise ForbiddenError("viewers do not publish")
        was_on = {flag for flag in _SOURCES_OF if self._is_on(flag)}
        answer = self.media.publish(sdp, tracks)
        self._lost.discard("publish")
        self._published = frozenset(tracks.values())
        before = dict(self._on)
        for flag, sources in _SOURCES_OF.items():
            if flag not in was_on and self._is_on(flag) and not self._may_turn_on(flag):
                self._withhold(flag)
            for source in self._published.intersection(sources, self._muted):
                self.media.set_muted(source, True)
            if flag not in self._said:
                self._on[flag] = sources[0] in self._published - self._muted
        return answer, self._on != before

    def _is_on(self, flag: str) -> bool:
        """Whether anything of it is, or would be, forwarded."""
        return self._on[flag] or not self._published.isdisjoint(set(_SOURCES_OF[flag]) - self._muted)

    def _may_turn_on(self, flag: str) -> bool:
        right = _RIGHT_TO.get(flag)
        return right is None or self.room.may(self, right)

    def _withhold(self, flag: str) -> None:
        """What was turned on without the right is off, which the client has to hear: it believes that it is on."""
        self._turn_off(flag)
        self.tell_moderated(MODERATION_OF[flag], "")

    def _turn_off(self, flag: str) -> None:
        self._said.add(flag)
        self._on[flag] = False
        for source in _SOURCES_OF[flag]:
            self._muted.add(source)
            self.media.set_muted(source, True)

    def turn_off(self, flag: str) -> bool:
        """What a host turns off stays off until the client turns it on again; whether it was on."""
        if self.role is Role.VIEWER or not self._is_on(flag):
            return False
        self._turn_off(flag)
        return True

    def subscribe(self, *, fresh: bool, restart: bool) -> None:
        """Asks the media side for an offer."""
        self._lost.discard("subscribe")
        self.media.subscribe(fresh=fresh, restart=restart)

    def answer(self, sdp: str, generation: int) -> None:
        """Takes the answer to the newest offer, ignores others; SdpError."""
        offer = self._offer
        if offer is None or offer.generation != generation:
            return
        self.media.answer(sdp, generation)
        if self._offer is offer:
            self._offer = None

    def set_state(self, state: State) -> bool:
        """Turns sources on and off, as far as the client may; whether anything others see has changed."""
        before = dict(self._on)
        for flag, sources in _SOURCES_OF.items():
            on: bool | None = getattr(state, flag)
            if on is None:
                continue
            if self.role is not Role.VIEWER:
                if on and not self._is_on(flag) and not self._may_turn_on(flag):
                    self._withhold(flag)
                    continue
                self._said.add(flag)
                self._on[flag] = on
            for source in sources:
                (self._muted.discard if on else self._muted.add)(source)
                self.media.set_muted(source, not on)
        return self._on != before

    def set_view(self, tiles: Sequence[Tile]) -> None:
        """Which pictures the client shows from now on."""
        seen = [SeenTile(each.participant, each.source, each.width, each.height, each.pinned) for each in tiles]
        self.media.set_view(seen)

    # --- what the media side tells (MediaListener) ---

    def media_offer(self, sdp: str, generation: int, fresh: bool) -> None:
        """The subscribe connection has a new offer."""
        self._offer = Offer(sdp=sdp, generation=generation, fresh=fresh)
        self.send(self._offer)

    def media_slots(self, slots: Sequence[SlotView]) -> None:
        """The whole list of who is where."""
        contents = [SlotContent(mid=slot.mid, participant=slot.peer_id, source=slot.source.value) for slot in slots]
        self._slots = Slots(slots=contents)
        self.send(self._slots)

    def media_speaker(self, peer_id: str | None) -> None:
        """Somebody else speaks now."""
        self._speaker = peer_id
        if self.connection is not None:
            self.connection.send(_speaker_frame(peer_id))

    def media_failed(self, connection: Literal["publish", "subscribe"]) -> None:
        """A peer connection is gone."""
        self._lost.add(connection)
        self.send(MediaLost(connection=connection))

    def media_wanted(self, wanted: Sequence[MediaWanted]) -> None:
        """What of this participant's pictures somebody watches."""
        sources = [
            WantedSource(source=each.source, layers=[WantedLayer(**layer._asdict()) for layer in each.layers])
            for each in wanted
        ]
        self._wanted = Wanted(sources=sources)
        self.send(self._wanted)

    def media_received(self, streams: Sequence[MediaStream], estimate_bps: int) -> None:
        """What this participant's video m-lines carry."""
        told = [
            ReceivedStream(
                mid=each.mid,
                width=each.width,
                height=each.height,
                framerate=each.framerate,
                kbps=each.bps // 1000,
                limit=each.limit,
            )
            for each in streams
        ]
        self._received = Received(estimate_kbps=estimate_bps // 1000, streams=told)
        self.send(self._received)


def tell(message: ServerMessage, seats: Iterable[Seat]) -> None:
    """Tells each of them who is there; encoded once."""
    frame = encode(message)
    for seat in seats:
        if seat.connection is not None:
            seat.connection.send(frame)
