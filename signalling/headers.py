"""What every answer tells the browser about what it may do (CSP Level 3, Permissions Policy)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from signalling.hosts import parse_authority

# What holds for any answer.
EVERYWHERE: Final = {"Referrer-Policy": "no-referrer", "Server": "turnd", "X-Content-Type-Options": "nosniff"}

_POLICY: Final = (
    "default-src 'self'; connect-src 'self' ws://{host} wss://{host}; img-src 'self' data: blob:; "
    "media-src 'self' blob: mediastream:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'self'"
)
# What a document alone obeys: on each of a page's seventy files it would only weigh.
_DOCUMENT: Final = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
}
_NO_DOCUMENTS: Final = frozenset({"text/css", "text/javascript", "application/json", "image/png"})


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """A signal handler of `on_response_prepare`."""
    response.headers.update(EVERYWHERE)
    if response.content_type in _NO_DOCUMENTS:
        return
    response.headers.update(_DOCUMENT)
    authority = parse_authority(request.host)
    if authority is not None:
        port = "" if authority.port is None else f":{authority.port}"
        response.headers["Content-Security-Policy"] = _POLICY.format(host=f"{authority.bracketed}{port}")
