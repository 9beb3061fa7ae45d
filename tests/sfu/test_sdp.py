"""Offers recorded from Chromium 156, Firefox ESR 153, aiortc 1.16 and @roamhq/wrtc 0.10, and what they must survive."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu import sdp
from sfu.sdp import SdpError, parse

OFFERS = Path(__file__).parent / "offers"
NAMES = sorted(path.stem for path in OFFERS.glob("*.sdp"))


def offer(name: str) -> str:
    return (OFFERS / f"{name}.sdp").read_bytes().decode()


def small(*lines: str) -> str:
    return "\r\n".join(("v=0", "o=- 1 2 IN IP4 0.0.0.0", "s=-", "t=0 0", *lines)) + "\r\n"


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_offer_is_read_and_printed_without_loss(name: str) -> None:
    text = offer(name)
    printed = str(parse(text))
    kept = [line for line in text.replace("s=FFmpegPublishSession", "s=-").split("\r\n") if line[:2] not in ("b=", "")]
    assert sorted(printed.strip().split("\r\n")) == sorted(kept)


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_offer_has_credentials_and_a_fingerprint(name: str) -> None:
    for media in parse(offer(name)).media:
        assert len(media.transport.ufrag) >= 4
        assert len(media.transport.password) >= 22
        assert media.transport.fingerprints[0][0].startswith("sha-")
        assert media.transport.setup == ("passive" if name == "ffmpeg_whip" else "actpass")


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_simulcast_offers_name_three_rids(browser: str) -> None:
    video = parse(offer(f"{browser}_simulcast")).media[1]
    assert video.simulcast_send == ("q", "h", "f")
    assert video.rids == {"q": "send", "h": "send", "f": "send"}


def test_firefox_simulcast_has_repair_groups_and_extension_directions() -> None:
    video = parse(offer("firefox_simulcast")).media[1]
    assert len(video.repairs) == 3
    assert set(video.repairs) | set(video.repairs.values()) == set(video.ssrcs)
    directions = {each.uri.rsplit(":", 1)[-1]: each.direction for each in video.extensions}
    assert directions["rtp-stream-id"] == "sendonly"
    assert directions["mid"] == "sendrecv"


def test_firefox_parameters_before_rtpmap_are_kept() -> None:
    audio = parse(offer("firefox_plain")).media[0]
    assert audio.codecs[109].parameters["useinbandfec"] == "1"
    assert audio.codecs[109].channels == 2


def test_rtx_codecs_know_what_they_repair() -> None:
    video = parse(offer("chromium_simulcast")).media[1]
    assert video.codecs[97].repairs == 96
    assert video.codecs[96].repairs is None
    assert "nack pli" in video.codecs[96].feedback


def test_port_zero_is_a_rejection_unless_bundle_only() -> None:
    assert not parse(offer("firefox_plain")).media[1].rejected
    assert parse(small("m=video 0 UDP/TLS/RTP/SAVPF 96")).media[0].rejected


def test_session_level_values_reach_every_section() -> None:
    described = parse(
        small("a=inactive", "a=setup:active", "m=audio 9 UDP/TLS/RTP/SAVPF 0", "m=audio 9 X 0", "a=sendonly")
    )
    assert [media.direction for media in described.media] == ["inactive", "sendonly"]
    assert [media.transport.setup for media in described.media] == ["active", "active"]


def test_paused_and_alternative_simulcast_streams() -> None:
    described = parse(small("m=video 9 UDP/TLS/RTP/SAVPF 96", "a=simulcast:recv x send ~a;b,c"))
    assert described.media[0].simulcast_send == ("a", "b")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\r\n",
        "v=1",
        "v=0\r\nnonsense",
        "v=0\r\na=x\0y",
        "v=0\r\no=a b",
        small("m=audio"),
        small("m=audio 65536 X 0"),
        small("m=audio 9 X 0", "a=mid:"),
        small("m=audio 9 X 0", "a=mid:0", "m=audio 9 X 0", "a=mid:0"),
        small("a=ice-ufrag:abc"),
        small("a=ice-pwd:short"),
        small("a=ice-ufrag:ab:cd"),
        small("a=setup:maybe"),
        small("a=fingerprint:sha-256 zz"),
        small("m=video 9 X 96", "a=rtpmap:96 VP8/x"),
        small("m=video 9 X 96", "a=rtpmap:97 VP8/90000"),
        small("m=video 9 X 96", "a=rtpmap:128 VP8/90000"),
        small("m=video 9 X 96", "a=extmap:0 urn:x"),
        small("m=video 9 X 96", "a=extmap:x urn:x"),
        small("m=video 9 X 96", "a=extmap:1/up urn:x"),
        small("m=video 9 X 96", "a=rid:ä send"),
        small("m=video 9 X 96", "a=simulcast:send ;;"),
        small("m=video 9 X 96", "a=ssrc:x cname:y"),
        small("m=video 9 X 96", "a=ssrc-group:FID 1 x"),
        small("m=video 9 X 96", "a=ssrc:1 x", *[f"a=ssrc:{n} x" for n in range(70)]),
    ],
)
def test_wrong_text_raises_the_one_error(text: str) -> None:
    with pytest.raises(SdpError):
        parse(text)


def test_bounds_hold_at_the_bound_and_one_past_it() -> None:
    line = "m=audio 0 X 0"
    assert len(parse(small(*[line] * sdp.MAX_MEDIA)).media) == sdp.MAX_MEDIA
    with pytest.raises(SdpError):
        parse(small(*[line] * (sdp.MAX_MEDIA + 1)))
    parse(small("a=x:" + "y" * (sdp.MAX_LINE_CHARACTERS - 4)))
    with pytest.raises(SdpError):
        parse(small("a=x:" + "y" * (sdp.MAX_LINE_CHARACTERS - 3)))
    parse(small(*["a=x"] * (sdp.MAX_LINES - 4)))
    with pytest.raises(SdpError):
        parse(small(*["a=x"] * (sdp.MAX_LINES - 3)))
    rids = [f"a=rid:{n} send" for n in range(sdp.MAX_RIDS + 1)]
    parse(small("m=video 9 X 96", *rids[:-1]))
    with pytest.raises(SdpError):
        parse(small("m=video 9 X 96", *rids))


@given(st.text(max_size=300))
def test_any_text_parses_or_raises_the_one_error(text: str) -> None:
    for candidate in (text, "v=0\r\n" + text, small("m=video 9 X 96", "a=" + text)):
        with contextlib.suppress(SdpError):
            str(parse(candidate))


@settings(max_examples=60)
@given(st.sampled_from(NAMES), st.data())
def test_mutated_offers_parse_or_raise_the_one_error(name: str, data: st.DataObject) -> None:
    text = offer(name)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    try:
        described = parse(text[:start] + data.draw(st.text(max_size=20)) + text[end:])
    except SdpError:
        return
    assert str(parse(str(described))) == str(described)
