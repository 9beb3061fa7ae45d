"""Headers of uploads and downloads, read and written: tus 1.0, RFC 9110 (ranges), RFC 6266 and 8187 (names). No state.

Each reader raises HeaderError on any text that it does not take.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from typing import Final, NamedTuple
from urllib.parse import quote

MAX_NAME_CHARACTERS = 200
MAX_EXTENSION_CHARACTERS = 20
MAX_NUMBER_DIGITS = 15
MAX_METADATA_PAIRS = 16
NAMELESS = "file"

_NUMBER = re.compile(rf"[0-9]{{1,{MAX_NUMBER_DIGITS}}}")
_EDGE = rf"([0-9]{{0,{MAX_NUMBER_DIGITS}}})"
_RANGE = re.compile(rf"bytes=[ \t]*{_EDGE}-{_EDGE}[ \t]*", re.IGNORECASE)
# Controls, what reorders the text around it (UAX #9), separators, and what no file system takes.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_FORBIDDEN = re.compile(r'[<>:"|?*]')
# RFC 8187 §3.2.1, attr-char.
_ATTRIBUTE: Final = "!#$&+-.^_`|~"


class HeaderError(ValueError):
    """The header is not as it must be; the text says which and how."""


class UploadMetadata(NamedTuple):
    """What is said of an upload: its name, and the id of the one participant it is for, empty for all."""

    name: str
    to: str


class ByteRange(NamedTuple):
    """Bytes from `start` to before `end`."""

    start: int
    end: int


class UnsatisfiableRangeError(HeaderError):
    """416: nothing of the file is in the range."""


def read_number(name: str, text: str | None) -> int:
    """A number of bytes."""
    if text is None or not _NUMBER.fullmatch(text):
        raise HeaderError(f"{name}: must be a number of bytes")
    return int(text)


def clean_file_name(text: str) -> str:
    """The name in its one form, without folders and what does harm, never empty; its extension stays."""
    name = unicodedata.normalize("NFC", text.replace("\\", "/").rpartition("/")[2])
    name = _FORBIDDEN.sub("_", _UNFIT.sub("", name)).strip()
    if len(name) > MAX_NAME_CHARACTERS:
        stem, dot, extension = name.rpartition(".")
        if not stem or len(extension) > MAX_EXTENSION_CHARACTERS:
            stem, dot, extension = name, "", ""
        name = stem[: MAX_NAME_CHARACTERS - len(dot + extension)].rstrip() + dot + extension
    return name if name.strip(". ") else NAMELESS


def read_metadata(text: str | None) -> UploadMetadata:
    """Upload-Metadata of tus: pairs of a key and base64, of which we know two."""
    pairs = (text or "").split(",") if text else []
    if len(pairs) > MAX_METADATA_PAIRS:
        raise HeaderError(f"Upload-Metadata: at most {MAX_METADATA_PAIRS} pairs")
    values: dict[str, str] = {}
    for pair in pairs:
        key, _, encoded = pair.strip().partition(" ")
        if not key or key in values:
            raise HeaderError("Upload-Metadata: each key once, and none empty")
        values[key] = _decoded(encoded.strip()) if key in ("filename", "to") else ""
    return UploadMetadata(clean_file_name(values.get("filename", "")), values.get("to", ""))


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded.encode(), validate=True).decode()
    except ValueError:
        raise HeaderError("Upload-Metadata: must be base64 of UTF-8") from None


def read_range(text: str | None, size: int) -> ByteRange | None:
    """The one range that is asked for (RFC 9110 §14.1); None: all. What is no range of bytes, or several, is all."""
    match = _RANGE.fullmatch(text) if text is not None else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
        if match[2] and int(match[2]) < start:
            return None
    if start >= end:
        raise UnsatisfiableRangeError("no such range")
    return ByteRange(start, end)


def content_disposition(name: str) -> str:
    """Saves it under that name, and shows nothing (RFC 6266 §4.1, with both forms of the name)."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r'[^ -~]|["\\%]', "_", plain).strip() or NAMELESS
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_ATTRIBUTE)}"
