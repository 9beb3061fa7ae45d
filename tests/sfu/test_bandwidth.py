"""The estimate over a modelled network: the compiled path, real packets and feedback, explicit time."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from tests.sfu.exchange import Exchange
from tests.sfu.network import Bottleneck, Viewer, World

TOP = 2
FREE_BPS = 10e6
SQUEEZE_BPS = 300e3
SQUEEZED_AT, FREED_AT = 8.0, 20.0


def reached(viewer: Viewer, layer: int, since: float) -> float:
    """Seconds from `since` until the layer is carried."""
    return next((at - since for at, _, _, each in viewer.history if at >= since and each == layer), float("inf"))


def gap(times: list[float], since: float) -> float:
    """The longest silence after `since`."""
    later = [at for at in times if at >= since]
    return max(second - first for first, second in pairwise(later))


def squeezed(exchange: Exchange, **conditions: object) -> Viewer:
    """A viewer whose path takes 300 kbit/s for a while, with a queue of 300 ms."""
    world = World(exchange)
    link = Bottleneck(world, bps=FREE_BPS, **conditions)  # type: ignore[arg-type]
    viewer = Viewer(world, link)
    world.at(world.start + SQUEEZED_AT, link.change(bps=SQUEEZE_BPS))
    world.at(world.start + FREED_AT, link.change(bps=FREE_BPS))
    world.run(FREED_AT + 15)
    return viewer


CONDITIONS = {
    "clean": {},
    "random loss of 5 %": {"loss": 0.05},
    "jitter of 30 ms with reordering": {"jitter": 0.03},
    "bursts of loss of 300 ms": {"bursts": ((4.0, 4.3), (12.0, 12.3), (24.0, 24.3))},
    "round trip of 200 ms": {"delay": 0.1},
    "token bucket of 4 kB": {"bucket_bytes": 4096},
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_squeeze_is_answered_within_a_second_and_forgotten_within_fifteen(exchange: Exchange, name: str) -> None:
    viewer = squeezed(exchange, **CONDITIONS[name])
    assert reached(viewer, TOP, 0) < 3.0
    down = next(at for at, bps, *_ in viewer.history if at >= SQUEEZED_AT and bps <= SQUEEZE_BPS)
    assert down - SQUEEZED_AT < 1.0
    assert reached(viewer, TOP, FREED_AT) < 15.0
    assert gap(viewer.got_video, 1.0) < 1.0
    assert gap(viewer.got_audio, 1.0) < 0.35 + (0.3 if "bursts" in CONDITIONS[name] else 0)


@pytest.mark.parametrize("bucket_bytes", [0, 4096])
def test_a_squeeze_leaves_no_standing_queue(exchange: Exchange, bucket_bytes: int) -> None:
    viewer = squeezed(exchange, bucket_bytes=bucket_bytes)
    settled = [queue for at, _, queue, _ in viewer.history if SQUEEZED_AT + 2 < at < FREED_AT]
    assert sorted(settled)[len(settled) * 9 // 10] < 0.12
    assert sum(settled) / len(settled) < 0.06


@pytest.mark.parametrize("loss", [0.01, 0.05])
def test_random_loss_does_not_make_it_collapse(exchange: Exchange, loss: float) -> None:
    world = World(exchange)
    viewer = Viewer(world, Bottleneck(world, bps=FREE_BPS, loss=loss))
    world.run(30)
    assert reached(viewer, TOP, 0) < 3.0
    assert all(layer == TOP for at, _, _, layer in viewer.history if at > 3)


def test_bursts_of_loss_are_no_congestion(exchange: Exchange) -> None:
    world = World(exchange)
    bursts = tuple((second + 0.0, second + 0.3) for second in range(5, 30, 5))
    viewer = Viewer(world, Bottleneck(world, bps=FREE_BPS, bursts=bursts))
    world.run(30)
    assert all(layer == TOP for at, _, _, layer in viewer.history if at > 3)


def test_padding_is_a_small_share_in_the_long_run(exchange: Exchange) -> None:
    world = World(exchange)
    viewer = Viewer(world, Bottleneck(world, bps=900e3))
    world.run(10)
    before = viewer.padding_bytes, viewer.got_bytes
    world.run(60)
    assert viewer.padding_bytes - before[0] < 0.05 * (viewer.got_bytes - before[1])


def test_little_traffic_neither_raises_nor_lowers_the_estimate(exchange: Exchange) -> None:
    world = World(exchange)
    viewer = Viewer(world, Bottleneck(world, bps=FREE_BPS, jitter=0.01), layers=(100_000,))
    world.run(10)
    before = viewer.downlink.estimate_bps
    world.run(60)
    assert viewer.downlink.estimate_bps == pytest.approx(before, rel=0.1)


def test_two_receivers_share_a_bottleneck(exchange: Exchange) -> None:
    world = World(exchange)
    link = Bottleneck(world, bps=2e6)
    steps = tuple(100_000 * step for step in range(1, 21))
    one = Viewer(world, link, layers=steps)
    world.run(10)
    two = Viewer(world, link, layers=steps)
    world.run(30)
    before = one.got_bytes, two.got_bytes
    world.run(60)
    shares = one.got_bytes - before[0], two.got_bytes - before[1]
    assert min(shares) > sum(shares) / 3
    assert sum(shares) * 8 / 60 > 0.7 * link.bps


def test_a_receiver_without_rtx_is_tried_by_media(exchange: Exchange) -> None:
    world = World(exchange)
    viewer = Viewer(world, Bottleneck(world, bps=FREE_BPS), rtx=False)
    world.run(20)
    assert viewer.layer == TOP
    assert viewer.padding_bytes == 0


def test_silence_lowers_the_estimate_and_feedback_brings_it_back(exchange: Exchange) -> None:
    world = World(exchange)
    viewer = Viewer(world, Bottleneck(world, bps=FREE_BPS, bursts=((8.0, 12.0),)))
    world.run(8)
    before = viewer.downlink.estimate_bps
    world.run(4)
    assert viewer.downlink.estimate_bps < before / 4
    world.run(4)
    assert viewer.layer == TOP


def sleeps(shortest: float, longest: float, every: float, until: float) -> tuple[tuple[float, float], ...]:
    """When a busy receiver's threads do not run, from the third second on."""
    chance = random.Random(1)
    starts = [3.0 + number * every + chance.uniform(0, every / 5) for number in range(int((until - 3) / every))]
    return tuple((start, start + chance.uniform(shortest, longest)) for start in starts)


@pytest.mark.parametrize(
    ("shortest", "longest", "every"), [(0.05, 0.15, 0.5), (0.06, 0.1, 0.08)], ids=["now and then", "nearly always"]
)
def test_a_receiver_that_wakes_up_late_is_no_narrow_path(
    exchange: Exchange, shortest: float, longest: float, every: float
) -> None:
    world = World(exchange)
    link = Bottleneck(world, bps=3e6, stalls=sleeps(shortest, longest, every, 40))
    viewer = Viewer(world, link)
    world.run(40)
    assert min(bps for at, bps, *_ in viewer.history if at > 3) > 0.6 * link.bps
    assert all(layer == TOP for at, _, _, layer in viewer.history if at > 3)


def test_a_receiver_that_slept_has_what_it_had_when_all_has_arrived(exchange: Exchange) -> None:
    world = World(exchange)
    viewer = Viewer(world, Bottleneck(world, bps=FREE_BPS, stalls=((8.0, 10.8), (16.0, 18.8))))
    for asleep in (8.0, 16.0):
        world.run(asleep - world.seconds)
        before = viewer.downlink.estimate_bps
        world.run(2.7)
        assert viewer.downlink.estimate_bps < 0.6 * before
        world.run(0.8)
        assert viewer.downlink.estimate_bps > 0.9 * before
