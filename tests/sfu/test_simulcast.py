"""A publisher's layers come and go, on explicit time: from SRTP in, by the choice of layer, to SRTP out and PLIs."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sfu.layers import ALONE_SECONDS, LIVE_SECONDS, STEADY_SECONDS
from sfu.router import Limit
from sfu.service import TICK_SECONDS
from tests.sfu.scene import Call, Scene


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


def test_the_first_picture_is_timed_and_no_layer_after_it(call: Call) -> None:
    measured = call.service.counters.first_frame_seconds
    scene = Scene(call)
    began = call.now
    scene.run(3)
    assert len({rid for _, rid, _ in scene.seen}) > 1
    assert sum(measured.counts) == 1
    assert measured.sum == pytest.approx(scene.seen[0][0] - began)
    scene.close()


@pytest.mark.parametrize("obedient", [True, False])
def test_when_the_upper_layers_stop_the_lowest_takes_their_slots_and_gives_them_back(
    scene: Scene, obedient: bool
) -> None:
    scene.camera.obedient = obedient
    scene.run(3)
    stopped = scene.call.now
    scene.camera.on = {"q"}
    scene.run(5)
    after, keyframe = scene.first("q", stopped)
    assert after < (ALONE_SECONDS if obedient else LIVE_SECONDS) + 0.5
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


def every(frames_a_second: float) -> Callable[[int], bool]:
    """A camera that slow."""
    ticks = round(1 / TICK_SECONDS / frames_a_second)
    return lambda tick: tick % ticks == 0


def stalling(tick: int) -> bool:
    """Ten frames a second, and every 10 s none for 2 s."""
    return tick % round(0.1 / TICK_SECONDS) == 0 and tick * TICK_SECONDS % 10 < 8


SLOW = {"10 a second": every(10), "5 a second": every(5), "3 a second": every(3), "1 a second": every(1)}


@pytest.mark.parametrize("size", [(300, 168), (495, 279), (1000, 563)], ids=["q", "h", "f"])
@pytest.mark.parametrize("captures", [*SLOW.values(), stalling], ids=[*SLOW, "stalls of 2 s"])
@pytest.mark.parametrize("irregular", [False, True], ids=["regular", "irregular"])
def test_a_slow_camera_is_left_in_peace(
    scene: Scene, captures: Callable[[int], bool], irregular: bool, size: tuple[int, int]
) -> None:
    chance = random.Random(1)
    scene.camera.keys_together = True
    scene.captures = captures
    if irregular:
        scene.camera.leaves_out = lambda rid: chance.random() < 0.4
    scene.show(*size)
    scene.run(10)
    since, told = scene.call.now, scene.ann.told_wanted
    before = len(scene.camera.keyframes), len(scene.camera.asked)
    scene.run(60)
    layer = {300: "q", 495: "h", 1000: "f"}[size[0]]
    assert {rid for at, rid, _ in scene.seen if at > since} == {layer}
    assert scene.camera.active == {layer}
    assert scene.ann.told_wanted - told <= 2
    assert len(scene.camera.keyframes) - before[0] <= 3
    assert len(scene.camera.asked) - before[1] <= 3
