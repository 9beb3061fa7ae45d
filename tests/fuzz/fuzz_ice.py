"""`python -m tests.fuzz ice`: no datagram disturbs an ICE-lite agent.

The bytes are taken as they are, and as the attributes of a check that is authentic.
"""

from __future__ import annotations

import contextlib

from sfu.ice_lite import Credentials, IceLite, IceState, local_ufrag
from wire import stun
from wire.stun import Attribute, MessageClass, Method

CREDENTIALS = Credentials("ufra", "p" * 22)
LOCAL, PEER, OTHER = ("192.0.2.1", 40000), ("198.51.100.7", 5000), ("198.51.100.8", 5000)


def check(*extra: tuple[int, bytes]) -> bytes:
    """An authentic check."""
    attributes = [(int(Attribute.USERNAME), b"ufra:peer"), *extra]
    key = CREDENTIALS.password.encode()
    return stun.encode(Method.BINDING, MessageClass.REQUEST, bytes(12), attributes, key=key, fingerprint=True)


def one_input(data: bytes) -> None:
    """Raises only when the agent is wrong."""
    agent = IceLite(CREDENTIALS, 0.0)
    agent.receive(stun.parse(check((int(Attribute.USE_CANDIDATE), b""))), PEER, LOCAL, 1.0)
    kind = int.from_bytes(data[:2], "big")
    for datagram in (data, check((kind, data[2:1000]))):
        with contextlib.suppress(stun.StunError):
            message = stun.parse(datagram)
            local_ufrag(message)
            result = agent.receive(message, OTHER, LOCAL, 2.0)
            if result.response is not None:
                stun.parse(result.response)
    if agent.state is not IceState.CONNECTED or agent.pair is None:
        raise AssertionError("the agent lost its connection")
