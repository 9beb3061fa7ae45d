"""What clients talk to through their relays: peers on UDP and TCP sockets of the test's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.turnd.turn.turn_client import HOST, SECONDS, Address, StreamClient
from wire.udp import CallbackReceiver, Datagram, UdpSocket


@asynccontextmanager
async def echo(host: str = HOST) -> AsyncIterator[Address]:
    """A peer that sends everything back where it came from: in memory, where the address is one of ours."""

    def answer(datagrams: list[Datagram]) -> None:
        for _, data, source, local, _ in datagrams:
            peer.send(data, source, local)

    peer = UdpSocket(asyncio.get_running_loop(), (host, 0), CallbackReceiver(answer), component="sfu")
    try:
        yield host, peer.local_address[1]
    finally:
        peer.close()


class UdpPeer:
    """A socket of the kernel."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((HOST, 0))
        self.address: Address = self.socket.getsockname()

    def send(self, data: bytes, to: Address) -> None:
        """Sends to a relayed address, whatever host that is announced as."""
        self.socket.sendto(data, (HOST, to[1]))

    async def receive(self) -> bytes:
        """The next datagram."""
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, 65536), SECONDS)

    def close(self) -> None:
        self.socket.close()


@dataclass
class TcpPeer:
    """A plain TCP server; `came` are its connections."""

    address: Address
    came: asyncio.Queue[StreamClient]

    async def connection(self) -> StreamClient:
        async with asyncio.timeout(SECONDS):
            return await self.came.get()


@asynccontextmanager
async def listening(host: str = HOST) -> AsyncIterator[TcpPeer]:
    """A peer that can be connected to."""
    came: asyncio.Queue[StreamClient] = asyncio.Queue()
    connections: list[StreamClient] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(StreamClient(reader, writer))
        came.put_nowait(connections[-1])

    server = await asyncio.start_server(take, host, 0)
    try:
        yield TcpPeer(server.sockets[0].getsockname()[:2], came)
    finally:
        server.close()
        for connection in connections:
            connection.close()
