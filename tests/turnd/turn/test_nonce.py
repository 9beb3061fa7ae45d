from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnd.turn.nonce import NONCE_SECONDS, NonceAuthority
from wire import stun

CLIENT = ("192.0.2.1", 50000)
AUTHORITY = NonceAuthority(bytes(32))
FEATURES = int(stun.SecurityFeature.PASSWORD_ALGORITHMS)


@pytest.mark.parametrize("features", [0, FEATURES])
@pytest.mark.parametrize(("age", "good"), [(0, True), (NONCE_SECONDS, True), (NONCE_SECONDS + 1, False), (-5, False)])
def test_a_nonce_is_good_for_its_time(features: int, age: float, good: bool) -> None:
    assert AUTHORITY.check(AUTHORITY.issue(CLIENT, 5000.0, features), CLIENT, 5000.0 + age) is good


@pytest.mark.parametrize("other", [("192.0.2.2", 50000), ("192.0.2.1", 50001)])
def test_a_nonce_is_for_one_address_and_port(other: tuple[str, int]) -> None:
    assert AUTHORITY.issue(CLIENT, 1.0) != AUTHORITY.issue(other, 1.0)
    assert not AUTHORITY.check(AUTHORITY.issue(CLIENT, 1.0), other, 1.0)


def test_a_nonce_is_of_one_process() -> None:
    assert not NonceAuthority(b"x" * 32).check(AUTHORITY.issue(CLIENT, 1.0), CLIENT, 1.0)


def test_features_cannot_be_taken_off_or_put_on() -> None:
    with_features = AUTHORITY.issue(CLIENT, 1.0, FEATURES)
    assert not AUTHORITY.check(with_features[13:], CLIENT, 1.0)
    assert not AUTHORITY.check(stun.encode_nonce(FEATURES, AUTHORITY.issue(CLIENT, 1.0)), CLIENT, 1.0)


def test_a_nonce_is_short() -> None:
    assert len(AUTHORITY.issue(CLIENT, 1e9)) == 16


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        NonceAuthority(b"x")


@given(st.binary(max_size=64))
def test_any_bytes_are_no_nonce(nonce: bytes) -> None:
    assert not AUTHORITY.check(nonce, CLIENT, 1.0)
