from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from signalling.media import MediaService
from signalling.server import SignallingSettings
from tests.signalling.house import House
from tests.signalling.tus_client import Tus
from tests.signalling.whip_client import Whip


@pytest.fixture
def web_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "web"
    (directory / "js").mkdir(parents=True)
    (directory / "node_modules" / "x").mkdir(parents=True)
    script = '<script type="module" src="/assets/js/main.js"></script>'
    (directory / "index.html").write_text("<!doctype html><title>home</title>" + script + "<p>welcome</p>" * 100)
    (directory / "room.html").write_text("<!doctype html><title>room</title>")
    (directory / "js" / "main.js").write_text("// the page's code\n" * 100)
    (directory / "package.json").write_text("{}")
    (directory / "node_modules" / "x" / "x.js").write_text("secret")
    (directory / ".env").write_text("secret")
    return directory


@pytest.fixture
async def open_house(web_directory: Path) -> AsyncIterator[Callable[..., asyncio.Future[House]]]:
    houses: list[House] = []

    async def open_one(settings: SignallingSettings | None = None, sfu: MediaService | None = None) -> House:
        house = House(web_directory, settings or SignallingSettings(), sfu)
        houses.append(house)
        await house.start()
        return house

    yield open_one  # type: ignore[misc]
    for house in houses:
        await house.close()


@pytest.fixture
async def house(open_house: Callable[..., asyncio.Future[House]]) -> House:
    return await open_house()


@pytest.fixture
def whip(house: House) -> Whip:
    return Whip(house)


@pytest.fixture
def tus(house: House) -> Tus:
    return Tus(house)
