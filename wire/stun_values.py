"""STUN attribute values and keys: one `encode_…`/`decode_…` pair for each kind of value of RFC 8489, 8656, 8445, 6062.

Pure functions; `wire.stun` exports all of it. `StunError` is the only error any bytes can cause. All is network order.

Strings that become keys go through OpaqueString (RFC 8265 §4.2): non-ASCII spaces become U+0020, then NFC.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import unicodedata
from collections.abc import Iterable
from enum import IntEnum, IntFlag
from functools import lru_cache
from ipaddress import IPv6Address

__all__ = [
    "MAGIC_COOKIE",
    "MAX_CHANNEL",
    "MAX_TEXT_BYTES",
    "MAX_USERNAME_BYTES",
    "MIN_CHANNEL",
    "NONCE_COOKIE",
    "REASONS",
    "Address",
    "Family",
    "PasswordAlgorithm",
    "SecurityFeature",
    "StunError",
    "decode_address",
    "decode_address_error",
    "decode_channel",
    "decode_connection_id",
    "decode_error",
    "decode_even_port",
    "decode_family",
    "decode_flag",
    "decode_icmp",
    "decode_lifetime",
    "decode_password_algorithm",
    "decode_password_algorithms",
    "decode_priority",
    "decode_reservation_token",
    "decode_text",
    "decode_tie_breaker",
    "decode_transport",
    "decode_u32",
    "decode_u64",
    "decode_unknown_attributes",
    "decode_xor_address",
    "encode_address",
    "encode_address_error",
    "encode_channel",
    "encode_connection_id",
    "encode_error",
    "encode_even_port",
    "encode_family",
    "encode_icmp",
    "encode_lifetime",
    "encode_nonce",
    "encode_password_algorithms",
    "encode_priority",
    "encode_tie_breaker",
    "encode_transport",
    "encode_u32",
    "encode_u64",
    "encode_unknown_attributes",
    "encode_xor_address",
    "long_term_key",
    "long_term_key_sha256",
    "nonce_features",
    "opaque_string",
    "short_term_key",
    "userhash",
]

Address = tuple[str, int]

MAGIC_COOKIE = 0x2112A442
MAX_USERNAME_BYTES = 508  # RFC 8489 §14.3: fewer than 509
MAX_TEXT_BYTES = 763  # REALM, NONCE, SOFTWARE, reason phrases: fewer than 128 characters, §14.8-14.10, 14.14
MIN_CHANNEL = 0x4000  # RFC 8656 §12
MAX_CHANNEL = 0x4FFF
NONCE_COOKIE = b"obMatJos2"  # RFC 8489 §9.2: a nonce that begins so carries security features

_PAIR = struct.Struct("!HH")
_U16 = struct.Struct("!H")
_U32 = struct.Struct("!I")
_U64 = struct.Struct("!Q")
_ADDRESS = struct.Struct("!xBH")
_IPV4_ADDRESS = struct.Struct("!xBHI")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
_COOKIE_BYTES = _U32.pack(MAGIC_COOKIE)


class StunError(ValueError):
    """The bytes are not a STUN message or attribute value (or, when encoding, the values cannot become one)."""


class Family(IntEnum):
    """Address families as they stand in address and family attributes."""

    IPV4 = 1
    IPV6 = 2


class PasswordAlgorithm(IntEnum):
    """RFC 8489 §18.5."""

    MD5 = 1
    SHA256 = 2


class SecurityFeature(IntFlag):
    """The 24 bits behind the nonce cookie; bit 0 is the leftmost (RFC 8489 §18.1)."""

    PASSWORD_ALGORITHMS = 1 << 23
    USERNAME_ANONYMITY = 1 << 22


REASONS = {
    300: b"Try Alternate",
    400: b"Bad Request",
    401: b"Unauthenticated",
    403: b"Forbidden",
    405: b"Mobility Forbidden",
    420: b"Unknown Attribute",
    437: b"Allocation Mismatch",
    438: b"Stale Nonce",
    440: b"Address Family not Supported",
    441: b"Wrong Credentials",
    442: b"Unsupported Transport Protocol",
    443: b"Peer Address Family Mismatch",
    446: b"Connection Already Exists",
    447: b"Connection Timeout or Failure",
    486: b"Allocation Quota Reached",
    487: b"Role Conflict",
    500: b"Server Error",
    508: b"Insufficient Capacity",
}


# Addresses (RFC 8489 §14.1, 14.2).


@lru_cache(maxsize=1024)
def _pack_host(host: str) -> bytes:
    try:
        if ":" in host:
            return IPv6Address(host.partition("%")[0]).packed
        packed = bytes(map(int, host.split(".")))
    except ValueError as error:
        raise StunError(f"not an IP address: {host!r}") from error
    if len(packed) != 4:
        raise StunError(f"not an IP address: {host!r}")
    return packed


@lru_cache(maxsize=1024)
def _unpack_host(packed: bytes) -> str:
    if len(packed) == 4:
        return ".".join(map(str, packed))
    return IPv6Address(packed).compressed


def _mask(packed: bytes, transaction_id: bytes) -> bytes:
    size = len(packed)
    pad = (_COOKIE_BYTES + transaction_id)[:size]
    return (int.from_bytes(packed, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


def _split_address(value: bytes) -> tuple[int, bytes]:
    """(port, address bytes) as they stand in the value."""
    if len(value) in (8, 20):
        family, port = _ADDRESS.unpack_from(value)
        if family == (Family.IPV4 if len(value) == 8 else Family.IPV6):
            return port, value[4:]
    raise StunError("not an address attribute")


def encode_address(address: Address) -> bytes:
    """MAPPED-ADDRESS and ALTERNATE-SERVER."""
    packed = _pack_host(address[0])
    return _ADDRESS.pack(Family.IPV4 if len(packed) == 4 else Family.IPV6, address[1]) + packed


def decode_address(value: bytes) -> Address:
    """The inverse of `encode_address`."""
    port, packed = _split_address(value)
    return _unpack_host(packed), port


def encode_xor_address(address: Address, transaction_id: bytes) -> bytes:
    """XOR-MAPPED-ADDRESS, XOR-PEER-ADDRESS and XOR-RELAYED-ADDRESS."""
    packed = _pack_host(address[0])
    if len(packed) == 4:
        return _IPV4_ADDRESS.pack(1, address[1] ^ 0x2112, int.from_bytes(packed, "big") ^ MAGIC_COOKIE)
    return _ADDRESS.pack(Family.IPV6, address[1] ^ 0x2112) + _mask(packed, transaction_id)


def decode_xor_address(value: bytes, transaction_id: bytes) -> Address:
    """The inverse of `encode_xor_address`. IPv4-mapped IPv6 stays IPv6 text: the peer policy must look through it."""
    port, packed = _split_address(value)
    return _unpack_host(_mask(packed, transaction_id)), port ^ 0x2112


# Numbers. PRIORITY, LIFETIME and CONNECTION-ID are u32; ICE-CONTROLLED and ICE-CONTROLLING are u64.


def encode_u32(value: int) -> bytes:
    """Four bytes."""
    return _U32.pack(value)


def decode_u32(value: bytes) -> int:
    """The inverse of `encode_u32`."""
    if len(value) != 4:
        raise StunError("not a 32-bit attribute")
    return int.from_bytes(value, "big")


def encode_u64(value: int) -> bytes:
    """Eight bytes."""
    return _U64.pack(value)


def decode_u64(value: bytes) -> int:
    """The inverse of `encode_u64`."""
    if len(value) != 8:
        raise StunError("not a 64-bit attribute")
    return int.from_bytes(value, "big")


encode_lifetime = encode_priority = encode_connection_id = encode_u32
decode_lifetime = decode_priority = decode_connection_id = decode_u32
encode_tie_breaker = encode_u64
decode_tie_breaker = decode_u64


def encode_channel(number: int) -> bytes:
    """CHANNEL-NUMBER: two bytes and two of RFFU."""
    return _PAIR.pack(number, 0)


def decode_channel(value: bytes) -> int:
    """Any 16-bit number; the range MIN_CHANNEL…MAX_CHANNEL is the handler's to check."""
    return decode_u32(value) >> 16


def encode_transport(protocol: int) -> bytes:
    """REQUESTED-TRANSPORT: an IP protocol number, 17 being UDP and 6 TCP."""
    return bytes((protocol, 0, 0, 0))


def decode_transport(value: bytes) -> int:
    """The inverse of `encode_transport`."""
    return decode_u32(value) >> 24


encode_family = encode_transport  # REQUESTED-ADDRESS-FAMILY, ADDITIONAL-ADDRESS-FAMILY: one byte, three reserved
decode_family = decode_transport  # any number: an unknown family is answered with 440, not 400


def encode_even_port(*, reserve_next: bool) -> bytes:
    """EVEN-PORT with its R bit."""
    return b"\x80" if reserve_next else b"\0"


def decode_even_port(value: bytes) -> bool:
    """Whether the next port is to be reserved."""
    if len(value) != 1:
        raise StunError("not an EVEN-PORT attribute")
    return value[0] >= 0x80


def decode_reservation_token(value: bytes) -> bytes:
    """Eight opaque bytes (the encoding is the token itself)."""
    if len(value) != 8:
        raise StunError("not a RESERVATION-TOKEN attribute")
    return value


def decode_flag(value: bytes) -> bool:
    """USE-CANDIDATE and DONT-FRAGMENT: present and empty."""
    if value:
        raise StunError("a flag attribute has a value")
    return True


# Errors and texts.


def encode_error(code: int, reason: bytes | None = None) -> bytes:
    """ERROR-CODE; without a reason the registered phrase is used."""
    if not 300 <= code <= 699:
        raise StunError("an error code is 300 to 699")
    if reason is None:
        reason = REASONS.get(code, b"")
    return bytes((0, 0, code // 100, code % 100)) + reason[:MAX_TEXT_BYTES]


def decode_error(value: bytes) -> tuple[int, str]:
    """(code, reason); a reason that is not UTF-8 is shown with replacement characters."""
    if len(value) < 4 or not 3 <= value[2] & 7 <= 6 or value[3] > 99 or len(value) > 4 + MAX_TEXT_BYTES:
        raise StunError("not an ERROR-CODE attribute")
    return (value[2] & 7) * 100 + value[3], value[4:].decode("utf-8", "replace")


def encode_address_error(family: int, code: int, reason: bytes | None = None) -> bytes:
    """ADDRESS-ERROR-CODE (RFC 8656 §18.12)."""
    return bytes((family,)) + encode_error(code, reason)[1:]


def decode_address_error(value: bytes) -> tuple[int, int, str]:
    """(family, code, reason)."""
    return (value[0] if value else 0, *decode_error(value))


def decode_text(value: bytes, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """USERNAME (with MAX_USERNAME_BYTES), REALM, NONCE, SOFTWARE, ALTERNATE-DOMAIN; the encoding is UTF-8."""
    if len(value) > max_bytes:
        raise StunError("a text attribute is too long")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise StunError("a text attribute is not UTF-8") from error


def encode_unknown_attributes(kinds: Iterable[int]) -> bytes:
    """UNKNOWN-ATTRIBUTES, the companion of a 420 error."""
    return b"".join(map(_U16.pack, kinds))


def decode_unknown_attributes(value: bytes) -> list[int]:
    """The inverse of `encode_unknown_attributes`."""
    if len(value) & 1:
        raise StunError("not an UNKNOWN-ATTRIBUTES attribute")
    return [number for (number,) in _U16.iter_unpack(value)]


def encode_icmp(icmp_type: int, code: int, error_data: int = 0) -> bytes:
    """ICMP (RFC 8656 §18.13): seven bits of type, nine of code, 32 of data (an MTU)."""
    return struct.pack("!HHI", 0, icmp_type << 9 | code, error_data)


def decode_icmp(value: bytes) -> tuple[int, int, int]:
    """(type, code, data)."""
    number = decode_u64(value)
    return number >> 41 & 0x7F, number >> 32 & 0x1FF, number & 0xFFFFFFFF


# Credentials (RFC 8489 §9, §14.4, §14.11, §14.12).


def encode_password_algorithms(algorithms: Iterable[tuple[int, bytes]]) -> bytes:
    """PASSWORD-ALGORITHMS: (algorithm, parameters) each; with one pair also the value of PASSWORD-ALGORITHM."""
    return b"".join(
        _PAIR.pack(algorithm, len(parameters)) + parameters + _PADDING[len(parameters) & 3]
        for algorithm, parameters in algorithms
    )


def decode_password_algorithms(value: bytes) -> list[tuple[int, bytes]]:
    """The inverse of `encode_password_algorithms`."""
    result, position, size = [], 0, len(value)
    while position < size:
        end = position + 4
        if end <= size:
            algorithm, length = _PAIR.unpack_from(value, position)
            end += length
        if end > size:
            raise StunError("not a PASSWORD-ALGORITHMS attribute")
        result.append((algorithm, value[position + 4 : end]))
        position = (end + 3) & ~3
    return result


def decode_password_algorithm(value: bytes) -> tuple[int, bytes]:
    """The one (algorithm, parameters) of PASSWORD-ALGORITHM."""
    algorithms = decode_password_algorithms(value)
    if len(algorithms) != 1:
        raise StunError("not a PASSWORD-ALGORITHM attribute")
    return algorithms[0]


def opaque_string(text: str) -> bytes:
    """UTF-8 of `text` as OpaqueString compares it; what that profile disallows is not refused here."""
    if text.isascii():
        return text.encode()
    spaced = "".join(" " if unicodedata.category(each) == "Zs" else each for each in text)
    return unicodedata.normalize("NFC", spaced).encode("utf-8", "replace")


def long_term_key(username: str, realm: str, password: str) -> bytes:
    """The key of the long-term mechanism with MD5, which is what RFC 5389 clients use."""
    joined = b":".join(map(opaque_string, (username, realm, password)))
    return hashlib.md5(joined, usedforsecurity=False).digest()


def long_term_key_sha256(username: str, realm: str, password: str) -> bytes:
    """The key of the long-term mechanism when PASSWORD-ALGORITHM is SHA-256."""
    return hashlib.sha256(b":".join(map(opaque_string, (username, realm, password)))).digest()


def short_term_key(password: str) -> bytes:
    """The key of the short-term mechanism, which ICE uses."""
    return opaque_string(password)


def userhash(username: str, realm: str) -> bytes:
    """USERHASH: 32 bytes that stand for the user name."""
    return hashlib.sha256(opaque_string(username) + b":" + opaque_string(realm)).digest()


def encode_nonce(features: int, unique: bytes) -> bytes:
    """A nonce that announces `features` (SecurityFeature) in front of `unique`, which is quotable ASCII."""
    return NONCE_COOKIE + base64.b64encode(features.to_bytes(3, "big")) + unique


def nonce_features(nonce: bytes) -> int | None:
    """The SecurityFeature bits a nonce announces; None when it has no cookie and is a plain RFC 5389 nonce."""
    start = len(NONCE_COOKIE)
    if not nonce.startswith(NONCE_COOKIE) or len(nonce) < start + 4:
        return None
    try:
        return int.from_bytes(binascii.a2b_base64(nonce[start : start + 4], strict_mode=True), "big")
    except binascii.Error:
        return None
