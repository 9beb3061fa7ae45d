from __future__ import annotations

import pytest

from turnd.turn.credentials import Credentials, rest_credentials, rest_expiry, stored_keys
from wire import stun


def test_rest_credentials_are_expiry_and_hmac_sha1() -> None:
    # openssl: printf 1700000060:anna | openssl dgst -sha1 -hmac north -binary | base64
    assert rest_credentials("north", "anna", 60, 1_700_000_000.9) == ("1700000060:anna", "kKGYwvzPR1845GBayNtQForP1ls=")


@pytest.mark.parametrize(
    ("name", "expiry"),
    [
        ("12:x", 12),
        ("12", 12),
        ("12:", 12),
        ("x:12", None),
        ("", None),
        ("1" * 13, None),
        ("١٢:x", None),
        ("-1:x", None),
    ],
)
def test_only_a_number_in_front_is_a_rest_name(name: str, expiry: int | None) -> None:
    assert rest_expiry(name) == expiry


def test_one_key_for_each_secret() -> None:
    credentials = Credentials("r", ("a", "b"))
    name, password = rest_credentials("b", "x", 1, 1000)
    keys = credentials.keys(name)
    assert len(keys) == 2
    assert keys[1] == stun.long_term_key(name, "r", password)


def test_static_users_come_before_the_scheme_and_never_expire() -> None:
    credentials = Credentials("r", ("a",), {"12:x": "p"})
    assert credentials.keys("12:x") == (stun.long_term_key("12:x", "r", "p"),)
    assert not credentials.expired("12:x", 1e9)


@pytest.mark.parametrize("sha256", [False, True])
def test_stored_keys_are_those_of_the_password(sha256: bool) -> None:
    # printf anna:r:pass | md5sum; printf anna:r:pass | sha256sum
    keys = stored_keys("anna", "r", "pass")
    assert keys.md5.hex() == "c8317aa053e3c26865f1b7749eaa1a0f"
    assert keys.sha256.hex() == "53f183d391af5d89f5a2b6d26810a9c22160a1e9b1bdd84da0af31ed4c81e846"
    with_keys, with_password = Credentials("r", users={"anna": keys}), Credentials("r", users={"anna": "pass"})
    assert with_keys.keys("anna", sha256=sha256) == with_password.keys("anna", sha256=sha256)
    assert with_keys.user_of_hash(stun.userhash("anna", "r")) == "anna"


def test_stored_keys_are_not_shown() -> None:
    keys = stored_keys("anna", "r", "pass")
    assert repr(keys) == "StoredKeys()"


def test_without_secrets_nobody_gets_in_by_the_scheme() -> None:
    assert Credentials("r").keys("99999999999:x") == ()


def test_expiry_is_inclusive() -> None:
    credentials = Credentials("r", ("a",))
    assert not credentials.expired("1000:x", 1000.0)
    assert credentials.expired("1000:x", 1000.5)


def test_secrets_are_not_shown_by_keys_of_unknown_users() -> None:
    assert Credentials("r", ("a",)).keys("bob") == ()
