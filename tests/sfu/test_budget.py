from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from sfu.budget import IMPORTANT, THUMBNAIL, UP_MARGIN, Bound, Claim, Pool, Receiver, share

costs = st.lists(st.integers(1, 2_000_000), max_size=9, unique=True).map(sorted)
claims = st.builds(Claim, costs, st.sampled_from([THUMBNAIL, IMPORTANT]), st.integers(0, 9))
receivers = st.builds(
    Receiver, st.lists(claims, max_size=5), st.integers(0, 200_000), st.floats(0, 10_000_000), st.builds(Pool)
)


def room_of(*each: Receiver, bps: float) -> Pool:
    pool = Pool(bps)
    for receiver in each:
        receiver.room = pool
    return pool


@given(st.lists(receivers, max_size=6), st.floats(0, 20_000_000), st.floats(0, 10_000_000))
def test_no_budget_is_ever_exceeded_by_pictures(each: list[Receiver], host_bps: float, room_bps: float) -> None:
    room, host = room_of(*each[:3], bps=room_bps), Pool(host_bps)
    share(each, host)
    sound = sum(receiver.reserved_bps for receiver in each)
    assert host.used_bps <= max(host_bps, sound)
    assert room.used_bps <= max(room_bps, sum(receiver.reserved_bps for receiver in each[:3]))
    assert host.used_bps == sum(receiver.used_bps for receiver in each)
    for receiver in each:
        given_bps = sum(claim.granted_bps for claim in receiver.claims)
        assert receiver.used_bps == receiver.reserved_bps + given_bps
        assert receiver.used_bps <= max(receiver.link_bps, receiver.reserved_bps)


@given(st.lists(receivers, max_size=6), st.floats(0, 20_000_000))
def test_what_is_left_is_too_little_for_the_next_step(each: list[Receiver], host_bps: float) -> None:
    host = Pool(host_bps)
    share(each, host)
    for receiver in each:
        for claim in receiver.claims:
            if claim.granted == len(claim.costs):
                assert claim.bound is None
                continue
            cost = claim.costs[claim.granted]
            needed = cost * (1 + UP_MARGIN) - claim.granted_bps
            # What was free when it was looked at is free no longer, at most.
            assert min(receiver.link_bps - receiver.used_bps, host.bps - host.used_bps) < needed


@given(st.lists(receivers, max_size=4), st.floats(0, 5_000_000), st.floats(0, 5_000_000))
def test_with_more_the_first_step_that_differs_is_a_better_one(
    each: list[Receiver], host_bps: float, more_bps: float
) -> None:
    def levels(bps: float) -> list[int]:
        share(each, Pool(bps))
        return [claim.granted for receiver in each for claim in receiver.claims]

    low, high = levels(host_bps), levels(host_bps + more_bps)
    assert low == high or any(after > before for before, after in zip(low, high, strict=True))


@given(st.integers(1, 9), st.integers(2, 6), st.floats(0, 60))
def test_equals_get_the_same_but_for_one_step(steps: int, count: int, host_bps: float) -> None:
    each = [Receiver([Claim(range(1, steps + 1), current=steps)]) for _ in range(count)]
    share(each, Pool(host_bps))
    levels = [receiver.claims[0].granted for receiver in each]
    assert max(levels) - min(levels) <= 1


CAMERA = (50, 100, 200, 400, 800)


def test_sound_is_reserved_before_any_picture() -> None:
    many = [Receiver([Claim(CAMERA)], 100) for _ in range(5)]
    host = Pool(520)
    share(many, host)
    assert host.used_bps == 500
    assert {receiver.claims[0].bound for receiver in many} == {Bound.UPLINK}


def test_an_important_picture_is_raised_before_thumbnails() -> None:
    pinned, thumbnails = Claim(CAMERA, IMPORTANT), [Claim(CAMERA) for _ in range(4)]
    share([Receiver([*thumbnails, pinned], link_bps=1000)], Pool())
    assert pinned.granted_bps == 800
    assert [claim.granted_bps for claim in thumbnails] == [50, 50, 50, 0]
    assert thumbnails[0].bound is thumbnails[3].bound is Bound.LINK


def test_a_receiver_with_many_pictures_has_no_more_than_one_with_few() -> None:
    crowd, pair = Receiver([Claim(CAMERA) for _ in range(8)]), Receiver([Claim(CAMERA)])
    share([crowd, pair], Pool(850))
    assert (crowd.used_bps, pair.used_bps) == (400, 400)


def test_what_one_cannot_use_others_get() -> None:
    slow, fast = Receiver([Claim(CAMERA)], link_bps=120), Receiver([Claim(CAMERA)])
    share([slow, fast], Pool(1000))
    assert (slow.used_bps, fast.used_bps) == (100, 800)
    assert slow.claims[0].bound is Bound.LINK


def test_a_room_with_a_cap_leaves_the_rest_to_others() -> None:
    capped, free = Receiver([Claim(CAMERA)]), Receiver([Claim(CAMERA)])
    room_of(capped, bps=250)
    share([capped, free], Pool(10_000))
    assert (capped.used_bps, free.used_bps) == (200, 800)
    assert capped.claims[0].bound is Bound.UPLINK


def test_better_needs_a_margin_and_the_same_does_not() -> None:
    assert _granted(Claim(CAMERA, current=4), 400) == 4
    assert _granted(Claim(CAMERA, current=3), 400) == 3
    assert _granted(Claim(CAMERA, current=3), 440) == 4


def _granted(claim: Claim, link_bps: float) -> int:
    share([Receiver([claim], link_bps=link_bps)], Pool())
    return claim.granted


def test_equals_do_not_take_turns() -> None:
    keeper, other = Claim((110, 210), current=2), Claim((100, 200), current=1)
    share([Receiver([other, keeper], link_bps=330)], Pool())
    assert (keeper.granted, other.granted) == (2, 1)


def calls_of_a_round(receivers: int) -> int:
    """How many functions are called to serve so many receivers of 19 pictures each."""
    each = [Receiver([Claim([*range(50, 950, 100)]) for _ in range(19)]) for _ in range(receivers)]
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        share(each, Pool(60_000))
    finally:
        sys.setprofile(None)
    return calls


def test_a_round_costs_a_few_calls_for_each_step() -> None:
    """A step is a layer of a picture that a receiver may be given: the work grows with their number and no faster."""
    twenty = calls_of_a_round(20)
    assert twenty < 8 * 20 * 19 * 9
    assert calls_of_a_round(40) < 2.1 * twenty
