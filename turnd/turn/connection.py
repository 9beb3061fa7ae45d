"""One connection of a TURN client: what all of them do with its messages, and TCP and TLS as an asyncio protocol.

Owned by `TurnService`, which ends connections that stay without an allocation and bounds how many there are.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, cast

from turnd.turn.allocation import Flow
from turnd.turn.peer_policy import canonical
from turnd.turn.stream import MAX_FIRST_MESSAGE_BYTES, MAX_MESSAGE_BYTES, StreamError, StreamFramer, is_channel_data

if TYPE_CHECKING:
    from turnd.turn.relay import Relay
    from turnd.turn.service import TurnService
    from turnd.turn.splice import Splice

log = logging.getLogger(__name__)

MAX_WRITE_BUFFER_BYTES = 256 * 1024  # over it, datagrams from peers are dropped: late media is worth nothing
MAX_UNREAD_BYTES = 1024 * 1024  # over it, a client that only asks and never reads is cut off
MAX_UNSENT_BYTES = 128 * 1024  # in the kernel, which would take megabytes for each connection


class TurnClient(ABC):
    """A client whose messages reach Python one by one: to its relay or to the core, in order."""

    def __init__(self, service: TurnService, flow: Flow | None = None) -> None:
        self._service = service
        self._relays: list[Relay] = []  # one for each family, none without an allocation
        self.flow = flow

    def _take(self, messages: Iterable[bytes]) -> None:
        """Hands ChannelData to the relay, all of a run at once, and everything else to the core, in order."""
        if self.flow is None:
            return
        run: list[bytes] = []
        try:
            for message in messages:
                if is_channel_data(message):
                    run.append(message)
                    continue
                self._forward(run)
                run = []
                response = self._service.receive(message, self.flow)
                if response is not None:
                    self.answer(response)
        finally:  # also what came before the end of a stream
            self._forward(run)

    def _forward(self, messages: list[bytes]) -> None:
        if not messages:
            return
        if self._relays:
            self._relays[0].forward(messages)  # the other one's channels are known to it
        elif self.flow is not None:
            self._service.arrived(self.flow, messages)

    @abstractmethod
    def answer(self, response: bytes) -> None:
        """What the core has for the client; one that has not read what it asked for already may be cut off."""

    @abstractmethod
    def allocated(self, relays: list[Relay]) -> None:
        """The client has an allocation; the first relay is to serve it, and with it the other one."""

    def closed(self, relay: Relay) -> None:
        """A relayed address has ended; with the last one the allocation has."""
        self._relays.remove(relay)

    @abstractmethod
    def expected(self) -> None:
        """The client of an allocation may go on from here (RFC 8016)."""

    def left(self) -> None:
        """The client has no allocation here any more, and is not expected with one."""
        self._relays = []

    @abstractmethod
    def abort(self) -> None:
        """Ends the connection at once."""


class TurnConnection(TurnClient, asyncio.Protocol):
    """A client on a stream. `flow` is set once connected; a refused connection is aborted and never registered."""

    def __init__(self, service: TurnService) -> None:
        super().__init__(service)
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._splice: Splice | None = None  # once it is the data connection of a TCP allocation
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Registers the connection; over the bound, or with addresses that are none, it ends here."""
        self._transport = cast("asyncio.Transport", transport)
        try:
            client, local = (
                (canonical(address[0]), int(address[1]))
                for address in (transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
            )
        except (TypeError, ValueError, IndexError):  # gone before it was accepted
            self.abort()
            return
        secure = transport.get_extra_info("sslcontext") is not None
        flow = Flow("tls" if secure else "tcp", client, local)
        if not self._service.connected(self, flow):
            self.abort()
            return
        self.flow = flow
        self._transport.set_write_buffer_limits(high=MAX_WRITE_BUFFER_BYTES)
        kernel: socket.socket | None = transport.get_extra_info("socket")
        if kernel is not None:
            kernel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)

    def data_received(self, data: bytes) -> None:
        """Messages, until one has bound this connection to a peer's: then raw bytes."""
        if self._splice is not None:
            self._splice.client_received(data)
        else:
            self._cut(data)

    def _cut(self, data: bytes) -> None:
        """Cuts the stream into messages; what is no TURN ends it."""
        try:
            self._take(self._messages(data))
        except StreamError as error:
            log.debug("stream ended", extra={"reason": str(error)})
            self.abort()
        if self._splice is not None:
            self._splice.client_received(self._framer.take())

    def _messages(self, data: bytes) -> Iterator[bytes]:
        for message in self._framer.receive(data):
            yield message
            if self._splice is not None:
                return

    def answer(self, response: bytes) -> None:
        """See `TurnClient`."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self.abort()
            return
        self._transport.write(response)

    def write(self, data: bytes) -> None:
        """What the relay has for the client."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def allocated(self, relays: list[Relay]) -> None:
        """The client has an allocation: larger messages are taken, peers' data is written here."""
        self._framer.max_message_bytes = MAX_MESSAGE_BYTES
        self._relays = relays
        # Clients have been seen that take a TLS record for one message (turnutils): each is written by itself there.
        each = self.flow is not None and self.flow.transport == "tls"
        relays[0].serve_stream(self.write, each=each)  # and with it the other one
        relays[0].paused = self._paused

    def hand_over(self, join: Callable[[asyncio.Transport], Splice]) -> None:
        """The client has bound this connection to one of a peer (RFC 6062 §5.4): behind the answer come raw bytes."""
        if self._transport is not None:
            self._splice = join(self._transport)
            self._splice.client_full(self._paused)

    def eof_received(self) -> bool:
        """A data connection stays open for what the peer has to say; others end."""
        return self._splice is not None and self._splice.client_ended()

    def closed(self, relay: Relay) -> None:
        """A relayed address has ended; with the last one the allocation has."""
        super().closed(relay)
        if not self._relays:
            self.left()

    def expected(self) -> None:
        """Its messages may be as large as they were where it comes from."""
        self._framer.max_message_bytes = MAX_MESSAGE_BYTES

    def left(self) -> None:
        """Such a client sends small messages."""
        super().left()
        self._framer.max_message_bytes = MAX_FIRST_MESSAGE_BYTES

    def pause_writing(self) -> None:
        """The client reads too slowly: what peers send is dropped and counted from now on."""
        self._pause(True)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._pause(False)

    def _pause(self, paused: bool) -> None:
        self._paused = paused
        if self._relays:
            self._relays[0].paused = paused
        if self._splice is not None:
            self._splice.client_full(paused)

    def connection_lost(self, exc: Exception | None) -> None:
        """The 5-tuple is gone, and its allocation with it (RFC 8656 §5), unless that can be moved (RFC 8016)."""
        if self.flow is not None:
            self._service.disconnected(self, self.flow)
        if self._splice is not None:
            self._splice.client_lost(exc)
        self._transport = None

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()
