from __future__ import annotations

from turnd.turn.byte_rate import ByteRate, Directions


def test_without_a_limit_nobody_waits() -> None:
    rate = ByteRate()
    assert rate.spend(10**9, 0.0) == 0
    assert rate.relayed_bytes == 10**9


def test_one_second_s_worth_passes_at_once() -> None:
    rate = ByteRate()
    rate.limit(1000)
    assert rate.spend(1000, 5.0) == 0
    assert rate.spend(500, 5.0) == 0.5


def test_who_waits_as_long_as_told_owes_nothing() -> None:
    rate = ByteRate()
    rate.limit(1000)
    now = 5.0
    for _ in range(10):
        now += rate.spend(3000, now)
    assert now == 5.0 + (30_000 - 1000) / 1000


def test_what_is_not_used_does_not_pile_up() -> None:
    rate = ByteRate()
    rate.limit(1000)
    assert rate.spend(1000, 5.0) == 0
    assert rate.spend(2000, 100.0) == 1.0


def test_all_together_are_limited_too() -> None:
    whole = Directions.of()
    whole.limit(1000)
    one, other = Directions.of(whole), Directions.of(whole)
    one.limit(10_000)
    assert one.to_peer.spend(1000, 5.0) == 0
    assert other.to_peer.spend(1000, 5.0) == 1.0
    assert other.to_client.spend(1000, 5.0) == 0
    assert whole.to_peer.relayed_bytes == 2000
    assert (one.to_peer.relayed_bytes, one.to_client.relayed_bytes) == (1000, 0)


def test_a_limit_can_be_lifted() -> None:
    rate = ByteRate()
    rate.limit(10)
    assert rate.spend(100, 5.0)
    rate.limit(0)
    assert rate.spend(100, 5.0) == 0
