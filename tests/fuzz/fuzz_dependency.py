"""`python -m tests.fuzz dependency`: the compiled reader of dependency descriptors agrees with sfu.dependency.

The input is a sequence of descriptors, each behind a byte of length, as extensions of one H.264 stream's packets; a
limit leaves out whatever is above the lowest layers.
"""

from __future__ import annotations

from sfu.codecs import LayerMarks
from sfu.dependency import Dependencies
from sfu.forward import Kind
from sfu.rtp import RtpPacket
from tests.sfu.exchange import H264, RECEIVE, Extension, opened, slot_of

MAX_DESCRIPTORS = 64
DESCRIPTOR = next(number for number, extension in RECEIVE.items() if extension is Extension.DEPENDENCY_DESCRIPTOR)
KEY, DELTA = b"\x65idr", b"\x41delta"


def split(data: bytes) -> list[bytes]:
    """The descriptors of one input."""
    result: list[bytes] = []
    while data and len(result) < MAX_DESCRIPTORS:
        result.append(data[1 : 1 + data[0]])
        data = data[1 + data[0] :]
    return result


def one_input(data: bytes) -> None:
    """Raises only when the two disagree."""
    known, counted = Dependencies(), {(0, 0): 1}
    with opened() as exchange:
        publisher, subscriber = exchange.peer(), exchange.peer()
        stream = publisher.transport.add_stream(1, audio=False)
        slot = slot_of(subscriber)
        slot.map_payload(Kind.H264, 124, 125)
        slot.limit(0, 0)
        slot.follow(stream)
        publisher.send(RtpPacket(H264, 0, 0, 1, KEY))
        for number, descriptor in enumerate(split(data), 1):
            marks = known.read(descriptor, 3000 * number) if len(descriptor) >= 3 else None
            marks = marks or LayerMarks()
            layer = min(marks.spatial, 3), min(marks.temporal, 3)
            counted[layer] = counted.get(layer, 0) + 1
            extensions = ((DESCRIPTOR, descriptor),) if descriptor else ()
            publisher.send(RtpPacket(H264, number, 3000 * number, 1, DELTA, extensions=extensions))
        told = {(each.spatial, each.temporal): each for each in stream.layer_counts()}
        if {layer: each.frames for layer, each in told.items()} != counted:
            raise AssertionError("the compiled reader and the reference disagree about layers")
        for spatial, size in enumerate(known.structure.resolutions if known.structure else ()):
            for (layer, _), each in told.items():
                if layer == spatial and (each.width, each.height) != size:
                    raise AssertionError("the compiled reader and the reference disagree about sizes")
        if len(subscriber.received()) != counted[0, 0]:
            raise AssertionError("a layer above the limit went out, or one below did not")
