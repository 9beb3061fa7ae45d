"""The compiled path between real SRTP ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sfu.exchange import (
    Call,
    Exchange,
    opened,
    slot_of,
)


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with opened() as exchange:
        yield exchange


@pytest.fixture
def call(exchange: Exchange) -> Call:
    """A publisher's video stream 1 and a subscriber's slot that follows it."""
    publisher, subscriber = exchange.peer(), exchange.peer()
    stream = publisher.transport.add_stream(1, audio=False)
    slot = slot_of(subscriber)
    slot.follow(stream)
    return exchange, publisher, stream, subscriber, slot
