"""What the DTLS tests talk to: a lossy wire on virtual time, and the openssl command."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization

from wire import dtls
from wire.dtls import DtlsConnection


@dataclass
class Wire:
    """Two connections, `delay_s` apart, on virtual time; `lose(sender, number)` decides on each datagram sent."""

    client: DtlsConnection
    server: DtlsConnection
    lose: Callable[[str, int], bool] = lambda sender, number: False
    delay_s: float = 0.01
    now: float = 100.0
    sent: dict[str, int] = field(default_factory=lambda: {"client": 0, "server": 0})
    sizes: list[int] = field(default_factory=list)
    lost: int = 0
    _flying: list[tuple[float, int, DtlsConnection, bytes]] = field(default_factory=list)
    _order: int = 0

    def pump(self) -> None:
        for name, sender, receiver in (
            ("client", self.client, self.server),
            ("server", self.server, self.client),
        ):
            for datagram in sender.datagrams_to_send():
                number, self.sent[name] = self.sent[name], self.sent[name] + 1
                self.sizes.append(len(datagram))
                if self.lose(name, number):
                    self.lost += 1
                    continue
                self._order += 1
                heapq.heappush(self._flying, (self.now + self.delay_s, self._order, receiver, datagram))

    def run(self, until: Callable[[], bool], limit_s: float = 60.0) -> float:
        """Virtual seconds until `until`, or `limit_s`."""
        began = self.now
        self.client.start(self.now)
        self.pump()
        while not until() and self.now - began < limit_s:
            timers = [each.next_timer() for each in (self.client, self.server)]
            times = [each for each in timers if each is not None] + [each[0] for each in self._flying[:1]]
            if not times:
                break
            self.now = max(self.now, min(times))
            while self._flying and self._flying[0][0] <= self.now:
                _, _, receiver, datagram = heapq.heappop(self._flying)
                receiver.receive_datagram(datagram, self.now)
            for each in (self.client, self.server):
                timer = each.next_timer()
                if timer is not None and timer <= self.now:
                    each.handle_timer(self.now)
            self.pump()
        return self.now - began

    def connect(self) -> float:
        return self.run(lambda: self.client.state == self.server.state == "connected")


def state(connection: DtlsConnection) -> str:
    return connection.state


def stray_record(number: int) -> bytes:
    """A well-formed record of a later epoch, which OpenSSL ignores or keeps for later."""
    return b"\x16\xfe\xfd\0\1" + number.to_bytes(6, "big") + b"\0\x10" + bytes(16)


def pem_pair() -> bytes:
    certificate, key = dtls._generate_certificate()
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Endpoint(asyncio.DatagramProtocol):
    """A UDP socket on the loopback in front of something sans-IO."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.put_nowait((data, addr))

    async def receive(self) -> tuple[bytes, tuple[str, int]]:
        return await asyncio.wait_for(self.received.get(), 10)


@asynccontextmanager
async def openssl_peer(*arguments: str) -> AsyncIterator[tuple[Endpoint, asyncio.DatagramTransport]]:
    """`openssl s_client` that says hello to an endpoint; the body must close the connection it gets."""
    loop, pipe = asyncio.get_running_loop(), asyncio.subprocess.PIPE
    transport, endpoint = await loop.create_datagram_endpoint(Endpoint, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    command = ("openssl", "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{port}", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    assert process.stdin is not None
    process.stdin.write(b"hello\n")
    try:
        yield endpoint, transport
        await asyncio.wait_for(process.communicate(), 10)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
        transport.close()
