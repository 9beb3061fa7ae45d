"""A DTLS client against the service: from a socket of the kernel, or in memory from any address.

It is a datagram transport for aioice's TURN client, or speaks message by message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from typing import Any

from wire import stun
from wire.dtls import DtlsConnection, DtlsContext
from wire.stun import MessageClass, Method
from wire.udp import CallbackReceiver, Datagram, UdpSocket

Address = tuple[str, int]


class DtlsPeer(asyncio.DatagramTransport):
    """One DTLS connection after the other from one address; `send_datagram` sends to the server."""

    def __init__(self, send_datagram: Callable[[bytes], object], close: Callable[[], object]) -> None:
        super().__init__()
        self.dtls: DtlsConnection = DtlsContext().client()
        self.send_datagram = send_datagram
        self.lost: Container[int] = ()
        """Numbers of the datagrams that do not arrive, both directions counted together."""
        self.sent: list[bytes] = []
        self.received: list[bytes] = []
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self._close = close
        self._closing = False
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._protocol: asyncio.DatagramProtocol | None = None

    def begin(self, *, alpn: list[bytes] | None = None, ciphers: bytes = b"") -> None:
        """Says ClientHello of a new connection and forgets the one before."""
        context = DtlsContext()
        if alpn:
            context._context.set_alpn_protos(alpn)
        if ciphers:
            context._context.set_cipher_list(ciphers)
        self.dtls = context.client()
        self.dtls.start(_now())
        self.pump()

    async def connect(self, *, alpn: list[bytes] | None = None) -> None:
        self.begin(alpn=alpn)
        await self.until(lambda: self.dtls.state == "connected")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the server's certificate, in hexadecimal digits."""
        return (self.dtls.peer_fingerprint("sha-256") or "").replace(":", "").lower()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until something that came has made `condition` true."""
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def datagram_received(self, data: bytes) -> None:
        """From the server."""
        number = len(self.sent) + len(self.received)
        self.received.append(data)
        if number not in self.lost:
            self.dtls.receive_datagram(data, _now())
            for message in self.dtls.application_data():
                if self._protocol is not None:
                    self._protocol.datagram_received(message, ("server", 0))
                else:
                    self.messages.put_nowait(message)
            self.pump()
        self._changed.set()

    def pump(self) -> None:
        """Sends what there is to send, and sets the timer."""
        for datagram in self.dtls.datagrams_to_send():
            number = len(self.sent) + len(self.received)
            self.sent.append(datagram)
            if number not in self.lost:
                self.send_datagram(datagram)
        if self._timer is not None:
            self._timer.cancel()
        due = self.dtls.next_timer()
        self._timer = None if due is None else asyncio.get_running_loop().call_at(due, self._fire)

    def _fire(self) -> None:
        self.dtls.handle_timer(_now())
        self.pump()

    # As a transport.

    def serve(self, protocol: asyncio.DatagramProtocol) -> None:
        """Hands messages to `protocol` from now on, whose transport this is."""
        self._protocol = protocol
        protocol.connection_made(self)

    def sendto(self, data: Any, addr: Any = None) -> None:
        self.dtls.send(bytes(data))
        self.pump()

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Ends with close_notify."""
        if self._closing:
            return
        self._closing = True
        self.dtls.close()
        self.pump()
        self._close()
        if self._protocol is not None:
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    # Message by message.

    async def receive(self) -> bytes:
        return await asyncio.wait_for(self.messages.get(), 10)

    async def binding(self) -> stun.Message:
        """The answer to a Binding request: the connection is good in both directions."""
        self.sendto(stun.encode(Method.BINDING, MessageClass.REQUEST, bytes(12)))
        return stun.parse(await self.receive())


class _Endpoint(asyncio.DatagramProtocol):
    peer: DtlsPeer

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.peer.datagram_received(data)


async def kernel_peer(server: Address) -> DtlsPeer:
    """A peer on a socket of its own."""
    loop = asyncio.get_running_loop()
    transport, endpoint = await loop.create_datagram_endpoint(_Endpoint, remote_addr=server)
    endpoint.peer = DtlsPeer(transport.sendto, transport.close)
    return endpoint.peer


def far_peer(server: Address, host: str) -> DtlsPeer:
    """A peer at `host`, one of the addresses that are said to be ours, so that nothing leaves the process."""

    def received(datagrams: list[Datagram]) -> None:
        for _, data, *_ in datagrams:
            peer.datagram_received(data)

    loop = asyncio.get_running_loop()
    udp = UdpSocket(loop, ("0.0.0.0", 0), CallbackReceiver(received), component="test")
    local = host, udp.local_address[1]
    peer = DtlsPeer(lambda data: udp.send(data, server, local), lambda: loop.call_soon(udp.close))
    return peer


def _now() -> float:
    return asyncio.get_running_loop().time()
