"""One WebSocket (RFC 6455): bounded messages in, a bounded queue out, a writer task that alone waits for a slow client.

A `Socket` belongs to the HTTP handler that runs it. It knows nothing of rooms: what arrives goes to its `Receiver`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from aiohttp import WSMsgType, web

from signalling.client_messages import MAX_MESSAGE_BYTES
from signalling.counters import Counters
from signalling.server_messages import Closing, Frame, ServerMessage, encode
from signalling.session import CLOSE_GOING_AWAY, CLOSE_NORMAL, CLOSE_OVERLOADED, CLOSE_TOO_LARGE
from signalling.turnstile import Rank, Turnstile

# What may wait for one client: more than a `joined` with the longest chat, and then some.
MAX_QUEUED_BYTES = 2 * 1024 * 1024
MAX_QUEUED_FRAMES = 1024
# Where so many clients are told something at once, they are told in turns; about what one frame takes.
MANY_SOCKETS = 50
FRAME_SECONDS = 0.00005
# How long the peer has to answer a close frame.
CLOSE_SECONDS = 2.0
# How long what a client still sends is thrown away so that it can read why: closing at once would reset the connection.
LINGER_SECONDS = 0.5
OVERLOADED_RETRY_MS = 1000


class Receiver(Protocol):
    """Who gets what arrives on a socket."""

    async def receive_text(self, text: str) -> None:
        """One text message."""

    async def receive_binary(self) -> None:
        """One binary message."""

    def too_large(self) -> ServerMessage | None:
        """A message over MAX_MESSAGE_BYTES: what is said before the socket closes."""

    def gone(self, *, for_good: bool = False) -> None:
        """Nothing more will come or go; `for_good`: the client said that it goes away."""


class _WebSocket(web.WebSocketResponse):
    """Says why before it closes on a message that is too large."""

    def __init__(self, socket: Socket) -> None:
        # aiohttp refuses messages as large as `max_msg_size`.
        super().__init__(
            timeout=CLOSE_SECONDS, compress=False, max_msg_size=MAX_MESSAGE_BYTES + 1, writer_limit=64 * 1024
        )
        self._socket = socket
        self.broken_with: int | None = None
        """The code aiohttp itself closed with, when the client broke RFC 6455 or a bound."""

    async def close(self, *, code: int = CLOSE_NORMAL, message: bytes = b"", drain: bool = True) -> bool:
        """As in aiohttp, which closes by itself, without a chance to speak, when a message is too large."""
        if code != CLOSE_NORMAL and not self.closed:
            self.broken_with = code
        if code == CLOSE_TOO_LARGE and not self.closed:
            await self._socket.refuse_too_large()
        return await super().close(code=code, message=message, drain=drain)


class Socket:
    """A client's WebSocket."""

    def __init__(self, counters: Counters, turnstile: Turnstile) -> None:
        self._counters = counters
        self._turnstile = turnstile
        self._loop = asyncio.get_running_loop()
        self._websocket = _WebSocket(self)
        self._receiver: Receiver | None = None
        self._transport: asyncio.Transport | None = None
        self._queue: deque[Frame] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._close_code: int | None = None

    @property
    def closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._close_code is not None

    # --- what goes out ---

    def send(self, frame: Frame) -> None:
        """Queues the frame; a client that lets too much pile up is cut off instead."""
        if self.closing:
            return
        size = len(frame.text)
        if len(self._queue) >= MAX_QUEUED_FRAMES or self._queued_bytes + size > MAX_QUEUED_BYTES:
            self._queue.clear()
            self._queued_bytes = 0
            self.close(Closing(reason="overloaded", retry_ms=OVERLOADED_RETRY_MS), CLOSE_OVERLOADED)
            if self._receiver is not None:
                # Later, since this may be one of many sends of a broadcast.
                self._loop.call_soon(self._receiver.gone)
            return
        self._queue.append(frame)
        self._queued_bytes += size
        self._wake.set()

    def close(self, message: ServerMessage | None, code: int) -> None:
        """Sends what is queued, then `message`, then the close frame; cuts the connection if that takes too long."""
        if self.closing:
            return
        if message is not None:
            frame = encode(message)
            self._queue.append(frame)
            self._queued_bytes += len(frame.text)
        self._begin_close(code)

    def _begin_close(self, code: int) -> None:
        self._close_code = code
        self._wake.set()
        # Stays set when the handler is done: the transport may still hold what the peer does not read.
        self._loop.call_later(2 * CLOSE_SECONDS, self._abort)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def refuse_too_large(self) -> None:
        """Says so, and lets what is on its way arrive."""
        message = self._receiver.too_large() if self._receiver is not None else None
        if message is not None and not self.closing:
            self._begin_close(CLOSE_TOO_LARGE)
            await self._send(encode(message))
            await asyncio.sleep(LINGER_SECONDS)

    async def _send(self, frame: Frame) -> None:
        await self._websocket.send_str(frame.text)
        self._counters.messages_out[frame.type] += 1

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._counters.sockets > MANY_SOCKETS:
                    await self._turnstile.turn(Rank.TELLING, len(self._queue) * FRAME_SECONDS)
                while self._queue:
                    frame = self._queue.popleft()
                    self._queued_bytes -= len(frame.text)
                    await self._send(frame)
                if self._close_code is not None:
                    if self._close_code != CLOSE_TOO_LARGE:
                        await self._websocket.close(code=self._close_code)
                    return
        except ConnectionError:
            self._abort()

    # --- what comes in ---

    async def run(self, request: web.Request, receiver: Receiver) -> web.WebSocketResponse:
        """Serves the socket until it is closed."""
        await self._websocket.prepare(request)
        self._receiver = receiver
        self._transport = request.transport
        self._counters.sockets += 1
        writer = self._loop.create_task(self._write())
        try:
            await self._read(receiver)
        finally:
            # Browsers send 1001 for a page that is closed or left, and nothing when the network breaks.
            receiver.gone(for_good=not self.closing and self._websocket.close_code == CLOSE_GOING_AWAY)
            self._counters.sockets -= 1
            self._counters.closed(self._close_code or self._websocket.broken_with or self._websocket.close_code)
            if not self.closing:
                self._queue.clear()
                self._begin_close(CLOSE_NORMAL)
            await writer
        return self._websocket

    async def _read(self, receiver: Receiver) -> None:
        while True:
            message = await self._websocket.receive()
            if message.type is WSMsgType.TEXT:
                await receiver.receive_text(message.data)
            elif message.type is WSMsgType.BINARY:
                await receiver.receive_binary()
            else:
                return
