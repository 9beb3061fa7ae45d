"""Mobility (RFC 8016): whatever two users do with all tickets they ever had, from wherever, state stays whole."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.turnd.turn.core import EPOCH, PEER, Client, House, error_code
from turnd.turn.credentials import rest_credentials
from turnd.turn.server import Limits
from wire import stun
from wire.stun import Attribute

LIMITS = Limits(allocations_of_user=3)
USERS = (("anna", "pass"), rest_credentials("new", "bob", 3600, EPOCH))
PLACES = (("udp", 50000), ("udp", 50001), ("tcp", 50000), ("tcp", 50001))
ACTIONS = ("allocate", "allocate mobile", "show", "refresh", "end", "permit", "send", "channel data", "close", "wait")


class Game:
    """Clients of both users at four places that they share, one after the other."""

    def __init__(self) -> None:
        self.house = House(mobility=True, limits=LIMITS)
        self.clients = [
            [Client(self.house, port, transport=transport, credentials=user) for transport, port in PLACES]
            for user in USERS
        ]
        self.tickets: list[bytes] = []
        self.now = 1000.0

    def act(self, action: str, user: int, place: int, choice: int) -> None:
        client, registry = self.clients[user][place], self.house.server.registry
        client.now = self.now
        if action == "wait":
            self.now += (1, 20, 400)[choice % 3]
            registry.handle_timer(self.now)
        elif action == "close":
            if client.flow.transport == "tcp":
                registry.release_flow(client.flow, self.now)
        elif action == "channel data":
            self.house.server.arrived(client.flow, self.now)
        elif action == "send":
            client.send(PEER, b"x")
        else:
            client.nonce = None
            self._keep(self._ask(client, action, choice))

    def _ask(self, client: Client, action: str, choice: int) -> stun.Message:
        if action == "allocate":
            return client.allocate()
        if action == "allocate mobile":
            both = [(Attribute.ADDITIONAL_ADDRESS_FAMILY, stun.encode_family(stun.Family.IPV6))] * (choice % 2)
            return client.allocate((Attribute.MOBILITY_TICKET, b""), *both)
        if action == "permit":
            return client.permit(PEER)
        lifetime = (Attribute.LIFETIME, stun.encode_lifetime(0 if action == "end" else 700))
        if action == "show" and self.tickets:
            ticket = self.tickets[-1 - choice % len(self.tickets)]
            return client.refresh((Attribute.MOBILITY_TICKET, ticket), lifetime)
        return client.refresh(lifetime)

    def _keep(self, answer: stun.Message) -> None:
        ticket = answer.get(Attribute.MOBILITY_TICKET) if not error_code(answer) else None
        if ticket:
            self.tickets.append(ticket)

    def check(self) -> None:
        registry, host = self.house.server.registry, self.house.host
        mobility, allocations = registry.mobility, registry.allocations
        assert set(allocations.values()) == set(host.live)
        assert all(flow == allocation.flow for flow, allocation in allocations.items())
        assert host.expected == set(mobility.arriving)
        assert not set(mobility.arriving) & set(allocations)
        for flow, allocation in mobility.arriving.items():
            assert allocation in host.live
            assert allocation.roaming is not None
            assert allocation.roaming.arriving == flow
        relays = [relay for relay in host.relays if not relay.closed]
        assert registry.ports == len(relays) == sum(len(each.relays) for each in host.live)
        assert all(number <= LIMITS.allocations_of_user for number in registry._ports_of.values())
        present = {each.roaming.ticket for each in host.live if each.roaming is not None}
        former = {each.roaming.former for each in host.live if each.roaming is not None and each.roaming.former}
        assert mobility.tickets.keys() == present | former
        for allocation in host.live:
            gone = not allocation.flow.client[0]
            for each in allocation.relays.values():
                assert each.relay.clientless == gone  # type: ignore[union-attr]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1), st.integers(0, 3), st.integers(0, 5)), max_size=60)
)
def test_every_allocation_has_one_place_its_ports_are_counted_and_nothing_is_left(
    steps: list[tuple[str, int, int, int]],
) -> None:
    game = Game()
    for step in steps:
        game.act(*step)
        game.check()
    game.house.server.registry.handle_timer(game.now + 3600)
    game.check()
    registry = game.house.server.registry
    assert not registry.allocations
    assert not registry.mobility.tickets
    assert not registry._ports_of
