"""Payload descriptors: keyframes, picture ids, layers."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.codecs import (
    CodecError,
    Kind,
    av1_keyframe,
    h264_keyframe,
    keyframe,
    parse_vp8,
    parse_vp9,
    vp8_keyframe_size,
)

KEY_640_360 = b"\x50\x2d\x00\x9d\x01\x2a\x80\x02\x68\x41"


def test_vp8_without_extension_is_one_byte() -> None:
    descriptor = parse_vp8(b"\x10rest")
    assert (descriptor.start, descriptor.partition, descriptor.length) == (True, 0, 1)


def test_vp8_reads_all_optional_fields() -> None:
    descriptor = parse_vp8(b"\x90\xf0\xfe\xdc\x42\xa7")
    assert (descriptor.picture_id, descriptor.wide, descriptor.tl0_picture) == (0x7EDC, True, 0x42)
    assert (descriptor.temporal_layer, descriptor.layer_sync, descriptor.key_index) == (2, True, 7)
    assert (descriptor.picture_id_offset, descriptor.tl0_picture_offset, descriptor.length) == (2, 4, 6)


def test_vp8_reads_a_seven_bit_picture_id() -> None:
    descriptor = parse_vp8(b"\x90\x80\x7f")
    assert (descriptor.picture_id, descriptor.wide, descriptor.length) == (0x7F, False, 3)


def test_vp8_keyframe_gives_its_size_without_scale_bits() -> None:
    assert vp8_keyframe_size(b"\x10" + KEY_640_360) == (640, 360)


@pytest.mark.parametrize("payload", [b"\x00" + KEY_640_360, b"\x11" + KEY_640_360, b"\x10\x51" + bytes(9), b"\x10"])
def test_vp8_continuations_partitions_and_deltas_are_no_keyframe(payload: bytes) -> None:
    assert vp8_keyframe_size(payload) is None


def test_vp8_keyframe_cut_before_its_size_still_is_one() -> None:
    assert vp8_keyframe_size(b"\x10\x50") == (0, 0)


@pytest.mark.parametrize("payload", [b"", b"\x90", b"\x90\x80", b"\x90\x80\x80", b"\x90\x40", b"\x90\x20"])
def test_a_cut_vp8_descriptor_is_an_error(payload: bytes) -> None:
    with pytest.raises(CodecError):
        parse_vp8(payload)


def test_vp9_keyframe_is_the_start_of_a_base_layer_not_predicted() -> None:
    assert keyframe(Kind.VP9, b"\x88\x81\x00")
    assert not keyframe(Kind.VP9, b"\xc8\x81\x00")
    assert not keyframe(Kind.VP9, b"\x80\x81\x00")
    assert not keyframe(Kind.VP9, b"\xa8\x81\x00\x02\x00")


def test_vp9_reads_layers() -> None:
    descriptor = parse_vp9(b"\xac\x85\x01\x44\x07")
    assert (descriptor.picture_id, descriptor.temporal_layer, descriptor.spatial_layer) == (0x501, 2, 2)
    assert (descriptor.tl0_picture, descriptor.tl0_picture_offset) == (7, 4)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"\x65", True),
        (b"\x67", True),
        (b"\x41", False),
        (b"\x7c\x85", True),
        (b"\x7c\x05", False),
        (b"\x7c\x81", False),
        (b"\x78\x00\x02\x09\x10\x00\x02\x67\x42", True),
        (b"\x78\x00\x02\x09\x10\x00\x02\x41\x42", False),
        (b"\x78\xff\xff\x09", False),
    ],
)
def test_h264_keyframes_are_found_in_every_packetization(payload: bytes, expected: bool) -> None:
    assert h264_keyframe(payload) is expected


def test_av1_starts_a_sequence_with_the_n_bit() -> None:
    assert av1_keyframe(b"\x18")
    assert not av1_keyframe(b"\x10")
    assert not av1_keyframe(b"\x98")


def test_audio_can_start_anywhere() -> None:
    assert keyframe(Kind.OPUS, b"")
    assert keyframe(Kind.OPAQUE, b"")


@given(st.sampled_from(Kind), st.binary(max_size=40))
def test_any_payload_gives_an_answer_or_codec_error(kind: Kind, payload: bytes) -> None:
    with contextlib.suppress(CodecError):
        keyframe(kind, payload)
