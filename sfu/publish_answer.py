"""Answers a publisher's offer: which m-lines, codecs and header extensions are taken, and how that is written.

RFC 8829 §5.3 (answers), 8843 (BUNDLE), 8853 (simulcast), 8842 (DTLS roles). `agree` understands an offer or raises
`SdpError`, `answer` prints. The state that follows from an agreement is `sfu.publication`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sfu.codecs import Kind
from sfu.description import LocalTransport, accepted, refused, session
from sfu.formats import (
    AUDIO_EXTENSIONS,
    AUDIO_FEEDBACK,
    DEFAULT_VIDEO_PREFERENCE,
    DESCRIBED_KINDS,
    VIDEO_EXTENSIONS,
    VIDEO_FEEDBACK,
    Format,
    Line,
    choose,
    extension_line,
)
from sfu.rtp import EXTENSION_BY_URI, Extension
from sfu.sdp import Codec, Media, SdpError, SessionDescription, Transport

PROTOCOLS = ("UDP/TLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF")
HASHES = ("sha-256", "sha-384", "sha-512")
MAX_MID_BYTES = 32
MAX_RID_BYTES = 16
_OPUS = "minptime=10;useinbandfec=1;usedtx=1"
# Where libwebrtc's own estimate begins, instead of 300 kbit/s: three layers need 1.3 Mbit/s, and its first probes try
# three and six times as much. Who does not know the parameter leaves it alone, as Firefox and GStreamer do.
_START = "x-google-start-bitrate=1200"
_MIRROR = {"sendonly": "recvonly", "sendrecv": "sendrecv"}


class Source(StrEnum):
    """What a track shows; each at most once a participant."""

    MICROPHONE = "microphone"
    CAMERA = "camera"
    SCREEN = "screen"
    SCREEN_AUDIO = "screen-audio"

    @property
    def audio(self) -> bool:
        """Whether it is sound."""
        return self in (Source.MICROPHONE, Source.SCREEN_AUDIO)


@dataclass(slots=True)
class AgreedTrack:
    """One m-line of an offer and what we make of it; `source` None: answered inactive or rejected."""

    media: Media
    source: Source | None = None
    rejected: bool = False
    formats: list[Format] = field(default_factory=list)
    extensions: dict[int, tuple[Extension, str]] = field(default_factory=dict)  # id -> (extension, answer's direction)
    rids: tuple[str, ...] = ()

    @property
    def mid(self) -> str:
        """The m-line's identification; an offer without one gets its index."""
        return self.media.mid


@dataclass(frozen=True, slots=True)
class Agreement:
    """A whole offer, understood."""

    tracks: Sequence[AgreedTrack]
    remote: Transport
    session_id: str

    @property
    def bundle(self) -> list[Media]:
        """The m-lines in use."""
        return [track.media for track in self.tracks if not track.rejected]

    @property
    def passive(self) -> bool:
        """Whether the offerer insists on being the DTLS server."""
        return self.remote.setup == "passive"

    @property
    def reduced_size(self) -> bool:
        """Whether the offerer takes RTCP that is no compound (RFC 5506)."""
        return all(track.media.has("rtcp-rsize") for track in self.tracks if not track.rejected)

    def feedback(self, name: str) -> bool:
        """Whether any accepted codec has that rtcp-fb."""
        return any(name in each.feedback for track in self.tracks for each in track.formats)


def agree(
    offer: SessionDescription,
    sources: Mapping[str, Source],
    preference: Sequence[Kind] = DEFAULT_VIDEO_PREFERENCE,
) -> Agreement:
    """Decides about every m-line; SdpError when it cannot be used at all, or not for what `sources` (by mid) says."""
    for index, media in enumerate(offer.media):
        media.mid = media.mid or str(index)
    mids = [media.mid for media in offer.media]
    if len(set(mids)) != len(mids):
        raise SdpError("two m-lines have the same mid")
    for mid in sources:
        if mid not in mids:
            raise SdpError(f"no m-line has the mid {mid}")
    if len(set(sources.values())) != len(sources):
        raise SdpError("a source is named twice")
    tracks = [_agree_track(media, sources.get(media.mid), offer.bundle, preference) for media in offer.media]
    used = [track for track in tracks if not track.rejected]
    if not used:
        raise SdpError("no m-line of the offer can be used")
    if len(used) > 1 and not offer.bundle:
        raise SdpError("BUNDLE is required")
    return Agreement(tracks, remote_of(used[0].media), offer.session_id)


def remote_of(media: Media) -> Transport:
    """ICE and DTLS of an offered bundle, checked; SdpError."""
    remote = media.transport
    fingerprints = tuple(each for each in remote.fingerprints if each[0] in HASHES)
    if not remote.ufrag or not remote.password:
        raise SdpError("ICE credentials are missing")
    if not fingerprints:
        raise SdpError("a fingerprint of sha-256, sha-384 or sha-512 is required")
    if remote.setup == "holdconn":
        raise SdpError("a=setup:holdconn cannot be used")
    return Transport(remote.ufrag, remote.password, fingerprints, remote.setup)


def _agree_track(media: Media, source: Source | None, bundle: Sequence[str], preference: Sequence[Kind]) -> AgreedTrack:
    track = AgreedTrack(media)
    if (
        media.rejected
        or media.kind not in ("audio", "video")
        or media.protocol not in PROTOCOLS
        or (bundle and media.mid not in bundle)
        or len(media.mid.encode()) > MAX_MID_BYTES
    ):
        track.rejected = True
        return track
    sending = media.direction in ("sendonly", "sendrecv")
    audio = media.kind == "audio"
    track.formats = [
        format_of(kind, codec, rtx) for kind, codec, rtx in choose(media.codecs.values(), audio, preference)
    ]
    if source is not None and sending:
        if source.audio is not audio:
            raise SdpError(f"the m-line {media.mid} is {media.kind} and cannot be {source}")
        if not track.formats:
            raise SdpError(f"the m-line {media.mid} offers no codec this server forwards")
        track.source = source
    track.rejected = not track.formats
    if track.rejected:
        return track
    if not media.has("rtcp-mux"):
        raise SdpError("rtcp-mux is required")
    _agree_extensions(track)
    if track.source is not None and not audio:
        track.rids = _rids(media)
        track.formats = [each.told(_START) if "transport-cc" in each.feedback else each for each in track.formats]
    return track


def format_of(kind: Kind, codec: Codec, rtx: int | None) -> Format:
    """What we answer to an offered codec."""
    known = AUDIO_FEEDBACK if kind is Kind.OPUS else VIDEO_FEEDBACK
    feedback = tuple(each for each in known if each in codec.feedback)
    if "transport-cc" in feedback:
        feedback = tuple(each for each in feedback if each != "goog-remb")
    if kind is Kind.OPUS:
        parameters = _OPUS
    elif kind is Kind.VP8:
        parameters = ""
    else:  # the profile is part of the codec's name
        parameters = ";".join(f"{key}={value}" for key, value in codec.parameters.items())
    return Format(kind, codec.payload_type, codec.name, codec.clock_rate, codec.channels, parameters, feedback, rtx)


def _agree_extensions(track: AgreedTrack) -> None:
    wanted = AUDIO_EXTENSIONS if track.media.kind == "audio" else VIDEO_EXTENSIONS
    congestion = any("transport-cc" in each.feedback for each in track.formats)
    remb = any("goog-remb" in each.feedback for each in track.formats)
    taken: set[Extension] = set()
    for each in track.media.extensions:
        extension = EXTENSION_BY_URI.get(each.uri)
        if extension is None or extension in taken or each.direction in ("recvonly", "inactive"):
            continue
        if extension is Extension.TRANSPORT_SEQUENCE and not congestion:
            continue
        if extension is Extension.DEPENDENCY_DESCRIPTOR and track.formats[0].kind not in DESCRIBED_KINDS:
            continue
        if extension in wanted or (extension is Extension.ABS_SEND_TIME and remb):
            taken.add(extension)
            track.extensions[each.identifier] = (extension, _MIRROR[each.direction])


def _rids(media: Media) -> tuple[str, ...]:
    """The layers we take, in the publisher's order; without RID extension none can be told apart."""
    sent = [rid for rid, direction in media.rids.items() if direction == "send"]
    listed = [rid for rid in media.simulcast_send if rid in sent] or sent
    return tuple(rid for rid in dict.fromkeys(listed) if len(rid) <= MAX_RID_BYTES)


def answer(agreement: Agreement, local: LocalTransport, session_id: int, version: int) -> SessionDescription:
    """Our description: recvonly for what is published, inactive for what is not, port 0 for what we refuse."""
    mids = [media.mid for media in agreement.bundle]
    description = session(session_id, version, mids)
    setup = "active" if agreement.passive else "passive"
    for track in agreement.tracks:
        if track.rejected:
            media = refused(track.media)
        else:
            media = accepted(track.media, track.formats, local, setup, first=track.mid == mids[0])
            media.attributes += _track_lines(track)
        description.media.append(media)
    return description


def _track_lines(track: AgreedTrack) -> list[Line]:
    lines: list[Line] = [("inactive" if track.source is None else "recvonly", None)]
    for each in track.formats:
        lines += each.lines()
    for identifier, (extension, direction) in track.extensions.items():
        lines.append(extension_line(extension, identifier, direction))
    if track.rids:
        lines += [("rid", f"{rid} recv") for rid in track.rids]
        if track.media.simulcast_send:
            lines.append(("simulcast", f"recv {';'.join(track.rids)}"))
    return lines
