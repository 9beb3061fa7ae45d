"""STUN messages as bytes: RFC 8489 with the attributes of TURN (8656), ICE (8445), TURN-TCP (6062) and mobility (8016).

Pure functions and one immutable value; no state. Attributes are an ordered list of raw values because CreatePermission
repeats XOR-PEER-ADDRESS; the codecs of single values are in `wire.stun_values` and exported here.
`StunError` is the only error any bytes can cause, whether given to `parse` or to a `decode_…` function.
"""

from __future__ import annotations

import hmac
import struct
import zlib
from collections.abc import Iterable, Mapping, Set
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from wire.stun_values import *  # noqa: F403 - what it exports is this module's face too
from wire.stun_values import MAGIC_COOKIE, StunError

HEADER_BYTES = 20
TRANSACTION_ID_BYTES = 12
FINGERPRINT_XOR = 0x5354554E
MAX_ATTRIBUTES = 128  # a CreatePermission of 1500 bytes has room for 110 peers
KEY_CACHE = 1024  # keys used last, made ready for HMAC
SHA1_BYTES = 20
SHA256_BYTES = 32
MIN_SHA256_BYTES = 16  # RFC 8489 §14.6: the shortest truncation a usage may allow


class Method(IntEnum):
    """STUN methods of RFC 8489, 8656 and 6062."""

    BINDING = 1
    ALLOCATE = 3
    REFRESH = 4
    SEND = 6
    DATA = 7
    CREATE_PERMISSION = 8
    CHANNEL_BIND = 9
    CONNECT = 10
    CONNECTION_BIND = 11
    CONNECTION_ATTEMPT = 12


class MessageClass(IntEnum):
    """The two class bits of a message type."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Attribute(IntEnum):
    """Attribute types; those below 0x8000 must be understood by the receiver."""

    MAPPED_ADDRESS = 0x0001
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_ADDRESS_FAMILY = 0x0017
    EVEN_PORT = 0x0018
    REQUESTED_TRANSPORT = 0x0019
    DONT_FRAGMENT = 0x001A
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    PASSWORD_ALGORITHM = 0x001D
    USERHASH = 0x001E
    XOR_MAPPED_ADDRESS = 0x0020
    RESERVATION_TOKEN = 0x0022
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    CONNECTION_ID = 0x002A
    ADDITIONAL_ADDRESS_FAMILY = 0x8000
    ADDRESS_ERROR_CODE = 0x8001
    PASSWORD_ALGORITHMS = 0x8002
    ALTERNATE_DOMAIN = 0x8003
    ICMP = 0x8004
    SOFTWARE = 0x8022
    ALTERNATE_SERVER = 0x8023
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A
    MOBILITY_TICKET = 0x8030


KNOWN_REQUIRED: frozenset[int] = frozenset(int(a) for a in Attribute if a < 0x8000)

_INTEGRITY = int(Attribute.MESSAGE_INTEGRITY)
_INTEGRITY_SHA256 = int(Attribute.MESSAGE_INTEGRITY_SHA256)
_FINGERPRINT = int(Attribute.FINGERPRINT)
_TRAILERS = frozenset((_INTEGRITY, _INTEGRITY_SHA256, _FINGERPRINT))
_CLASSES = tuple(MessageClass)
_HEADER = struct.Struct("!HHI12s")
_PAIR = struct.Struct("!HH")
_U16 = struct.Struct("!H")
_U32 = struct.Struct("!I")
_SHA1_HEAD = _PAIR.pack(_INTEGRITY, SHA1_BYTES)
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class Message(NamedTuple):
    """A parsed message. `attributes` are (type, raw value) in order, without integrities and FINGERPRINT.

    What follows an integrity is not in `attributes` (RFC 8489 §14.5, 14.6). `unknown_required` lists each
    comprehension-required type we do not know once, in order: the value of a 420 answer.
    """

    method: int
    message_class: MessageClass
    transaction_id: bytes
    attributes: list[tuple[int, bytes]]
    unknown_required: tuple[int, ...] = ()
    values: Mapping[int, bytes] = {}
    """The first value of each attribute; duplicates are ignored as RFC 8489 §14 asks."""
    data: bytes = b""
    integrity_at: int = 0  # offsets of the attribute headers in `data`; 0: absent
    integrity_sha256_at: int = 0
    fingerprint_at: int = 0

    def get(self, kind: int) -> bytes | None:
        """The first value of this attribute."""
        return self.values.get(kind)

    def all(self, kind: int) -> list[bytes]:
        """Every value of this attribute, in order."""
        return [value for each, value in self.attributes if each == kind]

    @property
    def has_integrity(self) -> bool:
        """Whether MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 is there (not whether it is right)."""
        return bool(self.integrity_at or self.integrity_sha256_at)

    @property
    def has_fingerprint(self) -> bool:
        """Whether FINGERPRINT is there (not whether it is right)."""
        return bool(self.fingerprint_at)


def parse(data: bytes, known: Set[int] = KNOWN_REQUIRED) -> Message:
    """Reads one whole message; `known` are the comprehension-required types the caller can handle.

    Raises StunError on anything else: no cookie, a wrong length, more than MAX_ATTRIBUTES, FINGERPRINT not last.
    """
    size = len(data)
    if size < HEADER_BYTES:
        raise StunError("shorter than a STUN header")
    kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
    if kind & 0xC000 or cookie != MAGIC_COOKIE:
        raise StunError("not a STUN message")
    if length & 3 or length + HEADER_BYTES != size:
        raise StunError("wrong message length")
    attributes, unknown, values, integrity_at, sha256_at, fingerprint_at = _attributes(data, known)
    return Message(
        (kind & 0x000F) | (kind & 0x00E0) >> 1 | (kind & 0x3E00) >> 2,
        _CLASSES[(kind & 0x0010) >> 4 | (kind & 0x0100) >> 7],
        transaction_id,
        attributes,
        tuple(unknown),
        values,
        data,
        integrity_at,
        sha256_at,
        fingerprint_at,
    )


def _attributes(
    data: bytes, known: Set[int]
) -> tuple[list[tuple[int, bytes]], Iterable[int], dict[int, bytes], int, int, int]:
    """(attributes before the integrity, unknown required types, first values, offsets of MI, MI-SHA256 and the CRC)."""
    values: dict[int, bytes] = {}
    attributes: list[tuple[int, bytes]] = []
    unknown: dict[int, None] = {}
    position, size = HEADER_BYTES, len(data)
    while position < size:
        kind, length = _PAIR.unpack_from(data, position)
        if kind in _TRAILERS:
            break
        end = position + 4 + length
        if end > size:
            raise StunError("an attribute reaches past the message")
        value = data[position + 4 : end]
        attributes.append((kind, value))
        values.setdefault(kind, value)
        if kind < 0x8000 and kind not in known:
            unknown[kind] = None
        position = (end + 3) & ~3
    if len(attributes) > MAX_ATTRIBUTES:
        raise StunError("too many attributes")
    return attributes, unknown, values, *_trailers(data, position)


def _trailers(data: bytes, position: int) -> tuple[int, int, int]:
    """Offsets of MI, MI-SHA256 and FINGERPRINT; everything else from `position` on is passed over."""
    if position >= len(data):
        return 0, 0, 0
    found = {_INTEGRITY: 0, _INTEGRITY_SHA256: 0, _FINGERPRINT: 0}
    size, count = len(data), 0
    while position < size:
        kind, length = _PAIR.unpack_from(data, position)
        end = position + 4 + length
        count += 1
        if end > size or count > MAX_ATTRIBUTES:
            raise StunError("an attribute reaches past the message, or too many attributes")
        if kind in found and not found[kind]:
            _check_trailer(kind, length, last=end == size)
            if kind != _INTEGRITY or not found[_INTEGRITY_SHA256]:  # MI behind MI-SHA256 is ignored, §14.6
                found[kind] = position
        position = (end + 3) & ~3
    return found[_INTEGRITY], found[_INTEGRITY_SHA256], found[_FINGERPRINT]


def _check_trailer(kind: int, length: int, *, last: bool) -> None:
    if kind == _INTEGRITY:
        right = length == SHA1_BYTES
    elif kind == _INTEGRITY_SHA256:
        right = MIN_SHA256_BYTES <= length <= SHA256_BYTES and not length & 3
    else:
        right = last and length == 4
    if not right:
        raise StunError("an integrity or FINGERPRINT has a wrong length, or FINGERPRINT is not last")


def verify_integrity(message: Message, key: bytes, *, min_sha256_bytes: int = SHA256_BYTES) -> bool:
    """Whether the message was made with `key`, in constant time. MI-SHA256 decides when both integrities are there.

    A usage that allows truncated MI-SHA256 says how short it may be (16 to 28 bytes, RFC 8489 §14.6); TURN and ICE
    allow none.
    """
    data = message.data
    at = message.integrity_sha256_at
    if at:
        size = _U16.unpack_from(data, at + 2)[0]
        if size < max(min_sha256_bytes, MIN_SHA256_BYTES):
            return False
        algorithm = "sha256"
    elif message.integrity_at:
        at, size, algorithm = message.integrity_at, SHA1_BYTES, "sha1"
    else:
        return False
    end = at + 4 + size
    covered = data[:at] if end == len(data) else b"%b%b%b" % (data[:2], _U16.pack(end - HEADER_BYTES), data[4:at])
    return hmac.compare_digest(_mac(key, covered, algorithm)[:size], data[at + 4 : at + 4 + size])


@lru_cache(maxsize=KEY_CACHE)
def _keyed(key: bytes, algorithm: str) -> hmac.HMAC:
    return hmac.new(key, digestmod=algorithm)


def _mac(key: bytes, covered: bytes, algorithm: str) -> bytes:
    mac = _keyed(key, algorithm).copy()
    mac.update(covered)
    return mac.digest()


def verify_fingerprint(message: Message) -> bool:
    """Whether FINGERPRINT is there and right (RFC 8489 §14.7)."""
    at = message.fingerprint_at
    if not at:
        return False
    return bool(zlib.crc32(message.data[:at]) ^ FINGERPRINT_XOR == _U32.unpack_from(message.data, at + 4)[0])


def encode(
    method: int,
    message_class: int,
    transaction_id: bytes,
    attributes: Iterable[tuple[int, bytes]] = (),
    *,
    key: bytes | None = None,
    sha256: bool = False,
    fingerprint: bool = False,
) -> bytes:
    """One message with zero padding; `key` adds MESSAGE-INTEGRITY, or MESSAGE-INTEGRITY-SHA256 when `sha256`."""
    if len(transaction_id) != TRANSACTION_ID_BYTES:
        raise StunError("a transaction id is 12 bytes")
    parts: list[bytes] = []
    for kind, value in attributes:
        size = len(value)
        if size > 0xFFFF:
            raise StunError("an attribute value is longer than 65535 bytes")
        parts += (_PAIR.pack(kind, size), value, _PADDING[size & 3])
    body = b"".join(parts)
    if len(body) > 0xFF00:
        raise StunError("the message is too long")
    kind = (method & 0x0F) | (method & 0x70) << 1 | (method & 0xF80) << 2
    kind |= (message_class & 1) << 4 | (message_class & 2) << 7
    length = len(body)
    if key is not None:
        length += 4 + (SHA256_BYTES if sha256 else SHA1_BYTES)
    data = _HEADER.pack(kind, length, MAGIC_COOKIE, transaction_id) + body
    if key is not None:
        data = _with_integrity(data, key, sha256, SHA256_BYTES)
    return append_fingerprint(data) if fingerprint else data


def append_integrity(data: bytes, key: bytes, *, sha256: bool = False, size: int = SHA256_BYTES) -> bytes:
    """`data`, a whole message, with an integrity behind it; `size` truncates MI-SHA256."""
    length = len(data) + 4 + (size if sha256 else SHA1_BYTES) - HEADER_BYTES
    return _with_integrity(b"%b%b%b" % (data[:2], _U16.pack(length), data[4:]), key, sha256, size)


def _with_integrity(covered: bytes, key: bytes, sha256: bool, size: int) -> bytes:
    """`covered`, whose length field counts the integrity already, with it."""
    if sha256:
        return covered + _PAIR.pack(_INTEGRITY_SHA256, size) + _mac(key, covered, "sha256")[:size]
    return covered + _SHA1_HEAD + _mac(key, covered, "sha1")


def append_fingerprint(data: bytes) -> bytes:
    """`data`, a whole message, with FINGERPRINT behind it; nothing may be appended after it."""
    covered = b"%b%b%b" % (data[:2], _U16.pack(len(data) + 8 - HEADER_BYTES), data[4:])
    return covered + b"\x80\x28\x00\x04" + _U32.pack(zlib.crc32(covered) ^ FINGERPRINT_XOR)
