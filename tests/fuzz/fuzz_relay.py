"""`python -m tests.fuzz relay`: the compiled relay path and its model in plain Python pass the same bytes.

An input is policy (permissions, channels, open ports) and traffic (ChannelData, Send, datagrams of peers) as hypothesis
reads it; both run on real sockets, over both families, to clients on datagrams and on streams.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.turnd.turn.test_relay import ROUNDS, Rounds, run_rounds

RUNNER = asyncio.Runner(loop_factory=uvloop.new_event_loop)


@settings(deadline=None, database=None)
@given(ROUNDS, st.sampled_from([4, 6]), st.booleans())
def program(rounds: Rounds, family: int, stream: bool) -> None:
    RUNNER.run(run_rounds(rounds, family, stream=stream))


def one_input(data: bytes) -> None:
    """Raises only when relay and model differ."""
    cast("Any", program).hypothesis.fuzz_one_input(data)
