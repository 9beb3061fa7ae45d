"""A participant without a browser: speaks the signalling protocol, ICE and DTLS, and hands out SRTP sessions.

It is written against PROTOCOL.md; its codec choices are VP8 and Opus.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
from pylibsrtp import Policy, Session

from wire import stun
from wire.demux import Kind, classify
from wire.dtls import DtlsContext

ICE_SECONDS = 10.0
EXTENSION_MID, EXTENSION_TRANSPORT = 4, 3
VP8, OPUS = 96, 111
EXTENSIONS = f"""a=extmap:{EXTENSION_MID} urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:{EXTENSION_TRANSPORT} http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
"""
CODECS = {
    "video": f"a=rtpmap:{VP8} VP8/90000\n"
    f"a=rtcp-fb:{VP8} nack\na=rtcp-fb:{VP8} nack pli\na=rtcp-fb:{VP8} transport-cc\n",
    "audio": f"a=rtpmap:{OPUS} opus/48000/2\na=rtcp-fb:{OPUS} transport-cc\n",
}
PAYLOADS = {"video": VP8, "audio": OPUS}


@dataclass
class Media:
    """One m-line we send."""

    mid: str
    kind: str
    source: str
    ssrc: int = field(default_factory=lambda: secrets.randbits(31))


@dataclass
class Transport:
    """A connected 5-tuple with its SRTP sessions."""

    socket: socket.socket
    outbound: Session
    inbound: Session
    profile: str
    """What was negotiated: an attribute of pylibsrtp's Policy."""
    transport_id: int
    """The header extension of transport-wide numbers in what comes from there, 0: none."""
    check: bytes
    """A connectivity check; whoever hears none for 30 s takes us for gone (RFC 7675)."""


class Credentials:
    """Our half of ICE and DTLS for one peer connection."""

    def __init__(self, context: DtlsContext) -> None:
        self.context = context
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(12)

    def lines(self, setup: str) -> str:
        """The SDP lines of an m-section."""
        return (
            f"a=ice-ufrag:{self.ufrag}\na=ice-pwd:{self.password}\na=fingerprint:{self.context.fingerprint}\n"
            f"a=setup:{setup}\na=rtcp-mux\n"
        )


def sdp_head(mids: list[str]) -> str:
    """The session part."""
    return f"v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE {' '.join(mids)}\n"


def offer_sdp(medias: list[Media], credentials: Credentials) -> str:
    """What we publish."""
    text = sdp_head([media.mid for media in medias])
    for media in medias:
        text += f"m={media.kind} 9 UDP/TLS/RTP/SAVPF {PAYLOADS[media.kind]}\nc=IN IP4 0.0.0.0\n"
        text += f"a=mid:{media.mid}\na=sendonly\n"
        text += credentials.lines("actpass") + EXTENSIONS + CODECS[media.kind]
        text += f"a=ssrc:{media.ssrc} cname:bench\n"
    return text.replace("\n", "\r\n")


def answer_sdp(offer: str, credentials: Credentials) -> str:
    """Accepts every m-line with VP8 or Opus, extension ids and all, receiving only."""
    sections = re.split(r"(?m)^(?=m=)", offer.replace("\r\n", "\n"))[1:]
    text = sdp_head([re.search(r"a=mid:(\S+)", section)[1] for section in sections])  # type: ignore[index]
    for section in sections:
        kind = section[2:7]
        codec = "VP8/90000" if kind == "video" else "opus/48000/2"
        payload = re.search(rf"a=rtpmap:(\d+) {codec}", section)[1]  # type: ignore[index]
        mid = re.search(r"a=mid:(\S+)", section)[1]  # type: ignore[index]
        text += f"m={kind} 9 UDP/TLS/RTP/SAVPF {payload}\nc=IN IP4 0.0.0.0\n"
        text += f"a=mid:{mid}\na=recvonly\n"
        text += credentials.lines("active")
        text += "".join(line + "\n" for line in re.findall(r"a=extmap:.*", section))
        text += f"a=rtpmap:{payload} {codec}\n"
    return text.replace("\n", "\r\n")


def check_request(remote_sdp: str, credentials: Credentials) -> bytes:
    """The connectivity check that selects its pair at once."""
    ufrag = re.search(r"a=ice-ufrag:(\S+)", remote_sdp)[1]  # type: ignore[index]
    password = re.search(r"a=ice-pwd:(\S+)", remote_sdp)[1]  # type: ignore[index]
    attributes = [
        (stun.Attribute.USERNAME, f"{ufrag}:{credentials.ufrag}".encode()),
        (stun.Attribute.PRIORITY, stun.encode_u32(1 << 24)),
        (stun.Attribute.ICE_CONTROLLING, b"\xff" * 8),  # who says the same in a full implementation gives way
        (stun.Attribute.USE_CANDIDATE, b""),
    ]
    return stun.encode(
        stun.Method.BINDING,
        stun.MessageClass.REQUEST,
        secrets.token_bytes(12),
        attributes,
        key=password.encode(),
        fingerprint=True,
    )


def check_answer(request: stun.Message, remote: tuple[str, int], credentials: Credentials) -> bytes:
    """The answer to a check of a full ICE implementation."""
    return stun.encode(
        stun.Method.BINDING,
        stun.MessageClass.SUCCESS,
        request.transaction_id,
        [(stun.Attribute.XOR_MAPPED_ADDRESS, stun.encode_xor_address(remote, request.transaction_id))],
        key=credentials.password.encode(),
        fingerprint=True,
    )


def open_socket(remote_sdp: str) -> socket.socket:
    """A UDP socket connected to the first IPv4 host candidate."""
    candidate = re.search(r"a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host", remote_sdp, re.IGNORECASE)
    assert candidate, "no IPv4 host candidate"
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with suppress(OSError):
        udp.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
    udp.connect((candidate[1], int(candidate[2])))
    udp.setblocking(False)
    return udp


def transport_wide_id(sdp: str) -> int:
    """The id of the first m-section; all have the same."""
    found = re.search(r"a=extmap:(\d+)\S* \S+transport-wide-cc-extensions", sdp)
    return int(found[1]) if found else 0


def srtp_session(key: bytes, direction: int, profile: int) -> Session:
    """One direction's session, for any SSRC."""
    policy = Policy(key=key, ssrc_type=direction, srtp_profile=profile)
    policy.window_size = 1024
    return Session(policy)


async def connect(remote_sdp: str, credentials: Credentials, udp: socket.socket | None = None) -> Transport:
    """ICE checks until one is answered, then DTLS as client; the keys become SRTP sessions. `udp` is already open."""
    request = check_request(remote_sdp, credentials)
    udp = udp or open_socket(remote_sdp)
    loop = asyncio.get_running_loop()
    dtls = credentials.context.client()
    checked = False
    deadline = loop.time() + ICE_SECONDS
    dtls.start(loop.time())
    while dtls.state != "connected":
        if loop.time() > deadline or dtls.state == "failed":
            raise TimeoutError(f"no connection: checked {checked}, DTLS {dtls.state}")
        if checked:
            dtls.handle_timer(loop.time())
            for datagram in dtls.datagrams_to_send():
                udp.send(datagram)
        else:
            udp.send(request)
        with suppress(TimeoutError):
            data = await asyncio.wait_for(loop.sock_recv(udp, 2048), 0.1)
            kind = classify(data)
            if kind is Kind.DTLS:
                dtls.receive_datagram(data, loop.time())
            elif kind is Kind.STUN:
                message = stun.parse(data)
                checked = checked or message.message_class is stun.MessageClass.SUCCESS
                if message.message_class is stun.MessageClass.REQUEST:
                    udp.send(check_answer(message, udp.getpeername(), credentials))
    for datagram in dtls.datagrams_to_send():
        udp.send(datagram)
    keys = dtls.srtp_keys()
    profile = getattr(Policy, keys.profile)
    return Transport(
        udp,
        srtp_session(keys.local_key, Policy.SSRC_ANY_OUTBOUND, profile),
        srtp_session(keys.remote_key, Policy.SSRC_ANY_INBOUND, profile),
        keys.profile,
        transport_wide_id(remote_sdp),
        request,
    )


class Participant:
    """Joins a room over its WebSocket; publishes what it is told to, subscribes when asked."""

    def __init__(self, http: aiohttp.ClientSession, url: str, name: str) -> None:
        self.http, self.url, self.name = http, url, name
        self.requests = itertools.count()
        self.transports: list[Transport] = []
        self.subscribed: asyncio.Future[Transport] = asyncio.get_running_loop().create_future()
        self.context = DtlsContext()
        self.refusals: list[str] = []
        self._answers: dict[str, asyncio.Future[dict[str, object]]] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._subscribe_credentials = Credentials(self.context)

    async def join(self, *, subscribe: bool, settings: dict[str, object] | None = None) -> dict[str, object]:
        """Takes a seat; `settings` are for the room, if this makes it."""
        self.socket = await self.http.ws_connect(self.url)
        self._reader = asyncio.create_task(self._read())
        message = {"type": "join", "version": 1, "name": self.name, "subscribe": subscribe}
        return await self.request({**message, **({"settings": settings} if settings else {})})

    async def request(self, message: dict[str, object]) -> dict[str, object]:
        """Sends a message and awaits its reply."""
        number = str(next(self.requests))
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({**message, "request": number})
        return await future

    async def publish(self, medias: list[Media]) -> Transport:
        """Publishes the m-lines and connects."""
        credentials = Credentials(self.context)
        tracks = [{"mid": media.mid, "source": media.source} for media in medias]
        reply = await self.request({"type": "publish", "sdp": offer_sdp(medias, credentials), "tracks": tracks})
        self.transports.append(await connect(str(reply["sdp"]), credentials))
        return self.transports[-1]

    async def _read(self) -> None:
        async for frame in self.socket:
            message = frame.json()
            future = self._answers.pop(message.get("request", ""), None)
            if message["type"] == "error":
                error = RuntimeError(f"{message['code']}: {message['message']}")
                if future:
                    future.set_exception(error)
                else:
                    self.refusals.append(str(error))
            elif future:
                future.set_result(message)
            elif message["type"] == "offer":
                await self._answer(message)
            elif message["type"] == "ping":
                await self.socket.send_json({"type": "pong"})
            else:
                await self.told(message)

    async def told(self, message: dict[str, object]) -> None:
        """Anything else; here it is of no interest."""

    async def _answer(self, message: dict[str, object]) -> None:
        offer = str(message["sdp"])
        answer = {"type": "answer", "sdp": answer_sdp(offer, self._subscribe_credentials)}
        await self.socket.send_json({**answer, "generation": message["generation"]})
        if not self._connecting:
            self._connecting.add(asyncio.create_task(self._subscribe(offer)))

    async def _subscribe(self, offer: str) -> None:
        self.subscribed.set_result(await connect(offer, self._subscribe_credentials))

    async def close(self) -> None:
        """Leaves."""
        self._reader.cancel()
        await self.socket.close()
        if self.subscribed.done():
            self.transports.append(self.subscribed.result())
        for transport in self.transports:
            transport.socket.close()
