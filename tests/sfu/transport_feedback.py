"""Transport-cc feedback as a receiver gives it, and the model of what the compiled path writes."""

from __future__ import annotations

from collections.abc import Sequence

from sfu.rtcp import DELTA_US, REFERENCE_US, TransportFeedback


def transport_feedback(
    arrivals: Sequence[tuple[int, int]],
    *,
    sender_ssrc: int,
    media_ssrc: int,
    feedback_count: int,
    first: int | None = None,
) -> list[TransportFeedback]:
    """Feedback packets for `arrivals`: (sequence number without wrap, arrival in us), ascending by sequence number.

    `first` is the sequence number reporting starts at (those between it and the first arrival are reported lost;
    default: the first arrival). The packets count up from `feedback_count`; each fits a 1200-byte datagram.
    """
    packets: list[TransportFeedback] = []
    index = 0
    while index < len(arrivals):
        base = arrivals[index][0] if first is None else min(first, arrivals[index][0])
        base = max(base, arrivals[index][0] - 256)
        reference = arrivals[index][1] // REFERENCE_US
        ticks = reference * (REFERENCE_US // DELTA_US)
        deltas: list[int | None] = []
        while index < len(arrivals) and len(deltas) < 384:
            sequence, arrived_us = arrivals[index]
            delta = arrived_us // DELTA_US - ticks
            gap = sequence - base - len(deltas)
            if not -0x8000 <= delta <= 0x7FFF or gap > 256:
                break
            if gap >= 0:
                deltas += [None] * gap
                deltas.append(delta)
                ticks += delta
            index += 1
        first = base + len(deltas)
        reference = (reference + 0x800000) % 0x1000000 - 0x800000
        count = (feedback_count + len(packets)) & 0xFF
        packets.append(TransportFeedback(sender_ssrc, media_ssrc, base & 0xFFFF, count, reference, tuple(deltas)))
    return packets
