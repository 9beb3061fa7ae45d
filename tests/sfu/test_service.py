"""Real clients (aiortc) over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import aioice.ice
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack

from sfu.publish_answer import Source
from sfu.router import MediaPeer, MediaRoom, SlotView
from sfu.sdp import SdpError
from sfu.service import TICK_SECONDS, SfuService, SfuSettings
from wire import stun
from wire.stun import Attribute, MessageClass, Method

SECONDS = 20


class Person:
    """A participant made of two aiortc connections; implements MediaListener."""

    def __init__(self, room: MediaRoom, name: str) -> None:
        self.peer: MediaPeer = room.join(name, self)
        self.name = name
        self.publisher = RTCPeerConnection()
        self.subscriber: RTCPeerConnection | None = None
        self.slots: list[SlotView] = []
        self.speakers: list[str | None] = []
        self.failed: list[str] = []
        self.frames = {"audio": 0, "video": 0}
        self.changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def media_offer(self, sdp: str, generation: int, fresh: bool) -> None:
        self._spawn(self._answer(sdp, generation, fresh))

    def media_slots(self, slots: list[SlotView]) -> None:
        self.slots = slots
        self.changed.set()

    def media_speaker(self, peer_id: str | None) -> None:
        self.speakers.append(peer_id)
        self.changed.set()

    def media_failed(self, connection: str) -> None:
        self.failed.append(connection)
        self.changed.set()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, sdp: str, generation: int, fresh: bool) -> None:
        if fresh or self.subscriber is None:
            if self.subscriber is not None:
                await self.subscriber.close()
            self.subscriber = RTCPeerConnection()
            self.subscriber.on("track", lambda track: self._spawn(self._read(track)))
        await self.subscriber.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        await self.subscriber.setLocalDescription(await self.subscriber.createAnswer())
        self.peer.answer(self.subscriber.localDescription.sdp, generation)

    async def _read(self, track: Any) -> None:
        try:
            while True:
                await track.recv()
                self.frames[track.kind] += 1
                self.changed.set()
        except MediaStreamError:
            pass

    async def publish(self) -> None:
        self.publisher.addTransceiver(AudioStreamTrack(), "sendonly")
        self.publisher.addTransceiver(VideoStreamTrack(), "sendonly")
        await self.publisher.setLocalDescription(await self.publisher.createOffer())
        tracks = {
            t.mid: Source.MICROPHONE if t.kind == "audio" else Source.CAMERA for t in self.publisher.getTransceivers()
        }
        answer = self.peer.publish(self.publisher.localDescription.sdp, tracks)
        await self.publisher.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def close(self) -> None:
        self.peer.leave()
        await self.publisher.close()
        if self.subscriber is not None:
            await self.subscriber.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


Join = Callable[[MediaRoom, str], Person]


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


@pytest.fixture
async def join(service: SfuService) -> AsyncIterator[Join]:
    people: list[Person] = []

    def join(room: MediaRoom, name: str) -> Person:
        people.append(Person(room, name))
        return people[-1]

    yield join
    for person in people:
        await person.close()


@pytest.fixture
async def service() -> AsyncIterator[SfuService]:
    service = SfuService(SfuSettings(0), loop=asyncio.get_running_loop())
    await service.start()
    service.set_candidates(["127.0.0.1"])
    yield service
    await service.close()


def values(service: SfuService) -> dict[tuple[str, ...], Any]:
    return {(each.name, *each.labels.values()): each.value for each in service.measures()}


async def test_two_aiortc_clients_see_and_hear_each_other(service: SfuService, join: Join) -> None:
    room = service.room()
    ann, bob = join(room, "ann"), join(room, "bob")
    for person in (ann, bob):
        person.peer.subscribe()
        await person.publish()
    for person in (ann, bob):
        await person.until(lambda person=person: min(person.frames.values()) >= 10)
    assert {(view.peer_id, view.source) for view in ann.slots} == {("bob", "microphone"), ("bob", "camera")}
    measured = values(service)
    assert measured["ice_connections_total", "connected"] == 4
    assert measured["dtls_handshakes_total", "connected"] == 4
    assert measured["tracks", "in", "video", "camera"] == 2
    assert measured["tracks", "out", "audio", "microphone"] == 2
    assert measured["ice_selected_pairs", "direct"] == 4
    assert measured["rtp_packets_total", "in", "video"] > 0
    assert measured["rtp_packets_total", "out", "audio"] > 0
    ann.peer.leave()
    assert bob.slots == []


async def test_a_late_joiner_gets_a_picture(service: SfuService, join: Join) -> None:
    room = service.room()
    ann = join(room, "ann")
    await ann.publish()
    bob = join(room, "bob")
    bob.peer.subscribe()
    await bob.until(lambda: bob.frames["video"] >= 5)
    bob.frames["video"] = 0
    bob.peer.subscribe(fresh=True)
    await bob.until(lambda: bob.frames["video"] >= 5)


async def test_a_muted_camera_is_not_forwarded_and_keeps_its_slot(service: SfuService, join: Join) -> None:
    room = service.room()
    ann, bob = join(room, "ann"), join(room, "bob")
    await ann.publish()
    bob.peer.subscribe()
    await bob.until(lambda: bob.frames["video"] >= 5)
    ann.peer.set_muted(Source.CAMERA, True)
    before = values(service)["rtp_packets_total", "out", "video"]
    heard = bob.frames["audio"]
    await bob.until(lambda: bob.frames["audio"] >= heard + 20)
    assert values(service)["rtp_packets_total", "out", "video"] - before <= 2
    assert ("ann", "camera") in {(view.peer_id, view.source) for view in bob.slots}
    ann.peer.set_muted(Source.CAMERA, False)
    seen = bob.frames["video"]
    await bob.until(lambda: bob.frames["video"] >= seen + 5)


async def test_a_peer_that_closes_is_reported(service: SfuService, join: Join) -> None:
    room = service.room()
    ann, bob = join(room, "ann"), join(room, "bob")
    await ann.publish()
    bob.peer.subscribe()
    await bob.until(lambda: bob.frames["audio"] >= 5)
    await ann.publisher.close()
    await ann.until(lambda: ann.failed == ["publish"])


async def test_a_refused_offer_leaves_the_call_alone(service: SfuService, join: Join) -> None:
    room = service.room()
    ann, bob = join(room, "ann"), join(room, "bob")
    await ann.publish()
    bob.peer.subscribe()
    await bob.until(lambda: bob.frames["video"] >= 5)
    with pytest.raises(SdpError):
        ann.peer.publish("v=0\r\nnonsense", {})
    seen = bob.frames["video"]
    await bob.until(lambda: bob.frames["video"] >= seen + 5)


async def test_garbage_on_the_port_is_counted_and_not_answered(service: SfuService, join: Join) -> None:
    loop = asyncio.get_running_loop()
    person = join(service.room(), "ann")
    person.peer.subscribe()
    ufrag = next(iter(service._transports))
    attributes = [(int(Attribute.USERNAME), f"{ufrag}:x".encode())]
    unsigned = stun.encode(Method.BINDING, MessageClass.REQUEST, b"u" * 12, attributes)
    garbage = (b"", b"\x00" * 20, stun.encode(Method.BINDING, MessageClass.REQUEST, b"g" * 12), b"\x16\xfe\xff" * 9)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setblocking(False)
        stranger.connect(("127.0.0.1", service.port))
        for data in (*garbage, b"\x80" * 50, unsigned):
            stranger.send(data)
        async with asyncio.timeout(SECONDS):
            answer = await loop.sock_recv(stranger, 2000)
    assert stun.parse(answer).transaction_id == b"u" * 12  # the first answer is to the one that knew a fragment
    measured = values(service)
    for reason in ("stun_malformed", "stun_unknown_ufrag", "dtls_unchecked"):
        assert measured["sfu_dropped_packets_total", reason] > 0


async def test_nothing_ticks_while_nobody_is_there(service: SfuService) -> None:
    room = service.room()
    person = Person(room, "ann")
    person.peer.subscribe()
    await person.close()
    room.close()
    await asyncio.sleep(3 * TICK_SECONDS)
    assert service._tick is None


async def test_an_ipv6_address_is_announced_only_where_we_listen_on_it(service: SfuService) -> None:
    service.set_candidates(["192.0.2.1", "2001:db8::1", "nonsense"])
    expected = ["192.0.2.1", "2001:db8::1", "192.0.2.9"] if len(service._sockets) == 2 else ["192.0.2.1", "192.0.2.9"]
    assert service.addresses(["192.0.2.9", "192.0.2.1"]) == expected
