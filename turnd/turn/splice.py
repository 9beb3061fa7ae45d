"""A client's data connection joined to a connection with a peer (RFC 6062 §5.4): bytes pass as they are, both ways.

What one side does not take stops the reading of the other: at most one read waits for the peer, and for the client what
its transport buffers, MAX_TO_CLIENT_BYTES and one read. An end of one direction is passed on behind its last byte.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from turnd.turn.byte_rate import ByteRate, Directions

PEER_READ_BYTES = 64 * 1024
MAX_TO_CLIENT_BYTES = 64 * 1024


class Splice:
    """Joins `client`, whose protocol tells what happens there, to the non-blocking socket `peer`, which it owns."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        peer: socket.socket,
        client: asyncio.Transport,
        directions: Directions,
        ended: Callable[[], None],
    ) -> None:
        """`ended` is called once, when both sides are closed and the client's protocol has told so."""
        self._loop = loop
        self._peer = peer
        self._client = client
        self._directions = directions
        self._ended = ended
        self._unsent = bytearray()  # to the peer
        self._client_full = False
        self._client_done = False  # it sends no more
        self._client_gone = False  # nor does it take any more
        self._peer_ended = False
        self._peer_told = False  # that the client has ended
        self._reading_client = True
        self._reading_peer = False
        self._writing_peer = False
        self._waits: dict[ByteRate, asyncio.TimerHandle] = {}
        self._closed = False
        client.set_write_buffer_limits(high=MAX_TO_CLIENT_BYTES)
        self._steer()

    @property
    def waiting_bytes(self) -> int:
        """What the peer has not taken yet."""
        return len(self._unsent)

    # The client's side, as its protocol tells.

    def client_received(self, data: bytes) -> None:
        """Bytes for the peer; those that cannot be sent now stop the client's reading."""
        if self._closed or not data:
            return
        self._unsent += data
        self._pass(self._directions.to_peer, len(data))
        self._send()

    def client_ended(self) -> bool:
        """The client sends no more; whether its connection stays open for what the peer has to say (not with TLS)."""
        self._client_done = True
        self._steer()
        return not self._closed and self._client.can_write_eof()

    def client_full(self, full: bool) -> None:
        """Whether the client's transport has enough to write."""
        self._client_full = full
        self._steer()

    def client_lost(self, error: Exception | None) -> None:
        """The client's connection is closed: so is the peer's, behind what has come in good order."""
        self._client_gone = self._client_done = True
        if self._closed:
            self._ended()
        elif error is not None:
            self.close()
        else:
            self._steer()

    # The peer's side.

    def _receive(self) -> None:
        try:
            data = self._peer.recv(PEER_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._peer_ended = not data
        if not self._client.is_closing():
            self._tell_client(data)
        self._steer()

    def _tell_client(self, data: bytes) -> None:
        """What the peer has sent, or with no data that it has ended."""
        if data:
            self._pass(self._directions.to_client, len(data))
            self._client.write(data)
        elif self._client.can_write_eof():
            self._client.write_eof()
        else:
            self._client.close()  # TLS has no half-closed connections

    def _send(self) -> None:
        try:
            sent = self._peer.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        del self._unsent[:sent]
        self._steer()

    # Both.

    def _pass(self, direction: ByteRate, number: int) -> None:
        """Counts what was read, and stops reading for as long as the rates ask."""
        now = self._loop.time()
        wait = direction.spend(number, now)
        if direction in self._waits:
            self._waits.pop(direction).cancel()
        if wait:
            self._waits[direction] = self._loop.call_at(now + wait, self._go_on, direction)

    def _go_on(self, direction: ByteRate) -> None:
        del self._waits[direction]
        self._steer()

    def _steer(self) -> None:
        """Reads and writes on each side exactly when there is reason to; ends what has nothing left to do."""
        if self._closed:
            return
        if self._client_done and not self._unsent and not self._peer_told:
            self._tell_peer()
        if self._peer_told and (self._peer_ended or self._client_gone):
            self.close()
            return
        waits = self._waits
        self._read_client(not (self._client_done or self._unsent or self._directions.to_peer in waits))
        idle = self._peer_ended or self._client_gone or self._client_full or self._directions.to_client in waits
        self._read_peer(not idle)
        self._write_peer(bool(self._unsent))

    def _tell_peer(self) -> None:
        self._peer_told = True
        try:
            self._peer.shutdown(socket.SHUT_WR)
        except OSError:  # it has gone: reading tells
            self._peer_ended = True

    def _read_client(self, wanted: bool) -> None:
        if wanted != self._reading_client and not self._client.is_closing():
            self._reading_client = wanted
            if wanted:
                self._client.resume_reading()
            else:
                self._client.pause_reading()

    def _read_peer(self, wanted: bool) -> None:
        if wanted != self._reading_peer:
            self._reading_peer = wanted
            if wanted:
                self._loop.add_reader(self._peer, self._receive)
            else:
                self._loop.remove_reader(self._peer)

    def _write_peer(self, wanted: bool) -> None:
        if wanted != self._writing_peer:
            self._writing_peer = wanted
            if wanted:
                self._loop.add_writer(self._peer, self._send)
            else:
                self._loop.remove_writer(self._peer)

    def close(self) -> None:
        """Ends both sides; what the client's transport holds is still written, for as long as that takes."""
        if not self._closed:
            self._closed = True
            for timer in self._waits.values():
                timer.cancel()
            self._read_peer(wanted=False)
            self._write_peer(wanted=False)
            self._peer.close()
            self._client.close()
            if self._client_gone:
                self._ended()

    def abort(self) -> None:
        """Ends both sides at once, and what waits for either is lost."""
        self.close()
        self._client.abort()
