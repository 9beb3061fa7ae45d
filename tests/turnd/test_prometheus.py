"""A real Prometheus scrapes the real daemon, and promtool finds nothing to say about its metrics."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.turnd.conftest import Local, free_ports

Start = Callable[..., Awaitable[Local]]


@pytest.fixture
async def prometheus(tmp_path: Path, local: Start) -> AsyncIterator[tuple[Local, str]]:
    """A daemon, and the URL of a Prometheus that watches it."""
    daemon = await local()
    target = daemon.exporter.removeprefix("http://")
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "turnd", "static_configs": [{"targets": [target]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    listen = f"127.0.0.1:{free_ports()}"
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={listen}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    yield daemon, f"http://{listen}"
    process.kill()
    await process.wait()


async def queried(http: aiohttp.ClientSession, url: str, query: str, seconds: float = 60) -> list[dict[str, Any]]:
    """The first answer of Prometheus to `query` that is not empty."""
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        try:
            async with http.get(f"{url}/api/v1/query", params={"query": query}) as answer:
                result: list[dict[str, Any]] = (await answer.json())["data"]["result"]
        except aiohttp.ClientError:
            result = []
        if result:
            return result
        await asyncio.sleep(0.2)
    raise TimeoutError(query)


async def test_prometheus_scrapes_and_understands_everything(
    prometheus: tuple[Local, str], http: aiohttp.ClientSession
) -> None:
    daemon, url = prometheus
    await queried(http, url, 'up{job="turnd"} == 1')
    for query in (
        "turnd_rooms",
        "turnd_turn_allocations",
        "turnd_turn_allocations_total",
        'turnd_build_info{version!=""}',
        "histogram_quantile(0.99, turnd_eventloop_lag_seconds_bucket)",
        'turnd_udp_memory_deliveries_total{component="relay"}',
        "process_resident_memory_bytes",
    ):
        assert await queried(http, url, query), query
    async with http.get(f"{url}/api/v1/targets") as answer:
        (target,) = (await answer.json())["data"]["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    assert daemon.records()


async def test_promtool_finds_nothing_to_mend(local: Start, http: aiohttp.ClientSession) -> None:
    daemon = await local()
    async with http.get(f"{daemon.exporter}/metrics") as answer:
        text = await answer.read()
    process = await asyncio.create_subprocess_exec(
        *("promtool", "check", "metrics"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate(text)
    assert (process.returncode, said) == (0, b"")
