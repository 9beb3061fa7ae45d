from collections.abc import Sequence

import pytest

from sfu.forward import LayerCount
from sfu.layers import (
    ALL,
    ALONE_SECONDS,
    COMING_SECONDS,
    DEAF_SECONDS,
    DETAIL_LIVE_SECONDS,
    LIVE_SECONDS,
    MAX_PATIENCE_SECONDS,
    PACKET_OVERHEAD_BYTES,
    PATIENCE_FRAMES,
    SHRUNK_SECONDS,
    STEADY_SECONDS,
    Layer,
    Option,
    Pace,
    alike,
    fills,
    ladder,
    options,
    pace,
)

SIZES = {"q": (320, 180), "h": (640, 360), "f": (1280, 720)}


class Sender:
    """Feeds layers with packets: bytes a second for each temporal layer."""

    def __init__(self, rates: dict[str, Sequence[int]], now: float = 10.0) -> None:
        self.layers = {rid: Layer(rid, order, wanted_at=now) for order, rid in enumerate("qhf")}
        self.rates = rates
        self.now = now
        self.sent = {rid: [0.0, 0.0, 0.0] for rid in "qhf"}
        self.last = dict.fromkeys("qhf", 0.0)

    def run(self, seconds: float, on: str = "qhf") -> None:
        for _ in range(round(seconds / 0.1)):
            self.now += 0.1
            self.last.update(dict.fromkeys(on, self.now))
            how = pace(self.layers.values(), max(self.last.values()))
            for rid, layer in self.layers.items():
                sent = self.sent[rid]
                if rid in on:
                    for temporal, rate in enumerate(self.rates[rid]):
                        sent[temporal] += rate / 10
                width, height = SIZES[rid]
                counts = [
                    LayerCount(0, temporal, int(sent[temporal]), int(self.frames(rid, temporal)), width, height)
                    for temporal in range(len(self.rates[rid]))
                ]
                layer.observe(counts, int(sum(sent) / 1000), self.last[rid], how, self.now)

    def frames(self, rid: str, temporal: int) -> float:
        per_second = (7.5, 7.5, 15)[temporal]
        rate = self.rates[rid][temporal]
        return self.sent[rid][temporal] / rate * per_second if rate else 0

    def rids(self) -> list[str]:
        return list(dict.fromkeys(option.rid for option in options(self.layers.values(), self.now)))


RATES = {"q": (10_000,), "h": (40_000,), "f": (120_000,)}


def test_a_rate_is_what_came_with_all_headers() -> None:
    sender = Sender(RATES)
    sender.run(5)
    (best,) = [option for option in options(sender.layers.values(), sender.now) if option.rid == "f"]
    assert best.bps == pytest.approx(8 * (120_000 + 120 * PACKET_OVERHEAD_BYTES), rel=0.05)
    assert (best.width, best.height, best.spatial, best.temporal) == (1280, 720, ALL, ALL)


def test_temporal_layers_include_those_below_them() -> None:
    sender = Sender({"q": (1000, 500, 500), "h": (0,), "f": (0,)})
    sender.run(5, "q")
    found = [option for option in options(sender.layers.values(), sender.now) if option.rid == "q"]
    assert [option.temporal for option in found] == [0, 1, ALL]
    assert [option.framerate for option in found] == pytest.approx([7.5, 15, 30], abs=1)
    assert [option.bps for option in found] == sorted(option.bps for option in found)


def test_a_silent_layer_is_left_at_once() -> None:
    sender = Sender(RATES)
    sender.run(3)
    sender.run(LIVE_SECONDS + PATIENCE_FRAMES / 7 + 0.2, "qh")
    assert sender.rids() == ["q", "h"]


def test_a_screen_on_which_nothing_moves_is_alive() -> None:
    layer = Layer("", detail=True)
    layer.observe([], 0, 10.0, Pace(10.0), 10.0 + DETAIL_LIVE_SECONDS)
    assert layer.alive
    layer.observe([], 0, 10.0, Pace(10.0), 10.1 + DETAIL_LIVE_SECONDS)
    assert not layer.alive


def test_a_slow_layer_is_silent_only_when_its_source_is_not() -> None:
    layer = Layer("", wanted_at=10.0)
    layer.observe([], 0, 20.0, Pace(20.0, 1.0), 20.0)
    layer.observe([], 0, 20.0, Pace(20.0, 1.0), 20.0 + ALONE_SECONDS + 1.0)
    assert layer.alive
    layer.observe([], 0, 20.0, Pace(20.0, 1.0), 20.1 + ALONE_SECONDS + 1.0)
    assert not layer.alive
    layer.observe([], 0, 30.0, Pace(30.0, 1.0), 30.0)
    layer.observe([], 0, 30.0, Pace(30.0 + LIVE_SECONDS + 1.0, 1.0), 30.1 + LIVE_SECONDS + 1.0)
    assert layer.alive
    layer.observe([], 0, 30.0, Pace(30.1 + LIVE_SECONDS + 1.0, 1.0), 30.1 + LIVE_SECONDS + 1.0)
    assert not layer.alive


def test_a_layer_its_encoder_makes_smaller_counts_as_large_as_it_was_for_a_while() -> None:
    layer = Layer("", wanted_at=10.0)

    def seen(now: float, width: int, height: int) -> tuple[int, int]:
        layer.observe([LayerCount(0, 0, 1000, 10, width, height)], 1, now, Pace(now), now)
        return layer.sizes[0]

    assert seen(10.0, 640, 360) == (640, 360)
    assert seen(11.0, 480, 270) == (640, 360)
    assert seen(11.0 + SHRUNK_SECONDS - 0.1, 320, 180) == (640, 360)
    assert seen(11.0 + SHRUNK_SECONDS, 320, 180) == (320, 180)
    assert seen(100.0, 640, 360) == (640, 360)
    assert seen(101.0, 480, 270) == (640, 360)
    assert seen(102.0, 360, 640) == (360, 640)
    assert seen(103.0, 480, 270) == (360, 640)
    assert seen(102.0 + SHRUNK_SECONDS, 480, 270) == (360, 640)


def test_the_slower_the_source_the_longer_a_layer_is_waited_for_up_to_a_bound() -> None:
    sender = Sender(RATES)
    assert pace(sender.layers.values(), 0.0).patience_seconds == 0
    sender.run(5)
    quick = pace(sender.layers.values(), sender.now).patience_seconds
    assert quick == pytest.approx(PATIENCE_FRAMES / 7.5, rel=0.2)
    sender.layers["q"].meter.rates[0, 0][1] = sender.layers["h"].meter.rates[0, 0][1] = 0.1
    sender.layers["f"].meter.rates[0, 0][1] = 0.2
    assert pace(sender.layers.values(), sender.now).patience_seconds == MAX_PATIENCE_SECONDS


def test_a_larger_layer_is_not_switched_on_for_a_smaller_one_that_does_not_come() -> None:
    sender = Sender(RATES)
    sender.run(3)
    sender.layers["f"].wanted = False
    sender.run(ALONE_SECONDS + 3, "q")
    assert sender.rids() == ["q"]


def test_a_layer_that_comes_back_by_itself_is_taken_when_it_stays() -> None:
    sender = Sender(RATES)
    sender.run(3)
    sender.run(3, "q")
    sender.run(0.3, "qf")
    assert sender.rids() == ["q"]
    sender.run(STEADY_SECONDS, "qf")
    assert sender.rids() == ["q", "f"]


def test_a_layer_that_comes_when_asked_is_taken_at_once() -> None:
    sender = Sender(RATES)
    sender.run(3)
    sender.run(3, "q")
    sender.layers["f"].wanted_at = sender.now
    sender.run(0.1, "qf")
    assert "f" in sender.rids()


def test_a_layer_somebody_has_gone_over_to_lives_before_it_is_next_looked_at() -> None:
    layer = Layer("h")
    assert not layer.alive
    layer.came(5.0)
    assert layer.alive
    layer.came(6.0)
    assert layer.alive_since == 5.0


def test_a_layer_that_is_off_may_be_chosen_and_costs_what_it_did() -> None:
    sender = Sender(RATES)
    sender.run(3)
    sender.layers["f"].wanted = False
    before = next(o for o in options(sender.layers.values(), sender.now) if o.rid == "f")
    sender.run(30, "qh")
    assert sender.rids() == ["q", "h", "f"]
    after = next(o for o in options(sender.layers.values(), sender.now) if o.rid == "f")
    assert after.bps == pytest.approx(before.bps, rel=0.1)


def test_a_layer_that_does_not_come_when_asked_is_given_up() -> None:
    sender = Sender(RATES)
    sender.run(COMING_SECONDS - 0.1, "q")
    assert sender.rids() == ["q", "h", "f"]
    sender.run(0.2 + PATIENCE_FRAMES / 7, "q")
    assert sender.rids() == ["q"]


def test_a_layer_that_sends_no_keyframe_is_left_alone_for_a_while() -> None:
    sender = Sender(RATES)
    sender.run(3)
    sender.layers["f"].deaf_at = sender.now
    assert sender.rids() == ["q", "h"]
    sender.layers["f"].last_keyframe_at = sender.now + 0.1
    assert sender.rids() == ["q", "h", "f"]
    sender.layers["f"].last_keyframe_at = 0
    sender.run(DEAF_SECONDS + 0.1)
    assert sender.rids() == ["q", "h", "f"]


def test_when_all_are_silent_all_remain() -> None:
    sender = Sender(RATES)
    sender.run(3)
    sender.run(60, "")
    assert sender.rids() == ["q", "h", "f"]


def test_what_is_not_known_is_guessed_from_the_next_layer() -> None:
    sender = Sender(RATES)
    sender.layers["f"].wanted = sender.layers["h"].wanted = False
    sender.run(3, "q")
    sender.layers["f"].sizes.clear()
    sender.layers["h"].sizes.clear()
    q, h, f = options(sender.layers.values(), sender.now)
    assert [(each.width, each.height) for each in (q, h, f)] == list(SIZES.values())
    assert q.bps < h.bps < f.bps


def test_before_anything_came_the_order_decides() -> None:
    sender = Sender(RATES)
    q, h, f = options(sender.layers.values(), sender.now)
    assert q.pixels < h.pixels < f.pixels
    assert (f.width, f.height) == (1280, 720)


def test_without_layers_there_is_nothing() -> None:
    assert options([], 1.0) == ()
    assert ladder([], (100, 100), detail=False) == ()


def picture(rid: str, *costs: int, framerates: Sequence[float] = (7.5, 15, 30)) -> list[Option]:
    return [
        Option(rid, ALL, temporal, *SIZES[rid], framerate, cost)
        for temporal, (cost, framerate) in enumerate(zip(costs, framerates, strict=False))
    ]


CAMERA = [*picture("q", 40, 60, 100), *picture("h", 150, 220, 350), *picture("f", 480, 720, 1200)]


def names(found: Sequence[Option]) -> list[str]:
    return [f"{option.rid}{option.temporal}" for option in found]


@pytest.mark.parametrize(
    ("size", "best"),
    [
        ((100, 56), "q"),
        ((320, 180), "q"),
        ((336, 189), "q"),
        ((337, 190), "h"),
        ((640, 360), "h"),
        ((700, 394), "f"),
        ((1920, 1080), "f"),
        ((180, 320), "q"),
        (None, "f"),
    ],
)
def test_the_best_is_the_smallest_picture_that_fills_the_tile(size: tuple[int, int] | None, best: str) -> None:
    assert ladder(CAMERA, size, detail=False)[-1].rid == best


def test_frames_go_before_pixels() -> None:
    assert names(ladder(CAMERA, None, detail=False)) == ["q0", "q1", "q2", "h0", "h1", "h2", "f0", "f1", "f2"]


def test_a_picture_with_few_frames_is_no_step_unless_it_is_the_smallest() -> None:
    slow = [
        *picture("q", 40, 60, 100, framerates=(3, 7, 15)),
        *picture("h", 150, 220, 350, framerates=(3, 7.5, 15)),
    ]
    assert names(ladder(slow, None, detail=False)) == ["q0", "q1", "q2", "h1", "h2"]


def test_a_screen_keeps_its_size_with_fewer_frames_than_a_face() -> None:
    slow = [*picture("q", 40, 60, 100, framerates=(2, 4, 8)), *picture("f", 500, 700, 900, framerates=(2, 4, 8))]
    assert names(ladder(slow, None, detail=True)) == ["q0", "q1", "q2", "f0", "f1", "f2"]
    assert names(ladder(slow, None, detail=False)) == ["q0", "q1", "q2", "f1", "f2"]


def test_what_costs_no_less_than_the_better_step_is_left_out() -> None:
    odd = [*picture("q", 40, 60, 100), *picture("h", 80, 90, 95)]
    assert names(ladder(odd, None, detail=False)) == ["q0", "q1", "h0", "h1", "h2"]


def test_of_two_pictures_of_one_size_both_are_steps() -> None:
    same = [Option("a", ALL, ALL, 640, 360, 30, 300), Option("b", ALL, ALL, 640, 360, 30, 500)]
    assert [option.rid for option in ladder(same, (640, 360), detail=False)] == ["a", "b"]


def test_small_changes_do_not_count() -> None:
    assert alike(CAMERA, [option._replace(bps=int(option.bps * 1.05)) for option in CAMERA])
    assert not alike(CAMERA, [option._replace(bps=int(option.bps * 1.2)) for option in CAMERA])
    assert not alike(CAMERA, CAMERA[1:])
    assert not alike(CAMERA, [option._replace(width=option.width + 2) for option in CAMERA])


def test_a_turned_picture_fills_a_turned_tile() -> None:
    assert fills(Option("f", ALL, ALL, 1280, 720, 30, 1), 720, 1280)
    assert not fills(Option("f", ALL, ALL, 1280, 720, 30, 1), 800, 1280)


def test_spatial_layers_of_one_stream_are_options_and_keep_their_rates_while_they_are_off() -> None:
    layer = Layer("", wanted_at=10.0)
    sizes, rates = [(320, 180), (640, 360), (1280, 720)], [10_000, 30_000, 80_000]
    sent = [0, 0, 0]
    now = 10.0
    for step in range(100):
        now += 0.1
        for spatial in range(3 if step < 50 else 2):
            sent[spatial] += rates[spatial] // 10
        counts = [LayerCount(spatial, 0, sent[spatial], step, *sizes[spatial]) for spatial in range(3)]
        layer.observe(counts, sum(sent) // 1000, now, Pace(now), now)
    found = options([layer], now)
    assert [(each.spatial, each.width) for each in found] == [(0, 320), (1, 640), (ALL, 1280)]
    assert found[2].bps == pytest.approx(8 * 120_000, rel=0.2)
    assert [each.spatial for each in ladder(found, (600, 300), detail=False)] == [0, 1]
