"""What `turnd check` finds beyond the configuration's own rules, and what it says would be served. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from turnd import certificate
from turnd.addresses import local_addresses
from turnd.certificate import CERTIFICATE_FILE, CertificateError
from turnd.config import Config
from turnd.state import RESUME_KEY_FILE, SECRET_FILE, StateDirectory, StateError


def errors(config: Config) -> list[str]:
    """One line for everything that would keep the daemon from starting."""
    found = []
    state = StateDirectory(config.state_dir)
    http = config.http
    try:
        if http.certificate is not None and http.private_key is not None:
            certificate.check(http.certificate, http.private_key)
        elif state.read(CERTIFICATE_FILE) is not None:
            certificate.check(state.path / CERTIFICATE_FILE, state.path / CERTIFICATE_FILE)
    except (CertificateError, StateError) as error:
        found.append(f"http.certificate, http.private_key: {error}")
    try:
        if not config.turn.secrets and state.read(SECRET_FILE) is not None:
            state.turn_secret()
        if state.read(RESUME_KEY_FILE) is not None:
            state.resume_key()
    except StateError as error:
        found.append(str(error))
    return found


def description(config: Config) -> Iterator[str]:
    """What would be served, one thing a line."""
    http, turn = config.http, config.turn
    listen = ", ".join(turn.listen)
    yield "The configuration is right. `turnd serve` would serve"
    if http.tls_listen:
        yield f"  page, WebSocket and TURN over TLS   {http.tls_listen} (TCP)"
    if http.listen:
        yield f"  page for this machine, redirect     {http.listen} (TCP)"
    yield f"  STUN and TURN                       port {turn.port} (UDP, TCP) on {listen}"
    yield f"  TURN over DTLS and TLS              port {turn.tls_port} (UDP, TCP) on {listen}"
    relayed = "UDP, TCP" if turn.tcp_relay else "UDP"
    yield f"  TURN relay addresses                ports {turn.relay_ports[0]}-{turn.relay_ports[1]} ({relayed})"
    yield f"  all media                           port {config.sfu.port} (UDP)"
    if config.metrics.listen:
        yield f"  metrics and health                  {config.metrics.listen} (TCP)"
    yield f"with the certificate                  {http.certificate or 'made by turnd, self-signed'}"
    yield f"and state in                          {config.state_dir.absolute()}"
    public = ", ".join(config.addresses.public) or "found out while running"
    yield f"Addresses here                        {', '.join(local_addresses().candidates)}"
    yield f"Addresses outside                     {public}"
