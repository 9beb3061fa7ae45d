"""Answers kept for as long as a client may repeat its request (RFC 8489 §6.3.1): a repeated one changes nothing."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from turnd.turn.allocation import Flow

RETRANSMISSION_SECONDS = 40.0
MAX_ANSWERS = 4096
MAX_BYTES = 512 * 1024  # of answers: one with a list of unknown attributes may be as long as its request
_DIGEST_BYTES = 16


class _Answer(NamedTuple):
    response: bytes
    expires_at: float


class RecentAnswers:
    """The newest answers by 5-tuple and request, which is the same byte for byte; a hash stands for both.

    At most MAX_ANSWERS of MAX_BYTES together, none for longer than `seconds`.
    """

    def __init__(self, seconds: float = RETRANSMISSION_SECONDS) -> None:
        self._seconds = seconds
        self._answers: dict[bytes, _Answer] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, flow: Flow, request: bytes, now: float) -> bytes | None:
        """The answer given before to this very request."""
        answer = self._answers.get(_digest(flow, request))
        return None if answer is None or answer.expires_at <= now else answer.response

    def keep(self, flow: Flow, request: bytes, response: bytes, now: float) -> None:
        """Remembers an answer and forgets what is too old or too much."""
        answers, key = self._answers, _digest(flow, request)
        self._forget(key)
        answers[key] = _Answer(response, now + self._seconds)
        self.bytes += len(response)
        while answers:
            oldest = next(iter(answers))
            if answers[oldest].expires_at > now and len(answers) <= MAX_ANSWERS and self.bytes <= MAX_BYTES:
                return
            self._forget(oldest)

    def _forget(self, key: bytes) -> None:
        answer = self._answers.pop(key, None)
        if answer is not None:
            self.bytes -= len(answer.response)


def _digest(flow: Flow, request: bytes) -> bytes:
    transport, client, local = flow
    whose = f"{transport} {client[0]} {client[1]} {local[0]} {local[1]} "
    return blake2b(whose.encode() + request, digest_size=_DIGEST_BYTES).digest()
