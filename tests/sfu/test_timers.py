from __future__ import annotations

from sfu.timers import NEVER, Timed, Timers


class Sleeper(Timed):
    def __init__(self, wake_at: float = NEVER) -> None:
        self.wake_at = wake_at

    def handle_timer(self, now: float) -> None:
        self.wake_at = NEVER


def watched(*times: float) -> tuple[Timers, list[Sleeper]]:
    timers, sleepers = Timers(), [Sleeper(at) for at in times]
    for sleeper in sleepers:
        timers.add(sleeper)
    return timers, sleepers


def test_those_whose_time_has_come_are_due_in_order() -> None:
    timers, (late, early, never) = watched(3.0, 2.0, NEVER)
    assert timers.due(1.9) == []
    assert timers.due(3.0) == [early, late]
    never.wake_at = 4.0
    assert timers.due(4.0) == [never]


def test_an_earlier_time_counts_at_once_and_a_later_one_is_kept_to() -> None:
    timers, (one,) = watched(5.0)
    one.wake_at = 2.0
    assert timers.due(2.0) == [one]
    one.wake_at = 5.0
    timers.enter(one)
    one.wake_at = 7.0
    assert timers.due(5.0) == []
    assert timers.due(7.0) == [one]


def test_nobody_is_due_twice_for_one_time() -> None:
    timers, (one,) = watched(5.0)
    one.wake_at = 3.0
    one.wake_at = 5.0
    assert timers.due(5.0) == [one]
    assert timers.due(9.0) == []


def test_who_did_not_set_a_new_time_is_due_again_once_entered() -> None:
    timers, (one,) = watched(5.0)
    assert timers.due(5.0) == [one]
    timers.enter(one)
    assert timers.due(5.0) == [one]


def test_who_is_not_watched_is_not_due() -> None:
    timers, (one,) = watched(5.0)
    timers.remove(one)
    one.wake_at = 1.0
    assert timers.due(9.0) == []
    timers.add(one)
    assert timers.due(9.0) == [one]
