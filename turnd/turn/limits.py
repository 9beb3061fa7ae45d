"""What one TURN server gives at most: to everybody, to one user, in one allocation, to a source that proved nothing."""

from __future__ import annotations

from typing import NamedTuple

from turnd.turn.channel import MAX_CHANNELS
from turnd.turn.permission import MAX_PERMISSIONS
from wire.stun import MAX_CHANNEL

MAX_ALLOCATIONS = 2000
MAX_ALLOCATIONS_OF_USER = 40
ALLOCATION_BPS = 20_000_000
TOTAL_BPS = 400_000_000
UNAUTHENTICATED_RATE = 50.0
UNAUTHENTICATED_BURST = 200.0


class Limits(NamedTuple):
    """Can be replaced while running; what is over a new bound already stays until it ends."""

    allocations: int = MAX_ALLOCATIONS
    """Relayed addresses in all, each a port."""
    allocations_of_user: int = MAX_ALLOCATIONS_OF_USER
    """The same of one user name."""
    permissions: int = MAX_PERMISSIONS
    """Of one allocation."""
    channels: int = MAX_CHANNELS
    """Of one allocation."""
    last_channel: int = MAX_CHANNEL
    """The highest channel number that can be bound."""
    allocation_bps: int = ALLOCATION_BPS
    """Bits per second that an allocation may relay in each direction; 0: unlimited."""
    total_bps: int = TOTAL_BPS
    """The same of all together, of UDP and TCP each."""
    unauthenticated_rate: float = UNAUTHENTICATED_RATE
    """Answers a second to one source that has proved nothing."""
    unauthenticated_burst: float = UNAUTHENTICATED_BURST
    """The same at once."""


DEFAULT_LIMITS = Limits()
