"""What signalling needs of the media side, which sfu.router and sfu.service provide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from sfu.codecs import Kind
from sfu.publish_answer import Source
from sfu.publish_answer import agree as agree_to_publish
from sfu.router import MediaFullError, ReceivedStream, RoomSettings, Tile, WantedSource
from sfu.sdp import SdpError, SessionDescription
from sfu.sdp import parse as parse_description
from sfu.sdp_fragment import IceFragment, parse_fragment
from sfu.subscribe_answer import agree as agree_to_view

__all__ = [
    "IceFragment",
    "Kind",
    "MediaFullError",
    "MediaListener",
    "MediaPeer",
    "MediaRoom",
    "MediaService",
    "ReceivedStream",
    "RoomSettings",
    "SdpError",
    "SessionDescription",
    "SlotView",
    "Source",
    "Tile",
    "WantedSource",
    "agree_to_publish",
    "agree_to_view",
    "parse_description",
    "parse_fragment",
]


class SlotView(Protocol):
    """Whose media an m-line of a subscribe connection carries."""

    @property
    def mid(self) -> str: ...  # noqa: D102
    @property
    def peer_id(self) -> str: ...  # noqa: D102
    @property
    def source(self) -> Source: ...  # noqa: D102


class MediaListener(Protocol):
    """What the media side tells about one peer, on the loop."""

    def media_offer(self, sdp: str, generation: int, fresh: bool) -> None:
        """The subscribe connection has a new offer."""

    def media_slots(self, slots: Sequence[SlotView]) -> None:
        """The whole list of who is where."""

    def media_speaker(self, peer_id: str | None) -> None:
        """Somebody else speaks now."""

    def media_failed(self, connection: Literal["publish", "subscribe"]) -> None:
        """The connection is gone (consent lost, DTLS failed)."""

    def media_wanted(self, wanted: Sequence[WantedSource]) -> None:
        """Which layers of this participant's pictures somebody watches."""

    def media_received(self, streams: Sequence[ReceivedStream], estimate_bps: int) -> None:
        """What this participant's video m-lines carry."""


class MediaPeer(Protocol):
    """One participant's media."""

    client_address: str | None
    """Where the client is, if it tries the first candidate only (WHIP, WHEP)."""

    def publish(self, sdp: str, tracks: Mapping[str, Source]) -> str:
        """The answer; SdpError leaves what was agreed before."""

    def subscribe(self, *, fresh: bool = False, restart: bool = False) -> None:
        """Asks for an offer, which comes through the listener."""

    def answer(self, sdp: str, generation: int) -> None:
        """Takes the client's answer; SdpError."""

    def view(self, sdp: str, *, pinned: str | None = None) -> str:
        """The answer to the one offer of a viewer that offers itself (WHEP); `pinned` comes first. SdpError."""

    def trickle(self, fragment: IceFragment) -> str | None:
        """Takes what a WHIP or WHEP client says of its ICE; our fragment when that was a restart. SdpError."""

    def set_muted(self, source: Source, muted: bool) -> None:
        """A muted source is not forwarded."""

    def set_view(self, tiles: Sequence[Tile] | None) -> None:
        """Which pictures are seen, and how large; None: all, as large as can be."""

    def set_stage(self, on: bool) -> None:
        """Who is not on the stage publishes nothing: what was published ends, and `publish` is refused."""

    def leave(self) -> None:
        """Ends both connections."""


class MediaRoom(Protocol):
    """Participants who receive each other."""

    def join(self, peer_id: str, listener: MediaListener, *, extra_addresses: Sequence[str] = ()) -> MediaPeer:
        """Adds a participant; `extra_addresses` are more candidate IPs for this one alone. MediaFullError."""

    def close(self) -> None:
        """Ends what is left."""


class MediaService(Protocol):
    """Where rooms come from."""

    def room(self, settings: RoomSettings | None = None) -> MediaRoom:
        """A new, empty room."""
