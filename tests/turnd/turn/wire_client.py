"""A TURN client on a real UDP or TCP socket, or behind DTLS: what tests ask and get, message by message."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from tests.turnd.turn.dtls_peer import kernel_peer
from tests.turnd.turn.served import credentials
from turnd.turn.stream import StreamFramer
from wire import stun
from wire.stun import Attribute, MessageClass, Method

Address = tuple[str, int]
UDP = (Attribute.REQUESTED_TRANSPORT, stun.encode_transport(17))


class WireClient(asyncio.Protocol, asyncio.DatagramProtocol):
    """`answers` gets STUN answers, `data` what peers sent: (channel or peer, payload)."""

    def __init__(self, transport: str, username: str, password: str) -> None:
        self.transport = transport
        self.username, self.password = username, password
        self.realm = ""
        self.nonce = b""
        self.answers: asyncio.Queue[stun.Message] = asyncio.Queue()
        self.data: asyncio.Queue[tuple[int | Address, bytes]] = asyncio.Queue()
        self.lost = asyncio.Event()
        self._framer = StreamFramer(1 << 17)
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def data_received(self, data: bytes) -> None:
        for message in self._framer.receive(data):
            self._received(message)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._received(data)

    def _received(self, data: bytes) -> None:
        if data[0] >= 0x40:
            size = int.from_bytes(data[2:4], "big")
            self.data.put_nowait((int.from_bytes(data[:2], "big"), data[4 : 4 + size]))
            return
        message = stun.parse(data)
        if message.message_class == MessageClass.INDICATION:
            peer = stun.decode_xor_address(message.get(Attribute.XOR_PEER_ADDRESS) or b"", message.transaction_id)
            self.data.put_nowait((peer, message.get(Attribute.DATA) or b""))
        else:
            self.answers.put_nowait(message)

    def write(self, data: bytes) -> None:
        if self.transport in ("udp", "dtls"):
            cast("asyncio.DatagramTransport", self._transport).sendto(data)
        else:
            cast("asyncio.WriteTransport", self._transport).write(data)

    async def answer(self) -> stun.Message:
        async with asyncio.timeout(5):
            return await self.answers.get()

    async def received(self) -> tuple[int | Address, bytes]:
        async with asyncio.timeout(5):
            return await self.data.get()

    async def request(
        self, method: int, *attributes: tuple[int, bytes], peers: tuple[Address, ...] = ()
    ) -> stun.Message:
        """The answer to a request with the credentials; a challenge is taken up, once."""
        answer = await self._request(method, attributes, peers)
        if error_code(answer) in (401, 438):
            self.realm = (answer.get(Attribute.REALM) or b"").decode()
            self.nonce = answer.get(Attribute.NONCE) or b""
            answer = await self._request(method, attributes, peers)
        return answer

    async def _request(
        self, method: int, attributes: tuple[tuple[int, bytes], ...], peers: tuple[Address, ...]
    ) -> stun.Message:
        transaction_id = secrets.token_bytes(12)
        each = [(Attribute.XOR_PEER_ADDRESS, stun.encode_xor_address(peer, transaction_id)) for peer in peers]
        proof = [
            (Attribute.USERNAME, self.username.encode()),
            (Attribute.REALM, self.realm.encode()),
            (Attribute.NONCE, self.nonce),
        ]
        key = stun.long_term_key(self.username, self.realm, self.password)
        self.write(
            stun.encode(method, MessageClass.REQUEST, transaction_id, [*attributes, *each, *proof], key=key)
            if self.nonce
            else stun.encode(method, MessageClass.REQUEST, transaction_id, [*attributes, *each])
        )
        answer = await self.answer()
        assert answer.transaction_id == transaction_id
        return answer

    async def allocate(self, *attributes: tuple[int, bytes]) -> list[Address]:
        """The relayed addresses."""
        answer = await self.request(Method.ALLOCATE, UDP, *attributes)
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

    def channel_data(self, number: int, data: bytes) -> None:
        self.write(number.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data + bytes(-len(data) % 4))

    def indicate(self, peer: Address, data: bytes) -> None:
        """A Send indication."""
        transaction_id = secrets.token_bytes(12)
        attributes = [
            (Attribute.XOR_PEER_ADDRESS, stun.encode_xor_address(peer, transaction_id)),
            (Attribute.DATA, data),
        ]
        self.write(stun.encode(Method.SEND, MessageClass.INDICATION, transaction_id, attributes))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def wire_client(
    port: int, transport: str = "udp", *, host: str = "127.0.0.1", user: tuple[str, str] | None = None
) -> AsyncIterator[WireClient]:
    """A client of the service on `port`."""
    loop = asyncio.get_running_loop()
    client = WireClient(transport, *(user or credentials()))
    if transport == "udp":
        await loop.create_datagram_endpoint(lambda: client, remote_addr=(host, port))
    elif transport == "dtls":
        peer = await kernel_peer((host, port))
        await peer.connect()
        peer.serve(client)
    else:
        await loop.create_connection(lambda: client, host, port)
    try:
        yield client
    finally:
        client.close()


def error_code(message: stun.Message) -> int:
    """The error of an answer, 0 for a success."""
    value = message.get(Attribute.ERROR_CODE)
    return 0 if value is None else stun.decode_error(value)[0]
