"""RTP packets as plain Python values: for tests, the model of the forward path, and control; not the packet path.

RFC 3550 §5 (header, CSRC list, padding), RFC 8285 (one-byte and two-byte header extensions). Values are immutable and
nothing here keeps state.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

ONE_BYTE_PROFILE = 0xBEDE
TWO_BYTE_PROFILE = 0x1000  # the low four bits are application bits
RTP_HEADER_BYTES = 12


class RtpError(ValueError):
    """The bytes are no RTP packet, or a value does not fit into one."""


class Extension(IntEnum):
    """Header extensions by meaning; ids are per peer connection."""

    MID = 1
    RID = 2
    REPAIRED_RID = 3
    AUDIO_LEVEL = 4
    ABS_SEND_TIME = 5
    TRANSPORT_SEQUENCE = 6
    TRANSMISSION_OFFSET = 7
    VIDEO_ORIENTATION = 8
    PLAYOUT_DELAY = 9
    CONTENT_TYPE = 10
    VIDEO_TIMING = 11
    COLOR_SPACE = 12
    DEPENDENCY_DESCRIPTOR = 13
    VIDEO_LAYERS_ALLOCATION = 14


EXTENSION_URIS: Mapping[Extension, str] = MappingProxyType(
    {
        Extension.MID: "urn:ietf:params:rtp-hdrext:sdes:mid",
        Extension.RID: "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        Extension.REPAIRED_RID: "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        Extension.AUDIO_LEVEL: "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        Extension.ABS_SEND_TIME: "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        Extension.TRANSPORT_SEQUENCE: ("http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"),
        Extension.TRANSMISSION_OFFSET: "urn:ietf:params:rtp-hdrext:toffset",
        Extension.VIDEO_ORIENTATION: "urn:3gpp:video-orientation",
        Extension.PLAYOUT_DELAY: "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        Extension.CONTENT_TYPE: "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
        Extension.VIDEO_TIMING: "http://www.webrtc.org/experiments/rtp-hdrext/video-timing",
        Extension.COLOR_SPACE: "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
        Extension.DEPENDENCY_DESCRIPTOR: (
            "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
        ),
        Extension.VIDEO_LAYERS_ALLOCATION: ("http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00"),
    }
)
EXTENSION_BY_URI: Mapping[str, Extension] = MappingProxyType({uri: name for name, uri in EXTENSION_URIS.items()})


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet; `extensions` are (id, value) in their order, `padding_bytes` counts the length byte."""

    payload_type: int
    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes = b""
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extensions: tuple[tuple[int, bytes], ...] = ()
    padding_bytes: int = 0

    def extension(self, identifier: int) -> bytes | None:
        """The first value with this id."""
        for found, value in self.extensions:
            if found == identifier:
                return value
        return None


def parse_rtp(data: bytes) -> RtpPacket:
    """Parses one packet; `RtpError` on any bytes that are none. Unknown extension profiles are skipped."""
    if len(data) < RTP_HEADER_BYTES:
        raise RtpError("shorter than an RTP header")
    first, second, sequence_number, timestamp, ssrc = struct.unpack_from("!BBHII", data)
    if first >> 6 != 2:
        raise RtpError("RTP version is not 2")
    offset = RTP_HEADER_BYTES + 4 * (first & 0x0F)
    if offset > len(data):
        raise RtpError("CSRC list leaves the packet")
    csrcs = struct.unpack_from(f"!{first & 0x0F}I", data, RTP_HEADER_BYTES)
    extensions: tuple[tuple[int, bytes], ...] = ()
    if first & 0x10:
        if offset + 4 > len(data):
            raise RtpError("extension header leaves the packet")
        profile, words = struct.unpack_from("!HH", data, offset)
        start, offset = offset + 4, offset + 4 + 4 * words
        if offset > len(data):
            raise RtpError("extension leaves the packet")
        extensions = tuple(_parse_extensions(profile, data[start:offset]))
    padding_bytes = 0
    if first & 0x20:
        padding_bytes = data[-1]
        if padding_bytes == 0 or offset + padding_bytes > len(data):
            raise RtpError("padding is empty or leaves the packet")
    return RtpPacket(
        payload_type=second & 0x7F,
        sequence_number=sequence_number,
        timestamp=timestamp,
        ssrc=ssrc,
        payload=data[offset : len(data) - padding_bytes],
        marker=bool(second & 0x80),
        csrcs=csrcs,
        extensions=extensions,
        padding_bytes=padding_bytes,
    )


def _parse_extensions(profile: int, block: bytes) -> list[tuple[int, bytes]]:
    if profile == ONE_BYTE_PROFILE:
        return _parse_one_byte(block)
    if profile & 0xFFF0 == TWO_BYTE_PROFILE:
        return _parse_two_byte(block)
    return []


def _parse_one_byte(block: bytes) -> list[tuple[int, bytes]]:
    elements = []
    offset = 0
    while offset < len(block):
        identifier, length = block[offset] >> 4, (block[offset] & 0x0F) + 1
        if block[offset] == 0:  # padding
            offset += 1
            continue
        if identifier in (0, 15):  # RFC 8285 §4.2: processing ends here
            break
        if offset + 1 + length > len(block):
            raise RtpError("extension element leaves its block")
        elements.append((identifier, block[offset + 1 : offset + 1 + length]))
        offset += 1 + length
    return elements


def _parse_two_byte(block: bytes) -> list[tuple[int, bytes]]:
    elements = []
    offset = 0
    while offset < len(block):
        identifier = block[offset]
        if identifier == 0:
            offset += 1
            continue
        if offset + 2 > len(block) or offset + 2 + block[offset + 1] > len(block):
            raise RtpError("extension element leaves its block")
        elements.append((identifier, block[offset + 2 : offset + 2 + block[offset + 1]]))
        offset += 2 + block[offset + 1]
    return elements


def build_extensions(extensions: Sequence[tuple[int, bytes]], *, two_byte: bool = False) -> bytes:
    """The extension block with its four-byte header, or nothing; two-byte form where the values need it."""
    if not extensions:
        return b""
    two_byte = two_byte or any(not 1 <= len(value) <= 16 or identifier > 14 for identifier, value in extensions)
    block = bytearray()
    for identifier, value in extensions:
        if not 1 <= identifier <= 255 or len(value) > 255:
            raise RtpError("extension id or length out of range")
        block += bytes((identifier, len(value))) if two_byte else bytes((identifier << 4 | len(value) - 1,))
        block += value
    block += bytes(-len(block) % 4)
    return struct.pack("!HH", TWO_BYTE_PROFILE if two_byte else ONE_BYTE_PROFILE, len(block) // 4) + bytes(block)


def build_rtp(packet: RtpPacket, *, two_byte: bool = False) -> bytes:
    """The bytes of `packet`; `RtpError` when a value does not fit its field."""
    if len(packet.csrcs) > 15 or not 0 <= packet.padding_bytes <= 255:
        raise RtpError("too many CSRCs or too much padding")
    block = build_extensions(packet.extensions, two_byte=two_byte)
    first = 0x80 | len(packet.csrcs) | (0x10 if block else 0) | (0x20 if packet.padding_bytes else 0)
    try:
        header = struct.pack(
            f"!BBHII{len(packet.csrcs)}I",
            first,
            packet.payload_type | (0x80 if packet.marker else 0),
            packet.sequence_number,
            packet.timestamp,
            packet.ssrc,
            *packet.csrcs,
        )
    except struct.error as error:
        raise RtpError(str(error)) from None
    if not 0 <= packet.payload_type <= 127:
        raise RtpError("payload type out of range")
    padding = bytes(packet.padding_bytes - 1) + bytes((packet.padding_bytes,)) if packet.padding_bytes else b""
    return header + block + packet.payload + padding


def wrap_rtx(packet: RtpPacket, *, payload_type: int, sequence_number: int, ssrc: int) -> RtpPacket:
    """The RFC 4588 retransmission of `packet`: original sequence number (OSN) in front of its payload."""
    return RtpPacket(
        payload_type=payload_type,
        sequence_number=sequence_number,
        timestamp=packet.timestamp,
        ssrc=ssrc,
        payload=packet.sequence_number.to_bytes(2, "big") + packet.payload,
        marker=packet.marker,
        csrcs=packet.csrcs,
        extensions=packet.extensions,
        padding_bytes=packet.padding_bytes,
    )


def unwrap_rtx(packet: RtpPacket, *, payload_type: int, ssrc: int) -> RtpPacket:
    """The original of an RTX packet; `RtpError` when it holds none (padding-only probes)."""
    if len(packet.payload) < 2:
        raise RtpError("no original sequence number")
    return RtpPacket(
        payload_type=payload_type,
        sequence_number=int.from_bytes(packet.payload[:2], "big"),
        timestamp=packet.timestamp,
        ssrc=ssrc,
        payload=packet.payload[2:],
        marker=packet.marker,
        csrcs=packet.csrcs,
        extensions=packet.extensions,
        padding_bytes=packet.padding_bytes,
    )
