"""Relaying by the daemon as a process while it is told to change."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from tests.turnd.conftest import Local
from tests.turnd.test_daemon import join, presented, reload
from tests.turnd.test_daemon import until as seen
from tests.turnd.turn.core import UDP, error_code
from tests.turnd.turn.peers import echo
from tests.turnd.turn.turn_client import TurnClient, turn_client
from turnd.turn.credentials import stored_keys
from wire.stun import Method

Start = Callable[..., Awaitable[Local]]
CHANNEL = 0x4000


async def relays(client: TurnClient) -> None:
    client.channel_data(CHANNEL, b"there and back")
    assert await client.received() == (CHANNEL, b"there and back")


async def test_an_allocation_relays_across_a_reload_of_certificate_users_secrets_and_quotas(
    local: Start, tmp_path: Path
) -> None:
    daemon = await local(turn={"users": {"anna": "pass"}})
    first = await presented(daemon.https_port)
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=new"
    files = {"certificate": str(tmp_path / "cert.pem"), "private_key": str(tmp_path / "key.pem")}
    process = await asyncio.create_subprocess_exec(
        *command.split(), "-keyout", files["private_key"], "-out", files["certificate"],
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 0
    keys = stored_keys("anna", "turnd", "pass")
    async with (
        echo() as peer,
        turn_client(daemon.turn_port, user=("anna", "pass")) as datagrams,
        turn_client(daemon.turn_port, "tcp", user=("anna", "pass")) as stream,
        turn_client(daemon.turn_port, user=("ben", "word")) as late,
    ):
        for client in (datagrams, stream):
            await client.allocate()
            assert await client.bind(CHANNEL, peer) == 0
            await relays(client)
        await reload(
            daemon,
            http=files,
            turn={
                "users": {"anna": {"md5": keys.md5.hex(), "sha256": keys.sha256.hex()}, "ben": "word"},
                "secrets": ["a secret nobody knew before"],
                "max_allocations": 2,
                "allocation_bps": 1_000_000,
            },
        )
        assert await presented(daemon.https_port) != first
        for client in (datagrams, stream):
            await relays(client)
            assert await client.refresh(600) == 0
            assert await client.bind(CHANNEL, peer) == 0
        assert error_code(await late.request(Method.ALLOCATE, UDP)) == 486
        assert await stream.refresh(0) == 0
        assert error_code(await late.request(Method.ALLOCATE, UDP)) == 0


async def test_sigusr1_lets_everybody_stay_and_ends_with_the_last(local: Start, http: aiohttp.ClientSession) -> None:
    daemon = await local(turn={"users": {"anna": "pass"}})
    assert daemon.process
    ws, joined = await join(http, daemon.http)
    async with (
        echo() as peer,
        turn_client(daemon.turn_port, user=("anna", "pass")) as client,
        turn_client(daemon.turn_port, user=("anna", "pass")) as late,
    ):
        await client.allocate()
        assert await client.bind(CHANNEL, peer) == 0
        daemon.process.send_signal(signal.SIGUSR1)
        await seen(lambda: any("last one has left" in message for message in daemon.messages()))
        assert error_code(await late.request(Method.ALLOCATE, UDP)) == 508
        newcomer = await http.ws_connect(f"{daemon.http}/r/garden/ws")
        await newcomer.send_json({"type": "join", "version": 1, "name": "Late"})
        assert (await newcomer.receive_json(timeout=5))["code"] == "draining"
        await newcomer.close()
        assert ws._response.connection
        assert ws._response.connection.transport
        ws._response.connection.transport.abort()  # a network that fails
        ws, again = await join(http, daemon.http, resume=joined["resume"]["token"])
        assert again["resumed"] is True
        await relays(client)
        assert await client.refresh(600) == 0
        await ws.close()
        assert daemon.process.returncode is None
        await relays(client)
        assert await client.refresh(0) == 0
    async with asyncio.timeout(10):
        assert await daemon.process.wait() == 0
    assert daemon.messages()[-1] == "ended"
