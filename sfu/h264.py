"""The picture size that an H.264 sequence parameter set tells: plain reference of sfu/h264.pxi.

ITU-T H.264 §7.3.2.1.1 (syntax), §7.4.2.1.1 (cropping), RFC 6184 §5.6, §5.7.1 (where it is in a payload). Nothing is
decoded and nothing kept.
"""

from __future__ import annotations

from sfu.codecs import NAL_SPS, NAL_STAP_A, CodecError

MAX_SPS_BYTES = 256
MAX_SIDE = 16384
_CHROMA_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)


class _Bits:
    """Reads a raw byte sequence payload."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        """An unsigned number of `count` bits."""
        if count > self._left:
            raise CodecError("the parameter set is cut off")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """ue(v), at most 31 bits."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros == 32:
                raise CodecError("too large a number")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """se(v)."""
        value = self.golomb()
        return (value + 1) // 2 if value & 1 else -(value // 2)


def picture_size(payload: bytes) -> tuple[int, int] | None:
    """(width, height) by the first parameter set of an RTP payload, alone or in a STAP-A; None when there is none."""
    unit = _parameter_set(payload)
    if unit is None:
        return None
    try:
        width, height = _size(_Bits(unit[1:MAX_SPS_BYTES].replace(b"\0\0\3", b"\0\0")))
    except CodecError:
        return None
    return (width, height) if 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE else None


def _parameter_set(payload: bytes) -> bytes | None:
    kind = payload[0] & 0x1F if payload else 0
    if kind == NAL_SPS:
        return payload
    offset = 1
    while kind == NAL_STAP_A and offset + 2 < len(payload):
        size = int.from_bytes(payload[offset : offset + 2], "big")
        if payload[offset + 2] & 0x1F == NAL_SPS:
            return payload[offset + 2 : offset + 2 + size] or None
        offset += 2 + size
    return None


def _size(bits: _Bits) -> tuple[int, int]:
    profile = bits.take(8)
    bits.take(16)
    bits.golomb()
    chroma, planes = (1, False) if profile not in _CHROMA_PROFILES else _chroma(bits)
    bits.golomb()
    _skip_order_count(bits)
    bits.golomb()
    bits.take(1)
    width, height = 16 * (bits.golomb() + 1), 16 * (bits.golomb() + 1)
    fields = 1 if bits.take(1) else 2
    height *= fields
    if fields == 2:
        bits.take(1)
    bits.take(1)
    if bits.take(1):
        left, right, top, bottom = bits.golomb(), bits.golomb(), bits.golomb(), bits.golomb()
        width -= (2 if chroma in (1, 2) and not planes else 1) * (left + right)
        height -= (2 if chroma == 1 and not planes else 1) * fields * (top + bottom)
    return width, height


def _chroma(bits: _Bits) -> tuple[int, bool]:
    """(chroma_format_idc, separate_colour_plane_flag), and behind the scaling lists."""
    chroma = bits.golomb()
    planes = chroma == 3 and bool(bits.take(1))
    bits.golomb()
    bits.golomb()
    bits.take(1)
    if bits.take(1):
        for index in range(12 if chroma == 3 else 8):
            if bits.take(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma, planes


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    scale = 8
    for _ in range(size):
        scale = (scale + bits.signed()) & 0xFF
        if scale == 0:
            break


def _skip_order_count(bits: _Bits) -> None:
    kind = bits.golomb()
    if kind == 0:
        bits.golomb()
    elif kind == 1:
        bits.take(1)
        bits.golomb()
        bits.golomb()
        count = bits.golomb()
        if count > 255:
            raise CodecError("too many reference frames in a cycle")
        for _ in range(count):
            bits.golomb()
