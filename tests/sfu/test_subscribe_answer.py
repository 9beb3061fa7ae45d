import pytest

from sfu.codecs import Kind
from sfu.description import LocalTransport
from sfu.ice_lite import Credentials
from sfu.rtp import Extension
from sfu.sdp import Media, SdpError, SessionDescription, parse
from sfu.subscribe_answer import MAX_SENT, Agreement, agree, answer
from tests.sfu.peers import recorded

LOCAL = LocalTransport(
    Credentials("ufra", "p" * 22), "sha-256 " + ":".join(["AB"] * 32), ["192.0.2.1", "2001:db8::1"], 40000
)


def answered(agreement: Agreement) -> SessionDescription:
    return parse(str(answer(agreement, LOCAL, 5, 1)))


def offer_of(*sections: str, bundle: str = "") -> SessionDescription:
    text = recorded("gstreamer_whep").split("m=")[0].replace("a=group:BUNDLE audio0 video1", bundle or "a=x")
    return parse(text + "".join(sections))


def section(mid: str, *, kind: str = "audio") -> str:
    found = next(part for part in recorded("gstreamer_whep").split("m=") if part.startswith(kind))
    return "m=" + found.replace("a=mid:audio0", f"a=mid:{mid}").replace("a=mid:video1", f"a=mid:{mid}")


@pytest.mark.parametrize("name", ["chromium_recvonly", "firefox_recvonly", "gstreamer_whep"])
def test_every_viewer_gets_sound_and_picture_on_its_own_lines(name: str) -> None:
    offer = parse(recorded(name))
    described = answered(agree(offer))
    assert [media.mid for media in described.media] == [media.mid for media in offer.media]
    used = [media for media in described.media if media.port]
    assert {media.kind for media in used} == {"audio", "video"}
    assert all(media.direction == "sendonly" and media.has("rtcp-mux") for media in used)
    assert all(media.transport.setup == "passive" for media in used)
    assert described.bundle == tuple(media.mid for media in used)
    for media, offered in zip(described.media, offer.media, strict=True):
        assert media.codecs.keys() <= offered.codecs.keys()
        for number, codec in media.codecs.items():
            assert codec.name == offered.codecs[number].name


def test_payload_types_and_extension_ids_are_the_viewers() -> None:
    agreement = agree(parse(recorded("gstreamer_whep")))
    (_, audio), (_, video) = agreement.sent
    assert audio.payloads == {Kind.OPUS: (111, None)}
    assert video.payloads == {Kind.VP8: (96, None), Kind.H264: (97, None)}
    assert agreement.extensions == {}
    chromium = agree(parse(recorded("chromium_recvonly")))
    offered = {each.uri: each.identifier for media in chromium.bundle for each in media.extensions}
    assert chromium.extensions[Extension.MID] == offered["urn:ietf:params:rtp-hdrext:sdes:mid"]


def test_rtx_is_sent_where_it_is_offered_and_nowhere_else() -> None:
    video = next(line for line, _ in agree(parse(recorded("gstreamer_whep"))).sent if not line.audio)
    assert video.rtx_ssrc is None
    video = next(line for line, _ in agree(parse(recorded("chromium_recvonly"))).sent if not line.audio)
    assert video.rtx_ssrc == video.ssrc + 1


def test_the_nth_sound_and_the_nth_picture_are_one_stream() -> None:
    offer = offer_of(*(section(mid, kind=kind) for mid, kind in (("a", "audio"), ("v", "video"), ("b", "audio"))))
    offer.bundle = ("a", "v", "b")
    assert [line.stream for line, _ in agree(offer).sent] == ["place0", "place0", "place1"]
    assert len({line.ssrc for line, _ in agree(offer).sent}) == 3


def test_a_passive_viewer_gets_an_active_answer() -> None:
    offer = parse(recorded("gstreamer_whep").replace("setup:actpass", "setup:passive"))
    agreement = agree(offer)
    assert agreement.passive
    assert all(media.transport.setup == "active" for media in answered(agreement).media)


def test_a_data_channel_is_refused_and_the_rest_is_not() -> None:
    data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\na=sctp-port:5000\r\n"
    offer = parse(recorded("gstreamer_whep") + data)
    described = answered(agree(offer))
    assert [media.port for media in described.media] == [40000, 40000, 0]
    assert described.bundle == ("audio0", "video1")


@pytest.mark.parametrize(
    ("change", "to", "message"),
    [
        ("a=recvonly", "a=sendonly", "a viewer receives"),
        ("a=recvonly", "a=inactive", "a viewer receives"),
        ("OPUS", "PCMU", "no codec"),
        ("a=rtcp-mux\r\n", "", "rtcp-mux"),
        ("BUNDLE audio0 video1", "BUNDLE audio0", "BUNDLE"),
        ("a=mid:video1", "a=mid:" + "m" * 33, "mid"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF", "m=audio 9 RTP/AVP", "transport"),
        ("a=setup:actpass", "a=setup:holdconn", "holdconn"),
        ("a=fingerprint:sha-256", "a=fingerprint:sha-1", "fingerprint"),
    ],
)
def test_an_offer_is_refused_as_a_whole(change: str, to: str, message: str) -> None:
    with pytest.raises(SdpError, match=message):
        agree(parse(recorded("gstreamer_whep").replace(change, to)))


def test_an_offer_of_nothing_is_refused() -> None:
    with pytest.raises(SdpError, match="asks for sound or picture"):
        agree(SessionDescription(media=[Media("application", 9, "UDP/DTLS/SCTP", ["x"])]))


def test_m_lines_are_bounded() -> None:
    offer = offer_of(*(section(f"m{index}") for index in range(MAX_SENT)))
    offer.bundle = tuple(media.mid for media in offer.media)
    assert len(agree(offer).sent) == MAX_SENT
    more = offer_of(*(section(f"m{index}") for index in range(MAX_SENT + 1)))
    with pytest.raises(SdpError, match="more than"):
        agree(more)
