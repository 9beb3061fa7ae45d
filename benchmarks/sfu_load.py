"""RTP load over connected DTLS-SRTP transports: builds fanout.c and calls it in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pylibsrtp import Session
from pylibsrtp._binding import ffi, lib

from benchmarks.load import SO_TIMESTAMPNS, UDP_GRO, compile_shared, percentile
from benchmarks.participant import EXTENSION_MID, EXTENSION_TRANSPORT, PAYLOADS, Media, Transport
from benchmarks.process import real_time, steered

BUCKETS = 2_000_000
VIDEO_BYTES, AUDIO_BYTES = 1200, 112
AUDIO_PACKETS_PER_SECOND = 50


class CSource(ctypes.Structure):
    """struct source of fanout.c."""

    _fields_ = (
        ("fd", ctypes.c_int),
        ("audio", ctypes.c_int),
        ("session", ctypes.c_void_p),
        ("ssrc", ctypes.c_uint32),
        ("timestamp", ctypes.c_uint32),
        ("sequence", ctypes.c_uint16),
        ("transport_sequence", ctypes.c_uint16),
        ("picture", ctypes.c_uint16),
        ("payload_type", ctypes.c_uint8),
        ("mid_id", ctypes.c_uint8),
        ("transport_id", ctypes.c_uint8),
        ("mid", ctypes.c_uint8),
        ("sent", ctypes.c_uint64),
        ("frames", ctypes.c_uint64),
    )


class CSink(ctypes.Structure):
    """struct sink of fanout.c."""

    _fields_ = (
        ("fd", ctypes.c_int),
        ("seen", ctypes.c_int),
        ("session", ctypes.c_void_p),
        ("feedback_session", ctypes.c_void_p),
        ("received", ctypes.c_uint64),
        ("checked", ctypes.c_uint64),
        ("bad", ctypes.c_uint64),
        ("next_feedback", ctypes.c_uint64),
        ("transport_id", ctypes.c_int32),
        ("started", ctypes.c_int32),
        ("base", ctypes.c_uint16),
        ("highest", ctypes.c_uint16),
        ("reports", ctypes.c_uint8),
        ("arrivals", ctypes.c_uint32 * 4096),
    )


class COutcome(ctypes.Structure):
    """struct outcome of fanout.c."""

    _fields_ = (
        ("sent", ctypes.c_uint64),
        ("received", ctypes.c_uint64),
        ("checked", ctypes.c_uint64),
        ("bad", ctypes.c_uint64),
        ("seconds", ctypes.c_double),
        ("histogram", ctypes.c_uint32 * BUCKETS),
    )


def session_pointer(session: Session) -> int:
    """The srtp_t behind a session."""
    return int(ffi.cast("uintptr_t", session._srtp[0]))


def function(name: str) -> ctypes.c_void_p:
    """A libsrtp function of the same library."""
    return ctypes.c_void_p(int(ffi.cast("uintptr_t", ffi.addressof(lib, name))))


@dataclass(frozen=True)
class Rate:
    """Frames a second of each video source, each of `burst` packets; `factor` scales them and the audio packets."""

    frames_per_second: float
    burst: int
    factor: float = 1.0


@dataclass(frozen=True)
class Ends:
    """How sinks receive: runs of datagrams whole, as network cards of receivers would take them; on a core of their own
    down to the socket (Linux's receive packet steering), for else loopback has the sender pay for it."""

    offloads: bool = False
    steered: bool = False


PLAIN = Ends()


@dataclass(frozen=True)
class Outcome:
    """What came of what was sent, and how late (one way, from before the burst was built)."""

    sent: int
    received: int
    checked: int
    seconds: float
    elapsed: float
    """With the time until nothing came any more."""
    p50_us: int
    p99_us: int


class Load:
    """The C arrays of one scene; their sequence numbers go on from run to run."""

    def __init__(self, sources: Sequence[tuple[Transport, Sequence[Media]]], sinks: Sequence[Transport]) -> None:
        self._library = compile_shared("fanout.c")
        self._kept = (sources, sinks)
        pairs = [(transport, media) for transport, medias in sources for media in medias]
        self._sources = (CSource * len(pairs))()
        for source, (transport, media) in zip(self._sources, pairs, strict=True):
            source.fd, source.session = transport.socket.fileno(), session_pointer(transport.outbound)
            source.ssrc, source.payload_type, source.audio = media.ssrc, PAYLOADS[media.kind], media.kind == "audio"
            source.mid_id, source.transport_id, source.mid = EXTENSION_MID, EXTENSION_TRANSPORT, ord(media.mid)
        self._sinks = (CSink * (len(sinks) + len(sources)))()  # what comes back to sources is read, not counted
        for sink, transport in zip(self._sinks, [*sinks, *(each for each, _ in sources)], strict=True):
            sink.fd = transport.socket.fileno()
        for sink, transport in zip(self._sinks, sinks, strict=False):
            sink.session = session_pointer(transport.inbound)
            sink.feedback_session, sink.transport_id = session_pointer(transport.outbound), transport.transport_id

    async def run(self, rate: Rate, seconds: float, *, ends: Ends = PLAIN, check_every: int = 16) -> Outcome:
        """One run."""
        transports = self._kept[1]
        for transport in transports:
            transport.socket.setsockopt(socket.IPPROTO_UDP, UDP_GRO, int(ends.offloads))
            transport.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        for transport in [*transports, *(source for source, _ in self._kept[0])]:
            transport.socket.send(transport.check)
        for each in (*self._sources, *self._sinks):
            for name in ("sent", "received", "checked", "bad"):
                if hasattr(each, name):
                    setattr(each, name, 0)
        outcome = COutcome()
        start = time.monotonic()
        with steered() if ends.steered else contextlib.nullcontext():
            code = await asyncio.to_thread(self._call, rate, seconds, check_every, outcome)
        elapsed = time.monotonic() - start
        if code:
            raise OSError(-code, os.strerror(-code))
        if outcome.bad:
            raise RuntimeError(f"{outcome.bad} of {outcome.checked} checked packets were wrong")
        histogram = list(outcome.histogram)
        counts = (outcome.sent, outcome.received, outcome.checked, outcome.seconds, elapsed)
        return Outcome(*counts, percentile(histogram, 0.5), percentile(histogram, 0.99))

    def _call(self, rate: Rate, seconds: float, check_every: int, outcome: COutcome) -> int:
        frames, audio = rate.frames_per_second * rate.factor, AUDIO_PACKETS_PER_SECOND * rate.factor
        with real_time():
            code: int = self._library.fanout(
                *(function("srtp_protect"), function("srtp_unprotect"), function("srtp_protect_rtcp")),
                *(self._sources, len(self._sources), self._sinks, len(self._sinks)),
                *(VIDEO_BYTES, rate.burst, AUDIO_BYTES),
                *(ctypes.c_double(frames), ctypes.c_double(audio), max(1, int(frames)), check_every),
                *(ctypes.c_double(seconds), ctypes.byref(outcome)),
            )
        return code
