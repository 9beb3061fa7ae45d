"""The configuration: frozen dataclasses, and `load`, which reads them from TOML and reports every error at once.

This is the only module that knows the `toml` package. Who holds a `Config` may share it: nothing in it changes.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import toml

from signalling.file_limits import FileLimits
from turnd import config_values as values
from turnd.config_values import Endpoint, IpNetwork, RefusedError
from turnd.turn.channel import MAX_CHANNELS
from turnd.turn.credentials import StoredKeys
from turnd.turn.limits import ALLOCATION_BPS, MAX_ALLOCATIONS, MAX_ALLOCATIONS_OF_USER, TOTAL_BPS
from turnd.turn.permission import MAX_PERMISSIONS

MAX_FILE_BYTES = 1 << 20
SHOWN_CHARACTERS = 60
MAX_KEEP_HOURS = 366 * 24
MAX_FILE_SIZE = 10**14
FILES = FileLimits()
SECRET_KEYS = frozenset({"turn.secrets", "turn.users"})


class ConfigError(Exception):
    """The configuration cannot be used; `errors` has one line for each reason."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def _by(read: Callable[[object], object]) -> dict[str, Any]:
    """Metadata of a field whose TOML value `read` understands."""
    return {"read": read}


@dataclass(frozen=True)
class HttpConfig:
    """`[http]`: the page and its WebSocket."""

    listen: Endpoint | None = field(default=Endpoint("127.0.0.1", 8080), metadata=_by(values.endpoint))
    """Plain HTTP: the page for this machine's own browsers, a redirect to HTTPS for others. None: off."""
    tls_listen: Endpoint | None = field(default=Endpoint("0.0.0.0", 8443), metadata=_by(values.endpoint))
    """HTTPS and, on the same port, TURN over TLS. `[::]` serves both families. None: off."""
    certificate: Path | None = field(default=None, metadata=_by(values.readable_file))
    """PEM file with the certificate chain. None: self-signed, kept in `state_dir`."""
    private_key: Path | None = field(default=None, metadata=_by(values.readable_file))
    """PEM file with the key of `certificate`."""
    public_host: str = field(default="", metadata=_by(values.host_name))
    """The name visitors use, for printed links; no other name is served, addresses excepted. Empty: any is."""
    origins: tuple[str, ...] = field(default=(), metadata=_by(values.items(values.origin)))
    """Origins of other pages that may use WHIP and WHEP. `*`: all."""
    embed: tuple[str, ...] = field(default=(), metadata=_by(values.items(values.origin)))
    """Origins of other pages that may show a room in a frame. `*`: all."""


@dataclass(frozen=True)
class TurnConfig:
    """`[turn]`: the STUN and TURN server."""

    listen: tuple[str, ...] = field(default=("0.0.0.0", "::"), metadata=_by(values.items(values.address, at_least=1)))
    """Addresses to listen on; `0.0.0.0` is all of IPv4, `::` all of IPv6."""
    port: int = field(default=3478, metadata=_by(values.port))
    """UDP and TCP port."""
    tls_port: int = field(default=5349, metadata=_by(values.port))
    """TLS over TCP and DTLS over UDP."""
    relay_ports: tuple[int, int] = field(default=(40000, 40100), metadata=_by(values.port_range))
    """First and last UDP port given to allocations; those turnd holds itself are skipped."""
    realm: str = field(default="turnd", metadata=_by(values.realm))
    """Realm of the long-term credentials."""
    secrets: tuple[str, ...] = field(default=(), metadata=_by(values.items(values.secret)))
    """TURN REST secrets, newest first. Empty: one is generated in `state_dir`."""
    users: Mapping[str, str | StoredKeys] = field(default_factory=dict, metadata=_by(values.users))
    """Static long-term users: name to password, or to the keys made of it, which hold for one name and `realm`."""
    userhash: bool = field(default=False, metadata=_by(values.boolean))
    """Asks clients of RFC 8489 to send a hash of their name. Only static users are found by it."""
    allow_peers: tuple[IpNetwork, ...] = field(default=(), metadata=_by(values.items(values.network)))
    """Networks that clients may relay to although the peer policy denies them: private, our own, near ones."""
    rfc5766_channels: bool = field(default=False, metadata=_by(values.boolean))
    """Takes channel numbers up to 0x7FFF, as RFC 5766 had it, and not only to 0x4FFF."""
    max_allocations: int = field(default=MAX_ALLOCATIONS, metadata=_by(values.integer(1)))
    """Relayed addresses in all; one allocation has one of a family or of both."""
    max_allocations_of_user: int = field(default=MAX_ALLOCATIONS_OF_USER, metadata=_by(values.integer(1)))
    """The same of one user name."""
    max_permissions: int = field(default=MAX_PERMISSIONS, metadata=_by(values.integer(1, MAX_PERMISSIONS)))
    """Peer addresses that one allocation may permit."""
    max_channels: int = field(default=MAX_CHANNELS, metadata=_by(values.integer(0, MAX_CHANNELS)))
    """Channels that one allocation may bind."""
    allocation_bps: int = field(default=ALLOCATION_BPS, metadata=_by(values.bits_per_second))
    """Bits per second that one allocation may relay in each direction; 0 is unlimited."""
    total_bps: int = field(default=TOTAL_BPS, metadata=_by(values.bits_per_second))
    """The same of all allocations together; those of UDP and of TCP are counted apart."""
    tcp_relay: bool = field(default=False, metadata=_by(values.boolean))
    """Whether TCP is relayed as well (RFC 6062), under the same peer policy."""
    mobility: bool = field(default=False, metadata=_by(values.boolean))
    """Whether an allocation may follow its client to another address or connection (RFC 8016)."""


@dataclass(frozen=True)
class SfuConfig:
    """`[sfu]`: media forwarding."""

    port: int = field(default=40000, metadata=_by(values.port))
    """The one UDP port of all media."""
    uplink_bps: int = field(default=0, metadata=_by(values.integer(0)))
    """What media may take of this machine's uplink, in bits per second; 0 is unlimited."""


@dataclass(frozen=True)
class RoomsConfig:
    """`[rooms]`: rooms nobody is in."""

    keep_hours: int = field(default=0, metadata=_by(values.integer(0, MAX_KEEP_HOURS)))
    """How long a room's chat, rules and files outlive its last participant."""


@dataclass(frozen=True)
class FilesConfig:
    """`[files]`: files that participants send to their room, kept in `state_dir`."""

    max_bytes: int = field(default=FILES.max_bytes, metadata=_by(values.integer(0, MAX_FILE_SIZE)))
    """Of one file; 0: none are taken."""
    room_bytes: int = field(default=FILES.room_bytes, metadata=_by(values.integer(0, MAX_FILE_SIZE)))
    """Of all files of a room, and its uploads under way with the whole of their size."""
    total_bytes: int = field(default=FILES.total_bytes, metadata=_by(values.integer(0, MAX_FILE_SIZE)))
    """The same of all rooms. 512 MiB of the disk stay free whatever this says."""
    keep_hours: int = field(default=round(FILES.keep_seconds / 3600), metadata=_by(values.integer(1, MAX_KEEP_HOURS)))
    """How long a file is kept, if its room lives as long."""
    uploads_of_seat: int = field(default=FILES.uploads_of_seat, metadata=_by(values.integer(1, 100)))
    """Uploads that one participant may have under way."""
    download_bps: int = field(default=0, metadata=_by(values.bits_per_second))
    """What all downloads may take together, bits per second; 0: a quarter of `sfu.uplink_bps` if that has a bound."""


@dataclass(frozen=True)
class AddressesConfig:
    """`[addresses]`: where this machine is reachable."""

    public: tuple[str, ...] = field(default=(), metadata=_by(values.items(values.announced_address)))
    """Addresses by which the outside reaches this machine. Empty: found out and watched."""


@dataclass(frozen=True)
class MetricsConfig:
    """`[metrics]`: the exporter."""

    listen: Endpoint | None = field(default=Endpoint("127.0.0.1", 9641), metadata=_by(values.endpoint))
    """Serves GET /metrics and GET /health. None: off."""


@dataclass(frozen=True)
class LogConfig:
    """`[log]`: what is written to standard error."""

    format: str = field(default="auto", metadata=_by(values.one_of("auto", "text", "json")))
    """`text` for people, `json` one object a line; `auto` is text on a terminal and JSON elsewhere."""
    level: str = field(default="info", metadata=_by(values.one_of("debug", "info", "warning", "error")))
    """The least severe level that is written."""


@dataclass(frozen=True)
class Config:
    """The whole configuration; `Config()` is what holds without a file."""

    state_dir: Path = field(default=Path("state"), metadata=_by(values.directory))
    """Secrets, certificate, rooms and files; made with mode 0700. Relative to the working directory."""
    http: HttpConfig = HttpConfig()
    """See `HttpConfig`."""
    turn: TurnConfig = TurnConfig()
    """See `TurnConfig`."""
    sfu: SfuConfig = SfuConfig()
    """See `SfuConfig`."""
    rooms: RoomsConfig = RoomsConfig()
    """See `RoomsConfig`."""
    files: FilesConfig = FilesConfig()
    """See `FilesConfig`."""
    addresses: AddressesConfig = AddressesConfig()
    """See `AddressesConfig`."""
    metrics: MetricsConfig = MetricsConfig()
    """See `MetricsConfig`."""
    log: LogConfig = LogConfig()
    """See `LogConfig`."""


def load(path: Path | None) -> Config:
    """The configuration of the file at `path`, or the defaults. Raises `ConfigError` with every error found."""
    if path is None:
        return Config()
    errors: list[str] = []
    config: Config = _section(Config, _read(path), "", errors)
    errors += _conflicts(config)
    if errors:
        raise ConfigError(errors)
    return config


def differences(old: Config, new: Config) -> list[str]:
    """The dotted names of the keys in which two configurations differ."""
    before, after = dict(_flat(old)), dict(_flat(new))
    return [key for key in before if before[key] != after[key]]


def shown(key: str, value: object) -> str:
    """`value` as it may appear in an error or a log: short, on one line, and no secret."""
    if key in SECRET_KEYS:
        return "(not shown)"
    result = ascii(value) if isinstance(value, (str, list, dict)) else str(value).lower()
    return result if len(result) <= SHOWN_CHARACTERS else result[: SHOWN_CHARACTERS - 1] + "…"


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError([f"{path}: larger than {MAX_FILE_BYTES} bytes"])
    try:
        return toml.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text at byte {error.start}"]) from None
    # Beside its own error (a ValueError) toml 0.10 lets these escape on malformed text.
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError([f"{path}: not TOML: {ascii(str(error))[1:-1]}"]) from None


def _section(kind: type[Any], table: Mapping[str, Any], prefix: str, errors: list[str]) -> Any:
    """Builds the dataclass `kind` from `table`; what is wrong goes to `errors` and keeps its default."""
    known = {item.name: item for item in fields(kind)}
    chosen: dict[str, Any] = {}
    for name, value in table.items():
        key = prefix + name
        if name not in known:
            errors.append(f"{_printable(key)}: {_unknown(name, prefix, value, known)}")
        elif is_dataclass(known[name].default):
            if isinstance(value, dict):
                chosen[name] = _section(type(known[name].default), value, key + ".", errors)
            else:
                errors.append(f"{key} = {shown(key, value)}: must be a table, [{key}]")
        else:
            try:
                chosen[name] = known[name].metadata["read"](value)
            except RefusedError as refused:
                errors.append(f"{key} = {shown(key, value)}: {refused}")
    return kind(**chosen)


def _unknown(name: str, prefix: str, value: object, known: Mapping[str, Any]) -> str:
    word = "no such section" if isinstance(value, dict) and not prefix else "no such key"
    everything = [key for key, _ in _flat(Config())] + [item.name for item in fields(Config)]
    elsewhere = [key for key in everything if key.rpartition(".")[2] == name]
    near = difflib.get_close_matches(name, known, 1, 0.5)
    nearest = (
        prefix + near[0] if near else next(iter(elsewhere or difflib.get_close_matches(name, everything, 1, 0.5)), "")
    )
    return f"{word}; nearest is {nearest}" if nearest else f"{word}; allowed here: {', '.join(known)}"


def _printable(key: str) -> str:
    return key if key.isprintable() and key.isascii() and len(key) <= SHOWN_CHARACTERS else shown("", key)


def _flat(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            yield from _flat(value, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, value


def _conflicts(config: Config) -> list[str]:
    """What is wrong between keys that are each right."""
    errors = []
    if (config.http.certificate is None) != (config.http.private_key is None):
        errors.append("http.certificate and http.private_key: must both be given or both be empty")
    http = config.http
    if http.listen is None and http.tls_listen is None:
        errors.append("http.listen and http.tls_listen: must not both be empty")
    files = config.files
    if files.max_bytes and not files.max_bytes <= files.room_bytes <= files.total_bytes:
        errors.append(
            f"files.max_bytes = {files.max_bytes}: must not be more than files.room_bytes = {files.room_bytes}, "
            f"nor that more than files.total_bytes = {files.total_bytes}"
        )
    udp = [("turn.port", config.turn.port), ("turn.tls_port", config.turn.tls_port)]
    for key, port in udp:
        if port == config.sfu.port:
            errors.append(
                f"sfu.port = {config.sfu.port}: must differ from {key}: a browser may share a socket between them"
            )
    first, last = config.turn.relay_ports
    if not set(range(first, last + 1)) - {config.sfu.port, *(port for _, port in udp)}:
        errors.append(f"turn.relay_ports = [{first}, {last}]: must have a port that turnd does not hold itself")
    listeners: list[tuple[str, Endpoint]] = [
        (key, Endpoint(host, port)) for key, port in udp for host in config.turn.listen
    ]
    one = {"http.listen": http.listen, "http.tls_listen": http.tls_listen, "metrics.listen": config.metrics.listen}
    listeners += [(key, endpoint) for key, endpoint in one.items() if endpoint]
    clashes: dict[tuple[str, str], str] = {}
    for index, (key, endpoint) in enumerate(listeners):
        for earlier_key, earlier in listeners[:index]:
            if earlier_key != key and endpoint.port == earlier.port != 0 and _overlap(endpoint.host, earlier.host):
                number = endpoint if key.endswith("listen") else endpoint.port
                clashes[key, earlier_key] = f"{key} = {number}: must differ from {earlier_key}, which uses {earlier}"
    return errors + list(clashes.values())


def _overlap(first: str, second: str) -> bool:
    """Whether a TCP port on both addresses would be the same one; `::` takes IPv4 as well."""
    if "::" in (first, second) or first == second:
        return True
    one, other = ipaddress.ip_address(first), ipaddress.ip_address(second)
    return one.version == other.version and (one.is_unspecified or other.is_unspecified)
