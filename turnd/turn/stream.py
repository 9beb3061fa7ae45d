"""TURN over a stream cut into messages (RFC 8656 §2.1, §12.5): STUN as its header says, ChannelData padded to four.

Sans-IO; holds at most one incomplete message, bounded by `max_message_bytes`.
"""

from __future__ import annotations

from collections.abc import Iterator

from wire.stun import HEADER_BYTES, MAGIC_COOKIE

MAX_MESSAGE_BYTES = HEADER_BYTES + 0xFFFF
MAX_FIRST_MESSAGE_BYTES = 2048  # enough for any request; a client without an allocation sends nothing larger
MAX_STUN_BYTE = 3  # RFC 7983 §7
_COOKIE = MAGIC_COOKIE.to_bytes(4, "big")


class StreamError(ValueError):
    """The stream is not TURN, or a message is larger than allowed; it cannot go on."""


class StreamFramer:
    """Cuts one client's stream; `max_message_bytes` is raised once the client has an allocation."""

    def __init__(self, max_message_bytes: int = MAX_FIRST_MESSAGE_BYTES) -> None:
        self.max_message_bytes = max_message_bytes
        self._buffer = bytearray()

    @property
    def buffered_bytes(self) -> int:
        """What has come of a message that is not complete."""
        return len(self._buffer)

    def take(self) -> bytes:
        """What has come and was not asked for: the stream is no TURN any more."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return rest

    def receive(self, data: bytes) -> Iterator[bytes]:
        """The messages completed by `data`, ChannelData (first byte 0x40-0x7f) with its padding.

        Each is cut when it is asked for, so that what handling one of them changes (the bound) holds for the next,
        however the stream was cut; what is not asked for stays. Raises StreamError behind the last good message.
        """
        self._buffer += data
        return self._messages()

    def _messages(self) -> Iterator[bytes]:
        buffer = self._buffer
        while (size := self._message_bytes()) and size <= len(buffer):
            message = bytes(buffer[:size])
            del buffer[:size]
            yield message

    def _message_bytes(self) -> int:
        """Size of the first message in the buffer; 0 while that cannot be told."""
        buffer = self._buffer
        if not buffer:
            return 0
        kind = buffer[0] >> 6
        if kind > 1 or MAX_STUN_BYTE < buffer[0] < 0x40:
            raise StreamError("neither STUN nor ChannelData")
        if len(buffer) < 4:
            return 0
        length = int.from_bytes(buffer[2:4], "big")
        if kind == 1:
            size = 4 + (length + 3 & ~3)
        else:
            if length & 3 or not _COOKIE.startswith(buffer[4:8]):
                raise StreamError("not a STUN message")
            size = HEADER_BYTES + length
        if size > self.max_message_bytes:
            raise StreamError("the message is too large")
        return size


def is_channel_data(message: bytes) -> bool:
    """Whether a message of the framer is ChannelData."""
    return message[0] >> 6 == 1
