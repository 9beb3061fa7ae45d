"""`python -m tests.fuzz turn`: whatever two clients send, in whatever order and at whatever time, TURN keeps its word.

An input is a program for `turn_program.Program`: who sends what over which transport, signed how, and how much time
passes. After each step the server is held against `turn_model`, which knows the answers alone.
"""

from __future__ import annotations

from tests.fuzz.turn_program import Program


def one_input(data: bytes) -> None:
    """Raises only when the core is wrong."""
    program = Program(data)
    while program.step():
        program.check()
    program.end()
