"""Reading what a client sent: JSON text (RFC 8259) to one message, MalformedMessage on any other text. No state."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

from signalling.client_messages import (
    MAX_CHAT_LENGTH,
    MAX_GENERATION,
    MAX_ID_LENGTH,
    MAX_INVITATION_SECONDS,
    MAX_KEY_LENGTH,
    MAX_LABEL_LENGTH,
    MAX_MID_LENGTH,
    MAX_NAME_LENGTH,
    MAX_PASSWORD_LENGTH,
    MAX_QUESTION_LENGTH,
    MAX_REQUEST_LENGTH,
    MAX_SDP_LENGTH,
    MAX_TILE_PIXELS,
    MAX_TILES,
    MAX_TOKEN_LENGTH,
    MAX_TRACKS,
    MAX_UPLINK_KBPS,
    MIN_INVITATION_SECONDS,
    RIGHTS,
    VERSION,
    Admit,
    Answer,
    Ask,
    ChangeRules,
    Chat,
    ClientMessage,
    EndRoom,
    Hand,
    Invite,
    Join,
    Leave,
    LiftBan,
    MalformedMessage,
    MarkAnswered,
    Mode,
    Moderate,
    Moderation,
    Ping,
    Pong,
    Publish,
    React,
    ReactionKind,
    Resubscribe,
    Revoke,
    RoomSettings,
    Stage,
    State,
    Tile,
    VideoCodec,
    View,
    Vote,
    Withdraw,
)
from signalling.media import Source

Choice = TypeVar("Choice", bound=StrEnum)

_SURROGATE = re.compile("[\ud800-\udfff]")
# Controls (C0, C1), line and paragraph separators, and what reorders the text around it (UAX #9).
_UNFIT_FOR_NAME = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNFIT_FOR_CHAT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# RFC 5888 identification-tag is an RFC 8866 token.
_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+")


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


def clean_chat(text: str, maximum: int = MAX_CHAT_LENGTH) -> str:
    """Text with newlines as \\n and without other control characters; MalformedMessage when nothing is left."""
    cleaned = _UNFIT_FOR_CHAT.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if not 1 <= len(cleaned) <= maximum:
        _refuse(f"text: 1 to {maximum} characters")
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

    def optional_text(self, name: str, maximum: int) -> str | None:
        return None if self._values.get(name) is None else self.text(name, maximum)

    def integer(self, name: str, maximum: int, *, minimum: int = 0, default: int | None = None) -> int:
        value = self._values.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            _refuse(f"{name}: must be an integer")
        if not minimum <= value <= maximum:
            _refuse(f"{name}: {minimum} to {maximum}")
        return value

    def boolean(self, name: str, *, default: bool | None = None) -> bool:
        value = self.optional_boolean(name)
        if value is None:
            value = default
        if value is None:
            _refuse(f"{name}: must be true or false")
        return value

    def optional_boolean(self, name: str) -> bool | None:
        value = self._values.get(name)
        if value is not None and not isinstance(value, bool):
            _refuse(f"{name}: must be true or false")
        return value

    def choice(self, name: str, choices: Mapping[str, Choice], default: Choice | None = None) -> Choice:
        value = self._values.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or value not in choices:
            _refuse(f"{name}: must be one of {', '.join(choices)}")
        return choices[value]

    def part(self, name: str) -> _Fields:
        """The object of that name, an empty one when it is absent."""
        value = self._values.get(name)
        if value is None:
            return _Fields({})
        if not isinstance(value, dict):
            _refuse(f"{name}: must be an object")
        return _Fields(value)

    def parts(self, name: str, maximum: int) -> Iterator[_Fields]:
        """The objects of the list of that name."""
        value = self._values.get(name)
        if not isinstance(value, list) or len(value) > maximum:
            _refuse(f"{name}: must be a list of at most {maximum}")
        for item in value:
            if not isinstance(item, dict):
                _refuse(f"{name}: each must be an object")
            yield _Fields(item)


def _by_value(choices: type[Choice]) -> dict[str, Choice]:
    return {choice.value: choice for choice in choices}


_SOURCES = _by_value(Source)
_VIDEO_SOURCES = {value: source for value, source in _SOURCES.items() if not source.audio}
_MODES = _by_value(Mode)
_VIDEO_CODECS = _by_value(VideoCodec)
_MODERATIONS = _by_value(Moderation)
_REACTIONS = _by_value(ReactionKind)


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
        host_key=values.text("host_key", MAX_KEY_LENGTH, default=""),
        invitation=values.text("invitation", MAX_KEY_LENGTH, default=""),
        subscribe=values.boolean("subscribe", default=True),
        settings=_settings(values.part("settings")),
    )


def _settings(values: _Fields) -> RoomSettings:
    return RoomSettings(
        mode=values.choice("mode", _MODES, Mode.MEETING),
        video=values.choice("video", _VIDEO_CODECS, VideoCodec.VP8),
        uplink_kbps=values.integer("uplink_kbps", MAX_UPLINK_KBPS, default=0),
    )


def _publish(values: _Fields, request: str | None) -> Publish:
    sdp = values.text("sdp", MAX_SDP_LENGTH, minimum=1)
    tracks: dict[str, Source] = {}
    for part in values.parts("tracks", MAX_TRACKS):
        mid, source = part.text("mid", MAX_MID_LENGTH), part.choice("source", _SOURCES)
        if not _TOKEN.fullmatch(mid):
            _refuse(f"mid: must be a token of at most {MAX_MID_LENGTH} characters")
        if mid in tracks or source in tracks.values():
            _refuse("tracks: each mid and each source at most once")
        tracks[mid] = source
    return Publish(request=request, sdp=sdp, tracks=tracks)


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


def _view(values: _Fields, request: str | None) -> View:
    tiles: dict[tuple[str, Source], Tile] = {}
    for part in values.parts("tiles", MAX_TILES):
        tile = Tile(
            participant=part.text("participant", MAX_ID_LENGTH, minimum=1),
            source=part.choice("source", _VIDEO_SOURCES),
            width=part.integer("width", MAX_TILE_PIXELS, minimum=1),
            height=part.integer("height", MAX_TILE_PIXELS, minimum=1),
            pinned=part.boolean("pinned", default=False),
        )
        if (tile.participant, tile.source) in tiles:
            _refuse("tiles: each source of a participant at most once")
        tiles[tile.participant, tile.source] = tile
    return View(request=request, tiles=tuple(tiles.values()))


def _id(values: _Fields, name: str, *, default: str | None = None) -> str:
    return values.text(name, MAX_ID_LENGTH, minimum=1, default=default)


def _stage(values: _Fields, request: str | None) -> Stage:
    return Stage(request=request, participant=_id(values, "participant"), on=values.boolean("on"))


def _chat(values: _Fields, request: str | None) -> Chat:
    # Control characters are dropped and line ends shortened, so a little more may come in than goes out.
    text = clean_chat(values.text("text", 2 * MAX_CHAT_LENGTH))
    return Chat(request=request, text=text, to=_id(values, "to", default=""))


def _rules(values: _Fields, request: str | None) -> ChangeRules:
    part = values.part("rights")
    rights = {right: value for right in RIGHTS if (value := part.optional_boolean(right)) is not None}
    # An empty password is one: it takes the room's away.
    password = values.optional_text("password", MAX_PASSWORD_LENGTH)
    locked, lobby = values.optional_boolean("locked"), values.optional_boolean("lobby")
    return ChangeRules(request=request, locked=locked, lobby=lobby, password=password, rights=rights)


def _moderate(values: _Fields, request: str | None) -> Moderate:
    action = values.choice("action", _MODERATIONS)
    participant = _id(values, "participant", default="")
    if not participant and not action.for_all:
        _refuse(f"participant: {action.value} is done to one at a time")
    return Moderate(request=request, action=action, participant=participant)


def _invite(values: _Fields, request: str | None) -> Invite:
    seconds = values.integer("seconds", MAX_INVITATION_SECONDS, minimum=MIN_INVITATION_SECONDS)
    label = values.text("label", MAX_LABEL_LENGTH, default="")
    if _UNFIT_FOR_NAME.search(label):
        _refuse("label: control characters are not allowed")
    return Invite(request=request, seconds=seconds, label=label.strip())


def _ask(values: _Fields, request: str | None) -> Ask:
    return Ask(request=request, text=clean_chat(values.text("text", 2 * MAX_QUESTION_LENGTH), MAX_QUESTION_LENGTH))


_DECODERS: Mapping[str, Callable[[_Fields, str | None], ClientMessage]] = {
    "join": _join,
    "publish": _publish,
    "answer": _answer,
    "resubscribe": lambda values, request: Resubscribe(request=request, fresh=values.boolean("fresh", default=False)),
    "state": _state,
    "view": _view,
    "stage": _stage,
    "chat": _chat,
    "rules": _rules,
    "admit": lambda values, request: Admit(
        request=request, waiting=_id(values, "waiting", default=""), on=values.boolean("on")
    ),
    "moderate": _moderate,
    "lift-ban": lambda values, request: LiftBan(request=request, ban=_id(values, "ban")),
    "invite": _invite,
    "revoke": lambda values, request: Revoke(request=request, invitation=_id(values, "invitation")),
    "end": lambda values, request: EndRoom(request=request),
    "hand": lambda values, request: Hand(request=request, up=values.boolean("up")),
    "reaction": lambda values, request: React(request=request, reaction=values.choice("reaction", _REACTIONS)),
    "ask": _ask,
    "vote": lambda values, request: Vote(request=request, question=_id(values, "question"), on=values.boolean("on")),
    "answered": lambda values, request: MarkAnswered(
        request=request, question=_id(values, "question"), on=values.boolean("on")
    ),
    "withdraw": lambda values, request: Withdraw(request=request, question=_id(values, "question")),
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
