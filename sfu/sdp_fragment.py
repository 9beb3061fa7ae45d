"""The bodies of WHIP's and WHEP's PATCH requests and of the answers to them: ICE alone, out of a session description.

RFC 8840 §9 (application/trickle-ice-sdpfrag), RFC 9725 §4.3. Candidates are looked at, not kept: a lite agent learns
from checks where its peer is. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sfu.description import LocalTransport, candidate_lines
from sfu.formats import Line
from sfu.sdp import Media, SdpError, attribute_lines, parse

MAX_CANDIDATES = 128

# RFC 8839 §5.1: foundation, component, transport, priority, address, port, type; what follows is the client's.
_CANDIDATE = re.compile(r"[0-9A-Za-z+/]{1,32} [0-9]{1,5} \S{1,16} [0-9]{1,10} \S{1,253} [0-9]{1,5} typ \S{1,32}( .*)?")


@dataclass(frozen=True, slots=True)
class IceFragment:
    """What a client says about its ICE; empty texts where it says nothing."""

    ufrag: str
    password: str
    candidates: int


def parse_fragment(text: str) -> IceFragment:
    """Reads a fragment; SdpError on anything that is none, or past a bound."""
    description = parse("v=0\r\n" + text)
    transports = [media.transport for media in description.media if media.transport.ufrag or media.transport.password]
    sections = [description.attributes, *(media.attributes for media in description.media)]
    lines = [(name, (value or "").strip()) for section in sections for name, value in section]
    values = dict(reversed(lines))
    ufrag, password = values.get("ice-ufrag", ""), values.get("ice-pwd", "")
    if any((each.ufrag, each.password) != (ufrag, password) for each in transports):
        raise SdpError("m-lines of one bundle have different ICE credentials")
    if bool(ufrag) != bool(password):
        raise SdpError("a=ice-ufrag and a=ice-pwd come together")
    candidates = [value for name, value in lines if name == "candidate"]
    if len(candidates) > MAX_CANDIDATES:
        raise SdpError(f"more than {MAX_CANDIDATES} candidates")
    if not all(_CANDIDATE.fullmatch(each) for each in candidates):
        raise SdpError("an a=candidate is not of the form of RFC 8839")
    if not (ufrag or candidates or "end-of-candidates" in values):
        raise SdpError("neither credentials nor candidates")
    return IceFragment(ufrag, password, len(candidates))


def fragment_text(local: LocalTransport, bundle: Sequence[Media]) -> str:
    """Our end after a restart; `bundle` are the m-lines in use, of which the first carries the transport."""
    session: list[Line] = [
        ("ice-lite", None),
        ("group", " ".join(("BUNDLE", *(media.mid for media in bundle)))),
        ("ice-ufrag", local.credentials.ufrag),
        ("ice-pwd", local.credentials.password),
    ]
    first = bundle[0]
    media: list[Line] = [("mid", first.mid), *candidate_lines(local.addresses, local.port)]
    m_line = f"m={first.kind} 9 {first.protocol} {' '.join(first.formats)}"
    return "\r\n".join([*attribute_lines(session), m_line, *attribute_lines(media)]) + "\r\n"
