"""The command line: `turnd serve | check | credentials | key | --version`.

Exit codes: 0, 1 cannot run, 2 wrong configuration.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from turnd import __version__
from turnd.config import Config, ConfigError, load

DEFAULT_TTL_SECONDS = 6 * 3600
MAX_TTL_SECONDS = 366 * 86400
ASK_ROUTER_SECONDS = 2.0
EXIT_CANNOT_RUN = 1
EXIT_CONFIGURATION = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = load(options.config)
    except ConfigError as error:
        _complain(error.errors)
        return EXIT_CONFIGURATION
    return int(options.run(options, config))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="turnd", description="A self-hosted video conference in one process.")
    parser.add_argument("--version", action="version", version=f"turnd {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="TOML file; without it every key has its default")
    commands = parser.add_subparsers(required=True, metavar="serve | check | credentials | key")
    serve = commands.add_parser("serve", parents=[common], help="run")
    serve.set_defaults(run=_serve)
    check = commands.add_parser("check", parents=[common], help="validate the configuration, say what would be served")
    check.set_defaults(run=_check)
    credentials = commands.add_parser("credentials", parents=[common], help="print TURN credentials as JSON")
    credentials.add_argument("--name", default="guest", help="whom they are for, part of the user name")
    credentials.add_argument(
        "--ttl", type=_ttl, default=DEFAULT_TTL_SECONDS, metavar="S", help="seconds they are valid"
    )
    credentials.set_defaults(run=_credentials)
    key = commands.add_parser("key", parents=[common], help="print the line of a TURN user, with keys for a password")
    key.add_argument("name", metavar="NAME", help="the user's name; the password is read from standard input")
    key.set_defaults(run=_key)
    return parser


def _ttl(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_TTL_SECONDS:
        raise argparse.ArgumentTypeError(f"must be a whole number of seconds from 1 to {MAX_TTL_SECONDS}")
    return int(text)


def _serve(options: argparse.Namespace, config: Config) -> int:
    from turnd import logs

    logs.configure(config.log.format, config.log.level)
    from turnd import daemon
    from turnd.service_notify import ServiceNotifier

    by_hand = config.log.format != "json" and "JOURNAL_STREAM" not in os.environ
    return daemon.main(config, options.config, ServiceNotifier(os.environ), _say if by_hand else lambda _line: None)


def _check(_options: argparse.Namespace, config: Config) -> int:
    from turnd import checking

    errors = checking.errors(config)
    if errors:
        _complain(errors)
        return EXIT_CONFIGURATION
    for line in checking.description(config):
        _say(line)
    return 0


def _credentials(options: argparse.Namespace, config: Config) -> int:
    from turnd.ice_servers import credential_name, turn_urls, uri_host
    from turnd.state import StateDirectory, StateError
    from turnd.turn.credentials import rest_credentials

    try:
        secret = config.turn.secrets[0] if config.turn.secrets else StateDirectory(config.state_dir).turn_secret()
    except StateError as error:
        _complain([str(error)])
        return EXIT_CANNOT_RUN
    turn = config.turn
    told = [config.http.public_host] if config.http.public_host else list(config.addresses.public[:1])
    hosts = told or _hosts_here(turn.listen)
    tls_ports = [turn.tls_port]
    if config.http.tls_listen and config.http.tls_listen.port:
        tls_ports.append(config.http.tls_listen.port)
    name = credential_name(options.name)
    username, credential = rest_credentials(secret, name, options.ttl, time.time())
    result = {
        "urls": [
            url
            for host in hosts
            for url in turn_urls(uri_host(host, host), turn.port, tls_ports, dtls_port=turn.tls_port)
        ],
        "username": username,
        "credential": credential,
        "realm": turn.realm,
        "ttl": options.ttl,
    }
    _say(json.dumps(result))
    return 0


def _hosts_here(listen: Sequence[str]) -> list[str]:
    """The outside address, when the router tells it, and the best one here: who is in the LAN needs no hairpin NAT.

    Those here are the addresses in `listen`, where no wildcard is among them.
    """
    from turnd.addresses import local_addresses
    from turnd.outside_address import RouterError
    from turnd.router import ask_router

    async def ask(gateway: str) -> str:
        async with asyncio.timeout(ASK_ROUTER_SECONDS):
            return await ask_router(asyncio.get_running_loop(), gateway)

    local = local_addresses()
    everywhere = any(ip_address(host).is_unspecified for host in listen)
    hosts = [local.candidates[0]] if everywhere else list(listen)
    if local.gateway and not all(ip_address(host).is_loopback for host in hosts):
        with contextlib.suppress(RouterError, TimeoutError):
            outside = asyncio.run(ask(local.gateway))
            hosts = list(dict.fromkeys((outside, *hosts))) if outside not in local.every else [outside]
    return hosts


def _key(options: argparse.Namespace, config: Config) -> int:
    from turnd.config_values import RefusedError, user_name
    from turnd.turn.credentials import stored_keys

    try:
        name = user_name(options.name)
    except RefusedError as refused:
        _complain([str(refused)])
        return EXIT_CONFIGURATION
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not password:
        _complain(["standard input: must be a password, one line that is not empty"])
        return EXIT_CONFIGURATION
    keys = stored_keys(name, config.turn.realm, password)
    bare = re.fullmatch("[A-Za-z0-9_-]+", name)
    quoted = name if bare else f"'{name}'" if '"' in name else json.dumps(name, ensure_ascii=False)
    _say(
        f"# below [turn.users]; good for this name and turn.realm = {json.dumps(config.turn.realm, ensure_ascii=False)}"
    )
    _say(f'{quoted} = {{ md5 = "{keys.md5.hex()}", sha256 = "{keys.sha256.hex()}" }}')
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _complain(errors: Sequence[str]) -> None:
    for line in errors:
        sys.stderr.write(f"turnd: {line}\n")
