"""Sockets of one test, closed after it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.wire.udp_sockets import ADDRESS, Inbox, Open
from wire.udp import UdpSocket, set_gso, set_own_addresses, set_uring


@pytest.fixture
async def open_udp() -> AsyncIterator[Open]:
    loop = asyncio.get_running_loop()
    sockets: list[UdpSocket] = []

    def open_one(host: str = ADDRESS, port: int = 0, **options: Any) -> tuple[UdpSocket, Inbox]:
        inbox = Inbox()
        udp = UdpSocket(loop, (host, port), inbox.receiver, component=options.pop("component", "test"), **options)
        sockets.append(udp)
        return udp, inbox

    yield open_one
    for udp in sockets:
        udp.close()
    set_own_addresses([])
    set_gso(True)
    set_uring(False)


@pytest.fixture
def plain() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((ADDRESS, 0))
        peer.settimeout(5)
        yield peer
