"""A TURN client that shows the very bytes, and reads only when it is told to."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl

from tests.turnd.turn.core import UDP, Attributes, error_code, relayed
from tests.turnd.turn.served import credentials
from turnd.turn.service import TurnService
from turnd.turn.stream import MAX_MESSAGE_BYTES, StreamFramer
from wire import stun
from wire.stun import Attribute, MessageClass, Method

Address = tuple[str, int]
HOST = "127.0.0.1"
TINY_BUFFER_BYTES = 4096
SECONDS = 10


class RawClient:
    """One 5-tuple of an IPv4 client; `read` gives whole messages, of a stream or datagrams."""

    def __init__(self, user: tuple[str, str] | None = None) -> None:
        self.username, self.password = user or credentials()
        self.nonce: bytes | None = None
        self._stream = False
        self._framer = StreamFramer(MAX_MESSAGE_BYTES)
        self._read: list[bytes] = []
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    async def open(self, service: TurnService, transport: str, *, receive_bytes: int = 0) -> RawClient:
        """Connects by udp, tcp or tls; `receive_bytes` is asked of the kernel for its buffer."""
        self._stream = transport != "udp"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM if self._stream else socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        port = service.tls_port if transport == "tls" else service.port
        await asyncio.get_running_loop().sock_connect(self.socket, (HOST, port))
        if transport == "tls":
            await self._handshake()
        return self

    async def _handshake(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._tls = context.wrap_bio(self._incoming, self._outgoing)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                self._incoming.write(await self._receive())
            else:
                await self._flush()
                return

    async def _flush(self) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, self._outgoing.read())

    async def _receive(self) -> bytes:
        async with asyncio.timeout(SECONDS):
            return await asyncio.get_running_loop().sock_recv(self.socket, 65536)

    async def write(self, data: bytes) -> None:
        """Sends these bytes."""
        if self._tls is None:
            await asyncio.get_running_loop().sock_sendall(self.socket, data)
        else:
            self._tls.write(data)
            await self._flush()

    async def read(self) -> bytes:
        """The next message; EOFError when the stream has ended."""
        while not self._read:
            data = await self._receive()
            if not self._stream:
                return data
            if not data:
                raise EOFError
            if self._tls is not None:
                data = self._decrypt(data)
            self._read += self._framer.receive(data)
        return self._read.pop(0)

    def _decrypt(self, data: bytes) -> bytes:
        assert self._tls is not None
        self._incoming.write(data)
        plain = b""
        while True:
            try:
                plain += self._tls.read(65536)
            except ssl.SSLWantReadError:
                return plain

    async def ask(self, data: bytes) -> bytes:
        """The answer to a request, whatever else comes before it."""
        await self.write(data)
        while (answer := await self.read())[8:20] != data[8:20]:
            pass
        return answer

    async def signed(self, method: int, attributes: Attributes = (), transaction_id: bytes = b"") -> bytes:
        """A request with the user's integrity."""
        if self.nonce is None:
            challenge = await self.ask(
                stun.encode(Method.ALLOCATE, MessageClass.REQUEST, secrets.token_bytes(12), [UDP])
            )
            self.nonce = stun.parse(challenge).get(Attribute.NONCE) or b""
        proof = [
            (Attribute.USERNAME, self.username.encode()),
            (Attribute.REALM, b"turnd"),
            (Attribute.NONCE, self.nonce),
        ]
        key = stun.long_term_key(self.username, "turnd", self.password)
        transaction_id = transaction_id or secrets.token_bytes(12)
        return stun.encode(method, MessageClass.REQUEST, transaction_id, [*attributes, *proof], key=key)

    async def call(self, method: int, attributes: Attributes = (), transaction_id: bytes = b"") -> stun.Message:
        """A signed request, and its answer."""
        return stun.parse(await self.ask(await self.signed(method, attributes, transaction_id)))

    async def allocate(self) -> Address:
        """Allocates; the relayed address."""
        answer = await self.call(Method.ALLOCATE, [UDP])
        assert error_code(answer) == 0
        return relayed(answer)

    async def permit(self, peer: Address) -> None:
        """Installs a permission."""
        transaction_id = secrets.token_bytes(12)
        value = stun.encode_xor_address(peer, transaction_id)
        answer = await self.call(Method.CREATE_PERMISSION, [(Attribute.XOR_PEER_ADDRESS, value)], transaction_id)
        assert error_code(answer) == 0

    async def bind(self, number: int, peer: Address) -> None:
        """Binds a channel."""
        transaction_id = secrets.token_bytes(12)
        attributes = [
            (Attribute.XOR_PEER_ADDRESS, stun.encode_xor_address(peer, transaction_id)),
            (Attribute.CHANNEL_NUMBER, stun.encode_channel(number)),
        ]
        assert error_code(await self.call(Method.CHANNEL_BIND, attributes, transaction_id)) == 0

    def close(self) -> None:
        """Ends the socket."""
        self.socket.close()


def udp_peer() -> tuple[socket.socket, Address]:
    """A peer of the test's own, and its address."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((HOST, 0))
    return made, made.getsockname()
