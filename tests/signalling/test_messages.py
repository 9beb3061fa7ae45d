from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalling.media import Source
from signalling.messages import (
    CLIENT_TYPES,
    MAX_CHAT_LENGTH,
    MAX_SDP_LENGTH,
    SERVER_TYPES,
    Answer,
    Chat,
    ChatLine,
    ClientMessage,
    Closing,
    Error,
    Join,
    Joined,
    MalformedMessage,
    ParticipantView,
    Publish,
    ServerMessage,
    Speaker,
    State,
    decode,
    encode,
)


def read(**fields: Any) -> ClientMessage:
    return decode(json.dumps(fields))


def refusal(text: str) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as caught:
        decode(text)
    return caught.value


def join(**fields: Any) -> Join:
    message = read(**{"type": "join", "version": 1, "name": "Ada", **fields})
    assert isinstance(message, Join)
    return message


def test_join_has_defaults() -> None:
    assert join() == Join(version=1, name="Ada", password="", resume="", subscribe=True)


def test_unknown_fields_are_ignored() -> None:
    assert join(future={"deep": []}).name == "Ada"


def test_null_is_the_same_as_absent() -> None:
    assert join(password=None, resume=None, subscribe=None, request=None) == join()


def test_other_version_is_refused_before_the_rest_is_read() -> None:
    error = refusal('{"type":"join","version":2,"nom":"Ada","request":"r"}')
    assert (error.code, error.request) == ("version", "r")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("  Ada  ", "Ada"),
        ("Zoe\u0308", "Zoë"),
        ("x" * 64, "x" * 64),
        ("👩‍👩‍👧 family", "👩‍👩‍👧 family"),
        ("שלום\u200f", "שלום\u200f"),
    ],
)
def test_name_takes_one_form(written: str, name: str) -> None:
    assert join(name=written).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "x" * 65,
        "x" * 10_000,
        "a\nb",
        "a\x00",
        "a\x85b",
        "\u202eevil",
        "a\u2066b",
        "\u200b\u200b",
        "\ud800",
        5,
        None,
        [],
    ],
)
def test_unfit_name_is_refused(name: object) -> None:
    assert refusal(json.dumps({"type": "join", "version": 1, "name": name})).code == "malformed"


@pytest.mark.parametrize("version", [True, 1.0, "1", -1, None, 10**30])
def test_version_must_be_an_integer(version: object) -> None:
    assert refusal(json.dumps({"type": "join", "version": version, "name": "Ada"})).code == "malformed"


def test_request_of_a_bad_message_is_kept_for_the_error() -> None:
    assert refusal('{"type":"chat","text":"","request":"7"}').request == "7"


@pytest.mark.parametrize("request_", ["", "x" * 65, 5, ["a"]])
def test_unfit_request_is_refused(request_: object) -> None:
    assert refusal(json.dumps({"type": "ping", "request": request_})).request is None


def test_unknown_type() -> None:
    assert refusal('{"type":"dance"}').code == "unknown-type"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"type":5}',
        '{"type":null}',
        "{",
        '{"type":"answer","sdp":"v","generation":NaN}',
        '{"type":"answer","sdp":"v","generation":Infinity}',
        '{"type":"answer","sdp":"v","generation":1e400}',
        '{"type":"answer","sdp":"v","generation":' + "9" * 10_000 + "}",
        "[" * 200_000,
        '{"type":' * 50_000,
        '{"type":"ping","a":' + "[" * 100_000 + "]" * 100_000 + "}",
        "\ufeff{}",
    ],
    ids=lambda text: text[:24],
)
def test_what_is_no_message_is_malformed(text: str) -> None:
    assert refusal(text).code == "malformed"


def test_of_duplicate_keys_the_last_counts() -> None:
    assert decode('{"type":"dance","type":"chat","text":"a","text":"b"}') == Chat(text="b")


def test_publish_maps_mids_to_sources() -> None:
    message = read(
        type="publish", sdp="v=0", tracks=[{"mid": "0", "source": "camera"}, {"mid": "1", "source": "screen-audio"}]
    )
    assert message == Publish(sdp="v=0", tracks={"0": Source.CAMERA, "1": Source.SCREEN_AUDIO})


@pytest.mark.parametrize(
    "tracks",
    [
        None,
        {},
        ["camera"],
        [{"mid": "0"}],
        [{"mid": "", "source": "camera"}],
        [{"mid": "a b", "source": "camera"}],
        [{"mid": "x" * 33, "source": "camera"}],
        [{"mid": 0, "source": "camera"}],
        [{"mid": "0", "source": "window"}],
        [{"mid": "0", "source": ["camera"]}],
        [{"mid": "0", "source": "camera"}, {"mid": "0", "source": "screen"}],
        [{"mid": "0", "source": "camera"}, {"mid": "1", "source": "camera"}],
        [{"mid": str(n), "source": source.value} for n, source in enumerate([*Source, Source.CAMERA])],
    ],
)
def test_unfit_tracks_are_refused(tracks: object) -> None:
    assert refusal(json.dumps({"type": "publish", "sdp": "v=0", "tracks": tracks})).code == "malformed"


def test_sdp_is_bounded() -> None:
    assert isinstance(read(type="answer", sdp="v" * MAX_SDP_LENGTH, generation=1), Answer)
    assert (
        refusal(json.dumps({"type": "answer", "sdp": "v" * (MAX_SDP_LENGTH + 1), "generation": 1})).code == "malformed"
    )


def test_chat_is_bounded() -> None:
    assert read(type="chat", text="é" * MAX_CHAT_LENGTH) == Chat(text="é" * MAX_CHAT_LENGTH)
    assert refusal(json.dumps({"type": "chat", "text": "é" * (MAX_CHAT_LENGTH + 1)})).code == "malformed"


def test_chat_keeps_lines_and_drops_other_controls() -> None:
    assert read(type="chat", text=" a\r\nb\rc\td\x00\x1b[31m ") == Chat(text="a\nb\nc\td[31m")


def test_chat_of_nothing_is_refused() -> None:
    assert refusal(json.dumps({"type": "chat", "text": "\x00 \n"})).code == "malformed"


def test_state_says_only_what_it_says() -> None:
    assert read(type="state", camera=False) == State(microphone=None, camera=False, screen=None)


@pytest.mark.parametrize("value", [0, "true", []])
def test_state_is_boolean(value: object) -> None:
    assert refusal(json.dumps({"type": "state", "camera": value})).code == "malformed"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(CLIENT_TYPES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
_FIELDS = (
    "request",
    "version",
    "name",
    "password",
    "resume",
    "subscribe",
    "sdp",
    "tracks",
    "generation",
    "fresh",
    "text",
    "camera",
)


@given(st.text())
def test_any_text_is_a_message_or_refused(text: str) -> None:
    with contextlib.suppress(MalformedMessage):
        decode(text)


@given(st.sampled_from(CLIENT_TYPES), st.dictionaries(st.sampled_from(_FIELDS), _JSON))
def test_any_fields_are_a_message_or_refused(kind: str, fields: dict[str, object]) -> None:
    try:
        message = decode(json.dumps({"type": kind, "version": 1, **fields}))
    except MalformedMessage:
        return
    assert message.type == kind


@given(st.text())
def test_a_name_that_is_taken_stays_as_it_is(text: str) -> None:
    try:
        name = join(name=text).name
    except MalformedMessage:
        return
    assert name.encode()
    assert join(name=name).name == name


def test_absent_values_are_left_out() -> None:
    assert json.loads(encode(Closing(reason="left")).text) == {"type": "closing", "reason": "left"}
    assert json.loads(encode(Closing(reason="draining", retry_ms=0)).text)["retry_ms"] == 0


def test_nobody_speaking_is_said_as_null() -> None:
    assert json.loads(encode(Speaker(participant=None)).text) == {"type": "speaker", "participant": None}


def test_request_goes_back() -> None:
    assert json.loads(encode(Error(code="sdp", message="m", request="r")).text) == {
        "type": "error", "code": "sdp", "message": "m", "fatal": False, "request": "r",
    }  # fmt: skip


def test_joined_is_written_as_documented() -> None:
    view = ParticipantView(id="p", name="Zoë", microphone=True, camera=False, screen=False, connected=True)
    line = ChatLine(id="c", participant="p", name="Zoë", text="salut", time=1.5)
    joined = Joined(
        room="garden", own_id="me", resumed=False, resume={"token": "t", "seconds": 60}, participants=[view],
        chat=[line], ice_servers=[{"urls": ["turn:x"]}], heartbeat={}, limits={}, server={},
    )  # fmt: skip
    written = json.loads(encode(joined).text)
    assert written["self"] == "me"
    assert written["participants"] == [
        {"id": "p", "name": "Zoë", "microphone": True, "camera": False, "screen": False, "connected": True}
    ]
    assert written["chat"] == [{"id": "c", "participant": "p", "name": "Zoë", "text": "salut", "time": 1.5}]


def test_every_server_message_is_counted_under_its_type() -> None:
    assert {kind.type for kind in ServerMessage.__subclasses__()} == set(SERVER_TYPES)
