"""The permissions of one allocation (RFC 8656 §9): addresses of peers, 300 s each, refreshed by the client.

The compiled path enforces expiry by the clock; this is what decides and what is bounded.
"""

from __future__ import annotations

from turnd.turn.peer_policy import family_of

PERMISSION_SECONDS = 300.0
MAX_PERMISSIONS = 256  # with MAX_CHANNELS no more than the packet path holds, MAX_RELAY_PEERS


class Permissions:
    """Until when each peer address is permitted."""

    def __init__(self) -> None:
        self._expires_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._expires_at)

    def live(self, host: str, now: float) -> bool:
        """Whether data may pass to and from `host`."""
        return self._expires_at.get(host, 0.0) > now

    def room_for(self, hosts: set[str], now: float, bound: int = MAX_PERMISSIONS) -> bool:
        """Whether all of `hosts` can be installed; forgets expired ones when that is needed to tell."""
        held = self._expires_at
        if len(held.keys() | hosts) > bound:
            self._expires_at = held = {host: end for host, end in held.items() if end > now}
        return hosts <= held.keys() or len(held.keys() | hosts) <= bound

    def living(self, now: float) -> list[tuple[str, float]]:
        """The addresses that are permitted, and until when."""
        return [(host, end) for host, end in self._expires_at.items() if end > now]

    def revoke(self, host: str) -> None:
        """Takes a permission back before its time."""
        del self._expires_at[host]

    def install(self, host: str, now: float) -> float:
        """Installs or refreshes; returns when it expires."""
        expires_at = self._expires_at[host] = now + PERMISSION_SECONDS
        return expires_at

    def forget_family(self, family: int) -> None:
        """Forgets the addresses of one family, 4 or 6: the relayed address they were for is gone."""
        self._expires_at = {host: end for host, end in self._expires_at.items() if family_of(host) != family}
