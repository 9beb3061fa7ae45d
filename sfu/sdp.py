"""Session descriptions as values: a parser that keeps every attribute line, and the printer.

RFC 8866 (SDP), 8829 (JSEP), 8843 (BUNDLE), 8839 (ICE), 8842 (DTLS), 8851 (rid), 8853 (simulcast), 8285 (extmap),
5576 (ssrc), 4588 (RTX). `parse` reads all that the negotiation needs, so `SdpError` comes from `parse` alone, on any
text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

MAX_SDP_CHARACTERS = 262_144
MAX_LINES = 10_000
MAX_LINE_CHARACTERS = 4096
MAX_MEDIA = 256
MAX_CODECS = 128  # payload types are 7 bits
MAX_EXTENSIONS = 64  # of one media section
MAX_RIDS = 8
MAX_SSRCS = 64
MAX_FINGERPRINTS = 8

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
SETUPS = ("actpass", "active", "passive", "holdconn")

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`{|}~0-9A-Za-z]{1,64}")
_ICE = re.compile(r"[0-9A-Za-z+/]{4,256}")
_LOOSE_ICE = re.compile(r"[!-~]{4,256}")  # libwebrtc takes - _ = # too, and so do we from others
_RID = re.compile(r"[0-9A-Za-z_-]{1,255}")
_HEX = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){15,63}")
_MEDIA_LINE = re.compile(r"(\S{1,32}) ([0-9]{1,5})(?:/[0-9]{1,5})? (\S{1,64}) (\S.*)")
_NUMBER = re.compile(r"[0-9]{1,10}")


class SdpError(ValueError):
    """The text is no SDP, or not one this server can use; the message is fit to be shown to whoever sent it."""


@dataclass(slots=True)
class Codec:
    """One payload type of a media section."""

    payload_type: int
    name: str  # as written; compare with .lower()
    clock_rate: int
    channels: int = 1
    parameters: dict[str, str] = field(default_factory=dict)
    feedback: list[str] = field(default_factory=list)

    @property
    def repairs(self) -> int | None:
        """The payload type an RTX codec retransmits (its `apt`)."""
        value = self.parameters.get("apt", "") if self.name.lower() == "rtx" else ""
        return int(value) if _NUMBER.fullmatch(value) else None


@dataclass(frozen=True, slots=True)
class ExtensionMap:
    """a=extmap; `direction` is the offerer's view and "sendrecv" when not written."""

    identifier: int
    uri: str
    direction: str = "sendrecv"


@dataclass(frozen=True, slots=True)
class Transport:
    """ICE and DTLS of a section; absent parts are empty."""

    ufrag: str = ""
    password: str = ""
    fingerprints: tuple[tuple[str, str], ...] = ()  # (algorithm in lower case, "AB:CD:…" in upper case)
    setup: str = ""


@dataclass(slots=True)
class Media:
    """One m-line and what follows it. `attributes` are all a= lines in order, split at their first colon."""

    kind: str
    port: int
    protocol: str
    formats: list[str]
    attributes: list[tuple[str, str | None]] = field(default_factory=list)
    connection: str = "IN IP4 0.0.0.0"
    mid: str = ""
    direction: str = "sendrecv"
    transport: Transport = Transport()
    codecs: dict[int, Codec] = field(default_factory=dict)
    extensions: list[ExtensionMap] = field(default_factory=list)
    rids: dict[str, str] = field(default_factory=dict)  # rid -> "send" or "recv"
    simulcast_send: tuple[str, ...] = ()  # rids in the offerer's order, alternatives reduced to the first
    ssrcs: list[int] = field(default_factory=list)
    repairs: dict[int, int] = field(default_factory=dict)  # RTX SSRC -> media SSRC, from FID groups

    def has(self, name: str) -> bool:
        """Whether an attribute of that name is there."""
        return any(each == name for each, _ in self.attributes)

    @property
    def rejected(self) -> bool:
        """Port 0 without bundle-only: the section is not in use (RFC 8829 §5.3.1, 8843 §6)."""
        return self.port == 0 and not self.has("bundle-only")


@dataclass(slots=True)
class SessionDescription:
    """A whole description. `bundle` is the first BUNDLE group's mids."""

    origin: str = "- 0 0 IN IP4 0.0.0.0"
    attributes: list[tuple[str, str | None]] = field(default_factory=list)
    media: list[Media] = field(default_factory=list)
    bundle: tuple[str, ...] = ()

    @property
    def session_id(self) -> str:
        """The session id of the o= line."""
        return self.origin.split(" ")[1]

    def __str__(self) -> str:
        lines = ["v=0", f"o={self.origin}", "s=-", "t=0 0", *attribute_lines(self.attributes)]
        for media in self.media:
            lines.append(f"m={media.kind} {media.port} {media.protocol} {' '.join(media.formats)}")
            lines.append(f"c={media.connection}")
            lines += attribute_lines(media.attributes)
        return "\r\n".join(lines) + "\r\n"


def attribute_lines(attributes: Iterable[tuple[str, str | None]]) -> list[str]:
    """Attributes as a= lines."""
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]


def parse(text: str) -> SessionDescription:
    """Reads an offer or answer; SdpError on anything that is none, or past a bound."""
    lines = _lines(text)
    description = SessionDescription()
    if lines[0] != ("v", "0"):
        raise SdpError("the first line must be v=0")
    current: SessionDescription | Media = description
    for kind, value in lines[1:]:
        if kind == "m":
            current = _media_line(value)
            description.media.append(current)
            if len(description.media) > MAX_MEDIA:
                raise SdpError(f"more than {MAX_MEDIA} m-lines")
        elif kind == "a":
            name, colon, rest = value.partition(":")
            if not _TOKEN.fullmatch(name):
                raise SdpError("an attribute has no proper name")
            current.attributes.append((name, rest if colon else None))
        elif kind == "o" and current is description:
            if len(value.split(" ")) != 6:
                raise SdpError("the o= line must have six fields")
            description.origin = value
        elif kind == "c" and isinstance(current, Media):
            current.connection = value
    _read_session(description)
    return description


def _lines(text: str) -> list[tuple[str, str]]:
    if len(text) > MAX_SDP_CHARACTERS:
        raise SdpError(f"longer than {MAX_SDP_CHARACTERS} characters")
    rows = text.replace("\r\n", "\n").split("\n")
    while rows and not rows[-1].strip():
        rows.pop()
    if not rows:
        raise SdpError("empty")
    if len(rows) > MAX_LINES:
        raise SdpError(f"more than {MAX_LINES} lines")
    result = []
    for row in rows:
        if len(row) > MAX_LINE_CHARACTERS:
            raise SdpError(f"a line is longer than {MAX_LINE_CHARACTERS} characters")
        if len(row) < 2 or row[1] != "=" or not "a" <= row[0] <= "z" or not row.isprintable():
            raise SdpError("a line is not of the form x=value")
        result.append((row[0], row[2:]))
    return result


def _media_line(value: str) -> Media:
    match = _MEDIA_LINE.fullmatch(value)
    if not match or int(match[2]) > 65535:
        raise SdpError("an m= line is not of the form m=kind port protocol formats")
    formats = match[4].split()
    if len(formats) > MAX_CODECS or any(not _TOKEN.fullmatch(each) for each in formats):
        raise SdpError("an m= line has wrong formats")
    return Media(match[1], int(match[2]), match[3], formats)


def _read_session(description: SessionDescription) -> None:
    session = _transport(description.attributes, Transport())
    direction = _direction(description.attributes, "sendrecv")
    for name, value in description.attributes:
        if name == "group" and value and value.startswith("BUNDLE") and not description.bundle:
            description.bundle = tuple(value.split()[1:])
    mids: set[str] = set()
    for media in description.media:
        media.transport = _transport(media.attributes, session)
        media.direction = _direction(media.attributes, direction)
        _read_media(media)
        if media.mid:
            if media.mid in mids:
                raise SdpError(f"two m-lines have the mid {media.mid}")
            mids.add(media.mid)


def _direction(attributes: list[tuple[str, str | None]], default: str) -> str:
    return next((name for name, _ in attributes if name in DIRECTIONS), default)


def _transport(attributes: list[tuple[str, str | None]], default: Transport) -> Transport:
    ufrag, password, setup = default.ufrag, default.password, default.setup
    fingerprints: list[tuple[str, str]] = []
    for name, value in attributes:
        value = (value or "").strip()
        if name == "ice-ufrag":
            ufrag = _ice_text(value, 4)
        elif name == "ice-pwd":
            password = _ice_text(value, 22)
        elif name == "setup":
            if value not in SETUPS:
                raise SdpError("a=setup must be actpass, active, passive or holdconn")
            setup = value
        elif name == "fingerprint":
            algorithm, _, digest = value.partition(" ")
            if not _TOKEN.fullmatch(algorithm) or not _HEX.fullmatch(digest) or len(fingerprints) >= MAX_FINGERPRINTS:
                raise SdpError("a=fingerprint must be an algorithm and bytes in hexadecimal, at most eight times")
            fingerprints.append((algorithm.lower(), digest.upper()))
    return Transport(ufrag, password, tuple(fingerprints) or default.fingerprints, setup)


def _ice_text(value: str, least: int) -> str:
    if len(value) < least or not (_ICE.fullmatch(value) or _LOOSE_ICE.fullmatch(value)) or ":" in value:
        raise SdpError("a=ice-ufrag or a=ice-pwd is not of 4 (22) to 256 ICE characters")
    return value


def _number(text: str, most: int, what: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > most:
        raise SdpError(f"{what} is not a number up to {most}")
    return int(text)


def _read_media(media: Media) -> None:
    for name, value in media.attributes:
        if reader := _READERS.get(name):
            reader(media, (value or "").strip())
            if len(media.ssrcs) > MAX_SSRCS or len(media.repairs) > MAX_SSRCS or len(media.extensions) > MAX_EXTENSIONS:
                raise SdpError(f"an m-line has more than {MAX_SSRCS} a=ssrc or {MAX_EXTENSIONS} a=extmap")
    for name, value in media.attributes:
        if name in ("fmtp", "rtcp-fb"):  # a second pass: Firefox writes a=fmtp before a=rtpmap
            _read_format(media, name, value or "")


def _read_mid(media: Media, value: str) -> None:
    if not _TOKEN.fullmatch(value):
        raise SdpError("a=mid is not a token of 1 to 64 characters")
    media.mid = value


def _read_rtpmap(media: Media, value: str) -> None:
    number, _, encoding = value.partition(" ")
    name, _, rest = encoding.strip().partition("/")
    rate, _, channels = rest.partition("/")
    payload_type = _number(number, 127, "the payload type of a=rtpmap")
    if not _TOKEN.fullmatch(name) or str(payload_type) not in media.formats:
        raise SdpError("a=rtpmap has no name, or its payload type is not in the m= line")
    clock_rate = _number(rate, 1_000_000_000, "the clock rate of a=rtpmap")
    media.codecs[payload_type] = Codec(
        payload_type, name, clock_rate, _number(channels, 255, "the channels of a=rtpmap") if channels else 1
    )


def _read_format(media: Media, name: str, value: str) -> None:
    number, _, rest = value.partition(" ")
    if number == "*" and name == "rtcp-fb":
        codecs = list(media.codecs.values())
    elif _NUMBER.fullmatch(number) and int(number) in media.codecs:
        codecs = [media.codecs[int(number)]]
    else:
        return  # data channels and static payload types have a=fmtp without a=rtpmap
    for codec in codecs:
        if name == "rtcp-fb":
            if len(codec.feedback) < 32:
                codec.feedback.append(rest.strip())
            continue
        for part in rest.split(";"):
            key, _, content = part.strip().partition("=")
            if key and len(codec.parameters) < 64:
                codec.parameters[key.lower()] = content.strip()


def _read_extension(media: Media, value: str) -> None:
    fields = value.split()
    number, _, direction = fields[0].partition("/") if fields else ("", "", "")
    if len(fields) < 2 or (direction and direction not in DIRECTIONS):
        raise SdpError("a=extmap is not of the form id[/direction] uri")
    identifier = _number(number, 255, "the id of a=extmap")
    if identifier == 0:
        raise SdpError("the id of a=extmap is 0")
    media.extensions.append(ExtensionMap(identifier, fields[1], direction or "sendrecv"))


def _read_rid(media: Media, value: str) -> None:
    fields = value.split(" ")
    if len(fields) < 2 or not _RID.fullmatch(fields[0]) or fields[1] not in ("send", "recv"):
        raise SdpError("a=rid is not of the form id send|recv")
    media.rids[fields[0]] = fields[1]
    if len(media.rids) > MAX_RIDS:
        raise SdpError(f"more than {MAX_RIDS} a=rid in one m-line")


def _read_simulcast(media: Media, value: str) -> None:
    """Keeps the send list; a leading ~ (paused) is dropped, of alternatives (a,b) the first is taken."""
    fields = value.split(" ")
    for direction, streams in zip(fields[::2], fields[1::2], strict=False):
        if direction == "send":
            rids = tuple(each.split(",")[0].lstrip("~") for each in streams.split(";"))
            if len(rids) > MAX_RIDS or any(not _RID.fullmatch(rid) for rid in rids):
                raise SdpError("a=simulcast has a wrong list of rids")
            media.simulcast_send = rids


def _read_ssrc(media: Media, value: str) -> None:
    ssrc = _number(value.split(" ")[0], 0xFFFFFFFF, "a=ssrc")
    if ssrc not in media.ssrcs:
        media.ssrcs.append(ssrc)


def _read_group(media: Media, value: str) -> None:
    semantics, *members = value.split() or [""]
    numbers = [_number(each, 0xFFFFFFFF, "a=ssrc-group") for each in members]
    if semantics == "FID" and len(numbers) == 2:
        media.repairs[numbers[1]] = numbers[0]


_READERS: dict[str, Callable[[Media, str], None]] = {
    "mid": _read_mid,
    "rtpmap": _read_rtpmap,
    "extmap": _read_extension,
    "rid": _read_rid,
    "simulcast": _read_simulcast,
    "ssrc": _read_ssrc,
    "ssrc-group": _read_group,
}
