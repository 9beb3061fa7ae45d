"""`python -m tests.fuzz turn`: whatever a client sends, TURN goes on.

The first byte of an input says how the rest comes: as one datagram, as a stream in pieces, or as the attributes of a
correctly signed request, which reach the handlers behind authentication.
"""

from __future__ import annotations

import itertools

from turnd.turn.allocation import Allocation, Flow
from turnd.turn.credentials import Credentials
from turnd.turn.relay_ports import PortPool
from turnd.turn.server import TurnServer
from turnd.turn.stream import StreamError, StreamFramer, is_channel_data
from wire import stun
from wire.stun import Attribute, MessageClass, Method

REALM = "turnd"
USER, PASSWORD = "anna", "pass"
KEY = stun.long_term_key(USER, REALM, PASSWORD)
METHODS = (Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND)
UDP = (int(Attribute.REQUESTED_TRANSPORT), stun.encode_transport(17))
NOW = 1000.0


class NoRelay:
    """Takes everything, sends nothing."""

    def permit(self, host: str, expires_at: float, restricted: bool) -> None: ...
    def bind_channel(self, channel: int, address: tuple[str, int], expires_at: float) -> None: ...
    def send(self, address: tuple[str, int], data: bytes, dont_fragment: bool) -> None: ...
    def forward(self, messages: list[bytes]) -> None: ...
    def pair(self, first: NoRelay) -> None: ...
    def leave(self) -> None: ...
    def limit(self, bytes_per_second: int) -> None: ...
    def close(self) -> None: ...


class NoHost:
    """Opens relays that are none."""

    def open_relay(self, family: int, port: int, announced: str) -> NoRelay:
        return NoRelay()

    def allocated(self, allocation: Allocation) -> None: ...
    def released(self, allocation: Allocation) -> None: ...
    def is_open(self, address: tuple[str, int]) -> bool:
        return address[1] & 1 == 0


def new_server() -> TurnServer:
    serial = itertools.count()
    server = TurnServer(
        NoHost(),
        Credentials(REALM, (), {USER: PASSWORD}),
        {family: PortPool(40001, 40010, lambda _below: 0) for family in (4, 6)},
        token=lambda size: next(serial).to_bytes(size, "big"),
        epoch=lambda: 1.8e9,
    )
    server.set_addresses(["192.168.1.5", "2a01::5"], ["192.88.2.1"], [])
    return server


def one_input(data: bytes) -> None:
    """Raises only when the core is wrong."""
    if not data:
        return
    server = new_server()
    flow = Flow("tcp" if data[0] & 1 else "udp", ("203.0.113.9", 5000), ("192.168.1.5", 3478))
    if data[0] & 2:
        signed(server, flow, data[1:])
    elif data[0] & 1:
        stream(server, flow, data[1:])
    else:
        answer(server.receive(data[1:], flow, NOW))
    server.registry.handle_timer(NOW + 4000)
    if server.registry.allocations or server.registry.reservations:
        raise AssertionError("something outlived its time")


def answer(data: bytes | None) -> None:
    """Every answer is a STUN answer."""
    if data is not None and stun.parse(data).message_class not in (MessageClass.SUCCESS, MessageClass.ERROR):
        raise AssertionError("the answer is none")


def stream(server: TurnServer, flow: Flow, data: bytes) -> None:
    """The same bytes in pieces of seven."""
    framer = StreamFramer()
    try:
        for at in range(0, len(data), 7):
            for message in framer.receive(data[at : at + 7]):
                if not is_channel_data(message):
                    answer(server.receive(message, flow, NOW))
    except StreamError:
        return


def signed(server: TurnServer, flow: Flow, data: bytes) -> None:
    """Requests made of the input: (method, number of attributes, then type index, length and value of each)."""
    challenge = server.receive(stun.encode(Method.ALLOCATE, 0, bytes(12), [UDP]), flow, NOW)
    nonce = stun.parse(challenge or b"").get(Attribute.NONCE) or b""
    proof = [(Attribute.USERNAME, USER.encode()), (Attribute.REALM, REALM.encode()), (Attribute.NONCE, nonce)]
    allocate = stun.encode(Method.ALLOCATE, 0, b"a" * 12, [UDP, *proof], key=KEY)
    if data[:1] > b"\x7f":
        answer(server.receive(allocate, flow, NOW))
    kinds = list(Attribute)
    for serial in range(16):
        if len(data) < 2:
            return
        method, number, data = METHODS[data[0] & 3], data[1] & 7, data[2:]
        attributes = []
        for _ in range(number):
            if len(data) < 2:
                break
            attributes.append((int(kinds[data[0] % len(kinds)]), data[2 : 2 + data[1]]))
            data = data[2 + data[1] :]
        attributes = [each for each in attributes if each[0] not in (8, 28, 0x8028)]
        request = stun.encode(method, 0, serial.to_bytes(12, "big"), [*attributes, *proof], key=KEY)
        answer(server.receive(request, flow, NOW))
