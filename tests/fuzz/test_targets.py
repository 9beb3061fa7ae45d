"""Every fuzz target over its kept corpus, over random bytes, and for a moment with atheris itself."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem.removeprefix("fuzz_") for path in FOLDER.glob("fuzz_*.py"))
KEPT = [(name, path) for name in NAMES for path in sorted((FOLDER / "corpus" / name).iterdir())]
MOMENT_SECONDS = 1


def target(name: str) -> Callable[[bytes], None]:
    function: Callable[[bytes], None] = importlib.import_module(f"tests.fuzz.fuzz_{name}").one_input
    return function


def test_every_target_has_a_corpus() -> None:
    assert {name for name, _ in KEPT} == set(NAMES)


@pytest.mark.parametrize(("name", "path"), KEPT, ids=[f"{name}-{path.name}" for name, path in KEPT])
def test_kept_inputs_pass(name: str, path: Path) -> None:
    target(name)(path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_random_bytes_pass(name: str) -> None:
    one_input = target(name)

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(st.binary(max_size=600))
    def anything(data: bytes) -> None:
        one_input(data)

    anything()


@pytest.mark.parametrize("name", NAMES)
def test_the_fuzzer_finds_nothing_in_a_moment(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris has no build for this machine")
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        name,
        f"-max_total_time={MOMENT_SECONDS}",
        f"-artifact_prefix={tmp_path}/",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert re.search(rf"^{name}: [1-9]\d* inputs, nothing found$", done.stdout, re.MULTILINE)
