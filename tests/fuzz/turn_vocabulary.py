"""What programs of TURN clients are made of: who there is, attributes, peers, times, and the relays they get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.turnd.turn.core import LOCAL, UDP, Host
from tests.turnd.turn.relay_model import ModelRelay
from tests.turnd.turn.tcp_model import ModelTcpRelay
from tests.turnd.turn.turn_model import Address
from turnd.turn.allocation import Flow
from turnd.turn.limits import Limits
from turnd.turn.nonce import NONCE_SECONDS
from turnd.turn.requests import HANDLERS
from turnd.turn.retransmissions import RETRANSMISSION_SECONDS
from wire.stun import Attribute, Message, Method

LIMITS = Limits(allocations=7, allocations_of_user=5)
PORTS = (40000, 40010)
MAX_STEPS = 64
USERS = (("anna", "pass"), ("ben", "word"))
PEERS = (("8.8.4.4", 5000), ("9.9.9.9", 0), ("2606:4700::1", 5000), ("10.0.0.1", 80), ("::ffff:8.8.4.4", 5000))
TIMES = (0.5, 29.0, 1.5, 41.0, 271.0, 299.0, 301.0, 601.0, 3601.0, 0.0)
UNKNOWN_REQUIRED = 0x7777
OTHER_PUBLIC = "192.88.2.77"
TRAILERS = (Attribute.MESSAGE_INTEGRITY, Attribute.MESSAGE_INTEGRITY_SHA256, Attribute.FINGERPRINT)


def _u32(kind: Attribute, value: int) -> tuple[int, bytes]:
    return kind, value.to_bytes(4, "big")


ATTRIBUTES: tuple[tuple[int, bytes], ...] = (
    UDP,
    _u32(Attribute.REQUESTED_TRANSPORT, 6 << 24),
    _u32(Attribute.REQUESTED_ADDRESS_FAMILY, 1 << 24),
    _u32(Attribute.REQUESTED_ADDRESS_FAMILY, 2 << 24),
    _u32(Attribute.ADDITIONAL_ADDRESS_FAMILY, 2 << 24),
    (Attribute.EVEN_PORT, b"\0"),
    (Attribute.EVEN_PORT, b"\x80"),
    _u32(Attribute.LIFETIME, 0),
    _u32(Attribute.LIFETIME, 700),
    _u32(Attribute.LIFETIME, 0xFFFFFFFF),
    _u32(Attribute.CHANNEL_NUMBER, 0x40000000),
    _u32(Attribute.CHANNEL_NUMBER, 0x40010000),
    _u32(Attribute.CHANNEL_NUMBER, 0x3FFF0000),
    (Attribute.DATA, b"data"),
    (Attribute.DONT_FRAGMENT, b""),
    (UNKNOWN_REQUIRED, b""),
    (Attribute.SOFTWARE, b"me"),
    (Attribute.MOBILITY_TICKET, b""),
)
KINDS = tuple(int(kind) for kind in Attribute)
METHODS = tuple(Method)


class Bytes:
    """What is left of an input."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def some(self) -> bytes:
        """A length and as many bytes."""
        size = self.number()
        self._at += size
        return self._data[self._at - size : self._at]


@dataclass
class Sent:
    """The last signed request of a client, for it to be repeated."""

    flow: Flow
    username: str
    data: bytes
    answer: Message | None
    at: float

    @property
    def is_kept(self) -> bool:
        """Whether the answer is one that the server remembers (RFC 8489 §6.3.1)."""
        return self.answer is not None and self.answer.method in HANDLERS and self.answer.has_integrity

    @property
    def kept_until(self) -> float:
        allocates = self.answer is not None and self.answer.method == Method.ALLOCATE
        return self.at + (NONCE_SECONDS + 1 if allocates else RETRANSMISSION_SECONDS)


@dataclass
class Party:
    """A client: its two 5-tuples and what the last challenge on each of them told."""

    username: str
    password: str
    udp: Flow
    tcp: Flow
    challenges: dict[Flow, Message] = field(default_factory=dict)
    sent: Sent | None = None


def party(number: int) -> Party:
    client = f"203.0.113.{9 + number}", 5000
    return Party(*USERS[number], Flow("udp", client, LOCAL), Flow("tcp", client, LOCAL))


class Connecting(ModelTcpRelay):
    """Knows which of its connections wait for their peer."""

    def __init__(self, ended: Callable[[int], None]) -> None:
        super().__init__(ended)
        self.connecting: set[int] = set()

    def connect(self, number: int, peer: Address) -> None:
        super().connect(number, peer)
        self.connecting.add(number)

    def end(self, number: int) -> None:
        super().end(number)
        self.connecting.discard(number)

    def ended_by_peer(self, number: int) -> None:
        self.end(number)
        self._ended(number)


class Timed(Host):
    """Tells each relay what time it is."""

    now = 0.0

    def open_tcp_relay(self, family: int, port: int) -> Connecting:
        if port in self.busy or self.ended is None:
            raise OSError("in use")
        relay = Connecting(self.ended)
        self.tcp_relays.append(relay)
        return relay

    def open_relay(self, family: int, port: int, announced: str) -> ModelRelay:
        relay = super().open_relay(family, port, announced)
        relay.now = self.now
        return relay


def must(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)
