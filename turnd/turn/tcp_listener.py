"""One TCP relayed transport address on the event loop: a listener, and the connections with peers (RFC 6062 §5).

`TcpConnections` decides, this does. A connection that is not bound yet is a bare socket that nobody reads: what its
peer sends waits in the kernel, which closes the window when it has enough.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from turnd.turn.allocation import Address, Allocation, Flow, TcpRelay
from turnd.turn.byte_rate import Directions
from turnd.turn.peer_policy import canonical
from turnd.turn.splice import Splice

if TYPE_CHECKING:
    from turnd.turn.connection import TurnConnection
    from turnd.turn.tcp_connections import TcpConnections

log = logging.getLogger(__name__)

BACKLOG = 16
MAX_ACCEPTS = 16  # in one turn of the loop
MAX_KERNEL_BYTES = 256 * 1024  # asked for each buffer of a connection; without it the kernel may go to megabytes
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
EXHAUSTED_SECONDS = 1.0  # without accepting, when the system has no more to give
WILDCARDS = {4: "0.0.0.0", 6: "::"}


class TcpListener(TcpRelay):
    """Holds one port of a family's wildcard address, and accepts once it serves an allocation."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        family: int,
        port: int,
        core: TcpConnections,
        client: Callable[[Flow], TurnConnection],
        directions: Directions,
    ) -> None:
        """`client` is the connection of a flow that binds one of a peer. OSError: the port cannot be had."""
        self._loop = loop
        self._family = family
        self._core = core
        self._client = client
        self._directions = directions
        self._allocation: Allocation | None = None
        self._sockets: dict[int, socket.socket] = {}  # of connections that are not bound
        self._splices: dict[int, Splice] = {}
        self._rest: asyncio.TimerHandle | None = None
        self._closed = False
        self._listener = self._socket()
        try:
            self._listener.bind((WILDCARDS[family], port))
            self._listener.listen(BACKLOG)
        except OSError:
            self._listener.close()
            raise
        # Only now, so that a port which somebody else has is refused: connections from this port may be begun.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    def _socket(self) -> socket.socket:
        family = socket.AF_INET6 if self._family == 6 else socket.AF_INET
        result = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bound_buffers(result)  # those that are accepted inherit it
        if self._family == 6:
            result.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return result

    def serve(self, allocation: Allocation) -> None:
        """Accepts peers from now on, for the allocation that has begun."""
        self._allocation = allocation
        self._listen()

    def pair(self, first: Self) -> None:
        """See `TcpRelay`."""
        self._directions = first._directions

    def limit(self, bytes_per_second: int) -> None:
        """See `TcpRelay`."""
        self._directions.limit(bytes_per_second)

    # Peers that come.

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(MAX_ACCEPTS):
            try:
                peer, address = self._listener.accept()
            except OSError as error:  # the queue is empty, or the first in it has gone
                if error.errno in EXHAUSTED:
                    log.warning("no connections of peers are taken for a moment", extra={"reason": error.strerror})
                    self._loop.remove_reader(self._listener)
                    self._rest = self._loop.call_later(EXHAUSTED_SECONDS, self._listen)
                return
            number = self._number((canonical(address[0]), address[1]))
            if number is None:
                peer.close()
            else:
                peer.setblocking(False)
                self._sockets[number] = peer

    def _number(self, peer: Address) -> int | None:
        if self._allocation is None:
            return None
        return self._core.accepted(self._allocation, self, peer, self._loop.time())

    # Peers that are called.

    def connect(self, number: int, peer: Address) -> None:
        """See `TcpRelay`."""
        try:
            self._sockets[number] = calling = self._call(peer)
        except OSError:
            self._loop.call_soon(self._failed, number)
        else:
            self._loop.add_writer(calling, self._answered, number)

    def _call(self, peer: Address) -> socket.socket:
        calling = self._socket()
        try:
            calling.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            calling.bind(self._listener.getsockname())
            error = calling.connect_ex(peer)
            if error not in (0, errno.EINPROGRESS):
                raise OSError(error, "cannot connect")
        except OSError:
            calling.close()
            raise
        return calling

    def _answered(self, number: int) -> None:
        calling = self._sockets[number]
        self._loop.remove_writer(calling)
        if calling.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.end(number)
            self._failed(number)
        else:
            self._core.connected(number, self._loop.time())

    def _failed(self, number: int) -> None:
        if not self._closed:
            self._core.failed(number)

    # Connections.

    def bind(self, number: int, flow: Flow) -> None:
        """See `TcpRelay`."""
        peer = self._sockets.pop(number)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def join(client: asyncio.Transport) -> Splice:
            _bound_buffers(client.get_extra_info("socket"))
            self._splices[number] = Splice(self._loop, peer, client, self._directions, lambda: self._ended(number))
            return self._splices[number]

        self._client(flow).hand_over(join)

    def _ended(self, number: int) -> None:
        if self._splices.pop(number, None) is not None:
            self._core.ended(number)

    def end(self, number: int) -> None:
        """See `TcpRelay`."""
        if number in self._splices:
            self._splices.pop(number).abort()
        else:
            ended = self._sockets.pop(number)
            self._loop.remove_writer(ended)
            ended.close()

    def close(self) -> None:
        """See `TcpRelay`."""
        self._closed = True
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for number in (*self._sockets, *self._splices):
            self.end(number)
            self._core.ended(number)


def _bound_buffers(connection: socket.socket) -> None:
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        connection.setsockopt(socket.SOL_SOCKET, option, MAX_KERNEL_BYTES)
