"""TURN clients of the benchmark: builds setups.c, which makes and ends their allocations, and keeps their sockets."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import itertools
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.load import SO_RCVBUFFORCE, Flow, SockaddrIn, compile_shared

ALLOCATE, REFRESH = 3, 4
CHANNEL = (0x4000).to_bytes(2, "big")
WINDOW = 32
RECEIVE_BUFFER_BYTES = 8 << 20
PORTS = range(10_000, 32_000)  # below those the kernel gives, so that no client holds a relay's port
OUTCOMES = {-1: "no answer", -2: "a wrong answer"}


class CClient(ctypes.Structure):
    """struct client of setups.c."""

    _fields_ = (
        ("fd", ctypes.c_int32),
        ("server", SockaddrIn),
        ("peer", SockaddrIn),
        ("user", ctypes.c_uint8 * 64),
        ("realm", ctypes.c_uint8 * 64),
        ("key", ctypes.c_uint8 * 16),
        ("user_bytes", ctypes.c_int32),
        ("realm_bytes", ctypes.c_int32),
        ("nonce", ctypes.c_uint8 * 128),
        ("nonce_bytes", ctypes.c_int32),
        ("relayed_port", ctypes.c_uint16),
        ("method", ctypes.c_uint16),
        ("request", ctypes.c_uint8 * 600),
        ("request_bytes", ctypes.c_int32),
        ("resends", ctypes.c_int32),
        ("sent_at", ctypes.c_uint64),
    )


class COutcome(ctypes.Structure):
    """struct outcome of setups.c."""

    _fields_ = (
        ("answers", ctypes.c_uint64),
        ("resends", ctypes.c_uint64),
        ("seconds", ctypes.c_double),
        ("busy_seconds", ctypes.c_double),
        ("code", ctypes.c_int32),
    )


@dataclass(frozen=True)
class Outcome:
    """What one go took: requests sent again, seconds in all, and the part in which clients had something to do."""

    resends: int
    seconds: float
    busy_seconds: float


@dataclass(frozen=True)
class Target:
    """A server as its clients see it."""

    address: tuple[str, int]
    realm: str
    users: Sequence[str]
    password: str

    def key(self, user: str) -> bytes:
        """RFC 8489 §9.2.2, MD5."""
        text = f"{user}:{self.realm}:{self.password}"
        return hashlib.md5(text.encode(), usedforsecurity=False).digest()


class Clients:
    """Allocations at one server, each with a channel to one peer; each client and peer has its own 127.x address."""

    _library: ctypes.CDLL | None = None
    _ports = itertools.cycle(PORTS)

    def __init__(self, target: Target, number: int, *, peers: bool) -> None:
        """Without `peers` the channels lead to addresses where nobody is."""
        self._target = target
        self._array = (CClient * number)()
        self.sockets = [_socket(_host(1, index), self._ports) for index in range(number)]
        self.peers = [_socket(_host(2, index), self._ports) for index in range(number)] if peers else []
        for index, (slot, client) in enumerate(zip(self._array, self.sockets, strict=True)):
            user = target.users[index % len(target.users)]
            slot.fd = client.fileno()
            slot.server.set(target.address)
            slot.peer.set(self.peers[index].getsockname() if peers else (_host(2, index), 9))
            slot.user[: len(user)], slot.user_bytes = user.encode(), len(user)
            slot.realm[: len(target.realm)], slot.realm_bytes = target.realm.encode(), len(target.realm)
            slot.key[:] = target.key(user)

    def allocate(self, window: int = WINDOW) -> Outcome:
        """401, Allocate, ChannelBind, for all, `window` of them at a time; RuntimeError when one is refused."""
        return self._drive(ALLOCATE, window)

    def release(self, window: int = WINDOW) -> Outcome:
        """Refresh 0 for all."""
        return self._drive(REFRESH, window)

    def _drive(self, method: int, window: int) -> Outcome:
        if Clients._library is None:
            Clients._library = compile_shared("setups.c")
        outcome = COutcome()
        code = Clients._library.drive(self._array, len(self._array), window, method, ctypes.byref(outcome))
        if code:
            raise OSError(-code, os.strerror(-code))
        if outcome.code:
            raise RuntimeError(f"{self._target.address}: {OUTCOMES.get(outcome.code, outcome.code)}")
        return Outcome(outcome.resends, outcome.seconds, outcome.busy_seconds)

    def flows(self, direction: str, size: int) -> list[Flow]:
        """The load through these allocations: `c2p` (group 0) or `p2c` (group 1), of `size` bytes each."""
        head = CHANNEL + size.to_bytes(2, "big")
        pairs = zip(self.sockets, self.peers, strict=True)
        if direction == "c2p":
            return [Flow(client, peer, self._target.address, head=head) for client, peer in pairs]
        host = self._target.address[0]
        relays = ((host, slot.relayed_port) for slot in self._array)
        return [
            Flow(peer, client, relay, expected=head, group=1)
            for (client, peer), relay in zip(pairs, relays, strict=True)
        ]

    def close(self) -> None:
        """Closes the sockets; the allocations stay."""
        for each in (*self.sockets, *self.peers):
            each.close()


def _host(net: int, index: int) -> str:
    return f"127.{net}.{index // 250}.{index % 250 + 1}"


def _socket(host: str, ports: Iterator[int]) -> socket.socket:
    """On the next port that is free."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for port in ports:
        try:
            made.bind((host, port))
            break
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    with suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    return made
