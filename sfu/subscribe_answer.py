"""Answers a viewer's offer (WHEP): which of its m-lines we send on, with its payload types, extension ids and mids.

RFC 8829 §5.3 (answers), 8843 (BUNDLE), 8842 (DTLS roles), draft-ietf-wish-whep. `agree` understands an offer or raises
`SdpError`, `answer` prints. Who sits on which m-line is `sfu.viewing`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sfu.codecs import Kind
from sfu.description import LocalTransport, accepted, refused, session
from sfu.formats import DEFAULT_VIDEO_PREFERENCE, OFFERED_EXTENSIONS, Format, Line, choose, extension_line
from sfu.publish_answer import MAX_MID_BYTES, PROTOCOLS, format_of, remote_of
from sfu.rtp import EXTENSION_BY_URI, Extension
from sfu.sdp import Media, SdpError, SessionDescription, Transport
from sfu.subscribe_offer import SlotLine, slot_line, source_lines

MAX_SENT = 64  # m-lines we send on
_EXTENSIONS = frozenset(OFFERED_EXTENSIONS)


@dataclass(frozen=True, slots=True)
class SentLine:
    """One m-line of the offer; `slot` None: it is none of sound or picture, and rejected."""

    media: Media
    slot: SlotLine | None
    formats: Sequence[Format] = ()

    @property
    def payloads(self) -> dict[Kind, tuple[int, int | None]]:
        """The viewer's payload types: kind -> (payload type, RTX payload type)."""
        return {each.kind: (each.payload_type, each.rtx) for each in self.formats}


@dataclass(frozen=True, slots=True)
class Agreement:
    """A whole offer, understood."""

    lines: Sequence[SentLine]
    remote: Transport
    extensions: Mapping[Extension, int]

    @property
    def sent(self) -> list[tuple[SlotLine, SentLine]]:
        """The m-lines we send on, in their order."""
        return [(line.slot, line) for line in self.lines if line.slot is not None]

    @property
    def bundle(self) -> list[Media]:
        """The m-lines in use."""
        return [line.media for line in self.lines if line.slot is not None]

    @property
    def passive(self) -> bool:
        """Whether the offerer insists on being the DTLS server."""
        return self.remote.setup == "passive"


def agree(offer: SessionDescription, preference: Sequence[Kind] = DEFAULT_VIDEO_PREFERENCE) -> Agreement:
    """Takes every m-line for sound or picture, or refuses all: no session that works in part (draft §4.4.3)."""
    lines: list[SentLine] = []
    counts = {"audio": 0, "video": 0}
    for index, media in enumerate(offer.media):
        media.mid = media.mid or str(index)
        if media.kind not in counts or media.rejected:
            lines.append(SentLine(media, None))
            continue
        repaired = any(codec.repairs is not None for codec in media.codecs.values())
        slot = slot_line(counts[media.kind], media.mid, audio=media.kind == "audio", rtx=repaired)
        lines.append(SentLine(media, slot, _formats(media, preference)))
        counts[media.kind] += 1
    used = [line.media for line in lines if line.slot is not None]
    if not used:
        raise SdpError("no m-line of the offer asks for sound or picture")
    if len(used) > MAX_SENT:
        raise SdpError(f"more than {MAX_SENT} m-lines for sound and picture")
    if len({media.mid for media in offer.media}) != len(offer.media):
        raise SdpError("two m-lines have the same mid")
    if len(used) > 1 and not all(media.mid in offer.bundle for media in used):
        raise SdpError("BUNDLE is required")
    return Agreement(lines, remote_of(used[0]), _extensions(used))


def _formats(media: Media, preference: Sequence[Kind]) -> list[Format]:
    if media.protocol not in PROTOCOLS or len(media.mid.encode()) > MAX_MID_BYTES:
        raise SdpError(f"the m-line {media.mid} has a transport or a mid that cannot be used")
    if media.direction not in ("recvonly", "sendrecv"):
        raise SdpError(f"the m-line {media.mid} is {media.direction}: a viewer receives")
    if not media.has("rtcp-mux"):
        raise SdpError("rtcp-mux is required")
    audio = media.kind == "audio"
    formats = [format_of(kind, codec, rtx) for kind, codec, rtx in choose(media.codecs.values(), audio, preference)]
    if not formats:
        raise SdpError(f"the m-line {media.mid} offers no codec this server forwards")
    return formats


def _extensions(used: Sequence[Media]) -> dict[Extension, int]:
    """One id each for the whole bundle (RFC 8843 §9.1.1)."""
    ids: dict[Extension, int] = {}
    for media in used:
        for each in media.extensions:
            extension = EXTENSION_BY_URI.get(each.uri)
            if extension is not None and extension in _EXTENSIONS and each.direction in ("recvonly", "sendrecv"):
                ids.setdefault(extension, each.identifier)
    return ids


def answer(agreement: Agreement, local: LocalTransport, session_id: int, version: int) -> SessionDescription:
    """Our description: sendonly where there is a slot, port 0 for all else."""
    mids = [media.mid for media in agreement.bundle]
    description = session(session_id, version, mids)
    setup = "active" if agreement.passive else "passive"
    for line in agreement.lines:
        if line.slot is None:
            media = refused(line.media)
        else:
            media = accepted(line.media, line.formats, local, setup, first=line.media.mid == mids[0])
            media.attributes += _slot_lines(line, line.slot, agreement.extensions)
        description.media.append(media)
    return description


def _slot_lines(line: SentLine, slot: SlotLine, extensions: Mapping[Extension, int]) -> list[Line]:
    lines: list[Line] = [("sendonly", None)]
    for each in line.formats:
        lines += each.lines()
    offered = {EXTENSION_BY_URI.get(each.uri): each for each in line.media.extensions}
    for extension, identifier in extensions.items():
        if extension in offered and offered[extension].identifier == identifier:
            direction = "sendonly" if offered[extension].direction == "recvonly" else "sendrecv"
            lines.append(extension_line(extension, identifier, direction))
    return lines + source_lines(slot)
