"""Rooms of media: who publishes, who receives what, who speaks. The face that signalling sees.

Everybody receives everybody else who is on stage, never themselves. What concerns everybody (a track that came, another
speaker) is carried out for a few participants at once and for the others in the following turns of the timer, so that
neither a large audience nor a large meeting holds up the loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from sfu.allocation import ReceivedStream, Tile
from sfu.codecs import Kind
from sfu.demand import WantedLayer, WantedSource
from sfu.endpoint import Endpoint
from sfu.formats import DEFAULT_VIDEO_PREFERENCE
from sfu.forward import Gate
from sfu.peer import MediaListener, MediaPeer
from sfu.publish_answer import Source
from sfu.slots import Limit, SlotView
from sfu.speakers import MAX_TALKERS, OPEN_MICROPHONES, Speakers
from sfu.timers import Timed
from sfu.track import Change, Publication
from sfu.transport import NEVER

__all__ = [
    "Limit",
    "MediaFullError",
    "MediaListener",
    "MediaPeer",
    "MediaRoom",
    "ReceivedStream",
    "RoomSettings",
    "SlotView",
    "Source",
    "Tile",
    "WantedLayer",
    "WantedSource",
]

MAX_PEERS = 1600  # of a room, viewers included
MAX_PARTICIPANTS = 2048  # of all rooms: two connections each, so nobody who is in can find none
TICK_SECONDS = 0.1
PEERS_A_TURN = 32
TRACKS_A_TURN = 160  # of those, all their tracks together, so that a large meeting does not hold up the loop: some 4 ms
TURN_SECONDS = 0.02


class MediaFullError(ValueError):
    """No more participants fit into the room, or into the server."""


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """What is decided when a room begins."""

    video: Kind = Kind.VP8
    """The codec asked of publishers; those that have it not take the next best."""
    uplink_bps: int = 0
    """What the server may send to this room altogether; 0: no cap of its own."""


class MediaRoom(Timed):
    """Participants who receive each other."""

    def __init__(self, endpoint: Endpoint, settings: RoomSettings | None = None) -> None:
        self.endpoint = endpoint
        self.settings = settings or RoomSettings()
        self.peers: dict[str, MediaPeer] = {}
        self.wake_at = NEVER
        self.gate = Gate()
        self._speakers = Speakers()
        self._next_tick_at = NEVER
        self._publishing: dict[str, MediaPeer] = {}
        self._to_update: dict[MediaPeer, None] = {}  # who is still to learn of other tracks, in order
        self._to_tell: dict[MediaPeer, None] = {}  # and of another speaker
        endpoint.watch(self)

    @property
    def speaker(self) -> str | None:
        """Who speaks now."""
        return self._speakers.current

    @property
    def preference(self) -> Sequence[Kind]:
        """Video codecs, best first."""
        wanted = self.settings.video
        return (wanted, *(kind for kind in DEFAULT_VIDEO_PREFERENCE if kind is not wanted))

    @property
    def cap_bps(self) -> int:
        """What it may send altogether; 0: no cap."""
        return self.settings.uplink_bps

    def join(self, peer_id: str, listener: MediaListener, *, extra_addresses: Sequence[str] = ()) -> MediaPeer:
        """Adds a participant; `extra_addresses` are candidate IPs for this one alone. ValueError when taken or full."""
        if peer_id in self.peers:
            raise ValueError(f"{peer_id} is in the room")
        if len(self.peers) >= MAX_PEERS:
            raise MediaFullError(f"a room holds at most {MAX_PEERS}")
        if len(self.endpoint.peers) >= MAX_PARTICIPANTS:
            raise MediaFullError("the server is full")
        peer = MediaPeer(self, peer_id, listener, extra_addresses)
        self.peers[peer_id] = peer
        self.endpoint.peers.add(peer)
        return peer

    def publications(self, *, but: MediaPeer) -> Iterator[tuple[str, Publication]]:
        """What everybody else sends."""
        for peer_id, peer in self._publishing.items():
            if peer is not but and peer.published is not None:
                for publication in peer.published.publications.values():
                    yield peer_id, publication

    # What changes.

    def publications_changed(self, peer: MediaPeer) -> None:
        """Somebody's tracks came or went."""
        if peer.published is not None:
            self._publishing[peer.peer_id] = peer
        elif self._publishing.pop(peer.peer_id, None) is not None and self._speakers.remove(peer.peer_id):
            self._tell_speaker()
        self._next_tick_at = min(self._next_tick_at, self.endpoint.now())
        others = [other for other in self.peers.values() if other is not peer and other.subscribed is not None]
        self._to_update.update(dict.fromkeys(others))
        self._take_turn()

    def layers_changed(self, peer: MediaPeer) -> None:
        """A track of somebody has another layer."""
        del peer
        self._allocate(self.peers.values(), self.endpoint.now())

    def muted_changed(self, peer: MediaPeer) -> None:
        """Somebody began or ceased to send something, which counts where there are too few places."""
        others = [other for other in self.peers.values() if other is not peer and other.subscribed is not None]
        self._to_update.update(dict.fromkeys(each for each in others if each.subscribed and each.subscribed.unseated))
        self._take_turn()
        self._allocate(others, self.endpoint.now())

    def _allocate(self, peers: Iterable[MediaPeer], now: float) -> None:
        """Has it chosen anew what they get, a few a turn."""
        subscribed = [peer.subscribed for peer in peers if peer.subscribed is not None]
        a_turn = self._peers_a_turn()
        for position, connection in enumerate(subscribed):
            connection.allocate_by(now + position // a_turn * TURN_SECONDS)

    def _rates_changed(self, now: float) -> None:
        """Only where bits are short that matters at once."""
        short = []
        for peer in self.peers.values():
            if peer.subscribed is not None:
                peer.subscribed.rates_changed = True
                if peer.subscribed.allocation.short:
                    short.append(peer)
        self._allocate(short, now)

    def _tell_speaker(self) -> None:
        self._to_tell.update(dict.fromkeys(self.peers.values()))
        self._take_turn()

    def _peers_a_turn(self) -> int:
        """For how many something is done at once: what it takes for each grows with what there is to receive."""
        tracks = sum(len(peer.published.publications) for peer in self._publishing.values() if peer.published)
        return max(1, min(PEERS_A_TURN, TRACKS_A_TURN // max(1, tracks)))

    def _take_turn(self) -> None:
        """Carries out what is pending, for some of those it concerns."""
        for peer in _taken(self._to_update, self._peers_a_turn()):
            peer.update()
        for peer in _taken(self._to_tell, PEERS_A_TURN):
            peer.speaker_changed()
        pending = self._to_update or self._to_tell
        self.wake_at = self.endpoint.now() if pending else self._next_tick_at

    # The timer.

    def handle_timer(self, now: float) -> None:
        """Turns of what is pending; layers, wishes and levels every `TICK_SECONDS` while anybody publishes."""
        if now >= self._next_tick_at:
            self._tick(now)
        self._take_turn()

    def _tick(self, now: float) -> None:
        publishing = list(self._publishing.values())
        self._next_tick_at = now + TICK_SECONDS if publishing else NEVER
        change = max((peer.published.observe(now) for peer in publishing if peer.published), default=Change.NONE)
        if change is Change.LAYERS:
            self._allocate(self.peers.values(), now)
        elif change is Change.RATES:
            self._rates_changed(now)
        for peer in publishing:
            peer.tell_wanted(now)
        self.gate.limit = MAX_TALKERS if len(list(_microphones(publishing))) > OPEN_MICROPHONES else 0
        if self._speakers.observe(_levels(publishing), now):
            self._tell_speaker()

    # The end.

    def left(self, peer: MediaPeer) -> None:
        """A participant is gone."""
        self.peers.pop(peer.peer_id, None)
        self.endpoint.peers.discard(peer)
        self._to_update.pop(peer, None)
        self._to_tell.pop(peer, None)
        if peer.peer_id in self._publishing:
            self.publications_changed(peer)

    def close(self) -> None:
        """Ends what is left."""
        for peer in list(self.peers.values()):
            peer.leave()
        self.endpoint.unwatch(self)


def _taken(pending: dict[MediaPeer, None], count: int) -> list[MediaPeer]:
    """The first few, no longer pending."""
    taken = list(islice(pending, count))
    for peer in taken:
        del pending[peer]
    return taken


def _microphones(publishing: Sequence[MediaPeer]) -> Iterator[tuple[str, Publication]]:
    """Of whom, those that are on."""
    for peer in publishing:
        for publication in () if peer.published is None else peer.published.publications.values():
            if publication.source is Source.MICROPHONE and not publication.muted:
                yield peer.peer_id, publication


def _levels(publishing: Sequence[MediaPeer]) -> Mapping[str, int]:
    """How loud each microphone was since the last call, those that are on."""
    levels = {}
    for peer_id, publication in _microphones(publishing):
        level = None if publication.sound is None else publication.sound.stream.take_level()
        if level is not None:
            levels[peer_id] = level[1]
    return levels
