"""What went wrong around TURN servers before, as far as it concerns the whole process: the test's name says which.

Advisories and commits are coturn's; those of the protocol are in `tests/turnd/turn`. Where a feature was the fault and
is not here, the test shows its absence.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.daemon import REPOSITORY
from tests.turnd.conftest import Local
from turnd import cli

Start = Callable[..., Awaitable[Local]]
HOST = "127.0.0.1"


# Databases, web administration, telnet (2018, 2020, 2026)


def loaded_modules(*imported: str) -> set[str]:
    """Every module of a process that imports these."""
    code = f"import sys, {', '.join(imported)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_cve_2018_4056_no_turn_request_can_reach_a_database() -> None:
    databases = {"sqlite3", "_sqlite3", "dbm", "shelve", "psycopg", "MySQLdb", "pymongo", "redis"}
    assert not databases & loaded_modules("turnd.turn.service")
    # Rooms are kept in one, which tests/signalling/test_store.py looks after.
    assert databases & loaded_modules("turnd.cli", "turnd.daemon", "turnd.checking") == {"sqlite3", "_sqlite3"}


@pytest.mark.parametrize("path", ["/admin", "/logon", "/admin/logon", "/r/x/admin", "/turn", "/cli"])
async def test_ghsa_v8hj_2xx7_xmp5_there_is_no_administration_by_web(
    local: Start, http: aiohttp.ClientSession, path: str
) -> None:
    daemon = await local()
    for base in (daemon.https, daemon.exporter):
        for method in ("GET", "POST"):
            async with http.request(method, f"{base}{path}", data="uname=admin'--&pwd=x") as answer:
                assert answer.status in (404, 405), (base, method)


async def test_cve_2020_6061_and_6062_malformed_posts_end_their_connection_alone(
    local: Start, http: aiohttp.ClientSession
) -> None:
    daemon = await local()
    port = int(daemon.http.rpartition(":")[2])
    for request in (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4294967295\r\n\r\nuname=",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n=&=&%&%0&%zz=\0",
        b"POST /logon HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n==",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"POST ?" + b"a=b&" * 20000 + b" HTTP/1.1\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(request)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 15)
        assert not answer.startswith(b"HTTP/1.1 2"), request
        writer.close()
    async with http.get(f"{daemon.exporter}/health") as health:
        assert (await health.json())["status"] == "ok"
    assert not [record for record in daemon.records() if record["level"] in ("error", "critical")]


def listening(process_id: int) -> tuple[set[int], set[str]]:
    """(TCP ports, paths of Unix sockets) on which a process listens."""
    links = []
    for descriptor in Path(f"/proc/{process_id}/fd").iterdir():
        try:
            links.append(descriptor.readlink().name)
        except OSError:
            continue
    inodes = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}
    ports, paths = set(), set()
    for table in ("tcp", "tcp6"):
        for row in (line.split() for line in Path(f"/proc/{process_id}/net/{table}").read_text().splitlines()[1:]):
            if row[3] == "0A" and row[9] in inodes:
                ports.add(int(row[1].rpartition(":")[2], 16))
    for row in (line.split() for line in Path(f"/proc/{process_id}/net/unix").read_text().splitlines()[1:]):
        if int(row[3], 16) & 0x10000 and row[6] in inodes:
            paths.add(row[7] if len(row) > 7 else "")
    return ports, paths


async def test_cve_2018_4059_nothing_listens_but_what_is_documented(local: Start) -> None:
    daemon = await local()
    assert daemon.process is not None
    ports, paths = listening(daemon.process.pid)
    sections = daemon.sections
    documented = {int(str(sections[s][k]).rpartition(":")[2]) for s, k in (
        ("http", "listen"), ("http", "tls_listen"), ("metrics", "listen"), ("turn", "port"), ("turn", "tls_port"),
    )}  # fmt: skip
    assert ports == documented
    assert paths == set()


def test_e72930f5_no_command_writes_a_file_that_somebody_names() -> None:
    parser = cli._parser()
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    options = {o for each in commands.choices.values() for a in each._actions for o in a.option_strings}
    assert "--config" in options
    assert not [each for each in options if "out" in each or "file" in each or "dump" in each]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_cve_2025_69217_no_module_uses_a_generator_that_can_be_predicted() -> None:
    modules = [
        path for folder in ("turnd", "wire", "signalling", "sfu") for path in (REPOSITORY / folder).rglob("*.py")
    ]
    assert len(modules) > 50
    assert [path for path in modules if {"random", "uuid"} & set(imports(path))] == []
    assert "secrets" in set(imports(REPOSITORY / "turnd/turn/service.py"))
