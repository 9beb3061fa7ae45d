"""Fuzzes one target with atheris, beginning with its kept corpus, which stays as it is.

python -m tests.fuzz NAME [libFuzzer options], e.g. python -m tests.fuzz stun -max_total_time=60
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped]


def main() -> None:
    """Runs until libFuzzer ends; its exit code says whether something was found."""
    name, *options = sys.argv[1:]
    with atheris.instrument_imports():
        target = importlib.import_module(f"tests.fuzz.fuzz_{name}")
    with tempfile.TemporaryDirectory() as found:
        corpus = str(Path(__file__).parent / "corpus" / name)
        atheris.Setup([sys.argv[0], *options, found, corpus], target.one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
