from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from signalling.diag import MAX_BYTES, MAX_BYTES_PER_SECOND, MAX_RUNS, PACE_HEADER, RUNS_OF_SOURCE, UPLINK_SHARE
from signalling.server import SignallingSettings
from tests.signalling.house import House


async def test_as_many_bytes_come_as_were_asked_for_and_no_cache_keeps_them(house: House) -> None:
    async with house.http.get(f"{house.url}/diag/data?bytes=100000") as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store, no-transform"
        body = await response.read()
    assert len(body) == 100_000
    assert len(set(body)) == 256
    assert house.measure("diag_bytes_total", direction="out") == 100_000


@pytest.mark.parametrize(
    "query", ["", "?bytes=", "?bytes=0", "?bytes=-1", "?bytes=x", "?bytes=²", f"?bytes={MAX_BYTES + 1}"]
)
async def test_other_amounts_are_refused(house: House, query: str) -> None:
    async with house.http.get(f"{house.url}/diag/data{query}") as response:
        assert response.status == 400
    assert house.measure("http_requests_total", route="/diag/data", method="GET", code="400") == 1


async def test_what_is_sent_is_counted_and_forgotten(house: House) -> None:
    async with house.http.post(f"{house.url}/diag/data", data=b"x" * 200_000) as response:
        assert response.status == 200
        answer = json.loads(await response.read())
    assert answer["bytes"] == 200_000
    assert answer["seconds"] >= 0.9 * 200_000 / MAX_BYTES_PER_SECOND - 0.05
    assert house.measure("diag_bytes_total", direction="in") == 200_000


async def test_more_than_the_bound_is_refused_with_and_without_a_length(house: House) -> None:
    url = f"{house.url}/diag/data"
    async with house.http.post(url, data=b"", headers={"Content-Length": str(MAX_BYTES + 1)}) as response:
        assert response.status == 413
    assert house.measure("diag_bytes_total", direction="in") == 0


async def test_a_run_is_paced(house: House) -> None:
    amount = MAX_BYTES_PER_SECOND // 2
    started_at = time.monotonic()
    async with house.http.get(f"{house.url}/diag/data?bytes={amount}") as response:
        await response.read()
    assert time.monotonic() - started_at > 0.4


async def test_a_bounded_uplink_gives_a_share_and_the_visitor_is_told(open_house: Callable[..., Any]) -> None:
    house = await open_house(SignallingSettings(uplink_bps=1_600_000))
    started_at = time.monotonic()
    async with house.http.get(f"{house.url}/diag/data?bytes=50000") as response:
        assert response.headers[PACE_HEADER] == str(round(1_600_000 / 8 * UPLINK_SHARE))
        await response.read()
    assert time.monotonic() - started_at > 0.4
    house.service.throughput.set_uplink(0)
    async with house.http.get(f"{house.url}/diag/data?bytes=1") as response:
        assert response.headers[PACE_HEADER] == str(MAX_BYTES_PER_SECOND)


async def test_few_run_at_a_time_and_whoever_leaves_makes_room(house: House) -> None:
    url = f"{house.url}/diag/data?bytes={MAX_BYTES}"
    running = [await house.http.get(url) for _ in range(MAX_RUNS)]
    async with house.http.get(url) as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "5"
    assert house.measure("rate_limited_total", scope="diag") == 1
    for one in running:
        one.close()
    async with asyncio.timeout(5):
        while True:
            async with house.http.get(f"{house.url}/diag/data?bytes=1") as response:
                if response.status == 200:
                    break


async def test_one_address_may_make_few_runs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalling.diag.is_loopback", lambda _: False)
    statuses = []
    for _ in range(int(RUNS_OF_SOURCE[0]) + 2):
        async with house.http.get(f"{house.url}/diag/data?bytes=1") as response:
            statuses.append(response.status)
    assert statuses[: int(RUNS_OF_SOURCE[0])] == [200] * int(RUNS_OF_SOURCE[0])
    assert 429 in statuses
