"""Both ends for tests of the forward path: a forwarder with a settable clock, peers with SRTP sessions and sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pylibsrtp import Policy, Session

from sfu.forward import Drop, Event, Forwarder, Kind, Slot, Stream, Transport
from sfu.rtp import Extension, RtpPacket, build_rtp, parse_rtp
from wire.udp import UdpSocket

KEY_BYTES = {
    Policy.SRTP_PROFILE_AEAD_AES_128_GCM: 28,
    Policy.SRTP_PROFILE_AEAD_AES_256_GCM: 44,
    Policy.SRTP_PROFILE_AES128_CM_SHA1_80: 30,
}
GCM = Policy.SRTP_PROFILE_AEAD_AES_128_GCM
VIDEO, AUDIO, RTX, VP9, H264, AV1 = 96, 111, 97, 98, 102, 45
PAYLOADS = {
    VIDEO: (Kind.VP8, 90000, None),
    RTX: (Kind.VP8, 90000, VIDEO),
    VP9: (Kind.VP9, 90000, None),
    H264: (Kind.H264, 90000, None),
    AV1: (Kind.AV1, 90000, None),
    AUDIO: (Kind.OPUS, 48000, None),
}
RECEIVE = {
    1: Extension.AUDIO_LEVEL,
    2: Extension.ABS_SEND_TIME,
    3: Extension.TRANSPORT_SEQUENCE,
    4: Extension.MID,
    5: Extension.DEPENDENCY_DESCRIPTOR,
    10: Extension.RID,
    11: Extension.REPAIRED_RID,
    13: Extension.VIDEO_ORIENTATION,
}
SEND = {Extension.MID: 9, Extension.ABS_SEND_TIME: 3, Extension.TRANSPORT_SEQUENCE: 5, Extension.VIDEO_ORIENTATION: 1}
KEYFRAME = b"\x10\x10\x00\x00\x9d\x01\x2a\x80\x02\x68\x01rest of it"
DELTA = b"\x10\x11rest of it"


def session(key: bytes, kind: int, profile: int) -> Session:
    policy = Policy(key, kind, 0, profile)
    policy.allow_repeat_tx = True
    policy.window_size = 1024
    return Session(policy)


def pending(udp: socket.socket) -> list[bytes]:
    """All datagrams that a non-blocking socket holds."""
    received = []
    while True:
        try:
            received.append(udp.recv(4096))
        except BlockingIOError:
            return received


class Peer:
    """The other end of a transport: SRTP sessions and a socket."""

    def __init__(self, exchange: Exchange, profile: int, *, send: dict[Extension, int] | None = None) -> None:
        self.exchange = exchange
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.address: tuple[str, int] = self.socket.getsockname()
        length = KEY_BYTES[profile]
        ours, theirs = bytes(range(length)), bytes(range(100, 100 + length))
        self.outbound = session(theirs, Policy.SSRC_ANY_OUTBOUND, profile)
        self.inbound = session(ours, Policy.SSRC_ANY_INBOUND, profile)
        self.transport: Transport = exchange.forwarder.transport(self)
        self.transport.add_remote(self.address, exchange.local)
        self.transport.select(exchange.socket, self.address, exchange.local)
        self.transport.set_keys(profile, ours, theirs)
        self.transport.set_extensions(RECEIVE, SEND if send is None else send)
        self.transport.set_payloads(PAYLOADS)

    def datagram(self, packet: RtpPacket, *, two_byte: bool = False) -> tuple[bytes, tuple[str, int], tuple[str, int]]:
        return self.outbound.protect(build_rtp(packet, two_byte=two_byte)), self.address, self.exchange.local

    def send(self, *packets: RtpPacket) -> None:
        """All of them in one batch."""
        self.exchange.forwarder.feed([self.datagram(packet) for packet in packets])

    def raw(self) -> list[bytes]:
        return pending(self.socket)

    def received(self) -> list[RtpPacket]:
        return [parse_rtp(self.inbound.unprotect(data)) for data in self.raw()]


class Exchange:
    """A forwarder with a socket, a settable clock (or the real one), and its events."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, real_time: bool = False) -> None:
        self.loop = loop
        self.now = 1000.0
        self.events: list[tuple[object, ...]] = []
        self.passing = 0.0  # with each look at the clock
        self.forwarder = Forwarder(self.events.extend, None if real_time else self._read_clock)
        self.socket = UdpSocket(loop, ("127.0.0.1", 0), self.forwarder, component="sfu")
        self.forwarder.attach(self.socket)
        self.local = self.socket.local_address
        self.peers: list[Peer] = []

    def _read_clock(self) -> float:
        at = self.now
        self.now += self.passing
        return at

    def peer(self, profile: int = GCM, **options: dict[Extension, int]) -> Peer:
        self.peers.append(Peer(self, profile, **options))
        return self.peers[-1]

    def turn(self) -> None:
        """One turn of the loop."""
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def take(self, event: Event) -> list[tuple[object, ...]]:
        """Events of one sort since the last call; others are kept."""
        found = [entry[1:] for entry in self.events if entry[0] is event]
        self.events[:] = [entry for entry in self.events if entry[0] is not event]
        return found

    def dropped(self) -> dict[str, int]:
        counters = self.forwarder.counters()
        return {reason.name: number for reason in Drop if (number := counters[f"dropped_{reason.name.lower()}"])}

    def close(self) -> None:
        for peer in self.peers:
            peer.transport.close()
            peer.socket.close()
        self.socket.close()


@contextmanager
def opened(*, real_time: bool = False) -> Iterator[Exchange]:
    loop = asyncio.new_event_loop()
    exchange = Exchange(loop, real_time=real_time)
    try:
        yield exchange
    finally:
        exchange.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def video(number: int, payload: bytes = DELTA, *, ssrc: int = 1, timestamp: int = 0, **more: object) -> RtpPacket:
    return replace(RtpPacket(VIDEO, number & 0xFFFF, timestamp, ssrc, payload), **more)  # type: ignore[arg-type]


def audio(number: int, **more: object) -> RtpPacket:
    return replace(RtpPacket(AUDIO, number & 0xFFFF, number * 960, 2, b"opus"), **more)  # type: ignore[arg-type]


def slot_of(peer: Peer, ssrc: int = 100, *, rtx: bool = True, is_audio: bool = False) -> Slot:
    slot = peer.transport.add_slot("mid", ssrc, rtx_ssrc=ssrc + 1 if rtx else None, audio=is_audio)
    slot.map_payload(Kind.VP8, 120, 121)
    slot.map_payload(Kind.OPUS, 109, None)
    return slot


# A publisher and its stream, a subscriber and the slot that follows it.
Call = tuple[Exchange, Peer, Stream, Peer, Slot]
