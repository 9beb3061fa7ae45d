"""Forwarding beside Debian's janus in one run: packets out per CPU-second, loss, latency, memory, over real DTLS-SRTP.

One server at a time has a core for itself, the load (fanout.c) has the other. The servers take turns in each round.
Every `--check-every`-th packet that arrives is authenticated and its payload checked.

    .venv/bin/python -m benchmarks.sfu_fanout [--cases "1 to 100" "room of 20"] [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import aiohttp

from benchmarks import janus, sfu_report
from benchmarks.daemon import room_url, start_turnd
from benchmarks.janus import JanusRoom, start_janus
from benchmarks.participant import Media, Participant, Transport
from benchmarks.process import CpuTime, Server, alone, pin_load, save
from benchmarks.sfu_load import PLAIN, VIDEO_BYTES, Ends, Load, Outcome, Rate
from benchmarks.turn_servers import version

MIN_WARM_RUNS, WARM_RUNS = 6, 12  # until all comes: SSRCs are learned, keyframes are there, estimates have grown ...
WARM_SECONDS = 1.0  # ... and measured rates have settled: each change of more than a quarter is told to each client
MAX_SUBSCRIBER_BPS = 40e6  # what turnd's estimate of a path lets through (50 Mbit/s), with room
ENDS = {"plain ends": PLAIN, "steered ends": Ends(steered=True), "ends with offloads": Ends(offloads=True)}
HALF = 0.5

Sources = list[tuple[Transport, list[Media]]]
Run = dict[str, float | str]


@dataclass(frozen=True)
class Scene:
    """Who sends and who receives. In a room everybody does both, but for what is one's own."""

    publishers: int
    subscribers: int
    room: bool
    rate: Rate

    def medias(self) -> list[Media]:
        """What each publisher sends."""
        sound = [Media("0", "audio", "microphone")] if self.room else []
        return [*sound, Media("1", "video", "camera")]

    def copies(self) -> int:
        """How many receive a packet."""
        return self.publishers - 1 if self.room else self.subscribers


SCENES = {
    "1 to 100": Scene(1, 100, False, Rate(25, 8)),
    "1 to 300": Scene(1, 300, False, Rate(25, 8)),
    "room of 20": Scene(20, 20, True, Rate(25, 5)),
}


async def assemble_turnd(scene: Scene, stack: AsyncExitStack) -> tuple[Sources, list[Transport]]:
    """Joins everybody; the publishers' transports with what they send, the subscribers' transports."""
    http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    url = room_url("bench")
    sources: Sources = []
    receivers: list[Participant] = []
    for number in range(scene.publishers):
        one = Participant(http, url, f"publisher {number}")
        await one.join(subscribe=scene.room, settings={"mode": "meeting" if scene.room else "broadcast"})
        stack.push_async_callback(one.close)
        medias = scene.medias()
        sources.append((await one.publish(medias), medias))
        receivers += [one] if scene.room else []
    for number in range(0 if scene.room else scene.subscribers):
        one = Participant(http, url, f"subscriber {number}")
        await one.join(subscribe=True)
        stack.push_async_callback(one.close)
        await one.subscribed
        receivers.append(one)
    return sources, [await one.subscribed for one in receivers]


async def assemble_janus(scene: Scene, stack: AsyncExitStack) -> tuple[Sources, list[Transport]]:
    """The same people in a room of janus."""
    http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    room = JanusRoom(http)
    await room.open(scene.publishers)
    stack.push_async_callback(room.close)
    sources: Sources = []
    for number in range(scene.publishers):
        medias = scene.medias()
        sources.append((await room.publish(number + 1, medias), medias))
    feeds = [(number + 1, medias) for number, (_, medias) in enumerate(sources)]
    sinks = []
    for number in range(scene.subscribers):
        wanted = [feed for feed in feeds if not (scene.room and feed[0] == number + 1)]
        sinks.append(await room.subscribe(wanted))
    return sources, sinks


Assemble = Callable[[Scene, AsyncExitStack], Awaitable[tuple[Sources, list[Transport]]]]
SERVERS: dict[str, tuple[Callable[[Path], Server], Assemble]] = {
    "janus": (start_janus, assemble_janus),
    "turnd": (start_turnd, assemble_turnd),
}


def figures(scene: Scene, outcome: Outcome, cpu: CpuTime) -> Run:
    """What a run came to."""
    return {
        "packets_out_per_cpu_second": outcome.received / cpu.total,
        "packets_out_per_second": outcome.received / outcome.seconds,
        "offered_per_second": outcome.sent * scene.copies() / outcome.seconds,
        "server_core": cpu.total / outcome.elapsed,
        "user_share": cpu.user / (cpu.user + cpu.system),
        "lost": 1 - outcome.received / (outcome.sent * scene.copies()),
        "p50_us": outcome.p50_us,
        "p99_us": outcome.p99_us,
    }


async def measure(load: Load, server: Server, scene: Scene, arguments: argparse.Namespace, ends: str) -> dict[str, Run]:
    """One run as it is, one with half of the packets that would fill the core at this price."""

    async def run(rate: Rate) -> Run:
        before = server.cpu()
        outcome = await load.run(rate, arguments.seconds, ends=ENDS[ends], check_every=arguments.check_every)
        return figures(scene, outcome, server.cpu().since(before))

    full = await run(scene.rate)
    offered = float(full["offered_per_second"])
    factor = HALF * float(full["packets_out_per_cpu_second"]) / offered
    factor = min(factor, MAX_SUBSCRIBER_BPS / (offered / scene.subscribers * VIDEO_BYTES * 8))
    half = await run(Rate(scene.rate.frames_per_second, scene.rate.burst, factor)) if arguments.half else {}
    return {"full": full, "half": half}


async def warm(load: Load, scene: Scene) -> None:
    """Sends until a run is received whole, or nearly so for a server that cannot do it."""
    for number in range(WARM_RUNS):
        outcome = await load.run(scene.rate, WARM_SECONDS)
        if number + 1 >= MIN_WARM_RUNS and outcome.received == outcome.sent * scene.copies():
            return


async def visit(name: str, scene: Scene, arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    """One server, one scene, from its start to its end."""
    start, assemble = SERVERS[name]
    async with AsyncExitStack() as stack:
        server = start(folder)
        stack.callback(server.stop)
        idle = server.memory_bytes()
        sources, sinks = await assemble(scene, stack)
        await asyncio.sleep(1)  # handshakes' last flights, renegotiations
        seated = server.memory_bytes()
        load = Load(sources, sinks)
        await warm(load, scene)
        runs = {ends: await measure(load, server, scene, arguments, ends) for ends in arguments.ends}
        used = server.memory_bytes()
        profiles = {transport.profile.removeprefix("SRTP_PROFILE_") for transport in sinks}
    memory = {"idle_bytes": idle, "setup_bytes": seated - idle, "traffic_bytes": used - idle}
    return {"profiles": sorted(profiles), "memory": memory, "runs": runs}


async def rounds(arguments: argparse.Namespace) -> sfu_report.Results:
    """All rounds: by case, by server, one visit after the other."""
    results: sfu_report.Results = {case: {name: [] for name in arguments.servers} for case in arguments.cases}
    for number in range(arguments.rounds):
        for case in arguments.cases:
            for name in arguments.servers:
                with tempfile.TemporaryDirectory() as folder:
                    visited = await visit(name, SCENES[case], arguments, Path(folder))
                results[case][name].append(visited)
                print(f"round {number + 1}, {case}, {name}: done", file=sys.stderr)
        save(arguments.json, {"about": about(), "results": results})
    return results


def about() -> dict[str, str]:
    """The machine and what is measured."""
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return {
        "date": f"{datetime.now():%Y-%m-%d %H:%M}",
        "kernel": platform.release(),
        "load": load,
        "janus": janus.version(),
        "turnd": version("turnd"),
    }


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--ends", nargs="+", choices=ENDS, default=list(ENDS))
    parser.add_argument("--no-half", dest="half", action="store_false", help="without the runs at half load")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check-every", type=int, default=16)
    parser.add_argument("--json", type=Path)
    return parser.parse_args(words)


def main() -> None:
    """Runs and prints."""
    arguments = parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are stopped
    pin_load()
    with contextlib.ExitStack() as stack:
        stack.enter_context(alone())
        described = about()
        results = asyncio.run(rounds(arguments))
    sfu_report.print_report(described, results)


if __name__ == "__main__":
    main()
