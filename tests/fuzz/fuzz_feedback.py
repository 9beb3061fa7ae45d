"""`python -m tests.fuzz feedback`: what an authenticated receiver says of its path does no harm.

The input is a compound as it is, and each half of it the body of a transport-wide feedback packet. The compiled path
takes exactly what sfu.rtcp can parse, says the same of it, and leaves the rest of a compound for Python as it was.
"""

from __future__ import annotations

from sfu.forward import Event
from sfu.rtcp import FORMAT_TRANSPORT, RTPFB, RtcpError, TransportFeedback, parse_compound
from tests.sfu.exchange import KEYFRAME, Exchange, Peer, opened, slot_of, video

MIN_BYTES = 8
MAX_BYTES = 1200
SENT = 300


def packet(body: bytes) -> bytes:
    """A transport-wide feedback packet with any body, without padding."""
    body += bytes(-len(body) % 4)
    return bytes((0x80 | FORMAT_TRANSPORT, RTPFB)) + (len(body) // 4).to_bytes(2, "big") + body


def blocks(compound: bytes) -> list[bytes]:
    """The packets of a compound; RtcpError when they do not fill it, or are too many."""
    parts = []
    while compound:
        size = 4 + 4 * int.from_bytes(compound[2:4], "big")
        if len(compound) < max(4, size) or len(parts) == 64 or compound[0] >> 6 != 2:
            raise RtcpError("no compound")
        if compound[0] & 0x20 and not 0 < compound[size - 1] <= size - 4:
            raise RtcpError("wrong padding")
        parts.append(compound[:size])
        compound = compound[size:]
    return parts


def feedback(block: bytes) -> TransportFeedback | None:
    """What the reference makes of one packet."""
    try:
        parsed = parse_compound(block)
    except RtcpError:
        return None
    return parsed[0] if parsed and isinstance(parsed[0], TransportFeedback) else None


def expected(compound: bytes) -> tuple[list[TransportFeedback], bytes]:
    """What is to be taken out of a compound, and what is to be left."""
    try:
        parts = blocks(compound)
    except RtcpError:
        return [], compound
    found = [feedback(part) for part in parts]
    kept = b"".join(part for part, each in zip(parts, found, strict=True) if each is None)
    return [each for each in found if each is not None], kept


def check(exchange: Exchange, subscriber: Peer, compound: bytes, fates: dict[int, bool]) -> None:
    """One compound, against the reference; `fates` is what was said of each number so far."""
    taken, kept = expected(compound)
    before = exchange.forwarder.counters()["feedbacks"]
    data = subscriber.outbound.protect_rtcp(compound)
    exchange.forwarder.feed([(data, subscriber.address, exchange.local)])
    if exchange.forwarder.counters()["feedbacks"] - before != len(taken):
        raise AssertionError("the compiled parser and the reference disagree")
    if exchange.take(Event.RTCP) != ([(subscriber.transport, kept, exchange.now)] if kept else []):
        raise AssertionError("another remainder")
    received = missed = 0
    for each in taken:
        for number, arrival in each.arrivals():
            if not 1 <= number < SENT or fates.get(number):
                continue
            received += arrival is not None
            missed += (arrival is None and number not in fates) - (arrival is not None and number in fates)
            fates[number] = arrival is not None
    report = subscriber.transport.path_report()
    if (report is not None) != bool(taken) or (report and report[:2] != (received, missed)):
        raise AssertionError("understood otherwise")


def one_input(data: bytes) -> None:
    """Raises only when the path is wrong."""
    with opened() as exchange:
        publisher, subscriber = exchange.peer(), exchange.peer()
        slot_of(subscriber).follow(publisher.transport.add_stream(1, audio=False))
        publisher.send(video(0, KEYFRAME))
        first = subscriber.outbound.protect_rtcp(
            packet(bytes(8) + b"\x00\x00\x00\x01" + bytes(4) + b"\x20\x01\x00\x00")
        )
        exchange.forwarder.feed([(first, subscriber.address, exchange.local)])
        publisher.send(*(video(number) for number in range(1, SENT)))
        subscriber.raw()
        fates: dict[int, bool] = {}
        half = len(data) // 2
        for compound in (data[:MAX_BYTES], packet(data[:half][:MAX_BYTES]), packet(data[half:][:MAX_BYTES])):
            if len(compound) >= MIN_BYTES and compound[0] >> 6 == 2 and 64 <= compound[1] & 0x7F < 96:
                check(exchange, subscriber, compound, fates)
