from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.fuzz_messages import one_input

CORPUS = sorted((Path(__file__).parent.parent / "fuzz" / "corpus" / "messages").iterdir())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_kept_input_is_taken_or_refused(path: Path) -> None:
    one_input(path.read_bytes())
