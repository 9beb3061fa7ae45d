"""Peers that send garbage beside a call: each is refused and counted, and the call loses no packet.

The call is two wire-level participants (no browser), so that every single packet can be accounted for.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from benchmarks.participant import EXTENSION_MID, PAYLOADS, Media, Participant, Transport
from tests.e2e.daemon import Daemon, total
from wire import stun

HOST = "127.0.0.1"
# Below the ephemeral ports, so that no client's socket is in the way.
HTTP, TLS, TURN, TURNS, SFU, METRICS = 24080, 24443, 24478, 24349, 24000, 24641
PACKETS = 1500
PACKETS_PER_SECOND = 250


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    """The daemon on loopback, on ports of this test."""
    made = Daemon(
        tmp_path / "daemon",
        http={"listen": f"{HOST}:{HTTP}", "tls_listen": f"{HOST}:{TLS}"},
        turn={"listen": [HOST], "port": TURN, "tls_port": TURNS, "relay_ports": [24001, 24079]},
        sfu={"port": SFU},
        metrics={"listen": f"{HOST}:{METRICS}"},
    )
    await made.start()
    yield made
    assert await made.stop() == 0


def rtp(media: Media, number: int) -> bytes:
    """One Opus packet that carries its number."""
    header = struct.pack("!BBHII", 0x90, PAYLOADS[media.kind], number & 0xFFFF, number * 960, media.ssrc)
    extension = struct.pack("!HH", 0xBEDE, 1) + bytes([EXTENSION_MID << 4, ord(media.mid), 0, 0])
    return header + extension + struct.pack("!I", number) + bytes(60)


async def send(transport: Transport, media: Media, count: int) -> None:
    """Sends at an even pace."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(count):
        transport.socket.send(transport.outbound.protect(rtp(media, number)))
        await asyncio.sleep(max(0.0, start + number / PACKETS_PER_SECOND - loop.time()))


async def receive(transport: Transport, numbers: set[int]) -> None:
    """Notes the numbers of the packets that arrive, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        data = await loop.sock_recv(transport.socket, 2048)
        if data[0] >> 6 != 2 or 192 <= data[1] <= 223:
            continue
        packet = transport.inbound.unprotect(data)
        at = 12 + (4 + 4 * struct.unpack_from("!H", packet, 14)[0] if packet[0] & 0x10 else 0)
        numbers.add(struct.unpack_from("!I", packet, at)[0])


class Attacker:
    """Everything that can be sent to the daemon's ports without, and then with, a seat in a room."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.random = random.Random(7)

    def bytes(self, first: bytes, most: int = 1400) -> bytes:
        """Random bytes behind a fixed beginning."""
        return first + self.random.randbytes(self.random.randrange(most))

    async def datagrams(self) -> None:
        """Garbage STUN, DTLS, RTP, RTCP, ChannelData and nothing at all, to the SFU and TURN ports."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            request = stun.encode(stun.Method.BINDING, stun.MessageClass.REQUEST, secrets.token_bytes(12))
            username = [(stun.Attribute.USERNAME, b"nobody:here")]
            check = stun.encode(1, 0, secrets.token_bytes(12), username, key=b"wrong", fingerprint=True)
            allocate = stun.encode(3, 0, secrets.token_bytes(12), [(0x0019, b"\x11\0\0\0"), *username], key=b"wrong")
            for _ in range(400):
                for port in (SFU, TURN):
                    mutated = bytearray(self.random.choice([request, check, allocate]))
                    mutated[self.random.randrange(len(mutated))] ^= 1 << self.random.randrange(8)
                    for data in (
                        bytes(mutated),
                        self.bytes(b"\x16\xfe\xfd"),
                        self.bytes(b"\x80\x60"),
                        self.bytes(b"\x81\xc8"),
                        self.bytes(b"\x40\x00"),
                        self.bytes(b""),
                        b"",
                    ):
                        udp.sendto(data, (HOST, port))
                await asyncio.sleep(0.002)

    async def streams(self) -> None:
        """Garbage on TURN over TCP and TLS and on the HTTPS port."""
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        for port, tls in ((TURN, None), (TURNS, trust), (TLS, trust)):
            for first in (b"\x00\x01", b"\x00\x03\xff\xfc", b"\x40\x00\xff\xff", b"\xff", b"GET / HTTP/9\r\n"):
                with suppress(OSError):
                    reader, writer = await asyncio.open_connection(HOST, port, ssl=tls)
                    writer.write(self.bytes(first, 9000))
                    with suppress(OSError, TimeoutError):
                        await asyncio.wait_for(reader.read(4096), 0.2)
                    writer.close()
                    with suppress(OSError, TimeoutError):
                        await asyncio.wait_for(writer.wait_closed(), 2)

    async def messages(self) -> list[str]:
        """Bad messages to the call's own room; the error codes that came back."""
        async with self.http.ws_connect(f"http://{HOST}:{HTTP}/r/call/ws") as ws:
            join = '{"type": "join", "version": 1, "name": "Mallory"}'
            for text in ("not json", "[]", "[" * 100_000, '{"type": "chat", "text": "before"}', '{"type": 7}', join):
                await ws.send_str(text)
            bad = [
                '{"type": "publish", "sdp": "v=0", "tracks": []}',
                '{"type": "nonsense"}',
                '{"type": "chat", "text": 1}',
            ]
            for text in (*bad, '{"type": "answer", "sdp": "m=", "generation": 99}'):
                await ws.send_str(text)
            await ws.send_str("x" * 400_000)
            answers = [frame.json() async for frame in ws if frame.type is aiohttp.WSMsgType.TEXT]
        return [answer["code"] for answer in answers if answer["type"] == "error"]

    async def insider(self) -> None:
        """A participant with keys: valid SRTP around garbage, and garbage after a good handshake."""
        one = Participant(self.http, f"http://{HOST}:{HTTP}/r/call/ws", "Insider")
        await one.join(subscribe=True)
        media = Media("0", "audio", "microphone")
        transport = await one.publish([media])
        for number in range(300):
            head = struct.pack("!BBHII", 0x80, 96 + number % 30, number, number, self.random.getrandbits(32))
            for data in (head, self.bytes(head), self.bytes(b"\xbf" + head[1:]), self.bytes(b"\x9f" + head[1:])):
                with suppress(Exception):  # our own libsrtp may refuse to protect what it cannot parse
                    transport.socket.send(transport.outbound.protect(data))
            for kind in (200, 201, 202, 203, 205, 206, 207, 255):
                data = struct.pack("!BBHI", 0x80 | number % 32, kind, self.random.randrange(400), media.ssrc)
                with suppress(Exception):
                    transport.socket.send(transport.outbound.protect_rtcp(self.bytes(data, 600)))
            transport.socket.send(self.bytes(b"\x17\xfe\xfd", 200))
            await asyncio.sleep(0.002)
        await one.close()


async def accounted_call(
    http: aiohttp.ClientSession, beside: Callable[[], Awaitable[object]]
) -> tuple[set[int], object]:
    """A call of two while `beside` runs; the numbers that arrived."""
    url = f"http://{HOST}:{HTTP}/r/call/ws"
    speaker, listener = Participant(http, url, "Speaker"), Participant(http, url, "Listener")
    await speaker.join(subscribe=False)
    media = Media("0", "audio", "microphone")
    outgoing = await speaker.publish([media])
    await listener.join(subscribe=True)
    incoming = await listener.subscribed
    arrived: set[int] = set()
    receiver = asyncio.create_task(receive(incoming, arrived))
    while not arrived:  # the slot follows once the first packets taught the server the SSRC
        await send(outgoing, media, 10)
    arrived.clear()
    sender = asyncio.create_task(send_from(outgoing, media, 10))
    result = await beside()
    await sender
    await asyncio.sleep(0.3)
    receiver.cancel()
    await speaker.close()
    await listener.close()
    return arrived, result


async def send_from(transport: Transport, media: Media, first: int) -> None:
    """Sends PACKETS numbered from `first`."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(first, first + PACKETS):
        transport.socket.send(transport.outbound.protect(rtp(media, number)))
        await asyncio.sleep(max(0.0, start + (number - first) / PACKETS_PER_SECOND - loop.time()))


async def test_garbage_beside_a_call_costs_it_no_packet(daemon: Daemon) -> None:
    before = await daemon.metrics()
    async with aiohttp.ClientSession() as http:
        attacker = Attacker(http)

        async def attack() -> list[str]:
            await asyncio.gather(attacker.datagrams(), attacker.streams(), attacker.insider())
            return await attacker.messages()

        arrived, codes = await accounted_call(http, attack)
    assert arrived == set(range(10, 10 + PACKETS))
    assert {"malformed", "not-joined", "unknown-type", "sdp", "too-large"} <= set(codes)  # type: ignore[call-overload]
    after = await daemon.metrics()
    for pattern in (
        r"turnd_turn_dropped_packets_total\{.*malformed.*\}",
        r"turnd_stun_requests_total\{.*\}",
        r"turnd_srtp_errors_total\{.*\}",
        r"turnd_websocket_closes_total\{.*1009.*\}",
    ):
        assert total(after, pattern) > total(before, pattern), pattern
