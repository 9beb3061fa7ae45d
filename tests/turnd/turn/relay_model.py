"""The relay path in plain Python: what `turnd.turn.relay` must do, byte for byte. Also the core tests' relay."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from ipaddress import ip_address

from wire import stun
from wire.stun import Attribute, MessageClass, Method

Address = tuple[str, int]


@dataclass
class ModelPath:
    """Ports of ours that are open, and totals."""

    open_ports: set[tuple[int, int]] = field(default_factory=set)
    counters: Counter[str] = field(default_factory=Counter)

    def is_open(self, address: Address) -> bool:
        return (6 if ":" in address[0] else 4, address[1]) in self.open_ports


@dataclass(eq=False)
class ModelRelay:
    """One relay; `clock` is what the packet path reads by itself."""

    path: ModelPath
    now: float = 0.0
    stream: bool = False
    paused: bool = False
    closed: bool = False
    clientless: bool = False
    permissions: dict[str, tuple[float, bool]] = field(default_factory=dict)
    channels: dict[int, tuple[Address, float]] = field(default_factory=dict)
    sent: list[tuple[Address, bytes]] = field(default_factory=list)
    other: ModelRelay | None = None
    bytes_per_second: int = 0
    left: Counter[str] = field(default_factory=Counter)  # bytes that may pass, by direction; the clock does not fill it

    def pair(self, first: ModelRelay) -> None:
        assert self.other is None
        assert first.other is None
        self.other, first.other = first, self

    def leave(self) -> None:
        assert not self.closed
        self.clientless = True

    def limit(self, bytes_per_second: int) -> None:
        self.bytes_per_second = bytes_per_second
        self.left = Counter(to_peer=bytes_per_second, to_client=bytes_per_second)

    def permit(self, host: str, expires_at: float, restricted: bool) -> None:
        self.permissions[str(ip_address(host))] = expires_at, restricted

    def bind_channel(self, channel: int, address: Address, expires_at: float) -> None:
        self.channels = {number: each for number, each in self.channels.items() if each[0] != address}
        self.channels[channel] = address, expires_at
        if self.other is not None:
            self.other.channels.pop(channel, None)

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        if self.other is not None:
            self.other.other = None

    def _drop(self, reason: str) -> None:
        self.path.counters[f"dropped_{reason}"] += 1

    def _permitted(self, peer: Address, missing: str) -> bool:
        expires_at, restricted = self.permissions.get(peer[0], (0.0, False))
        if expires_at <= self.now:
            self._drop(missing)
            return False
        if restricted and not self.path.is_open(peer):
            self._drop("denied")
            return False
        return True

    def _pass(self, direction: str, size: int) -> bool:
        """Counts a datagram that may go on, or its drop."""
        if self.bytes_per_second:
            if self.left[direction] < size:
                self._drop("allocation_bandwidth")
                self.path.counters["dropped_bytes_allocation_bandwidth"] += size
                return False
            self.left[direction] -= size
        self.path.counters[f"packets_{direction}"] += 1
        self.path.counters[f"bytes_{direction}"] += size
        return True

    def _to_peer(self, address: Address, data: bytes) -> None:
        if self._permitted(address, "no_permission") and self._pass("to_peer", len(data)):
            self.sent.append((address, data))

    def send(self, address: Address, data: bytes, dont_fragment: bool = False) -> None:
        self._to_peer(address, data)

    def forward(self, messages: list[bytes]) -> None:
        for message in messages:
            self._forward(message)

    def _forward(self, message: bytes) -> None:
        if len(message) < 4 or int.from_bytes(message[2:4], "big") > len(message) - 4:
            self._drop("malformed")
            return
        number = int.from_bytes(message[:2], "big")
        relay = self.other if self.other is not None and number not in self.channels else self
        address, expires_at = relay.channels.get(number, (None, 0.0))
        if address is None or expires_at <= self.now:
            self._drop("no_channel")
        else:
            relay._to_peer(address, message[4 : 4 + int.from_bytes(message[2:4], "big")])

    def from_peer(self, peer: Address, data: bytes) -> bool:
        """Whether a peer's datagram goes on to the client."""
        if not self._permitted(peer, "peer_no_permission"):
            return False
        if self.paused:
            self._drop("stream_full")
            return False
        return self._pass("to_client", len(data))

    def wrap(self, peer: Address, data: bytes, transaction_id: bytes) -> bytes:
        """What the client gets; `transaction_id` is used when that is a Data indication."""
        for number, (address, expires_at) in self.channels.items():
            if address == peer and expires_at > self.now:
                padding = bytes(-len(data) % 4) if self.stream else b""
                return number.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data + padding
        peer_value = stun.encode_xor_address(peer, transaction_id)
        return stun.encode(
            Method.DATA,
            MessageClass.INDICATION,
            transaction_id,
            [(Attribute.XOR_PEER_ADDRESS, peer_value), (Attribute.DATA, data)],
        )
