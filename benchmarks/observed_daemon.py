"""`turnd` that writes down what it believes of each subscriber's path: run in its place by `benchmarks.squeeze`.

A line each time an estimate is looked at, in the file that ESTIMATES names: number of the path, monotonic seconds,
estimate in bit/s, wire bytes sent so far.
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import TextIO
from weakref import WeakKeyDictionary

from sfu.downlink import WIRE_OVERHEAD_BYTES, Downlink
from turnd.cli import main


def observe(out: TextIO) -> None:
    """From now on every look at an estimate is a line."""
    handle, numbers = Downlink.handle_timer, itertools.count()
    known: WeakKeyDictionary[Downlink, int] = WeakKeyDictionary()

    def handle_timer(self: Downlink, now: float) -> None:
        handle(self, now)
        if self not in known:
            known[self] = next(numbers)
        path = self._path
        sent = path.bytes_out + WIRE_OVERHEAD_BYTES * path.packets_out
        out.write(f"{known[self]} {now:.4f} {self.estimate_bps} {sent}\n")

    Downlink.handle_timer = handle_timer  # type: ignore[method-assign]


if __name__ == "__main__":
    with Path(os.environ["ESTIMATES"]).open("w", buffering=1) as out:
        observe(out)
        sys.exit(main())
