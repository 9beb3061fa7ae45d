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


class SockaddrIn(ctypes.Structure):
    """struct sockaddr_in."""

    _fields_ = (
        ("family", ctypes.c_uint16),
        ("port", ctypes.c_uint8 * 2),
        ("address", ctypes.c_uint8 * 4),
        ("zero", ctypes.c_uint8 * 8),
    )


class CFlow(ctypes.Structure):
    """struct flow of load.c."""

    _fields_ = (
        ("send_fd", ctypes.c_int),
        ("receive_fd", ctypes.c_int),
        ("to", SockaddrIn),
        ("head", ctypes.c_uint8 * 4),
        ("head_bytes", ctypes.c_int32),
        ("skip_bytes", ctypes.c_int32),
        ("sent", ctypes.c_uint64),
        ("received", ctypes.c_uint64),
        ("bad", ctypes.c_uint64),
    )


class CResult(ctypes.Structure):
    """struct result of load.c."""

    _fields_ = (
        ("sent", ctypes.c_uint64),
        ("received", ctypes.c_uint64),
        ("bad", ctypes.c_uint64),
        ("seconds", ctypes.c_double),
        ("latencies", ctypes.c_uint64),
        ("histogram", ctypes.c_uint32 * BUCKETS),
    )


@dataclass(frozen=True)
class Flow:
    """Datagrams of `send` to `to` that come out at `receive`; `head` is put in front, `skip_bytes` is taken off."""

    send: socket.socket
    receive: socket.socket
    to: tuple[str, int]
    head: bytes = b""
    skip_bytes: int = 0


@dataclass(frozen=True)
class Result:
    """What arrived, unchanged, of what was sent, and how late (microseconds, one way)."""

    sent: int
    received: int
    bad: int
    seconds: float
    p50_us: int
    p99_us: int


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
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_double,
        ctypes.c_double,
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


def run(
    library: ctypes.CDLL, flows: Sequence[Flow], *, size: int, burst: int, window: int, seconds: float, rate: float = 0
) -> Result:
    """Runs the load in this thread until all has arrived or 0.3 s after the end. Sizes are payload bytes."""
    array = (CFlow * len(flows))()
    for slot, flow in zip(array, flows, strict=True):
        slot.send_fd, slot.receive_fd = flow.send.fileno(), flow.receive.fileno()
        slot.to.family = socket.AF_INET
        slot.to.port[:] = flow.to[1].to_bytes(2, "big")
        slot.to.address[:] = socket.inet_aton(flow.to[0])
        slot.head[: len(flow.head)] = flow.head
        slot.head_bytes, slot.skip_bytes = len(flow.head), flow.skip_bytes
    result = CResult()
    code = library.run(array, len(flows), size, burst, window, rate, seconds, ctypes.byref(result))
    if code:
        raise OSError(-code, os.strerror(-code))
    histogram = list(result.histogram)
    return Result(
        result.sent,
        result.received,
        result.bad,
        result.seconds,
        percentile(histogram, 0.5),
        percentile(histogram, 0.99),
    )
