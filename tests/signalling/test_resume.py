from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalling.access import new_id
from signalling.client_messages import MAX_TOKEN_LENGTH, MAX_UPLINK_KBPS, Mode, RoomSettings, VideoCodec
from signalling.resume import KEY_BYTES, Claim, ResumeTokens, new_room_id
from signalling.server_messages import Role

KEY = bytes(range(KEY_BYTES))
CLAIM = Claim(
    b"12345678", RoomSettings(mode=Mode.BROADCAST, video=VideoCodec.AV1, uplink_kbps=8000), Role.HOST, "0123456789ab"
)


def test_tokens_differ_and_fit_the_protocol() -> None:
    tokens = ResumeTokens()
    issued = {tokens.issue("garden", CLAIM) for _ in range(100)}
    assert len(issued) == 100
    assert all(32 <= len(token) <= MAX_TOKEN_LENGTH for token in issued)


@given(st.sampled_from(Mode), st.sampled_from(VideoCodec), st.integers(0, MAX_UPLINK_KBPS), st.sampled_from(Role))
def test_what_a_token_says_is_read_by_the_next_process(
    mode: Mode, video: VideoCodec, uplink_kbps: int, role: Role
) -> None:
    claim = Claim(new_room_id(), RoomSettings(mode=mode, video=video, uplink_kbps=uplink_kbps), role, new_id())
    assert ResumeTokens(KEY).read("garden", ResumeTokens(KEY).issue("garden", claim)) == claim


def test_token_is_of_one_room_and_one_key() -> None:
    token = ResumeTokens(KEY).issue("garden", CLAIM)
    assert ResumeTokens(KEY).read("cellar", token) is None
    assert ResumeTokens().read("garden", token) is None


def test_no_bit_can_be_changed() -> None:
    tokens = ResumeTokens(KEY)
    token = tokens.issue("garden", CLAIM)
    data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for position in range(8 * len(data)):
        forged = bytearray(data)
        forged[position // 8] ^= 1 << position % 8
        assert tokens.read("garden", base64.urlsafe_b64encode(forged).decode().rstrip("=")) is None


@pytest.mark.parametrize("token", ["", "=", "a", "é", "-" * MAX_TOKEN_LENGTH])
def test_other_text_says_nothing(token: str) -> None:
    assert ResumeTokens(KEY).read("garden", token) is None


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert ResumeTokens(KEY).read("garden", text) is None
