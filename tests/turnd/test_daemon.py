"""The daemon as a process: start, addresses, credentials, reload, drain, end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import aioice
import toml

from tests.e2e.daemon import REPOSITORY
from tests.turnd.conftest import Local, trusting
from tests.turnd.turn.dtls_peer import DtlsPeer, kernel_peer
from turnd.daemon import DRAIN_SECONDS
from wire import stun

Start = Callable[..., Awaitable[Local]]


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Awaits that the condition holds, looking often."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - of another process there is no event
            await asyncio.sleep(0.02)


async def heard(channel: socket.socket, wanted: bytes) -> None:
    """Awaits a datagram with `wanted` in it."""
    async with asyncio.timeout(10):
        while wanted not in await asyncio.get_running_loop().sock_recv(channel, 4096):
            pass


def cpu_seconds(process: asyncio.subprocess.Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def join(
    http: aiohttp.ClientSession, base: str, name: str = "Ada", **more: str
) -> tuple[aiohttp.ClientWebSocketResponse, Any]:
    """A WebSocket in the room `garden`, and the server's first word."""
    ws = await http.ws_connect(f"{base}/r/garden/ws")
    await ws.send_json({"type": "join", "version": 1, "name": name, **more})
    return ws, await ws.receive_json(timeout=10)


async def test_it_is_ready_within_two_seconds(local: Start) -> None:
    began = time.monotonic()
    daemon = await local()
    wall = time.monotonic() - began
    assert daemon.process
    # Of CPU, which does not depend on who else is using the machine.
    assert cpu_seconds(daemon.process) < 2.0, f"{wall:.2f} s by the clock"


async def test_ready_means_that_everything_answers(local: Start, http: aiohttp.ClientSession) -> None:
    daemon = await local()
    for base in (daemon.http, daemon.https):
        async with http.get(f"{base}/") as answer:
            assert answer.status == 200
            assert answer.content_type == "text/html"
    async with http.get(f"{daemon.exporter}/health") as answer:
        assert (await answer.json())["status"] == "ok"
    for port in (daemon.turn_port, daemon.turn_port + 1):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    assert daemon.messages().count("serving") == 1


async def test_the_addresses_to_open_are_printed(tmp_path: Path, local: Start) -> None:
    daemon = await local(log={"format": "text"})
    text = daemon.log.read_text()
    assert f"  {daemon.http}/\n" in text
    assert f"  {daemon.https}/\n" in text


async def test_ice_servers_come_with_the_name_the_client_used(local: Start, http: aiohttp.ClientSession) -> None:
    daemon = await local()
    ws, joined = await join(http, daemon.https)
    stun_server, turn_server = joined["ice_servers"]
    port = daemon.turn_port
    assert stun_server["urls"] == [f"stun:127.0.0.1:{port}"]
    assert turn_server["urls"] == [
        f"turn:127.0.0.1:{port}?transport=udp",
        f"turn:127.0.0.1:{port}?transport=tcp",
        f"turns:127.0.0.1:{port + 1}?transport=tcp",
        f"turns:127.0.0.1:{daemon.https_port}?transport=tcp",
    ]
    expiry = int(turn_server["username"].partition(":")[0])
    assert 3600 < expiry - time.time() < 86400
    await ws.close()


async def test_each_join_has_a_turn_user_name_of_its_own(local: Start, http: aiohttp.ClientSession) -> None:
    daemon = await local()
    ws, first = await join(http, daemon.http)
    again = await http.ws_connect(f"{daemon.http}/r/garden/ws")
    await again.send_json({"type": "join", "version": 1, "name": "Ada", "resume": first["resume"]["token"]})
    second = await again.receive_json(timeout=10)
    assert second["resumed"]
    names = {joined["ice_servers"][1]["username"].partition(":")[2] for joined in (first, second)}
    assert len(names) == 2
    assert all(name.startswith(first["self"] + "-") for name in names)
    await ws.close()
    await again.close()


async def allocate(
    daemon: Local, username: str, password: str, port: int, *, tls: bool = False
) -> asyncio.DatagramTransport:
    """A TURN allocation by an independent client."""
    transport, _ = await aioice.turn.create_turn_endpoint(
        asyncio.DatagramProtocol,
        server_addr=("127.0.0.1", port),
        username=username,
        password=password,
        ssl=trusting() if tls else False,
        transport="tcp" if tls else "udp",
    )
    return transport


async def test_credentials_of_the_command_line_open_an_allocation(local: Start) -> None:
    daemon = await local()
    command = [sys.executable, "-m", "turnd", "credentials", "--config", str(daemon.config), "--name", "anna"]
    process = await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    given = json.loads(output)
    assert set(given) == {"urls", "username", "credential", "realm", "ttl"}
    assert [url.partition("?transport=")[2] for url in given["urls"]][:5] == ["udp", "tcp", "udp", "tcp", "tcp"]
    for port, tls in ((daemon.turn_port, False), (daemon.turn_port + 1, True), (daemon.https_port, True)):
        transport = await allocate(daemon, given["username"], given["credential"], port, tls=tls)
        assert transport.get_extra_info("sockname")[0] == "127.0.0.1"
        transport.close()


async def stun_over_tls(port: int, alpn: list[str]) -> tuple[stun.Message, str | None]:
    """The answer to a Binding request over TLS, and the protocol that was agreed on."""
    context = trusting()
    context.set_alpn_protocols(alpn)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(stun.encode(stun.Method.BINDING, stun.MessageClass.REQUEST, bytes(12), []))
    header = await reader.readexactly(20)
    message = stun.parse(header + await reader.readexactly(int.from_bytes(header[2:4])))
    agreed = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    return message, agreed


async def test_the_https_port_speaks_turn_and_http_at_once(local: Start, http: aiohttp.ClientSession) -> None:
    daemon = await local()
    for alpn in (["http/1.1"], ["stun.turn"]):
        message, _ = await stun_over_tls(daemon.https_port, alpn)
        assert message.message_class == stun.MessageClass.SUCCESS
        async with http.get(f"{daemon.https}/") as answer:
            assert answer.status == 200


async def test_both_tls_ports_agree_on_turn_and_go_on_where_nothing_known_is_offered(local: Start) -> None:
    daemon = await local()
    for port in (daemon.turn_port + 1, daemon.https_port):
        for offered, agreed in ((["stun.turn"], "stun.turn"), (["x", "stun.turn"], "stun.turn"), (["x"], None)):
            message, protocol = await stun_over_tls(port, offered)
            assert message.message_class == stun.MessageClass.SUCCESS
            assert protocol == agreed


async def dtls_client(daemon: Local) -> DtlsPeer:
    """Connected to TURN over DTLS."""
    peer = await kernel_peer(("127.0.0.1", daemon.turn_port + 1))
    await peer.connect()
    return peer


async def stop_seconds(daemon: Local) -> float:
    """How long the daemon takes from SIGTERM to its end, in good order."""
    began = time.monotonic()
    assert await daemon.stop() == 0
    return time.monotonic() - began


async def test_it_ends_at_once_when_nobody_is_there(local: Start) -> None:
    daemon = await local()
    assert await stop_seconds(daemon) < 1
    assert daemon.messages()[-2:] == ["draining", "ended"]


async def test_who_has_gone_does_not_hold_up_the_end(local: Start, http: aiohttp.ClientSession) -> None:
    """A broken socket's seat, TURN allocations without a participant, and connections that say nothing."""
    daemon = await local()
    ws, joined = await join(http, daemon.http)
    turn_server = joined["ice_servers"][1]
    user = turn_server["username"], turn_server["credential"]
    transports = [await allocate(daemon, *user, daemon.turn_port)]
    transports += [await allocate(daemon, *user, daemon.https_port, tls=True)]
    assert ws._response.connection is not None
    assert ws._response.connection.transport is not None
    ws._response.connection.transport.abort()
    async with http.get(f"{daemon.https}/") as answer:
        assert answer.status == 200
    silent = socket.create_connection(("127.0.0.1", daemon.https_port))
    while (await daemon.metrics())["turnd_websocket_connections"]:
        pass
    samples = await daemon.metrics()
    assert sum(samples[f'turnd_turn_allocations{{family="ipv4",transport="{each}"}}'] for each in ("udp", "tls")) == 2
    assert await stop_seconds(daemon) < 1
    silent.close()
    for transport in transports:
        transport.close()


async def test_who_reads_no_more_holds_up_the_end_for_a_while_only(local: Start, http: aiohttp.ClientSession) -> None:
    daemon = await local()
    ws, _ = await join(http, daemon.http)  # which reads no more
    assert await stop_seconds(daemon) < DRAIN_SECONDS + 2
    await ws.close()


async def test_sigterm_drains(local: Start, http: aiohttp.ClientSession) -> None:
    daemon = await local()
    assert daemon.process
    ws, joined = await join(http, daemon.http)
    assert joined["type"] == "joined"
    other = await http.ws_connect(f"{daemon.http}/r/garden/ws")
    turn_server = joined["ice_servers"][1]
    allocation = await allocate(daemon, turn_server["username"], turn_server["credential"], daemon.turn_port)
    daemon.process.send_signal(signal.SIGTERM)
    closing = await ws.receive_json(timeout=5)
    while closing["type"] != "closing":
        closing = await ws.receive_json(timeout=5)
    assert closing["reason"] == "draining"
    assert closing["retry_ms"] > 0
    async with http.get(f"{daemon.exporter}/health") as answer:
        assert answer.status == 503
    with contextlib.suppress(ConnectionError):
        await other.send_json({"type": "join", "version": 1, "name": "Late"})
    refusal = await other.receive(timeout=5)
    assert refusal.type is not aiohttp.WSMsgType.TEXT or "draining" in refusal.data
    allocation.close()
    await ws.close()
    await other.close()
    async with asyncio.timeout(5):
        assert await daemon.process.wait() == 0


async def test_a_second_signal_ends_the_drain(local: Start, http: aiohttp.ClientSession) -> None:
    daemon = await local()
    assert daemon.process
    ws, _ = await join(http, daemon.http)  # which reads no more
    daemon.process.send_signal(signal.SIGTERM)
    await until(lambda: "draining" in daemon.messages())
    began = time.monotonic()
    daemon.process.send_signal(signal.SIGTERM)
    assert await daemon.process.wait() == 0
    assert time.monotonic() - began < 1.5
    await ws.close()


async def presented(port: int) -> bytes:
    """The certificate a new connection sees, DER."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting())
    der: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    return der


async def reload(daemon: Local, **changes: dict[str, object]) -> None:
    """SIGHUP with changed sections, awaited."""
    sections = {name: {**values, **changes.get(name, {})} for name, values in daemon.sections.items()}
    daemon.config.write_text(toml.dumps({"state_dir": str(daemon.folder / "state"), **sections}))
    before = len(daemon.records())
    assert daemon.process
    daemon.process.send_signal(signal.SIGHUP)
    await until(lambda: any("reloaded" in message for message in daemon.messages()[before:]))


async def test_sighup_takes_over_what_can_change_live(
    local: Start, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    daemon = await local()
    ws, _ = await join(http, daemon.https)
    first = await presented(daemon.https_port)
    dtls = await dtls_client(daemon)
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=new"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    process = await asyncio.create_subprocess_exec(*command.split(), *files, stderr=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    await reload(
        daemon,
        http={"certificate": str(tmp_path / "cert.pem"), "private_key": str(tmp_path / "key.pem")},
        turn={"users": {"anna": "her password"}, "port": daemon.turn_port + 100},
        sfu={"uplink_bps": 8_000_000},
        log={"level": "debug"},
    )
    second = await presented(daemon.https_port)
    assert second != first
    assert dtls.fingerprint == sha256(first).hexdigest()
    await dtls.binding()
    dtls.close()
    dtls = await dtls_client(daemon)
    assert dtls.fingerprint == sha256(second).hexdigest()
    dtls.close()
    (await allocate(daemon, "anna", "her password", daemon.turn_port)).close()
    assert "turn.port has changed and needs a restart" in daemon.messages()
    changed = next(record["changed"] for record in daemon.records() if record["message"] == "configuration reloaded")
    assert set(changed.split(",")) == {
        *("http.certificate", "http.private_key", "turn.users", "sfu.uplink_bps", "log.level"),
    }
    assert (await daemon.metrics())["turnd_uplink_budget_bytes_per_second"] == 1_000_000
    await ws.send_json({"type": "ping"})
    while (await ws.receive_json(timeout=5))["type"] != "pong":
        pass
    await ws.close()


async def test_a_wrong_configuration_changes_nothing(local: Start, http: aiohttp.ClientSession) -> None:
    daemon = await local()
    first = await presented(daemon.https_port)
    await reload(daemon, turn={"realm": "", "prot": 1}, http={"certificate": "/nowhere"})
    errors = [record["message"] for record in daemon.records() if record["level"] == "error"]
    assert len(errors) == 3
    assert all(error.startswith("not reloaded: ") for error in errors)
    assert await presented(daemon.https_port) == first
    samples = await daemon.metrics()
    assert samples['turnd_reloads_total{result="failed"}'] == 1


async def test_a_taken_port_is_one_message_and_exit_code_one(local: Start, tmp_path: Path) -> None:
    daemon = await local()
    for section, key in (("http", "tls_listen"), ("metrics", "listen"), ("turn", "port"), ("sfu", "port")):
        second = Local(tmp_path / f"second-{section}", **{section: {key: daemon.sections[section][key]}})
        command = [sys.executable, "-m", "turnd", "serve", "--config", str(second.config)]
        process = await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY, stderr=asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(20):
                _, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 1
        (message,) = [line for line in errors.decode().splitlines() if not line.startswith("{")]
        assert f"{section}.{key}" in message
        assert str(daemon.sections[section][key]) in message
        assert "another process has it" in message


async def test_the_watchdog_hears_that_the_loop_turns(tmp_path: Path) -> None:
    daemon = Local(tmp_path / "daemon")
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.setblocking(False)
        command = [sys.executable, "-m", "turnd", "serve", "--config", str(daemon.config)]
        environment = {**os.environ, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "300000"}
        process = await asyncio.create_subprocess_exec(
            *command, cwd=REPOSITORY, env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        await heard(manager, b"READY=1")
        for _ in range(3):
            await heard(manager, b"WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        await heard(manager, b"STOPPING=1")
        assert await process.wait() == 0
