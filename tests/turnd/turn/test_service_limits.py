"""Bounds of bandwidth on the running service, as configuration sets and changes them."""

from __future__ import annotations

import asyncio

import pytest

from tests.turnd.turn.served import Options, measure, served, until
from tests.turnd.turn.turn_client import turn_client
from turnd.turn.limits import Limits
from wire.udp import CallbackReceiver, UdpSocket

SIZE = 500
PER_SECOND = 2 * SIZE * 8  # in bits: two datagrams


@pytest.mark.parametrize("scope", ["allocation", "total"])
async def test_what_is_over_the_bandwidth_is_dropped_and_counted(scope: str) -> None:
    limits = Limits(allocation_bps=PER_SECOND) if scope == "allocation" else Limits(total_bps=PER_SECOND)
    reason = f"{scope}_bandwidth"
    got: list[bytes] = []
    peer = UdpSocket(
        asyncio.get_running_loop(), ("127.0.0.1", 0), CallbackReceiver(lambda each: got.extend(e[1] for e in each)),
        component="sfu",
    )  # fmt: skip
    options = Options(allow_peers=("127.0.0.0/8",), limits=limits)
    async with served(options) as service, turn_client(service.port) as client:
        await client.allocate()
        await client.bind(0x4000, ("127.0.0.1", peer.local_address[1]))
        for _ in range(20):
            client.channel_data(0x4000, bytes(SIZE))
        await until(lambda: measure(service, "turn_dropped_packets_total", reason=reason) > 0)
        service.reload(
            Options(allow_peers=("127.0.0.0/8",), limits=Limits(allocation_bps=0, total_bps=0)).turn_settings()
        )
        await until(lambda: len(got) + measure(service, "turn_dropped_packets_total", reason=reason) == 20)
        before = len(got)
        for _ in range(20):
            client.channel_data(0x4000, bytes(SIZE))
        await until(lambda: len(got) == before + 20)
    peer.close()
