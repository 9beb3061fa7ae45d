"""Relayed packets per CPU-second of the server process: turnd beside Debian's coturn, in turn, with the same load.

Each server is pinned to one core, the load generator (load.c, which checks every payload) to the other. Closed loop: a
bounded number of datagrams is in flight, so the figure is the cost of a packet and not of an overflow.

    .venv/bin/python -m benchmarks.turn_relay [--rounds 3] [--seconds 2.5] [--allocations 100 10] [--json FILE]
"""

from __future__ import annotations

import argparse
import ctypes
import os
import secrets
import socket
import statistics
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import toml

from benchmarks import load
from benchmarks.process import Server, pin_load, print_table, save, spread
from wire import stun

USERS = [f"bench{number}" for number in range(64)]  # a name has a quota
PASSWORD, REALM = "bench-password", "bench"
HOST = "127.0.0.1"
PORTS = {"turnd": 34780, "coturn": 34790}
RELAY_PORTS = (41000, 43500)
REPOSITORY = Path(__file__).resolve().parents[1]
FIRST_CHANNEL = 0x4000


class Client:
    """One allocation with one channel to one peer of our own."""

    def __init__(self, server: tuple[str, int], user: str) -> None:
        self.server, self.user = server, user
        self.socket, self.peer = (self._socket() for _ in range(2))
        self.nonce, self.realm = b"", b""
        self.key: bytes | None = None
        self._request(stun.Method.ALLOCATE, [self._transport()])
        allocated = self._request(stun.Method.ALLOCATE, [self._transport()])
        value = allocated.get(stun.Attribute.XOR_RELAYED_ADDRESS)
        assert value
        self.relayed = stun.decode_xor_address(value, allocated.transaction_id)

    @staticmethod
    def _socket() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((HOST, 0))
        with suppress(OSError):
            made.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        made.settimeout(5)
        return made

    @staticmethod
    def _transport() -> tuple[int, bytes]:
        return stun.Attribute.REQUESTED_TRANSPORT, stun.encode_transport(socket.IPPROTO_UDP)

    def _request(self, method: int, attributes: list[tuple[int, bytes]]) -> stun.Message:
        transaction = secrets.token_bytes(12)
        if self.key:
            attributes = [
                *attributes,
                (stun.Attribute.USERNAME, self.user.encode()),
                (stun.Attribute.REALM, self.realm),
                (stun.Attribute.NONCE, self.nonce),
            ]
        self.socket.sendto(
            stun.encode(method, stun.MessageClass.REQUEST, transaction, attributes, key=self.key), self.server
        )
        answer = self._answer(transaction)
        if answer.message_class == stun.MessageClass.ERROR:
            code = answer.get(stun.Attribute.ERROR_CODE)
            assert code
            assert stun.decode_error(code)[0] == 401, stun.decode_error(code)
            self.realm = answer.get(stun.Attribute.REALM) or b""
            self.nonce = answer.get(stun.Attribute.NONCE) or b""
            self.key = stun.long_term_key(self.user, self.realm.decode(), PASSWORD)
        return answer

    def _answer(self, transaction: bytes) -> stun.Message:
        while True:  # stragglers of the load may lie before it
            data = self.socket.recv(2048)
            if data[8:20] == transaction:
                return stun.parse(data)

    def bind_channel(self) -> None:
        """Binds the channel to the peer socket."""
        peer = stun.encode_xor_address(self.peer.getsockname(), bytes(12))  # of IPv4 only the cookie is mixed in
        attributes = [
            (stun.Attribute.CHANNEL_NUMBER, stun.encode_channel(FIRST_CHANNEL)),
            (stun.Attribute.XOR_PEER_ADDRESS, peer),
        ]
        assert self._request(stun.Method.CHANNEL_BIND, attributes).message_class == stun.MessageClass.SUCCESS

    def flow(self, direction: str, size: int) -> load.Flow:
        """The load through this allocation: `c2p` or `p2c`."""
        if direction == "c2p":
            head = FIRST_CHANNEL.to_bytes(2, "big") + size.to_bytes(2, "big")
            return load.Flow(self.socket, self.peer, self.server, head)
        return load.Flow(self.peer, self.socket, (HOST, self.relayed[1]), skip_bytes=4)

    def close(self) -> None:
        """Gives the allocation back."""
        self._request(stun.Method.REFRESH, [(stun.Attribute.LIFETIME, stun.encode_u32(0))])
        self.socket.close()
        self.peer.close()


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
    """The whole daemon, as people run it."""
    port = PORTS["turnd"]
    config = {
        "state_dir": str(folder / "state"),
        "http": {"listen": f"{HOST}:47180", "tls_listen": f"{HOST}:47143"},
        "turn": {
            "listen": [HOST],
            "port": port,
            "tls_port": port + 1,
            "relay_ports": list(RELAY_PORTS),
            "realm": REALM,
            "users": dict.fromkeys(USERS, PASSWORD),
            "allow_peers": ["127.0.0.0/8"],
        },
        "sfu": {"port": 40900},
        "metrics": {"listen": f"{HOST}:47141"},
    }
    (folder / "turnd.toml").write_text(toml.dumps(config))
    command = [sys.executable, "-m", "turnd", "serve", "--config", str(folder / "turnd.toml")]
    return Server("turnd", command, lambda: answers(port), folder / "turnd.log", REPOSITORY)


def start_coturn(folder: Path) -> Server:
    """Debian's coturn with one relay thread."""
    port = PORTS["coturn"]
    command = [
        *(
            "turnserver",
            "-n",
            "-m",
            "1",
            "-L",
            HOST,
            "-E",
            HOST,
            "-p",
            str(port),
            "--tls-listening-port",
            str(port + 1),
        ),
        *("--min-port", str(RELAY_PORTS[0]), "--max-port", str(RELAY_PORTS[1]), "-r", REALM, "--lt-cred-mech"),
        *(word for user in USERS for word in ("-u", f"{user}:{PASSWORD}")),
        *("--allow-loopback-peers", "--no-cli", "--no-tls", "--no-dtls"),
        *("--log-file", "stdout", "--simple-log", "--pidfile", str(folder / "coturn.pid"), "--db", str(folder / "db")),
    ]
    return Server("coturn", command, lambda: answers(port), folder / "coturn.log", folder)


STARTERS = {"turnd": start_turnd, "coturn": start_coturn}


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    direction: str
    size: int
    burst: int
    allocations: int

    def __str__(self) -> str:
        return f"{self.direction} {self.size} B, bursts of {self.burst}, {self.allocations} allocations"


def measure(
    library: ctypes.CDLL, server: Server, clients: list[Client], case: Case, seconds: float
) -> dict[str, float]:
    """One run of one case."""
    flows = [client.flow(case.direction, case.size) for client in clients]
    before = server.cpu()
    result = load.run(library, flows, size=case.size, burst=case.burst, window=512, seconds=seconds)
    after = server.cpu()
    user, system = after.user - before.user, after.system - before.system
    if result.bad:
        raise RuntimeError(f"{server.name}: {result.bad} datagrams arrived altered")
    return {
        "packets_per_cpu_second": result.received / max(user + system, 1e-9),
        "packets_per_second": result.received / result.seconds,
        "user_share": user / max(user + system, 1e-9),
        "lost": 1 - result.received / result.sent,
        "p50_us": result.p50_us,
        "p99_us": result.p99_us,
    }


def run_cases(name: str, cases: list[Case], rounds: int, seconds: float) -> dict[str, list[dict[str, float]]]:
    """All runs of one server."""
    library = load.build()
    results: dict[str, list[dict[str, float]]] = {str(case): [] for case in cases}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        os.chmod(folder, 0o755)  # noqa: PTH101 - coturn may drop its rights
        server = STARTERS[name](Path(folder))
        stack.callback(server.stop)
        clients = [
            Client((HOST, PORTS[name]), USERS[number % len(USERS)])
            for number in range(max(case.allocations for case in cases))
        ]
        for client in clients:
            stack.callback(client.close)
            client.bind_channel()
        for case in cases:
            runs = [measure(library, server, clients[: case.allocations], case, seconds) for _ in range(rounds)]
            results[str(case)] += runs
    return results


def main() -> None:
    """Runs the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[160, 1200])
    parser.add_argument("--bursts", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--allocations", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--servers", nargs="+", choices=list(STARTERS), default=list(STARTERS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pin_load()
    cases = [
        Case(direction, size, burst, allocations)
        for allocations in arguments.allocations
        for direction in ("c2p", "p2c")
        for size in arguments.sizes
        for burst in arguments.bursts
    ]
    results = {name: run_cases(name, cases, arguments.rounds, arguments.seconds) for name in arguments.servers}
    rows = []
    for case in map(str, cases):
        row = [case]
        for name in arguments.servers:
            runs = results[name][case]
            row.append(spread([one["packets_per_cpu_second"] for one in runs]))
            row.append(f"{statistics.median(one['lost'] for one in runs):.2%}")
            row.append(f"{statistics.median(one['user_share'] for one in runs):.0%}")
        rows.append(row)
    columns = [f"{name} {what}" for name in arguments.servers for what in ("k packets/CPU-s", "lost", "user")]
    print_table(["case", *columns], rows)
    save(arguments.json, results)


if __name__ == "__main__":
    main()
