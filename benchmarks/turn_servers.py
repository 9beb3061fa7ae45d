"""The servers that are compared: turnd as people run it, and Debian's coturn with one relay thread."""

from __future__ import annotations

import re
import secrets
import socket
import subprocess
import sys
from pathlib import Path

import toml

from benchmarks.process import Server
from benchmarks.setups import Target
from wire import stun

HOST = "127.0.0.1"
USERS = [f"bench{number}" for number in range(100)]  # a name has a quota
PASSWORD, REALM = "bench-password", "bench"
PORTS = {"coturn": 34790, "turnd": 34780}
RELAY_PORTS = {"coturn": (41000, 44999), "turnd": (45000, 48999)}  # coturn frees a port a second late
REPOSITORY = Path(__file__).resolve().parents[1]


def target(name: str) -> Target:
    """Where its clients find a server, and who they are."""
    return Target((HOST, PORTS[name]), REALM, USERS, PASSWORD)


def answers(port: int) -> bool:
    """Whether a Binding request is answered there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.2)
        probe.sendto(stun.encode(stun.Method.BINDING, stun.MessageClass.REQUEST, secrets.token_bytes(12)), (HOST, port))
        try:
            return bool(probe.recv(2048))
        except OSError:
            return False


def start_turnd(folder: Path) -> Server:
    """The whole daemon."""
    port = PORTS["turnd"]
    config = {
        "state_dir": str(folder / "state"),
        "http": {"listen": f"{HOST}:47180", "tls_listen": f"{HOST}:47143"},
        "turn": {
            "listen": [HOST],
            "port": port,
            "tls_port": port + 1,
            "relay_ports": list(RELAY_PORTS["turnd"]),
            "realm": REALM,
            "users": dict.fromkeys(USERS, PASSWORD),
            "allow_peers": ["127.0.0.0/8"],
            "allocation_bps": 0,
            "total_bps": 0,
        },
        "sfu": {"port": 40900},
        "metrics": {"listen": f"{HOST}:47141"},
    }
    (folder / "turnd.toml").write_text(toml.dumps(config))
    command = [sys.executable, "-m", "turnd", "serve", "--config", str(folder / "turnd.toml")]
    return Server("turnd", command, lambda: answers(port), folder / "turnd.log", REPOSITORY)


def start_coturn(folder: Path) -> Server:
    """`-m 1`, no TCP relay, TLS, DTLS or command line."""
    port = str(PORTS["coturn"])
    first, last = map(str, RELAY_PORTS["coturn"])
    command = [
        *("turnserver", "-n", "-m", "1", "-L", HOST, "-E", HOST, "-p", port),
        *("--min-port", first, "--max-port", last, "-r", REALM, "--lt-cred-mech"),
        *(word for user in USERS for word in ("-u", f"{user}:{PASSWORD}")),
        *("--allow-loopback-peers", "--no-cli", "--no-tls", "--no-dtls"),
        *("--log-file", "stdout", "--simple-log", "--pidfile", str(folder / "coturn.pid"), "--db", str(folder / "db")),
    ]
    return Server("coturn", command, lambda: answers(PORTS["coturn"]), folder / "coturn.log", folder)


STARTERS = {"coturn": start_coturn, "turnd": start_turnd}


def version(name: str) -> str:
    """What is measured."""
    if name == "coturn":
        found = subprocess.run(["turnserver", "--version"], capture_output=True, text=True, check=False)
        number = re.search(r"\d+\.\d+\.\d+", found.stdout)
        return number.group() if number else "?"
    described = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    return subprocess.run(described, capture_output=True, text=True, check=False).stdout.strip() or "?"
