"""The fuzz target of the TURN core is worth its time: its kept inputs get past authentication and into every branch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests import fuzz
from tests.fuzz.turn_program import Program
from wire.stun import Method

ERRORS = {
    Method.ALLOCATE: {0, 400, 401, 420, 437, 438, 440, 442, 486, 508},
    Method.REFRESH: {0, 400, 401, 437, 438, 441, 443},
    Method.CREATE_PERMISSION: {0, 400, 403, 437, 438, 443},
    Method.CHANNEL_BIND: {0, 400, 443},
    Method.CONNECT: {0, 400, 403, 437, 446, 447},
    Method.CONNECTION_BIND: {0, 400},
    Method.BINDING: {0},
}


def test_the_kept_inputs_reach_every_answer_and_relay_both_ways() -> None:
    codes: dict[int, set[int]] = {method: set() for method in Method}
    counters: Counter[str] = Counter()
    for path in Path(fuzz.__file__).with_name("corpus").joinpath("turn").iterdir():
        program = Program(path.read_bytes())
        while program.step():
            program.check()
        for method, code in program.codes:
            codes[method].add(code)
        counters += program.host.path.counters
    for method, expected in ERRORS.items():
        assert expected <= codes[method], method
    assert counters["packets_to_peer"] > 5
    assert counters["packets_to_client"] > 3
    assert {name for name in counters if name.startswith("dropped")} >= {
        "dropped_no_permission",
        "dropped_peer_no_permission",
        "dropped_no_channel",
    }
