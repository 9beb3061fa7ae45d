"""turnd beside Debian's coturn, in turn, with the same load: packets and set-ups per CPU-second, latency, memory.

Each server is pinned to one core, the load generator (load.c and setups.c, which check all that arrives) to the other.
Servers alternate within each round, so that a drift of the machine hits both, and start anew with each round. README.md
says more.

    .venv/bin/python -m benchmarks.turn_relay [--rounds 3] [--seconds 1] [--parts throughput latency] [--json FILE]
"""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import load, turn_report
from benchmarks.process import Server, alone, be_real_time, pin_load, save
from benchmarks.setups import WINDOW, Clients
from benchmarks.turn_servers import STARTERS, target, version

PARTS = ("memory", "setups", "throughput", "plain", "latency")
RATES = (5_000, 40_000)
LATENCY_ALLOCATIONS = 50
LATENCY_BYTES = 160
MEMORY_AT = (100, 2000)
SETUPS = 1000

Figures = dict[str, float]


@dataclass(frozen=True)
class Case:
    """One row of the table of throughput."""

    direction: str
    size: int
    burst: int
    allocations: int
    offloads: bool

    def __str__(self) -> str:
        turns = "single packets" if self.burst == 1 else f"bursts of {self.burst}"
        ends = "" if self.burst == 1 else ", ends with offloads" if self.offloads else ", plain ends"
        return f"{self.direction} {self.size} B, {self.allocations} allocations, {turns}{ends}"


class Bench:
    """Measures servers; one round's servers run side by side, one of them at work."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._seconds: float = arguments.seconds
        self._library: ctypes.CDLL = load.build()
        self.real_time = be_real_time()
        self.results: dict[str, dict[str, list[Figures]]] = {}  # by row, then by server

    def note(self, row: str, server: Server, figures: Figures) -> None:
        """Keeps one run's figures."""
        self.results.setdefault(row, {}).setdefault(server.name, []).append(figures)

    def throughput(self, server: Server, case: Case) -> None:
        """Closed loop, as fast as it goes."""
        with allocations(server, case.allocations) as clients:
            flows = clients.flows(case.direction, case.size)
            options = load.Options(case.size, case.burst, offloads=case.offloads, seconds=self._seconds)
            before, began_at = server.cpu(), time.monotonic()
            result = load.run(self._library, flows, options)
            cpu, seconds = server.cpu().since(before), time.monotonic() - began_at
        self._check(server, result)
        figures = {
            "packets_per_cpu_second": result.received / cpu.total,
            "packets_per_second": result.received / result.seconds,
            "user_share": cpu.user / max(cpu.user + cpu.system, 1e-9),
            "lost": 1 - result.received / result.sent,
            "server_busy": cpu.total / seconds,
            "generator_busy": result.busy_seconds / seconds,
        }
        self.note(str(case), server, figures)

    def latency(self, server: Server, rate: int) -> None:
        """Open loop, both directions at once, one way, until the kernel has it for the receiver."""
        with allocations(server, LATENCY_ALLOCATIONS) as clients:
            both = [clients.flows(direction, LATENCY_BYTES) for direction in ("c2p", "p2c")]
            flows = [flow for pair in zip(*both, strict=True) for flow in pair]
            options = load.Options(LATENCY_BYTES, rate=rate, seconds=max(2.0, self._seconds))
            with server.real_time() as allowed:
                self.real_time &= allowed
                before = server.cpu()
                result = load.run(self._library, flows, options)
                cpu = server.cpu().since(before)
        self._check(server, result)
        for group, direction in enumerate(("c2p", "p2c")):
            figures = {
                "p50_us": float(result.p50_us[group]),
                "p99_us": float(result.p99_us[group]),
                "lost": 1 - result.received / result.sent,
                "server_busy": cpu.total / result.seconds,
            }
            self.note(f"latency {rate // 1000} k/s {direction}", server, figures)

    def memory(self, server: Server) -> None:
        """Resident memory of a fresh server, then with allocations of one channel each."""
        idle = server.memory_bytes()
        self.note("memory idle", server, {"bytes": idle})
        for number in MEMORY_AT:
            with allocations(server, number, peers=False):
                held = server.memory_bytes() - idle
            self.note(f"memory per allocation at {number}", server, {"bytes": held / number})

    def setups(self, server: Server) -> None:
        """401, Allocate, ChannelBind; giving back is not counted."""
        clients = Clients(target(server.name), SETUPS, peers=False)
        before = server.cpu()
        outcome = clients.allocate(WINDOW)
        cpu = server.cpu().since(before)
        clients.release()
        clients.close()
        figures = {
            "setups_per_cpu_second": SETUPS / cpu.total,
            "setups_per_second": SETUPS / outcome.seconds,
            "user_share": cpu.user / max(cpu.user + cpu.system, 1e-9),
            "server_busy": cpu.total / outcome.seconds,
            "generator_busy": outcome.busy_seconds / outcome.seconds,
            "resends": outcome.resends,
        }
        self.note("set-ups", server, figures)

    @staticmethod
    def _check(server: Server, result: load.Result) -> None:
        if result.bad:
            raise RuntimeError(f"{server.name}: {result.bad} datagrams arrived altered, repeated or out of order")
        if not result.received:
            raise RuntimeError(f"{server.name}: nothing arrived")


@contextmanager
def allocations(server: Server, number: int, *, peers: bool = True) -> Iterator[Clients]:
    """Allocations for one measurement."""
    clients = Clients(target(server.name), number, peers=peers)
    try:
        clients.allocate()
        yield clients
        clients.release()
    finally:
        clients.close()


@contextmanager
def started(names: list[str]) -> Iterator[list[Server]]:
    """Fresh servers."""
    with ExitStack() as stack:
        servers = []
        for name in names:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            os.chmod(folder, 0o755)  # noqa: PTH101 - coturn may drop its rights
            server = STARTERS[name](Path(folder))
            stack.callback(server.stop)
            servers.append(server)
        try:
            yield servers
        except RuntimeError as error:
            for server in servers:
                error.add_note(server.last_words())
            raise


def steps(bench: Bench, arguments: argparse.Namespace) -> list[Callable[[Server], None]]:
    """What is measured in one round, in order."""
    directions, sizes, bursts, numbers = (
        arguments.directions,
        arguments.sizes,
        arguments.bursts,
        arguments.allocations,
    )
    cases = [
        Case(direction, size, burst, number, offloads)
        for offloads in (True, False)
        for number in (numbers if offloads else numbers[-1:])
        for burst in bursts
        for direction in directions
        for size in sizes
        if ("throughput" if offloads else "plain") in arguments.parts and (offloads or burst > 1)
    ]
    found: list[Callable[[Server], None]] = []
    if "memory" in arguments.parts:
        found.append(bench.memory)
    if "setups" in arguments.parts:
        found.append(bench.setups)
    found += [partial(bench.throughput, case=case) for case in cases]
    if "latency" in arguments.parts:
        found += [partial(bench.latency, rate=rate) for rate in RATES]
    return found


def machine(names: list[str]) -> dict[str, str]:
    """Where and when, and what."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": " ".join(f"{value:.1f}" for value in os.getloadavg()),
        **{name: version(name) for name in names},
    }


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one run of load")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before each run, for others on the machine")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--servers", nargs="+", choices=list(STARTERS), default=list(STARTERS))
    parser.add_argument("--directions", nargs="+", choices=("c2p", "p2c"), default=["c2p", "p2c"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[160, 1200])
    parser.add_argument("--bursts", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--allocations", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Runs all and prints the tables."""
    arguments = parse()
    pin_load()
    bench = Bench(arguments)
    about = machine(arguments.servers)
    for _ in range(arguments.rounds):
        with alone(), started(arguments.servers) as servers:
            for step in steps(bench, arguments):
                for server in servers:
                    time.sleep(arguments.pause)
                    step(server)
    about["real-time priority"] = "yes" if bench.real_time else "not allowed"
    turn_report.print_report(about, bench.results, arguments.servers)
    save(arguments.json, {"machine": about, "results": bench.results, "ratios": turn_report.ratios(bench.results)})


if __name__ == "__main__":
    main()
