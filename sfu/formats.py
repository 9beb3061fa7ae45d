"""Codecs and header extensions this server speaks of in SDP, and the lines that say so.

Payload formats: RFC 7587 (Opus), 7741 (VP8), 9628 (VP9), 6184 (H.264), AV1 by AOM, 4588 (RTX). Constant tables and pure
functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from sfu.codecs import Kind
from sfu.rtp import EXTENSION_URIS, Extension
from sfu.sdp import Codec

Line = tuple[str, str | None]

VIDEO_KINDS = (Kind.VP8, Kind.VP9, Kind.H264, Kind.AV1)
DEFAULT_VIDEO_PREFERENCE = VIDEO_KINDS

# What we offer to subscribers; also the ids and payload types of our own m-lines.
OFFERED_EXTENSIONS: Mapping[Extension, int] = MappingProxyType(
    {
        Extension.MID: 1,
        Extension.ABS_SEND_TIME: 2,
        Extension.TRANSPORT_SEQUENCE: 3,
        Extension.AUDIO_LEVEL: 4,
        Extension.DEPENDENCY_DESCRIPTOR: 5,
    }
)
AUDIO_EXTENSIONS = frozenset({Extension.MID, Extension.AUDIO_LEVEL, Extension.TRANSPORT_SEQUENCE})
# Without video-orientation: phones turn pictures themselves where it is not agreed, and Firefox does not know it.
VIDEO_EXTENSIONS = frozenset(
    {
        Extension.MID,
        Extension.RID,
        Extension.REPAIRED_RID,
        Extension.TRANSPORT_SEQUENCE,
        Extension.DEPENDENCY_DESCRIPTOR,
    }
)
# Whose layers only the dependency descriptor tells. Once it is agreed libwebrtc leaves layers and picture ids out of
# VP8 payloads, which receivers without it would miss.
DESCRIBED_KINDS = frozenset({Kind.AV1, Kind.H264})
AUDIO_FEEDBACK = ("transport-cc", "nack")
VIDEO_FEEDBACK = ("transport-cc", "goog-remb", "ccm fir", "nack", "nack pli")


@dataclass(frozen=True, slots=True)
class Format:
    """One codec with its payload type on some connection; `rtx` is the payload type of its retransmissions."""

    kind: Kind
    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    parameters: str = ""
    feedback: tuple[str, ...] = ()
    rtx: int | None = None

    def told(self, parameter: str) -> Format:
        """The same with one more parameter in its a=fmtp."""
        return replace(self, parameters=f"{self.parameters};{parameter}" if self.parameters else parameter)

    def lines(self) -> list[Line]:
        """Its a= lines, those of RTX last."""
        channels = f"/{self.channels}" if self.channels > 1 else ""
        lines: list[Line] = [("rtpmap", f"{self.payload_type} {self.name}/{self.clock_rate}{channels}")]
        lines += [("rtcp-fb", f"{self.payload_type} {each}") for each in self.feedback]
        if self.parameters:
            lines.append(("fmtp", f"{self.payload_type} {self.parameters}"))
        if self.rtx is not None:
            lines.append(("rtpmap", f"{self.rtx} rtx/{self.clock_rate}"))
            lines.append(("fmtp", f"{self.rtx} apt={self.payload_type}"))
        return lines


_H264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
OFFERED_AUDIO = (Format(Kind.OPUS, 111, "opus", 48000, 2, "minptime=10;useinbandfec=1;usedtx=1", AUDIO_FEEDBACK),)
OFFERED_VIDEO = (
    Format(Kind.VP8, 96, "VP8", 90000, feedback=VIDEO_FEEDBACK, rtx=97),
    Format(Kind.H264, 102, "H264", 90000, parameters=_H264, feedback=VIDEO_FEEDBACK, rtx=103),
    Format(Kind.VP9, 98, "VP9", 90000, parameters="profile-id=0", feedback=VIDEO_FEEDBACK, rtx=99),
    Format(Kind.AV1, 45, "AV1", 90000, parameters="level-idx=5;profile=0;tier=0", feedback=VIDEO_FEEDBACK, rtx=46),
)


def kind_of(codec: Codec) -> Kind | None:
    """The kind of a codec we can forward, None for all others and for profiles a subscriber would not decode."""
    name, parameters = codec.name.lower(), codec.parameters
    if name == "opus":
        return Kind.OPUS if codec.clock_rate == 48000 and codec.channels == 2 else None
    if codec.clock_rate != 90000:
        return None
    if name == "vp8":
        return Kind.VP8
    if name == "vp9":
        return Kind.VP9 if parameters.get("profile-id", "0") == "0" else None
    if name == "av1":
        return Kind.AV1 if parameters.get("profile", "0") == "0" else None
    if name == "h264":
        return Kind.H264 if parameters.get("packetization-mode", "0") == "1" else None
    return None


def choose(codecs: Iterable[Codec], audio: bool, preference: Sequence[Kind]) -> list[tuple[Kind, Codec, int | None]]:
    """(kind, codec, RTX payload type) we accept of an m-line, one of each kind, most preferred first."""
    listed = list(codecs)
    repairs = {each.repairs: each.payload_type for each in listed if each.repairs is not None}
    wanted = (Kind.OPUS,) if audio else preference
    result = []
    for kind in wanted:
        same = [each for each in listed if kind_of(each) is kind]
        if same:
            best = min(same, key=_profile_rank)
            result.append((kind, best, repairs.get(best.payload_type)))
    return result


def _profile_rank(codec: Codec) -> int:
    """Constrained Baseline H.264 is what every decoder takes."""
    if codec.name.lower() != "h264":
        return 0
    profile = codec.parameters.get("profile-level-id", "42000a").lower()
    return 0 if profile.startswith(("42e0", "42c0")) else 1 if profile.startswith("42") else 2


def extension_line(extension: Extension, identifier: int, direction: str = "sendrecv") -> Line:
    """a=extmap."""
    suffix = "" if direction == "sendrecv" else f"/{direction}"
    return ("extmap", f"{identifier}{suffix} {EXTENSION_URIS[extension]}")
