"""What every description of ours says about its transport: candidates, ICE-lite credentials, fingerprint.

RFC 8839 (ICE in SDP), 8445 §5.1.2 (priorities), 8842 (DTLS). Pure functions.
"""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sfu.formats import Format, Line
from sfu.ice_lite import Credentials
from sfu.sdp import Media, SessionDescription

MAX_CANDIDATES = 16
_HOST_PREFERENCE = 126  # RFC 8445 §5.1.2.2


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """Our end of a connection as it is announced; `addresses` best first."""

    credentials: Credentials
    fingerprint: str  # "sha-256 AB:CD:…"
    addresses: Sequence[str]
    port: int


def nearest_first(addresses: Iterable[str], named: Collection[str], client: str) -> list[str]:
    """For a client that tries the first candidate only: IPv4, as it `named` us itself, on its side of the NAT."""
    outside = ipaddress.ip_address(client).is_global
    return sorted(
        addresses, key=lambda each: (":" in each, each not in named, ipaddress.ip_address(each).is_global != outside)
    )


def candidate_lines(addresses: Sequence[str], port: int) -> list[Line]:
    """Host candidates, UDP, the first with the highest priority; then end-of-candidates: nothing is trickled."""
    lines: list[Line] = []
    for index, address in enumerate(dict.fromkeys(addresses[:MAX_CANDIDATES])):
        foundation = zlib.crc32(f"host udp {address}".encode())
        priority = _HOST_PREFERENCE << 24 | 65535 - index << 8 | 255
        lines.append(("candidate", f"{foundation} 1 udp {priority} {address} {port} typ host"))
    lines.append(("end-of-candidates", None))
    return lines


def transport_lines(local: LocalTransport, setup: str, *, candidates: bool) -> list[Line]:
    """ICE and DTLS lines of one m-line."""
    lines: list[Line] = [
        ("ice-ufrag", local.credentials.ufrag),
        ("ice-pwd", local.credentials.password),
        ("fingerprint", local.fingerprint),
        ("setup", setup),
    ]
    return lines + candidate_lines(local.addresses, local.port) if candidates else lines


def session(session_id: int, version: int, mids: Sequence[str]) -> SessionDescription:
    """The part before the first m-line."""
    attributes: list[Line] = [("ice-lite", None), ("extmap-allow-mixed", None), ("msid-semantic", "WMS *")]
    if mids:
        attributes.insert(0, ("group", " ".join(("BUNDLE", *mids))))
    return SessionDescription(f"- {session_id} {version} IN IP4 0.0.0.0", attributes, [], tuple(mids))


def place(media: Media, local: LocalTransport) -> None:
    """Writes the default candidate into the m= and c= lines, for clients that look there."""
    media.port = local.port
    if local.addresses:
        family = "IP6" if ":" in local.addresses[0] else "IP4"
        media.connection = f"IN {family} {local.addresses[0]}"


def accepted(offered: Media, formats: Sequence[Format], local: LocalTransport, setup: str, *, first: bool) -> Media:
    """Our answer to an m-line, as far as its transport; the `first` of the bundle has the candidates."""
    numbers = [str(each) for one in formats for each in (one.payload_type, one.rtx) if each is not None]
    media = Media(offered.kind, 0, offered.protocol, numbers)
    media.attributes.append(("mid", offered.mid))
    place(media, local)
    media.attributes += transport_lines(local, setup, candidates=first)
    media.attributes.append(("rtcp-mux", None))
    if offered.has("rtcp-rsize"):
        media.attributes.append(("rtcp-rsize", None))
    return media


def refused(offered: Media) -> Media:
    """Our answer to an m-line that is not used: port 0 (RFC 8829 §5.3.1)."""
    return Media(offered.kind, 0, offered.protocol, offered.formats, [("mid", offered.mid), ("inactive", None)])
