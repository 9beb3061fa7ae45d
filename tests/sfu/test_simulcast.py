"""A publisher's layers come and go, on explicit time: from SRTP in, by the choice of layer, to SRTP out and PLIs."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from pylibsrtp import Policy

from sfu import rtcp
from sfu.layers import LIVE_SECONDS, STEADY_SECONDS
from sfu.publish_answer import Source
from sfu.router import Limit, MediaRoom, ReceivedStream, RoomSettings, SlotView, Tile, WantedSource
from sfu.rtp import RtpPacket, build_rtp, parse_rtp
from sfu.sdp import parse
from sfu.service import TICK_SECONDS, SfuService, SfuSettings
from tests.sfu.exchange import DELTA, KEYFRAME, pending, session
from tests.sfu.peers import OTHER_CONTEXT, browser_answer, recorded
from wire import stun
from wire.demux import is_rtcp
from wire.stun import Attribute, MessageClass, Method

FRAME_TICKS = 2
SSRCS = {"q": 11, "h": 12, "f": 13}
SIZES = {"q": (320, 180), "h": (640, 360), "f": (1280, 720)}
BYTES = {"q": 100, "h": 300, "f": 900}


class Call:
    """A service whose time the test turns, fed by hand; what it sends leaves through its real socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = 100.0
        self.service = SfuService(SfuSettings(0), loop=loop, clock=lambda: self.now)
        loop.run_until_complete(self.service.start())
        self.service.set_candidates(["127.0.0.1"])
        self.local = ("127.0.0.1", self.service.port)

    def feed(self, data: bytes, source: tuple[str, int]) -> None:
        self.service._forwarder.feed([(data, source, self.local)])

    def tick(self) -> None:
        self.now += TICK_SECONDS
        self.service._on_tick()


class End:
    """A browser's end of one connection."""

    def __init__(self, call: Call, description: str) -> None:
        self.call = call
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.address: tuple[str, int] = self.socket.getsockname()
        self.transport = parse(description).media[0].transport
        self.check()
        dtls = OTHER_CONTEXT.client()
        dtls.start(call.now)
        for _ in range(10):
            for datagram in dtls.datagrams_to_send():
                call.feed(datagram, self.address)
            for datagram in self.raw():
                dtls.receive_datagram(datagram, call.now)
        keys = dtls.srtp_keys()
        profile = getattr(Policy, keys.profile)
        self.outbound = session(keys.local_key, Policy.SSRC_ANY_OUTBOUND, profile)
        self.inbound = session(keys.remote_key, Policy.SSRC_ANY_INBOUND, profile)

    def check(self) -> None:
        attributes = [
            (int(Attribute.USERNAME), f"{self.transport.ufrag}:x".encode()),
            (int(Attribute.USE_CANDIDATE), b""),
        ]
        key = self.transport.password.encode()
        data = stun.encode(Method.BINDING, MessageClass.REQUEST, b"t" * 12, attributes, key=key, fingerprint=True)
        self.call.feed(data, self.address)

    def raw(self) -> list[bytes]:
        return pending(self.socket)

    def received(self) -> tuple[list[RtpPacket], list[rtcp.RtcpPacket]]:
        media: list[RtpPacket] = []
        control: list[rtcp.RtcpPacket] = []
        for data in self.raw():
            if data[0] < 128:
                continue
            if is_rtcp(data):
                control += rtcp.parse_compound(self.inbound.unprotect_rtcp(data))
            else:
                media.append(parse_rtp(self.inbound.unprotect(data)))
        return media, control


class Listener:
    def __init__(self) -> None:
        self.offer = ""
        self.wanted: Sequence[WantedSource] = ()
        self.received: Sequence[ReceivedStream] = ()

    def media_offer(self, sdp: str, generation: int, fresh: bool) -> None:
        self.offer = sdp

    def media_slots(self, slots: list[SlotView]) -> None: ...

    def media_speaker(self, peer_id: str | None) -> None: ...

    def media_failed(self, connection: str) -> None:
        raise AssertionError(connection)

    def media_wanted(self, wanted: Sequence[WantedSource]) -> None:
        self.wanted = wanted

    def media_received(self, streams: Sequence[ReceivedStream], estimate_bps: int) -> None:
        self.received = streams


class Camera:
    """Sends the layers that are on and wanted; a PLI brings a keyframe of its layer, unless it gets lost."""

    def __init__(self, end: End, listener: Listener) -> None:
        self.end = end
        self.listener = listener
        self.on = set("qhf")
        self.active = set("qhf")
        self.obedient = True
        self.deaf = 0
        self.mute_keyframes: set[str] = set()
        self.numbers = dict.fromkeys(SSRCS, 100)
        self.wanted = set(SSRCS)
        self.asked: list[tuple[float, str]] = []

    def frame(self) -> None:
        call = self.end.call
        for packet in self.end.received()[1]:
            if isinstance(packet, rtcp.PictureLoss):
                rid = next(rid for rid, ssrc in SSRCS.items() if ssrc == packet.media_ssrc)
                self.asked.append((call.now, rid))
                if self.deaf:
                    self.deaf -= 1
                else:
                    self.wanted.add(rid)
        active = {layer.rid for source in self.listener.wanted for layer in source.layers if layer.active}
        if self.listener.wanted and self.obedient:
            self.wanted |= active - self.active  # an encoder that begins again begins with a keyframe
            self.active = active
        for rid in sorted(self.on & self.active):
            payload = DELTA
            if rid in self.wanted - self.mute_keyframes:
                self.wanted.discard(rid)
                payload = KEYFRAME[:7] + struct.pack("<HH", *SIZES[rid]) + KEYFRAME[11:]
            packet = RtpPacket(
                96,
                self.numbers[rid],
                int(call.now * 90000) & 0xFFFFFFFF,
                SSRCS[rid],
                payload + bytes(BYTES[rid]) + rid.encode(),
                marker=True,
                extensions=((4, b"1"), (10, rid.encode())),
            )
            self.numbers[rid] += 1
            call.feed(self.end.outbound.protect(build_rtp(packet)), self.end.address)


class Scene:
    """Ann's camera in three layers, and what Bob gets of it: (when, layer, keyframe)."""

    def __init__(self, call: Call, settings: RoomSettings | None = None) -> None:
        self.call = call
        self.room: MediaRoom = call.service.room(settings)
        ann, bob = Listener(), Listener()
        publisher, subscriber = self.room.join("ann", ann), self.room.join("bob", bob)
        offer = recorded("chromium_simulcast")
        answer = publisher.publish(offer, {"0": Source.MICROPHONE, "1": Source.CAMERA})
        self.ann, self.listener, self.subscriber = ann, bob, subscriber
        self.camera = Camera(End(call, answer), ann)
        subscriber.subscribe()
        subscriber.answer(browser_answer(bob.offer), 1)
        self.bob = End(call, bob.offer)
        self.seen: list[tuple[float, str, bool]] = []
        self.packets: list[RtpPacket] = []

    def run(self, seconds: float) -> None:
        for tick in range(round(seconds / TICK_SECONDS)):
            self.call.tick()
            if tick % 50 == 0:
                self.camera.end.check()
                self.bob.check()
            if tick % FRAME_TICKS == 0:
                self.camera.frame()
            for packet in self.bob.received()[0]:
                keyframe = not packet.payload[1] & 1
                self.seen.append((self.call.now, packet.payload[-1:].decode(), keyframe))
                self.packets.append(packet)

    def close(self) -> None:
        for end in (self.camera.end, self.bob):
            end.socket.close()

    def show(self, width: int, height: int) -> None:
        """Bob sees Ann at that size from now on."""
        self.subscriber.set_view([Tile("ann", Source.CAMERA, width, height)])

    def first(self, layer: str, since: float) -> tuple[float, bool]:
        """Seconds until the first packet of a layer, and whether it began with a keyframe."""
        return next((at - since, keyframe) for at, rid, keyframe in self.seen if rid == layer and at > since)


@pytest.fixture
def call() -> Iterator[Call]:
    loop: Any = asyncio.new_event_loop()
    call = Call(loop)
    yield call
    loop.run_until_complete(call.service.close())
    loop.close()


@pytest.fixture
def scene(call: Call) -> Iterator[Scene]:
    scene = Scene(call)
    yield scene
    scene.close()


def test_subscribers_get_the_best_layer(scene: Scene) -> None:
    scene.run(3)
    assert scene.seen[-1][1] == "f"


@pytest.mark.parametrize("obedient", [True, False])
def test_when_the_upper_layers_stop_the_lowest_takes_their_slots_and_gives_them_back(
    scene: Scene, obedient: bool
) -> None:
    scene.camera.obedient = obedient
    scene.run(3)
    stopped = scene.call.now
    scene.camera.on = {"q"}
    scene.run(3)
    after, keyframe = scene.first("q", stopped)
    assert after < LIVE_SECONDS + 0.5
    assert keyframe
    assert {rid for at, rid, _ in scene.seen if at > stopped + after} == {"q"}
    back = scene.call.now
    scene.camera.on = set("qhf")
    scene.run(3)
    after, keyframe = scene.first("f", back)
    assert after < STEADY_SECONDS + 0.5
    assert keyframe
    assert scene.seen[-1][1] == "f"
    numbers = [packet.sequence_number for packet in scene.packets]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_keyframe_of_the_lower_layer_is_asked_for_until_it_comes(scene: Scene) -> None:
    scene.camera.obedient = False
    scene.run(3)
    stopped = scene.call.now
    scene.camera.on = {"q"}
    scene.camera.deaf = 30
    scene.run(20)
    asked = [at - stopped for at, rid in scene.camera.asked if at > stopped and rid == "q"]
    assert asked[0] < LIVE_SECONDS + 0.3
    assert all(0.3 < later - earlier < 1.0 for earlier, later in itertools.pairwise(asked))
    assert len(asked) == 31
    after, keyframe = scene.first("q", stopped)
    assert 0 <= after - asked[30] < 0.1
    assert keyframe


def test_a_tile_gets_the_smallest_layer_that_fills_it_and_another_when_it_changes(scene: Scene) -> None:
    scene.show(300, 168)
    scene.run(3)
    assert scene.seen[-1][1] == "q"
    (stream,) = scene.listener.received
    assert (stream.width, stream.height, stream.limit) == (320, 180, Limit.TILE)
    for size, layer in (((640, 360), "h"), ((1900, 1000), "f"), ((200, 100), "q")):
        since = scene.call.now
        scene.show(*size)
        scene.run(4)
        after, keyframe = scene.first(layer, since)
        assert after < 1
        assert keyframe
        assert scene.seen[-1][1] == layer
    assert (scene.listener.received[0].width, scene.listener.received[0].limit) == (320, Limit.TILE)


def test_layers_that_nobody_watches_are_off_at_the_publisher_and_back_within_a_second(scene: Scene) -> None:
    scene.show(300, 168)
    scene.run(4)
    assert scene.camera.active == {"q"}
    scene.subscriber.set_view([])
    scene.run(3)
    assert scene.camera.active == set()
    quiet = scene.call.now
    scene.run(2)
    assert not [at for at, *_ in scene.seen if at > quiet]
    assert scene.listener.received[0].limit is Limit.HIDDEN
    back = scene.call.now
    scene.show(640, 360)
    scene.run(3)
    after, keyframe = scene.first("h", back)
    assert after < 1
    assert keyframe
    assert scene.camera.active == {"h"}


def test_a_switch_between_layers_leaves_no_gap(scene: Scene) -> None:
    scene.show(300, 168)
    scene.run(4)
    scene.show(640, 360)
    since = scene.call.now
    scene.run(3)
    times = [at for at, *_ in scene.seen if at > since]
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 0.1


def test_a_layer_the_publisher_never_sends_is_done_without(scene: Scene) -> None:
    scene.camera.on = {"q", "h"}
    scene.run(5)
    assert scene.seen[-1][1] == "h"
    assert scene.listener.received[0].limit is Limit.SENDER
    assert "f" in scene.camera.active
    since = scene.call.now
    scene.camera.on = set("qhf")
    scene.run(3)
    assert scene.first("f", since)[1]
    assert scene.seen[-1][1] == "f"


def test_a_layer_that_trickles_without_a_keyframe_holds_nobody_up(scene: Scene) -> None:
    scene.show(300, 168)
    scene.run(4)
    scene.camera.mute_keyframes = {"h"}
    scene.show(640, 360)
    since = scene.call.now
    scene.run(10)
    times = [(at, rid) for at, rid, _ in scene.seen if at > since]
    assert {rid for _, rid in times} <= {"q", "f"}
    assert times[-1][1] == "f"
    assert max(later[0] - earlier[0] for earlier, later in itertools.pairwise(times)) < 0.1


def test_somebody_alone_sends_no_pictures(call: Call) -> None:
    scene = Scene(call)
    scene.subscriber.leave()
    scene.run(3.5)
    assert scene.camera.active == set()
    scene.close()
