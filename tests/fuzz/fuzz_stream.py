"""`python -m tests.fuzz stream`: however a stream is cut, the same messages come out of it, or the one error.

The first byte of an input says which message is the one that begins the allocation (and so raises the bound), the
second how many sizes of chunks follow; the rest is the stream. Each cut is compared with a plain reading of the whole.
"""

from __future__ import annotations

from typing import NamedTuple

from turnd.turn.stream import MAX_FIRST_MESSAGE_BYTES, MAX_MESSAGE_BYTES, StreamError, StreamFramer, is_channel_data
from wire.stun import HEADER_BYTES, MAGIC_COOKIE

COOKIE = MAGIC_COOKIE.to_bytes(4, "big")
BYTEWISE_BYTES = 128  # streams up to this are read byte by byte too


class Outcome(NamedTuple):
    """What came of a stream."""

    messages: list[bytes]
    failed: bool


def plainly(stream: bytes, allocates: int) -> Outcome:
    """RFC 8656 §2.1 and §12.5 read in one go."""
    messages: list[bytes] = []
    while stream:
        size, cookie = 1, b""
        if stream[0] in range(4):
            cookie = stream[4:8]
        elif stream[0] not in range(0x40, 0x80):
            return Outcome(messages, failed=True)
        if len(stream) < 4:
            break
        length = int.from_bytes(stream[2:4], "big")
        size = 4 + -(-length // 4) * 4 if stream[0] >= 0x40 else HEADER_BYTES + length
        bound = MAX_MESSAGE_BYTES if len(messages) > allocates else MAX_FIRST_MESSAGE_BYTES
        if (stream[0] < 4 and length % 4) or cookie != COOKIE[: len(cookie)] or size > bound:
            return Outcome(messages, failed=True)
        if size > len(stream):
            break
        messages.append(stream[:size])
        stream = stream[size:]
    return Outcome(messages, failed=False)


def in_chunks(stream: bytes, sizes: bytes, allocates: int) -> Outcome:
    """The framer's reading, chunk by chunk."""
    framer, messages, at, turn, cut_bytes = StreamFramer(), [], 0, 0, 0
    while at < len(stream):
        size = 1 + sizes[turn % len(sizes)]
        turn += 1
        try:
            for message in framer.receive(stream[at : at + size]):
                if is_channel_data(message) != (message[0] >= 0x40):
                    raise AssertionError("a message was taken for another kind")
                if len(messages) == allocates:
                    framer.max_message_bytes = MAX_MESSAGE_BYTES
                messages.append(message)
                cut_bytes += len(message)
        except StreamError:
            return Outcome(messages, failed=True)
        at += size
        if framer.buffered_bytes >= framer.max_message_bytes:
            raise AssertionError("more is held than one incomplete message")
        if cut_bytes + framer.buffered_bytes != min(at, len(stream)):
            raise AssertionError("bytes were lost or made up")
    return Outcome(messages, failed=False)


def one_input(data: bytes) -> None:
    """Raises only when the framer is wrong."""
    if len(data) < 2:
        return
    allocates, number = data[0], data[1] & 7
    sizes, stream = data[2 : 2 + number], data[2 + number :]
    expected = plainly(stream, allocates)
    for each in (sizes or b"\xff", b"\0" if len(stream) < BYTEWISE_BYTES else b"\x7f"):
        if in_chunks(stream, each, allocates) != expected:
            raise AssertionError("another cut of the same stream gave other messages")
