"""What a router may call its outside address, whatever the protocol it was asked by."""

from __future__ import annotations

import ipaddress

_SHARED = ipaddress.ip_network("100.64.0.0/10")  # RFC 6598, carrier-grade NAT
_PRIVATE = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]


class RouterError(ValueError):
    """The router told no usable address; the text says why."""


def outside_address(address: ipaddress.IPv4Address) -> str:
    """The address, when others can reach it. RouterError otherwise."""
    if address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local:
        raise RouterError(f"the router has no outside address ({address})")
    if address in _SHARED or any(address in network for network in _PRIVATE):
        raise RouterError(f"the router is behind another NAT ({address})")
    return str(address)
