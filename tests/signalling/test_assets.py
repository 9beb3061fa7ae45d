from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from signalling.assets import MAX_ASSET_BYTES, Assets, AssetsError, find_assets
from tests.signalling.house import House


def test_only_the_pages_own_files_are_served(web_directory: Path) -> None:
    assets = Assets(web_directory)
    assert len(assets) == 3
    assert assets.get("js/main.js") is not None
    for path in ("package.json", "node_modules/x/x.js", ".env", "../web/index.html", "", "js", "js/"):
        assert assets.get(path) is None


def test_directory_without_a_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssetsError, match=r"no index\.html"):
        Assets(tmp_path)


def test_what_pages_share_stands_in_each_and_is_no_page(web_directory: Path) -> None:
    (web_directory / "head.html").write_text('<meta name="languages" content="">\n')
    for name in ("index.html", "room.html"):
        (web_directory / name).write_text('<!doctype html>\n<!--#include file="head.html" -->\n<p></p>\n')
    (web_directory / "locales").mkdir()
    (web_directory / "locales" / "fr.json").write_text("{}")
    assets = Assets(web_directory)
    for asset in (assets.home, assets.room):
        assert asset.body == b'<!doctype html>\n<meta name="languages" content="fr">\n<p></p>\n'
    assert assets.get("head.html") is None


def test_page_without_one_of_its_parts_is_refused(web_directory: Path) -> None:
    (web_directory / "room.html").write_text('<!--#include file="head.html" -->\n')
    with pytest.raises(AssetsError, match=r"room\.html includes head\.html"):
        Assets(web_directory)


def test_enormous_file_is_refused(web_directory: Path) -> None:
    with (web_directory / "big.mp3").open("wb") as file:
        file.truncate(MAX_ASSET_BYTES + 1)
    with pytest.raises(AssetsError, match=r"big\.mp3"):
        Assets(web_directory)


def test_the_page_is_found_in_a_checkout() -> None:
    assert (find_assets() / "index.html").is_file()


async def test_asset_is_revalidated_and_compressed(house: House) -> None:
    url = f"{house.url}/assets/js/main.js"
    async with house.http.get(url, headers={"Accept-Encoding": "br, gzip"}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["Vary"] == "Accept-Encoding"
        etag = response.headers["ETag"]
        assert gzip.decompress(await response.read()).startswith(b"// the page's code")
    async with house.http.get(url, headers={"Accept-Encoding": "gzip", "If-None-Match": etag}) as response:
        assert response.status == 304
        assert response.headers["ETag"] == etag
        assert not await response.read()


async def test_a_file_under_its_version_is_kept_for_good(house: House, web_directory: Path) -> None:
    version = Assets(web_directory).version
    for path, cache in (
        (f"{version}/js/main.js", "public, max-age=31536000, immutable"),
        (f"{'0' * 16}/js/main.js", "no-cache"),  # of a page that was loaded before a restart
        ("js/main.js", "no-cache"),
    ):
        async with house.http.get(f"{house.url}/assets/{path}") as response:
            assert response.status == 200
            assert response.headers["Cache-Control"] == cache
            assert "Content-Security-Policy" not in response.headers
    async with house.http.get(f"{house.url}/assets/{version}/nothing.js") as response:
        assert response.status == 404
        assert "Cache-Control" not in response.headers


async def test_pages_are_asked_about_each_time_and_name_the_version(house: House, web_directory: Path) -> None:
    async with house.http.get(house.url, headers={"Accept-Encoding": "identity"}) as response:
        assert response.headers["Cache-Control"] == "no-cache"
        etag = response.headers["ETag"]
        assert f'src="/assets/{Assets(web_directory).version}/js/main.js"' in (await response.text())
    headers = {"Accept-Encoding": "identity", "If-None-Match": etag}
    async with house.http.get(house.url, headers=headers) as response:
        assert response.status == 304


@pytest.mark.parametrize("change", ["content", "name", "new", "part"])
def test_the_version_follows_every_change(web_directory: Path, change: str) -> None:
    part = web_directory / "head.html"
    part.write_text("<meta>\n")
    (web_directory / "room.html").write_text('<!--#include file="head.html" -->\n')
    before = Assets(web_directory).version
    assert Assets(web_directory).version == before
    module = web_directory / "js" / "main.js"
    if change == "content":
        module.write_text("// other code")
    elif change == "name":
        module.rename(module.with_name("other.js"))
    elif change == "part":
        part.write_text("<link>\n")
    else:
        module.with_name("other.js").write_text("")
    assert Assets(web_directory).version != before


@pytest.mark.parametrize("coding", ["", "identity", "gzip;q=0", "br"])
async def test_asset_is_plain_for_who_takes_no_gzip(house: House, coding: str) -> None:
    async with house.http.get(f"{house.url}/assets/js/main.js", headers={"Accept-Encoding": coding}) as response:
        assert "Content-Encoding" not in response.headers
        assert (await response.read()).startswith(b"// the page's code")


async def test_encodings_have_different_validators(house: House) -> None:
    url = f"{house.url}/assets/js/main.js"
    async with house.http.get(url, headers={"Accept-Encoding": "gzip"}) as response:
        zipped = response.headers["ETag"]
    async with house.http.get(url, headers={"Accept-Encoding": "identity", "If-None-Match": zipped}) as response:
        assert response.status == 200


async def test_head_has_the_headers_alone(house: House) -> None:
    async with house.http.head(f"{house.url}/assets/js/main.js") as response:
        assert response.status == 200
        assert int(response.headers["Content-Length"]) > 0
