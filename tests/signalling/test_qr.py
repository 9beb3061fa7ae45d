from __future__ import annotations

from urllib.parse import quote

import pytest
import zxingcpp
from PIL import Image, ImageDraw

from signalling import qr
from signalling.qr import CODES, MAX_TEXT_LENGTH, draw, is_own_link
from tests.signalling.house import House

HOST = "talk.example:8443"
LINK = f"https://{HOST}/r/jardin-lune-oiseau"


def rendered(svg: bytes) -> Image.Image:
    """The drawing in pixels: its path is made of horizontal strokes (`M x y.5 h n`, then `m dx dy h n`)."""
    text = svg.decode()
    size = int(text.split('viewBox="0 0 ')[1].split()[0])
    strokes = text.split('stroke="#000" d="')[1].split('"')[0]
    image = Image.new("L", (size * 4, size * 4), 255)
    pen, x, y = ImageDraw.Draw(image), 0.0, 0.0
    for step in strokes.lower().replace("h", " h").replace("m", " m").split(" m")[1:]:
        move, length = step.split(" h")
        dx, dy = (float(part) for part in move.replace("-", " -").split())
        x, y = x + dx, y + dy
        pen.rectangle([x * 4, (y - 0.5) * 4, (x + int(length)) * 4 - 1, (y + 0.5) * 4 - 1], 0)
        x += int(length)
    return image


@pytest.mark.parametrize("text", [LINK, LINK + "?webinar", LINK + "x" * (MAX_TEXT_LENGTH - len(LINK))])
def test_a_reader_reads_the_link(text: str) -> None:
    [code] = zxingcpp.read_barcodes(rendered(draw(text)))
    assert code.text == text


def test_a_code_is_surrounded_by_four_white_modules() -> None:
    box = Image.eval(rendered(draw(LINK)), lambda value: 255 - value).getbbox()
    assert box is not None
    assert box[:2] == (16, 16)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "https://elsewhere.example/r/garden",
        f"https://{HOST}@elsewhere.example/",
        f"https://user@{HOST}/r/garden",
        f"ftp://{HOST}/r/garden",
        f"javascript://{HOST}/%0aalert(1)",
        f"//{HOST}/r/garden",
        f"https://{HOST}/r/garden#host=key",
        f"https://{HOST}/r/gar den",
        f"https://{HOST}/r/jardin-éte",
        f"https://{HOST}/r/a\nb",
        "https://[/r/a",
        f"https://{HOST}/r/" + "x" * (MAX_TEXT_LENGTH - len(f"https://{HOST}/r/") + 1),
    ],
)
def test_what_is_no_link_of_this_server_is_not_drawn(text: str) -> None:
    assert not is_own_link(text, HOST)


def test_default_ports_may_be_left_out() -> None:
    assert is_own_link("https://talk.example/r/garden", "talk.example:443")
    assert is_own_link("http://talk.example:80/r/garden", "talk.example")


async def test_the_code_is_for_nobody_else_to_keep(house: House) -> None:
    async with house.http.get(f"{house.url}/qr.svg?text={quote(house.url + '/r/garden', safe='')}") as response:
        assert response.status == 200
        assert response.content_type == "image/svg+xml"
        assert response.headers["Cache-Control"] == "private, no-store"
        assert (await response.read()).startswith(b"<svg ")
    assert house.measure("http_requests_total", route="/qr.svg", method="GET", code="200") == 1


@pytest.mark.parametrize("query", ["", "?text=", "?text=https://elsewhere.example/"])
async def test_other_texts_are_refused(house: House, query: str) -> None:
    async with house.http.get(f"{house.url}/qr.svg{query}") as response:
        assert response.status == 400


async def test_one_address_gets_so_many_and_no_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qr, "is_loopback", lambda address: False)
    url = f"{house.url}/qr.svg?text={quote(house.url + '/r/garden', safe='')}"
    burst, per_second = CODES
    for expected in [200] * burst + [429]:
        async with house.http.get(url) as response:
            assert response.status == expected
    house.advance(1 / per_second)
    async with house.http.get(url) as response:
        assert response.status == 200
    assert house.measure("rate_limited_total", scope="qr") == 1
