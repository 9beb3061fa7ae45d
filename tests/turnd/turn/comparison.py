"""Whether a core holds what a client may rely on, no more and no less: the server against `turn_model`."""

from __future__ import annotations

from tests.turnd.turn.core import House
from tests.turnd.turn.relay_model import ModelRelay
from tests.turnd.turn.turn_model import TurnModel, family_of
from turnd.turn.allocation import Allocation


def relays_of(allocation: Allocation) -> dict[int, ModelRelay]:
    """Its relays by family; those of TCP have no data to look at."""
    return {family: each.relay for family, each in allocation.relays.items() if isinstance(each.relay, ModelRelay)}


def compare(house: House, model: TurnModel) -> None:
    """AssertionError where they differ: allocations and their times, permissions, channels, ports, the next wake-up."""
    model.follow({relayed.address: each.flow for each in house.host.live for relayed in each.relays.values()})
    assert {each.flow for each in house.host.live} == model.allocations.keys(), "another set of allocations"
    for allocation in house.host.live:
        _compare_allocation(allocation, model)
    held = sum(len(model.ports(family)) for family in house.pools)
    assert house.host.open_relays() == held, "a relay nobody holds, or too few"
    assert house.server.registry.ports == held, "another number towards the quota"
    for family, pool in house.pools.items():
        assert len(pool) + len(model.ports(family)) == pool.size, "ports leaked"
    assert house.server.registry.reservations.keys() == model.reservations.keys(), "another set of reservations"
    ends = [each.ends for each in model.reservations.values()]
    ends += [end for each in model.allocations.values() for end in each.ends.values()]
    due = house.server.registry.next_timer()
    assert not ends or (due is not None and due <= min(ends)), "the server will wake too late"


def _compare_allocation(allocation: Allocation, model: TurnModel) -> None:
    held = model.allocations[allocation.flow]
    assert {family: each.expires_at for family, each in allocation.relays.items()} == held.ends, "other times"
    assert {family: each.address for family, each in allocation.relays.items()} == held.relayed, "other addresses"
    for family, relay in relays_of(allocation).items():
        permissions = {host: end for host, (end, _) in relay.permissions.items() if end > model.now}
        channels = {number: each for number, each in relay.channels.items() if each[1] > model.now}
        assert permissions == _of_family(family, held.permissions), "another set of permissions"
        bound = {number: each for number, each in held.channels.items() if family_of(each[0]) == family}
        assert channels == bound, "another set of channels"


def _of_family(family: int, permissions: dict[str, float]) -> dict[str, float]:
    return {host: end for host, end in permissions.items() if family_of((host, 0)) == family}
