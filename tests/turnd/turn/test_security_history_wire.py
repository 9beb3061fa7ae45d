"""What TURN servers told before that they should not have: uninitialised bytes, and what the next random number is.

The rest of the security history is in `test_security_history`.
"""

from __future__ import annotations

import base64
import secrets
from collections import Counter
from contextlib import closing
from itertools import pairwise

import pytest

from tests.turnd.turn.core import UDP, Client, House
from tests.turnd.turn.peers import UdpPeer
from tests.turnd.turn.served import Options, served
from tests.turnd.turn.turn_client import HOST, turn_client
from turnd.turn.nonce import NonceAuthority
from turnd.turn.relay_ports import PortPool
from wire import stun
from wire.stun import Attribute, Method


def paddings(data: bytes) -> list[bytes]:
    """The bytes behind each attribute's value."""
    found, at = [], 20
    while at < len(data):
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 4 + length
        at = end + 3 & ~3
        found.append(data[end:at])
    return found


def test_cve_2020_4067_padding_of_every_answer_is_zero(house: House) -> None:
    """After long requests full of ones, so that left-over bytes would show."""
    noise = (0xFFFF, b"\xff" * 700)
    odd = [(0x7777, b"\xff" * 3), (0x7778, b"\xff" * 2), (0x7779, b"")]
    client = Client(house)
    answers = [
        house.server.receive(stun.encode(method, 0, client.transaction(), [noise, *extra]), client.flow, client.now)
        for method in (Method.BINDING, Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND)
        for extra in ([], odd[:1], odd)
    ]
    for method, attributes in (
        (Method.ALLOCATE, [UDP, (0x7777, b"\xff")]),
        (Method.ALLOCATE, [UDP, (Attribute.EVEN_PORT, b"\x80")]),
        (Method.REFRESH, [noise]),
        (Method.REFRESH, [(0x7777, b"\xff" * 5)]),
        (Method.CREATE_PERMISSION, []),
    ):
        answers.append(house.server.receive(client.signed(method, [noise, *attributes]), client.flow, client.now))
    padded = [padding for answer in answers if answer is not None for padding in paddings(answer) if padding]
    assert len(padded) > 10
    assert not any(padding.strip(b"\0") for padding in padded)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_cve_2020_4067_padding_of_relayed_data_is_zero(transport: str) -> None:
    """Data indications, and on streams ChannelData: a short datagram after a long one of ones."""
    options = Options(allow_peers=("127.0.0.0/8",))
    async with served(options) as service, turn_client(service.port, transport) as client:
        [relay] = await client.allocate()
        with closing(UdpPeer()) as peer:
            assert await client.permit(peer.address) == 0
            for bound in (False, True):
                if bound:
                    assert await client.bind(0x4000, peer.address) == 0
                for size in (1, 2, 3, 5):
                    peer.send(b"\xff" * 1200, relay)
                    assert len(await client.message()) > 1200
                    peer.send(b"\xff" * size, relay)
                    message = await client.message()
                    if not bound:
                        assert paddings(message)[-1] == bytes(-size % 4)
                    else:
                        assert message == b"\x40\x00\0" + bytes([size]) + b"\xff" * size + (
                            bytes(-size % 4) if transport == "tcp" else b""
                        )


async def test_cve_2025_69217_ports_tokens_and_nonces_come_from_secrets() -> None:
    async with served() as service, served() as other:
        registry = service._core.registry
        assert registry._token is secrets.token_bytes
        assert all(pool._randbelow is secrets.randbelow for pool in registry._pools.values())
        nonces = [each._core.authenticator._nonces._secret for each in (service, other)]
        assert nonces[0] != nonces[1]
        assert {len(each) for each in nonces} == {32}


def balanced(values: list[int], bits: int) -> bool:
    """Whether each bit is set in 38 % to 62 % of the values; of 1000 random ones that fails once in 10^11 times."""
    return all(0.38 < sum(value >> bit & 1 for value in values) / len(values) < 0.62 for bit in range(bits))


def test_cve_2025_69217_nonces_of_one_second_have_nothing_in_common() -> None:
    nonces = NonceAuthority(secrets.token_bytes(32))
    issued = [nonces.issue((HOST, port), 1.0, 1) for port in range(2000)]
    values = [int.from_bytes(base64.b64decode(each[-11:] + b"=")[2:], "big") for each in issued]
    assert len(set(values)) == 2000
    assert balanced(values, 48)


def test_cve_2025_69217_relay_ports_are_drawn_evenly_and_in_no_order() -> None:
    pool = PortPool(40001, 40100, secrets.randbelow)
    drawn = []
    for _ in range(10_000):
        port = pool.take()
        assert port is not None
        drawn.append(port)
        pool.release(port)
    counts = Counter(drawn)
    assert len(counts) == 100
    assert min(counts.values()) > 30
    assert max(counts.values()) < 190
    steps = Counter(after - before for before, after in pairwise(drawn))
    assert max(steps.values()) < 250  # the likeliest of them, none, has 100 on average


async def test_cve_2025_69217_transaction_ids_of_indications_are_not_in_order() -> None:
    async with served(Options(allow_peers=("127.0.0.0/8",))) as service, turn_client(service.port) as client:
        [relay] = await client.allocate()
        with closing(UdpPeer()) as peer:
            assert await client.permit(peer.address) == 0
            ids = []
            for _ in range(1000):
                peer.send(b"x", relay)
                ids.append(int.from_bytes((await client.message())[8:20], "big"))
        assert len(set(ids)) == 1000
        assert balanced(ids, 96)
        steps = Counter(after - before for before, after in pairwise(ids))
        assert max(steps.values()) == 1
