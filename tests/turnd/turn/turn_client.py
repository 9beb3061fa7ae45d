"""A TURN client on a real socket, over UDP, TCP, TLS or DTLS. It reads only when it is told to, message by message."""

from __future__ import annotations

import asyncio
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.turnd.conftest import trusting
from tests.turnd.turn.core import TCP, UDP, error_code
from tests.turnd.turn.dtls_peer import DtlsPeer, kernel_peer
from tests.turnd.turn.served import credentials
from turnd.turn.service import TurnService
from wire import stun
from wire.stun import Attribute, MessageClass, Method

Address = tuple[str, int]
HOST = "127.0.0.1"
SECONDS = 10
STREAM_BUFFER_BYTES = 65536


class TurnClient(ABC):
    """What is asked and got, whatever the transport. `kept` has come before an answer, and is still to be read."""

    def __init__(self, user: tuple[str, str] | None = None) -> None:
        self.username, self.password = user or credentials()
        self.realm = ""
        self.nonce = b""
        self.kept: list[bytes] = []

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Sends these bytes."""

    @abstractmethod
    async def _receive(self) -> bytes:
        """The next message from the network; EOFError or ConnectionError when there will be none."""

    @abstractmethod
    def close(self) -> None:
        """Ends the connection at once."""

    # Requests.

    async def ask(self, request: bytes) -> stun.Message:
        """The answer to a request. Nothing but data and indications may come before it."""
        self.write(request)
        while True:
            async with asyncio.timeout(SECONDS):
                data = await self._receive()
            if data[0] < 0x40 and (message := stun.parse(data)).message_class != MessageClass.INDICATION:
                assert message.transaction_id == request[8:20]
                return message
            self.kept.append(data)

    async def challenge(self) -> None:
        """Learns the realm and a nonce."""
        answer = await self.ask(stun.encode(Method.ALLOCATE, MessageClass.REQUEST, secrets.token_bytes(12), [UDP]))
        self.realm = (answer.get(Attribute.REALM) or b"").decode()
        self.nonce = answer.get(Attribute.NONCE) or b""

    def signed(self, method: int, *attributes: tuple[int, bytes], peers: tuple[Address, ...] = ()) -> bytes:
        """A request with the user's integrity, after a challenge."""
        transaction_id = secrets.token_bytes(12)
        each = [(Attribute.XOR_PEER_ADDRESS, stun.encode_xor_address(peer, transaction_id)) for peer in peers]
        proof = [
            (Attribute.USERNAME, self.username.encode()),
            (Attribute.REALM, self.realm.encode()),
            (Attribute.NONCE, self.nonce),
        ]
        key = stun.long_term_key(self.username, self.realm, self.password)
        return stun.encode(method, MessageClass.REQUEST, transaction_id, [*attributes, *each, *proof], key=key)

    async def request(
        self, method: int, *attributes: tuple[int, bytes], peers: tuple[Address, ...] = ()
    ) -> stun.Message:
        """The answer to a request with the credentials."""
        if not self.nonce:
            await self.challenge()
        return await self.ask(self.signed(method, *attributes, peers=peers))

    async def allocate(self, *attributes: tuple[int, bytes], transport: tuple[int, bytes] = UDP) -> list[Address]:
        """The relayed addresses."""
        answer = await self.request(Method.ALLOCATE, transport, *attributes)
        assert error_code(answer) == 0
        values = answer.all(Attribute.XOR_RELAYED_ADDRESS)
        return [stun.decode_xor_address(value, answer.transaction_id) for value in values]

    async def permit(self, *peers: Address) -> int:
        """The error, 0 for none."""
        return error_code(await self.request(Method.CREATE_PERMISSION, peers=peers))

    async def bind(self, number: int, peer: Address) -> int:
        """The error, 0 for none."""
        channel = (Attribute.CHANNEL_NUMBER, stun.encode_channel(number))
        return error_code(await self.request(Method.CHANNEL_BIND, channel, peers=(peer,)))

    async def refresh(self, seconds: int, *attributes: tuple[int, bytes]) -> int:
        """The error, 0 for none."""
        lifetime = (Attribute.LIFETIME, stun.encode_lifetime(seconds))
        return error_code(await self.request(Method.REFRESH, lifetime, *attributes))

    # Data.

    def channel_data(self, number: int, data: bytes) -> None:
        """Sends it with its padding."""
        self.write(number.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data + bytes(-len(data) % 4))

    def indicate(self, peer: Address, data: bytes) -> None:
        """A Send indication."""
        transaction_id = secrets.token_bytes(12)
        address = (Attribute.XOR_PEER_ADDRESS, stun.encode_xor_address(peer, transaction_id))
        self.write(stun.encode(Method.SEND, MessageClass.INDICATION, transaction_id, [address, (Attribute.DATA, data)]))

    async def message(self) -> bytes:
        """The next one that is no answer; EOFError or ConnectionError when the connection has ended."""
        if self.kept:
            return self.kept.pop(0)
        async with asyncio.timeout(SECONDS):
            return await self._receive()

    async def received(self) -> tuple[int | Address, bytes]:
        """What a peer has sent: its channel or address, and the data."""
        data = await self.message()
        if data[0] >= 0x40:
            size = int.from_bytes(data[2:4], "big")
            return int.from_bytes(data[:2], "big"), data[4 : 4 + size]
        message = stun.parse(data)
        assert (message.method, message.message_class) == (Method.DATA, MessageClass.INDICATION)
        peer = stun.decode_xor_address(message.get(Attribute.XOR_PEER_ADDRESS) or b"", message.transaction_id)
        return peer, message.get(Attribute.DATA) or b""

    async def is_quiet(self) -> bool:
        """Whether nothing has come that is still to be read: what had been sent is here before a later answer."""
        await self.ask(stun.encode(Method.BINDING, MessageClass.REQUEST, secrets.token_bytes(12)))
        return not self.kept


class DatagramClient(TurnClient):
    """A client over UDP."""

    def __init__(self, connected: socket.socket, user: tuple[str, str] | None = None) -> None:
        super().__init__(user)
        self.socket = connected

    def write(self, data: bytes) -> None:
        self.socket.send(data)

    async def _receive(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.socket, 65536)

    def close(self) -> None:
        self.socket.close()


class DtlsClient(TurnClient):
    """A client over DTLS."""

    def __init__(self, peer: DtlsPeer, user: tuple[str, str] | None = None) -> None:
        super().__init__(user)
        self._peer = peer

    def write(self, data: bytes) -> None:
        self._peer.sendto(data)

    async def _receive(self) -> bytes:
        return await self._peer.receive()

    def close(self) -> None:
        self._peer.close()


class StreamClient(TurnClient):
    """A client over TCP or TLS, which knows RFC 6062 too; or a peer at the other end of a TCP allocation."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, user: tuple[str, str] | None = None
    ) -> None:
        super().__init__(user)
        self.reader = reader
        self.writer = writer

    @property
    def address(self) -> Address:
        """Ours."""
        host, port = self.writer.get_extra_info("sockname")[:2]
        return host, port

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def _receive(self) -> bytes:
        header = await self.reader.readexactly(4)
        length = int.from_bytes(header[2:4], "big")
        return header + await self.reader.readexactly(16 + length if header[0] < 0x40 else length + -length % 4)

    def close(self) -> None:
        self.writer.transport.abort()

    # RFC 6062.

    async def allocate_tcp(self) -> Address:
        """The relayed address of a TCP allocation."""
        [address] = await self.allocate(transport=TCP)
        return address

    async def connect(self, peer: Address) -> bytes:
        """The CONNECTION-ID of a connection with a peer."""
        answer = await self.request(Method.CONNECT, peers=(peer,))
        assert error_code(answer) == 0
        return answer.get(Attribute.CONNECTION_ID) or b""

    async def attempt(self) -> tuple[bytes, Address]:
        """CONNECTION-ID and address of a peer that came."""
        message = stun.parse(await self.message())
        assert message.method == Method.CONNECTION_ATTEMPT
        address = stun.decode_xor_address(message.get(Attribute.XOR_PEER_ADDRESS) or b"", message.transaction_id)
        return message.get(Attribute.CONNECTION_ID) or b"", address

    async def bind_connection(self, connection_id: bytes, *, followed_by: bytes = b"") -> None:
        """Makes this a data connection; `followed_by` goes out in the same write."""
        await self.challenge()
        request = self.signed(Method.CONNECTION_BIND, (Attribute.CONNECTION_ID, connection_id))
        assert error_code(await self.ask(request + followed_by)) == 0

    # Raw bytes.

    async def read(self, size: int) -> bytes:
        """Exactly so many."""
        async with asyncio.timeout(SECONDS):
            return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """All up to the end."""
        async with asyncio.timeout(SECONDS):
            return await self.reader.read()

    async def ended(self) -> bool:
        """Whether the connection ends now, in good order or not."""
        try:
            return await self.rest() == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def stream_client(
    port: int, transport: str = "tcp", *, user: tuple[str, str] | None = None, receive_bytes: int = 0
) -> AsyncIterator[StreamClient]:
    """A client over tcp or tls that ends with the block; `receive_bytes` bounds what waits here to be read."""
    connected = socket.socket()
    connected.setblocking(False)
    if receive_bytes:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    await asyncio.get_running_loop().sock_connect(connected, (HOST, port))
    context = trusting() if transport == "tls" else None
    reader, writer = await asyncio.open_connection(
        sock=connected,
        limit=receive_bytes or STREAM_BUFFER_BYTES,
        ssl=context,
        server_hostname=HOST if context else None,
    )
    client = StreamClient(reader, writer, user)
    try:
        yield client
    finally:
        client.close()


@asynccontextmanager
async def datagram_client(port: int, *, user: tuple[str, str] | None = None) -> AsyncIterator[DatagramClient]:
    """A client over UDP that ends with the block."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connected:
        connected.setblocking(False)
        connected.connect((HOST, port))
        yield DatagramClient(connected, user)


@asynccontextmanager
async def turn_client(
    port: int, transport: str = "udp", *, user: tuple[str, str] | None = None
) -> AsyncIterator[TurnClient]:
    """A client over udp, tcp, tls or dtls that ends with the block."""
    if transport == "udp":
        async with datagram_client(port, user=user) as client:
            yield client
    elif transport == "dtls":
        peer = await kernel_peer((HOST, port))
        try:
            await peer.connect()
            yield DtlsClient(peer, user)
        finally:
            peer.close()
    else:
        async with stream_client(port, transport, user=user) as stream:
            yield stream


def port_of(service: TurnService, transport: str) -> int:
    """Where a service listens for udp, tcp, tls or dtls."""
    return service.tls_port if transport in ("tls", "dtls") else service.port
