"""Builds load.c and calls it."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BUCKETS = 100_000
SO_RCVBUFFORCE, SO_TIMESTAMPNS, UDP_GRO = 33, 35, 104


class SockaddrIn(ctypes.Structure):
    """struct sockaddr_in."""

    _fields_ = (
        ("family", ctypes.c_uint16),
        ("port", ctypes.c_uint8 * 2),
        ("address", ctypes.c_uint8 * 4),
        ("zero", ctypes.c_uint8 * 8),
    )

    def set(self, address: tuple[str, int]) -> None:
        """Takes an IPv4 address and port."""
        self.family = socket.AF_INET
        self.port[:] = address[1].to_bytes(2, "big")
        self.address[:] = socket.inet_aton(address[0])


class CFlow(ctypes.Structure):
    """struct flow of load.c."""

    _fields_ = (
        ("send_fd", ctypes.c_int32),
        ("receive_fd", ctypes.c_int32),
        ("to", SockaddrIn),
        ("head", ctypes.c_uint8 * 4),
        ("expected", ctypes.c_uint8 * 4),
        ("head_bytes", ctypes.c_int32),
        ("expected_bytes", ctypes.c_int32),
        ("group", ctypes.c_int32),
        ("sent", ctypes.c_uint64),
        ("received", ctypes.c_uint64),
        ("bad", ctypes.c_uint64),
        ("next", ctypes.c_uint64),
    )


class COptions(ctypes.Structure):
    """struct options of load.c."""

    _fields_ = (
        ("size", ctypes.c_int32),
        ("burst", ctypes.c_int32),
        ("window", ctypes.c_int32),
        ("offloads", ctypes.c_int32),
        ("rate", ctypes.c_double),
        ("seconds", ctypes.c_double),
    )


class CResult(ctypes.Structure):
    """struct result of load.c."""

    _fields_ = (
        ("sent", ctypes.c_uint64),
        ("received", ctypes.c_uint64),
        ("bad", ctypes.c_uint64),
        ("seconds", ctypes.c_double),
        ("busy_seconds", ctypes.c_double),
        ("histogram", ctypes.c_uint32 * BUCKETS * 2),
    )


@dataclass(frozen=True)
class Flow:
    """Datagrams of `send` to `to` that come out at `receive`; `head` is in front when sent, `expected` on arrival.

    `group`, 0 or 1, names the latency histogram.
    """

    send: socket.socket
    receive: socket.socket
    to: tuple[str, int]
    head: bytes = b""
    expected: bytes = b""
    group: int = 0


@dataclass(frozen=True)
class Options:
    """The load: payload bytes, datagrams a turn, datagrams in flight; or paced, when there is a `rate` a second."""

    size: int
    burst: int = 1
    window: int = 512
    offloads: bool = False
    rate: float = 0
    seconds: float = 1


@dataclass(frozen=True)
class Result:
    """What arrived, unchanged and in order, of what was sent; paced: how late, by group (microseconds, one way)."""

    sent: int
    received: int
    bad: int
    seconds: float
    busy_seconds: float
    p50_us: tuple[int, int]
    p99_us: tuple[int, int]


def compile_shared(name: str) -> ctypes.CDLL:
    """Compiles a C file beside this one for this machine and loads it."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "load.so")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", target, Path(__file__).with_name(name)], check=True)
        return ctypes.CDLL(str(target))


def build() -> ctypes.CDLL:
    """The relay load."""
    library = compile_shared("load.c")
    library.run.argtypes = [
        ctypes.POINTER(CFlow),
        ctypes.c_int,
        ctypes.POINTER(COptions),
        ctypes.POINTER(CResult),
    ]
    return library


def percentile(histogram: Sequence[int], part: float) -> int:
    """The bucket below which `part` of the observations lie."""
    wanted, seen = part * sum(histogram), 0
    for bucket, count in enumerate(histogram):
        seen += count
        if seen >= wanted:
            return bucket
    return len(histogram)


def prepare_receiver(receiver: socket.socket, options: Options) -> None:
    """Sets what `run` presumes of a receiving socket: GRO and the kernel's time stamps, on or off."""
    receiver.setsockopt(socket.IPPROTO_UDP, UDP_GRO, int(options.offloads))
    receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, int(options.rate > 0))


def run(library: ctypes.CDLL, flows: Sequence[Flow], options: Options) -> Result:
    """Runs the load in this thread until all has arrived or 0.3 s after the end."""
    array = (CFlow * len(flows))()
    for slot, flow in zip(array, flows, strict=True):
        prepare_receiver(flow.receive, options)
        slot.send_fd, slot.receive_fd = flow.send.fileno(), flow.receive.fileno()
        slot.to.set(flow.to)
        slot.head[: len(flow.head)], slot.head_bytes = flow.head, len(flow.head)
        slot.expected[: len(flow.expected)], slot.expected_bytes = flow.expected, len(flow.expected)
        slot.group = flow.group
    result = CResult()
    wanted = COptions(options.size, options.burst, options.window, int(options.offloads), options.rate, options.seconds)
    code = library.run(array, len(flows), ctypes.byref(wanted), ctypes.byref(result))
    if code:
        raise OSError(-code, os.strerror(-code))
    histograms = [list(histogram) for histogram in result.histogram] if options.rate else [[0], [0]]
    p50, p99 = ((percentile(histograms[0], part), percentile(histograms[1], part)) for part in (0.5, 0.99))
    return Result(result.sent, result.received, result.bad, result.seconds, result.busy_seconds, p50, p99)
