import pytest

from sfu.layers import LIVE_SECONDS, STEADY_SECONDS, Layer, choose


def layers(*pixels: int) -> list[Layer]:
    return [Layer(key, order, size) for order, (key, size) in enumerate(zip("qhf", pixels, strict=False))]


def live(each: list[Layer], keys: str, now: float) -> None:
    for layer in each:
        layer.observe(now if layer.key in keys else layer.last_packet_at, layer.pixels, now)


def test_the_first_choice_is_the_best_that_is_alive() -> None:
    each = layers(100, 400, 1600)
    live(each, "qh", 10.0)
    assert choose(each, None, 10.0) == "h"


def test_size_decides_before_the_order_of_the_offer() -> None:
    each = layers(1600, 400, 100)
    live(each, "qhf", 10.0)
    assert choose(each, None, 10.0) == "q"


@pytest.mark.parametrize("sizes", [(0, 0, 0), (100, 400, 0)])
def test_unless_all_sizes_are_known_the_order_decides(sizes: tuple[int, int, int]) -> None:
    each = layers(*sizes)
    live(each, "qhf", 10.0)
    assert choose(each, None, 10.0) == "f"


def test_a_silent_layer_is_left_at_once_for_the_next_best() -> None:
    each = layers(100, 400, 1600)
    live(each, "qhf", 10.0)
    later = 10.0 + LIVE_SECONDS + 0.1
    live(each, "qh", later)
    assert choose(each, "f", later) == "h"


def test_a_layer_that_comes_back_is_taken_when_it_stays() -> None:
    each = layers(100, 400, 1600)
    live(each, "q", 10.0)
    live(each, "qf", 10.1)
    assert choose(each, "q", 10.1) == "q"
    live(each, "qf", 10.1 + STEADY_SECONDS)
    assert choose(each, "q", 10.1 + STEADY_SECONDS) == "f"


def test_when_all_are_silent_nothing_changes() -> None:
    each = layers(100, 400)
    live(each, "qh", 1.0)
    live(each, "", 60.0)
    assert choose(each, "q", 60.0) == "q"


def test_nothing_to_choose_from() -> None:
    assert choose([], "q", 1.0) is None
