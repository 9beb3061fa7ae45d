"""What the core and the relay paths have counted, and hold, as measures for the exporter: read at scrape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from turnd.turn.relay import BANDWIDTH_REASONS, DROP_REASONS, RelayPath
from wire.measure import Measure

if TYPE_CHECKING:
    from turnd.turn.byte_rate import Directions
    from turnd.turn.server import TurnServer


def measures_of(core: TurnServer) -> Iterator[Measure]:
    """All that a `TurnServer` counts."""
    allocations = core.registry.allocations.values()
    for (transport, result), value in core.requests.items():
        yield Measure("stun_requests_total", {"transport": transport, "result": result}, value)
    for (transport, family), value in core.count_allocations().items():
        yield Measure("turn_allocations", {"transport": transport, "family": family}, value)
    for result, value in core.allocation_results.items():
        yield Measure("turn_allocations_total", {"result": result}, value)
    yield Measure("turn_allocation_seconds", {}, core.registry.lifetimes)
    yield Measure("turn_permissions", {}, sum(len(each.permissions) for each in allocations))
    yield Measure("turn_channels", {}, sum(len(each.channels) for each in allocations))
    for result, value in core.registry.mobility.results.items():
        yield Measure("turn_mobility_moves_total", {"result": result}, value)
    for reason, value in core.auth_failures.items():
        yield Measure("turn_auth_failures_total", {"reason": reason}, value)
    for reason, value in core.denied_peers.items():
        yield Measure("turn_denied_peers_total", {"reason": reason}, value)
    yield Measure("turn_tcp_allocations", {}, sum(each.is_tcp for each in allocations))
    for state, value in core.tcp.count().items():
        yield Measure("turn_tcp_connections", {"state": state}, value)
    for result, value in core.tcp.results.items():
        yield Measure("turn_tcp_connections_total", {"result": result}, value)


def relayed_of(path: RelayPath, tcp: Directions, orphans: int) -> Iterator[Measure]:
    """What UDP and TCP relays have passed on and dropped; `orphans` are ChannelData that came without an allocation."""
    udp = path.counters()
    for direction, rate in tcp._asdict().items():
        yield Measure("turn_relayed_packets_total", {"direction": direction}, udp[f"packets_{direction}"])
        number = udp[f"bytes_{direction}"] + rate.relayed_bytes
        yield Measure("turn_relayed_bytes_total", {"direction": direction}, number)
    yield Measure("turn_icmp_total", {}, udp["icmp_to_client"])
    udp["dropped_no_allocation"] += orphans
    for reason in DROP_REASONS:
        yield Measure("turn_dropped_packets_total", {"reason": reason}, udp[f"dropped_{reason}"])
    for reason in BANDWIDTH_REASONS:
        yield Measure("turn_dropped_bytes_total", {"reason": reason}, udp[f"dropped_bytes_{reason}"])
