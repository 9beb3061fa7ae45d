from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnd.turn.nonce import NONCE_SECONDS, NonceAuthority
from wire import stun

CLIENT = ("192.0.2.1", 50000)
AUTHORITY = NonceAuthority(bytes(32))
FEATURES = int(stun.SecurityFeature.PASSWORD_ALGORITHMS)


@pytest.mark.parametrize("issued", [5.0, 65_535.5, 200_000.0, 1e9])
@pytest.mark.parametrize(("age", "good"), [(0, True), (NONCE_SECONDS, True), (NONCE_SECONDS + 1, False), (-5, False)])
def test_a_nonce_is_good_for_its_time(issued: float, age: float, good: bool) -> None:
    assert AUTHORITY.check(AUTHORITY.issue(CLIENT, issued, FEATURES), CLIENT, issued + age) is good


def test_a_nonce_stays_stale_when_its_two_bytes_of_time_come_round() -> None:
    nonce = AUTHORITY.issue(CLIENT, 5000.0, FEATURES)
    assert not any(AUTHORITY.check(nonce, CLIENT, 5000.0 + turn * 65_536) for turn in range(1, 5))


@pytest.mark.parametrize("other", [("192.0.2.2", 50000), ("192.0.2.1", 50001)])
def test_a_nonce_is_for_one_address_and_port(other: tuple[str, int]) -> None:
    assert AUTHORITY.issue(CLIENT, 1.0, FEATURES) != AUTHORITY.issue(other, 1.0, FEATURES)
    assert not AUTHORITY.check(AUTHORITY.issue(CLIENT, 1.0, FEATURES), other, 1.0)


def test_a_nonce_is_of_one_process() -> None:
    assert not NonceAuthority(b"x" * 32).check(AUTHORITY.issue(CLIENT, 1.0, FEATURES), CLIENT, 1.0)


@pytest.mark.parametrize("others", [0, 1, FEATURES >> 1, FEATURES | FEATURES >> 1])
def test_features_cannot_be_changed(others: int) -> None:
    nonce = AUTHORITY.issue(CLIENT, 1.0, FEATURES)
    assert not AUTHORITY.check(stun.encode_nonce(others, nonce[13:]), CLIENT, 1.0)
    assert not AUTHORITY.check(nonce[13:], CLIENT, 1.0)


@pytest.mark.parametrize("at", range(13, 23))
def test_no_character_can_be_changed(at: int) -> None:
    nonce = bytearray(AUTHORITY.issue(CLIENT, 1.0, FEATURES))
    nonce[at] = ord("A") if nonce[at] != ord("A") else ord("B")
    assert not AUTHORITY.check(bytes(nonce), CLIENT, 1.0)


def test_a_nonce_is_short_and_announces_its_features() -> None:
    nonce = AUTHORITY.issue(CLIENT, 1e9, FEATURES)
    assert len(nonce) == 24
    assert stun.nonce_features(nonce) == FEATURES


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        NonceAuthority(b"x")


@given(st.binary(max_size=64), st.binary(max_size=24))
def test_any_bytes_are_no_nonce(nonce: bytes, rest: bytes) -> None:
    assert not AUTHORITY.check(nonce, CLIENT, 1.0)
    assert not AUTHORITY.check(stun.encode_nonce(FEATURES, rest), CLIENT, 1.0)
