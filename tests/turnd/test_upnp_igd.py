import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.turnd.routers import DESCRIPTION, told
from turnd.outside_address import RouterError
from turnd.upnp_igd import MAX_DOCUMENT_BYTES, MAX_SERVICES, Service, location, parse, search, services

ROUTER, URL = "192.168.1.254", "http://192.168.1.254:5000/igd/root.xml"
IP, PPP = (f"urn:schemas-upnp-org:service:WAN{name}Connection:1" for name in ("IP", "PPP"))


def answer(url: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return f"{status}\r\nCACHE-CONTROL: max-age=120\r\nlocation: {url}\r\n\r\n".encode()


def test_a_search_names_whom_it_asks_and_what_for() -> None:
    lines = search(ROUTER, 1900).split(b"\r\n")
    assert lines[:2] == [b"M-SEARCH * HTTP/1.1", b"HOST: 192.168.1.254:1900"]
    assert b"ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1" in lines
    assert lines[-2:] == [b"", b""]


def test_the_location_in_an_answer_is_found() -> None:
    assert location(answer(URL), ROUTER) == URL


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.20:5000/",
        "https://192.168.1.254/",
        "http://router.example/",
        "http://192.168.1.254@evil.example/",
        "http://user@192.168.1.254/",
        "http://192.168.1.254:99999/",
        "http://[::1/",
        "file:///etc/passwd",
        "",
    ],
)
def test_only_the_router_itself_is_led_to(url: str) -> None:
    with pytest.raises(RouterError):
        location(answer(url), ROUTER)
    with pytest.raises(RouterError):
        services(DESCRIPTION.replace(">ppp<", f">{url}<").encode(), "http://192.168.1.20/" if not url else URL, ROUTER)


@pytest.mark.parametrize(
    "data", [b"", b"M-SEARCH * HTTP/1.1\r\n\r\n", answer(URL, "HTTP/1.1 404 No"), b"HTTP/1.1 200 OK\r\n"]
)
def test_what_is_no_answer_to_a_search_leads_nowhere(data: bytes) -> None:
    with pytest.raises(RouterError):
        location(data, ROUTER)


def test_the_wan_connections_of_a_description_are_found_and_nothing_else() -> None:
    found = services(DESCRIPTION.encode(), URL, ROUTER)
    assert found == [Service("http://192.168.1.254:5000/igd/ppp", PPP), Service("http://192.168.1.254:5000/ip", IP)]


def test_a_description_may_have_a_base_of_its_own() -> None:
    based = DESCRIPTION.replace("<device>", "<URLBase>http://192.168.1.254:80/base/</URLBase><device>", 1)
    assert services(based.encode(), URL, ROUTER)[0].url == "http://192.168.1.254:80/base/ppp"


def test_no_more_services_are_taken_than_asked() -> None:
    service = f"<service><serviceType>{IP}</serviceType><controlURL>/c</controlURL></service>"
    assert len(services(f"<root>{service * (MAX_SERVICES + 1)}</root>".encode(), URL, ROUTER)) == MAX_SERVICES


def test_a_question_carries_the_type_of_its_service() -> None:
    service = Service(URL, IP)
    assert service.headers()["SOAPAction"] == f'"{IP}#GetExternalIPAddress"'
    assert f'xmlns:u="{IP}"'.encode() in service.question()


def test_the_outside_address_is_read() -> None:
    assert parse(told("203.0.113.7").encode()) == "203.0.113.7"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (told(""), "no outside address"),
        (told("router.example"), "no outside address"),
        (told("2001:db8::1"), "no outside address"),
        (told("0.0.0.0"), "no outside address"),
        (told("10.0.0.1"), "behind another NAT"),
        ("<a/>", "without an address"),
        ("<a>", "not XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "a type of its own"),
        ('<?xml version="1.0" encoding="x-unknown"?><a>', "not XML"),
        (told("203.0.113.7") + " " * MAX_DOCUMENT_BYTES, "too long"),
    ],
)
def test_an_unusable_answer_says_why(document: str, reason: str) -> None:
    with pytest.raises(RouterError, match=reason):
        parse(document.encode())


def test_a_document_of_the_longest_length_is_read() -> None:
    document = told("203.0.113.7").encode()
    assert parse(document + b" " * (MAX_DOCUMENT_BYTES - len(document))) == "203.0.113.7"


@given(st.binary(max_size=200), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\nLocation: http://192.168.1.254", b"<a>"]))
def test_any_bytes_give_a_result_or_the_error(data: bytes, before: bytes) -> None:
    for read in (parse, lambda d: services(d, URL, ROUTER), lambda d: location(d, ROUTER)):
        with contextlib.suppress(RouterError):
            read(before + data)
