"""A TURN client on a real TCP or TLS connection, with credentials, that knows RFC 6062."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.turnd.conftest import trusting
from tests.turnd.turn.core import error_code, relayed
from tests.turnd.turn.served import credentials
from turnd.turn.service import TurnService
from wire import stun
from wire.stun import Attribute, MessageClass, Method

Address = tuple[str, int]
HOST = "127.0.0.1"
TCP = (Attribute.REQUESTED_TRANSPORT, stun.encode_transport(6))
SECONDS = 10


@dataclass
class StreamClient:
    """One connection. Requests wait for their answer; indications that come meanwhile are kept."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    nonce: bytes = b""
    indications: list[stun.Message] = field(default_factory=list)
    credentials: tuple[str, str] = field(default_factory=credentials)

    def request(self, method: int, *attributes: tuple[int, bytes], peers: tuple[Address, ...] = ()) -> bytes:
        """A signed request as bytes."""
        name, password = self.credentials
        transaction_id = secrets.token_bytes(12)
        proof = [
            (Attribute.USERNAME, name.encode()),
            (Attribute.REALM, b"turnd"),
            (Attribute.NONCE, self.nonce),
        ]
        addresses = [(Attribute.XOR_PEER_ADDRESS, stun.encode_xor_address(peer, transaction_id)) for peer in peers]
        key = stun.long_term_key(name, "turnd", password)
        return stun.encode(method, MessageClass.REQUEST, transaction_id, [*attributes, *addresses, *proof], key=key)

    async def message(self) -> stun.Message:
        """The next one that comes."""
        async with asyncio.timeout(SECONDS):
            header = await self.reader.readexactly(20)
            return stun.parse(header + await self.reader.readexactly(int.from_bytes(header[2:4], "big")))

    async def answer(self) -> stun.Message:
        """The next one that is an answer."""
        while (message := await self.message()).message_class == MessageClass.INDICATION:
            self.indications.append(message)
        return message

    async def learn_nonce(self) -> None:
        """Asks without credentials."""
        self.writer.write(stun.encode(Method.ALLOCATE, MessageClass.REQUEST, bytes(12), [TCP]))
        self.nonce = (await self.answer()).get(Attribute.NONCE) or b""

    async def call(self, method: int, *attributes: tuple[int, bytes], peers: tuple[Address, ...] = ()) -> stun.Message:
        """The answer to a signed request."""
        if not self.nonce:
            await self.learn_nonce()
        self.writer.write(self.request(method, *attributes, peers=peers))
        return await self.answer()

    async def allocate(self) -> Address:
        """The relayed address of a TCP allocation."""
        answer = await self.call(Method.ALLOCATE, TCP)
        assert error_code(answer) == 0
        return relayed(answer)

    async def permit(self, host: str) -> None:
        assert error_code(await self.call(Method.CREATE_PERMISSION, peers=((host, 1),))) == 0

    async def connect(self, peer: Address) -> bytes:
        """The CONNECTION-ID of a connection with a peer."""
        answer = await self.call(Method.CONNECT, peers=(peer,))
        assert error_code(answer) == 0
        return answer.get(Attribute.CONNECTION_ID) or b""

    async def attempt(self) -> tuple[bytes, Address]:
        """CONNECTION-ID and address of a peer that came."""
        message = self.indications.pop(0) if self.indications else await self.message()
        assert message.method == Method.CONNECTION_ATTEMPT
        address = stun.decode_xor_address(message.get(Attribute.XOR_PEER_ADDRESS) or b"", message.transaction_id)
        return message.get(Attribute.CONNECTION_ID) or b"", address

    async def bind(self, connection_id: bytes, *, followed_by: bytes = b"") -> None:
        """Makes this a data connection; `followed_by` goes out in the same write."""
        if not self.nonce:
            await self.learn_nonce()
        request = self.request(Method.CONNECTION_BIND, (Attribute.CONNECTION_ID, connection_id))
        self.writer.write(request + followed_by)
        assert error_code(await self.answer()) == 0

    async def read(self, size: int) -> bytes:
        """Exactly so many raw bytes."""
        async with asyncio.timeout(SECONDS):
            return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """Raw bytes up to the end."""
        async with asyncio.timeout(SECONDS):
            return await self.reader.read()

    async def ended(self) -> bool:
        """Whether the connection ends now, in good order or not."""
        try:
            return await self.rest() == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def opened(port: int, *, secure: bool = False) -> AsyncIterator[StreamClient]:
    """A connection to a TURN port, which ends with the block."""
    reader, writer = await asyncio.open_connection(HOST, port, ssl=trusting() if secure else None)
    try:
        yield StreamClient(reader, writer)
    finally:
        writer.transport.abort()


def port_of(service: TurnService, *, secure: bool) -> int:
    return service.tls_port if secure else service.port


@dataclass
class Peer:
    """A plain TCP server on the loopback; `came` are its connections."""

    address: Address
    came: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]

    async def connection(self) -> StreamClient:
        async with asyncio.timeout(SECONDS):
            return StreamClient(*await self.came.get())


@asynccontextmanager
async def listening(host: str = HOST) -> AsyncIterator[Peer]:
    """A peer that can be connected to."""
    came: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    writers: list[asyncio.StreamWriter] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        came.put_nowait((reader, writer))

    server = await asyncio.start_server(take, host, 0)
    try:
        yield Peer(server.sockets[0].getsockname()[:2], came)
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
