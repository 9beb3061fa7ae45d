"""The records of DTLS (RFC 6347 §4.1) in datagrams."""

from __future__ import annotations

from collections.abc import Iterator

MTU_BYTES = 1200
RECORD_HEADER_BYTES = 13
MAX_RECORD_BYTES = 16384 + 2048
CONTENT_TYPES = range(20, 24)  # change_cipher_spec, alert, handshake, application_data
_VERSIONS = (b"\xfe\xff", b"\xfe\xfd")  # a ClientHello's record may say 1.0


def split_records(data: bytes) -> Iterator[tuple[int, int]]:
    """(start, end) of each whole, well-formed DTLS record, up to the first thing that is none."""
    position, size = 0, len(data)
    while position + RECORD_HEADER_BYTES <= size:
        end = position + RECORD_HEADER_BYTES + int.from_bytes(data[position + 11 : position + 13], "big")
        if data[position] not in CONTENT_TYPES or data[position + 1 : position + 3] not in _VERSIONS:
            return
        if end > size or end - position > RECORD_HEADER_BYTES + MAX_RECORD_BYTES:
            return
        yield position, end
        position = end


def pack_records(stream: bytes) -> list[bytes]:
    """Datagrams of whole records, as few as fit into MTU_BYTES each; a larger record goes alone."""
    datagrams: list[bytes] = []
    start = position = 0
    for _, end in split_records(stream):
        if end - start > MTU_BYTES and position > start:
            datagrams.append(stream[start:position])
            start = position
        position = end
    if position > start:
        datagrams.append(stream[start:position])
    return datagrams
