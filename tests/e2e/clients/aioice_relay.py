"""Two relay-only ICE connections of aioice that send each other numbered datagrams; prints what arrived as JSON.

    python aioice_relay.py URL USERNAME CREDENTIAL

URL is one that `turnd credentials` prints. TLS trusts SSL_CERT_FILE.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

from aioice import Connection
from aioice.ice import TransportPolicy

DATAGRAMS = 500
WINDOW = 32


def connection(url: str, username: str, credential: str, *, controlling: bool) -> Connection:
    """A connection that may use this TURN server and nothing else."""
    parts = re.fullmatch(r"(turns?):(?:\[(.+)\]|([^:]+)):(\d+)\?transport=(udp|tcp)", url)
    assert parts
    scheme, ipv6, name, port, transport = parts.groups()
    return Connection(
        ice_controlling=controlling,
        turn_server=(ipv6 or name, int(port)),
        turn_username=username,
        turn_password=credential,
        turn_ssl=scheme == "turns",
        turn_transport=transport,
        transport_policy=TransportPolicy.RELAY,
    )


def datagram(side: int, number: int) -> bytes:
    """What side 0 or 1 sends as its datagram of this number; no two are equal."""
    return bytes([side]) + number.to_bytes(4, "big") + bytes((number + i) % 256 for i in range(1195))


async def exchange(ice: Connection, side: int) -> set[bytes]:
    """Sends all datagrams, no more than a window ahead of what has come, and receives as many."""
    received = set()
    for number in range(DATAGRAMS):
        await ice.send(datagram(side, number))
        if number >= WINDOW:
            received.add(await ice.recv())
    for _ in range(min(WINDOW, DATAGRAMS)):
        received.add(await ice.recv())
    return received


async def main() -> None:
    """Connects both, lets them exchange, closes both."""
    both = [connection(*sys.argv[1:], controlling=controlling) for controlling in (True, False)]
    for ice, other in (both, both[::-1]):
        await ice.gather_candidates()
        for candidate in ice.local_candidates:
            await other.add_remote_candidate(candidate)
        await other.add_remote_candidate(None)
        other.remote_username, other.remote_password = ice.local_username, ice.local_password
    await asyncio.gather(*(ice.connect() for ice in both))
    sys.stdout.write(json.dumps({"types": sorted({c.type for ice in both for c in ice.local_candidates})}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    received = await asyncio.gather(*(exchange(ice, side) for side, ice in enumerate(both)))
    right = [len({datagram(1 - side, n) for n in range(DATAGRAMS)} & got) for side, got in enumerate(received)]
    sys.stdout.write(json.dumps({"right": right}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(*(ice.close() for ice in both))


asyncio.run(main())
