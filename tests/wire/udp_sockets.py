"""What the tests of UDP sockets share: what a socket receives, options, drops."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

from wire.udp import CallbackReceiver, Datagram, UdpSocket

ADDRESS = "127.0.0.1"
SO_NO_CHECK = 11  # asm/socket.h; a socket with it may not use GSO (EINVAL)
CLONE_NEWNET = 0x40000000


class Inbox:
    """Collects what a socket receives."""

    def __init__(self) -> None:
        self.datagrams: list[Datagram] = []
        self.batches: list[int] = []
        self._arrived = asyncio.Event()
        self.receiver = CallbackReceiver(self._receive)

    def _receive(self, datagrams: list[Any]) -> None:
        self.datagrams += datagrams
        self.batches.append(len(datagrams))
        self._arrived.set()

    async def get(self, number: int) -> list[bytes]:
        """Waits for `number` datagrams in all."""
        async with asyncio.timeout(5):
            while len(self.datagrams) < number:
                self._arrived.clear()
                await self._arrived.wait()
        return [data for _tag, data, *_ in self.datagrams]


Open = Callable[..., tuple[UdpSocket, Inbox]]


def own_option(udp: UdpSocket, level: int, option: int, value: int) -> None:
    with socket.socket(fileno=os.dup(udp.fileno())) as alias:
        alias.setsockopt(level, option, value)


async def turns(number: int = 3) -> None:
    """Lets the loop run what is scheduled for its next turns."""
    for _ in range(number):
        await asyncio.sleep(0)


def dropped(udp: UdpSocket) -> dict[str, int]:
    return {name: value for name, value in udp.counters().items() if name.startswith("dropped_") and value}
