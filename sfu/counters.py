"""Plain-integer counts of the media server's control side, read at scrape; the packet path keeps its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from wire.measure import Histogram

CONNECT_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

JITTER_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25)
ESTIMATE_BOUNDS = (12_500, 25_000, 37_500, 62_500, 125_000, 250_000, 375_000, 625_000, 1_250_000, 2_500_000)
FIRST_FRAME_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
RTT_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


@dataclass(slots=True)
class Counters:
    """One for the process; every connection counts into it."""

    ice_connections: Counter[str] = field(default_factory=Counter)  # by result
    ice_restarts: Counter[str] = field(default_factory=Counter)
    ice_messages: Counter[str] = field(default_factory=Counter)  # by outcome
    dtls_handshakes: Counter[str] = field(default_factory=Counter)
    dtls_rested: int = 0  # OpenSSL's state of as many was freed, for they have keys and need no more
    rtcp_in: Counter[str] = field(default_factory=Counter)  # by type
    rtcp_out: Counter[str] = field(default_factory=Counter)
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)  # (direction, kind)
    layer_switches: Counter[str] = field(default_factory=Counter)  # "up", "down"
    unbound_ssrcs: int = 0
    jitter_seconds: Histogram = field(default_factory=lambda: Histogram(JITTER_BOUNDS))  # as subscribers report it
    rtt_seconds: Histogram = field(default_factory=lambda: Histogram(RTT_BOUNDS))
    probes: Counter[str] = field(default_factory=Counter)  # by result
    # Once a second a receiver.
    estimate_bytes_per_second: Histogram = field(default_factory=lambda: Histogram(ESTIMATE_BOUNDS))
    ice_connect_seconds: Histogram = field(default_factory=lambda: Histogram(CONNECT_BOUNDS))
    dtls_handshake_seconds: Histogram = field(default_factory=lambda: Histogram(CONNECT_BOUNDS))
    first_frame_seconds: Histogram = field(default_factory=lambda: Histogram(FIRST_FRAME_BOUNDS))
