from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalling.client_messages import (
    MAX_CHAT_LENGTH,
    MAX_GENERATION,
    MAX_ID_LENGTH,
    MAX_MID_LENGTH,
    MAX_SDP_LENGTH,
    MAX_TILE_PIXELS,
    MAX_TILES,
    MAX_UPLINK_KBPS,
    Answer,
    Chat,
    ClientMessage,
    Join,
    MalformedMessage,
    Mode,
    Publish,
    RoomSettings,
    Stage,
    State,
    Tile,
    VideoCodec,
    View,
)
from signalling.media import Source
from signalling.message_reader import CLIENT_TYPES, decode


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


def settings(**fields: Any) -> RoomSettings:
    return join(settings=fields).settings


def test_settings_have_defaults() -> None:
    assert settings() == settings(mode=None, video=None, uplink_kbps=None) == join(settings=None).settings
    assert settings() == RoomSettings(mode=Mode.MEETING, video=VideoCodec.VP8, uplink_kbps=0)


def test_settings_are_read() -> None:
    read_settings = settings(mode="broadcast", video="av1", uplink_kbps=8000)
    assert read_settings == RoomSettings(mode=Mode.BROADCAST, video=VideoCodec.AV1, uplink_kbps=8000)


@pytest.mark.parametrize(
    "unfit",
    [
        [],
        "meeting",
        {"mode": "party"},
        {"mode": ["meeting"]},
        {"video": "h265"},
        {"uplink_kbps": -1},
        {"uplink_kbps": 1.5},
    ],
)
def test_unfit_settings_are_refused(unfit: object) -> None:
    assert refusal(json.dumps({"type": "join", "version": 1, "name": "Ada", "settings": unfit})).code == "malformed"


def test_uplink_of_a_room_is_bounded() -> None:
    assert settings(uplink_kbps=MAX_UPLINK_KBPS).uplink_kbps == MAX_UPLINK_KBPS
    with pytest.raises(MalformedMessage):
        settings(uplink_kbps=MAX_UPLINK_KBPS + 1)


def tile(**fields: Any) -> dict[str, Any]:
    return {"participant": "p", "source": "camera", "width": 320, "height": 180, **fields}


def view(*tiles: object) -> View:
    message = read(type="view", tiles=tiles)
    assert isinstance(message, View)
    return message


def test_view_lists_pictures() -> None:
    seen = view(tile(), tile(source="screen", pinned=True)).tiles
    assert seen == (
        Tile(participant="p", source=Source.CAMERA, width=320, height=180, pinned=False),
        Tile(participant="p", source=Source.SCREEN, width=320, height=180, pinned=True),
    )
    assert view().tiles == ()


@pytest.mark.parametrize("side", ["width", "height"])
def test_side_of_a_picture_is_bounded(side: str) -> None:
    assert view(tile(**{side: 1}), tile(participant="q", **{side: MAX_TILE_PIXELS}))
    for pixels in (0, MAX_TILE_PIXELS + 1):
        with pytest.raises(MalformedMessage):
            view(tile(**{side: pixels}))


def test_number_of_pictures_is_bounded() -> None:
    tiles = [tile(participant=str(number)) for number in range(MAX_TILES + 1)]
    assert len(view(*tiles[1:]).tiles) == MAX_TILES
    with pytest.raises(MalformedMessage):
        view(*tiles)


def test_id_of_a_participant_is_bounded() -> None:
    assert view(tile(participant="x" * MAX_ID_LENGTH))
    assert read(type="stage", participant="x" * MAX_ID_LENGTH, on=True)
    for unfit in ("", "x" * (MAX_ID_LENGTH + 1), 5, None):
        with pytest.raises(MalformedMessage):
            view(tile(participant=unfit))
        with pytest.raises(MalformedMessage):
            read(type="stage", participant=unfit, on=True)


@pytest.mark.parametrize(
    "unfit",
    [
        "camera",
        tile(source="microphone"),
        tile(source=None),
        tile(width="320"),
        tile(width=320.5),
        tile(height=None),
        tile(pinned=1),
    ],
)
def test_unfit_picture_is_refused(unfit: object) -> None:
    assert refusal(json.dumps({"type": "view", "tiles": [unfit]})).code == "malformed"


def test_picture_is_listed_once() -> None:
    with pytest.raises(MalformedMessage):
        view(tile(), tile(width=640))


@pytest.mark.parametrize("tiles", [None, {}, "x"])
def test_view_is_a_list(tiles: object) -> None:
    assert refusal(json.dumps({"type": "view", "tiles": tiles})).code == "malformed"


def test_stage_says_who_and_whether() -> None:
    assert read(type="stage", participant="p", on=False) == Stage(participant="p", on=False)


@pytest.mark.parametrize("on", [None, 0, "true"])
def test_stage_needs_to_say_whether(on: object) -> None:
    assert refusal(json.dumps({"type": "stage", "participant": "p", "on": on})).code == "malformed"


def test_bounds_of_publish_and_answer() -> None:
    assert read(type="publish", sdp="v", tracks=[{"mid": "x" * MAX_MID_LENGTH, "source": "camera"}])
    assert read(type="answer", sdp="v", generation=MAX_GENERATION)
    with pytest.raises(MalformedMessage):
        read(type="answer", sdp="v", generation=MAX_GENERATION + 1)


_KEYS = st.text() | st.sampled_from(["mode", "video", "uplink_kbps", "participant", "source", "width", "height", "mid"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(CLIENT_TYPES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4),
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
    "settings",
    "tiles",
    "participant",
    "on",
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
