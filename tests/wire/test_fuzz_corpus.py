from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "fuzz"
INPUTS = [(name, path) for name in ("stun", "dtls") for path in sorted((FUZZ / "corpus" / name).iterdir())]


@pytest.mark.parametrize(("name", "path"), INPUTS, ids=[f"{name}-{path.name}" for name, path in INPUTS])
def test_kept_inputs_still_pass(name: str, path: Path) -> None:
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", FUZZ / f"fuzz_{name}.py")
    assert spec is not None
    assert spec.loader is not None
    target = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(target)
    target.one_input(path.read_bytes())


def test_there_are_inputs_for_each_target() -> None:
    assert {name for name, _ in INPUTS} == {"stun", "dtls"}
