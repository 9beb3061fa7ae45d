from __future__ import annotations

from pathlib import Path

import pytest

from tests.turnd.turn.core import Client, House, error_code
from tests.turnd.turn.served import make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def client(house: House) -> Client:
    return Client(house)


@pytest.fixture
def allocated(client: Client) -> Client:
    assert error_code(client.allocate()) == 0
    return client
