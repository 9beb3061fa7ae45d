"""A TurnService on free ports of the loopback, with what its tests need to speak to it."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from turnd.turn.client_connections import ClientConnections
from turnd.turn.credentials import rest_credentials
from turnd.turn.limits import Limits
from turnd.turn.service import TurnService, TurnSettings
from wire import udp

SECRET = "north"
ECDSA = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
RSA = ("rsa:2048",)
RELAY_PORTS = (52000, 52400)


@dataclass
class Options:
    """What a test changes."""

    listen: tuple[str, ...] = ("127.0.0.1",)
    allow_peers: tuple[str, ...] = ()
    own: Collection[str] = ("127.0.0.1",)
    sfu_port: int = 0
    certificate: tuple[Path, Path] | None = None
    pem: tuple[bytes, bytes] | None = None
    """What DTLS presents; from `certificate` as a rule, and changed in the middle of a test."""
    max_connections: int = 100
    max_unproved_of_source: int = 100
    idle_seconds: float = 30.0
    relay_ports: tuple[int, int] = RELAY_PORTS
    secrets: tuple[str, ...] = (SECRET,)
    users: dict[str, str] = field(default_factory=dict)
    tcp_relay: bool = False
    limits: Limits = field(default_factory=Limits)
    mobility: bool = False

    def __post_init__(self) -> None:
        if self.pem is None and self.certificate is not None:
            self.pem = self.certificate[0].read_bytes(), self.certificate[1].read_bytes()

    def turn_settings(self) -> TurnSettings:
        return TurnSettings(
            listen=self.listen,
            port=0,
            tls_port=0,
            relay_ports=self.relay_ports,
            realm="turnd",
            secrets=self.secrets,
            users=self.users,
            allow_peers=tuple(ip_network(text) for text in self.allow_peers),
            tcp_relay=self.tcp_relay,
            limits=self.limits,
            mobility=self.mobility,
        )


def tls_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def make_certificate(folder: Path, kind: Sequence[str] = ECDSA) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return certificate, key


@asynccontextmanager
async def served(options: Options | None = None) -> AsyncIterator[TurnService]:
    """A running service; the process' own addresses are set for its time."""
    options = options or Options()
    context = tls_context(options.certificate) if options.certificate else None
    service = TurnService(
        options.turn_settings(),
        loop=asyncio.get_running_loop(),
        sfu_port=options.sfu_port,
        tls=lambda: context,
        pem=lambda: options.pem,
        connections=ClientConnections(
            options.max_connections,
            unproved_of_source=options.max_unproved_of_source,
            idle_seconds=options.idle_seconds,
        ),
    )
    udp.set_own_addresses(options.own)
    service.set_own_addresses(options.own, ())
    await service.start()
    try:
        yield service
    finally:
        await service.close()
        udp.set_own_addresses(())


def credentials() -> tuple[str, str]:
    return rest_credentials(SECRET, "anna", 600, 4e9)


def measure(service: TurnService, name: str, **labels: str) -> int:
    """The value of one counter or gauge."""
    for each in service.measures():
        if each.name == name and each.labels == labels:
            assert isinstance(each.value, int)
            return each.value
    raise AssertionError(f"no measure {name} {labels}")


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop run until `condition` holds."""

    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - compiled counters wake nobody
            await asyncio.sleep(0)
