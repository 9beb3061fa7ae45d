"""GET /metrics and GET /health, on their own listener away from visitors.

There is no password. Web pages that had their name point here (DNS rebinding) are kept out: they come under that name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.typedefs import Handler

from signalling.hosts import is_ours, parse_authority
from turnd import __version__
from turnd.metrics import MeasureError

if TYPE_CHECKING:
    from turnd.metrics import Exposition

log = logging.getLogger(__name__)


def build_app(
    exposition: Exposition,
    *,
    uptime: Callable[[], float],
    draining: Callable[[], bool],
    public_host: Callable[[], str] = lambda: "",
) -> web.Application:
    """The exporter's application; `uptime` in seconds. It answers to addresses, localhost and `public_host`."""

    @web.middleware
    async def only_for_us(request: web.Request, handler: Handler) -> web.StreamResponse:
        authority = parse_authority(request.host)
        if authority is None or not is_ours(authority.host, public_host()):
            return web.Response(status=421, text="ask by IP address, localhost or http.public_host\n")
        return await handler(request)

    async def no_version(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = "turnd"

    async def metrics(request: web.Request) -> web.Response:
        try:
            body, content_type = exposition.render(request.headers.get("Accept", ""))
        except MeasureError as error:
            log.error("a metric is wrong: this is a bug of turnd", extra={"reason": error})
            return web.Response(status=500, text=f"{error}\n")
        return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def health(_request: web.Request) -> web.Response:
        state = "draining" if draining() else "ok"
        return web.json_response(
            {"status": state, "uptime_seconds": round(uptime(), 3), "version": __version__},
            status=503 if draining() else 200,
            headers={"Cache-Control": "no-store"},
        )

    app = web.Application(middlewares=[only_for_us])
    app.on_response_prepare.append(no_version)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/health", health)
    return app
