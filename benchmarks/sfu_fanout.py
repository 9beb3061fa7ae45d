"""Forwarded packets per CPU-second of the server process: publishers in bursts to subscribers, over real DTLS-SRTP.

The daemon is pinned to one core, the load (fanout.c) to the other. Every `--check-every`-th packet that arrives is
authenticated and its payload checked.

    .venv/bin/python -m benchmarks.sfu_fanout [--subscribers 10] [--burst 8] [--frames 1000] [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import statistics
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import toml
from pylibsrtp import Session
from pylibsrtp._binding import ffi, lib

from benchmarks.load import BUCKETS, compile_shared, percentile
from benchmarks.participant import EXTENSION_MID, EXTENSION_TRANSPORT, PAYLOADS, Media, Participant, Transport
from benchmarks.process import Server, pin_load, print_table, save, spread

HOST = "127.0.0.1"
HTTP_PORT, SFU_PORT = 28080, 42000
REPOSITORY = Path(__file__).resolve().parents[1]
AUDIO_BYTES = 112


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
        ("received", ctypes.c_uint64),
        ("checked", ctypes.c_uint64),
        ("bad", ctypes.c_uint64),
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


def start_turnd(folder: Path) -> Server:
    """The whole daemon, as people run it."""
    config = {
        "state_dir": str(folder / "state"),
        "http": {"listen": f"{HOST}:{HTTP_PORT}", "tls_listen": f"{HOST}:28443"},
        "turn": {"listen": [HOST], "port": 23478, "tls_port": 25349, "relay_ports": [42001, 42100]},
        "sfu": {"port": SFU_PORT},
        "metrics": {"listen": f"{HOST}:29641"},
    }
    (folder / "turnd.toml").write_text(toml.dumps(config))
    command = [sys.executable, "-m", "turnd", "serve", "--config", str(folder / "turnd.toml")]

    def ready() -> bool:
        try:
            return urllib.request.urlopen(f"http://{HOST}:29641/health", timeout=1).status == 200
        except (urllib.error.URLError, OSError):
            return False

    return Server("turnd", command, ready, folder / "log", REPOSITORY)


@dataclass(frozen=True)
class Scene:
    """Who sends and who receives."""

    publishers: int
    subscribers: int
    audio: bool

    def medias(self) -> list[Media]:
        """What each publisher sends."""
        sound = [Media("0", "audio", "microphone")] if self.audio else []
        return [*sound, Media("1", "video", "camera")]


async def assemble(scene: Scene, stack: AsyncExitStack) -> tuple[list[tuple[Transport, list[Media]]], list[Transport]]:
    """Joins everybody; the publishers' transports with what they send, the subscribers' transports."""
    http = await stack.enter_async_context(aiohttp.ClientSession())
    url = f"http://{HOST}:{HTTP_PORT}/r/bench/ws"
    publishers, subscribers = [], []
    for number in range(scene.publishers):
        one = Participant(http, url, f"publisher {number}")
        await one.join(subscribe=False)
        stack.push_async_callback(one.close)
        medias = scene.medias()
        publishers.append((await one.publish(medias), medias))
    for number in range(scene.subscribers):
        one = Participant(http, url, f"subscriber {number}")
        await one.join(subscribe=True)
        stack.push_async_callback(one.close)
        subscribers.append(await one.subscribed)
    return publishers, subscribers


class Load:
    """The C arrays of one scene; they keep counting from run to run."""

    def __init__(self, publishers: list[tuple[Transport, list[Media]]], subscribers: list[Transport]) -> None:
        self.library = compile_shared("fanout.c")
        self.kept = (publishers, subscribers)
        pairs = [(transport, media) for transport, medias in publishers for media in medias]
        self.sources = (CSource * len(pairs))()
        for slot, (transport, media) in zip(self.sources, pairs, strict=True):
            slot.fd, slot.session = transport.socket.fileno(), session_pointer(transport.outbound)
            slot.ssrc, slot.payload_type, slot.audio = media.ssrc, PAYLOADS[media.kind], media.kind == "audio"
            slot.mid_id, slot.transport_id, slot.mid = EXTENSION_MID, EXTENSION_TRANSPORT, ord(media.mid)
        self.sinks = (CSink * (len(subscribers) + len(publishers)))()
        for slot, transport in zip(self.sinks, subscribers, strict=False):
            slot.fd, slot.session = transport.socket.fileno(), session_pointer(transport.inbound)
        for slot, (transport, _) in zip(list(self.sinks)[len(subscribers) :], publishers, strict=True):
            slot.fd = transport.socket.fileno()

    def run(self, arguments: argparse.Namespace, seconds: float) -> COutcome:
        """One run; the outcome counts this run alone."""
        for slot in (*self.sources, *self.sinks):
            for name in ("sent", "received", "checked", "bad"):
                if hasattr(slot, name):
                    setattr(slot, name, 0)
        outcome = COutcome()
        code = self.library.fanout(
            *(function("srtp_protect"), function("srtp_unprotect")),
            *(self.sources, len(self.sources), self.sinks, len(self.sinks)),
            *(arguments.size, arguments.burst, AUDIO_BYTES),
            *(ctypes.c_double(arguments.frames), ctypes.c_double(arguments.audio_packets)),
            *(int(arguments.frames), arguments.check_every),
            *(ctypes.c_double(seconds), ctypes.byref(outcome)),
        )
        if code:
            raise OSError(-code, os.strerror(-code))
        return outcome


def measure(load: Load, server: Server, scene: Scene, arguments: argparse.Namespace) -> dict[str, float]:
    """One run: what came out, for how much CPU."""
    before = server.cpu()
    outcome = load.run(arguments, arguments.seconds)
    after = server.cpu()
    user, system = after.user - before.user, after.system - before.system
    if outcome.bad or not outcome.checked:
        raise RuntimeError(f"{outcome.bad} of {outcome.checked} checked packets were wrong")
    histogram = list(outcome.histogram)
    return {
        "packets_out_per_cpu_second": outcome.received / (user + system),
        "packets_out_per_second": outcome.received / outcome.seconds,
        "user_share": user / (user + system),
        "lost": 1 - outcome.received / (outcome.sent * scene.subscribers),
        "p50_us": percentile(histogram, 0.5),
        "p99_us": percentile(histogram, 0.99),
        "rss_bytes": server.memory_bytes(),
    }


async def main() -> None:
    """Runs the scene."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--publishers", type=int, default=1)
    parser.add_argument("--subscribers", type=int, default=10)
    parser.add_argument("--audio", action="store_true", help="each publisher sends Opus too")
    parser.add_argument("--size", type=int, default=1200, help="bytes of an RTP packet")
    parser.add_argument("--burst", type=int, default=8)
    parser.add_argument("--frames", type=float, default=1000, help="bursts a second of each publisher")
    parser.add_argument("--audio-packets", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check-every", type=int, default=16)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pin_load()
    scene = Scene(arguments.publishers, arguments.subscribers, arguments.audio)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = start_turnd(Path(folder))
        stack.callback(server.stop)
        publishers, subscribers = await assemble(scene, stack)
        load = Load(publishers, subscribers)
        load.run(arguments, 1)  # learns the SSRCs, reaches the first keyframe
        runs = [measure(load, server, scene, arguments) for _ in range(arguments.rounds)]
    row = [f"{scene.publishers} to {scene.subscribers}, bursts of {arguments.burst} x {arguments.size} B"]
    row.append(spread([run["packets_out_per_cpu_second"] for run in runs]))
    row += [f"{statistics.median(run[key] for run in runs):.3g}" for key in ("lost", "user_share", "p50_us", "p99_us")]
    print_table(["case", "k packets out/CPU-s", "lost", "user", "p50 us", "p99 us"], [row])
    save(arguments.json, {"scene": asdict(scene), "runs": runs})


if __name__ == "__main__":
    asyncio.run(main())
