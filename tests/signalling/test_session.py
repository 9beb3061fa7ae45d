from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from signalling.client_messages import Chat, Join, Leave
from signalling.server_messages import Closing, Error, ServerPing, ServerPong
from signalling.session import JOIN_SECONDS, RATES, REFUSALS, Accepted, Effect, End, Reply, Session


def text(**fields: Any) -> str:
    return json.dumps(fields)


JOIN = text(type="join", version=1, name="Ada")


def joined_session(now: float = 0.0) -> Session:
    session = Session(now)
    [effect] = session.receive(JOIN, now)
    assert isinstance(effect, Accepted)
    session.joined()
    return session


def error_of(effects: Iterable[Effect]) -> Error:
    [effect] = effects
    assert isinstance(effect, Reply | End)
    assert isinstance(effect.message, Error)
    return effect.message


def test_join_comes_first() -> None:
    error = error_of(Session(0).receive(text(type="chat", text="hi", request="1"), 0))
    assert (error.code, error.fatal, error.request) == ("not-joined", False, "1")


def test_join_is_accepted() -> None:
    [effect] = Session(0).receive(JOIN, 0)
    assert isinstance(effect, Accepted)
    assert isinstance(effect.message, Join)


def test_second_join_is_an_error() -> None:
    assert error_of(joined_session().receive(JOIN, 0)).code == "already-joined"


def test_other_version_is_fatal() -> None:
    assert error_of(Session(0).receive(text(type="join", version=9), 0)).fatal


def test_malformed_message_is_not_fatal() -> None:
    assert not error_of(joined_session().receive("{", 0)).fatal


def test_binary_message_is_malformed() -> None:
    assert error_of(joined_session().receive_binary(0)).code == "malformed"


def test_ping_is_answered_with_its_request() -> None:
    assert list(joined_session().receive(text(type="ping", request="a"), 0)) == [Reply(ServerPong(request="a"))]


def test_leave_is_acted_on_and_then_ends() -> None:
    accepted, end = joined_session().receive(text(type="leave"), 0)
    assert accepted == Accepted(Leave())
    assert end == End(Closing(reason="left"), 1000)


def test_nothing_happens_after_the_end() -> None:
    session = joined_session()
    list(session.receive(text(type="leave"), 0))
    assert not list(session.receive(JOIN, 0))
    assert not list(session.receive_binary(0))
    assert not list(session.handle_timer(1000))


def test_chat_is_limited_to_its_burst_and_comes_back() -> None:
    session, burst = joined_session(), int(RATES["chat"][0])
    chat = text(type="chat", text="hi")
    assert all(list(session.receive(chat, 0)) == [Accepted(Chat(text="hi"))] for _ in range(burst))
    assert error_of(session.receive(chat, 0)).code == "rate"
    assert session.limited_scope == "chat"
    assert list(session.receive(chat, 1)) == [Accepted(Chat(text="hi"))]


def test_limited_chat_does_not_limit_negotiation() -> None:
    session = joined_session()
    for _ in range(int(RATES["chat"][0]) + 1):
        list(session.receive(text(type="chat", text="hi"), 0))
    [effect] = session.receive(text(type="answer", sdp="v", generation=1), 0)
    assert isinstance(effect, Accepted)


def test_too_many_messages_of_any_kind_are_limited() -> None:
    session = joined_session()
    for _ in range(int(RATES["message"][0]) - 1):
        list(session.receive(text(type="pong"), 0))
    assert error_of(session.receive(text(type="pong"), 0)).code == "rate"
    assert session.limited_scope == "message"


def test_going_on_with_bad_messages_ends_the_socket() -> None:
    session = joined_session()
    for _ in range(int(REFUSALS[0])):
        assert not error_of(session.receive("{", 0)).fatal
    [end] = session.receive("{", 0)
    assert isinstance(end, End)
    assert end.code == 1008


def test_silence_is_met_with_pings_and_then_the_end() -> None:
    session = joined_session()
    assert session.next_timer() == 5
    assert not list(session.handle_timer(4.9))
    assert list(session.handle_timer(5)) == [Reply(ServerPing())]
    assert not list(session.handle_timer(5.5))
    assert list(session.handle_timer(10)) == [Reply(ServerPing())]
    assert session.next_timer() == 12
    assert list(session.handle_timer(12)) == [End(Closing(reason="timeout"), 1008)]


def test_any_message_shows_life() -> None:
    session = joined_session()
    list(session.receive("{", 11))
    assert not list(session.handle_timer(12))
    assert session.next_timer() == 16


def test_socket_that_never_joins_is_ended_though_it_pings() -> None:
    session = Session(0)
    for second in range(1, int(JOIN_SECONDS)):
        list(session.receive(text(type="ping"), second))
    [end] = session.handle_timer(JOIN_SECONDS)
    assert isinstance(end, End)


@pytest.mark.parametrize(("code", "close_code"), [("draining", 1012), ("password", 1008), ("internal", 1011)])
def test_refused_join_ends_with_its_close_code(code: Any, close_code: int) -> None:
    end = Session(0).refuse_join(code, "because", "r", retry_ms=5)
    assert end == End(Error(code=code, message="because", fatal=True, request="r", retry_ms=5), close_code)
