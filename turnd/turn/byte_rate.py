"""How many bytes a second streams may carry (RFC 8656 §5): nothing is dropped, who reads waits. Counts them, too."""

from __future__ import annotations

from typing import NamedTuple


class ByteRate:
    """A token bucket, one second's worth deep, that a read may overdraw. `whole` is the bucket of all, and pays too."""

    def __init__(self, whole: ByteRate | None = None) -> None:
        self.relayed_bytes = 0
        self._whole = whole
        self._rate = 0  # unlimited
        self._left = 0.0
        self._filled_at = 0.0

    def limit(self, bytes_per_second: int) -> None:
        """The rate from now on; 0: unlimited."""
        self._rate = bytes_per_second
        self._left = float(bytes_per_second)

    def spend(self, number: int, now: float) -> float:
        """Takes `number` bytes that have been read; how many seconds to wait before the next read."""
        self.relayed_bytes += number
        wait = 0.0 if self._whole is None else self._whole.spend(number, now)
        if self._rate:
            filled = self._left + max(0.0, now - self._filled_at) * self._rate
            self._left = min(float(self._rate), filled) - number
            self._filled_at = now
            wait = max(wait, -self._left / self._rate)
        return wait


class Directions(NamedTuple):
    """Both directions of an allocation, or of all."""

    to_peer: ByteRate
    to_client: ByteRate

    @classmethod
    def of(cls, whole: Directions | None = None) -> Directions:
        """New ones, within `whole`."""
        return cls(*map(ByteRate, whole)) if whole is not None else cls(ByteRate(), ByteRate())

    def limit(self, bytes_per_second: int) -> None:
        """What each direction may carry; 0: unlimited."""
        for rate in self:
            rate.limit(bytes_per_second)
