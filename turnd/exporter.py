"""GET /metrics and GET /health, on their own listener away from visitors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web

from turnd import __version__
from turnd.metrics import MeasureError

if TYPE_CHECKING:
    from turnd.metrics import Exposition

log = logging.getLogger(__name__)


def build_app(exposition: Exposition, *, uptime: Callable[[], float], draining: Callable[[], bool]) -> web.Application:
    """The exporter's application; `uptime` in seconds."""

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

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/health", health)
    return app
