from __future__ import annotations

from turnd.turn.source_limit import BUCKETS, SourceCounter, SourceLimiter


def test_burst_then_rate() -> None:
    limiter = SourceLimiter(2.0, 3.0)
    assert [limiter.allow("192.0.2.1", 10.0) for _ in range(4)] == [True, True, True, False]
    assert [limiter.allow("192.0.2.1", 10.5) for _ in range(2)] == [True, False]


def test_tokens_do_not_pile_up_beyond_the_burst() -> None:
    limiter = SourceLimiter(1000.0, 2.0)
    assert [limiter.allow("192.0.2.1", 1e6) for _ in range(3)] == [True, True, False]


def test_other_sources_are_not_touched() -> None:
    limiter = SourceLimiter(0.0, 1.0)
    assert sum(limiter.allow(f"10.0.0.{number}", 1.0) for number in range(100)) > 90


def test_one_ipv6_network_is_one_source() -> None:
    limiter = SourceLimiter(0.0, 1.0)
    assert [limiter.allow(f"2001:db8::{number:x}", 1.0) for number in range(3)] == [True, False, False]


def test_a_flood_of_sources_keeps_the_table() -> None:
    limiter = SourceLimiter(0.0, 1.0)
    passed = sum(limiter.allow(f"10.{number >> 8}.{number & 255}.1", 1.0) for number in range(20000))
    assert passed <= BUCKETS
    assert len(limiter._tokens) == BUCKETS


def test_connections_of_a_source_are_bounded_and_given_back() -> None:
    counter = SourceCounter(2)
    assert [counter.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert counter.enter("192.0.2.2")
    counter.leave("192.0.2.1")
    assert counter.enter("192.0.2.1")


def test_an_ipv6_network_and_both_spellings_of_ipv4_are_one_source() -> None:
    counter = SourceCounter(1)
    assert [counter.enter(host) for host in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")] == [True, False, True]
    assert [counter.enter(host) for host in ("192.0.2.1", "::ffff:192.0.2.1")] == [True, False]


def test_this_machine_has_no_bound() -> None:
    counter = SourceCounter(1)
    assert all(counter.enter(host) for host in ("127.0.0.1", "127.0.0.1", "::1", "::ffff:127.0.0.1", ""))


def test_a_source_without_connections_is_forgotten() -> None:
    counter = SourceCounter(1)
    counter.enter("192.0.2.1")
    counter.enter("192.0.2.1", force=True)
    assert not counter.enter("192.0.2.1")
    for _ in range(2):
        counter.leave("192.0.2.1")
    assert len(counter) == 0
