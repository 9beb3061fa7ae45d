import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnd.nat_pmp import parse
from turnd.outside_address import RouterError


def answer(address: str, *, result: int = 0) -> bytes:
    return bytes([0, 128, 0, result, 0, 0, 0, 9, *map(int, address.split("."))])


def test_the_outside_address_is_read() -> None:
    assert parse(answer("203.0.113.7")) == "203.0.113.7"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an answer"),
        (b"\x00\x80\x00", "not an answer"),
        (b"\x00\x81" + bytes(10), "not an answer"),
        (b"\x02\x80\x00\x01" + bytes(20), "speaks version 2 only"),
        (answer("203.0.113.7")[:11], "wrong length"),
        (answer("203.0.113.7") + b"\x00", "wrong length"),
        (answer("0.0.0.0", result=3), "no outside address now"),
        (answer("0.0.0.0", result=77), "result 77"),
        (answer("0.0.0.0"), "no outside address"),
        (answer("127.0.0.1"), "no outside address"),
        (answer("192.168.1.1"), "behind another NAT"),
        (answer("100.64.0.1"), "behind another NAT"),
    ],
)
def test_an_unusable_answer_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(RouterError, match=reason):
        parse(data)


@given(st.binary(max_size=20))
def test_any_bytes_give_an_address_or_the_error(data: bytes) -> None:
    with contextlib.suppress(RouterError):
        assert parse(data).count(".") == 3
