"""What a datagram is by its first byte: RFC 7983 as updated by RFC 9443, and RTCP apart from RTP by RFC 5761.

Pure functions. The compiled packet paths hold the same table in C; this is the plain model of it.
"""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """The classes of RFC 9443 §2; `OTHER` is what must be dropped."""

    STUN = "stun"
    ZRTP = "zrtp"
    DTLS = "dtls"
    CHANNEL = "channel"
    QUIC = "quic"
    MEDIA = "media"
    OTHER = "other"


RTCP_TYPES = range(192, 224)  # RFC 5761 §4: payload types 64 to 95 with the marker bit are never used by RTP

_RANGES = (
    (range(4), Kind.STUN),
    (range(16, 20), Kind.ZRTP),
    (range(20, 64), Kind.DTLS),
    (range(64, 80), Kind.CHANNEL),  # the rest of 64-127 and 192-255 is QUIC
    (range(80, 128), Kind.QUIC),
    (range(128, 192), Kind.MEDIA),
    (range(192, 256), Kind.QUIC),
)
_KINDS = tuple(next((kind for span, kind in _RANGES if byte in span), Kind.OTHER) for byte in range(256))


def classify(data: bytes) -> Kind:
    """The class of a datagram; an empty one is `OTHER`."""
    return _KINDS[data[0]] if data else Kind.OTHER


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram of `Kind.MEDIA` is RTCP (true also when it is encrypted: the header is not)."""
    return len(data) > 1 and data[1] in RTCP_TYPES
