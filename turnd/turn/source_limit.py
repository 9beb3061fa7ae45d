"""What one source may take: answers before it has proved anything, and connections. IPv6 sources count by their /64.

Answers come from token buckets in a table of fixed size: a flood with forged sources meets full buckets, never growing
memory. Sources that share a bucket share its tokens; the hash is keyed by the process, so nobody can choose to share.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address, ip_address

from turnd.turn.peer_policy import canonical

BUCKETS = 4096


def source_of(host: str) -> str | int:
    """What counts as one source: an IPv4 address, or the /64 of an IPv6 one."""
    return int(IPv6Address(host)) >> 64 if ":" in host else host


class SourceCounter:
    """How many connections each source has now; it keeps nothing of a source that has none.

    This machine itself has no bound: a reverse proxy on it speaks for many.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._counts: Counter[str | int] = Counter()

    def __len__(self) -> int:
        """How many sources there are."""
        return len(self._counts)

    def enter(self, host: str, *, force: bool = False) -> bool:
        """Counts one more of an address as the system tells it, with `force` in any case; False: there are too many."""
        source = _source(host)
        if not force and source and self._counts[source] >= self._bound:
            return False
        self._counts[source] += 1
        return True

    def leave(self, host: str) -> None:
        """One that was counted is gone."""
        source = _source(host)
        self._counts[source] -= 1
        if not self._counts[source]:
            del self._counts[source]


def _source(host: str) -> str | int:
    """Empty for this machine, and for what has no address any more."""
    try:
        host = canonical(host)
    except ValueError:
        return ""
    return "" if ip_address(host).is_loopback else source_of(host)


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
        at = hash((self._seed, source_of(host))) % BUCKETS
        tokens = min(self.burst, self._tokens[at] + max(0.0, now - self._filled_at[at]) * self.rate)
        self._filled_at[at] = now
        if tokens < 1:
            self._tokens[at] = tokens
            return False
        self._tokens[at] = tokens - 1
        return True
