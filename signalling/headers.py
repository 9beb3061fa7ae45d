"""What every answer tells the browser about what it may do (CSP Level 3, Permissions Policy)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from signalling.hosts import parse_authority

# What holds for any answer.
EVERYWHERE: Final = {"Referrer-Policy": "no-referrer", "Server": "turnd", "X-Content-Type-Options": "nosniff"}

_POLICY: Final = (
    "default-src 'self'; connect-src 'self' ws://{host} wss://{host}; img-src 'self' data: blob:; "
    "media-src 'self' blob: mediastream:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'self'{ancestors}"
)
# What a document alone obeys: on each of a page's seventy files it would only weigh.
_DOCUMENT: Final = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
}
_NO_DOCUMENTS: Final = frozenset({"text/css", "text/javascript", "application/json", "image/png"})


class Headers:
    """`add` is a signal handler of `on_response_prepare`."""

    def __init__(self, embed: Sequence[str]) -> None:
        """`embed` are the origins whose pages may show a room in a frame; nothing else is ever framed by them."""
        self._ancestors = "".join(f" {origin}" for origin in embed)

    async def add(self, request: web.Request, response: web.StreamResponse) -> None:
        """Adds what holds for this answer."""
        response.headers.update(EVERYWHERE)
        if response.content_type in _NO_DOCUMENTS:
            return
        response.headers.update(_DOCUMENT)
        if "Content-Security-Policy" in response.headers:
            return
        authority = parse_authority(request.host)
        if authority is not None:
            port = "" if authority.port is None else f":{authority.port}"
            ancestors = self._ancestors if request.path.startswith("/r/") else ""
            policy = _POLICY.format(host=f"{authority.bracketed}{port}", ancestors=ancestors)
            response.headers["Content-Security-Policy"] = policy
