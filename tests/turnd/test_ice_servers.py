import pytest

from turnd.ice_servers import credential_name, ice_servers, turn_urls, uri_host


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("meet.example.org", "meet.example.org"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("[2001:DB8::0:1]", "[2001:db8::1]"),
        ("localhost", "localhost"),
        ("", "192.0.2.9"),
        ("a b", "192.0.2.9"),
        ("host:80", "192.0.2.9"),
        ("x?transport=tcp", "192.0.2.9"),
    ],
)
def test_a_host_stands_in_a_uri_or_its_fallback_does(host: str, expected: str) -> None:
    assert uri_host(host, "192.0.2.9") == expected


def test_the_urls_go_from_the_fastest_way_to_the_surest() -> None:
    assert turn_urls("h", 3478, [5349, 443]) == [
        "turn:h:3478?transport=udp",
        "turn:h:3478?transport=tcp",
        "turns:h:5349?transport=tcp",
        "turns:h:443?transport=tcp",
    ]


def test_dtls_is_told_to_those_who_ask_for_it_and_never_to_browsers() -> None:
    dtls = "turns:h:5349?transport=udp"
    urls = turn_urls("h", 3478, [5349, 443], dtls_port=5349)
    assert urls.index(dtls) == 2
    assert [url for url in urls if url != dtls] == turn_urls("h", 3478, [5349, 443])
    assert dtls not in str(ice_servers("h", 3478, [5349], "user", "secret"))


def test_one_port_for_all_tls_is_named_once() -> None:
    assert len(turn_urls("h", 3478, [443, 443])) == 3


def test_stun_has_no_credentials_and_turn_has() -> None:
    stun, turn = ice_servers("h", 3478, [5349], "user", "secret")
    assert stun == {"urls": ["stun:h:3478"]}
    assert (turn["username"], turn["credential"]) == ("user", "secret")


@pytest.mark.parametrize(
    ("name", "expected"), [("p-1_a", "p-1_a"), ("Zoé,;:", "Zo"), ("", "guest"), ("a" * 65, "a" * 64)]
)
def test_a_name_is_reduced_to_what_passes_everywhere(name: str, expected: str) -> None:
    assert credential_name(name) == expected
