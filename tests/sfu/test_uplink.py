"""The host's budget over several receivers, and what is measured of it."""

from __future__ import annotations

from typing import Any

import pytest

from sfu.budget import Claim, Pool, Receiver
from sfu.uplink import (
    CLAIMS_A_TURN,
    FULL,
    HEADROOM,
    MEASURE_SECONDS,
    MIN_HEADROOM,
    ROUND_SECONDS,
    URGENT_SECONDS,
    Uplink,
)


class Path:
    congested = False


class Given:
    used_bps = 0


class Connection:
    """A receiver that asks for `wanted` in one step."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.downlink = Path()
        self.allocation = Given()
        self.given: list[tuple[float, int]] = []
        self.asked_for: list[float] = []

    def claim(self, room: Pool, now: float) -> Receiver:
        return Receiver([Claim([self.wanted], current=1)], room=room)

    def take(self, receiver: Receiver, now: float) -> None:
        self.given.append((now, receiver.used_bps))

    def allocate_by(self, at: float) -> None:
        self.asked_for.append(at)


class Peer:
    def __init__(self, wanted: int, cap_bps: int = 0, room: object = None) -> None:
        self.subscribed: Any = Connection(wanted)
        self.cap_bps = cap_bps
        self.cap_key = room


def test_without_a_budget_a_receiver_is_served_at_once() -> None:
    peer = Peer(500)
    Uplink([peer]).allocate(peer, 7.0)
    assert peer.subscribed.given == [(7.0, 500)]


def test_with_a_budget_all_are_served_in_one_round_soon() -> None:
    peers = [Peer(400), Peer(400)]
    uplink = Uplink(peers, 500)
    for peer in peers:
        uplink.allocate(peer, 7.0)
    assert uplink.wake_at == 7.0
    uplink.handle_timer(7.0)
    assert sorted(peer.subscribed.given[0][1] for peer in peers) == [0, 400]


def test_rounds_are_apart() -> None:
    peer = Peer(400)
    uplink = Uplink([peer], 500)
    uplink.handle_timer(7.0)
    uplink.allocate(peer, 7.01)
    assert uplink.wake_at == pytest.approx(7.0 + ROUND_SECONDS)


def test_who_is_congested_is_served_at_once_with_no_more_than_before() -> None:
    peer = Peer(400)
    uplink = Uplink([peer], 500)
    peer.subscribed.downlink.congested = True
    peer.subscribed.allocation.used_bps = 300
    assert uplink.allocate(peer, 7.0)
    assert peer.subscribed.given == [(7.0, 0)]
    assert uplink.wake_at == 7.0


def test_a_large_round_takes_turns_and_those_who_go_meanwhile_get_nothing() -> None:
    peers = [Peer(400) for _ in range(CLAIMS_A_TURN + 1)]
    uplink = Uplink(peers, 400 * CLAIMS_A_TURN * 2)
    now = 7.0
    while uplink.wake_at <= now or now == 7.0:
        uplink.handle_timer(now)
        if now == 7.0:
            gone, peers[3].subscribed = peers[3].subscribed, None
        now += 0.02
    assert gone.given == []
    times = {at for peer in peers if peer.subscribed for at, _ in peer.subscribed.given}
    assert len(times) == 3
    assert uplink.wake_at == float("inf")


def test_a_capped_room_shares_and_others_are_alone() -> None:
    capped, other, free = Peer(400, 500, "a"), Peer(400, 500, "b"), Peer(9000)
    uplink = Uplink([capped, other, free])
    uplink.allocate(free, 7.0)
    uplink.allocate(capped, 7.0)
    uplink.handle_timer(7.0)
    assert [each.subscribed.given[0][1] for each in (capped, other, free)] == [400, 400, 9000]
    assert len(free.subscribed.given) == 1


def test_another_budget_has_everybody_chosen_anew() -> None:
    peer = Peer(400)
    uplink = Uplink([peer])
    uplink.set_budget(1000, 7.0)
    assert peer.subscribed.asked_for == [7.0]
    assert uplink.budget_bps == 1000


def test_less_is_given_away_while_too_much_is_sent_and_more_again_later() -> None:
    peer = Peer(85)
    uplink = Uplink([peer], 100)
    now, sent = 7.0, 0

    def second(bps: float) -> int:
        nonlocal now, sent
        now, sent = now + MEASURE_SECONDS, sent + int(bps * MEASURE_SECONDS / 8 * 1000)
        uplink.measure(sent // 1000, now)
        uplink.handle_timer(now)
        return int(peer.subscribed.given[-1][1])

    assert second(0) == 85
    assert second(100 * FULL) == 85
    for _ in range(3):
        given = second(8000)
    assert given == 0
    assert uplink.used_bps == pytest.approx(8000, rel=0.01)
    peer.subscribed.wanted = int(100 * MIN_HEADROOM)
    assert second(8000) == 60
    peer.subscribed.wanted = 85
    seconds = 0
    while not second(0):
        seconds += 1
    assert 20 <= seconds <= (HEADROOM - MIN_HEADROOM) * 100


def test_less_is_given_away_soon_when_video_waits() -> None:
    peer = Peer(int(100 * HEADROOM))
    uplink = Uplink([peer], 100)
    uplink.handle_timer(7.0)
    assert peer.subscribed.given[-1] == (7.0, 90)
    uplink.full(7.01)
    assert uplink.wake_at == pytest.approx(7.0 + URGENT_SECONDS)
    uplink.handle_timer(7.1)
    assert peer.subscribed.given[-1] == (7.1, 0)
    for _ in range(100):
        uplink.full(8.0)
    peer.subscribed.wanted = int(100 * MIN_HEADROOM)
    uplink.handle_timer(8.1)
    assert peer.subscribed.given[-1] == (8.1, 60)
