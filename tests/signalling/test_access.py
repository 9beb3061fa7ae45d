from __future__ import annotations

from signalling.access import RoomPassword, SourceLimiter, TokenBucket, new_token, source_of


def test_password_admits_the_same_and_nothing_else() -> None:
    password = RoomPassword("s3cret é")
    assert password.required
    assert password.admits("s3cret é")
    assert not password.admits("s3cret e")
    assert not password.admits("")


def test_no_password_admits_anything() -> None:
    assert not RoomPassword("").required
    assert RoomPassword("").admits("whatever")


def test_password_is_not_kept_in_the_clear() -> None:
    password = RoomPassword("s3cret")
    assert "s3cret" not in str(password.record())
    assert password.record() != RoomPassword("s3cret").record()


def test_password_is_known_again_from_its_record() -> None:
    password = RoomPassword.restored(RoomPassword("s3cret").record())
    assert password.required
    for _ in range(2):
        assert not password.admits("S3cret")
        assert not password.admits("")
        assert password.admits("s3cret")


def test_no_password_is_none_after_its_record_too() -> None:
    password = RoomPassword.restored(RoomPassword("").record())
    assert not password.required
    assert password.admits("anything")


def test_tokens_differ_and_fit_the_protocol() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert 32 <= len(new_token()) <= 128


def test_bucket_allows_its_burst_and_refills() -> None:
    bucket = TokenBucket(2, 0.5, 0)
    assert [bucket.take(0) for _ in range(3)] == [True, True, False]
    assert not bucket.take(1)
    assert bucket.take(2)
    assert bucket.empty(2)


def test_bucket_survives_a_clock_that_goes_back() -> None:
    bucket = TokenBucket(1, 1, 100)
    assert bucket.take(50)
    assert not bucket.take(50)


def test_source_of_ipv6_is_its_network() -> None:
    assert source_of("2001:db8:1:2:3:4:5:6") == source_of("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert source_of("fe80::1%eth0") == "fe80::/64"


def test_source_of_ipv4_is_itself_however_written() -> None:
    assert source_of("192.0.2.1") == source_of("::ffff:192.0.2.1") == "192.0.2.1"


def test_sources_do_not_disturb_each_other() -> None:
    limiter = SourceLimiter(1, 0.1)
    assert limiter.take("a", 0)
    assert not limiter.take("a", 0)
    assert limiter.exhausted("a", 0)
    assert not limiter.exhausted("b", 0)
    assert limiter.take("b", 0)


def test_source_limiter_forgets_the_longest_unused_at_its_bound() -> None:
    limiter = SourceLimiter(1, 0.1, maximum=2)
    for source in ("a", "b", "a", "c"):
        limiter.take(source, 0)
    assert len(limiter) == 2
    assert limiter.exhausted("a", 0)
    assert not limiter.exhausted("b", 0)
