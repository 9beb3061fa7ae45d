"""Debian's turnutils as an independent client: every packet that goes out comes back."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.turnd.turn.served import SECRET, Options, measure, served
from turnd.turn.allocation import TRANSPORTS
from turnd.turn.channel import RFC5766_MAX_CHANNEL
from turnd.turn.limits import Limits
from turnd.turn.service import TurnService

SUMMARY = re.compile(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)\s*$", re.MULTILINE)
MESSAGES = 10
# All commands have one user and one source, and draw channel numbers from the range of RFC 5766.
LIMITS = Limits(allocations_of_user=400, unauthenticated_burst=1000, last_channel=RFC5766_MAX_CHANNEL)
DROPPED = "turn_dropped_packets_total"


def free_port() -> int:
    """A UDP port P with P+1 free too, which turnutils_peer takes both of."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
                try:
                    second.bind(("127.0.0.1", port + 1))
                except OSError:
                    continue
                return port


@asynccontextmanager
async def peer() -> AsyncIterator[int]:
    """turnutils_peer, which sends everything back, ready on the port."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "turnutils_peer", "-p", str(port), "-L", "127.0.0.1", "-L", "::1",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await answered(port)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def answered(port: int) -> None:
    """Asks until the peer answers."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        probe.connect(("127.0.0.1", port))
        async with asyncio.timeout(10):
            while True:
                try:
                    await loop.sock_sendall(probe, b"there?")
                    await asyncio.wait_for(loop.sock_recv(probe, 100), 0.1)
                except (TimeoutError, ConnectionError):
                    continue
                return


@asynccontextmanager
async def started(
    service: TurnService, *arguments: str, secret: str = SECRET, host: str = "127.0.0.1"
) -> AsyncIterator[asyncio.subprocess.Process]:
    """turnutils_uclient against the service."""
    port = service.tls_port if "-S" in arguments else service.port
    process = await asyncio.create_subprocess_exec(
        "turnutils_uclient", *arguments, "-u", "user", "-W", secret, "-p", str(port), host,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def uclient(
    service: TurnService, *arguments: str, secret: str = SECRET, host: str = "127.0.0.1"
) -> tuple[int | None, str]:
    """(exit code, output) of the tool."""
    async with started(service, *arguments, secret=secret, host=host) as process:
        output, _ = await process.communicate()
    return process.returncode, output.decode(errors="replace")


async def says(service: TurnService, text: bytes, *arguments: str) -> None:
    """Awaits a line of the tool with that text, and ends the tool."""
    async with started(service, *arguments) as process:
        assert process.stdout
        while text not in (line := await process.stdout.readline()):
            assert line, "it ended"


# By the address of the server. The tool waits far more than it works: all of them run at once.
COMMANDS = {
    "127.0.0.1": [
        "-e PEER -X -g",
        "-e PEER -c",
        "-e PEER -D",
        "-e PEER -G",
        "-e PEER -m 10",
        "-B -m 10 -y",
        "-y",
        "-y -c -m 4",
        "-e PEER -s -X",
        "-e PEER -s -c",
        "-y -s",
        "-Z -y -c",
        "-Z -y -s -c",
        "-x -y",
        "-x -e ::1 -r PORT",
        "-x -s -e ::1 -r PORT",
        "-e PEER -t",
        "-y -t",
        "-e PEER -t -c -m 4",
        "-e PEER -t -s",
        "-y -t -s",
        "-Z -y -t -c",
        "-e PEER -t -S",
        "-y -t -S -c",
        "-e PEER -t -S -m 4",
        "-e PEER -t -S -s",
        "-y -t -S -s",
        "-y -t -S -c -E CERTIFICATE",
        "-e PEER -S -X -g",
        "-e PEER -S -c",
        "-e PEER -S -D",
        "-e PEER -S -m 10",
        "-y -S",
        "-y -S -c -m 4",
        "-e PEER -S -s -X",
        "-e PEER -S -s -c",
        "-y -S -s",
        "-Z -y -S -c",
    ],
    "::1": ["-x -e ::1 -r PORT", "-e PEER -c", "-x -y -t", "-S -x -y -c", "-S -e PEER", "-t -S -x -y -c"],
}


async def check(service: TurnService, peer_port: int, command: str, host: str = "127.0.0.1") -> None:
    """Runs one command; what it sent came back, all of it."""
    arguments = command.replace("PEER", f"127.0.0.1 -r {peer_port}").replace("PORT", str(peer_port))
    code, output = await uclient(service, *arguments.split(), "-n", str(MESSAGES), host=host)
    assert code == 0, (command, output)
    summary = SUMMARY.findall(output)
    assert summary, (command, output)
    sent, received = map(int, summary[-1])
    assert sent == received >= MESSAGES, (command, output)


def nothing_dropped(service: TurnService) -> None:
    drops = {each.labels["reason"]: each.value for each in service.measures() if each.name == DROPPED}
    assert not any(drops.values()), drops


@pytest.mark.parametrize("host", COMMANDS)
async def test_nothing_is_lost(host: str, certificate: tuple[Path, Path]) -> None:
    options = Options(
        listen=(host,),
        certificate=certificate,
        allow_peers=("127.0.0.0/8", "::1/128"),
        own=("127.0.0.1", "::1"),
        limits=LIMITS,
    )
    async with served(options) as service, peer() as port:
        async with asyncio.TaskGroup() as tasks:
            for command in COMMANDS[host]:
                tasks.create_task(check(service, port, command.replace("CERTIFICATE", str(certificate[0])), host))
        for transport in TRANSPORTS:
            assert measure(service, "stun_requests_total", transport=transport, result="success") > 0
        nothing_dropped(service)


async def test_tcp_is_relayed(certificate: tuple[Path, Path]) -> None:
    """Two clients of the tool connect to each other's relayed addresses; who is passive (-P) never hears the other."""
    options = Options(
        certificate=certificate, allow_peers=("127.0.0.0/8",), tcp_relay=True, limits=Limits(allocations_of_user=400)
    )
    async with served(options) as service:
        async with asyncio.TaskGroup() as tasks:
            for command in ("-T", "-T -S"):
                tasks.create_task(check(service, 0, command))
            half = b"tot_send_msgs=%d, tot_recv_msgs=%d" % (2 * MESSAGES, MESSAGES)
            tasks.create_task(says(service, half, "-P", "-n", str(MESSAGES)))
        assert measure(service, "turn_tcp_connections_total", result="accepted")
        assert not measure(service, "turn_tcp_connections_total", result="not_bound")


async def test_nothing_is_lost_by_moving() -> None:
    """Each session of -M goes on at another socket with its ticket; the old one is closed before that, or after.

    Not over TLS: there -M fails with coturn too, since it ends its old TLS session twice.
    """
    options = Options(allow_peers=("127.0.0.0/8",), limits=LIMITS, mobility=True)
    async with served(options) as service, peer() as port:
        async with asyncio.TaskGroup() as tasks:
            for leg in ("", "-t"):
                for more in ("", "-c", "-m 10", "-s", "-s -c", "-s -m 10"):
                    tasks.create_task(check(service, port, f"-M -e PEER {leg} {more}"))
        assert measure(service, "turn_mobility_moves_total", result="moved") >= 48
        nothing_dropped(service)


async def test_moving_is_forbidden_by_default() -> None:
    async with served() as service:
        code, output = await uclient(service, "-M", "-y", "-n", "1")
        assert code not in (0, None)
        assert "405" in output


async def test_a_second_channel_for_a_peer_is_refused() -> None:
    async with served(Options(allow_peers=("127.0.0.0/8",), limits=LIMITS)) as service, peer() as port:
        code, output = await uclient(service, "-N", "-e", "127.0.0.1", "-r", str(port), "-n", "1")
        assert code not in (0, None)
        assert "channel bind: error 400" in output


async def test_what_the_tool_does_to_attack_costs_others_nothing() -> None:
    """-O asks again and again and goes; -R says what makes no sense and never ends by itself."""
    async with served(Options(allow_peers=("127.0.0.0/8",), limits=LIMITS)) as service, peer() as port:
        common = ("-e", "127.0.0.1", "-r", str(port), "-m", "4", "-n", "5")
        attacks = [asyncio.create_task(uclient(service, mode, *common)) for mode in ("-O", "-R")]
        await check(service, port, "-e PEER -X -g")
        for attack in attacks:
            attack.cancel()
        await asyncio.wait(attacks)
        assert measure(service, "stun_requests_total", transport="udp", result="fault") == 0


async def test_a_wrong_secret_fails() -> None:
    async with served() as service:
        code, output = await uclient(service, "-y", "-n", "1", secret="wrong")
        assert code not in (0, None), output


async def test_peers_are_denied_by_default() -> None:
    async with served(Options(own=("192.0.2.1",), limits=LIMITS)) as service:
        code, output = await uclient(service, "-e", "127.0.0.1", "-n", "1")
        assert code not in (0, None)
        assert "403" in output


async def test_binding() -> None:
    async with served() as service:
        process = await asyncio.create_subprocess_exec(
            "turnutils_stunclient", "-p", str(service.port), "127.0.0.1", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(process.communicate(), 10)
        assert b"UDP reflexive addr: 127.0.0.1:" in output
