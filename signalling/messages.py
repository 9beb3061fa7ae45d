"""The signalling protocol's messages, version 1: dataclasses, bounds, and their JSON form (RFC 8259). See PROTOCOL.md.

Nothing here keeps state. `decode` turns what a client sent into one message or raises MalformedMessage, on any text at
all; `encode` writes what the server says.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, NamedTuple, NoReturn

from signalling.media import Source

VERSION = 1

MAX_MESSAGE_BYTES = 256 * 1024
MAX_NAME_LENGTH = 64
MAX_PASSWORD_LENGTH = 128
MAX_TOKEN_LENGTH = 128
MAX_REQUEST_LENGTH = 64
MAX_CHAT_LENGTH = 4000
MAX_SDP_LENGTH = 200_000
MAX_TRACKS = len(Source)
MAX_GENERATION = 2**31 - 1

ErrorCode = Literal[
    "malformed",
    "unknown-type",
    "version",
    "not-joined",
    "already-joined",
    "password",
    "room-full",
    "draining",
    "sdp",
    "rate",
    "too-large",
    "internal",
]
ClosingReason = Literal["draining", "replaced", "left", "timeout", "overloaded"]

_SURROGATE = re.compile("[\ud800-\udfff]")
# Controls (C0, C1), line and paragraph separators, and what reorders the text around it (UAX #9).
_UNFIT_FOR_NAME = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNFIT_FOR_CHAT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# RFC 5888 identification-tag is an RFC 8866 token.
_MID = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,32}")


class MalformedMessage(ValueError):  # noqa: N818 - named as the protocol does
    """What the client sent is no message; `code` and the text go back to it, with its `request` if it had one."""

    def __init__(self, code: ErrorCode, message: str, request: str | None = None) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message
        self.request = request


# --- client to server ---


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMessage:
    """What every client message may carry."""

    type: ClassVar[str]
    request: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Join(ClientMessage):
    """Asks for a seat, or for the one that `resume` stands for."""

    type: ClassVar[str] = "join"
    version: int
    name: str
    password: str = ""
    resume: str = ""
    subscribe: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish(ClientMessage):
    """Offers what the client sends; `tracks` maps m-lines (by mid) to what they show."""

    type: ClassVar[str] = "publish"
    sdp: str
    tracks: Mapping[str, Source]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(ClientMessage):
    """Answers the offer of that generation."""

    type: ClassVar[str] = "answer"
    sdp: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resubscribe(ClientMessage):
    """Asks for a new offer."""

    type: ClassVar[str] = "resubscribe"
    fresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class State(ClientMessage):
    """Says what is on; None: unchanged."""

    type: ClassVar[str] = "state"
    microphone: bool | None = None
    camera: bool | None = None
    screen: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat(ClientMessage):
    """Says something to all in the room."""

    type: ClassVar[str] = "chat"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(ClientMessage):
    """Asks for a pong."""

    type: ClassVar[str] = "ping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong(ClientMessage):
    """Answers a ping."""

    type: ClassVar[str] = "pong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave(ClientMessage):
    """Gives up the seat."""

    type: ClassVar[str] = "leave"


# --- reading ---


def _refuse(message: str) -> NoReturn:
    raise MalformedMessage("malformed", message)


def clean_name(text: str) -> str:
    """The display name in its one form: stripped, NFC, 1-64 visible characters; MalformedMessage otherwise."""
    if len(text) > 4 * MAX_NAME_LENGTH:
        _refuse(f"name: 1 to {MAX_NAME_LENGTH} characters")
    name = unicodedata.normalize("NFC", text.strip())
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        _refuse(f"name: 1 to {MAX_NAME_LENGTH} characters")
    if _UNFIT_FOR_NAME.search(name):
        _refuse("name: control characters are not allowed")
    if all(unicodedata.category(character)[0] in "CMZ" for character in name):
        _refuse("name: must have a visible character")
    return name


def clean_chat(text: str) -> str:
    """Chat text with newlines as \\n and without other control characters; MalformedMessage when nothing is left."""
    cleaned = _UNFIT_FOR_CHAT.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if not 1 <= len(cleaned) <= MAX_CHAT_LENGTH:
        _refuse(f"text: 1 to {MAX_CHAT_LENGTH} characters")
    return cleaned


class _Fields:
    """Typed, bounded access to one JSON object; `null` is the same as an absent field."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def text(self, name: str, maximum: int, *, minimum: int = 0, default: str | None = None) -> str:
        value = self._values.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            _refuse(f"{name}: must be a string")
        if not minimum <= len(value) <= maximum:
            _refuse(f"{name}: {minimum} to {maximum} characters")
        if _SURROGATE.search(value):
            _refuse(f"{name}: not valid Unicode")
        return value

    def integer(self, name: str, maximum: int) -> int:
        value = self._values.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            _refuse(f"{name}: must be an integer")
        if not 0 <= value <= maximum:
            _refuse(f"{name}: 0 to {maximum}")
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self.optional_boolean(name)
        return default if value is None else value

    def optional_boolean(self, name: str) -> bool | None:
        value = self._values.get(name)
        if value is not None and not isinstance(value, bool):
            _refuse(f"{name}: must be true or false")
        return value

    def tracks(self) -> dict[str, Source]:
        """`tracks` as mid -> source, each of both at most once."""
        value = self._values.get("tracks")
        if not isinstance(value, list) or len(value) > MAX_TRACKS:
            _refuse(f"tracks: must be a list of at most {MAX_TRACKS}")
        tracks: dict[str, Source] = {}
        for item in value:
            if not isinstance(item, dict):
                _refuse("tracks: each must be an object")
            mid, source = item.get("mid"), item.get("source")
            if not isinstance(mid, str) or not _MID.fullmatch(mid):
                _refuse("tracks: mid must be a token of at most 32 characters")
            if not isinstance(source, str) or source not in _SOURCES:
                _refuse(f"tracks: source must be one of {', '.join(_SOURCES)}")
            if mid in tracks or _SOURCES[source] in tracks.values():
                _refuse("tracks: each mid and each source at most once")
            tracks[mid] = _SOURCES[source]
        return tracks


_SOURCES = {source.value: source for source in Source}


def _join(values: _Fields, request: str | None) -> Join:
    version = values.integer("version", MAX_GENERATION)
    if version != VERSION:
        raise MalformedMessage("version", f"this server speaks version {VERSION}")
    return Join(
        request=request,
        version=version,
        name=clean_name(values.text("name", 4 * MAX_NAME_LENGTH)),
        password=values.text("password", MAX_PASSWORD_LENGTH, default=""),
        resume=values.text("resume", MAX_TOKEN_LENGTH, default=""),
        subscribe=values.boolean("subscribe", default=True),
    )


def _publish(values: _Fields, request: str | None) -> Publish:
    return Publish(request=request, sdp=values.text("sdp", MAX_SDP_LENGTH, minimum=1), tracks=values.tracks())


def _answer(values: _Fields, request: str | None) -> Answer:
    sdp = values.text("sdp", MAX_SDP_LENGTH, minimum=1)
    return Answer(request=request, sdp=sdp, generation=values.integer("generation", MAX_GENERATION))


def _state(values: _Fields, request: str | None) -> State:
    return State(
        request=request,
        microphone=values.optional_boolean("microphone"),
        camera=values.optional_boolean("camera"),
        screen=values.optional_boolean("screen"),
    )


_DECODERS: Mapping[str, Callable[[_Fields, str | None], ClientMessage]] = {
    "join": _join,
    "publish": _publish,
    "answer": _answer,
    "resubscribe": lambda values, request: Resubscribe(request=request, fresh=values.boolean("fresh", default=False)),
    "state": _state,
    # Control characters are dropped and line ends shortened, so a little more may come in than goes out.
    "chat": lambda values, request: Chat(request=request, text=clean_chat(values.text("text", 2 * MAX_CHAT_LENGTH))),
    "ping": lambda values, request: Ping(request=request),
    "pong": lambda values, request: Pong(request=request),
    "leave": lambda values, request: Leave(request=request),
}

CLIENT_TYPES = tuple(_DECODERS)


def _parse_json(text: str) -> object:
    try:
        return json.loads(text, parse_constant=lambda name: _refuse(f"{name} is not JSON"))
    except MalformedMessage:
        raise
    except (ValueError, RecursionError):
        raise MalformedMessage("malformed", "not JSON") from None


def decode(text: str) -> ClientMessage:
    """The message in `text`; MalformedMessage on anything else."""
    parsed = _parse_json(text)
    if not isinstance(parsed, dict):
        _refuse("must be a JSON object")
    values = _Fields(parsed)
    request: str | None = None
    try:
        if parsed.get("request") is not None:
            request = values.text("request", MAX_REQUEST_LENGTH, minimum=1)
        decoder = _DECODERS.get(values.text("type", 32, minimum=1))
        if decoder is None:
            raise MalformedMessage("unknown-type", "no such message type")
        return decoder(values, request)
    except MalformedMessage as error:
        error.request = request
        raise


# --- server to client ---


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantView:
    """A participant as others see it."""

    id: str
    name: str
    microphone: bool
    camera: bool
    screen: bool
    connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotContent:
    """Whose media an m-line of the subscribe connection carries."""

    mid: str
    participant: str
    source: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined(ServerMessage):
    """The seat is taken; all a client needs to begin or go on."""

    type: ClassVar[str] = "joined"
    version: int = VERSION
    room: str
    own_id: str = field(metadata={"wire": "self"})
    resumed: bool
    resume: Mapping[str, object]
    participants: Sequence[ParticipantView]
    chat: Sequence[ChatLine]
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
    *("joined", "published", "offer", "slots", "participant", "speaker", "media-lost", "chat"),
    *("ping", "pong", "closing", "error"),
)


class Frame(NamedTuple):
    """A server message on its way out: encoded once, however many get it."""

    type: str
    text: str


def _wire_items(message: Any) -> Iterator[tuple[str, object]]:
    for described in fields(message):
        value = getattr(message, described.name)
        if value is None and described.metadata.get("omit_none"):
            continue
        yield described.metadata.get("wire", described.name), value


def _to_json(value: object) -> dict[str, object]:
    if isinstance(value, Mapping):
        return dict(value)
    return dict(_wire_items(value))


def encode(message: ServerMessage) -> Frame:
    """The message as JSON text."""
    content = {"type": message.type, **dict(_wire_items(message))}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=_to_json, allow_nan=False)
    return Frame(message.type, text)
