"""TCP listeners with errors that name the configuration key."""

from __future__ import annotations

import errno
import socket

from turnd.config_values import Endpoint

BACKLOG = 512


class PortError(Exception):
    """A port cannot be opened; the text has the key, the value and why."""


def why(error: OSError) -> str:
    """The reason of a failed bind, with what helps."""
    hints = {
        errno.EADDRINUSE: "another process has it",
        errno.EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE",
        errno.EADDRNOTAVAIL: "this machine has no such address",
    }
    hint = hints.get(error.errno or 0)
    text = error.strerror or str(error)
    return f"{text}: {hint}" if hint else text


def tcp_listener(key: str, endpoint: Endpoint) -> socket.socket:
    """A listening socket; on `::` it takes IPv4 as well. PortError."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(endpoint.host != "::"))
        listener.bind((endpoint.host, endpoint.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PortError(f"{key} = {endpoint}: {why(error)}") from None
    return listener
