"""Network namespaces joined by veth pairs and bridges: a home, its box, and visitors, on one machine.

Everything is made by a `Network` and goes with it. Traffic stays inside. Root is needed.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def run(*command: str, stdin: str | None = None) -> str:
    """Runs a command to its end and returns what it printed; its error output is the exception's message."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread is in the namespace within the block; sockets made there stay there."""
    with Path("/proc/self/ns/net").open() as here, Path(f"/run/netns/{namespace}").open() as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            if libc.setns(here.fileno(), CLONE_NEWNET):
                os._exit(70)  # a thread left in the wrong namespace would spoil every later test


class Host:
    """One namespace. Commands run in it with `command(...)` in front; `socket_factory` makes sockets of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        run("ip", "netns", "add", name)
        # IPv6 addresses are good at once: one that turns good a second later is a changed network, for which Chromium
        # breaks off what it loads.
        self.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0")
        self.ip("link", "set", "lo", "up")

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs `arguments` in this namespace."""
        return ["ip", "netns", "exec", self.name, *arguments]

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs a command here."""
        return run(*self.command(*arguments), stdin=stdin)

    def ip(self, *arguments: str) -> str:
        """Runs ip(8) for this namespace."""
        return run("ip", "-netns", self.name, *arguments)

    def nft(self, rules: str) -> None:
        """Loads nftables rules (added to those there)."""
        self.run("nft", "-f", "-", stdin=rules)

    def socket_factory(self, info: tuple[object, ...]) -> socket.socket:
        """For aiohttp.TCPConnector: a TCP socket that lives in this namespace."""
        family, kind, protocol = info[0], info[1], info[2]
        with inside(self.name):
            made = socket.socket(family, kind, protocol)  # type: ignore[arg-type]
        made.setblocking(False)
        return made

    def know(self, names: dict[str, str]) -> None:
        """Programs started here from now on resolve these names and no others: name to address.

        Chromium's WebRTC asks for a name with a dot at its end, which is another name in /etc/hosts.
        """
        path = Path("/etc/netns", self.name)
        path.mkdir(parents=True, exist_ok=True)
        (path / "hosts").write_text("".join(f"{address} {name} {name}.\n" for name, address in names.items()))
        (path / "resolv.conf").write_text("nameserver 127.0.0.1\n")  # where nobody answers: refused at once

    def wrapper(self, path: Path, program: str, environment: dict[str, str] | None = None) -> Path:
        """Writes an executable that starts `program` in this namespace with its own arguments."""
        words = " ".join(f"{name}={value}" for name, value in (environment or {}).items())
        path.write_text(f'#!/bin/sh\nexec env {words} ip netns exec {self.name} {program} "$@"\n')
        path.chmod(0o755)
        return path


class Switch:
    """The bridge of a LAN: what it sends to one member can be slowed down or lost."""

    def __init__(self, host: Host, links: dict[Host, tuple[str, str]]) -> None:
        self._host = host
        self._ports = {member: port for member, (port, _) in links.items()}
        self.interfaces = {member: interface for member, (_, interface) in links.items()}

    def squeeze(self, member: Host, rate: str, queue: str) -> None:
        """A bottleneck towards a member: a token bucket with a queue that holds so much time (tc-tbf(8))."""
        port = self._ports[member]
        self._host.run(*f"tc qdisc replace dev {port} root tbf rate {rate} burst 4kb latency {queue}".split())

    def free(self, member: Host) -> None:
        """Takes the bottleneck away."""
        self._host.run("tc", "qdisc", "delete", "dev", self._ports[member], "root")

    def lose(self, member: Host, verdict: str | None) -> None:
        """What happens to UDP packets towards a member, an nftables statement such as `drop`; None: nothing more."""
        port = self._ports[member]
        rules = f"table bridge {port}\ndelete table bridge {port}\n"
        if verdict:
            hook = "type filter hook forward priority 0; policy accept;"
            rule = f"oifname {port} meta l4proto udp {verdict}"
            rules += f"table bridge {port} {{\n chain forward {{\n {hook}\n {rule}\n }}\n}}\n"
        self._host.nft(rules)


class Network:
    """Makes hosts and joins them; `close` takes all of it down."""

    def __init__(self) -> None:
        self._tag = secrets.token_hex(2)
        self._hosts: list[Host] = []
        self._links = 0

    def host(self, name: str) -> Host:
        """A new namespace, its name made unique for this network."""
        made = Host(f"t{self._tag}-{name}")
        self._hosts.append(made)
        return made

    def link(self, left: Host, left_address: str, right: Host, right_address: str) -> tuple[str, str]:
        """A veth pair between two hosts, each end with an address in CIDR form ("" for none); the interface names."""
        self._links += 1
        names = (f"v{self._links}a", f"v{self._links}b")
        left.ip("link", "add", names[0], "type", "veth", "peer", "name", names[1], "netns", right.name)
        for host, name, address in ((left, names[0], left_address), (right, names[1], right_address)):
            if address:
                host.ip("address", "add", address, "dev", name)
            host.ip("link", "set", name, "up")
        return names

    def lan(self, switch: Host, members: dict[Host, str]) -> Switch:
        """A bridge in `switch`, each member with its address in CIDR form."""
        switch.ip("link", "add", "br0", "type", "bridge")
        switch.ip("link", "set", "br0", "up")
        links = {}
        for member, address in members.items():
            links[member] = self.link(switch, "", member, address)
            switch.ip("link", "set", links[member][0], "master", "br0")
        return Switch(switch, links)

    def close(self) -> None:
        """Removes every namespace, and with it what was in it."""
        for host in self._hosts:
            subprocess.run(["ip", "netns", "pids", host.name], capture_output=True, check=False)
            subprocess.run(["ip", "netns", "delete", host.name], capture_output=True, check=False)
            shutil.rmtree(Path("/etc/netns", host.name), ignore_errors=True)
        self._hosts.clear()
