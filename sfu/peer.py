"""One participant's media: at most one publish and one subscribe connection, what it sees, and what it is told.

The room says what there is to receive; sockets, time and randomness come from the `Endpoint`. All calls run on the loop
thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from sfu.allocation import ReceivedStream, Tile
from sfu.codecs import Kind
from sfu.demand import TELL_SECONDS, WantedSource
from sfu.description import nearest_first
from sfu.endpoint import Endpoint
from sfu.publication import PublishConnection, read_offer
from sfu.publish_answer import Source
from sfu.sdp import SdpError
from sfu.sdp_fragment import IceFragment, fragment_text
from sfu.slots import SlotView
from sfu.subscription import SubscribeConnection
from sfu.track import Publication
from sfu.transport import State
from sfu.viewing import ViewConnection, read_viewer_offer

if TYPE_CHECKING:
    from sfu.forward import Gate


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

    def media_wanted(self, wanted: Sequence[WantedSource]) -> None:
        """Which layers of its pictures somebody watches from now on, of all of them; at first all are wanted."""

    def media_received(self, streams: Sequence[ReceivedStream], estimate_bps: int) -> None:
        """What the video slots carry now, at most once a second and on change; 0: the path is not known to bound it."""


class Room(Protocol):
    """What a peer asks of its room."""

    endpoint: Endpoint
    gate: Gate

    @property
    def preference(self) -> Sequence[Kind]:
        """Video codecs, best first."""

    @property
    def cap_bps(self) -> int:
        """What it may send altogether; 0: no cap."""

    @property
    def speaker(self) -> str | None:
        """Who speaks now."""

    def publications(self, *, but: MediaPeer) -> Iterator[tuple[str, Publication]]:
        """What everybody else sends."""

    def publications_changed(self, peer: MediaPeer) -> None:
        """Somebody's tracks came or went."""

    def layers_changed(self, peer: MediaPeer) -> None:
        """A track of somebody has another layer."""

    def muted_changed(self, peer: MediaPeer) -> None:
        """Somebody began or ceased to send something."""

    def left(self, peer: MediaPeer) -> None:
        """A participant is gone."""


class MediaPeer:
    """One participant's media."""

    def __init__(self, room: Room, peer_id: str, listener: MediaListener, extra_addresses: Sequence[str]) -> None:
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
        self._view: dict[tuple[str, Source], Tile] | None = None
        self._told_speaker: str | None = None
        self._told_wanted: Sequence[WantedSource] | None = None
        self._told_wanted_at = 0.0
        self.client_address: str | None = None
        """Where the client is, if it tries the first candidate only (WHIP)."""

    @property
    def _addresses(self) -> list[str]:
        addresses = self._endpoint.addresses(self._extra_addresses)
        if self.client_address is None:
            return addresses
        return nearest_first(addresses, self._extra_addresses, self.client_address)

    # Publishing.

    def publish(self, sdp: str, tracks: Mapping[str, Source]) -> str:
        """The answer to an offer; SdpError leaves what was agreed before."""
        self._check_present()
        if not self._on_stage:
            raise SdpError("who is not on the stage publishes nothing")
        sources = {mid: Source(source) for mid, source in tracks.items()}
        agreement = read_offer(sdp, sources, self._room.preference)
        now = self._endpoint.now()
        connection = self.published
        if connection is not None and (connection.replaced_by(agreement) or connection.transport.state is State.CLOSED):
            self._end_publishing(now)
            connection = None
        if connection is None:
            connection = PublishConnection(self._endpoint, self, self._room.gate)
            connection.muted = self._muted
            self.published = connection
            self._endpoint.watch(connection)
        return connection.negotiate(agreement, self._addresses, self._endpoint.port, now)

    def _end_publishing(self, now: float) -> None:
        connection, self.published = self.published, None
        if connection is not None:
            self._endpoint.unwatch(connection)
            connection.close(now)

    def set_muted(self, source: Source, muted: bool) -> None:
        """A muted source is received but not forwarded; it keeps its slots."""
        source = Source(source)
        (self._muted.add if muted else self._muted.discard)(source)
        if self.published is not None:
            self.published.set_muted(source, muted)
            self._room.muted_changed(self)

    def set_stage(self, on: bool) -> None:
        """Who is not on the stage publishes nothing: what was published ends, and `publish` is refused."""
        self._on_stage = on
        if not on and self.published is not None:
            self._end_publishing(self._endpoint.now())
            self._room.publications_changed(self)

    def tell_wanted(self, now: float) -> None:
        """Tells which layers are wanted, when that has changed and the last time is long enough ago."""
        connection = self.published
        if connection is None or now - self._told_wanted_at < TELL_SECONDS:
            return
        wanted = connection.wanted(now)
        layers = [layer for source in wanted for layer in source.layers]
        if self._told_wanted is None and all(layer.active and layer.spatial is None for layer in layers):
            return
        if wanted != self._told_wanted:
            self._told_wanted, self._told_wanted_at = wanted, now
            self._listener.media_wanted(wanted)

    # Receiving.

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
            connection = SubscribeConnection(self._endpoint, self)
            self._begin_receiving(connection, now)
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
        connection = ViewConnection(self._endpoint, self, read_viewer_offer(sdp), pinned)
        now = self._endpoint.now()
        self._begin_receiving(connection, now)
        return connection.accept(self._addresses, self._endpoint.port, now)

    def _begin_receiving(self, connection: SubscribeConnection, now: float) -> None:
        self.subscribed = connection
        self._endpoint.watch(connection)
        connection.allocation.view, connection.allocation.speaker = self._view, self._room.speaker
        connection.seat(self._room.publications(but=self), now)

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

    def set_view(self, tiles: Sequence[Tile] | None) -> None:
        """What this participant sees: pictures not listed are not sent to it. None: everything, as large as can be."""
        self._view = None if tiles is None else {(tile.peer_id, Source(tile.source)): tile for tile in tiles}
        connection = self.subscribed
        if connection is None:
            return
        connection.allocation.view = self._view
        if connection.unseated:
            self.update()
        else:
            connection.allocate(self._endpoint.now())

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
        connection.seat(self._room.publications(but=self), self._endpoint.now())
        if connection.offer_needed:
            self._offer(fresh=False)
        after = connection.views()
        if after != before:
            self._listener.media_slots(after)

    def speaker_changed(self) -> None:
        """Passes on who speaks; their picture comes first from now on."""
        speaker = self._room.speaker
        if speaker != self._told_speaker:
            self._told_speaker = speaker
            self._listener.media_speaker(speaker)
        connection = self.subscribed
        if connection is None or connection.allocation.speaker == speaker:
            return
        connection.allocation.speaker = speaker
        if connection.unseated or isinstance(connection, ViewConnection):
            self.update()
        elif connection.allocation.bounded:
            connection.allocate_by(self._endpoint.now())

    # What connections report, see PublishOwner and SubscribeOwner.

    def publications_changed(self) -> None:
        """Tracks came or went."""
        self._room.publications_changed(self)

    def layers_changed(self) -> None:
        """A track has another layer."""
        self._room.layers_changed(self)

    def allocate(self, now: float) -> bool:
        """What the slots carry is to be chosen anew; whether it was."""
        return self._endpoint.uplink.allocate(self, now)

    def received(self, streams: Sequence[ReceivedStream], estimate_bps: int) -> None:
        """What the slots carry has changed."""
        self._listener.media_received(streams, estimate_bps)

    def connection_ready(self) -> None:
        """Media can flow."""
        if self._room.speaker is not None:
            self._told_speaker = self._room.speaker
            self._listener.media_speaker(self._room.speaker)

    def connection_failed(self, connection: object) -> None:
        """Consent or DTLS is lost."""
        if connection is self.published:
            self._listener.media_failed("publish")
        elif connection is self.subscribed:
            self._listener.media_failed("subscribe")

    # What rounds of choice ask, see Served.

    @property
    def cap_bps(self) -> int:
        """What the room may send altogether; 0: no cap."""
        return self._room.cap_bps

    @property
    def cap_key(self) -> Room:
        """The room."""
        return self._room

    # The end.

    def leave(self) -> None:
        """Ends both connections; the others' slots become free."""
        if self._left:
            return
        self._left = True
        now = self._endpoint.now()
        if self.subscribed is not None:
            self._endpoint.unwatch(self.subscribed)
            self.subscribed.close(now)
            self.subscribed = None
        self._end_publishing(now)
        self._room.left(self)

    def _check_present(self) -> None:
        if self._left:
            raise SdpError("the participant has left")
