"""A server under measurement: pinned to one core, its CPU time and memory read from /proc, and the table of results."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

SERVER_CORE = 0
LOAD_CORE = 1
TICKS = os.sysconf("SC_CLK_TCK")
REAL_TIME = 10
NICE = -15
LOOPBACK_STEERING = Path("/sys/class/net/lo/queues/rx-0/rps_cpus")


class CpuTime(NamedTuple):
    """Seconds of all threads of a process. The halves are counted in ticks of 10 ms, `total` is exact."""

    user: float
    system: float
    total: float

    def since(self, earlier: CpuTime) -> CpuTime:
        """What was used between."""
        return CpuTime(*(now - then for now, then in zip(self, earlier, strict=True)))


class Server:
    """A process pinned to SERVER_CORE; `ready` is polled until the server answers.

    Where allowed it goes before others on the machine, by weight: its threads are scheduled among each other as ever.
    """

    def __init__(self, name: str, command: Sequence[str], ready: Callable[[], bool], log: Path, cwd: Path) -> None:
        if ready():
            raise RuntimeError(f"{name}: another server answers there already")
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                ["nice", "-n", str(NICE), "taskset", "-c", str(SERVER_CORE), *command],
                stdout=output,
                stderr=output,
                cwd=cwd,
                start_new_session=True,
            )
        with suppress(OSError):  # where the kernel weighs sessions, a nice value counts within one only (sched(7))
            Path(f"/proc/{self.process.pid}/autogroup").write_text(str(NICE))
        deadline = time.monotonic() + 20
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError(f"{name} did not start:\n{log.read_text()}")
            time.sleep(0.05)

    def cpu(self) -> CpuTime:
        """User and system time so far."""
        pid = self.process.pid
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        exact = time.clock_gettime(~pid << 3 | 2)  # the clock of another process, as clock_getcpuclockid(3) makes it
        return CpuTime(int(fields[11]) / TICKS, int(fields[12]) / TICKS, exact)

    @contextmanager
    def real_time(self) -> Iterator[bool]:
        """Real-time priority for a while; False where that is not allowed."""
        threads = [int(entry.name) for entry in Path(f"/proc/{self.process.pid}/task").iterdir()]
        try:
            for thread in threads:
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(REAL_TIME))
        except PermissionError:
            yield False
            return
        yield True
        for thread in threads:
            with suppress(ProcessLookupError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))

    def memory_bytes(self) -> int:
        """Resident set size."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def last_words(self) -> str:
        """The end of what it wrote."""
        return f"{self.name}, last written:\n" + "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])

    def stop(self) -> None:
        """Ends the process."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def spread(values: Sequence[float], unit: float = 1000, digits: int = 0) -> str:
    """Minimum / median / maximum, in thousands unless another unit is named."""
    three = min(values), statistics.median(values), max(values)
    return " / ".join(f"{value / unit:.{digits}f}" for value in three)


def pin_load() -> None:
    """Puts this process on the core the server does not use."""
    os.sched_setaffinity(0, {LOAD_CORE})


def unpin() -> None:
    """Lets this thread, and what it starts from now on, use all cores again."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))


@contextmanager
def alone() -> Iterator[None]:
    """Waits until no other benchmark runs on this machine."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock:
        while True:
            try:
                lock.bind("\0turnd-benchmark")
                break
            except OSError:
                time.sleep(0.5)
        yield


def be_real_time() -> bool:
    """Real-time priority for this process, not for those it starts; False where that is not allowed."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(REAL_TIME))
        return True
    return False


@contextmanager
def steered() -> Iterator[None]:
    """What is sent over loopback is received on the core of the load for a while; OSError where that is not allowed."""
    before = LOOPBACK_STEERING.read_text()
    LOOPBACK_STEERING.write_text(f"{1 << LOAD_CORE:x}")
    try:
        yield
    finally:
        LOOPBACK_STEERING.write_text(before)


@contextmanager
def real_time() -> Iterator[bool]:
    """Real-time priority for this thread, on the core of the load, for a while; False where that is not allowed."""
    os.sched_setaffinity(0, {LOAD_CORE})
    allowed = be_real_time()
    try:
        yield allowed
    finally:
        if allowed:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |", flush=True)


def save(path: Path | None, results: object) -> None:
    """Writes the results as JSON where asked."""
    if path:
        path.write_text(json.dumps(results, indent=2) + "\n")
