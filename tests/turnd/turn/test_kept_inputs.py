"""The fuzzer's kept inputs, replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import fuzz_turn

INPUTS = sorted((Path(fuzz_turn.__file__).parent / "corpus" / "turn").iterdir())


@pytest.mark.parametrize("path", INPUTS, ids=[path.name for path in INPUTS])
def test_kept_inputs_still_pass(path: Path) -> None:
    fuzz_turn.one_input(path.read_bytes())


def test_signed_inputs_reach_the_handlers() -> None:
    server = fuzz_turn.new_server()
    flow = fuzz_turn.Flow("udp", ("203.0.113.9", 5000), ("192.168.1.5", 3478))
    data = next(path for path in INPUTS if path.name == "signed_permission").read_bytes()
    fuzz_turn.signed(server, flow, data[1:])
    assert server.denied_peers["private"] == 1
    assert server.allocations
