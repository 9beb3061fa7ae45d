"""A subscriber behind a narrow path: what it gets of a camera in three layers, from its feedback to its packets."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sfu.formats import OFFERED_EXTENSIONS
from sfu.router import Limit
from sfu.rtcp import build_compound
from sfu.rtp import Extension, RtpPacket, build_rtp, parse_rtp
from sfu.service import TICK_SECONDS
from tests.sfu.peers import browser_answer
from tests.sfu.scene import SSRCS, Call, End, Listener, Scene
from tests.sfu.transport_feedback import transport_feedback
from wire.demux import is_rtcp

NUMBER_ID = OFFERED_EXTENSIONS[Extension.TRANSPORT_SEQUENCE]
FEEDBACK_TICKS = 5
QUEUE_SECONDS = 0.3
AUDIO_SSRC = 14


class Squeezed(Scene):
    """Bob is behind a queue of 300 ms; Ann speaks too. Layers of about 150, 500 and 1500 kbit/s."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.camera.packets = {"q": 5, "h": 6, "f": 7}
        self.bps = 0.0
        self.free_at = 0.0
        self.on_their_way: deque[tuple[float, bytes]] = deque()
        self.arrivals: list[tuple[int, int]] = []
        self.next_number: int | None = None
        self.highest = 1 << 16
        self.feedbacks = self.ticks = self.spoken = 0
        self.heard: list[float] = []

    def take(self) -> None:
        self.ticks += 1
        self.speak()
        now = self.call.now
        for data in self.bob.raw():
            waiting = max(0.0, self.free_at - now)
            if data[0] >= 128 and not is_rtcp(data) and waiting <= QUEUE_SECONDS:
                self.free_at = now + waiting + (8 * (len(data) + 28) / self.bps if self.bps else 0)
                self.on_their_way.append((self.free_at, data))
        while self.on_their_way and self.on_their_way[0][0] <= now:
            self.arrive(*self.on_their_way.popleft())
        if self.ticks % FEEDBACK_TICKS == 0 and self.arrivals:
            self.feed_back()

    def speak(self) -> None:
        extensions = ((4, b"0"), (1, bytes([20 | 0x80])))
        packet = RtpPacket(111, self.spoken & 0xFFFF, self.spoken * 960, AUDIO_SSRC, bytes(80), extensions=extensions)
        self.spoken += 1
        self.call.feed(self.camera.end.outbound.protect(build_rtp(packet)), self.camera.end.address)

    def arrive(self, at: float, data: bytes) -> None:
        packet = parse_rtp(self.bob.inbound.unprotect(data))
        number = int.from_bytes(dict(packet.extensions)[NUMBER_ID], "big")
        self.highest += (number - self.highest + 0x8000 & 0xFFFF) - 0x8000
        self.arrivals.append((self.highest, int(at * 1e6)))
        if packet.payload_type == 111:
            self.heard.append(at)
        elif packet.payload_type == 96:
            self.see(packet)

    def feed_back(self) -> None:
        packets = transport_feedback(
            sorted(self.arrivals),
            sender_ssrc=1,
            media_ssrc=SSRCS["q"],
            feedback_count=self.feedbacks & 0xFF,
            first=self.next_number,
        )
        self.feedbacks += len(packets)
        self.next_number = max(self.arrivals)[0] + 1
        self.arrivals = []
        for packet in packets:
            self.call.feed(self.bob.outbound.protect_rtcp(build_compound([packet])), self.bob.address)

    def longest_gap(self, times: list[float]) -> float:
        return max(later - earlier for earlier, later in itertools.pairwise(times))


@contextmanager
def served(uplink_bps: int = 0) -> Iterator[Call]:
    loop: Any = asyncio.new_event_loop()
    call = Call(loop, uplink_bps)
    yield call
    loop.run_until_complete(call.service.close())
    loop.close()


@pytest.fixture
def scene() -> Iterator[Squeezed]:
    with served() as call:
        scene = Squeezed(call)
        yield scene
        scene.close()


class Crowd(Scene):
    """Bob and others who all see Ann at full size."""

    def __init__(self, call: Call, others: int) -> None:
        super().__init__(call)
        self.camera.packets = {"q": 5, "h": 6, "f": 7}
        self.others: list[tuple[End, Listener]] = []
        for number in range(others):
            listener = Listener()
            peer = self.room.join(f"other{number}", listener)
            peer.subscribe()
            peer.answer(browser_answer(listener.offer), 1)
            self.others.append((End(call, listener.offer), listener))
        self.ticks = 0

    def take(self) -> None:
        super().take()
        self.ticks += 1
        for end, _ in self.others:
            end.received()
            if self.ticks % 50 == 0:
                end.check()

    def close(self) -> None:
        super().close()
        for end, _ in self.others:
            end.socket.close()


def test_the_right_layer_is_there_within_three_seconds_of_joining(scene: Squeezed) -> None:
    since = scene.call.now
    scene.run(4)
    assert scene.first("f", since)[0] < 3
    assert scene.seen[-1][1] == "f"


def test_a_squeeze_costs_pixels_and_no_sound_and_is_over_soon(scene: Squeezed) -> None:
    scene.run(6)
    assert scene.seen[-1][1] == "f"
    scene.bps, squeezed = 300_000, scene.call.now
    scene.run(15)
    after, keyframe = scene.first("q", squeezed)
    assert after < 3
    assert keyframe
    settled = squeezed + 3
    assert {rid for at, rid, _ in scene.seen if at > settled} == {"q"}
    assert scene.longest_gap([at for at, *_ in scene.seen if at > settled]) < 0.2
    assert scene.longest_gap([at for at, *_ in scene.seen if at > squeezed]) < 1
    assert scene.longest_gap([at for at in scene.heard if at > squeezed]) < QUEUE_SECONDS + 0.2
    late = [at for at in scene.heard if at > settled]
    assert len(late) > 0.98 * (scene.call.now - settled) / TICK_SECONDS
    scene.bps, freed = 0, scene.call.now
    scene.run(16)
    assert scene.first("f", freed)[0] < 15
    assert scene.seen[-1][1] == "f"


@pytest.mark.parametrize(("uplink_bps", "widths"), [(1_000_000, [320] * 3), (2_000_000, [640] * 3), (0, [1280] * 3)])
def test_the_uplink_of_the_host_is_shared_and_not_exceeded(uplink_bps: int, widths: list[int]) -> None:
    with served(uplink_bps) as call:
        crowd = Crowd(call, 2)
        crowd.run(5)
        everybody = [crowd.listener, *(listener for _, listener in crowd.others)]
        assert [listener.received[0].width for listener in everybody] == widths
        limit = Limit.UPLINK if uplink_bps else Limit.NONE
        assert {listener.received[0].limit for listener in everybody} == {limit}
        for _ in range(3):
            before = call.service._sent_bytes()
            crowd.run(1)
            assert not uplink_bps or 8 * (call.service._sent_bytes() - before) < uplink_bps
        assert call.service.uplink.used_bps > 300_000
        crowd.close()
