"""What the server says (signalling protocol, version 1): dataclasses and their JSON form (RFC 8259). See PROTOCOL.md.

Fields are written under their names; `metadata` names what is not: another name on the wire, absent when None.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple

from signalling.client_messages import VERSION, ErrorCode, RoomSettings

ClosingReason = Literal["draining", "replaced", "left", "timeout", "overloaded", "ended", "removed", "banned"]


class Role(StrEnum):
    """What a participant may do: viewers of a broadcast room only receive, its hosts say who is on the stage."""

    HOST = "host"
    SPEAKER = "speaker"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantView:
    """A participant as others see it."""

    id: str
    name: str
    role: Role
    microphone: bool
    camera: bool
    screen: bool
    connected: bool
    hand: int = 0
    """0: down. Otherwise the smaller it is the longer it is up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for all in the room. `password`: whether there is one."""

    locked: bool
    lobby: bool
    password: bool
    rights: Mapping[str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingView:
    """Somebody who waits for a host to let them in."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BanView:
    """Somebody who may not come again."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationView:
    """A way in that ends; `expires` in seconds since 1970."""

    id: str
    token: str
    label: str
    expires: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModerationView:
    """What hosts alone know."""

    host_key: str
    waiting: Sequence[WaitingView]
    invitations: Sequence[InvitationView]
    bans: Sequence[BanView]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionView:
    """A question to the stage; `voted`: whether its receiver has voted for it."""

    id: str
    participant: str
    name: str
    text: str
    time: float
    votes: int
    answered: bool
    voted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """A file in the room's chat: GET /r/<room>/files/<id>. `expires` in seconds since 1970."""

    id: str
    name: str
    bytes: int
    expires: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotContent:
    """Whose media an m-line of the subscribe connection carries."""

    mid: str
    participant: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedLayer:
    """One encoding of a published track; `rid` is empty without simulcast, `spatial` the highest SVC layer wanted."""

    rid: str
    active: bool
    spatial: int | None = field(default=None, metadata={"omit_none": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSource:
    """Which encodings of a published source somebody watches."""

    source: str
    layers: Sequence[WantedLayer]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedStream:
    """What an m-line of the subscribe connection carries now, and why not more."""

    mid: str
    width: int
    height: int
    framerate: float
    kbps: int
    limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMessage:
    """What the server says. `request` (absent when None) ties a reply to what asked for it."""

    type: ClassVar[str]
    request: str | None = field(default=None, metadata={"omit_none": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLine(ServerMessage):
    """One chat message; `time` in seconds since 1970."""

    type: ClassVar[str] = "chat"
    id: str
    participant: str
    name: str
    text: str
    time: float
    to: str | None = field(default=None, metadata={"omit_none": True})
    file: FileView | None = field(default=None, metadata={"omit_none": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined(ServerMessage):
    """The seat is taken; all a client needs to begin or go on."""

    type: ClassVar[str] = "joined"
    version: int = VERSION
    room: str
    own_id: str = field(metadata={"wire": "self"})
    resumed: bool
    resume: Mapping[str, object]
    settings: RoomSettings
    role: Role
    audience: int
    participants: Sequence[ParticipantView]
    rules: Rules
    moderation: ModerationView | None = field(default=None, metadata={"omit_none": True})
    questions: Written
    chat: Written
    ice_servers: Sequence[Mapping[str, object]]
    heartbeat: Mapping[str, int]
    limits: Mapping[str, int]
    server: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published(ServerMessage):
    """The answer to `publish`."""

    type: ClassVar[str] = "published"
    sdp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer(ServerMessage):
    """The subscribe connection's offer."""

    type: ClassVar[str] = "offer"
    sdp: str
    generation: int
    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots(ServerMessage):
    """What every m-line of the subscribe connection carries from now on."""

    type: ClassVar[str] = "slots"
    slots: Sequence[SlotContent]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantEvent(ServerMessage):
    """Somebody came, went or changed."""

    type: ClassVar[str] = "participant"
    event: Literal["joined", "changed", "left"]
    participant: ParticipantView


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience(ServerMessage):
    """How many viewers there are."""

    type: ClassVar[str] = "audience"
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleChange(ServerMessage):
    """What the client may do from now on, and the token that says so."""

    type: ClassVar[str] = "role"
    role: Role
    resume: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesChange(ServerMessage):
    """What holds for all in the room from now on."""

    type: ClassVar[str] = "rules"
    rules: Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class ModerationChange(ServerMessage):
    """What hosts alone know: the whole state, to them alone."""

    type: ClassVar[str] = "moderation"
    moderation: ModerationView


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(ServerMessage):
    """The client has no seat yet: a host has to let it in. `host`: whether one is there."""

    type: ClassVar[str] = "waiting"
    host: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Moderated(ServerMessage):
    """A host did something to this client; `by` is their name."""

    type: ClassVar[str] = "moderated"
    action: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited(ServerMessage):
    """The answer to `invite`."""

    type: ClassVar[str] = "invited"
    invitation: InvitationView


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction(ServerMessage):
    """Somebody shows something for a moment."""

    type: ClassVar[str] = "reaction"
    participant: str
    name: str
    reaction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionEvent(ServerMessage):
    """A question was asked, marked or taken away. `voted` in it is not its receiver's."""

    type: ClassVar[str] = "question"
    event: Literal["asked", "changed", "removed"]
    question: QuestionView


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes(ServerMessage):
    """How many votes questions have: those whose number has changed."""

    type: ClassVar[str] = "votes"
    votes: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileGone(ServerMessage):
    """A file can no longer be had."""

    type: ClassVar[str] = "file-gone"
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted(ServerMessage):
    """Which of the client's encodings somebody watches: the whole state."""

    type: ClassVar[str] = "wanted"
    sources: Sequence[WantedSource]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received(ServerMessage):
    """What the client is sent, and how much its path takes."""

    type: ClassVar[str] = "received"
    estimate_kbps: int
    streams: Sequence[ReceivedStream]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker(ServerMessage):
    """Who speaks now; None: nobody."""

    type: ClassVar[str] = "speaker"
    participant: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLost(ServerMessage):
    """The server gave up on one of the peer connections of this client."""

    type: ClassVar[str] = "media-lost"
    connection: Literal["publish", "subscribe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPing(ServerMessage):
    """Asks for a pong."""

    type: ClassVar[str] = "ping"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPong(ServerMessage):
    """Answers a ping."""

    type: ClassVar[str] = "pong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing(ServerMessage):
    """The server is about to close the socket."""

    type: ClassVar[str] = "closing"
    reason: ClosingReason
    retry_ms: int | None = field(default=None, metadata={"omit_none": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(ServerMessage):
    """Something the client sent was not acted on; the socket is closed after a fatal one."""

    type: ClassVar[str] = "error"
    code: ErrorCode
    message: str
    fatal: bool = False
    retry_ms: int | None = field(default=None, metadata={"omit_none": True})


SERVER_TYPES = (
    *("joined", "published", "offer", "slots", "participant", "audience", "role", "wanted", "received", "speaker"),
    *("rules", "moderation", "waiting", "moderated", "invited", "reaction", "question", "votes", "file-gone"),
    *("media-lost", "chat", "ping", "pong", "closing", "error"),
)


class Written(NamedTuple):
    """JSON that is sent often and so is kept as it is written."""

    text: str


class Frame(NamedTuple):
    """A server message on its way out: encoded once, however many get it."""

    type: str
    text: str


@cache
def _plan(kind: type[Any]) -> tuple[tuple[str, str, bool], ...]:
    """Attribute, name on the wire, and whether None is left out, for each field of a dataclass."""
    return tuple(
        (each.name, each.metadata.get("wire", each.name), each.metadata.get("omit_none", False))
        for each in fields(kind)
    )


def _wire_items(value: Any) -> Iterator[tuple[str, object]]:
    for attribute, name, omit_none in _plan(value.__class__):
        item = getattr(value, attribute)
        if item is not None or not omit_none:
            yield name, item


def _to_json(value: Any) -> dict[str, object]:
    if isinstance(value, Mapping):
        return dict(value)
    return dict(_wire_items(value))


_json_of = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_to_json, allow_nan=False).encode


def written(line: ChatLine) -> Written:
    """A line as it stands in `joined`."""
    return Written(_json_of(_to_json(line)))


def encode(message: ServerMessage) -> Frame:
    """The message as JSON text."""
    parts = [f'"type":"{message.type}"']
    for name, item in _wire_items(message):
        parts.append(f'"{name}":{item.text if isinstance(item, Written) else _json_of(item)}')
    return Frame(message.type, f"{{{','.join(parts)}}}")
