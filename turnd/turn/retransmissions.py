"""Answers kept for as long as a client may repeat its request (RFC 8489 §6.3.1): a repeated one changes nothing."""

from __future__ import annotations

from typing import NamedTuple

from turnd.turn.allocation import Flow

RETRANSMISSION_SECONDS = 40.0
MAX_ANSWERS = 1024


class _Answer(NamedTuple):
    request: bytes
    response: bytes
    expires_at: float


class RecentAnswers:
    """The newest MAX_ANSWERS answers by 5-tuple and transaction id; a repeated request is the same byte for byte."""

    def __init__(self) -> None:
        self._answers: dict[tuple[Flow, bytes], _Answer] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, flow: Flow, transaction_id: bytes, request: bytes, now: float) -> bytes | None:
        """The answer given before to this very request."""
        answer = self._answers.get((flow, transaction_id))
        if answer is None or answer.expires_at <= now or answer.request != request:
            return None
        return answer.response

    def keep(self, flow: Flow, transaction_id: bytes, request: bytes, response: bytes, now: float) -> None:
        """Remembers an answer and forgets what is too old or too much."""
        answers = self._answers
        answers.pop((flow, transaction_id), None)
        answers[flow, transaction_id] = _Answer(request, response, now + RETRANSMISSION_SECONDS)
        while True:
            oldest = next(iter(answers))
            if answers[oldest].expires_at > now and len(answers) <= MAX_ANSWERS:
                return
            del answers[oldest]
