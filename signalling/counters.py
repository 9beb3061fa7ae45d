"""What signalling counts, as plain numbers that the exporter reads at scrape. One `Counters` belongs to the service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, get_args

from signalling.client_messages import ErrorCode
from signalling.message_reader import CLIENT_TYPES
from signalling.server_messages import SERVER_TYPES
from signalling.session import INVALID, RATES
from wire.measure import Histogram, Measure

JOIN_RESULTS: Final = (
    *("ok", "resumed", "waiting", "password", "locked", "banned", "denied", "invitation"),
    *("room-full", "draining", "rate", "version", "internal"),
)
REFUSALS: Final = get_args(ErrorCode)
RECONNECT_RESULTS: Final = ("resumed", "unknown")
CLOSE_CODES: Final = ("1000", "1001", "1002", "1003", "1006", "1007", "1008", "1009", "1011", "1012", "1013", "other")
AUTH_FAILURES: Final = ("password", "invitation", "origin", "token")
RATE_SCOPES: Final = ("join", "password", "lobby", "sockets", "audience", "qr", "diag", "files", *RATES)

# The status codes that each route, named by its template, answers with.
ROUTE_CODES: Final = {
    "/": ("200", "304", "307", "400", "500", "other"),
    "/r/{room}": ("200", "302", "304", "307", "400", "404", "500", "other"),
    "/r/{room}/ws": ("101", "307", "400", "403", "404", "426", "500", "503", "other"),
    **{
        f"/r/{{room}}/{kind}": (
            *("200", "201", "204", "307", "400", "401", "403", "404", "405", "408", "413", "415", "422", "429"),
            *("500", "503", "other"),
        )
        for kind in ("whip", "whep")
    },
    **{
        f"/r/{{room}}/{kind}/{{session}}": (
            *(
                "200",
                "204",
                "307",
                "400",
                "403",
                "404",
                "405",
                "408",
                "412",
                "413",
                "415",
                "428",
                "429",
                "500",
                "other",
            ),
        )
        for kind in ("whip", "whep")
    },
    "/diag": ("200", "304", "307", "400", "500", "other"),
    "/diag/data": ("200", "307", "400", "408", "413", "429", "500", "503", "other"),
    "/r/{room}/files": (
        *("201", "204", "307", "400", "401", "403", "404", "405", "410", "412", "413", "429", "500"),
        *("507", "other"),
    ),
    "/r/{room}/files/{file}": (
        *("200", "204", "206", "304", "307", "400", "401", "403", "404", "405", "408", "409", "410", "412"),
        *("413", "415", "416", "429", "500", "507", "other"),
    ),
    "/qr.svg": ("200", "307", "400", "429", "500", "other"),
    "/assets/{path}": ("200", "304", "307", "400", "404", "500", "other"),
    "/{path}": ("200", "304", "307", "400", "404", "405", "500", "other"),
}
METHODS: Final = ("GET", "HEAD", "other")
SESSION_METHODS: Final = ("POST", "PATCH", "DELETE", "OPTIONS", "other")
FILE_METHODS: Final = ("GET", "HEAD", *SESSION_METHODS)

REQUEST_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
JOIN_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
ROOM_SECONDS: Final = (10, 60, 300, 900, 1800, 3600, 7200, 14400, 43200)


def _methods(route: str) -> tuple[str, ...]:
    if route == "/diag/data":
        return ("GET", "POST", "other")
    if "/files" in route:
        return FILE_METHODS
    return SESSION_METHODS if "/whip" in route or "/whep" in route else METHODS


class Counters:
    """Counts by label, every combination present from the start."""

    def __init__(self) -> None:
        self.joins = dict.fromkeys(JOIN_RESULTS, 0)
        self.refusals = dict.fromkeys(REFUSALS, 0)
        self.reconnects = dict.fromkeys(RECONNECT_RESULTS, 0)
        self.closes = dict.fromkeys(CLOSE_CODES, 0)
        self.auth_failures = dict.fromkeys(AUTH_FAILURES, 0)
        self.rate_limited = dict.fromkeys(RATE_SCOPES, 0)
        self.messages_in = dict.fromkeys((*CLIENT_TYPES, INVALID), 0)
        self.messages_out = dict.fromkeys(SERVER_TYPES, 0)
        self.requests = {
            (route, method, code): 0
            for route, codes in ROUTE_CODES.items()
            for method in _methods(route)
            for code in codes
        }
        self.sockets = 0
        self.internal_errors = 0
        self.join_seconds = Histogram(JOIN_SECONDS)
        self.room_seconds = Histogram(ROOM_SECONDS)
        self.request_seconds = Histogram(REQUEST_SECONDS)

    def closed(self, code: int | None) -> None:
        """Counts one socket's RFC 6455 close code; None: it broke."""
        label = str(code or 1006)
        self.closes[label if label in self.closes else "other"] += 1

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts one HTTP answer; how long it took says nothing where that is as long as the client likes."""
        known = route if route in ROUTE_CODES else "/{path}"
        code = str(status)
        key = (known, method if method in _methods(known) else "other", code if code in ROUTE_CODES[known] else "other")
        self.requests[key] += 1
        if status != 101 and "/files" not in known:
            self.request_seconds.observe(seconds)

    def measures(self) -> Iterator[Measure]:
        """Everything counted here."""
        for name, label, counts in (
            ("joins_total", "result", self.joins),
            ("refusals_total", "code", self.refusals),
            ("reconnects_total", "result", self.reconnects),
            ("websocket_closes_total", "code", self.closes),
            ("auth_failures_total", "kind", self.auth_failures),
            ("rate_limited_total", "scope", self.rate_limited),
        ):
            for value, count in counts.items():
                yield Measure(name, {label: value}, count)
        for direction, types in (("in", self.messages_in), ("out", self.messages_out)):
            for kind, count in types.items():
                yield Measure("websocket_messages_total", {"direction": direction, "type": kind}, count)
        for (route, method, code), count in self.requests.items():
            yield Measure("http_requests_total", {"route": route, "method": method, "code": code}, count)
        yield Measure("websocket_connections", {}, self.sockets)
        yield Measure("signalling_errors_total", {}, self.internal_errors)
        yield Measure("join_seconds", {}, self.join_seconds)
        yield Measure("room_seconds", {}, self.room_seconds)
        yield Measure("http_request_seconds", {}, self.request_seconds)
