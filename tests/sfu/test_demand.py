import pytest

from sfu.demand import OFF_SECONDS, REST_SECONDS, WantedLayer, settle
from sfu.layers import ALL, Layer

START = 10.0


def layers() -> list[Layer]:
    return [Layer(rid, order, wanted_at=START, unwatched_at=START) for order, rid in enumerate("qhf")]


def active(each: list[Layer], now: float) -> str:
    return "".join(layer.rid for layer in settle(each, now) if layer.active)


def test_at_first_all_are_wanted_and_without_watchers_none_after_a_while() -> None:
    each = layers()
    assert active(each, START + OFF_SECONDS - 0.1) == "qhf"
    assert active(each, START + OFF_SECONDS) == ""


def test_a_watched_layer_is_wanted_at_once_and_known_since_when() -> None:
    each = layers()
    settle(each, START + OFF_SECONDS)
    each[1].watch(ALL, 20.0, 1)
    assert active(each, 20.0) == "h"
    assert each[1].wanted_at == 20.0


def test_a_short_absence_switches_nothing_off() -> None:
    each = layers()
    each[1].watch(ALL, START, 1)
    each[1].watch(ALL, 20.0, -1)
    assert active(each, 20.0 + OFF_SECONDS - 0.1) == "h"
    each[1].watch(ALL, 21.0, 1)
    assert active(each, 30.0) == "h"


def test_a_layer_is_off_only_when_its_last_watcher_has_gone() -> None:
    each = layers()
    each[0].watch(ALL, START, 1)
    each[0].watch(1, START, 1)
    each[0].watch(ALL, 20.0, -1)
    assert active(each, 20.0 + OFF_SECONDS) == "q"
    each[0].watch(1, 30.0, -1)
    assert active(each, 30.0 + OFF_SECONDS) == ""


def svc(*watched: int) -> Layer:
    """One stream with spatial layers, somebody watching up to each of these."""
    layer = Layer("", wanted_at=START, unwatched_at=START)
    for spatial in watched:
        layer.watch(spatial, START, 1)
    return layer


def test_spatial_layers_above_what_anybody_watches_are_not_wanted_after_a_while() -> None:
    layer = svc(0, 1)
    assert settle([layer], START) == (WantedLayer("", True, None),)
    assert settle([layer], START + OFF_SECONDS - 0.1) == (WantedLayer("", True, None),)
    assert settle([layer], START + OFF_SECONDS) == (WantedLayer("", True, 1),)


def test_a_spatial_layer_is_wanted_again_at_once() -> None:
    layer = svc(0)
    settle([layer], START)
    settle([layer], START + OFF_SECONDS)
    layer.watch(ALL, 20.0, 1)
    assert settle([layer], 20.0) == (WantedLayer("", True, None),)


def test_a_short_absence_takes_no_spatial_layer_away() -> None:
    layer = svc(0)
    settle([layer], START)
    layer.watch(ALL, START + 1, 1)
    settle([layer], START + 1)
    layer.watch(ALL, START + OFF_SECONDS, -1)
    assert settle([layer], START + OFF_SECONDS) == (WantedLayer("", True, None),)


def test_a_stream_that_was_off_comes_back_with_no_more_spatial_layers_than_are_watched() -> None:
    layer = svc()
    settle([layer], START + OFF_SECONDS)
    layer.watch(0, 20.0, 1)
    assert settle([layer], 20.0) == (WantedLayer("", True, 0),)


def test_a_layer_that_was_just_switched_off_is_not_wanted_at_once_while_a_smaller_one_comes() -> None:
    each = layers()
    each[0].watch(ALL, START, 1)
    off_at = START + OFF_SECONDS
    each[0].alive_since = off_at
    assert active(each, off_at) == "q"
    each[1].watch(ALL, off_at, 1)
    assert active(each, off_at + REST_SECONDS - 0.1) == "q"
    assert active(each, off_at + REST_SECONDS) == "qh"


@pytest.mark.parametrize("coming", [[], [2]], ids=["nothing", "a larger one"])
def test_what_was_just_switched_off_is_wanted_at_once_while_no_smaller_one_comes(coming: list[int]) -> None:
    each = layers()
    off_at = START + OFF_SECONDS
    for number in coming:
        each[number].watch(ALL, START, 1)
        each[number].alive_since = off_at
    active(each, off_at)
    each[1].watch(ALL, off_at, 1)
    assert active(each, off_at) == "h" + "f" * len(coming)
