"""What is asked of senders: NACKs paced by the round trip, given up in time; keyframes paced by who gets them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from sfu.feedback import (
    GIVE_UP_SECONDS,
    MAX_MISSING,
    MAX_NACKS,
    NACK_SECONDS,
    PLI_SECONDS,
    REORDER_SECONDS,
    START_RTT_SECONDS,
    KeyframeRequest,
    Nacks,
)
from tests.sfu.doubles import StreamDouble


def asked(nacks: Nacks, start: float, seconds: float, step: float = 0.001) -> list[float]:
    """When packet 5 is asked for."""
    times = []
    for index in range(int(seconds / step)):
        now = start + index * step
        if 5 in nacks.due(now):
            times.append(now - start)
    return times


def missing(*numbers: int) -> tuple[StreamDouble, Nacks]:
    stream = StreamDouble(1, audio=False)
    stream.missing = set(numbers)
    return stream, Nacks(stream)


def repair(stream: StreamDouble, nacks: Nacks, number: int, at: float, rtt: float) -> None:
    """A packet is lost, asked for once, and comes after a round trip."""
    stream.missing.add(number)
    nacks.lost([number], at - REORDER_SECONDS)
    assert number in nacks.due(at)
    stream.missing.discard(number)
    stream.last_repair = (number, at + rtt)
    nacks.due(at + 2)


def test_nothing_is_asked_for_twice_within_a_round_trip() -> None:
    _, nacks = missing(5)
    nacks.lost([5], 10.0)
    times = asked(nacks, 10.0, 2.0)
    assert times[0] == pytest.approx(REORDER_SECONDS, abs=0.002)
    assert min(second - first for first, second in pairwise(times)) >= START_RTT_SECONDS - 1e-9


@pytest.mark.parametrize("rtt", [0.03, 0.4])
def test_repairs_show_the_round_trip(rtt: float) -> None:
    stream, nacks = missing()
    for index in range(20):
        repair(stream, nacks, 100 + index, 10.0 + 3 * index, rtt)
    assert nacks.rtt_seconds == pytest.approx(rtt, rel=0.02)
    stream.missing.add(5)
    nacks.lost([5], 100.0)
    times = asked(nacks, 100.0, 2.0)
    assert min(second - first for first, second in pairwise(times)) >= rtt * 0.97
    assert len(times) <= MAX_NACKS
    assert times[-1] + rtt <= GIVE_UP_SECONDS


def test_a_repair_of_what_was_asked_for_twice_tells_nothing() -> None:
    stream, nacks = missing(5)
    nacks.lost([5], 10.0)
    assert len(asked(nacks, 10.0, 0.2)) == 2
    stream.missing.clear()
    stream.last_repair = (5, 10.25)
    nacks.due(11.0)
    assert nacks.rtt_seconds == START_RTT_SECONDS


def test_a_short_round_trip_does_not_make_a_flood() -> None:
    stream, nacks = missing()
    for index in range(40):
        repair(stream, nacks, 100 + index, 10.0 + 3 * index, 0.001)
    stream.missing.add(5)
    nacks.lost([5], 200.0)
    times = asked(nacks, 200.0, 2.0)
    assert len(times) == MAX_NACKS
    assert min(second - first for first, second in pairwise(times)) >= NACK_SECONDS - 1e-9


@pytest.mark.parametrize(("count", "kept"), [(MAX_MISSING, True), (MAX_MISSING + 1, False)])
def test_past_so_many_only_a_keyframe_helps(count: int, kept: bool) -> None:
    _, nacks = missing()
    assert nacks.lost(range(count), 10.0) is kept


STEP = 1 / 256


def pli_gaps(watchers: int, keyframe_after: float | None) -> set[int]:
    """Steps between requests to a sender whose keyframe comes so long after each; another is wanted at once."""
    request, keyframe_at, times = KeyframeRequest(), 0.0, []
    for index in range(int(3 / STEP)):
        now = 100 + index * STEP
        if times and keyframe_after is not None and now == times[-1] + keyframe_after:
            keyframe_at = now
        if request.wanted_at is None or keyframe_at > request.wanted_at:
            request.want(now)
        if request.next_timer() <= now and request.due(keyframe_at, watchers, now):
            times.append(now)
    return {round((second - first) / STEP) for first, second in pairwise(times)}


def test_keyframes_are_asked_for_again_until_one_comes() -> None:
    assert pli_gaps(1000, None) == {math.ceil(PLI_SECONDS / STEP)}


@pytest.mark.parametrize(("watchers", "seconds"), [(1, PLI_SECONDS), (20, PLI_SECONDS), (250, 0.75), (1000, 1.25)])
def test_the_more_get_a_keyframe_the_longer_until_the_next(watchers: int, seconds: float) -> None:
    assert pli_gaps(watchers, 0.25) == {math.ceil(seconds / STEP)}
