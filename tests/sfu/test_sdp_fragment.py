import pytest

from sfu.description import LocalTransport
from sfu.ice_lite import Credentials
from sfu.sdp import Media, SdpError
from sfu.sdp_fragment import MAX_CANDIDATES, IceFragment, fragment_text, parse_fragment

CANDIDATE = "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n"
CREDENTIALS = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
LOCAL = LocalTransport(Credentials("ours", "p" * 22), "sha-256 AB", ["192.0.2.1", "2001:db8::1"], 40000)


@pytest.mark.parametrize(
    "text",
    [
        f"{CREDENTIALS}m=audio 9 RTP/AVP 0\r\na=mid:0\r\n{CANDIDATE}a=end-of-candidates\r\n",
        f"a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n{CREDENTIALS}{CANDIDATE}",
        f"{CREDENTIALS}{CANDIDATE}".replace("\r\n", "\n"),
    ],
)
def test_credentials_and_candidates_in_the_session_or_in_an_m_line(text: str) -> None:
    assert parse_fragment(text) == IceFragment("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1", 1)


def test_a_restart_may_have_credentials_alone_and_trickling_may_have_none() -> None:
    assert parse_fragment(CREDENTIALS).candidates == 0
    assert parse_fragment(CANDIDATE) == IceFragment("", "", 1)
    assert parse_fragment("a=end-of-candidates") == IceFragment("", "", 0)


def test_a_candidate_of_a_name_of_mdns_or_of_tcp_is_fine() -> None:
    name = CANDIDATE.replace("192.0.2.1", "2cf0b2c0-0842-4fe3-aaa0-4556a2dfbadc.local")
    tcp = "a=candidate:4 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n"
    assert parse_fragment(name + tcp).candidates == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a=mid:0",
        "nonsense",
        "a=ice-ufrag:EsAw\r\n",
        "a=ice-ufrag:E\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
        "a=candidate:not really\r\n",
        f"{CREDENTIALS}m=audio 9 RTP/AVP 0\r\na=ice-ufrag:other\r\n{CANDIDATE}",
    ],
)
def test_what_is_no_fragment_is_refused(text: str) -> None:
    with pytest.raises(SdpError):
        parse_fragment(text)


def test_candidates_are_bounded() -> None:
    assert parse_fragment(CANDIDATE * MAX_CANDIDATES).candidates == MAX_CANDIDATES
    with pytest.raises(SdpError, match="more than"):
        parse_fragment(CANDIDATE * (MAX_CANDIDATES + 1))


def test_our_fragment_has_our_credentials_and_all_candidates() -> None:
    bundle = [Media("video", 9, "UDP/TLS/RTP/SAVPF", ["96"], mid="v"), Media("audio", 9, "X", ["1"], mid="a")]
    text = fragment_text(LOCAL, bundle)
    assert parse_fragment(text) == IceFragment("ours", "p" * 22, 2)
    assert text.startswith("a=ice-lite\r\na=group:BUNDLE v a\r\n")
    assert "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\n" in text
