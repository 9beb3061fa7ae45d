"""The daemon: builds every service, starts, reloads, drains and stops them, on one event loop.

Owns all services and listeners, the state directory and the certificate. Signals: SIGTERM and SIGINT drain (a second
one ends at once), SIGUSR1 waits before that until everybody has left by themselves, SIGHUP reads the configuration.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

import wire.udp
from sfu.service import SfuService, SfuSettings
from signalling.server import SignallingService
from turnd import __version__, logs
from turnd.addresses import AddressWatch, OwnAddresses, described
from turnd.certificate import CertificateError, TlsCertificate
from turnd.config import Config, ConfigError, FilesConfig, HttpConfig, SfuConfig, TurnConfig, differences, load
from turnd.config_values import Endpoint
from turnd.exporter import build_app
from turnd.ice_servers import CREDENTIAL_SECONDS, credential_name, ice_servers, uri_host
from turnd.listeners import PortError, tcp_listener, why
from turnd.metrics import Exposition, LoopLag, Source, build_measures, udp_measures
from turnd.service_notify import ServiceNotifier
from turnd.settings import signalling_settings, turn_settings
from turnd.shared_port import SharedPort
from turnd.state import StateDirectory, StateError
from turnd.turn.credentials import rest_credentials
from turnd.turn.peer_policy import Near
from turnd.turn.service import TurnService
from wire.measure import Measure

log = logging.getLogger(__name__)

Section = TypeVar("Section", HttpConfig, TurnConfig, SfuConfig, FilesConfig)

DRAIN_SECONDS = 5.0
DRAIN_LOOK_SECONDS = 0.1
MAINTENANCE_SECONDS = 60.0
EXPORTER_IDLE_SECONDS = 75.0  # longer than the usual interval of scrapes
TLS_HANDSHAKE_SECONDS = 10.0
TLS_SHUTDOWN_SECONDS = 2.0
MAX_OPEN_FILES = 65536
# New objects between two garbage collections of the youngest, how many of those between two of the older, and of these
# between two of all: few of ours are in cycles, and each collection holds the loop for about a microsecond an object.
COLLECT_EACH = (2_000, 5, 100)
LIVE_KEYS = frozenset(
    {
        *("http.certificate", "http.private_key", "http.public_host"),
        *("turn.secrets", "turn.users", "turn.userhash", "turn.allow_peers", "turn.rfc5766_channels", "turn.mobility"),
        *("turn.max_allocations", "turn.max_allocations_of_user", "turn.max_permissions", "turn.max_channels"),
        *("turn.allocation_bps", "turn.total_bps"),
        *("sfu.uplink_bps", "files.download_bps", "addresses.public", "log.format", "log.level"),
    }
)


class Daemon:
    """Everything that runs. `run` returns when it has ended in good order."""

    def __init__(
        self,
        config: Config,
        config_path: Path | None,
        *,
        loop: asyncio.AbstractEventLoop,
        notifier: ServiceNotifier,
        say: Callable[[str], object] = lambda _line: None,
    ) -> None:
        """`say` gets the lines for whoever started the daemon by hand. StateError when the state is unusable."""
        self.config = config
        self._config_path = config_path
        self._loop = loop
        self._notifier = notifier
        self._say = say
        self._started_at = loop.time()
        self._draining = False
        self._ending = asyncio.Event()  # SIGUSR1, and with the next two
        self._stop = asyncio.Event()  # SIGTERM
        self._hurry = asyncio.Event()  # SIGTERM again
        self._loop_errors = 0
        self._reloads = {"ok": 0, "failed": 0}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._servers: list[asyncio.Server] = []
        self._exporter: web.AppRunner | None = None
        self.ports: dict[str, int] = {}
        """Configuration key of each TCP listener to the port it has."""

        self._state = StateDirectory(config.state_dir)
        self._state.prepare()
        self._addresses = AddressWatch(loop, config.addresses.public, self._addresses_changed)
        self._certificate = TlsCertificate(config.http.certificate, config.http.private_key, self._state)
        self._secrets = self._turn_secrets(config)
        self._resume_key = self._state.resume_key()
        self._lag = LoopLag(loop)
        relay_range = (config.turn.relay_ports[0], config.turn.relay_ports[-1])
        self.sfu = SfuService(SfuSettings(config.sfu.port, config.sfu.uplink_bps, relay_range), loop=loop)
        self.turn = TurnService(
            turn_settings(config, self._secrets),
            loop=loop,
            sfu_port=config.sfu.port,
            tls=lambda: self._certificate.context,
            pem=lambda: self._certificate.pem,
        )
        self.signalling: SignallingService | None = None
        self._pages: SharedPort | None = None

    # --- life ---

    async def run(self) -> None:
        """Starts, serves until told to end, drains, stops. PortError, CertificateError, StateError at the start."""
        try:
            await self.start()
            await self._ending.wait()
            await self.outlast()
            await self.drain()
        finally:
            self._notifier.stopping()
            await self.close()

    async def start(self) -> None:
        """Opens everything; on return all of it answers."""
        _raise_open_files_limit()
        self._loop.set_exception_handler(self._handle_loop_error)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        self._loop.add_signal_handler(signal.SIGUSR1, self._ending.set)
        self._loop.add_signal_handler(signal.SIGHUP, self.reload)
        self._lag.start()
        wire.udp.set_uring(True)
        self._certificate.refresh(self._addresses.current.candidates, time.time())
        self._announce(self._addresses.current)
        with _naming("sfu.port", self.config.sfu.port):
            await self.sfu.start()
        with _naming("turn.listen, turn.port, turn.tls_port", f"{self.config.turn.port}, {self.config.turn.tls_port}"):
            await self.turn.start()
        await self._start_pages()
        await self._start_exporter()
        self._addresses.start()
        self._repeat("maintenance", MAINTENANCE_SECONDS, self._maintain)
        if self._notifier.watchdog_seconds:
            self._repeat("watchdog", self._notifier.watchdog_seconds / 3, self._notifier.alive)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_EACH)
        self._tell_ready()
        self._notifier.ready()

    def stop(self) -> None:
        """Begins to drain; called again while draining, ends at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()
        self._ending.set()

    async def outlast(self) -> None:
        """Refuses newcomers and waits, as long as it takes, until the last participant and allocation have gone.

        Nobody is sent away, and who has lost the connection can come back. `stop` ends the wait.
        """
        self._draining = True
        self.turn.drain()
        if self.signalling is not None:
            self.signalling.refuse_newcomers()
        if not self._stop.is_set():
            log.info("ending when the last one has left")
        while (self._occupied() or self.turn.occupied) and not self._stop.is_set():
            await self._wait_for(self._stop)

    async def drain(self) -> None:
        """Refuses newcomers, tells those who are there, and waits until they have left, DRAIN_SECONDS at most.

        Only for WebSockets: those who were told come back as soon as the next process serves, so each moment longer is
        one without a call. And nobody can tell a TURN client to leave.
        """
        log.info("draining", extra={"seconds": DRAIN_SECONDS})
        self._notifier.stopping()
        if self.signalling is not None:
            self.signalling.drain()
        give_up_at = self._loop.time() + DRAIN_SECONDS
        while self._occupied() and not self._hurry.is_set() and self._loop.time() < give_up_at:
            await self._wait_for(self._hurry)

    async def _wait_for(self, event: asyncio.Event) -> None:
        """Until it is time to look again whether all have left, unless the event comes first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_LOOK_SECONDS):
                await event.wait()

    async def close(self) -> None:
        """Ends everything, last made first. What fails to end is logged and does not hold up the rest."""
        for timer in self._timers.values():
            timer.cancel()
        for server in self._servers:
            server.close()
        closers: list[tuple[str, Callable[[], Any]]] = [("addresses", self._addresses.close)]
        if self.signalling is not None:
            closers.append(("signalling", self.signalling.close))
        closers += [("turn", self.turn.close), ("sfu", self.sfu.close)]
        if self._exporter is not None:
            closers.append(("exporter", self._exporter.cleanup))
        for name, close in closers:
            try:
                await close()
            except Exception:
                self._loop_errors += 1
                log.exception("a service did not end in order", extra={"service": name})
        if self._pages is not None:
            self._pages.close()
        self._lag.close()
        log.info("ended", extra={"uptime_seconds": round(self.uptime(), 1)})

    def reload(self) -> None:
        """Reads the configuration anew and takes over what can change live; on errors all stays as it was."""
        self._notifier.reloading()
        try:
            new = load(self._config_path)
            turn_secrets = self._turn_secrets(new)
            self._certificate.use(new.http.certificate, new.http.private_key)
            self._certificate.refresh(self._addresses.current.candidates, time.time())
        except (ConfigError, StateError, CertificateError) as error:
            self._certificate.use(self.config.http.certificate, self.config.http.private_key)
            self._reloads["failed"] += 1
            for line in str(error).splitlines():
                log.error("not reloaded: %s", line)
        else:
            self._take_over(new, turn_secrets)
            self._reloads["ok"] += 1
        finally:
            self._notifier.ready()

    def uptime(self) -> float:
        """Seconds since the daemon was made."""
        return self._loop.time() - self._started_at

    def ice_servers(self, host: str, name: str) -> list[dict[str, object]]:
        """What a client that reached us as `host` may use, with credentials of its own."""
        fallback = self.config.http.public_host or self._addresses.current.candidates[0]
        tls_ports = [self.config.turn.tls_port]
        if "http.tls_listen" in self.ports:
            tls_ports.append(self.ports["http.tls_listen"])
        own_name = f"{credential_name(name)}-{secrets.token_hex(4)}"  # a user name, and so a quota, for each join
        username, credential = rest_credentials(self._secrets[0], own_name, CREDENTIAL_SECONDS, time.time())
        return ice_servers(uri_host(host, fallback), self.config.turn.port, tls_ports, username, credential)

    def measures(self) -> Iterator[Measure]:
        """What belongs to no service."""
        yield from build_measures()
        yield Measure("draining", {}, int(self._draining))
        yield Measure("eventloop_errors_total", {}, self._loop_errors)
        for result, count in self._reloads.items():
            yield Measure("reloads_total", {"result": result}, count)
        yield from udp_measures(wire.udp.totals())

    # --- start ---

    async def _start_pages(self) -> None:
        http = self.config.http
        tls_socket = tcp_listener("http.tls_listen", http.tls_listen) if http.tls_listen else None
        https_port = tls_socket.getsockname()[1] if tls_socket else None
        self.signalling = SignallingService(
            signalling_settings(self.config, https_port),
            sfu=self.sfu,
            ice_servers=self.ice_servers,
            public_host=self._public_host,
            resume_key=self._resume_key,
            state=self._state.path,
            loop=self._loop,
            version=__version__,
        )
        await self.signalling.start()
        self._pages = SharedPort(self._loop, self.signalling.protocol, self.turn.stream_protocol)
        if tls_socket is not None:
            await self._serve(
                "http.tls_listen",
                tls_socket,
                self._pages.tls_protocol,
                ssl=self._certificate.context,
                ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=TLS_SHUTDOWN_SECONDS,
            )
        if http.listen:
            await self._serve("http.listen", tcp_listener("http.listen", http.listen), self._pages.plain_protocol)

    async def _start_exporter(self) -> None:
        endpoint = self.config.metrics.listen
        if endpoint is None:
            return
        services = (self.turn, self.sfu, self.signalling, self._pages, self._certificate, self._addresses, self._lag)
        sources: list[Source] = [self.measures, *(service.measures for service in services if service is not None)]
        app = build_app(
            Exposition(sources), uptime=self.uptime, draining=lambda: self._draining, public_host=self._public_host
        )
        self._exporter = web.AppRunner(
            app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=EXPORTER_IDLE_SECONDS
        )
        await self._exporter.setup()
        protocol: Any = self._exporter.server
        await self._serve("metrics.listen", tcp_listener("metrics.listen", endpoint), protocol)

    async def _serve(
        self, key: str, listener: socket.socket, protocol: Callable[[], asyncio.BaseProtocol], **tls: Any
    ) -> None:
        self.ports[key] = listener.getsockname()[1]
        self._servers.append(await self._loop.create_server(protocol, sock=listener, **tls))

    def _tell_ready(self) -> None:
        urls = self.page_urls()
        log.info(
            "serving",
            extra={
                "version": __version__,
                "seconds": round(self.uptime(), 3),
                "urls": " ".join(urls),
                **described(self._addresses.current),
            },
        )
        self._say(f"turnd {__version__} is serving. Open one of:")
        for url in urls:
            self._say(f"  {url}")
        if self._certificate.self_signed and "http.tls_listen" in self.ports:
            self._say("The certificate is turnd's own: browsers warn once. Set http.certificate to change that.")

    def page_urls(self) -> list[str]:
        """The addresses of the page, those for this machine first."""
        urls = []
        http, own = self.config.http, self._addresses.current
        for key, scheme, endpoint in (
            ("http.listen", "http", http.listen),
            ("http.tls_listen", "https", http.tls_listen),
        ):
            if endpoint is not None:
                port = self.ports[key]
                suffix = "" if port == (80 if scheme == "http" else 443) else f":{port}"
                hosts = _hosts(endpoint, own, secure=scheme == "https", public_host=http.public_host)
                urls += [f"{scheme}://{host}{suffix}/" for host in hosts]
        return urls

    def _public_host(self) -> str:
        return self.config.http.public_host

    # --- while running ---

    def _addresses_changed(self, addresses: OwnAddresses) -> None:
        self._announce(addresses)
        self._refresh_certificate()

    def _announce(self, addresses: OwnAddresses) -> None:
        wire.udp.set_own_addresses(addresses.every)
        near = Near(addresses.networks, addresses.routers)
        self.turn.set_own_addresses(addresses.inside, addresses.public, addresses.former, near)
        self.sfu.set_candidates(addresses.candidates)

    def _maintain(self) -> None:
        self._refresh_certificate()

    def _refresh_certificate(self) -> None:
        try:
            if self._certificate.refresh(self._addresses.current.candidates, time.time()):
                log.info("certificate loaded", extra={"expires_at": int(self._certificate.expires_at)})
        except (CertificateError, StateError) as error:
            log.error("certificate not renewed, the old one stays", extra={"reason": error})

    def _take_over(self, new: Config, turn_secrets: tuple[str, ...]) -> None:
        changed = differences(self.config, new)
        old = self.config
        self.config = replace(
            old,
            http=_with_live_keys("http", old.http, new.http),
            turn=_with_live_keys("turn", old.turn, new.turn),
            sfu=_with_live_keys("sfu", old.sfu, new.sfu),
            files=_with_live_keys("files", old.files, new.files),
            addresses=new.addresses,
            log=new.log,
        )
        self._secrets = turn_secrets
        logs.configure(new.log.format, new.log.level)
        self.turn.reload(turn_settings(self.config, self._secrets))
        self.sfu.set_uplink(new.sfu.uplink_bps)
        if self.signalling is not None:
            self.signalling.set_rates(new.files.download_bps, new.sfu.uplink_bps)
        self._addresses.configure(new.addresses.public)
        live = [key for key in changed if key in LIVE_KEYS]
        log.info("configuration reloaded", extra={"changed": ",".join(live) or "nothing"})
        for key in changed:
            if key not in LIVE_KEYS:
                log.warning("%s has changed and needs a restart", key)

    def _turn_secrets(self, config: Config) -> tuple[str, ...]:
        return config.turn.secrets or (self._state.turn_secret(),)

    def _occupied(self) -> bool:
        measures = self.signalling.measures() if self.signalling is not None else iter(())
        return any(m.value for m in measures if m.name == "websocket_connections")

    def _repeat(self, name: str, seconds: float, action: Callable[[], object]) -> None:
        def fire() -> None:
            self._timers[name] = self._loop.call_later(seconds, fire)
            action()

        fire()

    def _handle_loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._loop_errors += 1
        log.error("unexpected: %s", context.get("message", "no message"), exc_info=context.get("exception"))


def _with_live_keys(section: str, old: Section, new: Section) -> Section:
    """`old` with the values of `new` that need no restart."""
    names = [key.partition(".")[2] for key in LIVE_KEYS if key.startswith(section + ".")]
    return replace(old, **{name: getattr(new, name) for name in names})


@contextmanager
def _naming(key: str, value: object) -> Iterator[None]:
    """Turns an OSError of opening ports into a PortError that names the configuration key."""
    try:
        yield
    except OSError as error:
        raise PortError(f"{key} = {value}: {why(error)}") from None


def _hosts(endpoint: Endpoint, own: OwnAddresses, *, secure: bool, public_host: str) -> list[str]:
    """The URI hosts under which a listener can be opened in a browser."""
    if endpoint.host not in ("0.0.0.0", "::"):
        return [uri_host(endpoint.host, "localhost")]
    if not secure:  # from elsewhere it redirects
        return ["127.0.0.1"]
    usable = [address for address in own.candidates if endpoint.host == "::" or ":" not in address]
    return [*([public_host] if public_host else []), *(uri_host(address, "localhost") for address in usable)]


def _raise_open_files_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main(config: Config, config_path: Path | None, notifier: ServiceNotifier, say: Callable[[str], object]) -> int:
    """Runs the daemon on an event loop of its own; returns the exit code."""
    import uvloop

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        await Daemon(config, config_path, loop=loop, notifier=notifier, say=say).run()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())
    except (PortError, CertificateError, StateError) as error:
        sys.stderr.write(f"turnd: {error}\n")
        return 1
    return 0
