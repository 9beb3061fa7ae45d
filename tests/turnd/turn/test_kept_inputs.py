"""The fuzz target of the TURN core is worth its time: its signed inputs get past authentication."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz import fuzz_turn


def test_signed_inputs_reach_the_handlers() -> None:
    server = fuzz_turn.new_server()
    flow = fuzz_turn.Flow("udp", ("203.0.113.9", 5000), ("192.168.1.5", 3478))
    data = Path(fuzz_turn.__file__).with_name("corpus").joinpath("turn", "signed_permission").read_bytes()
    fuzz_turn.signed(server, flow, data[1:])
    assert server.denied_peers["private"] == 1
    assert server.registry.allocations
