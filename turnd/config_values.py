"""Readers of single configuration values: each takes what TOML gave; returns the typed value or raises `RefusedError`.

The message of `RefusedError` says what is allowed, as the end of the sentence "<key> = <value>: ...".
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from turnd.turn.credentials import StoredKeys

T = TypeVar("T")
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_LIST_ITEMS = 1024
MAX_USERNAME_BYTES = 508  # RFC 8489 §14.3
MAX_REALM_CHARACTERS = 127  # RFC 8489 §14.9
MIN_SECRET_CHARACTERS = 16


class RefusedError(ValueError):
    """A value that is not allowed; the text says what is."""


class Endpoint(NamedTuple):
    """An IP address and a TCP port to listen on; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def text(value: object) -> str:
    """Any text without control characters."""
    if not isinstance(value, str) or not (value == "" or value.isprintable()):
        raise RefusedError('must be text in quotes, e.g. "turnd"')
    return value


def boolean(value: object) -> bool:
    """`true` or `false`."""
    if not isinstance(value, bool):
        raise RefusedError("must be true or false")
    return value


def one_of(*choices: str) -> Callable[[object], str]:
    """One of a few words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise RefusedError("must be one of " + ", ".join(f'"{choice}"' for choice in choices))
        return value

    return read


def integer(low: int, high: int | None = None) -> Callable[[object], int]:
    """A whole number from `low` to `high`."""
    allowed = (
        f"must be a whole number from {low} to {high}" if high is not None else f"must be a whole number, {low} or more"
    )

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < low or (high is not None and value > high):
            raise RefusedError(allowed)
        return value

    return read


port = integer(1, 65535)

MIN_BPS = 16_000  # one second's worth passes at once, and has to hold a datagram
MAX_BPS = 10**12


def bits_per_second(value: object) -> int:
    """A bound of bandwidth; 0 is none."""
    if not isinstance(value, int) or isinstance(value, bool) or (value != 0 and not MIN_BPS <= value <= MAX_BPS):
        raise RefusedError(f"must be a whole number from {MIN_BPS} to {MAX_BPS}, or 0 for no bound")
    return value


def port_range(value: object) -> tuple[int, int]:
    """`[first, last]`, unprivileged ports."""
    refused = RefusedError("must be two ports [first, last], each from 1024 to 65535, first not above last")
    if not isinstance(value, list) or len(value) != 2:
        raise refused
    try:
        first, last = (integer(1024, 65535)(item) for item in value)
    except RefusedError:
        raise refused from None
    if first > last:
        raise refused
    return first, last


def directory(value: object) -> Path:
    """A directory that exists or can be made."""
    name = text(value)
    if not name:
        raise RefusedError("must be the path of a directory")
    path = Path(name)
    if path.exists() and not path.is_dir():
        raise RefusedError("must be a directory, and something else has that name")
    return path


def readable_file(value: object) -> Path | None:
    """A file that can be read now; empty is none."""
    name = text(value)
    if not name:
        return None
    path = Path(name)
    if not path.is_file():
        raise RefusedError("must be empty or an existing file")
    if not os.access(path, os.R_OK):
        raise RefusedError("must be empty or a file that this user may read")
    return path


def address(value: object) -> str:
    """An IP address without zone, as canonical text."""
    try:
        parsed = ipaddress.ip_address(text(value))
    except ValueError:
        raise RefusedError('must be an IP address, e.g. "192.168.1.10" or "::"') from None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.scope_id:
        raise RefusedError("must be an IP address without %zone")
    return str(parsed)


def announced_address(value: object) -> str:
    """An address that other machines can send to."""
    parsed = ipaddress.ip_address(address(value))
    if parsed.is_unspecified or parsed.is_multicast or parsed.is_loopback or parsed.is_link_local:
        raise RefusedError(
            "must be an address other machines can reach, not a wildcard, loopback, link-local or multicast one"
        )
    return str(parsed)


def endpoint(value: object) -> Endpoint | None:
    """`address:port` or `[IPv6 address]:port`; empty is none."""
    name = text(value)
    if not name:
        return None
    host, _, number = name.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        if not (number.isascii() and number.isdigit()) or (":" in host) != bracketed:
            raise ValueError(name)
        return Endpoint(address(host[1:-1] if bracketed else host), integer(0, 65535)(int(number)))
    except ValueError:
        raise RefusedError(
            'must be "address:port", e.g. "127.0.0.1:8080" or "[::]:443", or empty to switch it off'
        ) from None


def network(value: object) -> IpNetwork:
    """A network in CIDR notation."""
    try:
        return ipaddress.ip_network(text(value))
    except ValueError as error:
        hint = " (host bits are set)" if "host bits" in str(error) else ""
        raise RefusedError(f'must be a network in CIDR notation, e.g. "10.0.0.0/8"{hint}') from None


def secret(value: object) -> str:
    """A shared secret."""
    if not isinstance(value, str) or len(value) < MIN_SECRET_CHARACTERS or not value.isprintable():
        raise RefusedError(
            f"must be text of {MIN_SECRET_CHARACTERS} characters or more, e.g. what `openssl rand -hex 32` prints"
        )
    return value


def realm(value: object) -> str:
    """A STUN realm, RFC 8489 §14.9."""
    name = text(value)
    if not 0 < len(name) <= MAX_REALM_CHARACTERS:
        raise RefusedError(f"must be text of 1 to {MAX_REALM_CHARACTERS} characters")
    return name


def host_name(value: object) -> str:
    """A DNS name or IP address by which visitors reach this machine; empty is none."""
    name = text(value)
    labels = name.rstrip(".").split(".")
    if not name or (len(name) <= 253 and all(_is_label(label) for label in labels)):
        return name
    try:
        return address(name)
    except RefusedError:
        raise RefusedError('must be a host name without port, e.g. "meet.example.org", or empty') from None


def origin(value: object) -> str:
    """A page's origin as browsers write it (RFC 6454 §6.2), or `*`."""
    written = text(value)
    scheme, separator, rest = written.partition("://")
    if written == "*" or (separator and scheme in ("http", "https") and rest and not set(rest) & set("/?#@ ,;'\"")):
        return written.lower()
    raise RefusedError('must be an origin without path, e.g. "https://example.org", or "*"')


def _is_label(label: str) -> bool:
    letters = label.replace("-", "")
    return 0 < len(label) <= 63 and letters.isascii() and letters.isalnum()


def user_name(value: object) -> str:
    """The name of a long-term user of the TURN server."""
    if (
        not isinstance(value, str)
        or not value
        or not value.isprintable()
        or ":" in value
        or len(value.encode(errors="replace")) > MAX_USERNAME_BYTES
    ):
        raise RefusedError(
            f"name {value!r}: must have 1 to {MAX_USERNAME_BYTES} bytes, no colon and no control character"
        )
    return value


def users(value: object) -> Mapping[str, str | StoredKeys]:
    """Long-term users of the TURN server, each with a password or its keys: `{name = "password"}`."""
    if not isinstance(value, dict) or len(value) > MAX_LIST_ITEMS:
        raise RefusedError('must be a table of names and passwords, e.g. { anna = "..." }')
    return {user_name(name): _password(name, each) for name, each in value.items()}


def _password(name: str, value: object) -> str | StoredKeys:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, dict):
        try:
            if value.keys() == {"md5", "sha256"}:
                return StoredKeys(_hexadecimal(value["md5"], 16), _hexadecimal(value["sha256"], 32))
        except (TypeError, ValueError):
            pass
        raise RefusedError(
            f"keys of {name!r}: must be md5 with 32 and sha256 with 64 hexadecimal digits, as `turnd key` prints them"
        )
    raise RefusedError(f"password of {name!r}: must be text that is not empty, or its keys")


def _hexadecimal(value: str, size: int) -> bytes:
    """Raises TypeError or ValueError unless `value` is `size` bytes."""
    if len(value) != 2 * size:
        raise ValueError(size)
    return bytes.fromhex(value)


def items(read: Callable[[object], T], *, at_least: int = 0) -> Callable[[object], tuple[T, ...]]:
    """A list without repetition whose items `read` understands."""

    def read_all(value: object) -> tuple[T, ...]:
        if not isinstance(value, list) or not at_least <= len(value) <= MAX_LIST_ITEMS:
            raise RefusedError(f"must be a list of {at_least} to {MAX_LIST_ITEMS} items")
        result: dict[T, None] = {}
        for number, item in enumerate(value, 1):
            try:
                result[read(item)] = None
            except RefusedError as refused:
                raise RefusedError(f"item {number} {refused}") from None
        return tuple(result)

    return read_all
