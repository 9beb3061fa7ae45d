"""HTTP as WHIP and WHEP use it: an endpoint URL in each room that takes offers, and session URLs below it.

RFC 9725 (WHIP), draft-ietf-wish-whep, RFC 9110 (status codes, conditional requests), 6750 (bearer tokens), 8288 (Link),
Fetch (CORS). What an offer means differs and is the `Exchange`'s: `signalling.whip`, `signalling.whep`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from aiohttp import web

from signalling.access import source_of
from signalling.client_messages import MAX_PASSWORD_LENGTH, VERSION, Join, MalformedMessage
from signalling.entry import JoinRefusedError
from signalling.hosts import is_loopback, parse_authority, same_origin
from signalling.http_sessions import HttpSession, HttpSessions, Kind
from signalling.media import SdpError, SessionDescription, parse_description, parse_fragment
from signalling.message_reader import clean_name
from signalling.reception import Reception
from signalling.rooms import MustWaitError
from signalling.seat import Seat
from signalling.turnstile import Rank

MAX_OFFER_BYTES = 200_000
MAX_FRAGMENT_BYTES = 32_768
BODY_SECONDS = 10.0
PREFLIGHT_SECONDS = 600
RETRY_SECONDS = 30

SDP: Final = "application/sdp"
FRAGMENT: Final = "application/trickle-ice-sdpfrag"

_STATUS: Final = {
    "password": 401,
    "rate": 429,
    "room-full": 503,
    "draining": 503,
    **dict.fromkeys(("locked", "banned", "denied", "invitation"), 403),
}
_EXPOSED: Final = "Location, Link, ETag, Accept-Post, Retry-After"
_ASKED: Final = "Authorization, Content-Type, If-Match"
_ENTITY_TAG = re.compile(r'(W/)?"([^"]*)"')
# What User-Agent says, and how its participant is called if nobody says otherwise.
_AGENTS: Final = (("OBS", "OBS"), ("Lavf", "FFmpeg"), ("GStreamer", "GStreamer"))

Handler = Callable[[web.Request], Awaitable[web.Response]]


class RefusedRequestError(Exception):
    """Answered with `status`, `headers` and the text."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """What the client gets."""
        return web.Response(status=self.status, text=f"{self}\n", headers=self.headers)


class Exchange(Protocol):
    """What one of the two protocols makes of an offer."""

    @property
    def kind(self) -> Kind:
        """Which one."""

    def check(self, offer: SessionDescription, query: Mapping[str, str]) -> None:
        """RefusedRequestError, or SdpError when the offer cannot be used; before there is a seat."""

    def take(self, reception: Reception, room_name: str, join: Join, source: str, addresses: Sequence[str]) -> Seat:
        """The seat; JoinRefusedError, RefusedRequestError."""

    def answer(self, seat: Seat, text: str, query: Mapping[str, str]) -> str:
        """The answer to the offer `text`; SdpError."""


class HttpEndpoint:
    """The URLs of one protocol. Pages of `origins` may use them, beside our own; `*`: all pages."""

    def __init__(
        self,
        exchange: Exchange,
        reception: Reception,
        sessions: HttpSessions,
        is_room_name: Callable[[str], bool],
        origins: Sequence[str],
    ) -> None:
        self._exchange = exchange
        self._kind = exchange.kind
        self._reception = reception
        self._sessions = sessions
        self._is_room_name = is_room_name
        self._origins = frozenset(origins)

    # --- around both URLs ---

    async def endpoint(self, request: web.Request) -> web.Response:
        """`/r/{room}/whip`, `/r/{room}/whep`"""
        return await self._respond(request, self._named, {"POST": self._post}, {"Accept-Post": SDP})

    async def session(self, request: web.Request) -> web.Response:
        """`/r/{room}/whip/{session}`, `/r/{room}/whep/{session}`"""
        methods = {"PATCH": self._patch, "DELETE": self._delete}
        return await self._respond(request, self._living, methods, {"Accept-Patch": FRAGMENT})

    async def _respond(
        self,
        request: web.Request,
        find: Callable[[web.Request], object],
        methods: Mapping[str, Handler],
        accepted: Mapping[str, str],
    ) -> web.Response:
        """GET and HEAD have nothing to show of what `find` finds: 204 (RFC 9725 §4.1)."""
        allowed = ", ".join(("OPTIONS", "GET", "HEAD", *methods))
        cross_origin = self._cross_origin(request)
        try:
            if request.method == "OPTIONS":
                if cross_origin:
                    cross_origin["Access-Control-Allow-Methods"] = ", ".join(methods)
                    cross_origin["Access-Control-Allow-Headers"] = _ASKED
                    cross_origin["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
                response = web.Response(headers={"Allow": allowed, **accepted})
            elif "Origin" in request.headers and not cross_origin:
                self._reception.counters.auth_failures["origin"] += 1
                raise RefusedRequestError(403, "wrong origin")
            elif request.method in ("GET", "HEAD"):
                find(request)
                response = web.Response(status=204, headers=accepted)
            elif request.method in methods:
                response = await methods[request.method](request)
            else:
                raise RefusedRequestError(405, "Method Not Allowed", {"Allow": allowed})
        except RefusedRequestError as refused:
            response = refused.response()
        except JoinRefusedError as refused:
            response = self._refusal(refused).response()
        response.headers.update(cross_origin)
        response.headers["Cache-Control"] = "no-store"
        return response

    def _cross_origin(self, request: web.Request) -> dict[str, str]:
        """What a page may see; empty when there is none, or when it may not."""
        origin = request.headers.get("Origin")
        allowed = origin is not None and (
            same_origin(origin, request.host) or not self._origins.isdisjoint((origin.lower(), "*"))
        )
        if origin is None or not allowed:
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _EXPOSED,
            "Vary": "Origin",
        }

    def _refusal(self, error: JoinRefusedError) -> RefusedRequestError:
        self._reception.counters.joins[error.code] += 1
        status = _STATUS[error.code]
        seconds = RETRY_SECONDS if error.retry_ms is None else math.ceil(error.retry_ms / 1000)
        if status == 403:
            return RefusedRequestError(status, error.message)
        challenge = {"WWW-Authenticate": 'Bearer realm="turnd"'} if status == 401 else {"Retry-After": str(seconds)}
        return RefusedRequestError(status, error.message, challenge)

    # --- the endpoint ---

    def _named(self, request: web.Request) -> str:
        room_name = request.match_info["room"]
        if not self._is_room_name(room_name):
            raise RefusedRequestError(404, "no such room name")
        return room_name

    async def _post(self, request: web.Request) -> web.Response:
        reception, started_at = self._reception, self._reception.clock()
        room_name, authority = self._named(request), parse_authority(request.host)
        if authority is None:
            raise RefusedRequestError(400, "no such host")
        source = source_of(request.remote or "")
        reception.check(source)
        if not self._sessions.has_place(source, exempt=is_loopback(source)):
            reception.counters.rate_limited["sockets"] += 1
            raise JoinRefusedError("room-full", "too many sessions")
        join = _join(request, self._kind)
        text = await _body(request, SDP, MAX_OFFER_BYTES)
        self._check_offer(text, request.query)
        addresses = await reception.addresses.of(authority.host)
        room = reception.rooms.find(room_name, started_at)
        rank = Rank.AUDIENCE if room is not None and room.broadcast else Rank.STAGE
        session, answer = await reception.turnstile.run(
            rank, lambda: self._open(request, room_name, join, text, addresses)
        )
        reception.counters.joins["ok"] += 1
        reception.counters.join_seconds.observe(reception.clock() - started_at)
        response = web.Response(status=201, body=answer.encode(), content_type=SDP)
        response.headers["Location"] = session.path
        response.headers["ETag"] = f'"{session.etag}"'
        for link in link_headers(reception.ice_servers(authority.host, session.seat.id)):
            response.headers.add("Link", link)
        return response

    def _check_offer(self, text: str, query: Mapping[str, str]) -> None:
        """400 for what is no description, 422 for one that cannot be used: as a whole, never in part (§4.4.3)."""
        try:
            offer = parse_description(text)
        except SdpError as error:
            raise RefusedRequestError(400, str(error)) from None
        try:
            self._exchange.check(offer, query)
        except SdpError as error:
            raise RefusedRequestError(422, str(error)) from None

    def _open(
        self, request: web.Request, room_name: str, join: Join, text: str, addresses: Sequence[str]
    ) -> tuple[HttpSession, str]:
        """The session and our answer; without an answer there is no seat either."""
        reception, source = self._reception, source_of(request.remote or "")
        try:
            seat = self._exchange.take(reception, room_name, join, source, addresses)
        except MustWaitError:
            # Programs do not wait for somebody to let them in.
            raise JoinRefusedError("locked", "only a host's token or an invitation opens this room") from None
        seat.media.client_address = _address(request.remote)
        try:
            answer = self._exchange.answer(seat, text, request.query)
        except SdpError as error:
            reception.rooms.leave(seat, reception.clock())
            raise RefusedRequestError(422, str(error)) from None
        except Exception:
            reception.rooms.leave(seat, reception.clock())
            raise
        return self._sessions.open(self._kind, seat, source), answer

    # --- sessions ---

    def _limit(self, request: web.Request) -> None:
        source, now = source_of(request.remote or ""), self._reception.clock()
        if not is_loopback(source) and not self._reception.session_requests.take(source, now):
            self._reception.counters.rate_limited["negotiation"] += 1
            raise RefusedRequestError(429, "too many requests from this address", {"Retry-After": "1"})

    def _session(self, request: web.Request) -> HttpSession | None:
        return self._sessions.get(self._kind, request.match_info["room"], request.match_info["session"])

    def _living(self, request: web.Request) -> HttpSession:
        session = self._session(request)
        if session is None or session.lost:
            raise RefusedRequestError(404, "no such session")
        return session

    async def _patch(self, request: web.Request) -> web.Response:
        """Trickle ICE, or a restart when the credentials are new (§4.3)."""
        self._limit(request)
        self._living(request)
        condition = request.headers.get("If-Match")
        text = await _body(request, FRAGMENT, MAX_FRAGMENT_BYTES)
        if condition is None:
            raise RefusedRequestError(428, "If-Match is required")
        session = self._living(request)
        try:
            fragment = parse_fragment(text)
            if not _matches(condition, session.etag):
                raise RefusedRequestError(412, "this is not the present ICE session")
            ours = session.trickle(fragment)
        except SdpError as error:
            raise RefusedRequestError(400, str(error)) from None
        if ours is None:
            return web.Response(status=204)
        return web.Response(
            status=200, body=ours.encode(), content_type=FRAGMENT, headers={"ETag": f'"{session.etag}"'}
        )

    async def _delete(self, request: web.Request) -> web.Response:
        """200 and not 204: OBS takes anything else for a failure. It closes its connection before: that is no 404."""
        self._limit(request)
        session = self._session(request)
        if session is not None:
            self._sessions.end(session, self._reception.clock())
        elif not self._sessions.is_over(request.path):
            raise RefusedRequestError(404, "no such session")
        return web.Response(status=200)


def _matches(condition: str, etag: str) -> bool:
    """If-Match (RFC 9110 §13.1.1): weak tags never match. RFC 9725 prints the asterisk in quotes (§4.3.3, figure)."""
    return condition.strip() in ("*", '"*"') or any(
        not weak and tag == etag for weak, tag in _ENTITY_TAG.findall(condition)
    )


def _join(request: web.Request, kind: Kind) -> Join:
    """The bearer token is the room's password, an invitation, or a host's; the name is `?name=` or the program's."""
    agent = request.headers.get("User-Agent", "")
    known = next((name for mark, name in _AGENTS if mark in agent), kind.upper())
    try:
        name = clean_name(request.query.get("name", known))
    except MalformedMessage as error:
        raise RefusedRequestError(400, error.message) from None
    token = _bearer(request)
    return Join(
        version=VERSION, name=name, password=token, resume=token, host_key=token, invitation=token, subscribe=False
    )


def _bearer(request: web.Request) -> str:
    """The token of RFC 6750 §2.1, of any printable characters; empty when there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme and (scheme.lower() != "bearer" or len(token) > MAX_PASSWORD_LENGTH or not token.isprintable()):
        raise RefusedRequestError(401, "a bearer token is needed", {"WWW-Authenticate": 'Bearer realm="turnd"'})
    return token


def _address(remote: str | None) -> str | None:
    try:
        parsed = ipaddress.ip_address((remote or "").partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


async def _body(request: web.Request, content_type: str, most: int) -> str:
    """The whole body, if it is of that type (415), small (413), quick (408) and text (400)."""
    if request.content_type != content_type or "Content-Encoding" in request.headers:
        accept = "Accept-Post" if content_type == SDP else "Accept-Patch"
        raise RefusedRequestError(415, f"{content_type} is needed", {accept: content_type})
    body = bytearray()
    too_large = RefusedRequestError(413, f"at most {most} bytes")
    if (request.content_length or 0) > most:
        raise too_large
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.content.iter_any():
                body += part
                if len(body) > most:
                    raise too_large
        return body.decode()
    except TimeoutError:
        raise RefusedRequestError(408, "the body did not come") from None
    except UnicodeDecodeError:
        raise RefusedRequestError(400, "the body is not UTF-8") from None


def link_headers(servers: Iterable[Mapping[str, object]]) -> list[str]:
    """A Link for each URL (RFC 9725 §4.6). OBS splits at commas and semicolons: who has them in secrets is left out."""
    links = []
    for server in servers:
        urls, secrets = server["urls"], [str(server.get(key, "")) for key in ("username", "credential")]
        if not isinstance(urls, list) or any(character in secret for secret in secrets for character in ',;"\\'):
            continue
        credentials = ""
        if all(secrets):
            credentials = '; username="{}"; credential="{}"; credential-type="password"'.format(*secrets)
        links += [f'<{url}>; rel="ice-server"{credentials}' for url in urls]
    return links
