from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnd.turn.stream import MAX_FIRST_MESSAGE_BYTES, MAX_MESSAGE_BYTES, StreamError, StreamFramer, is_channel_data
from wire import stun


def channel(data: bytes, number: int = 0x4000) -> bytes:
    return number.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data + bytes(-len(data) % 4)


REQUEST = stun.encode(1, 0, bytes(12), [(0x8022, b"me")])


@given(
    st.lists(st.one_of(st.just(REQUEST), st.binary(max_size=50).map(channel)), max_size=8),
    st.lists(st.integers(1, 30), min_size=1),
)
def test_messages_come_out_however_the_stream_was_cut(messages: list[bytes], cuts: list[int]) -> None:
    stream, framer, got, at = b"".join(messages), StreamFramer(), [], 0
    while at < len(stream):
        size = cuts[at % len(cuts)]
        got += framer.receive(stream[at : at + size])
        at += size
    assert got == messages
    assert framer.buffered_bytes == 0


def test_channel_data_is_told_apart() -> None:
    assert [is_channel_data(each) for each in StreamFramer().receive(channel(b"x") + REQUEST)] == [True, False]


@pytest.mark.parametrize("data", [b"\x80", b"\xff", b"\x00\x01\x00\x01", b"\0\1\0\0\x21\x13", b"\x16\x03"])
def test_what_is_not_turn_ends_the_stream(data: bytes) -> None:
    with pytest.raises(StreamError):
        list(StreamFramer().receive(data))


def test_http_ends_the_stream() -> None:
    framer = StreamFramer(MAX_MESSAGE_BYTES)
    assert list(framer.receive(b"GET / HT")) == []  # 0x47 could be a channel: its length has to come
    assert framer.buffered_bytes == 8


def test_the_bound_and_one_past_it() -> None:
    assert list(StreamFramer().receive(channel(bytes(MAX_FIRST_MESSAGE_BYTES - 4))))
    with pytest.raises(StreamError, match="too large"):
        list(StreamFramer().receive(channel(bytes(MAX_FIRST_MESSAGE_BYTES))))


def test_the_largest_channel_data() -> None:
    assert list(StreamFramer(MAX_MESSAGE_BYTES).receive(channel(bytes(65535))))


def test_messages_before_one_that_is_none_come_out_first() -> None:
    messages = StreamFramer().receive(REQUEST + channel(b"x") + b"\x80")
    assert [next(messages), next(messages)] == [REQUEST, channel(b"x")]
    with pytest.raises(StreamError):
        next(messages)


def test_a_bound_that_one_message_changes_holds_for_the_next_of_the_same_chunk() -> None:
    framer = StreamFramer()
    large = channel(bytes(MAX_FIRST_MESSAGE_BYTES))
    got = []
    for message in framer.receive(REQUEST + large):
        framer.max_message_bytes = MAX_MESSAGE_BYTES
        got.append(message)
    assert got == [REQUEST, large]


def test_what_was_not_asked_for_comes_with_the_next_chunk() -> None:
    framer = StreamFramer()
    assert next(framer.receive(REQUEST + channel(b"x"))) == REQUEST
    assert list(framer.receive(b"")) == [channel(b"x")]


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_any_bytes_are_messages_or_the_one_error(chunks: list[bytes]) -> None:
    framer = StreamFramer()
    for chunk in chunks:
        try:
            list(framer.receive(chunk))
        except StreamError:
            return
        assert framer.buffered_bytes <= MAX_FIRST_MESSAGE_BYTES
