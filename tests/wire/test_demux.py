from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.demux import Kind, classify, is_rtcp


@pytest.mark.parametrize(
    ("first", "last", "kind"),
    [
        (0, 3, Kind.STUN),
        (4, 15, Kind.OTHER),
        (16, 19, Kind.ZRTP),
        (20, 63, Kind.DTLS),
        (64, 79, Kind.CHANNEL),
        (80, 127, Kind.QUIC),
        (128, 191, Kind.MEDIA),
        (192, 255, Kind.QUIC),
    ],
)
def test_the_first_byte_decides(first: int, last: int, kind: Kind) -> None:
    assert {classify(bytes((byte, 0))) for byte in range(first, last + 1)} == {kind}


def test_an_empty_datagram_is_nothing() -> None:
    assert classify(b"") is Kind.OTHER
    assert not is_rtcp(b"")
    assert not is_rtcp(b"\x80")


@pytest.mark.parametrize(
    ("payload_type", "rtcp"), [(191, False), (192, True), (200, True), (207, True), (223, True), (224, False)]
)
def test_rtcp_is_told_from_rtp_by_its_packet_type(payload_type: int, rtcp: bool) -> None:
    assert is_rtcp(bytes((0x80, payload_type))) is rtcp


@given(st.binary())
def test_any_bytes_have_a_kind(data: bytes) -> None:
    assert isinstance(classify(data), Kind)
    is_rtcp(data)
