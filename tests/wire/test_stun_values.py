"""Values of STUN attributes, keys and nonces: each comes back as it was, or is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire import stun
from wire.stun import StunError

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
KATAKANA = "\u30de\u30c8\u30ea\u30c3\u30af\u30b9"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1:0:2"])
@pytest.mark.parametrize("port", [0, 1, 3478, 65535])
def test_addresses_come_back_as_they_were(host: str, port: int) -> None:
    address = (host, port)
    assert stun.decode_xor_address(stun.encode_xor_address(address, TRANSACTION), TRANSACTION) == address
    assert stun.decode_address(stun.encode_address(address)) == address


@pytest.mark.parametrize("host", ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.x", "example.org", ":::", "1.2.3.-1"])
def test_what_is_no_address_is_not_encoded(host: str) -> None:
    with pytest.raises(StunError):
        stun.encode_address((host, 1))


@pytest.mark.parametrize("value", [b"", bytes(8), b"\0\x03" + bytes(6), b"\0\x02" + bytes(6), b"\0\x01" + bytes(18)])
def test_a_wrong_address_value_is_refused(value: bytes) -> None:
    with pytest.raises(StunError):
        stun.decode_xor_address(value, TRANSACTION)
    with pytest.raises(StunError):
        stun.decode_address(value)


def test_an_ipv4_mapped_peer_stays_recognisable_as_ipv6() -> None:
    value = stun.encode_xor_address(("::ffff:127.0.0.1", 5), TRANSACTION)
    assert len(value) == 20
    assert ":" in stun.decode_xor_address(value, TRANSACTION)[0]


@pytest.mark.parametrize(("code", "reason"), [(300, "Try Alternate"), (438, "Stale Nonce"), (599, ""), (699, "")])
def test_error_codes_carry_their_registered_phrase(code: int, reason: str) -> None:
    assert stun.decode_error(stun.encode_error(code)) == (code, reason)


def test_an_error_can_have_its_own_reason() -> None:
    assert stun.encode_error(420, b"No") == b"\0\0\x04\x14No"
    assert stun.decode_error(b"\0\0\x04\x14\xff") == (420, "\ufffd")
    assert stun.decode_address_error(stun.encode_address_error(2, 440)) == (2, 440, "Address Family not Supported")


@pytest.mark.parametrize(
    "value", [b"", b"\0\0\x04", b"\0\0\x02\0", b"\0\0\x07\0", b"\0\0\x04\x64", bytes(2) + b"\4\0" * 500]
)
def test_a_wrong_error_value_is_refused(value: bytes) -> None:
    with pytest.raises(StunError):
        stun.decode_error(value)


@pytest.mark.parametrize("code", [0, 299, 700])
def test_what_is_no_error_code_is_not_encoded(code: int) -> None:
    with pytest.raises(StunError):
        stun.encode_error(code)


def test_numbers_come_back_as_they_were() -> None:
    assert stun.decode_lifetime(stun.encode_lifetime(600)) == 600
    assert stun.decode_priority(stun.encode_priority(0x6E0001FF)) == 0x6E0001FF
    assert stun.decode_connection_id(stun.encode_connection_id(2**32 - 1)) == 2**32 - 1
    assert stun.decode_tie_breaker(stun.encode_tie_breaker(2**64 - 1)) == 2**64 - 1
    assert stun.decode_channel(stun.encode_channel(0x4001)) == 0x4001
    assert stun.encode_channel(0x4001) == b"\x40\x01\0\0"
    assert stun.decode_transport(stun.encode_transport(17)) == 17
    assert stun.decode_family(stun.encode_family(stun.Family.IPV6)) == 2
    assert stun.decode_unknown_attributes(stun.encode_unknown_attributes([0x7001, 0x7002])) == [0x7001, 0x7002]
    assert stun.decode_icmp(stun.encode_icmp(3, 4, 1280)) == (3, 4, 1280)
    assert stun.encode_icmp(3, 4, 1280) == bytes.fromhex("0000060400000500")


def test_flags_and_bits() -> None:
    assert stun.decode_even_port(stun.encode_even_port(reserve_next=True)) is True
    assert stun.decode_even_port(stun.encode_even_port(reserve_next=False)) is False
    assert stun.decode_flag(b"") is True
    assert stun.decode_reservation_token(b"12345678") == b"12345678"


DECODERS = [
    stun.decode_address,
    lambda value: stun.decode_xor_address(value, TRANSACTION),
    stun.decode_address_error,
    stun.decode_channel,
    stun.decode_error,
    stun.decode_even_port,
    stun.decode_family,
    stun.decode_flag,
    stun.decode_icmp,
    stun.decode_password_algorithm,
    stun.decode_password_algorithms,
    stun.decode_reservation_token,
    stun.decode_text,
    stun.decode_transport,
    stun.decode_u32,
    stun.decode_u64,
    stun.decode_unknown_attributes,
]


@pytest.mark.parametrize(
    ("decode", "value"),
    [
        (stun.decode_u32, bytes(3)),
        (stun.decode_u64, bytes(9)),
        (stun.decode_channel, bytes(2)),
        (stun.decode_even_port, bytes(2)),
        (stun.decode_flag, bytes(1)),
        (stun.decode_reservation_token, bytes(7)),
        (stun.decode_text, b"\xff"),
        (stun.decode_text, b"a" * 764),
        (stun.decode_unknown_attributes, bytes(3)),
        (stun.decode_password_algorithms, bytes(3)),
        (stun.decode_password_algorithms, b"\0\1\0\5abcd"),
        (stun.decode_password_algorithm, b""),
        (stun.decode_password_algorithm, bytes(8)),
    ],
)
def test_a_wrong_value_is_refused(decode, value: bytes) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StunError):
        decode(value)


def test_user_names_are_bounded_at_508_bytes() -> None:
    assert len(stun.decode_text(b"u" * 508, stun.MAX_USERNAME_BYTES)) == 508
    with pytest.raises(StunError):
        stun.decode_text(b"u" * 509, stun.MAX_USERNAME_BYTES)


# Credentials.


def test_password_algorithms_are_padded_between_each_other() -> None:
    algorithms = [(2, b"abc"), (1, b"")]
    value = stun.encode_password_algorithms(algorithms)
    assert value == b"\0\2\0\3abc\0\0\1\0\0"
    assert stun.decode_password_algorithms(value) == algorithms


def test_strings_that_look_the_same_make_the_same_key() -> None:
    assert stun.long_term_key("caf\u00e9", "r", "p\u3000q") == stun.long_term_key("cafe\u0301", "r", "p q")
    assert stun.short_term_key("secret") == b"secret"


def test_a_nonce_announces_features_from_the_leftmost_bit() -> None:
    nonce = stun.encode_nonce(stun.SecurityFeature.PASSWORD_ALGORITHMS, b"unique")
    assert nonce == b"obMatJos2gAAAunique"
    assert stun.nonce_features(nonce) == stun.SecurityFeature.PASSWORD_ALGORITHMS


@pytest.mark.parametrize("nonce", [b"", b"f//499k954d6OL34oL9FSTvy64sA", b"obMatJos2AA", b"obMatJos2!!!!"])
def test_a_plain_nonce_announces_nothing(nonce: bytes) -> None:
    assert stun.nonce_features(nonce) is None


@given(st.binary(max_size=40))
@settings(max_examples=200)
def test_any_bytes_are_a_value_or_the_one_error(value: bytes) -> None:
    for decode in DECODERS:
        try:
            decode(value)
        except StunError:
            continue
    stun.nonce_features(value)
