"""Fixtures and rules of all tests: the event loop is the one turnd runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop
from hypothesis import settings

from tests.e2e.network import Network

# What an example may take is a matter of the machine, and of who else uses it.
settings.register_profile("turnd", deadline=None)
settings.load_profile("turnd")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every asynchronous test runs on uvloop, as turnd does."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def network() -> Iterator[Network]:
    """An empty network, taken down afterwards."""
    made = Network()
    yield made
    made.close()
