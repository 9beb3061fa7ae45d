"""The fuzz targets of RTP and RTCP over their kept corpus and a few random bytes."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FUZZ = Path(__file__).parents[1] / "fuzz"


def target(name: str) -> Callable[[bytes], None]:
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", FUZZ / f"fuzz_{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    one_input: Callable[[bytes], None] = module.one_input
    return one_input


TARGETS = {name: target(name) for name in ("rtp", "rtcp")}
CASES = [(name, path) for name in TARGETS for path in sorted((FUZZ / "corpus" / name).iterdir())]


@pytest.mark.parametrize(("name", "path"), CASES, ids=lambda value: getattr(value, "name", value))
def test_the_kept_corpus_passes(name: str, path: Path) -> None:
    TARGETS[name](path.read_bytes())


@given(st.sampled_from(sorted(TARGETS)), st.binary(max_size=400))
@settings(deadline=None)
def test_random_bytes_pass(name: str, data: bytes) -> None:
    TARGETS[name](data)
