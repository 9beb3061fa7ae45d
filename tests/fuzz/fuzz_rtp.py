"""`python -m tests.fuzz rtp`: an authenticated peer's packets do no harm.

The input is a sequence of packets, each behind two bytes of length; their SSRCs become those of a stream, its repair or
an unknown one. The compiled path drops as malformed exactly what sfu.rtp calls an error, and what it sends can be read.
"""

from __future__ import annotations

from pylibsrtp import Error

from sfu.codecs import CodecError, Kind, keyframe
from sfu.rtp import RtpError, build_rtp, parse_rtp
from tests.sfu.exchange import Exchange, Peer, opened, slot_of

MAX_PACKETS = 64
SSRCS = (1, 1, 9, 77)


def split(data: bytes) -> list[bytes]:
    """The packets of one input."""
    packets: list[bytes] = []
    while data and len(packets) < MAX_PACKETS:
        size = int.from_bytes(data[:2], "big") % 1300
        packet = data[2 : 2 + size]
        packets.append(packet[:8] + SSRCS[size % 4].to_bytes(4, "big") + packet[12:] if size >= 12 else packet)
        data = data[2 + size :]
    return packets


def is_malformed(packet: bytes) -> bool:
    """By the plain reference, which also must survive its payload."""
    try:
        parsed = parse_rtp(packet)
    except RtpError:
        return True
    if parse_rtp(build_rtp(parsed)) != parsed:
        raise AssertionError("built otherwise than parsed")
    for kind in Kind:
        try:
            keyframe(kind, parsed.payload)
        except CodecError:
            continue
    return False


def forward(exchange: Exchange, publisher: Peer, packets: list[bytes]) -> None:
    """All packets, one batch each, against what the reference says of them."""
    for packet in packets:
        malformed = is_malformed(packet)
        try:
            protected = publisher.outbound.protect(packet)
        except (Error, ValueError):
            protected = packet
            malformed = False
        if len(packet) < 12 or packet[0] >> 6 != 2 or 64 <= packet[1] & 0x7F < 96:
            malformed = False  # not taken for RTP
        before = exchange.dropped()
        exchange.forwarder.feed([(protected, publisher.address, exchange.local)])
        after = exchange.dropped()
        refused = ("AUTHENTICATION", "REPLAY", "GARBAGE")
        if any(before.get(reason) != after.get(reason) for reason in refused) or len(packet) < 12:
            continue
        if (before.get("MALFORMED") != after.get("MALFORMED")) != malformed:
            raise AssertionError("the compiled parser and the reference disagree")


def one_input(data: bytes) -> None:
    """Raises only when the path is wrong."""
    packets = split(data)
    with opened() as exchange:
        publisher, subscriber = exchange.peer(), exchange.peer()
        stream = publisher.transport.add_stream(1, audio=False)
        publisher.transport.add_repair(9, stream)
        slot = slot_of(subscriber)
        slot.map_payload(Kind.VP9, 122, 123)
        slot.map_payload(Kind.H264, 124, 125)
        slot.follow(stream)
        forward(exchange, publisher, packets)
        sent = subscriber.received()
        slot.retransmit([packet.sequence_number for packet in sent])
        if any(packet.ssrc != slot.ssrc for packet in sent) or len(subscriber.received()) > len(sent):
            raise AssertionError("sent what it must not")
