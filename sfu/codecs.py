"""What an SFU must see of a payload: keyframes, layers, picture ids. The plain reference of what sfu.forward compiles.

VP8: RFC 7741. VP9: RFC 9628. H.264: RFC 6184. AV1: AOM "RTP Payload Format for AV1" v1.0. Nothing is decoded: only
payload descriptors, and for VP8 the frame tag's size fields (RFC 6386 §9.1). Functions are pure; on bytes that are too
short they raise `CodecError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    """Payload formats whose headers the path understands; OPAQUE is forwarded without looking inside."""

    OPAQUE = 0
    OPUS = 1
    VP8 = 2
    VP9 = 3
    AV1 = 4
    H264 = 5


class CodecError(ValueError):
    """The payload does not hold what its descriptor announces."""


@dataclass(frozen=True, slots=True)
class Vp8Descriptor:
    """RFC 7741 §4.2; `picture_id` has 7 or 15 bits as `wide` says; offsets count from the start of the payload."""

    start: bool  # S: a partition begins here
    partition: int
    picture_id: int | None = None
    wide: bool = False
    tl0_picture: int | None = None
    temporal_layer: int | None = None
    layer_sync: bool = False
    key_index: int | None = None
    picture_id_offset: int = 0
    tl0_picture_offset: int = 0
    length: int = 1


def parse_vp8(payload: bytes) -> Vp8Descriptor:
    """The payload descriptor in front of each VP8 packet."""
    try:
        return _parse_vp8(payload)
    except IndexError:
        raise CodecError("VP8 descriptor leaves the payload") from None


def _parse_vp8(payload: bytes) -> Vp8Descriptor:
    first = payload[0]
    start, partition = bool(first & 0x10), first & 0x07
    if not first & 0x80:
        return Vp8Descriptor(start, partition)
    present = payload[1]
    offset = 2
    picture_id = tl0_picture = temporal_layer = key_index = None
    wide = layer_sync = False
    picture_id_offset = tl0_picture_offset = 0
    if present & 0x80:
        picture_id_offset = offset
        wide = bool(payload[offset] & 0x80)
        picture_id = (payload[offset] & 0x7F) << 8 | payload[offset + 1] if wide else payload[offset]
        offset += 2 if wide else 1
    if present & 0x40:
        tl0_picture_offset, tl0_picture = offset, payload[offset]
        offset += 1
    if present & 0x30:
        if present & 0x20:
            temporal_layer, layer_sync = payload[offset] >> 6, bool(payload[offset] & 0x20)
        if present & 0x10:
            key_index = payload[offset] & 0x1F
        offset += 1
    return Vp8Descriptor(
        start,
        partition,
        picture_id,
        wide,
        tl0_picture,
        temporal_layer,
        layer_sync,
        key_index,
        picture_id_offset,
        tl0_picture_offset,
        offset,
    )


def vp8_keyframe_size(payload: bytes) -> tuple[int, int] | None:
    """(width, height) if the packet starts a keyframe (S=1, PID=0, P=0), zeros when the size is cut off; else None."""
    descriptor = parse_vp8(payload)
    frame = payload[descriptor.length :]
    if not (descriptor.start and descriptor.partition == 0 and frame) or frame[0] & 1:
        return None
    if len(frame) < 10 or frame[3:6] != b"\x9d\x01\x2a":
        return 0, 0
    return int.from_bytes(frame[6:8], "little") & 0x3FFF, int.from_bytes(frame[8:10], "little") & 0x3FFF


@dataclass(frozen=True, slots=True)
class Vp9Descriptor:
    """RFC 9628 §4.2, with the sizes of the scalability structure; `sizes` has one (width, height) a spatial layer."""

    picture_id: int | None
    wide: bool
    inter_predicted: bool
    flexible: bool
    start: bool  # B: a frame begins here
    end: bool
    spatial_layer: int = 0
    temporal_layer: int = 0
    switching_up: bool = False  # U
    tl0_picture: int | None = None  # only in non-flexible mode
    picture_id_offset: int = 0
    tl0_picture_offset: int = 0
    sizes: tuple[tuple[int, int], ...] = ()


def parse_vp9(payload: bytes) -> Vp9Descriptor:
    """The payload descriptor in front of each VP9 packet."""
    try:
        first = payload[0]
        offset = 1
        picture_id, wide = None, False
        layers, tl0_picture, tl0_picture_offset = 0, None, 0
        if first & 0x80:
            wide = bool(payload[offset] & 0x80)
            picture_id = (payload[offset] & 0x7F) << 8 | payload[offset + 1] if wide else payload[offset]
            offset += 2 if wide else 1
        if first & 0x20:
            layers = payload[offset]
            offset += 1
            if not first & 0x10:
                tl0_picture, tl0_picture_offset = payload[offset], offset
                offset += 1
    except IndexError:
        raise CodecError("VP9 descriptor leaves the payload") from None
    return Vp9Descriptor(
        picture_id=picture_id,
        wide=wide,
        inter_predicted=bool(first & 0x40),
        flexible=bool(first & 0x10),
        start=bool(first & 0x08),
        end=bool(first & 0x04),
        spatial_layer=layers >> 1 & 7,
        temporal_layer=layers >> 5,
        switching_up=bool(layers & 0x10),
        tl0_picture=tl0_picture,
        picture_id_offset=1 if first & 0x80 else 0,
        tl0_picture_offset=tl0_picture_offset,
        sizes=_vp9_sizes(payload, offset) if first & 0x02 else (),
    )


def _vp9_sizes(payload: bytes, offset: int) -> tuple[tuple[int, int], ...]:
    """Y of the scalability structure, behind at most three reference indices; () when it is not there or cut off."""
    if payload[0] & 0x50 == 0x50:
        for _ in range(3):
            offset += 1
            if not payload[offset - 1 : offset] or not payload[offset - 1] & 1:
                break
    if offset >= len(payload) or not payload[offset] & 0x10:
        return ()
    end = offset + 1 + 4 * ((payload[offset] >> 5) + 1)
    if end > len(payload):
        return ()
    numbers = [int.from_bytes(payload[at : at + 2], "big") for at in range(offset + 1, end, 2)]
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


NAL_IDR, NAL_SPS, NAL_STAP_A, NAL_FU_A = 5, 7, 24, 28


def h264_keyframe(payload: bytes) -> bool:
    """Whether an IDR or SPS starts in this packet: alone, in a STAP-A, or as the first fragment of an FU-A."""
    if not payload:
        raise CodecError("empty H.264 payload")
    kind = payload[0] & 0x1F
    if kind == NAL_FU_A:
        if len(payload) < 2:
            raise CodecError("FU-A without header")
        return bool(payload[1] & 0x80) and payload[1] & 0x1F in (NAL_IDR, NAL_SPS)
    if kind != NAL_STAP_A:
        return kind in (NAL_IDR, NAL_SPS)
    offset = 1
    while offset + 2 < len(payload):
        if payload[offset + 2] & 0x1F in (NAL_IDR, NAL_SPS):
            return True
        offset += 2 + int.from_bytes(payload[offset : offset + 2], "big")
    return False


def av1_keyframe(payload: bytes) -> bool:
    """Whether a coded video sequence starts in this packet (N bit of the aggregation header)."""
    if not payload:
        raise CodecError("empty AV1 payload")
    return payload[0] & 0x88 == 0x08  # N without Z: Z would continue an earlier OBU


def keyframe(kind: Kind, payload: bytes) -> bool:
    """Whether a decoder that has seen nothing can start with this packet; kinds without keyframes start anywhere."""
    if kind is Kind.VP8:
        return vp8_keyframe_size(payload) is not None
    if kind is Kind.VP9:
        descriptor = parse_vp9(payload)
        return descriptor.start and not descriptor.inter_predicted and descriptor.spatial_layer == 0
    if kind is Kind.H264:
        return h264_keyframe(payload)
    if kind is Kind.AV1:
        return av1_keyframe(payload)
    return True


ALL_LAYERS = 7  # the highest layer id there is


@dataclass(frozen=True, slots=True)
class LayerMarks:
    """What a packet says of layers. Who forwards temporal layers up to `opens_from` may take those up to `opens_to`."""

    spatial: int = 0
    temporal: int = 0
    opens_from: int = 0
    opens_to: int = 0  # 0: none
    opens_spatial: bool = False  # nothing before this picture is needed for this spatial layer
    ends: bool = False  # last packet of its spatial layer's frame


def layer_marks(kind: Kind, payload: bytes) -> LayerMarks:
    """RFC 7741 §4.2 (TID, Y), RFC 9628 §4.2 (SID, TID, U, P, B, E); kinds without layer ids have the lowest ones."""
    key = keyframe(kind, payload)
    if kind is Kind.VP8:
        vp8 = parse_vp8(payload)
        temporal = vp8.temporal_layer or 0
        if key:
            return LayerMarks(0, temporal, 0, ALL_LAYERS, True)
        opens = vp8.layer_sync and temporal and vp8.start and vp8.partition == 0
        return LayerMarks(0, temporal, temporal - 1, temporal) if opens else LayerMarks(0, temporal)
    if kind is Kind.VP9:
        vp9 = parse_vp9(payload)
        opens = key or (vp9.switching_up and vp9.start)
        return LayerMarks(
            vp9.spatial_layer,
            vp9.temporal_layer,
            vp9.temporal_layer if opens and not key else 0,
            ALL_LAYERS if opens else 0,
            vp9.start and not vp9.inter_predicted,
            vp9.end,
        )
    return LayerMarks(0, 0, 0, ALL_LAYERS, True) if key else LayerMarks()
