"""Asking the router for its outside address: the one request of NAT-PMP that needs no state (RFC 6886 §3.2).

A router that speaks only PCP (RFC 6887) says so in its answer; PCP has no such request apart from a mapping's.
Sans-IO: the owner sends `REQUEST` to port `ROUTER_PORT` of the default gateway and gives every answer to `parse`.
"""

from __future__ import annotations

import ipaddress
import struct

from turnd.outside_address import RouterError, outside_address

ROUTER_PORT = 5351
REQUEST = b"\x00\x00"  # version 0, opcode 0: external address
RETRANSMIT_SECONDS = (0.25, 0.5, 1.0, 2.0)  # RFC 6886 §3.1 goes on to 64 s; we ask anew each minute anyway

_RESULTS = {
    1: "unsupported version",
    2: "not authorised",
    3: "no outside address now",
    4: "out of resources",
    5: "unsupported request",
}


def parse(data: bytes) -> str:
    """The outside IPv4 address in a router's answer. RouterError on anything else."""
    if len(data) >= 4 and data[0] != 0:
        raise RouterError(f"the router speaks version {data[0]} only")
    if len(data) < 4 or data[1] != 128:
        raise RouterError("not an answer to the question")
    (result,) = struct.unpack_from("!H", data, 2)
    if result:
        raise RouterError(_RESULTS.get(result, f"result {result}"))
    if len(data) != 12:
        raise RouterError("wrong length")
    return outside_address(ipaddress.IPv4Address(data[8:12]))
