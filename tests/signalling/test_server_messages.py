from __future__ import annotations

import json

from signalling.client_messages import Mode, RoomSettings
from signalling.server_messages import (
    SERVER_TYPES,
    Audience,
    ChatLine,
    Closing,
    Error,
    Joined,
    ParticipantView,
    Received,
    ReceivedStream,
    Role,
    RoleChange,
    Rules,
    ServerMessage,
    Speaker,
    Wanted,
    WantedLayer,
    WantedSource,
    Written,
    encode,
    written,
)


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
    view = ParticipantView(
        id="p", name="Zoë", role=Role.HOST, microphone=True, camera=False, screen=False, connected=True
    )
    line = ChatLine(id="c", participant="p", name="Zoë", text="salut", time=1.5)
    joined = Joined(
        room="garden", own_id="me", resumed=False, resume={"token": "t", "seconds": 60}, participants=[view],
        settings=RoomSettings(mode=Mode.BROADCAST, uplink_kbps=8), role=Role.VIEWER, audience=3,
        rules=Rules(locked=False, lobby=False, password=False, rights={}), questions=Written("[]"),
        chat=Written(f"[{written(line).text}]"), ice_servers=[{"urls": ["turn:x"]}], heartbeat={}, limits={}, server={},
    )  # fmt: skip
    told = json.loads(encode(joined).text)
    assert told["self"] == "me"
    assert told["settings"] == {"mode": "broadcast", "video": "vp8", "uplink_kbps": 8}
    assert (told["role"], told["audience"]) == ("viewer", 3)
    assert told["participants"] == [
        {
            "id": "p",
            "name": "Zoë",
            "role": "host",
            "microphone": True,
            "camera": False,
            "screen": False,
            "connected": True,
            "hand": 0,
        }
    ]
    assert told["chat"] == [{"id": "c", "participant": "p", "name": "Zoë", "text": "salut", "time": 1.5}]


def test_audience_and_role_are_written_as_documented() -> None:
    assert json.loads(encode(Audience(count=7)).text) == {"type": "audience", "count": 7}
    assert json.loads(encode(RoleChange(role=Role.SPEAKER, resume={"token": "t"})).text) == {
        "type": "role", "role": "speaker", "resume": {"token": "t"},
    }  # fmt: skip


def test_wanted_layers_are_written_as_documented() -> None:
    layers = [WantedLayer(rid="q", active=True), WantedLayer(rid="", active=False, spatial=0)]
    wanted = Wanted(sources=[WantedSource(source="camera", layers=layers)])
    assert json.loads(encode(wanted).text) == {
        "type": "wanted",
        "sources": [
            {"source": "camera", "layers": [{"rid": "q", "active": True}, {"rid": "", "active": False, "spatial": 0}]}
        ],
    }


def test_received_streams_are_written_as_documented() -> None:
    stream = ReceivedStream(mid="1", width=320, height=180, framerate=15.0, kbps=150, limit="link")
    assert json.loads(encode(Received(estimate_kbps=900, streams=[stream])).text) == {
        "type": "received",
        "estimate_kbps": 900,
        "streams": [{"mid": "1", "width": 320, "height": 180, "framerate": 15.0, "kbps": 150, "limit": "link"}],
    }


def test_every_server_message_is_counted_under_its_type() -> None:
    assert {kind.type for kind in ServerMessage.__subclasses__()} == set(SERVER_TYPES)
