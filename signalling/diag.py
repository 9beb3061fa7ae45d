"""How fast bytes go between a visitor and this server: what `/diag` measures, beside its calls.

A run is paced and bounded, few run at a time, and each address may make few: whoever measures their line must not take
the line of those who talk. `Throughput` belongs to the service.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Final

from aiohttp import web

from signalling.access import SourceLimiter, source_of
from signalling.counters import Counters
from signalling.hosts import is_loopback
from wire.measure import Measure

MAX_BYTES: Final = 8_000_000
# 20 Mbit/s, more than any call needs: what is faster is told as "at least".
MAX_BYTES_PER_SECOND: Final = 2_500_000
MAX_RUNS = 2
RUN_SECONDS = 12.0
# One look at a line makes some six runs.
RUNS_OF_SOURCE: Final = (24, 0.1)
UPLINK_SHARE: Final = 0.25
# Tells a visitor of a fast line that it is not their line that is measured.
PACE_HEADER: Final = "Turnd-Bytes-Per-Second"
_CHUNK_BYTES = 32 * 1024


class Pace:
    """Lets bytes pass at so many a second at most."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bytes_per_second: float = MAX_BYTES_PER_SECOND) -> None:
        self._loop = loop
        self._bytes_per_second = bytes_per_second
        self.started_at = loop.time()
        self._next_at = self.started_at

    async def passed(self, amount: int) -> None:
        """Waits until more may follow these."""
        self._next_at = max(self._next_at, self._loop.time() - 0.05) + amount / self._bytes_per_second
        await asyncio.sleep(self._next_at - self._loop.time())

    @property
    def seconds(self) -> float:
        """Since the first byte."""
        return self._loop.time() - self.started_at


class Throughput:
    """`GET /diag/data?bytes=<n>` and `POST /diag/data`."""

    def __init__(self, counters: Counters, loop: asyncio.AbstractEventLoop) -> None:
        self._counters = counters
        self._loop = loop
        self._limiter = SourceLimiter(*RUNS_OF_SOURCE)
        self._runs = 0
        # Random, so that no box on the way makes less of it.
        self._chunk = os.urandom(_CHUNK_BYTES)
        self._bytes = {"in": 0, "out": 0}
        self._out_bytes_per_second = float(MAX_BYTES_PER_SECOND)

    def set_uplink(self, uplink_bps: int) -> None:
        """What of the host's uplink a run may take: a share of it where it has a bound (0: it has none)."""
        share = uplink_bps / 8 * UPLINK_SHARE if uplink_bps else MAX_BYTES_PER_SECOND
        self._out_bytes_per_second = min(MAX_BYTES_PER_SECOND, share)

    def measures(self) -> Iterator[Measure]:
        """What went by in such runs."""
        for direction, amount in self._bytes.items():
            yield Measure("diag_bytes_total", {"direction": direction}, amount)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Adds both."""
        router.add_get("/diag/data", self.send, allow_head=False)
        router.add_post("/diag/data", self.receive)

    def _refusal(self, request: web.Request) -> web.Response | None:
        source = source_of(request.remote or "")
        allowed = is_loopback(source) or self._limiter.take(source, self._loop.time())
        if allowed and self._runs < MAX_RUNS:
            return None
        self._counters.rate_limited["diag"] += 1
        response = web.Response(
            status=503 if allowed else 429, headers={"Retry-After": "5"}, text="too much measuring\n"
        )
        response.force_close()
        return response

    async def send(self, request: web.Request) -> web.StreamResponse:
        """As many bytes as asked for."""
        text = request.query.get("bytes", "")
        amount = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
        if not 1 <= amount <= MAX_BYTES:
            return web.Response(status=400, text=f"bytes must be 1 to {MAX_BYTES}\n")
        if refusal := self._refusal(request):
            return refusal
        headers = {
            "Cache-Control": "no-store, no-transform",
            "Content-Length": str(amount),
            PACE_HEADER: str(round(self._out_bytes_per_second)),
        }
        response = web.StreamResponse(headers=headers)
        response.content_type = "application/octet-stream"
        self._runs += 1
        try:
            async with asyncio.timeout(RUN_SECONDS):
                await self._send(request, response, amount)
        except TimeoutError:
            response.force_close()
        finally:
            self._runs -= 1
        return response

    async def _send(self, request: web.Request, response: web.StreamResponse, amount: int) -> None:
        await response.prepare(request)
        pace = Pace(self._loop, self._out_bytes_per_second)
        while amount:
            chunk = self._chunk[:amount]
            await response.write(chunk)
            amount -= len(chunk)
            self._bytes["out"] += len(chunk)
            if amount:
                await pace.passed(len(chunk))
        await response.write_eof()

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """Takes bytes and says how many in which time: the sender's own clock counts what lies in buffers."""
        if (request.content_length or 0) > MAX_BYTES:
            return self._too_much()
        if refusal := self._refusal(request):
            return refusal
        self._runs += 1
        total = 0
        pace = Pace(self._loop)
        try:
            async with asyncio.timeout(RUN_SECONDS):
                while chunk := await request.content.read(_CHUNK_BYTES):
                    total += len(chunk)
                    self._bytes["in"] += len(chunk)
                    if total > MAX_BYTES:
                        return self._too_much()
                    await pace.passed(len(chunk))
        except TimeoutError:
            response = web.Response(status=408, text="that took too long\n")
            response.force_close()
            return response
        finally:
            self._runs -= 1
        headers = {"Cache-Control": "no-store"}
        return web.json_response({"bytes": total, "seconds": round(pace.seconds, 4)}, headers=headers)

    @staticmethod
    def _too_much() -> web.Response:
        response = web.Response(status=413, text=f"over {MAX_BYTES} bytes\n")
        response.force_close()
        return response
