from __future__ import annotations

from pathlib import Path

import pytest

from tests.turnd.turn.core import Client, House, error_code
from tests.turnd.turn.served import make_certificate
from tests.turnd.turn.tcp_core import TcpClient


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


@pytest.fixture
def tcp_house() -> House:
    """It relays TCP too."""
    return House(tcp_relay=True)


@pytest.fixture
def control(tcp_house: House) -> TcpClient:
    """A client with a TCP allocation."""
    client = TcpClient(tcp_house, transport="tcp")
    assert error_code(client.allocate_tcp()) == 0
    return client


@pytest.fixture
def data(tcp_house: House) -> TcpClient:
    """Another connection of the same user."""
    return TcpClient(tcp_house, 50001, transport="tcp")
