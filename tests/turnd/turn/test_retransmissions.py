from __future__ import annotations

from turnd.turn.allocation import Flow
from turnd.turn.retransmissions import MAX_ANSWERS, RETRANSMISSION_SECONDS, RecentAnswers

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
