"""Offers slots to a subscriber and reads its answer.

RFC 8829 (JSEP), 8843 (BUNDLE), 5576 and 4588 (RTX by FID group), 8830 (msid). Payload types and extension ids are those
of `sfu.formats`; the answer says which of them this subscriber takes. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sfu.codecs import Kind
from sfu.description import LocalTransport, place, session, transport_lines
from sfu.formats import OFFERED_AUDIO, OFFERED_EXTENSIONS, OFFERED_VIDEO, Line, extension_line, kind_of
from sfu.publish_answer import HASHES
from sfu.rtp import EXTENSION_BY_URI, Extension
from sfu.sdp import Media, SdpError, SessionDescription, Transport

FIRST_SSRC = 0x20_0000
_NOT_VIDEO = frozenset({Extension.AUDIO_LEVEL})
_NOT_AUDIO = frozenset({Extension.DEPENDENCY_DESCRIPTOR})


@dataclass(frozen=True, slots=True)
class SlotLine:
    """What an m-line of ours says about its slot. Slots of one `stream` are played in sync."""

    mid: str
    audio: bool
    ssrc: int
    rtx_ssrc: int | None
    stream: str

    @property
    def cname(self) -> str:
        """The CNAME of the slot's SSRCs."""
        return self.stream


def slot_line(place: int, mid: str, *, audio: bool, rtx: bool = True) -> SlotLine:
    """The sound or the picture of the n-th place: one stream, so that they are played in sync."""
    first = FIRST_SSRC + 4 * place
    if audio:
        return SlotLine(mid, True, first, None, f"place{place}")
    return SlotLine(mid, False, first + 1, first + 2 if rtx else None, f"place{place}")


@dataclass(frozen=True, slots=True)
class SubscribeAnswer:
    """What a subscriber takes: per mid, kind -> (payload type, RTX payload type); a mid without kinds was refused."""

    remote: Transport
    payloads: Mapping[str, Mapping[Kind, tuple[int, int | None]]]
    extensions: Mapping[Extension, int]


def offer(slots: Sequence[SlotLine], local: LocalTransport, session_id: int, version: int) -> SessionDescription:
    """All slots, in the order they were made: m-lines never move."""
    description = session(session_id, version, [slot.mid for slot in slots])
    for slot in slots:
        formats = OFFERED_AUDIO if slot.audio else OFFERED_VIDEO
        numbers = [str(each) for one in formats for each in (one.payload_type, one.rtx) if each is not None]
        media = Media("audio" if slot.audio else "video", 9, "UDP/TLS/RTP/SAVPF", numbers)
        place(media, local)
        media.attributes.append(("mid", slot.mid))
        media.attributes += transport_lines(local, "actpass", candidates=True)  # aiortc reads those of its last m-line
        media.attributes += [("sendonly", None), ("rtcp-mux", None), ("rtcp-rsize", None)]
        for each in formats:
            media.attributes += each.lines()
        for extension, identifier in OFFERED_EXTENSIONS.items():
            if extension not in (_NOT_AUDIO if slot.audio else _NOT_VIDEO):
                media.attributes.append(extension_line(extension, identifier))
        media.attributes += source_lines(slot)
        description.media.append(media)
    return description


def source_lines(slot: SlotLine) -> list[Line]:
    """What names the slot's SSRCs and the stream they belong to."""
    msid = f"{slot.stream} {slot.stream}-{'audio' if slot.audio else 'video'}"
    lines: list[Line] = [("msid", msid)]
    ssrcs = [slot.ssrc]
    if slot.rtx_ssrc is not None:
        lines.append(("ssrc-group", f"FID {slot.ssrc} {slot.rtx_ssrc}"))
        ssrcs.append(slot.rtx_ssrc)
    for ssrc in ssrcs:
        lines += [("ssrc", f"{ssrc} cname:{slot.cname}"), ("ssrc", f"{ssrc} msid:{msid}")]
    return lines


def read_answer(answer: SessionDescription, slots: Sequence[SlotLine]) -> SubscribeAnswer:
    """SdpError when it does not fit the offer of `slots` or cannot be connected to."""
    if len(answer.media) != len(slots):
        raise SdpError(f"the offer had {len(slots)} m-lines, the answer has {len(answer.media)}")
    payloads: dict[str, Mapping[Kind, tuple[int, int | None]]] = {}
    extensions: dict[Extension, int] = {}
    remote: Transport | None = None
    for slot, media in zip(slots, answer.media, strict=True):
        if (media.mid or slot.mid) != slot.mid or media.kind != ("audio" if slot.audio else "video"):
            raise SdpError("the m-lines of the answer are not those of the offer")
        if media.rejected or media.direction in ("sendonly", "inactive"):
            payloads[slot.mid] = {}
            continue
        remote = remote or media.transport
        payloads[slot.mid] = _payloads(media)
        for each in media.extensions:
            extension = EXTENSION_BY_URI.get(each.uri)
            if extension is not None and OFFERED_EXTENSIONS.get(extension) == each.identifier:
                extensions[extension] = each.identifier
    return SubscribeAnswer(_checked(remote or answer.media[0].transport), payloads, extensions)


def _payloads(media: Media) -> dict[Kind, tuple[int, int | None]]:
    repairs = {codec.repairs: codec.payload_type for codec in media.codecs.values() if codec.repairs is not None}
    result: dict[Kind, tuple[int, int | None]] = {}
    for codec in media.codecs.values():
        kind = kind_of(codec)
        if kind is not None and kind not in result:
            result[kind] = (codec.payload_type, repairs.get(codec.payload_type))
    return result


def _checked(remote: Transport) -> Transport:
    fingerprints = tuple(each for each in remote.fingerprints if each[0] in HASHES)
    if not fingerprints:
        raise SdpError("a fingerprint of sha-256, sha-384 or sha-512 is required")
    if not remote.ufrag or not remote.password:
        raise SdpError("ICE credentials are missing")
    if remote.setup not in ("active", "passive"):
        raise SdpError("the answer's a=setup must be active or passive")
    return Transport(remote.ufrag, remote.password, fingerprints, remote.setup)
