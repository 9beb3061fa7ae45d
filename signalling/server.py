"""Signalling over HTTP: the page, its files, and the WebSocket of each room (RFC 9110, RFC 6455).

`SignallingService` is the adapter that owns the rooms, the sockets and the one timer; the daemon mounts its `protocol`
on the listeners it has.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from signalling.access import source_of
from signalling.assets import find_assets
from signalling.conversation import Conversation
from signalling.counters import Counters
from signalling.diag import Throughput
from signalling.file_endpoint import FileEndpoint
from signalling.file_limits import FileLimits
from signalling.headers import EVERYWHERE, Headers
from signalling.hosts import Authority, HostAddresses, is_loopback, is_ours, parse_authority, same_origin
from signalling.http_endpoint import HttpEndpoint
from signalling.http_sessions import HttpSessions, Kind
from signalling.media import MediaService
from signalling.pages import Pages, is_room_name
from signalling.qr import QrCodes
from signalling.reception import IceServers, Reception
from signalling.resume import ResumeTokens
from signalling.room import Room, RoomLimits
from signalling.rooms import Rooms
from signalling.server_messages import Role
from signalling.storage import Storage
from signalling.turnstile import Rank, Turnstile
from signalling.websocket import Socket
from signalling.whep import Whep
from signalling.whip import Whip
from wire.measure import Measure

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
TICK_PARTS = 10
# Nothing that is served takes a body, but WHIP and WHEP, which have bounds of their own.
MAX_BODY_BYTES = 1024
# About what opening a WebSocket takes.
OPENING_SECONDS = 0.0005
# A browser loads the page over six connections: where hundreds come at once, they must not be kept for long.
CROWDED_CONNECTIONS = 256
CROWDED_IDLE_SECONDS = 5.0
LINGERING_SECONDS = 1.0
# Over how long the clients of a draining server are asked to come back: at least, and for each.
DRAIN_SPREAD_MS = 2000
DRAIN_EACH_MS = 5


class _HttpProtocol(RequestHandler):
    """aiohttp's, which would tell who does not speak HTTP what it is made of, and say their words back to them."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """As in aiohttp: logs, and closes the connection."""
        super().handle_error(request, status, exc, message)
        response = web.Response(status=status, text=f"{HTTPStatus(status).phrase}\n", headers=EVERYWHERE)
        response.force_close()
        return response


@dataclass(frozen=True, slots=True)
class SignallingSettings:
    """What can be set."""

    https_port: int | None = None
    """Where plain HTTP from another machine is sent; None: it is served."""
    limits: RoomLimits = field(default_factory=RoomLimits)
    """How many rooms and participants, and how long seats are kept."""
    keep_seconds: float = 0.0
    """How long a room's chat, rules and files outlive its last participant."""
    files: FileLimits = field(default_factory=FileLimits)
    """How much of files is taken and kept."""
    download_bps: int = 0
    """What all downloads of files together may take; 0: a share of `uplink_bps`."""
    uplink_bps: int = 0
    """What media may take of this machine's uplink; 0: unlimited."""
    max_sockets: int = 4000
    """WebSockets at a time."""
    idle_seconds: float = 75.0
    """How long an HTTP connection may wait for its next request; CROWDED_IDLE_SECONDS where there are many."""
    max_sockets_per_source: int = 1000
    """WebSockets at a time from one IPv4 address or IPv6 /64; this machine itself has no limit."""
    origins: tuple[str, ...] = ()
    """Other pages that may use WHIP and WHEP, as browsers name them in Origin; `*`: all."""
    embed: tuple[str, ...] = ()
    """Other pages that may show rooms in a frame and speak to them; `*`: all."""


class _ProtocolLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log, in which bytes that are no HTTP are no error of ours: they are counted."""

    def __init__(self, target: logging.Logger, counters: Counters) -> None:
        super().__init__(target)
        self._counters = counters

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """As in logging."""
        if isinstance(kwargs.get("exc_info"), HttpProcessingError):
            self._counters.request("/{path}", "other", 400, 0.0)
        else:
            super().log(level, msg, *args, **kwargs)


def _protocol_options(counters: Counters) -> dict[str, Any]:
    return {
        "access_log": None,
        "auto_decompress": False,
        "logger": _ProtocolLog(logger, counters),
        # Of a body that was refused: so that its sender can read why, and not much of it.
        "lingering_time": LINGERING_SECONDS,
    }


class SignallingService:
    """Everything between the listeners and the media."""

    def __init__(
        self,
        settings: SignallingSettings | None = None,
        *,
        sfu: MediaService,
        ice_servers: IceServers,
        public_host: Callable[[], str] = lambda: "",
        resume_key: bytes | None = None,
        assets: Path | None = None,
        state: Path | None = None,
        loop: asyncio.AbstractEventLoop,
        version: str,
        clock: Callable[[], float] | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`ice_servers(host, name)` makes what RTCPeerConnection takes; AssetsError when the page is not found.

        `public_host` tells the one name that is served; empty: every name is. `resume_key` signs resume tokens; None:
        they say nothing to the next service. `state` is the directory of rooms and files; None: neither is kept.
        """
        self.settings = settings or SignallingSettings()
        self.counters = Counters()
        self._loop = loop
        self._clock = clock or loop.time
        self._public_host = public_host
        self.pages = Pages(assets or find_assets(), self.settings.embed)
        self.throughput = Throughput(self.counters, loop)
        self._addresses = HostAddresses(loop, self._clock)
        self._turnstile = Turnstile(loop)
        self.storage = self._build_storage(state, wall)
        self.set_rates(self.settings.download_bps, self.settings.uplink_bps)
        self._rooms = self._build_rooms(sfu, ResumeTokens(resume_key), wall)
        self._reception = Reception(
            self._rooms, self.counters, ice_servers, self._addresses, self._turnstile, version, self._clock, wall
        )
        self._reception.file_bytes = self.storage.exchange.files.limits.max_bytes
        self._sessions = HttpSessions(self._rooms)
        self.files = FileEndpoint(self.storage.exchange, self._reception, is_room_name)
        self.qr = QrCodes(self.counters, self._clock)
        self.whip, self.whep = (
            HttpEndpoint(exchange, self._reception, self._sessions, is_room_name, self.settings.origins)
            for exchange in (Whip(), Whep())
        )
        self._conversations: dict[Conversation, str] = {}
        self._sockets_of: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._part = 0
        self._runner = web.AppRunner(build_app(self), access_log=None, shutdown_timeout=1.0)
        self._protocol_options = _protocol_options(self.counters)

    def _build_storage(self, state: Path | None, wall: Callable[[], float]) -> Storage:
        settings = self.settings
        return Storage(
            state,
            settings.files,
            settings.keep_seconds,
            self._room,
            self._turnstile,
            loop=self._loop,
            clock=self._clock,
            wall=wall,
        )

    def _build_rooms(self, sfu: MediaService, tokens: ResumeTokens, wall: Callable[[], float]) -> Rooms:
        ended, records = self.counters.room_seconds.observe, self.storage.archive
        return Rooms(self.settings.limits, sfu, ended, tokens, wall=wall, records=records)

    def _room(self, name: str) -> Room | None:
        return self._rooms.get(name)

    # --- life ---

    async def start(self) -> None:
        """Makes `protocol` usable, with what outlived the process before."""
        self.storage.start()
        await self._runner.setup()
        self._schedule()

    def set_rates(self, download_bps: int, uplink_bps: int) -> None:
        """What all downloads together may take, and what all of this machine's uplink may; 0: see the settings."""
        self.storage.exchange.set_rate(download_bps, uplink_bps)
        self.throughput.set_uplink(uplink_bps)

    def protocol(self) -> asyncio.Protocol:
        """A protocol for one accepted connection, plain or TLS."""
        server = self._runner.server
        if server is None:
            raise RuntimeError("the signalling service has not been started")
        crowded = len(server.connections) >= CROWDED_CONNECTIONS
        idle_seconds = min(self.settings.idle_seconds, CROWDED_IDLE_SECONDS if crowded else math.inf)
        return _HttpProtocol(server, loop=self._loop, keepalive_timeout=idle_seconds, **self._protocol_options)

    def refuse_newcomers(self) -> None:
        """Refuses joins but those of participants who come back."""
        self._reception.leaving = True

    def drain(self) -> None:
        """Refuses joins and sends everybody away to come back a little later."""
        self._reception.draining = True
        self._rooms.stop()
        conversations = list(self._conversations)
        spread_ms = max(DRAIN_SPREAD_MS, len(conversations) * DRAIN_EACH_MS)
        for index, conversation in enumerate(conversations):
            conversation.drain(500 + index * 50 % spread_ms)
        self._sessions.end_all(self._clock())

    async def close(self) -> None:
        """Ends all rooms and connections."""
        self.drain()
        if self._timer is not None:
            self._timer.cancel()
        self.storage.archive.stop()
        self._rooms.close(self._clock())
        await self._addresses.close()
        await self._runner.cleanup()
        await self.storage.close()

    def _schedule(self) -> None:
        self._timer = self._loop.call_later(TICK_SECONDS / TICK_PARTS, self._handle_timer)

    def _handle_timer(self) -> None:
        """A part of the conversations, so that those who came together are not all pinged at once."""
        self._schedule()
        self._part = (self._part + 1) % TICK_PARTS
        self._serve_timers(list(self._conversations)[self._part :: TICK_PARTS])
        if self._part == 0:
            self._end_what_is_over()

    def _serve_timers(self, conversations: Sequence[Conversation]) -> None:
        now = self._clock()
        for conversation in conversations:
            conversation.handle_timer(now)

    def tick(self) -> None:
        """Pings, times out, and ends seats nobody came back to, as of now."""
        self._serve_timers(list(self._conversations))
        self._end_what_is_over()

    def _end_what_is_over(self) -> None:
        now = self._clock()
        self._sessions.handle_timer(now)
        self._rooms.handle_timer(now)
        self.storage.handle_timer()

    def measures(self) -> Iterator[Measure]:
        """Everything countable about signalling."""
        yield from self.counters.measures()
        yield from self.throughput.measures()
        yield from self.storage.measures()
        yield Measure("rooms", {}, len(self._rooms))
        yield Measure("lobby_visitors", {}, self._rooms.visitors())
        yield Measure("joins_waiting", {}, self._turnstile.waiting)
        roles = Counter(seat.role for seat in self._rooms.seats())
        for role in Role:
            yield Measure("participants", {"role": role.value}, roles[role])
        for kind in Kind:
            yield Measure(f"{kind}_sessions", {}, self._sessions.count(kind))

    # --- routes ---

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        """`/r/{room}/ws`"""
        name, authority = request.match_info["room"], parse_authority(request.host)
        if authority is None or not is_room_name(name):
            return web.Response(status=404, text="no such room name\n")
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=426, headers={"Upgrade": "websocket"}, text="this is a WebSocket\n")
        origin = request.headers.get("Origin")
        if origin is not None and not same_origin(origin, request.host):
            self.counters.auth_failures["origin"] += 1
            return web.Response(status=403, text="wrong origin\n")
        source = source_of(request.remote or "")
        if self._is_full(source):
            self.counters.rate_limited["sockets"] += 1
            return web.Response(status=503, headers={"Retry-After": "5"}, text="too many connections\n")
        await self._turnstile.turn(Rank.ARRIVAL, OPENING_SECONDS)
        return await self._converse(request, name, authority, source)

    def _is_full(self, source: str) -> bool:
        if len(self._conversations) >= self.settings.max_sockets:
            return True
        return not is_loopback(source) and self._sockets_of.get(source, 0) >= self.settings.max_sockets_per_source

    async def _converse(self, request: web.Request, name: str, authority: Authority, source: str) -> web.StreamResponse:
        socket = Socket(self.counters, self._turnstile)
        conversation = Conversation(self._reception, socket, room_name=name, host=authority.host, source=source)
        self._conversations[conversation] = source
        self._sockets_of[source] = self._sockets_of.get(source, 0) + 1
        try:
            return await socket.run(request, conversation)
        finally:
            del self._conversations[conversation]
            self._sockets_of[source] -= 1
            if not self._sockets_of[source]:
                del self._sockets_of[source]

    # --- around every route ---

    def _serves(self, host: str) -> bool:
        public_host = self._public_host()
        return not public_host or is_ours(host, public_host)

    def _to_https(self, request: web.Request, authority: Authority) -> web.Response | None:
        """The redirect to HTTPS of what came in the clear from another machine."""
        port = self.settings.https_port
        if port is None or request.secure or is_loopback(request.remote or "") or is_loopback(authority.host):
            return None
        suffix = "" if port == 443 else f":{port}"
        return web.Response(
            status=307, headers={"Location": f"https://{authority.bracketed}{suffix}{request.rel_url.raw_path_qs}"}
        )

    async def answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """The middleware: what holds for every route. Nothing of an exception reaches the client."""
        started_at = self._clock()
        authority = parse_authority(request.host)
        try:
            if authority is None:
                response: web.StreamResponse = web.Response(status=400, text="bad Host header\n")
            elif not self._serves(authority.host):
                response = web.Response(status=421, text="this server has another name\n")
            else:
                response = self._to_https(request, authority) or await handler(request)
        except web.HTTPException as refusal:
            allow = {"Allow": refusal.headers["Allow"]} if "Allow" in refusal.headers else {}
            response = web.Response(status=refusal.status, headers=allow, text=f"{refusal.reason}\n")
        except ConnectionError:
            # The client went away while it was being answered.
            raise
        except Exception:
            logger.exception("answering a request failed")
            self.counters.internal_errors += 1
            response = web.Response(status=500, text="Internal Server Error\n")
        self.counters.request(_route_of(request), request.method, response.status, self._clock() - started_at)
        return response


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return (resource.canonical.rstrip("/") or "/") if resource is not None else "/{path}"


def build_app(service: SignallingService) -> web.Application:
    """The routes of `service`."""

    @web.middleware
    async def answer(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        return await service.answer(request, handler)

    app = web.Application(middlewares=[answer], client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(Headers(service.settings.embed).add)
    app.router.add_get("/r/{room}/ws", service.websocket, allow_head=False)
    for endpoint, kind in ((service.whip, Kind.WHIP), (service.whep, Kind.WHEP)):
        app.router.add_route("*", f"/r/{{room}}/{kind}", endpoint.endpoint)
        app.router.add_route("*", f"/r/{{room}}/{kind}/{{session}}", endpoint.session)
    app.router.add_route("*", "/r/{room}/files", service.files.collection)
    app.router.add_route("*", "/r/{room}/files/{file}", service.files.item)
    app.router.add_get("/qr.svg", service.qr.respond)
    service.throughput.add_routes(app.router)
    service.pages.add_routes(app.router)
    return app
