"""Asking the router for its outside address: the one request of NAT-PMP that needs no state (RFC 6886 §3.2).

A router that speaks only PCP (RFC 6887) says so in its answer; PCP has no such request apart from a mapping's.
Sans-IO: the owner sends `REQUEST` to port `ROUTER_PORT` of the default gateway and gives every answer to `parse`.
"""

from __future__ import annotations

import ipaddress
import struct

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
_SHARED = ipaddress.ip_network("100.64.0.0/10")  # RFC 6598, carrier-grade NAT
_PRIVATE = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]


class NatPmpError(ValueError):
    """An answer that gives no usable address; the text says why."""


def parse(data: bytes) -> str:
    """The outside IPv4 address in a router's answer. NatPmpError on anything else."""
    if len(data) >= 4 and data[0] != 0:
        raise NatPmpError(f"the router speaks version {data[0]} only")
    if len(data) < 4 or data[1] != 128:
        raise NatPmpError("not an answer to the question")
    (result,) = struct.unpack_from("!H", data, 2)
    if result:
        raise NatPmpError(_RESULTS.get(result, f"result {result}"))
    if len(data) != 12:
        raise NatPmpError("wrong length")
    address = ipaddress.IPv4Address(data[8:12])
    if address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local:
        raise NatPmpError(f"the router has no outside address ({address})")
    if address in _SHARED or any(address in network for network in _PRIVATE):
        raise NatPmpError(f"the router is behind another NAT ({address})")
    return str(address)
