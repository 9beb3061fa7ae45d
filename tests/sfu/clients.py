"""Participants of a media room who answer like browsers, for tests of what a room does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sfu.publish_answer import Source
from sfu.router import MediaPeer, MediaRoom, ReceivedStream, SlotView, WantedSource
from tests.sfu.peers import OTHER_CONTEXT, EndpointDouble, browser_answer, connect, path_of, recorded

BOTH = {"0": Source.MICROPHONE, "1": Source.CAMERA}
SIZES = {"q": (320, 180), "h": (640, 360), "f": (1280, 720)}


class Client:
    """Implements MediaListener and answers offers like a browser."""

    def __init__(self, room: MediaRoom, name: str, *, answering: bool = True) -> None:
        self.answering = answering
        self.offers: list[tuple[str, int, bool]] = []
        self.slots: list[SlotView] = []
        self.speakers: list[str | None] = []
        self.failed: list[str] = []
        self.wanted: list[Sequence[WantedSource]] = []
        self.received: list[Sequence[ReceivedStream]] = []
        self.peer: MediaPeer = room.join(name, self)
        self.room = room

    def media_offer(self, sdp: str, generation: int, fresh: bool) -> None:
        self.offers.append((sdp, generation, fresh))

    def media_slots(self, slots: list[SlotView]) -> None:
        self.slots = slots

    def media_speaker(self, peer_id: str | None) -> None:
        self.speakers.append(peer_id)

    def media_failed(self, connection: str) -> None:
        self.failed.append(connection)

    def media_wanted(self, wanted: Sequence[WantedSource]) -> None:
        self.wanted.append(wanted)

    def media_received(self, streams: Sequence[ReceivedStream], estimate_bps: int) -> None:
        self.received.append(streams)

    def publish(self, name: str = "chromium_plain", sources: Any = None, context: Any = OTHER_CONTEXT) -> str:
        return self.peer.publish(recorded(name, context), BOTH if sources is None else sources)

    def subscribe(self) -> None:
        endpoint: Any = self.room.endpoint
        self.peer.subscribe()
        self.answer()
        assert self.peer.subscribed is not None
        connect(self.peer.subscribed.transport, endpoint.clock)

    def answer(self) -> None:
        sdp, generation, _ = self.offers[-1]
        self.peer.answer(browser_answer(sdp), generation)


def made(*names: str) -> tuple[EndpointDouble, MediaRoom, list[Client]]:
    endpoint = EndpointDouble()
    room = MediaRoom(endpoint)
    return endpoint, room, [Client(room, name) for name in names]


def carried(client: Client) -> dict[str, int]:
    return {slot.mid: slot.stream.ssrc for slot in path_of(client.peer.subscribed).slots if slot.stream is not None}
