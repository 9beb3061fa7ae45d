"""Whether the daemon gives back what it takes: many allocations made, used and dropped, and its memory in between.

Each does what a call does: 401, Allocate, ChannelBind or CreatePermission, a datagram each way, then Refresh 0 or the
end of the stream. Over UDP, TCP and TLS, some with a second family, some with a port reserved and never taken.

    .venv/bin/python -m benchmarks.turn_leak [--allocations 100000] [--json FILE]
"""

from __future__ import annotations

import argparse
import secrets
import socket
import ssl
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import repeat
from pathlib import Path

from benchmarks.process import Server, alone, pin_load, print_table, save
from benchmarks.turn_servers import HOST, PASSWORD, PORTS, REALM, USERS, start_turnd
from wire import stun
from wire.stun import Attribute, Method

SAMPLES = 10
AT_ONCE = 8
SOURCES = 5000
CHANNEL = 0x4000
SECONDS = 10.0  # for what must come
RESEND_SECONDS, MAX_SENT = 0.5, 7
RESERVATION_SECONDS = 30
UDP = Attribute.REQUESTED_TRANSPORT, stun.encode_transport(17)
ADDITIONAL = Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6)
RESERVING = Attribute.EVEN_PORT, b"\x80"
KINDS = (
    ("udp", True, (UDP,)),
    ("udp", False, (UDP, ADDITIONAL)),
    ("tcp", True, (UDP,)),
    ("udp", True, (UDP,)),
    ("tcp", False, (UDP,)),
)  # (transport, whether a channel is bound, what Allocate asks for)
TLS_EVERY, RESERVING_EVERY = 20, 101  # the latter so that each user has some


class Client:
    """One allocation, from the challenge on."""

    def __init__(self, serial: int, transport: str, tls: ssl.SSLContext) -> None:
        """From an address of its own among some thousand: challenges to one address are limited."""
        source, user = (f"127.1.{serial % SOURCES // 250}.{serial % 250 + 1}", 0), USERS[serial % len(USERS)]
        self._transport, self._stream, self.unanswered = transport, transport != "udp", 0
        self._user, self._key = user, stun.long_term_key(user, REALM, PASSWORD)
        port = PORTS["turnd"] + (transport == "tls")
        if self._stream:
            plain = socket.create_connection((HOST, port), SECONDS, source)
            self._socket = plain if transport == "tcp" else tls.wrap_socket(plain)
        else:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.bind(source)
            self._socket.connect((HOST, port))
        self._socket.settimeout(SECONDS)
        self._proof: list[tuple[int, bytes]] = []

    def request(self, method: int, attributes: Sequence[tuple[int, bytes]]) -> stun.Message:
        """The success answer; the challenge of the first request is taken up. RuntimeError for another error."""
        for _ in range(2):
            key = self._key if self._proof else None
            answer = self._answer(stun.encode(method, 0, secrets.token_bytes(12), [*attributes, *self._proof], key=key))
            if answer.message_class == stun.MessageClass.SUCCESS:
                return answer
            error = stun.decode_error(answer.get(Attribute.ERROR_CODE) or b"")[0]
            if error != 401:
                raise RuntimeError(f"{Method(method).name} was refused: {error}")
            self._proof = [
                (Attribute.USERNAME, self._user.encode()),
                (Attribute.REALM, REALM.encode()),
                (Attribute.NONCE, answer.get(Attribute.NONCE) or b""),
            ]
        raise RuntimeError("the credentials were refused")

    def _answer(self, request: bytes) -> stun.Message:
        """Of a server that may not hear a datagram, asked again as RFC 8489 §6.2.1 says; TimeoutError."""
        self._socket.settimeout(SECONDS if self._stream else RESEND_SECONDS)
        for _ in range(1 if self._stream else MAX_SENT):
            self.send(request)
            with suppress(TimeoutError):
                return stun.parse(self.receive())
            self.unanswered += 1
        raise TimeoutError(f"no answer over {self._transport}")

    def send(self, data: bytes) -> None:
        """One message."""
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """One message; nothing is on its way behind it."""
        return self._socket.recv(4096)

    def close(self, *, refresh: bool) -> None:
        """Gives the allocation back, or leaves that to the end of the stream."""
        if refresh:
            self.request(Method.REFRESH, [(Attribute.LIFETIME, stun.encode_lifetime(0))])
        self._socket.close()


def live(serial: int, peer: socket.socket, tls: ssl.SSLContext) -> None:
    """One allocation from its beginning to its end."""
    transport, channel, wanted = KINDS[serial % len(KINDS)]
    if serial % TLS_EVERY == 2:
        transport = "tls"
    if serial % RESERVING_EVERY == 0:
        wanted = UDP, RESERVING
    client = Client(serial, transport, tls)
    allocated = client.request(Method.ALLOCATE, wanted)
    value = allocated.get(Attribute.XOR_RELAYED_ADDRESS) or b""
    _, port = stun.decode_xor_address(value, allocated.transaction_id)
    payload = serial.to_bytes(4, "big")
    address = Attribute.XOR_PEER_ADDRESS, stun.encode_xor_address(peer.getsockname(), bytes(12))
    if channel:
        client.request(Method.CHANNEL_BIND, [(Attribute.CHANNEL_NUMBER, stun.encode_channel(CHANNEL)), address])
        client.send(CHANNEL.to_bytes(2, "big") + len(payload).to_bytes(2, "big") + payload)
    else:
        client.request(Method.CREATE_PERMISSION, [address])
        client.send(stun.encode(Method.SEND, 1, bytes(12), [address, (Attribute.DATA, payload)]))
    if peer.recvfrom(64) != (payload, (HOST, port)):
        raise RuntimeError("the peer got something else")
    peer.sendto(payload, (HOST, port))
    if payload not in client.receive():
        raise RuntimeError("the client got something else")
    client.close(refresh=transport == "udp" or serial % 2 == 0)


def lives(serials: Iterable[int], tls: ssl.SSLContext) -> None:
    """Some of them, one after the other, with a peer of their own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((HOST, 0))
        peer.settimeout(SECONDS)
        for serial in serials:
            live(serial, peer, tls)


def sample(server: Server, made: int, began_at: float) -> dict[str, float]:
    """What the daemon holds now."""
    folder = Path(f"/proc/{server.process.pid}/fd")
    links = []
    for entry in folder.iterdir():
        with suppress(FileNotFoundError):  # closed at this moment
            links.append(entry.readlink().name)
    return {
        "allocations": made,
        "resident_kb": server.memory_bytes() // 1024,
        "descriptors": len(links),
        "sockets": sum(name.startswith("socket:") for name in links),
        "seconds": round(time.monotonic() - began_at, 1),
    }


def run(server: Server, allocations: int) -> list[dict[str, float]]:
    """Makes and drops them, and looks SAMPLES times; at the end reservations have had their time."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    began_at = time.monotonic()
    samples = [sample(server, 0, began_at)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for part in range(SAMPLES):
            first, last = (allocations * each // SAMPLES for each in (part, part + 1))
            shares = [range(first + turn, last, AT_ONCE) for turn in range(AT_ONCE)]
            list(pool.map(lives, shares, repeat(tls)))
            samples.append(sample(server, last, began_at))
    time.sleep(RESERVATION_SECONDS + 1)
    return [*samples, sample(server, allocations, began_at)]


def main() -> None:
    """Runs it and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--allocations", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pin_load()
    with alone(), tempfile.TemporaryDirectory() as folder:
        server = start_turnd(Path(folder))
        try:
            samples = run(server, arguments.allocations)
        finally:
            server.stop()
    columns = list(samples[0])
    print_table(
        columns,
        [[f"{each[name]:g}" if name == "seconds" else f"{each[name]:.0f}" for name in columns] for each in samples],
    )
    save(arguments.json, samples)


if __name__ == "__main__":
    main()
