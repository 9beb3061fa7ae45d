"""Sizes in H.264 parameter sets, by the plain reader and by the compiled one."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sfu.h264 import MAX_SIDE, picture_size
from sfu.rtp import RtpPacket
from tests.sfu.exchange import H264, Exchange, opened


class Golomb:
    """Writes a parameter set."""

    def __init__(self) -> None:
        self.bits = ""

    def put(self, value: int, count: int) -> None:
        self.bits += f"{value:0{count}b}"

    def ue(self, *values: int) -> None:
        for value in values:
            self.bits += f"{value + 1:0{2 * (value + 1).bit_length() - 1}b}"

    def unit(self) -> bytes:
        text = self.bits + "1"
        text += "0" * (-len(text) % 8)
        raw, escaped, zeros = int(text, 2).to_bytes(len(text) // 8, "big"), bytearray(b"\x67"), 0
        for byte in raw:
            if zeros >= 2 and byte <= 3:
                escaped.append(3)
                zeros = 0
            zeros = zeros + 1 if byte == 0 else 0
            escaped.append(byte)
        return bytes(escaped)


def parameter_set(
    width_mbs: int,
    height_units: int,
    *,
    profile: int = 66,
    chroma: int = 1,
    lists: bool = False,
    order: int = 2,
    cycle: int = 2,
    fields: bool = False,
    crop: tuple[int, int, int, int] | None = None,
) -> bytes:
    bits = Golomb()
    bits.put(profile, 8)
    bits.put(0xC01F, 16)
    bits.ue(0)
    if profile == 100:
        bits.ue(chroma)
        if chroma == 3:
            bits.put(0, 1)
        bits.ue(0, 0)
        bits.put(0, 1)
        bits.put(lists, 1)
        for index in range((12 if chroma == 3 else 8) * lists):
            bits.put(1, 1)
            bits.ue(*([0] * (16 if index < 6 else 64)) if index % 2 else [16])  # all eights, or -8: ends at once
    bits.ue(0, order)
    if order == 0:
        bits.ue(4)
    elif order == 1:
        bits.put(0, 1)
        bits.ue(1, 2, cycle, *[3] * cycle)
    bits.ue(1)
    bits.put(0, 1)
    bits.ue(width_mbs - 1, height_units - 1)
    bits.put(not fields, 1)
    if fields:
        bits.put(0, 1)
    bits.put(1, 1)
    bits.put(crop is not None, 1)
    bits.ue(*crop or ())
    return bits.unit()


CASES = [
    (parameter_set(40, 30), (640, 480)),
    (parameter_set(20, 12, crop=(0, 0, 0, 6)), (320, 180)),
    (parameter_set(80, 45, profile=100, lists=True, order=0), (1280, 720)),
    (parameter_set(80, 45, profile=100, chroma=3, lists=True, crop=(1, 2, 3, 4)), (1277, 713)),
    (parameter_set(120, 34, profile=100, chroma=2, order=1, fields=True, crop=(0, 0, 0, 4)), (1920, 1080)),
    (parameter_set(120, 34, order=1, cycle=255, fields=True, crop=(0, 0, 0, 2)), (1920, 1080)),
    (parameter_set(120, 34, order=1, cycle=256), None),
    (parameter_set(MAX_SIDE // 16, 1), (MAX_SIDE, 16)),
    (parameter_set(MAX_SIDE // 16 + 1, 1), None),
    (parameter_set(1, 1, crop=(4, 4, 0, 0)), None),
    (parameter_set(0x7FFFFFFF, 1), None),
    (b"\x67" + bytes(40), None),
]


@pytest.mark.parametrize(("unit", "size"), CASES)
def test_the_size_is_read(unit: bytes, size: tuple[int, int] | None) -> None:
    assert picture_size(unit) == size
    assert picture_size(b"\x78\x00\x02\x09\x10" + len(unit).to_bytes(2, "big") + unit + b"\x00\x01\x68") == size


@pytest.mark.parametrize("payload", [b"", b"\x65idr", b"\x67", b"\x78\x00\x00", b"\x78\xff\xff\x67", b"\x7c\x87sps"])
def test_without_a_whole_parameter_set_there_is_no_size(payload: bytes) -> None:
    assert picture_size(payload) is None


def test_a_set_cut_anywhere_has_no_size() -> None:
    unit = parameter_set(20, 12, crop=(0, 0, 0, 6))
    assert {picture_size(unit[:length]) for length in range(len(unit))} == {None}


def compiled(exchange: Exchange, payload: bytes) -> tuple[int, int] | None:
    publisher = exchange.peer()
    stream = publisher.transport.add_stream(1, audio=False)
    publisher.send(RtpPacket(H264, 1, 0, 1, payload))
    return (stream.width, stream.height) if stream.width else None


@pytest.mark.parametrize(("unit", "size"), CASES)
def test_the_compiled_reader_says_the_same(exchange: Exchange, unit: bytes, size: tuple[int, int] | None) -> None:
    assert compiled(exchange, unit) == size
    assert compiled(exchange, b"\x78\x00\x02\x09\x10" + len(unit).to_bytes(2, "big") + unit) == size


@given(st.integers(0, 2**32), st.sampled_from([unit for unit, _ in CASES]))
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@example(0, b"\x67" + b"\0\0\3" * 100)
def test_a_damaged_set_is_read_alike(seed: int, unit: bytes) -> None:
    rng = random.Random(seed)
    damaged = bytearray(unit[: rng.randrange(1, 1 + len(unit))])
    for _ in range(rng.randrange(4)):
        damaged[rng.randrange(len(damaged))] = rng.choice([0, 3, 255, rng.randrange(256)])
    if rng.random() < 0.3:
        damaged = bytearray(b"\x78" + rng.choice([len(damaged), 3]).to_bytes(2, "big")) + damaged
    with opened() as exchange:
        assert compiled(exchange, bytes(damaged)) == (picture_size(bytes(damaged)) if damaged else None)
