import pytest

from sfu.codecs import Kind
from sfu.description import LocalTransport
from sfu.ice_lite import Credentials
from sfu.publish_answer import Agreement, Source, agree, answer
from sfu.rtp import Extension
from sfu.sdp import Media, SdpError, SessionDescription, parse
from tests.sfu.peers import recorded

BOTH = {"0": Source.MICROPHONE, "1": Source.CAMERA}
LOCAL = LocalTransport(
    Credentials("ufra", "p" * 22), "sha-256 " + ":".join(["AB"] * 32), ["192.0.2.1", "2001:db8::1"], 40000
)


def answered(agreement: Agreement) -> SessionDescription:
    return parse(str(answer(agreement, LOCAL, 5, 1)))


def value(media: Media, name: str) -> str | None:
    return next((content for each, content in media.attributes if each == name), None)


@pytest.mark.parametrize("name", ["chromium_simulcast", "firefox_simulcast"])
def test_simulcast_is_accepted_with_all_rids_and_vp8_first(name: str) -> None:
    video = answered(agree(parse(recorded(name)), BOTH)).media[1]
    assert value(video, "simulcast") == "recv q;h;f"
    assert video.rids == {"q": "recv", "h": "recv", "f": "recv"}
    first = video.codecs[int(video.formats[0])]
    assert first.name == "VP8"
    assert first.feedback == ["transport-cc", "ccm fir", "nack", "nack pli"]
    assert video.direction == "recvonly"
    assert {each.uri.rsplit(":", 1)[-1] for each in video.extensions} >= {
        "mid",
        "rtp-stream-id",
        "repaired-rtp-stream-id",
    }


@pytest.mark.parametrize("name", ["chromium_plain", "firefox_plain", "wrtc_plain", "aiortc_plain"])
def test_every_client_gets_opus_with_dtx_and_a_video_codec(name: str) -> None:
    offer = parse(recorded(name))
    sources = dict(zip((media.mid for media in offer.media), BOTH.values(), strict=True))
    described = answered(agree(offer, sources))
    audio, video = described.media
    assert [codec.name.lower() for codec in audio.codecs.values()] == ["opus"]
    opus = next(iter(audio.codecs.values()))
    assert opus.parameters["usedtx"] == "1"
    assert opus.parameters["useinbandfec"] == "1"
    assert video.codecs[int(video.formats[0])].name == "VP8"
    assert described.bundle == tuple(sources)
    assert all(media.transport.setup == "passive" for media in described.media)


def test_one_codec_of_each_kind_with_its_repair() -> None:
    agreement = agree(parse(recorded("chromium_plain")), BOTH)
    formats = agreement.tracks[1].formats
    assert [each.kind for each in formats] == [Kind.VP8, Kind.VP9, Kind.H264, Kind.AV1]
    assert [each.payload_type for each in formats] == [96, 98, 108, 45]  # 108: constrained baseline, mode 1
    assert [each.rtx for each in formats] == [97, 99, 109, 46]


def test_the_preferred_codec_comes_first() -> None:
    agreement = agree(parse(recorded("chromium_plain")), BOTH, (Kind.AV1, Kind.VP8))
    assert [each.kind for each in agreement.tracks[1].formats] == [Kind.AV1, Kind.VP8]


@pytest.mark.parametrize(
    ("first", "agreed"), [(Kind.VP8, False), (Kind.VP9, False), (Kind.H264, True), (Kind.AV1, True)]
)
def test_the_dependency_descriptor_is_taken_where_the_payload_does_not_tell_layers(first: Kind, agreed: bool) -> None:
    agreement = agree(parse(recorded("chromium_simulcast")), BOTH, (first, Kind.VP8))
    taken = {extension for extension, _ in agreement.tracks[1].extensions.values()}
    assert (Extension.DEPENDENCY_DESCRIPTOR in taken) is agreed


def test_video_is_never_left_to_be_turned_by_receivers_that_may_not_know_how() -> None:
    agreement = agree(parse(recorded("chromium_simulcast")), BOTH)
    taken = {extension for extension, _ in agreement.tracks[1].extensions.values()}
    assert Extension.VIDEO_ORIENTATION not in taken


def test_remb_is_agreed_only_where_transport_cc_is_missing() -> None:
    assert not agree(parse(recorded("chromium_plain")), BOTH).feedback("goog-remb")
    assert agree(parse(recorded("aiortc_plain")), BOTH).feedback("goog-remb")


def test_senders_of_video_that_estimate_are_told_where_to_begin() -> None:
    agreement = agree(parse(recorded("chromium_plain")), BOTH)
    audio, video = agreement.tracks
    assert all("start-bitrate" not in each.parameters for each in audio.formats)
    assert [each.parameters.split(";")[-1] for each in video.formats] == ["x-google-start-bitrate=1200"] * 4
    assert "level-idx" in video.formats[-1].parameters  # AV1's own stay
    estimating = agree(parse(recorded("aiortc_plain")), BOTH)
    assert all("start-bitrate" not in each.parameters for track in estimating.tracks for each in track.formats)


def test_extensions_of_a_firefox_offer_are_mirrored() -> None:
    agreement = agree(parse(recorded("firefox_simulcast")), BOTH)
    assert agreement.tracks[1].extensions[9] == (Extension.RID, "recvonly")
    assert agreement.tracks[1].extensions[3] == (Extension.MID, "sendrecv")
    assert 6 not in agreement.tracks[1].extensions  # playout-delay/recvonly


def test_a_data_channel_is_refused_beside_a_track() -> None:
    for name in ("chromium_data", "firefox_data"):
        offer = parse(recorded(name))
        video = next(media.mid for media in offer.media if media.kind == "video")
        described = answered(agree(offer, {video: Source.SCREEN}))
        refused = next(media for media in described.media if media.kind == "application")
        assert refused.port == 0
        assert refused.mid not in described.bundle


def test_an_mline_without_a_source_is_inactive_not_refused() -> None:
    described = answered(agree(parse(recorded("chromium_plain")), {"0": Source.MICROPHONE}))
    assert [media.direction for media in described.media] == ["recvonly", "inactive"]
    assert not described.media[1].rejected


def test_a_track_turned_inactive_is_no_longer_published() -> None:
    text = recorded("chromium_plain").replace("a=sendonly", "a=inactive", 1)
    agreement = agree(parse(text), BOTH)
    assert [track.source for track in agreement.tracks] == [None, Source.CAMERA]


def test_passive_offers_make_us_active() -> None:
    text = recorded("chromium_plain").replace("a=setup:actpass", "a=setup:passive")
    agreement = agree(parse(text), BOTH)
    assert agreement.passive
    assert answered(agreement).media[0].transport.setup == "active"


def test_candidates_come_best_first_and_only_once() -> None:
    described = answered(agree(parse(recorded("chromium_plain")), BOTH))
    lines = [content or "" for name, content in described.media[0].attributes if name == "candidate"]
    assert [line.split()[4] for line in lines] == ["192.0.2.1", "2001:db8::1"]
    assert int(lines[0].split()[3]) > int(lines[1].split()[3])
    assert not described.media[1].has("candidate")
    assert str(described).startswith("v=0")
    assert len(str(described)) < 8192


def test_an_offer_without_candidates_or_mids_is_taken() -> None:
    lines = recorded("chromium_plain").split("\r\n")
    kept = [x for x in lines if not x.startswith(("a=candidate", "a=mid:"))]
    assert answered(agree(parse("\r\n".join(kept)), BOTH)).bundle == ("0", "1")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a=group:BUNDLE 0 1", "a=x"),
        ("a=rtcp-mux\r\n", ""),
        ("a=ice-ufrag:", "a=x-ufrag:"),
        ("a=fingerprint:sha-256", "a=fingerprint:sha-1"),
        ("a=setup:actpass", "a=setup:holdconn"),
        ("opus/48000/2", "speex/8000"),
    ],
)
def test_what_cannot_be_used_is_refused(old: str, new: str) -> None:
    with pytest.raises(SdpError):
        agree(parse(recorded("chromium_plain").replace(old, new)), BOTH)


@pytest.mark.parametrize(
    "sources",
    [
        {"7": Source.CAMERA},
        {"0": Source.CAMERA},
        {"1": Source.MICROPHONE},
        {"0": Source.MICROPHONE, "1": Source.MICROPHONE},
    ],
)
def test_sources_that_do_not_fit_are_refused(sources: dict[str, Source]) -> None:
    with pytest.raises(SdpError):
        agree(parse(recorded("chromium_plain")), sources)


def test_an_offer_with_nothing_usable_is_refused() -> None:
    text = recorded("chromium_plain").replace("m=audio", "m=text").replace("m=video", "m=text")
    with pytest.raises(SdpError):
        agree(parse(text), {})


# WHIP clients: offers/README.md says where these come from.


@pytest.mark.parametrize("name", ["obs_whip", "ffmpeg_whip", "gstreamer_whip"])
def test_whip_clients_get_both_tracks_in_h264_and_opus(name: str) -> None:
    offer = parse(recorded(name))
    sources = {m.mid: Source.MICROPHONE if m.kind == "audio" else Source.CAMERA for m in offer.media}
    described = answered(agree(offer, sources))
    assert all(media.direction == "recvonly" for media in described.media)
    names = {codec.name.lower() for media in described.media for codec in media.codecs.values()}
    assert names == {"opus", "h264"}


def test_an_offer_that_is_passive_gets_an_active_answer() -> None:
    """FFmpeg's first versions are DTLS servers only."""
    agreement = agree(parse(recorded("ffmpeg_whip")), BOTH)
    assert all(media.transport.setup == "active" for media in answered(agreement).media)


def test_an_offer_without_candidates_and_with_a_fingerprint_for_the_whole_session() -> None:
    """OBS gathers after it has read the Link headers; libdatachannel writes its fingerprint once."""
    text = recorded("obs_whip")
    assert "a=candidate" not in text
    assert text.count("a=fingerprint") == 1
    assert agree(parse(text), BOTH).remote.fingerprints


@pytest.mark.parametrize("name", ["obs_whip", "ffmpeg_whip", "gstreamer_whip", "chromium_plain", "firefox_simulcast"])
def test_answers_begin_with_the_version_and_stay_below_what_ffmpeg_reads(name: str) -> None:
    """FFmpeg: `MAX_SDP_SIZE` is 8192; it takes the first UDP host candidate."""
    offer = parse(recorded(name))
    sources = {m.mid: Source.MICROPHONE if m.kind == "audio" else Source.CAMERA for m in offer.media}
    addresses = ["203.0.113.9", *(f"2001:db8:1:2:3:4:5:{index}" for index in range(20))]
    local = LocalTransport(LOCAL.credentials, LOCAL.fingerprint, addresses, 40000)
    text = str(answer(agree(offer, sources), local, 2**62, 1))
    assert text.startswith("v=")
    assert len(text) < 8192
    first = next(line for line in text.split("\r\n") if line.startswith("a=candidate"))
    assert first.split()[2:6:2] == ["udp", "203.0.113.9"]
    assert "typ host" in first
