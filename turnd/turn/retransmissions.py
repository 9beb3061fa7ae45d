"""Answers kept for as long as a client may repeat its request (RFC 8489 §6.3.1): a repeated one changes nothing."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import NamedTuple

from turnd.turn.allocation import Flow

RETRANSMISSION_SECONDS = 40.0
MAX_ANSWERS = 4096
MAX_BYTES = 512 * 1024  # of answers: one with a list of unknown attributes may be as long as its request
_DIGEST_BYTES = 16


class _Answer(NamedTuple):
    request_digest: bytes
    response: bytes
    expires_at: float


class RecentAnswers:
    """The newest answers by 5-tuple and request, which is the same byte for byte: told by two hashes.

    At most MAX_ANSWERS of MAX_BYTES together, none for longer than `seconds`.
    """

    def __init__(self, seconds: float = RETRANSMISSION_SECONDS) -> None:
        self._seconds = seconds
        self._answers: OrderedDict[tuple[Flow, int], _Answer] = OrderedDict()  # oldest first, found at once
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, flow: Flow, request: bytes, now: float) -> bytes | None:
        """The answer given before to this very request."""
        answer = self._answers.get((flow, hash(request)))
        if answer is None or answer.expires_at <= now or answer.request_digest != _digest(request):
            return None
        return answer.response

    def keep(self, flow: Flow, request: bytes, response: bytes, now: float) -> None:
        """Remembers an answer and forgets what is too old or too much."""
        answers, key = self._answers, (flow, hash(request))
        if key in answers:
            self._forget(key)
        answers[key] = _Answer(_digest(request), response, now + self._seconds)
        self.bytes += len(response)
        while answers:
            oldest = next(iter(answers))
            if answers[oldest].expires_at > now and len(answers) <= MAX_ANSWERS and self.bytes <= MAX_BYTES:
                return
            self._forget(oldest)

    def _forget(self, key: tuple[Flow, int]) -> None:
        self.bytes -= len(self._answers.pop(key).response)


def _digest(request: bytes) -> bytes:
    return blake2b(request, digest_size=_DIGEST_BYTES).digest()
