"""A publisher's layers come and go, on explicit time: from SRTP in, by the choice of layer, to SRTP out and PLIs."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from pylibsrtp import Policy

from sfu import rtcp
from sfu.layers import LIVE_SECONDS, STEADY_SECONDS
from sfu.publish_answer import Source
from sfu.router import MediaRoom, SlotView
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
HEIGHTS = {"q": 180, "h": 360, "f": 720}


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


class Camera:
    """Sends the layers that are on; a PLI brings a keyframe of its layer, unless it gets lost."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.on = set("qhf")
        self.deaf = 0
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
        for rid in sorted(self.on):
            payload = DELTA
            if rid in self.wanted:
                self.wanted.discard(rid)
                payload = KEYFRAME[:7] + HEIGHTS[rid].to_bytes(2, "little") * 2 + KEYFRAME[11:]
            packet = RtpPacket(
                96,
                self.numbers[rid],
                int(call.now * 90000) & 0xFFFFFFFF,
                SSRCS[rid],
                payload + rid.encode(),
                marker=True,
                extensions=((4, b"1"), (10, rid.encode())),
            )
            self.numbers[rid] += 1
            call.feed(self.end.outbound.protect(build_rtp(packet)), self.end.address)


class Listener:
    def __init__(self) -> None:
        self.offer = ""

    def media_offer(self, sdp: str, generation: int, fresh: bool) -> None:
        self.offer = sdp

    def media_slots(self, slots: list[SlotView]) -> None: ...

    def media_speaker(self, peer_id: str | None) -> None: ...

    def media_failed(self, connection: str) -> None:
        raise AssertionError(connection)


class Scene:
    """Ann's camera in three layers, and what Bob gets of it: (when, layer, keyframe)."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.room: MediaRoom = call.service.room()
        ann, bob = Listener(), Listener()
        publisher, subscriber = self.room.join("ann", ann), self.room.join("bob", bob)
        offer = recorded("chromium_simulcast")
        self.camera = Camera(End(call, publisher.publish(offer, {"0": Source.MICROPHONE, "1": Source.CAMERA})))
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

    def first(self, layer: str, since: float) -> tuple[float, bool]:
        """Seconds until the first packet of a layer, and whether it began with a keyframe."""
        return next((at - since, keyframe) for at, rid, keyframe in self.seen if rid == layer and at > since)


@pytest.fixture
def scene() -> Iterator[Scene]:
    loop: Any = asyncio.new_event_loop()
    call = Call(loop)
    scene = Scene(call)
    yield scene
    for end in (scene.camera.end, scene.bob):
        end.socket.close()
    loop.run_until_complete(call.service.close())
    loop.close()


def test_subscribers_get_the_best_layer(scene: Scene) -> None:
    scene.run(3)
    assert scene.seen[-1][1] == "f"


def test_when_the_upper_layers_stop_the_lowest_takes_their_slots_and_gives_them_back(scene: Scene) -> None:
    scene.run(3)
    stopped = scene.call.now
    scene.camera.on = {"q"}
    scene.run(3)
    after, keyframe = scene.first("q", stopped)
    assert after < LIVE_SECONDS + 0.3
    assert keyframe
    assert {rid for at, rid, _ in scene.seen if at > stopped + after} == {"q"}
    back = scene.call.now
    scene.camera.on = set("qhf")
    scene.run(3)
    after, keyframe = scene.first("f", back)
    assert after < STEADY_SECONDS + 0.3
    assert keyframe
    assert scene.seen[-1][1] == "f"
    numbers = [packet.sequence_number for packet in scene.packets]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_keyframe_of_the_lower_layer_is_asked_for_until_it_comes(scene: Scene) -> None:
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
