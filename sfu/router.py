"""Rooms of media: who publishes, who receives what, who speaks. The face that signalling sees.

Everybody receives everybody else in the room, never themselves. Owns the peers and their two connections; sockets, time
and randomness come from the `Endpoint`. All calls run on the loop thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from sfu.counters import Counters
from sfu.description import nearest_first
from sfu.publication import Publication, PublishConnection, read_offer
from sfu.publish_answer import Source
from sfu.sdp import SdpError
from sfu.sdp_fragment import IceFragment, fragment_text
from sfu.speakers import Speakers
from sfu.subscription import SlotView, SubscribeConnection
from sfu.transport import NEVER, PeerTransport, State
from sfu.viewing import ViewConnection, read_viewer_offer

if TYPE_CHECKING:
    from sfu.forward import Stream

__all__ = ["MediaFullError", "MediaListener", "MediaPeer", "MediaRoom", "SlotView", "Source"]

MAX_PEERS = 1600  # of a room, viewers included
MAX_PARTICIPANTS = 2048  # of all rooms: two connections each, so nobody who is in can find none
TICK_SECONDS = 0.1


class MediaFullError(ValueError):
    """No more participants fit into the room, or into the server."""


class MediaListener(Protocol):
    """What a peer is told, on the loop."""

    def media_offer(self, sdp: str, generation: int, fresh: bool) -> None:
        """The subscribe connection has a new offer; `fresh`: for a new peer connection."""

    def media_slots(self, slots: list[SlotView]) -> None:
        """The whole list of whose media each m-line carries from now on."""

    def media_speaker(self, peer_id: str | None) -> None:
        """Who speaks now."""

    def media_failed(self, connection: Literal["publish", "subscribe"]) -> None:
        """ICE consent or DTLS is lost."""


class Timed(Protocol):
    """What the endpoint wakes."""

    wake_at: float

    def handle_timer(self, now: float) -> None:
        """Does what is due and sets `wake_at`."""


class Endpoint(Protocol):
    """What rooms need of the service."""

    counters: Counters
    streams: dict[Stream, PublishConnection]
    peers: set[MediaPeer]  # of all rooms

    @property
    def port(self) -> int:
        """The port of all media."""

    def now(self) -> float:
        """Monotonic seconds."""

    def session_id(self) -> int:
        """A random number for an o= line."""

    def transport(self) -> PeerTransport:
        """A new transport with fresh credentials."""

    def addresses(self, extra: Sequence[str]) -> list[str]:
        """Candidate addresses, best first."""

    def watch(self, timed: Timed) -> None:
        """Wakes it from now on."""

    def unwatch(self, timed: Timed) -> None:
        """No longer."""


class MediaPeer:
    """One participant's media: at most one publish and one subscribe connection."""

    def __init__(self, room: MediaRoom, peer_id: str, listener: MediaListener, extra_addresses: Sequence[str]) -> None:
        self.peer_id = peer_id
        self.published: PublishConnection | None = None
        self.subscribed: SubscribeConnection | None = None
        self.generation = 0
        self._room = room
        self._endpoint = room.endpoint
        self._listener = listener
        self._extra_addresses = tuple(extra_addresses)
        self._muted: set[Source] = set()
        self._answered = 0
        self._on_stage = True
        self._left = False
        self.client_address: str | None = None
        """Where the client is, if it tries the first candidate only (WHIP)."""

    @property
    def _addresses(self) -> list[str]:
        addresses = self._endpoint.addresses(self._extra_addresses)
        if self.client_address is None:
            return addresses
        return nearest_first(addresses, self._extra_addresses, self.client_address)

    def publish(self, sdp: str, tracks: Mapping[str, Source]) -> str:
        """The answer to an offer; SdpError leaves what was agreed before."""
        self._check_present()
        if not self._on_stage:
            raise SdpError("who is not on the stage publishes nothing")
        agreement = read_offer(sdp, {mid: Source(source) for mid, source in tracks.items()})
        now = self._endpoint.now()
        connection = self.published
        if connection is not None and (connection.replaced_by(agreement) or connection.transport.state is State.CLOSED):
            self._endpoint.unwatch(connection)
            connection.close(now)
            connection = None
        if connection is None:
            connection = PublishConnection(
                self._endpoint.transport(), self, self._endpoint.streams, self._endpoint.session_id(), now
            )
            connection.muted = self._muted
            self.published = connection
            self._endpoint.watch(connection)
        return connection.negotiate(agreement, self._addresses, self._endpoint.port, now)

    def subscribe(self, *, fresh: bool = False, restart: bool = False) -> None:
        """Leads to `media_offer`: for a new peer connection, with new ICE credentials, or the present state again."""
        self._check_present()
        now = self._endpoint.now()
        connection = self.subscribed
        if connection is not None and fresh:
            self._endpoint.unwatch(connection)
            connection.close(now)
            connection = None
        if created := connection is None:
            connection = SubscribeConnection(
                self._endpoint.transport(),
                self,
                self._endpoint.streams,
                self._endpoint.counters,
                self._endpoint.session_id(),
                now,
            )
            self.subscribed = connection
            self._endpoint.watch(connection)
            connection.seat(self._room.publications(but=self))
        elif restart:
            connection.transport.restart_ice(now)
        self._offer(fresh=created)
        self._listener.media_slots(connection.views())

    def _offer(self, *, fresh: bool) -> None:
        connection = self.subscribed
        if connection is None:
            return
        self.generation += 1
        text = connection.offer(self._addresses, self._endpoint.port)
        self._listener.media_offer(text, self.generation, fresh)

    def answer(self, sdp: str, generation: int) -> None:
        """The answer to the newest offer, older ones are ignored; SdpError leaves everything as it was."""
        self._check_present()
        connection = self.subscribed
        if connection is None or generation != self.generation or generation == self._answered:
            return
        connection.answer(sdp, self._endpoint.now())
        self._answered = generation
        self.update()

    def view(self, sdp: str, *, pinned: str | None = None) -> str:
        """The answer to the one offer of a viewer that offers itself (WHEP); `pinned` comes first. SdpError."""
        self._check_present()
        agreement = read_viewer_offer(sdp)
        endpoint, now = self._endpoint, self._endpoint.now()
        connection = ViewConnection(
            endpoint.transport(),
            self,
            endpoint.streams,
            endpoint.counters,
            endpoint.session_id(),
            now,
            agreement=agreement,
            speaker=lambda: self._room.speaker,
            pinned=pinned,
        )
        self.subscribed = connection
        endpoint.watch(connection)
        connection.seat(self._room.publications(but=self))
        return connection.accept(self._addresses, endpoint.port, now)

    def trickle(self, fragment: IceFragment) -> str | None:
        """Takes what a WHIP or WHEP client says of its ICE; our fragment when that was a restart."""
        self._check_present()
        connection = self.published or self.subscribed
        agreement = connection.agreement if isinstance(connection, (PublishConnection, ViewConnection)) else None
        if connection is None or agreement is None:
            raise SdpError("there is no connection")
        transport, before = connection.transport, connection.transport.remote or agreement.remote
        if fragment.ufrag in ("", before.ufrag):
            return None
        transport.restarted_by_peer(fragment.ufrag, fragment.password, self._endpoint.now())
        return fragment_text(transport.local(self._addresses, self._endpoint.port), agreement.bundle)

    def set_muted(self, source: Source, muted: bool) -> None:
        """A muted source is received but not forwarded; it keeps its slots."""
        source = Source(source)
        (self._muted.add if muted else self._muted.discard)(source)
        if self.published is not None:
            self.published.set_muted(source, muted)
            self._room.muted_changed()

    def set_stage(self, on: bool) -> None:
        """Who is not on the stage publishes nothing: what was published ends, and `publish` is refused."""
        self._on_stage = on
        connection = self.published
        if connection is not None and not on:
            self.published = None
            self._endpoint.unwatch(connection)
            connection.close(self._endpoint.now())
            self._room.publications_changed(self)

    def leave(self) -> None:
        """Ends both connections; the others' slots become free."""
        if self._left:
            return
        self._left = True
        had_published = self.published is not None
        now = self._endpoint.now()
        for connection in (self.published, self.subscribed):
            if connection is not None:
                self._endpoint.unwatch(connection)
                connection.close(now)
        self.published = self.subscribed = None
        self._room.left(self, had_published=had_published)

    @property
    def slots(self) -> list[SlotView]:
        """Who is where, as last told."""
        return [] if self.subscribed is None else self.subscribed.views()

    def update(self) -> None:
        """Seats who is in the room now; tells the client when that changed something."""
        connection = self.subscribed
        if connection is None:
            return
        before = connection.views()
        connection.seat(self._room.publications(but=self))
        if connection.offer_needed:
            self._offer(fresh=False)
        after = connection.views()
        if after != before:
            self._listener.media_slots(after)

    def follow(self) -> None:
        """Points the slots at the layers chosen now."""
        if self.subscribed is not None:
            self.subscribed.follow()

    def tell_speaker(self, peer_id: str | None) -> None:
        """Passes on who speaks."""
        self._listener.media_speaker(peer_id)
        if isinstance(self.subscribed, ViewConnection):
            self.update()

    def publications_changed(self) -> None:
        """See PublishOwner."""
        self._room.publications_changed(self)

    def layers_changed(self) -> None:
        """See PublishOwner."""
        self._room.layers_changed(self)

    def connection_ready(self) -> None:
        """See SubscribeOwner."""
        if self._room.speaker is not None:
            self._listener.media_speaker(self._room.speaker)

    def connection_failed(self, connection: object) -> None:
        """See PublishOwner and SubscribeOwner."""
        if connection is self.published:
            self._listener.media_failed("publish")
        elif connection is self.subscribed:
            self._listener.media_failed("subscribe")

    def _check_present(self) -> None:
        if self._left:
            raise SdpError("the participant has left")


class MediaRoom:
    """Participants who receive each other."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.peers: dict[str, MediaPeer] = {}
        self.wake_at = NEVER
        self._speakers = Speakers()
        endpoint.watch(self)

    @property
    def speaker(self) -> str | None:
        """Who speaks now."""
        return self._speakers.current

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
        for peer_id, peer in self.peers.items():
            if peer is not but and peer.published is not None:
                for publication in peer.published.publications.values():
                    yield peer_id, publication

    def layers_changed(self, peer: MediaPeer) -> None:
        """A track of somebody has another layer."""
        now = self.endpoint.now()
        self.wake_at = min(self.wake_at, now + TICK_SECONDS)
        if self._choose(peer, now):
            for other in self.peers.values():
                other.follow()

    def publications_changed(self, peer: MediaPeer) -> None:
        """Somebody's tracks came or went."""
        self.wake_at = self.endpoint.now()
        self._choose(peer, self.wake_at)
        for other in list(self.peers.values()):
            if other is not peer:
                other.update()

    def muted_changed(self) -> None:
        """Somebody began or ceased to send something, which counts where there are too few places."""
        for other in list(self.peers.values()):
            if other.subscribed is not None and other.subscribed.unseated:
                other.update()

    def _choose(self, peer: MediaPeer, now: float) -> bool:
        changed = False
        for publication in () if peer.published is None else peer.published.publications.values():
            switch = publication.choose(now)
            changed = changed or switch is not None
            if switch in ("up", "down"):
                self.endpoint.counters.layer_switches[switch] += 1
        return changed

    def handle_timer(self, now: float) -> None:
        """Levels and layers, every `TICK_SECONDS` while anybody publishes."""
        publishing = [peer for peer in self.peers.values() if peer.published is not None]
        self.wake_at = now + TICK_SECONDS if publishing else NEVER
        changes = [self._choose(peer, now) for peer in publishing]
        if any(changes):
            for peer in self.peers.values():
                peer.follow()
        if self._speakers.observe(self._levels(publishing), now):
            self._tell_speaker()

    def _levels(self, publishing: Sequence[MediaPeer]) -> dict[str, int]:
        levels = {}
        for peer in publishing:
            connection = peer.published
            for publication in () if connection is None else connection.publications.values():
                if publication.source is Source.MICROPHONE and publication.chosen is not None:
                    level = publication.chosen.stream.take_level()
                    if level is not None and not publication.muted:
                        levels[peer.peer_id] = level[1]
        return levels

    def _tell_speaker(self) -> None:
        for peer in list(self.peers.values()):
            peer.tell_speaker(self.speaker)

    def left(self, peer: MediaPeer, *, had_published: bool) -> None:
        """A participant is gone; who published nothing leaves no place behind."""
        self.peers.pop(peer.peer_id, None)
        self.endpoint.peers.discard(peer)
        for other in list(self.peers.values()) if had_published else ():
            other.update()
        if self._speakers.remove(peer.peer_id):
            self._tell_speaker()

    def close(self) -> None:
        """Ends what is left."""
        for peer in list(self.peers.values()):
            peer.leave()
        self.endpoint.unwatch(self)
