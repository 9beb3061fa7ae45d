import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from turnd.exporter import build_app
from turnd.metrics import Exposition
from wire.measure import Measure

REPOSITORY = Path(__file__).resolve().parents[2]


class Served:
    """The exporter on a port of its own."""

    def __init__(self) -> None:
        self.measures = [Measure("rooms", {}, 2)]
        self.draining = False
        self.url = ""


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    state = Served()
    exposition = Exposition([lambda: state.measures])
    app = build_app(
        exposition, uptime=lambda: 12.5, draining=lambda: state.draining, public_host=lambda: "meet.example.org"
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    state.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield state
    await runner.cleanup()


async def test_health_is_ok_and_unavailable_while_draining(served: Served) -> None:
    async with ClientSession() as http:
        async with http.get(f"{served.url}/health") as answer:
            assert answer.status == 200
            body = await answer.json()
        assert body["status"] == "ok"
        assert body["uptime_seconds"] == 12.5
        assert body["version"]
        served.draining = True
        async with http.get(f"{served.url}/health") as answer:
            assert answer.status == 503
            assert (await answer.json())["status"] == "draining"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("", "text/plain"), ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text")],
)
async def test_the_format_follows_the_accept_header(served: Served, accept: str, content_type: str) -> None:
    async with ClientSession(headers={"Accept": accept}) as http, http.get(f"{served.url}/metrics") as answer:
        assert answer.content_type == content_type
        text = await answer.text()
    assert "turnd_rooms 2.0" in text
    assert text.endswith("# EOF\n") == bool(accept)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9641", 200),
        ("[::1]:9641", 200),
        ("192.168.1.5:9641", 200),
        ("localhost", 200),
        ("meet.example.org:9641", 200),
        ("evil.org:9641", 421),
        ("127.0.0.1.evil.org", 421),
        ("not a host", 421),
    ],
)
@pytest.mark.parametrize("path", ["/metrics", "/health"])
async def test_names_that_are_not_ours_get_nothing(served: Served, path: str, host: str, status: int) -> None:
    async with ClientSession() as http, http.get(served.url + path, headers={"Host": host}) as answer:
        assert answer.status == status
        assert ("turnd_rooms" in await answer.text()) is (status == 200 and path == "/metrics")
        assert answer.headers["Server"] == "turnd"


async def test_an_undeclared_metric_fails_the_scrape(served: Served) -> None:
    served.measures.append(Measure("surprise_total", {}, 1))
    async with ClientSession() as http, http.get(f"{served.url}/metrics") as answer:
        assert answer.status == 500
        assert "surprise_total" in await answer.text()


def test_the_example_of_a_scrape_and_the_alerts_are_valid() -> None:
    command = ["promtool", "check", "config", str(REPOSITORY / "conf" / "prometheus.yml")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
