"""The channels of one allocation (RFC 8656 §12): number and peer bound to each other for 600 s."""

from __future__ import annotations

from enum import Enum

from turnd.turn.peer_policy import family_of

Address = tuple[str, int]

CHANNEL_SECONDS = 600.0
MAX_CHANNELS = 128
RFC5766_MAX_CHANNEL = 0x7FFF  # the range that clients of RFC 5766 draw from, Debian's turnutils among them


class Binding(Enum):
    """Whether a channel can be bound."""

    POSSIBLE = 0
    CONFLICT = 1
    FULL = 2


class Channels:
    """Which number stands for which peer, and until when."""

    def __init__(self) -> None:
        self._channels: dict[int, tuple[Address, float]] = {}
        self._numbers: dict[Address, int] = {}

    def __len__(self) -> int:
        return len(self._channels)

    def peer(self, number: int, now: float) -> Address | None:
        """The peer a live channel stands for."""
        address, expires_at = self._channels.get(number, (None, 0.0))
        return address if expires_at > now else None

    def check(self, number: int, address: Address, now: float, bound: int = MAX_CHANNELS) -> Binding:
        """Whether `number` may be bound to `address`; forgets what expired and stands in the way."""
        for held in (number, self._numbers.get(address)):
            if held is not None and held in self._channels and self.peer(held, now) is None:
                self._forget(held)
        if self._numbers.get(address, number) != number or self._channels.get(number, (address,))[0] != address:
            return Binding.CONFLICT
        if number not in self._channels and len(self._channels) >= bound:
            for held in [each for each, (_, expires_at) in self._channels.items() if expires_at <= now]:
                self._forget(held)
            if len(self._channels) >= bound:
                return Binding.FULL
        return Binding.POSSIBLE

    def bind(self, number: int, address: Address, now: float) -> float:
        """Binds or refreshes after `check`; returns when it expires."""
        expires_at = now + CHANNEL_SECONDS
        self._channels[number] = (address, expires_at)
        self._numbers[address] = number
        return expires_at

    def forget_family(self, family: int) -> None:
        """Unbinds the peers of one family, 4 or 6: the relayed address they were for is gone."""
        for number, ((host, _), _) in list(self._channels.items()):
            if family_of(host) == family:
                self._forget(number)

    def _forget(self, number: int) -> None:
        address, _ = self._channels.pop(number)
        del self._numbers[address]
