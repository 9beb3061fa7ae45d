from __future__ import annotations

from turnd.turn.allocation import Flow
from turnd.turn.retransmissions import MAX_ANSWERS, MAX_BYTES, RETRANSMISSION_SECONDS, RecentAnswers

FLOW = Flow("udp", ("192.0.2.1", 1), ("192.0.2.2", 3478))


def test_found_while_a_client_may_repeat() -> None:
    recent = RecentAnswers()
    recent.keep(FLOW, b"t", b"request", b"response", 1.0)
    assert recent.find(FLOW, b"t", b"request", 1.0 + RETRANSMISSION_SECONDS - 0.1) == b"response"
    assert recent.find(FLOW, b"t", b"request", 1.0 + RETRANSMISSION_SECONDS) is None


def test_only_the_very_same_request_is_found() -> None:
    recent = RecentAnswers()
    recent.keep(FLOW, b"t", b"request", b"response", 1.0)
    assert recent.find(FLOW, b"t", b"other", 1.0) is None
    assert recent.find(FLOW, b"u", b"request", 1.0) is None
    assert recent.find(FLOW._replace(transport="tcp"), b"t", b"request", 1.0) is None


def test_the_newest_are_kept() -> None:
    recent = RecentAnswers()
    for number in range(MAX_ANSWERS + 1):
        recent.keep(FLOW, b"%d" % number, b"q", b"a", 1.0)
    assert len(recent) == MAX_ANSWERS
    assert recent.find(FLOW, b"0", b"q", 1.0) is None
    assert recent.find(FLOW, b"1", b"q", 1.0) == b"a"


def test_old_ones_go_when_new_ones_come() -> None:
    recent = RecentAnswers()
    recent.keep(FLOW, b"1", b"q", b"a", 1.0)
    recent.keep(FLOW, b"2", b"q", b"a", 100.0)
    assert len(recent) == 1


def test_answers_are_bounded_in_bytes_and_requests_are_not_kept() -> None:
    recent = RecentAnswers()
    for number in range(20):
        recent.keep(FLOW, b"%d" % number, bytes(60_000), bytes(60_000), 1.0)
    assert recent.bytes == sum(len(answer.response) for answer in recent._answers.values()) <= MAX_BYTES
    assert recent.find(FLOW, b"19", bytes(60_000), 1.0) == bytes(60_000)
    assert recent.find(FLOW, b"0", bytes(60_000), 1.0) is None
    assert all(len(answer.request_digest) <= 32 for answer in recent._answers.values())


def test_an_answer_kept_anew_counts_once() -> None:
    recent = RecentAnswers()
    recent.keep(FLOW, b"1", b"q", b"long answer", 1.0)
    recent.keep(FLOW, b"1", b"other", b"short", 1.0)
    assert (len(recent), recent.bytes) == (1, 5)
