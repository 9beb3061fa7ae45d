"""RTP headers and extensions as values."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp import (
    EXTENSION_BY_URI,
    EXTENSION_URIS,
    Extension,
    RtpError,
    RtpPacket,
    build_extensions,
    build_rtp,
    parse_rtp,
    unwrap_rtx,
    wrap_rtx,
)

PLAIN = RtpPacket(payload_type=96, sequence_number=0xFFFF, timestamp=1, ssrc=0xDEADBEEF, payload=b"payload")

elements = st.lists(st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=16)), max_size=8).map(tuple)
packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence_number=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=64),
    marker=st.booleans(),
    csrcs=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15).map(tuple),
    extensions=elements,
    padding_bytes=st.integers(0, 255),
)


@given(packets, st.booleans())
def test_a_packet_survives_building_and_parsing(packet: RtpPacket, two_byte: bool) -> None:
    assert parse_rtp(build_rtp(packet, two_byte=two_byte)) == packet


@given(st.binary(max_size=120))
def test_any_bytes_give_a_packet_or_rtp_error(data: bytes) -> None:
    with contextlib.suppress(RtpError):
        parse_rtp(data)


def test_a_long_value_takes_the_two_byte_form() -> None:
    assert build_extensions([(1, b"x" * 17)])[:2] == b"\x10\x00"
    assert build_extensions([(15, b"x")])[:2] == b"\x10\x00"
    assert build_extensions([(14, b"x" * 16)])[:2] == b"\xbe\xde"


def test_an_empty_value_needs_the_two_byte_form() -> None:
    packet = parse_rtp(build_rtp(RtpPacket(96, 1, 2, 3, extensions=((7, b""),))))
    assert packet.extension(7) == b""


def test_application_bits_of_the_two_byte_profile_are_ignored() -> None:
    data = bytearray(build_rtp(RtpPacket(96, 1, 2, 3, extensions=((200, b"abc"),))))
    data[13] |= 0x0F
    assert parse_rtp(bytes(data)).extension(200) == b"abc"


def test_one_byte_id_15_ends_the_elements() -> None:
    block = b"\xbe\xde\x00\x02" + b"\x10A\xf0B\x20C\x00\x00"
    packet = parse_rtp(b"\x90\x60" + bytes(10) + block)
    assert packet.extensions == ((1, b"A"),)


def test_an_unknown_profile_is_skipped() -> None:
    packet = parse_rtp(b"\x90\x60" + bytes(10) + b"\xab\xac\x00\x01abcd" + b"payload")
    assert (packet.extensions, packet.payload) == ((), b"payload")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(12),
        b"\x80" + bytes(10),
        b"\x8f" + bytes(70),
        b"\x90" + bytes(14),
        b"\x90" + bytes(11) + b"\xbe\xde\xff\xff",
        b"\x90" + bytes(11) + b"\xbe\xde\x00\x01\x00\x00\x00\x1f",
        b"\xa0" + bytes(11) + b"\x00",
        b"\xa0" + bytes(11) + b"\x02",
    ],
)
def test_a_header_that_leaves_the_packet_is_an_error(data: bytes) -> None:
    with pytest.raises(RtpError):
        parse_rtp(data)


@pytest.mark.parametrize(
    "packet",
    [
        RtpPacket(128, 0, 0, 0),
        RtpPacket(0, 65536, 0, 0),
        RtpPacket(0, 0, 0, 0, csrcs=(1,) * 16),
        RtpPacket(0, 0, 0, 0, padding_bytes=256),
        RtpPacket(0, 0, 0, 0, extensions=((0, b"x"),)),
        RtpPacket(0, 0, 0, 0, extensions=((1, b"x" * 256),)),
    ],
)
def test_a_value_out_of_range_is_not_built(packet: RtpPacket) -> None:
    with pytest.raises(RtpError):
        build_rtp(packet)


def test_rtx_carries_the_original_sequence_number() -> None:
    rtx = wrap_rtx(PLAIN, payload_type=97, sequence_number=5, ssrc=6)
    assert rtx.payload == b"\xff\xffpayload"
    assert unwrap_rtx(rtx, payload_type=96, ssrc=PLAIN.ssrc) == PLAIN


def test_a_padding_probe_holds_no_original() -> None:
    with pytest.raises(RtpError):
        unwrap_rtx(RtpPacket(97, 1, 2, 3, padding_bytes=200), payload_type=96, ssrc=1)


def test_every_extension_has_its_own_uri() -> None:
    assert {EXTENSION_BY_URI[EXTENSION_URIS[extension]] for extension in Extension} == set(Extension)
