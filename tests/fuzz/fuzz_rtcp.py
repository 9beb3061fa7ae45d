"""`python -m tests.fuzz rtcp`: any bytes give packets or RtcpError.

What was parsed is built and parsed again to the same values.
"""

from __future__ import annotations

from sfu.rtcp import Nack, RtcpError, RtcpPacket, build_compound, parse_compound


def meaning(packets: list[RtcpPacket]) -> list[object]:
    """The packets, with NACKs as sets: the order of their numbers is not kept."""
    return [frozenset(packet.sequence_numbers) if isinstance(packet, Nack) else packet for packet in packets]


def one_input(data: bytes) -> None:
    """Raises only when the parser is wrong."""
    try:
        packets = parse_compound(data)
    except RtcpError:
        return
    if packets and meaning(parse_compound(build_compound(packets))) != meaning(packets):
        raise AssertionError("built otherwise than parsed")
