from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from signalling.not_found import preferred_language
from signalling.pages import normal_room_name
from signalling.server import SignallingSettings
from tests.signalling.house import House

UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}


async def raw(house: House, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(65536), 5)
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Garden", "garden"),
        ("Mon Café", "mon-cafe"),
        ("a__b//c", "a-b-c"),
        ("-a-", "a"),
        ("Zoë's  room!", "zoe-s-room"),
        ("ſ", "s"),
        ("日本", ""),
        ("", ""),
        ("x" * 100, "x" * 64),
        ("x" * 63 + " y", "x" * 63),
    ],
)
def test_normal_room_name(typed: str, name: str) -> None:
    assert normal_room_name(typed) == name


async def test_pages(house: House) -> None:
    for path, title in (("/", "home"), ("/r/garden", "room"), ("/r/" + "x" * 64, "room")):
        async with house.http.get(house.url + path, headers={"Accept-Encoding": "identity"}) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/html; charset=utf-8"
            assert f"<title>{title}" in (await response.read()).decode()


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/r/Mon%20Caf%C3%A9", "/r/mon-cafe"),
        ("/r/GARDEN?a=b", "/r/garden?a=b"),
        ("/r/" + "x" * 65, "/r/" + "x" * 64),
        ("/r/a%2Fb", "/r/a-b"),
        ("/r/a%0D%0Ab", "/r/a-b"),
        ("/r/garden/", "/r/garden"),
    ],
)
async def test_other_room_names_lead_to_the_normal_one(house: House, path: str, location: str) -> None:
    async with house.http.get(house.url + path, allow_redirects=False) as response:
        assert response.status == 302
        assert response.headers["Location"] == location


@pytest.mark.parametrize(
    "path", ["/r/", "/r/%E6%97%A5", "/r/a/b", "/nothing", "/index.html", "/assets/../server.py", "/r/%E6%97%A5/"]
)
async def test_unknown_paths_get_a_page_that_helps(house: House, path: str) -> None:
    async with house.http.get(house.url + path, headers={"Accept-Language": "fr-FR,fr"}) as response:
        assert response.status == 404
        text = await response.text()
        assert '<a href="/">' in text
        assert "Rien ici" in text
        assert "Content-Security-Policy" in response.headers


def test_the_page_where_nothing_is_speaks_the_languages_of_the_web_page() -> None:
    locales = Path(__file__).parents[2] / "web" / "locales"
    for language in (path.stem for path in locales.glob("*.json")):
        assert preferred_language(f"ja, {language}-XX;q=0.9, en;q=0.8") == language


async def test_the_page_where_nothing_is_runs_from_right_to_left_in_arabic(house: House) -> None:
    async with house.http.get(house.url + "/nothing", headers={"Accept-Language": "ja,ar-EG;q=0.9"}) as response:
        assert '<html lang="ar" dir="rtl">' in await response.text()


async def test_security_headers(house: House) -> None:
    async with house.http.get(house.url) as response:
        headers = response.headers
    policy = headers["Content-Security-Policy"]
    host = f"127.0.0.1:{house.port}"
    assert policy.startswith(f"default-src 'self'; connect-src 'self' ws://{host} wss://{host};")
    assert "unsafe" not in policy
    assert "frame-ancestors 'self'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "camera=(self)" in headers["Permissions-Policy"]
    assert headers["Server"] == "turnd"


async def test_only_named_pages_may_frame_a_room_and_nothing_else(open_house: Callable[..., Any]) -> None:
    house = await open_house(SignallingSettings(embed=("https://example.org", "http://localhost:8000")))
    for path, ancestors in (("/r/garden", "'self' https://example.org http://localhost:8000"), ("/", "'self'")):
        async with house.http.get(house.url + path) as response:
            assert response.headers["Content-Security-Policy"].endswith(f"frame-ancestors {ancestors}")


async def test_other_methods_are_refused(house: House) -> None:
    async with house.http.post(house.url, data=b"x" * 10_000) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"
    assert house.measure("http_requests_total", route="/{path}", method="other", code="405") == 1


async def test_requests_are_counted_by_template(house: House) -> None:
    async with house.http.get(f"{house.url}/r/garden"), house.http.get(f"{house.url}/r/Garden", allow_redirects=False):
        pass
    assert house.measure("http_requests_total", route="/r/{room}", method="GET", code="200") == 1
    assert house.measure("http_requests_total", route="/r/{room}", method="GET", code="302") == 1
    assert sum(house.measure("http_request_seconds").counts) == 2


@pytest.mark.parametrize("host", ["evil host", "a/b", "user@x", "a\x01b", "[::1"])
async def test_bad_host_header_is_refused(house: House, host: str) -> None:
    answer = await raw(house, f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.split()[1] == b"400"
    assert b"Traceback" not in answer
    assert sum(house.values("http_requests_total", code="400")) == 1


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("meet.example.org", 200),
        ("MEET.example.org.:8443", 200),
        ("localhost:8080", 200),
        ("192.0.2.1", 200),
        ("[2001:db8::1]:8443", 200),
        ("evil.org", 421),
        ("meet.example.org.evil.org", 421),
        ("example.org", 421),
        ("127.0.0.1.evil.org", 421),
    ],
)
async def test_with_a_public_host_other_names_are_not_served(house: House, host: str, status: int) -> None:
    house.public_host = "Meet.example.org"
    async with house.http.get(house.url, headers={"Host": host}) as response:
        assert response.status == status
    async with house.http.get(f"{house.url}/r/garden/ws", headers={**UPGRADE, "Host": host}) as response:
        assert (response.status == 421) is (status == 421)


async def test_without_a_public_host_every_name_is_served(house: House) -> None:
    async with house.http.get(house.url, headers={"Host": "any.example.org"}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "request_line", [b"\x16\x03\x01 secret", b"GET / HTTP/9.9", b"GET /\x00 HTTP/1.1", b"X" * 9000]
)
async def test_what_is_no_http_learns_nothing_about_us(house: House, request_line: bytes) -> None:
    answer = await raw(house, request_line + b"\r\nHost: x\r\n\r\n")
    assert answer.split()[1] == b"400"
    assert b"\r\nServer: turnd\r\n" in answer
    assert b"aiohttp" not in answer
    assert b"Python" not in answer
    assert answer.endswith(b"\r\n\r\nBad Request\n")


async def test_garbage_leaks_nothing_and_disturbs_nobody(house: House, caplog: pytest.LogCaptureFixture) -> None:
    ada = await house.join("Ada")
    answer = await raw(house, b"\x16\x03\x01\x02\x00" * 50 + b"\r\n\r\n")
    assert b"Traceback" not in answer
    assert b"/signalling/" not in answer
    assert not caplog.records
    await ada.quiet()


async def test_idle_http_ends_and_a_quiet_websocket_does_not(open_house: Callable[..., Any]) -> None:
    house: House = await open_house(SignallingSettings(idle_seconds=0.1))
    ada = await house.join("Ada")
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 404")
    writer.close()
    await ada.quiet()


async def test_idle_http_ends_soon_where_there_is_a_crowd(
    open_house: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signalling.server.CROWDED_CONNECTIONS", 1)
    monkeypatch.setattr("signalling.server.CROWDED_IDLE_SECONDS", 0.1)
    house: House = await open_house()
    ada = await house.join("Ada")
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 404")
    writer.close()
    await ada.quiet()


async def test_fault_of_ours_leaks_nothing(house: House, caplog: pytest.LogCaptureFixture) -> None:
    del house.service.pages._assets._by_path["index.html"]
    async with house.http.get(house.url) as response:
        assert response.status == 500
        assert await response.text() == "Internal Server Error\n"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "KeyError" in caplog.text


@pytest.mark.parametrize("origin", ["https://evil.org", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil.org"])
async def test_foreign_origin_is_refused(house: House, origin: str) -> None:
    async with house.http.get(f"{house.url}/r/garden/ws", headers={**UPGRADE, "Origin": origin}) as response:
        assert response.status == 403
    assert house.measure("auth_failures_total", kind="origin") == 1


async def test_own_origin_and_none_are_let_in(house: House) -> None:
    await (await house.connect(origin=house.url)).join("Ada")
    await (await house.connect()).join("Bob")


async def test_websocket_wants_a_room_and_an_upgrade(house: House) -> None:
    async with house.http.get(f"{house.url}/r/Garden/ws", headers=UPGRADE) as response:
        assert response.status == 404
    async with house.http.get(f"{house.url}/r/garden/ws") as response:
        assert response.status == 426
        assert response.headers["Upgrade"] == "websocket"
    async with house.http.get(f"{house.url}/r/garden/ws", headers=UPGRADE) as response:
        assert response.status == 400


@pytest.mark.parametrize(
    ("port", "host", "location"),
    [
        (8443, "example.org:8080", "https://example.org:8443/r/garden?a=%20b"),
        (443, "[2001:db8::1]:80", "https://[2001:db8::1]/r/garden?a=%20b"),
    ],
)
async def test_plain_http_from_elsewhere_is_sent_to_https(
    open_house: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, port: int, host: str, location: str
) -> None:
    house: House = await open_house(SignallingSettings(https_port=port))
    monkeypatch.setattr("aiohttp.web.BaseRequest.remote", "192.0.2.1")
    async with house.http.get(
        f"{house.url}/r/garden?a=%20b", headers={"Host": host}, allow_redirects=False
    ) as response:
        assert response.status == 307
        assert response.headers["Location"] == location


async def test_plain_http_from_this_machine_is_served(open_house: Callable[..., Any]) -> None:
    house: House = await open_house(SignallingSettings(https_port=8443))
    async with house.http.get(f"{house.url}/r/garden", headers={"Host": "example.org"}) as response:
        assert response.status == 200
