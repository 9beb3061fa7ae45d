from __future__ import annotations

from pathlib import Path

import pytest

from tests.turnd.turn.served import make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))
