"""Fuzzes one target with atheris, beginning with its kept corpus, which stays as it is.

python -m tests.fuzz NAME [libFuzzer options], e.g. python -m tests.fuzz stun -max_total_time=60

libFuzzer ends its process without a word to Python, so it has one of its own; this one says how many inputs it ran.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = ["wire", "sfu", "signalling", "turnd"]  # what is watched for new branches
INSIDE = "TURND_FUZZ_FOLDER"  # where the fuzzer's own process keeps what it finds


def fuzz(name: str, options: list[str], found: str) -> None:
    """Runs until libFuzzer ends the process; its exit code says whether something was found."""
    import atheris  # type: ignore[import-untyped]

    with atheris.instrument_imports(include=OURS):
        target = importlib.import_module(f"tests.fuzz.fuzz_{name}")
    corpus = str(Path(__file__).parent / "corpus" / name)
    atheris.Setup([sys.argv[0], *options, found, corpus], target.one_input)
    atheris.Fuzz()


def main() -> int:
    """Passes on what libFuzzer says, and counts."""
    name, *options = sys.argv[1:]
    if found := os.environ.get(INSIDE):
        fuzz(name, options, found)
    inputs = 0
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.fuzz", name, *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {INSIDE: folder}) as child:
            for line in child.stderr or ():
                sys.stderr.write(line)
                if counted := re.match(r"(?:Done|#)\s*(\d+)", line):
                    inputs = int(counted[1])
    print(f"{name}: {inputs} inputs, {'something' if child.returncode else 'nothing'} found", flush=True)
    return child.returncode


if __name__ == "__main__":
    sys.exit(main())
