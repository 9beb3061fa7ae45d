"""How many answers a source gets before it has proved anything: token buckets in a table of fixed size.

A flood with forged sources meets full buckets, never growing memory. Sources that share a bucket share its tokens; the
hash is keyed by the process, so nobody can choose to share. IPv6 sources count by their /64.
"""

from __future__ import annotations

from ipaddress import IPv6Address

BUCKETS = 4096


class SourceLimiter:
    """At most `burst` answers at once and `rate` a second for each source."""

    def __init__(self, rate: float, burst: float, *, seed: int = 0) -> None:
        self.rate = rate
        self.burst = burst
        self._seed = seed
        self._tokens = [burst] * BUCKETS
        self._filled_at = [0.0] * BUCKETS

    def allow(self, host: str, now: float) -> bool:
        """Takes one token of the source's bucket; False when there is none."""
        source = int(IPv6Address(host)) >> 64 if ":" in host else host
        at = hash((self._seed, source)) % BUCKETS
        tokens = min(self.burst, self._tokens[at] + max(0.0, now - self._filled_at[at]) * self.rate)
        self._filled_at[at] = now
        if tokens < 1:
            self._tokens[at] = tokens
            return False
        self._tokens[at] = tokens - 1
        return True
