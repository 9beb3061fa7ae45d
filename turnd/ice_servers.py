"""The STUN and TURN servers a client is told: this process, by the name under which the client reached it.

URLs: RFC 7064, RFC 7065. Credentials: the TURN REST scheme.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

CREDENTIAL_SECONDS = 6 * 3600
MAX_NAME_CHARACTERS = 64


def uri_host(host: str, fallback: str) -> str:
    """`host` as it stands in a URI: IPv6 in brackets; `fallback` for what is neither name nor address."""
    for candidate in (host, fallback):
        bare = candidate.removeprefix("[").removesuffix("]")
        try:
            address = ipaddress.ip_address(bare)
        except ValueError:
            if re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?", candidate):
                return candidate
        else:
            return f"[{address}]" if address.version == 6 else str(address)
    raise ValueError(f"neither {host!r} nor {fallback!r} can stand in a URI")


def credential_name(name: str) -> str:
    """`name` reduced to what passes unharmed through every client: letters, digits, hyphen, underscore."""
    return re.sub(r"[^A-Za-z0-9_-]", "", name)[:MAX_NAME_CHARACTERS] or "guest"


def turn_urls(host: str, port: int, tls_ports: Sequence[int], *, dtls_port: int | None = None) -> list[str]:
    """TURN URLs for a URI host, the fastest way first, the one that passes most firewalls last.

    DTLS is not for browsers: Chromium and Firefox take its URL for TLS over TCP, once more.
    """
    urls = [f"turn:{host}:{port}?transport={transport}" for transport in ("udp", "tcp")]
    if dtls_port is not None:
        urls.append(f"turns:{host}:{dtls_port}?transport=udp")
    return urls + [f"turns:{host}:{tls_port}?transport=tcp" for tls_port in dict.fromkeys(tls_ports)]


def ice_servers(
    host: str, port: int, tls_ports: Sequence[int], username: str, credential: str
) -> list[dict[str, object]]:
    """As RTCPeerConnection takes them (W3C WebRTC §4.2.4)."""
    return [
        {"urls": [f"stun:{host}:{port}"]},
        {"urls": turn_urls(host, port, tls_ports), "username": username, "credential": credential},
    ]
