"""The whole daemon under measurement, as people run it, and what it says about itself."""

from __future__ import annotations

import math
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import toml

from benchmarks.process import Server

HOST = "127.0.0.1"
HTTP_PORT, SFU_PORT, METRICS_PORT = 28080, 42000, 29641
REPOSITORY = Path(__file__).resolve().parents[1]


def room_url(room: str) -> str:
    """The WebSocket of a room."""
    return f"http://{HOST}:{HTTP_PORT}/r/{room}/ws"


def start_turnd(folder: Path, sfu: Mapping[str, object] | None = None) -> Server:
    """Starts it with these settings of [sfu] on top of ports of its own."""
    config = {
        "state_dir": str(folder / "state"),
        "http": {"listen": f"{HOST}:{HTTP_PORT}", "tls_listen": f"{HOST}:28443"},
        "turn": {"listen": [HOST], "port": 23478, "tls_port": 25349, "relay_ports": [42001, 42100]},
        "sfu": {"port": SFU_PORT, **(sfu or {})},
        "metrics": {"listen": f"{HOST}:{METRICS_PORT}"},
    }
    (folder / "turnd.toml").write_text(toml.dumps(config))
    command = [sys.executable, "-m", "turnd", "serve", "--config", str(folder / "turnd.toml")]

    def ready() -> bool:
        try:
            return urllib.request.urlopen(f"http://{HOST}:{METRICS_PORT}/health", timeout=1).status == 200
        except (urllib.error.URLError, OSError):
            return False

    return Server("turnd", command, ready, folder / "log", REPOSITORY)


def scrape() -> dict[str, float]:
    """Its metrics by name and labels, as written."""
    text = urllib.request.urlopen(f"http://{HOST}:{METRICS_PORT}/metrics", timeout=5).read().decode()
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def since(later: Mapping[str, float], earlier: Mapping[str, float], name: str) -> dict[str, float]:
    """What counters of that name have risen by, by their labels."""
    return {
        key[len(name) :]: value - earlier.get(key, 0)
        for key, value in later.items()
        if re.split(r"[{ ]", key)[0] == name
    }


def _lag_buckets(later: Mapping[str, float], earlier: Mapping[str, float]) -> list[tuple[float, float]]:
    """(upper bound in seconds, how often the event loop was at most so late) between two scrapes."""
    buckets = since(later, earlier, "turnd_eventloop_lag_seconds_bucket")
    return sorted(
        (float(match[1].replace("+Inf", "inf")), count)
        for key, count in buckets.items()
        if (match := re.search(r'le="([^"]+)"', key))
    )


def lag_ms(later: Mapping[str, float], earlier: Mapping[str, float], part: float) -> float:
    """Percentile of the event loop's lag between two scrapes: the upper bound of its bucket; inf past the last."""
    bounds = _lag_buckets(later, earlier)
    total = bounds[-1][1] if bounds else 0
    return next((bound * 1000 for bound, count in bounds if total and count >= part * total), math.nan)


def lag_share(later: Mapping[str, float], earlier: Mapping[str, float], bound_seconds: float) -> float:
    """How often of all times the loop was at most so late, a bound of a bucket, between two scrapes."""
    counts = dict(_lag_buckets(later, earlier))
    return counts[bound_seconds] / counts[math.inf] if counts.get(math.inf) else math.nan
