"""A seeded network between the compiled path and a receiver, in the forwarder's own time.

The packets are real: protected by the path, taken from a socket, decrypted by the receiver; between the two they wait
in a model of a bottleneck. What the receiver says is protected and fed back.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

from sfu.downlink import Downlink
from sfu.forward import Event
from sfu.rtcp import build_compound
from sfu.rtp import Extension, parse_rtp
from tests.sfu.exchange import DELTA, KEYFRAME, SEND, Exchange, Peer, audio, slot_of, video
from tests.sfu.transport_feedback import transport_feedback

FEEDBACK_SECONDS = 0.1
FRAME_SECONDS = 1 / 25
AUDIO_SECONDS = 0.02
TICK_SECONDS = 0.02
LAYERS_BPS = (150_000, 500_000, 1_500_000)
AUDIO_BPS = 60_000
NUMBER_ID = SEND[Extension.TRANSPORT_SEQUENCE]


class World:
    """Time, and what happens at which moment of it."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.start = exchange.now

    @property
    def seconds(self) -> float:
        return self.exchange.now - self.start

    def at(self, when: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (max(when, self.exchange.now), self._count, action))

    def every(self, seconds: float, action: Callable[[], None]) -> None:
        def again() -> None:
            action()
            self.at(self.exchange.now + seconds, again)

        self.at(self.exchange.now + seconds, again)

    def run(self, seconds: float) -> None:
        end = self.exchange.now + seconds
        while self._events and self._events[0][0] <= end:
            self.exchange.now, _, action = heapq.heappop(self._events)
            action()
        self.exchange.now = end


@dataclass
class Bottleneck:
    """One queue for everybody behind it. `bps` 0: no limit."""

    world: World
    bps: float = 0
    bucket_bytes: int = 0  # what passes at once after a rest
    queue_seconds: float = 0.3
    delay: float = 0.02
    jitter: float = 0.0
    loss: float = 0.0
    bursts: tuple[tuple[float, float], ...] = ()  # (from, to) in the world's seconds, when nothing passes
    stalls: tuple[
        tuple[float, float], ...
    ] = ()  # (from, to), ascending, when the receiver sleeps: it reads all at the end
    random: random.Random = field(default_factory=lambda: random.Random(1))
    free_at: float = 0.0
    dropped: int = 0

    def queue(self) -> float:
        """Seconds a packet would wait now."""
        return max(0.0, self.free_at - self.world.exchange.now)

    def send(self, size: int, arrive: Callable[[], None]) -> None:
        now, seconds = self.world.exchange.now, self.world.seconds
        if self.queue() > self.queue_seconds:
            self.dropped += 1
            return
        at = now
        if self.bps:
            credit = self.bucket_bytes * 8 / self.bps
            self.free_at = max(now - credit, self.free_at) + size * 8 / self.bps
            at = max(now, self.free_at)
        if self.random.random() < self.loss or any(begin <= seconds < end for begin, end in self.bursts):
            self.dropped += 1
            return
        self.world.at(self.awake(at + self.delay + self.random.random() * self.jitter), arrive)

    def awake(self, at: float) -> float:
        """The first moment from `at` on at which the receiver does anything."""
        seconds = at - self.world.start
        position = bisect_right(self.stalls, (seconds, float("inf"))) - 1
        return max(at, self.world.start + self.stalls[position][1]) if position >= 0 else at

    def change(self, **values: float) -> Callable[[], None]:
        def apply() -> None:
            for name, value in values.items():
                setattr(self, name, value)
            self.free_at = min(self.free_at, self.world.exchange.now + self.queue_seconds)

        return apply


class Viewer:
    """A publisher of one camera, a receiver behind `link`, and the simplest policy between them."""

    def __init__(
        self, world: World, link: Bottleneck, *, layers: tuple[int, ...] = LAYERS_BPS, rtx: bool = True
    ) -> None:
        self.world, self.link, self.layers = world, link, layers
        exchange = world.exchange
        self.publisher: Peer = exchange.peer()
        self.peer: Peer = exchange.peer()
        self.slot = slot_of(self.peer, rtx=rtx)
        self.audio = slot_of(self.peer, 200, is_audio=True, rtx=False)
        self.slot.follow(self.publisher.transport.add_stream(1, audio=False))
        self.audio.follow(self.publisher.transport.add_stream(2, audio=True))
        self.downlink = Downlink(self.peer.transport, exchange.now)
        self.layer = 0
        self.video_number = self.audio_number = self.feedback_count = 0
        self.arrivals: list[tuple[int, int]] = []
        self.next_number: int | None = None
        self.highest = 1 << 16
        self.got_audio: list[float] = []
        self.got_video: list[float] = []
        self.got_bytes = 0
        self.padding_bytes = 0
        self.history: list[tuple[float, int, float, int]] = []  # seconds, estimate, queue, layer
        self.lowest_since_up = 0.0
        world.every(FRAME_SECONDS, self.send_frame)
        world.every(AUDIO_SECONDS, self.send_audio)
        world.every(FEEDBACK_SECONDS, self.send_feedback)
        world.every(TICK_SECONDS, self.tick)

    # The publisher.

    def send_frame(self) -> None:
        if self.layer < 0:
            return
        size = int(self.layers[self.layer] * FRAME_SECONDS / 8 * self.link.random.uniform(0.8, 1.2))
        count = -(-size // 1150)
        packets = []
        for index in range(count):
            payload = (KEYFRAME if self.video_number == 0 else DELTA) + bytes(size // count)
            packets.append(
                video(self.video_number, payload, timestamp=int(self.world.seconds * 90000), marker=index == count - 1)
            )
            self.video_number += 1
        self.publisher.send(*packets)
        self.pump()

    def send_audio(self) -> None:
        self.publisher.send(audio(self.audio_number, payload=bytes(100)))
        self.audio_number += 1
        self.pump()

    # The network and the receiver.

    def pump(self) -> None:
        """Takes what the path has sent and puts it on its way."""
        for data in self.peer.raw():
            self.link.send(len(data) + 28, lambda data=data: self.arrive(data))  # type: ignore[misc]

    def arrive(self, data: bytes) -> None:
        now = self.world.exchange.now
        packet = parse_rtp(self.peer.inbound.unprotect(data))
        number = int.from_bytes(dict(packet.extensions)[NUMBER_ID], "big")
        self.highest += (number - self.highest + 0x8000 & 0xFFFF) - 0x8000
        self.arrivals.append((self.highest, int((now - self.world.start) * 1e6)))
        self.got_bytes += len(data) + 28
        if packet.ssrc == self.audio.ssrc:
            self.got_audio.append(self.world.seconds)
        elif packet.ssrc == self.slot.ssrc:
            self.got_video.append(self.world.seconds)
        else:
            self.padding_bytes += len(data) + 28

    def send_feedback(self) -> None:
        if not self.arrivals:
            return
        arrivals = sorted(self.arrivals)
        packets = transport_feedback(
            arrivals, sender_ssrc=1, media_ssrc=100, feedback_count=self.feedback_count, first=self.next_number
        )
        self.feedback_count += len(packets)
        self.next_number = arrivals[-1][0] + 1
        self.arrivals = []
        sent_at = self.link.awake(self.world.exchange.now)
        data = [self.peer.outbound.protect_rtcp(build_compound([packet])) for packet in packets]
        self.world.at(sent_at + self.link.delay, lambda: self.feed(data))

    def feed(self, data: list[bytes]) -> None:
        exchange = self.world.exchange
        exchange.forwarder.feed([(each, self.peer.address, exchange.local) for each in data])
        for (transport,) in exchange.take(Event.FEEDBACK):
            if transport is self.peer.transport:
                self.downlink.handle_timer(exchange.now)
                self.choose()
        self.pump()

    # The policy.

    def tick(self) -> None:
        now = self.world.exchange.now
        self.downlink.want(self.layers[-1] + AUDIO_BPS)
        if now >= self.downlink.wake_at:
            self.downlink.handle_timer(now)
        self.choose()
        self.pump()
        self.history.append((self.world.seconds, self.downlink.estimate_bps, self.link.queue(), self.layer))

    def choose(self) -> None:
        room = self.downlink.estimate_bps - AUDIO_BPS
        fitting = [index for index, bps in enumerate(self.layers) if bps * 1.05 <= room]
        self.layer = max(fitting, default=-1)
