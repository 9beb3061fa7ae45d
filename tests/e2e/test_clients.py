"""Independent WebRTC stacks join over the documented protocol beside a browser: aiortc, and libwebrtc in Node."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.e2e.browsers import Chromium
from tests.e2e.conftest import DAEMON_ADDRESS, PersonFactory
from tests.e2e.daemon import REPOSITORY, Daemon
from tests.e2e.network import Host

pytestmark = [pytest.mark.browser, pytest.mark.netns, pytest.mark.alone]
CLIENTS = Path(__file__).parent / "clients"
SOCKET = f"wss://{DAEMON_ADDRESS}:8443/r/strangers/ws"


async def rises(process: asyncio.subprocess.Process, others: int) -> None:
    """Awaits reports in which video and audio rise five times in a row with `others` participants seen."""
    assert process.stdout
    reports = [{"video": 0, "audio": 0}]
    rising = 0
    try:
        async with asyncio.timeout(60):
            while rising < 5:
                line = await process.stdout.readline()
                assert line, "the client ended"
                report, previous = json.loads(line), reports[-1]
                up = report["video"] > previous["video"] and report["audio"] > previous["audio"]
                rising = rising + 1 if up and report["participants"] == others else 0
                reports.append(report)
    except TimeoutError:
        raise AssertionError(f"no five reports that rise in a row; the last: {reports[-8:]}") from None


async def test_aiortc_and_wrtc_join_over_the_documented_protocol(
    daemon: Daemon, lan: dict[str, Host], person: PersonFactory
) -> None:
    commands = {
        "a": [sys.executable, "-W", "error::UserWarning", str(CLIENTS / "aiortc_client.py"), SOCKET, "aiortc"],
        "b": ["node", str(CLIENTS / "node_client.js"), SOCKET, "wrtc"],
    }
    pipe = asyncio.subprocess.PIPE
    strangers = [
        await asyncio.create_subprocess_exec(*lan[host].command(*command), stdin=pipe, stdout=pipe, cwd=REPOSITORY)
        for host, command in commands.items()
    ]
    try:
        browser = await person("Ada", Chromium, lan["c"])
        await browser.join(f"https://{DAEMON_ADDRESS}:8443/r/strangers")
        await asyncio.gather(browser.sees_others(2, 30), *(rises(process, 2) for process in strangers))
    finally:
        for process in strangers:
            process.kill()
            await process.wait()
