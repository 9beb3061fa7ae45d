"""The real daemon in a process of its own, optionally in a network namespace, and what its exporter says."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import toml
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.network import Host

REPOSITORY = Path(__file__).resolve().parents[2]


class Daemon:
    """`turnd serve` with a configuration; `start` returns once it says it is ready."""

    module = "turnd"  # that is run

    def __init__(self, folder: Path, host: Host | None = None, **sections: dict[str, object]) -> None:
        self.folder = folder
        self.host = host
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "turnd.toml"
        self.config.write_text(toml.dumps({"state_dir": str(folder / "state"), **sections}))
        self.process: asyncio.subprocess.Process | None = None
        self.log = folder / "log"

    async def start(self) -> None:
        """Starts the process and awaits READY=1 on its notify socket."""
        path = self.folder / "notify"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, self.log.open("ab") as log:
            notify.bind(str(path))
            notify.setblocking(False)
            command = [sys.executable, "-m", self.module, "serve", "--config", str(self.config)]
            self.process = await asyncio.create_subprocess_exec(
                *(self.host.command(*command) if self.host else command),
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                env={**os.environ, "NOTIFY_SOCKET": str(path)},
            )
            ended = asyncio.create_task(self.process.wait())
            while True:
                message = asyncio.create_task(asyncio.get_running_loop().sock_recv(notify, 4096))
                await asyncio.wait({ended, message}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
                if not message.done():
                    message.cancel()
                    raise RuntimeError(f"the daemon did not get ready:\n{self.log.read_text()}")
                if b"READY=1" in message.result():
                    ended.cancel()
                    return

    async def kill(self) -> None:
        """A power cut."""
        assert self.process
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 30)

    async def metrics(self) -> dict[str, float]:
        """Every sample of the exporter as `name{label="value",…}` with sorted labels."""
        listen = toml.loads(self.config.read_text()).get("metrics", {}).get("listen", "127.0.0.1:9641")
        connector = aiohttp.TCPConnector(socket_factory=self.host.socket_factory) if self.host else None
        async with aiohttp.ClientSession(connector=connector) as http, http.get(f"http://{listen}/metrics") as answer:
            text = await answer.text()
        samples = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
                samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return samples


def total(samples: dict[str, float], pattern: str) -> float:
    """Sum of the samples whose whole name with labels matches the pattern."""
    return sum(value for name, value in samples.items() if re.fullmatch(pattern, name))
