"""What a client says (signalling protocol, version 1; see PROTOCOL.md): dataclasses and bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

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
MAX_MID_LENGTH = 32
MAX_GENERATION = 2**31 - 1
MAX_ID_LENGTH = 32  # of a participant
MAX_TILES = 64
MAX_TILE_PIXELS = 16384  # of a side
MAX_UPLINK_KBPS = 10_000_000
MAX_KEY_LENGTH = 128  # of a host key or an invitation
MAX_LABEL_LENGTH = 64  # of an invitation
MAX_QUESTION_LENGTH = 500
MIN_INVITATION_SECONDS = 60
MAX_INVITATION_SECONDS = 30 * 24 * 3600

# What those who are not hosts may do in a room, each until a host takes it away.
RIGHTS = ("chat", "share", "unmute", "files")

ErrorCode = Literal[
    "malformed",
    "unknown-type",
    "version",
    "not-joined",
    "already-joined",
    "password",
    "room-full",
    "draining",
    "locked",
    "banned",
    "denied",
    "invitation",
    "forbidden",
    "unknown",
    "sdp",
    "rate",
    "too-large",
    "internal",
]


class MalformedMessage(ValueError):  # noqa: N818 - named as the protocol does
    """What the client sent is no message; `code` and the text go back to it, with its `request` if it had one."""

    def __init__(self, code: ErrorCode, message: str, request: str | None = None) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message
        self.request = request


class Moderation(StrEnum):
    """What a host does to a participant, or to all who are not hosts."""

    MUTE = "mute"
    STOP_VIDEO = "stop-video"
    STOP_SHARE = "stop-share"
    LOWER_HAND = "lower-hand"
    REMOVE = "remove"
    BAN = "ban"
    PROMOTE = "promote"
    DEMOTE = "demote"

    @property
    def for_all(self) -> bool:
        """Whether it can be done to all at once."""
        return self not in (Moderation.BAN, Moderation.PROMOTE, Moderation.DEMOTE)


class ReactionKind(StrEnum):
    """What can be shown for a moment."""

    LIKE = "like"
    LOVE = "love"
    LAUGH = "laugh"
    SURPRISE = "surprise"
    APPLAUSE = "applause"
    PARTY = "party"


class Mode(StrEnum):
    """Who may send in a room: everybody, or those on the stage."""

    MEETING = "meeting"
    BROADCAST = "broadcast"


class VideoCodec(StrEnum):
    """What cameras and screens of a room are encoded with."""

    VP8 = "vp8"
    VP9 = "vp9"
    AV1 = "av1"
    H264 = "h264"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomSettings:
    """What the join that makes a room fixes for it. `uplink_kbps`: what all in it may be sent at most, 0: no bound."""

    mode: Mode = Mode.MEETING
    video: VideoCodec = VideoCodec.VP8
    uplink_kbps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A picture on the client's screen: whose, and how many device pixels it covers."""

    participant: str
    source: Source
    width: int
    height: int
    pinned: bool = False


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
    host_key: str = ""
    invitation: str = ""
    subscribe: bool = True
    settings: RoomSettings = RoomSettings()


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
class View(ClientMessage):
    """Says which pictures are seen, and how large; what is not listed is not seen."""

    type: ClassVar[str] = "view"
    tiles: Sequence[Tile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(ClientMessage):
    """Brings a participant of a broadcast room to the stage or back."""

    type: ClassVar[str] = "stage"
    participant: str
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat(ClientMessage):
    """Says something to all in the room, or to one participant alone."""

    type: ClassVar[str] = "chat"
    text: str
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRules(ClientMessage):
    """Changes what holds for all in the room; None: unchanged. `rights` has only those that change."""

    type: ClassVar[str] = "rules"
    locked: bool | None = None
    lobby: bool | None = None
    password: str | None = None
    rights: Mapping[str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit(ClientMessage):
    """Lets somebody who waits in, or sends them away; an empty `waiting`: all of them."""

    type: ClassVar[str] = "admit"
    waiting: str = ""
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Moderate(ClientMessage):
    """Does something to a participant; an empty `participant`: to all who are not hosts."""

    type: ClassVar[str] = "moderate"
    action: Moderation
    participant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftBan(ClientMessage):
    """Lets somebody come again."""

    type: ClassVar[str] = "lift-ban"
    ban: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite(ClientMessage):
    """Asks for an invitation that is good for so long."""

    type: ClassVar[str] = "invite"
    seconds: int
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke(ClientMessage):
    """Makes an invitation good for nothing."""

    type: ClassVar[str] = "revoke"
    invitation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRoom(ClientMessage):
    """Ends the room for all in it."""

    type: ClassVar[str] = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand(ClientMessage):
    """Raises one's hand, or takes it down."""

    type: ClassVar[str] = "hand"
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class React(ClientMessage):
    """Shows something for a moment."""

    type: ClassVar[str] = "reaction"
    reaction: ReactionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(ClientMessage):
    """Asks the stage of a broadcast room a question."""

    type: ClassVar[str] = "ask"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote(ClientMessage):
    """Gives a question one's vote, or takes it back."""

    type: ClassVar[str] = "vote"
    question: str
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkAnswered(ClientMessage):
    """Says that a question has been answered, or has not."""

    type: ClassVar[str] = "answered"
    question: str
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw(ClientMessage):
    """Takes a question away: one's own, or as a host any."""

    type: ClassVar[str] = "withdraw"
    question: str


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
