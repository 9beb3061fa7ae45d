from sfu.demand import OFF_SECONDS, WantedLayer, settle
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


def test_the_highest_spatial_layer_anybody_watches_is_told() -> None:
    (layer,) = each = [Layer("", wanted_at=START, unwatched_at=START)]
    layer.watch(0, START, 1)
    layer.watch(1, START, 1)
    assert settle(each, START) == (WantedLayer("", True, 1),)
    layer.watch(ALL, START, 1)
    assert settle(each, START) == (WantedLayer("", True, None),)
