"""A small media side for tests of signalling: it agrees to everything and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from signalling.media import IceFragment, MediaFullError, MediaListener, RoomSettings, SdpError, Source, Tile


@dataclass(frozen=True)
class Slot:
    mid: str
    peer_id: str
    source: Source


class Peer:
    def __init__(self, room: Room, peer_id: str, listener: MediaListener, addresses: Sequence[str]) -> None:
        self.room = room
        self.id = peer_id
        self.listener = listener
        self.addresses = tuple(addresses)
        self.tracks: dict[str, Source] = {}
        self.muted: set[Source] = set()
        self.generation = 0
        self.answered: list[int] = []
        self.present = True
        self.client_address: str | None = None
        self.pinned: str | None = None
        self.fragments: list[IceFragment] = []
        self.on_stage = True
        self.tiles: Sequence[Tile] | None = None

    def publish(self, sdp: str, tracks: Mapping[str, Source]) -> str:
        if sdp.startswith("bad"):
            raise SdpError("no m-line can be used")
        if sdp.startswith("bug"):
            raise KeyError("a fault of ours")
        self.tracks = dict(tracks)
        self.room.show()
        return f"answer to {sdp}"

    def subscribe(self, *, fresh: bool = False, restart: bool = False) -> None:
        self.generation += 1
        kind = "fresh" if fresh else "restart" if restart else "first"
        self.listener.media_offer(f"offer {kind}", self.generation, fresh)
        self.room.show()

    def answer(self, sdp: str, generation: int) -> None:
        if sdp.startswith("bad"):
            raise SdpError("no answer")
        self.answered.append(generation)

    def view(self, sdp: str, *, pinned: str | None = None) -> str:
        self.pinned = pinned
        return "v=0\r\na=view\r\n"

    def trickle(self, fragment: IceFragment) -> str | None:
        self.fragments.append(fragment)
        return "a=ice-ufrag:ours\r\n" if fragment.ufrag == "fresh" else None

    def set_muted(self, source: Source, muted: bool) -> None:
        (self.muted.add if muted else self.muted.discard)(source)

    def set_view(self, tiles: Sequence[Tile] | None) -> None:
        self.tiles = tiles

    def set_stage(self, on: bool) -> None:
        self.on_stage = on
        if not on:
            self.tracks = {}
            self.room.show()

    def leave(self) -> None:
        self.present = False
        del self.room.peers[self.id]
        self.room.show()


class Room:
    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.peers: dict[str, Peer] = {}
        self.closed = False

    def join(self, peer_id: str, listener: MediaListener, *, extra_addresses: Sequence[str] = ()) -> Peer:
        if self.full:
            raise MediaFullError("the server is full")
        self.peers[peer_id] = Peer(self, peer_id, listener, extra_addresses)
        return self.peers[peer_id]

    def show(self) -> None:
        for peer in self.peers.values():
            sources = [
                (other.id, source)
                for other in self.peers.values()
                if other is not peer
                for source in other.tracks.values()
            ]
            if peer.generation:
                peer.listener.media_slots([Slot(str(mid), *content) for mid, content in enumerate(sources)])

    def close(self) -> None:
        self.closed = True


class Media:
    """Stands for the SFU service."""

    def __init__(self) -> None:
        self.rooms: list[Room] = []
        self.settings: list[RoomSettings | None] = []
        self.full = False

    def room(self, settings: RoomSettings | None = None) -> Room:
        self.settings.append(settings)
        self.rooms.append(Room(full=self.full))
        return self.rooms[-1]
