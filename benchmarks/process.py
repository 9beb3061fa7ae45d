"""A server under measurement: pinned to one core, its CPU time and memory read from /proc, and the table of results."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

SERVER_CORE = 0
LOAD_CORE = 1
TICKS = os.sysconf("SC_CLK_TCK")


class CpuTime(NamedTuple):
    """Seconds of all threads of a process."""

    user: float
    system: float


class Server:
    """A process pinned to SERVER_CORE; `ready` is polled until the server answers."""

    def __init__(self, name: str, command: Sequence[str], ready: Callable[[], bool], log: Path, cwd: Path) -> None:
        self.name = name
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(SERVER_CORE), *command], stdout=output, stderr=output, cwd=cwd
            )
        deadline = time.monotonic() + 20
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError(f"{name} did not start:\n{log.read_text()}")
            time.sleep(0.05)

    def cpu(self) -> CpuTime:
        """User and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return CpuTime(int(fields[11]) / TICKS, int(fields[12]) / TICKS)

    def memory_bytes(self) -> int:
        """Resident set size."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        """Ends the process."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def spread(values: Sequence[float]) -> str:
    """Minimum / median / maximum in thousands."""
    return " / ".join(f"{value / 1000:.0f}" for value in (min(values), statistics.median(values), max(values)))


def pin_load() -> None:
    """Puts this process on the core the server does not use."""
    os.sched_setaffinity(0, {LOAD_CORE})


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |", flush=True)


def save(path: Path | None, results: object) -> None:
    """Writes the results as JSON where asked."""
    if path:
        path.write_text(json.dumps(results, indent=2) + "\n")
