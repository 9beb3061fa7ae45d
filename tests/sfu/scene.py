"""A media service whose clock the test turns: a camera in layers, a browser's ends, and what a subscriber gets."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence

from pylibsrtp import Policy

from sfu import rtcp
from sfu.publish_answer import Source
from sfu.router import MediaRoom, ReceivedStream, RoomSettings, SlotView, Tile, WantedSource
from sfu.rtp import RtpPacket, build_rtp, parse_rtp
from sfu.sdp import parse
from sfu.service import TICK_SECONDS, SfuService, SfuSettings
from tests.sfu.exchange import DELTA, KEYFRAME, pending, session
from tests.sfu.peers import OTHER_CONTEXT, browser_answer, recorded
from wire import stun
from wire.demux import is_rtcp
from wire.stun import Attribute, MessageClass, Method

FRAME_TICKS = 2
CONTINUED = b"\x00more of it"  # a packet that begins no frame
SSRCS = {"q": 11, "h": 12, "f": 13}
SIZES = {"q": (320, 180), "h": (640, 360), "f": (1280, 720)}
BYTES = {"q": 100, "h": 300, "f": 900}


class Call:
    """A service whose time the test turns, fed by hand; what it sends leaves through its real socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop, uplink_bps: int = 0) -> None:
        self.now = 100.0
        self.service = SfuService(SfuSettings(0, uplink_bps), loop=loop, clock=lambda: self.now)
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
        self.told_wanted = 0
        self.received: Sequence[ReceivedStream] = ()

    def media_offer(self, sdp: str, generation: int, fresh: bool) -> None:
        self.offer = sdp

    def media_slots(self, slots: list[SlotView]) -> None: ...

    def media_speaker(self, peer_id: str | None) -> None: ...

    def media_failed(self, connection: str) -> None:
        raise AssertionError(connection)

    def media_wanted(self, wanted: Sequence[WantedSource]) -> None:
        self.wanted = wanted
        self.told_wanted += 1

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
        self.packets = dict.fromkeys(SSRCS, 1)  # of a frame
        self.numbers = dict.fromkeys(SSRCS, 100)
        self.wanted = set(SSRCS)
        self.keys_together = False  # whether a change of what is active is a keyframe of all layers, as in libwebrtc
        self.leaves_out: Callable[[str], bool] = lambda rid: False  # a frame of that layer
        self.keyframes: list[tuple[float, str]] = []
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
            # An encoder that begins again begins with a keyframe.
            self.wanted |= active if self.keys_together and active != self.active else active - self.active
            self.active = active
        for rid in sorted(self.on & self.active):
            if self.leaves_out(rid):
                continue
            payload = DELTA
            if rid in self.wanted - self.mute_keyframes:
                self.wanted.discard(rid)
                self.keyframes.append((call.now, rid))
                payload = KEYFRAME[:7] + struct.pack("<HH", *SIZES[rid]) + KEYFRAME[11:]
            for part in range(self.packets[rid]):
                packet = RtpPacket(
                    96,
                    self.numbers[rid] & 0xFFFF,
                    int(call.now * 90000) & 0xFFFFFFFF,
                    SSRCS[rid],
                    (payload if part == 0 else CONTINUED) + bytes(BYTES[rid]) + rid.encode(),
                    marker=part == self.packets[rid] - 1,
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
        self._tick = 0
        self.captures: Callable[[int], bool] = lambda tick: tick % FRAME_TICKS == 0

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_SECONDS)):
            self.call.tick()
            if self._tick % 50 == 0:
                self.camera.end.check()
                self.bob.check()
            if self.captures(self._tick):
                self.camera.frame()
            self._tick += 1
            self.take()

    def take(self) -> None:
        """What has come to Bob."""
        for packet in self.bob.received()[0]:
            self.see(packet)

    def see(self, packet: RtpPacket) -> None:
        """One packet of the picture."""
        keyframe = packet.payload[0] == KEYFRAME[0] and not packet.payload[1] & 1
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
