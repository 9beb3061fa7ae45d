"""The routes of the page: its HTML, its files, and a page that helps where nothing is. The service owns `Pages`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from signalling.assets import Assets
from signalling.not_found import not_found_page

MAX_ROOM_NAME_LENGTH = 64

_WELL_KNOWN_FILES = frozenset({"favicon.ico", "manifest.webmanifest", "robots.txt"})
_ROOM_NAME = re.compile(r"[a-z0-9-]{1,64}")


def normal_room_name(text: str) -> str:
    """The nearest room name: lower case, without accents, hyphens for all else; empty when nothing is left."""
    plain = unicodedata.normalize("NFKD", text[: 4 * MAX_ROOM_NAME_LENGTH]).lower()
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_ROOM_NAME_LENGTH].rstrip("-")


def is_room_name(text: str) -> bool:
    """Whether a room can have this name."""
    return _ROOM_NAME.fullmatch(text) is not None


class Pages:
    """Answers what a browser loads."""

    def __init__(self, directory: Path, embed: Sequence[str] = ()) -> None:
        """AssetsError when there is no page in `directory`. `embed` are the origins that a framed room listens to."""
        self._assets = Assets(directory, {"embed": " ".join(embed)})

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Adds the routes that end with `/{path}`, which takes all that is left."""
        router.add_get("/", self.home)
        router.add_get("/diag", self.diag)
        router.add_get("/r/{room}", self.room)
        router.add_get("/r/{room}/", self.room_with_slash)
        router.add_get("/assets/{path:.*}", self.asset)
        router.add_get("/{path:.*}", self.elsewhere)

    async def home(self, request: web.Request) -> web.StreamResponse:
        """`/`"""
        return self._assets.home.response(request)

    async def diag(self, request: web.Request) -> web.StreamResponse:
        """`/diag`: what tells visitors what is wrong with their network or devices."""
        asset = self._assets.get("diag.html")
        return asset.response(request) if asset is not None else not_found_page(request)

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """`/assets/{path}`"""
        asset, immutable = self._assets.find(request.match_info["path"])
        return asset.response(request, immutable=immutable) if asset is not None else not_found_page(request)

    async def elsewhere(self, request: web.Request) -> web.StreamResponse:
        """`/{path}`: what browsers and robots ask for by themselves, and nothing else."""
        path = request.match_info["path"]
        asset = self._assets.get(path) if path in _WELL_KNOWN_FILES else None
        return asset.response(request) if asset is not None else not_found_page(request)

    async def room(self, request: web.Request) -> web.StreamResponse:
        """`/r/{room}`: the page, or a redirect to the name as it is written."""
        name = request.match_info["room"]
        if is_room_name(name):
            return self._assets.room.response(request)
        normal = normal_room_name(name)
        if not normal:
            return not_found_page(request)
        query = f"?{request.query_string}" if request.query_string else ""
        return web.Response(status=302, headers={"Location": f"/r/{normal}{query}"})

    async def room_with_slash(self, request: web.Request) -> web.StreamResponse:
        """`/r/{room}/`: what people type."""
        name = normal_room_name(request.match_info["room"])
        if not name:
            return not_found_page(request)
        return web.Response(status=302, headers={"Location": f"/r/{name}"})
