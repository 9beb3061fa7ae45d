"""Builds engine.c and runs it in a thread: the media of many participants, sent and checked as browsers would."""

from __future__ import annotations

import ctypes
import struct
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.load import compile_shared, percentile
from benchmarks.participant import Transport
from benchmarks.process import be_real_time
from benchmarks.sfu_load import function, session_pointer

FOREIGN = 0xFFFFFFFF  # Report.source of what is not of our publishers
BUCKETS, BINS = 100_000, 72_000
BUCKET_US = 10
IVF_HEADER_BYTES, IVF_FRAME_BYTES = 32, 12


class Report(ctypes.Structure):
    """struct report of subscriber.h: what a slot has seen. Times are nanoseconds since 1970, 0: never.

    `lost` counts numbers that never came, `unheard` packets of speech that never came, a clipped beginning too.
    """

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("ssrc", "source", "layer", "width", "height")),
        *(
            (name, ctypes.c_uint64)
            for name in (
                *("packets", "bytes", "lost", "late", "repaired", "wrong", "foreign", "unheard"),
                *("frames", "decoded", "keyframes", "undecodable"),
                *("picture_errors", "level_errors", "marker_errors", "switch_errors"),
                *("nacks", "plis", "first_packet_at", "first_keyframe_at", "decoded_at"),
                *("longest_gap", "longest_gap_at", "switches"),
            )
        ),
        ("temporal", ctypes.c_uint64 * 4),
    )


FAULTS = ("wrong", "picture_errors", "level_errors", "marker_errors", "switch_errors")


class Layer(NamedTuple):
    """One SSRC that is sent; the first of a publisher is audio."""

    rid: str
    ssrc: int
    rtx_ssrc: int = 0
    width: int = 0
    height: int = 0
    bps: int = 0


class Sent(NamedTuple):
    """What a layer has sent; bytes with IP and UDP headers."""

    frames: int
    keyframes: int
    repeats: int
    requests: int
    bytes: int
    packets: int


class Traffic(NamedTuple):
    """What a connection has carried, with IP and UDP headers; `bad`: not authentic or of nobody."""

    bytes_in: int
    packets_in: int
    bytes_out: int
    packets_out: int
    bad: int
    padding_bytes: int


@dataclass(frozen=True)
class Latency:
    """Histogram from sending to arrival, buckets of BUCKET_US."""

    histogram: Sequence[int]

    def percentile_ms(self, part: float) -> float | None:
        """The time within which `part` of the packets arrived, None without packets."""
        return percentile(self.histogram, part) * BUCKET_US / 1000 if any(self.histogram) else None


def make_pictures(width: int, height: int) -> tuple[bytes, bytes]:
    """A VP8 frame that changes nothing and a grey keyframe, by FFmpeg and libvpx."""
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"color=gray:size={width}x{height}:rate=30"]
    encode = ["-c:v", "libvpx", "-b:v", "1M", "-g", "999", "-lag-in-frames", "0", "-error-resilient", "1"]
    out = subprocess.run([*command, *encode, "-frames:v", "3", "-f", "ivf", "-"], check=True, stdout=subprocess.PIPE)
    frames, at = [], IVF_HEADER_BYTES
    while at < len(out.stdout):
        (size,) = struct.unpack_from("<I", out.stdout, at)
        frames.append(out.stdout[at + IVF_FRAME_BYTES : at + IVF_FRAME_BYTES + size])
        at += IVF_FRAME_BYTES + size
    return frames[2], frames[0]


class Engine:
    """All connections of this process. One engine a process; methods may be called while it runs."""

    def __init__(self) -> None:
        self._library = library = compile_shared("engine.c")
        library.engine_open.restype = ctypes.c_void_p
        names = ("srtp_protect", "srtp_unprotect", "srtp_protect_rtcp", "srtp_unprotect_rtcp")
        self._engine = ctypes.c_void_p(library.engine_open(*(function(name) for name in names)))
        self._kept: list[Transport] = []
        self._pictures: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        be_real_time()  # it sleeps most of the time, and is to be late for nobody
        self._library.engine_run(self._engine)

    def _common(self, transport: Transport, check: bytes) -> tuple[object, ...]:
        self._kept.append(transport)
        sessions = (ctypes.c_void_p(session_pointer(each)) for each in (transport.outbound, transport.inbound))
        return self._engine, transport.socket.fileno(), *sessions, check, len(check)

    def mix(self, sizes: Sequence[tuple[int, int]]) -> None:
        """Browsers will be in the room: layers of these sizes get pictures that decoders show, their media is followed.

        Publishers to come, all subscribers. ValueError for a size whose picture does not fit into a packet.
        """
        self._library.engine_mix(self._engine)
        self._pictures = {size: make_pictures(*size) for size in sizes}

    def publish(
        self, transport: Transport, check: bytes, source: int, mids: tuple[str, str], layers: Sequence[Layer]
    ) -> int:
        """Sends from now on; the connection's number. `source` is in every packet."""
        index: int = self._library.engine_publish(*self._common(transport, check), source, *(ord(mid) for mid in mids))
        for number, layer in enumerate(layers):
            numbers = (ctypes.c_uint32(layer.ssrc), ctypes.c_uint32(layer.rtx_ssrc))
            self._library.engine_layer(
                self._engine, index, layer.rid.encode(), *numbers, layer.width, layer.height, layer.bps
            )
            for keyframe, picture in enumerate(self._pictures.get((layer.width, layer.height), ())):
                if not self._library.engine_picture(self._engine, index, number, keyframe, picture, len(picture)):
                    raise ValueError(f"{layer.width}x{layer.height}: the picture takes {len(picture)} bytes")
        self._library.engine_begin(self._engine, index)
        return index

    def activate(self, index: int, layer: int, *, active: bool) -> None:
        """Switches a layer of a publisher."""
        self._library.engine_activate(self._engine, index, layer, int(active))

    def talk(self, index: int, *, talking: bool) -> None:
        """50 packets a second, or 2.5."""
        self._library.engine_talk(self._engine, index, int(talking))

    def subscribe(self, transport: Transport, check: bytes) -> int:
        """The number of a connection that receives, from `begin` on."""
        index: int = self._library.engine_subscribe(*self._common(transport, check))
        return index

    def begin(self, index: int) -> None:
        """The slots of a subscriber are known."""
        self._library.engine_begin(self._engine, index)

    def follow(self, index: int, *, check_every: int, measured: bool) -> None:
        """How closely a subscriber looks, and whether its packets count in `latency`.

        `check_every` 0: orders, repairs and checks everything; else it counts, and checks one packet in so many.
        """
        self._library.engine_follow(self._engine, index, check_every, int(measured))

    def slot(self, index: int, ssrc: int, rtx_ssrc: int, *, audio: bool) -> int:
        """A further m-line; its number."""
        numbers = ctypes.c_uint32(ssrc), ctypes.c_uint32(rtx_ssrc)
        number: int = self._library.engine_slot(self._engine, index, *numbers, int(audio))
        if number < 0:
            raise RuntimeError("more slots than a subscriber of ours has")
        return number

    def report(self, index: int, slot: int, *, fresh: bool = False) -> Report:
        """What a slot has seen; `fresh` begins the longest gap and the first keyframe anew."""
        report = Report()
        self._library.engine_report(self._engine, index, slot, ctypes.byref(report), int(fresh))
        return report

    def sent(self, index: int, layer: int) -> Sent:
        """What a layer has sent."""
        counts = (ctypes.c_uint64 * 6)()
        self._library.engine_sent(self._engine, index, layer, counts)
        return Sent(*counts)

    def traffic(self, index: int) -> Traffic:
        """What a connection has carried."""
        counts = (ctypes.c_uint64 * 6)()
        self._library.engine_traffic(self._engine, index, counts)
        return Traffic(*counts)

    def latency(self, *, video: bool) -> Latency:
        """All since the last call."""
        histogram = (ctypes.c_uint32 * BUCKETS)()
        self._library.engine_latency(self._engine, int(video), histogram)
        return Latency(histogram)

    def bins(self) -> list[int]:
        """Bytes that the server sent in each 100 ms since the engine began, by the kernel's times."""
        bins = (ctypes.c_uint32 * BINS)()
        count = self._library.engine_bins(self._engine, bins, BINS)
        return bins[:count]

    def cost(self) -> tuple[float, float]:
        """CPU-seconds of the media thread, and the longest time in seconds that a datagram waited for it."""
        counts = (ctypes.c_uint64 * 2)()
        self._library.engine_cost(self._engine, counts)
        return counts[0] / 1e9, counts[1] / 1e9

    def leave(self, index: int) -> None:
        """Neither sends nor receives there any more."""
        self._library.engine_leave(self._engine, index)

    def stop(self) -> None:
        """Ends the thread."""
        self._library.engine_stop(self._engine)
        self._thread.join()
