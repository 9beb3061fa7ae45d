"""QR codes of links to this server (ISO/IEC 18004), drawn by segno, which is kept well and depends on nothing.

Only our own links are drawn: a service that draws anything would lend its name to anybody's link. `QrCodes` belongs to
the service.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import segno
from aiohttp import web

from signalling.access import SourceLimiter, source_of
from signalling.counters import Counters
from signalling.hosts import is_loopback, same_origin

MAX_TEXT_LENGTH = 300
# Drawing one takes about 5 ms.
CODES: Final = (30, 1.0)
_QUIET_ZONE_MODULES = 4


def is_own_link(text: str, host: str) -> bool:
    """Whether `text` is the URL of a page of the server that was asked as `host`, without a fragment.

    What stands in a fragment is a secret of its link, and not for a URL that is sent here.
    """
    if len(text) > MAX_TEXT_LENGTH or not text.isascii() or not text.isprintable() or "#" in text or " " in text:
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return same_origin(f"{parts.scheme}://{parts.netloc}", host)


def draw(text: str) -> bytes:
    """An SVG document without a size: black on white in every theme, quiet zone included, as scanners want it."""
    image = io.BytesIO()
    segno.make_qr(text, error="m").save(
        image,
        kind="svg",
        border=_QUIET_ZONE_MODULES,
        dark="#000",
        light="#fff",
        xmldecl=False,
        svgclass=None,
        lineclass=None,
        omitsize=True,
    )
    return image.getvalue()


class QrCodes:
    """`GET /qr.svg?text=<link>`."""

    def __init__(self, counters: Counters, clock: Callable[[], float]) -> None:
        self._counters = counters
        self._clock = clock
        self._limiter = SourceLimiter(*CODES)

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """The code; 400 for what is no link of ours, 429 for too many from one address."""
        text = request.query.get("text", "")
        if not is_own_link(text, request.host):
            return web.Response(status=400, text="not a link to this server\n")
        source = source_of(request.remote or "")
        if not is_loopback(source) and not self._limiter.take(source, self._clock()):
            self._counters.rate_limited["qr"] += 1
            return web.Response(status=429, headers={"Retry-After": "5"}, text="too many codes from this address\n")
        image = await asyncio.get_running_loop().run_in_executor(None, draw, text)
        # A link may be all that keeps strangers out: no cache on the way is to have it.
        return web.Response(body=image, content_type="image/svg+xml", headers={"Cache-Control": "private, no-store"})
