"""Writes dependency descriptors (AV1 RTP v1.0, appendix A.8), and the structures that libwebrtc's encoders send."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sfu.dependency import FrameDependency, Structure


class Bits:
    """Collects bits, most significant first."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def put(self, value: int, count: int) -> None:
        """An unsigned number of `count` bits."""
        self._bits.append(f"{value:0{count}b}" if count else "")

    def below(self, value: int, count: int) -> None:
        """ns(n)."""
        width = count.bit_length()
        short = (1 << width) - count
        if value < short:
            self.put(value, width - 1)
        else:
            self.put(value + short, width)

    def data(self) -> bytes:
        """All of them, the last byte filled with zeros."""
        text = "".join(self._bits)
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")


def put_structure(bits: Bits, structure: Structure) -> None:
    """template_dependency_structure()."""
    templates = structure.templates
    bits.put(structure.template_id_offset, 6)
    bits.put(structure.targets - 1, 5)
    for before, after in pairwise(templates):
        same = (before.spatial, before.temporal) == (after.spatial, after.temporal)
        bits.put(0 if same else 1 if before.spatial == after.spatial else 2, 2)
    bits.put(3, 2)
    for indication in (indication for each in templates for indication in each.indications):
        bits.put(indication, 2)
    for each in templates:
        for difference in each.differences:
            bits.put(1, 1)
            bits.put(difference - 1, 4)
        bits.put(0, 1)
    bits.below(structure.chains, structure.targets + 1)
    if structure.chains:
        for chain in structure.protected_by:
            bits.below(chain, structure.chains)
        for difference in (difference for each in templates for difference in each.chain_differences):
            bits.put(difference, 4)
    bits.put(bool(structure.resolutions), 1)
    for width, height in structure.resolutions:
        bits.put(width - 1, 16)
        bits.put(height - 1, 16)


def descriptor(
    template: int,
    number: int,
    *,
    structure: Structure,
    attach: bool = False,
    start: bool = True,
    end: bool = True,
    active: int | None = None,
    indications: Sequence[int] | None = None,
    differences: Sequence[int] | None = None,
    chains: Sequence[int] | None = None,
) -> bytes:
    """One descriptor of the template with this index; what is not None is told as the frame's own."""
    bits = Bits()
    bits.put(start, 1)
    bits.put(end, 1)
    bits.put((structure.template_id_offset + template) % 64, 6)
    bits.put(number & 0xFFFF, 16)
    if not attach and active is None and indications is None and differences is None and chains is None:
        return bits.data()
    for flag in (attach, active is not None, indications is not None, differences is not None, chains is not None):
        bits.put(flag, 1)
    if attach:
        put_structure(bits, structure)
    if active is not None:
        bits.put(active, structure.targets)
    for indication in indications or ():
        bits.put(indication, 2)
    if differences is not None:
        for difference in differences:
            size = 1 if difference <= 16 else 2 if difference <= 256 else 3
            bits.put(size, 2)
            bits.put(difference - 1, 4 * size)
        bits.put(0, 2)
    for chain in chains or ():
        bits.put(chain, 8)
    return bits.data()


def _template(spatial: int, temporal: int, indications: str, *differences: int) -> FrameDependency:
    return FrameDependency(spatial, temporal, tuple("-DSR".index(each) for each in indications), differences)


L1T3 = Structure(
    0,
    3,
    (
        _template(0, 0, "SSS"),
        _template(0, 0, "SSS", 4),
        _template(0, 1, "-DS", 2),
        _template(0, 2, "--D", 1),
        _template(0, 2, "--D", 1),
    ),
    resolutions=((640, 360),),
)
"""One spatial, three temporal layers; a picture is a frame."""

L2T1 = Structure(
    10,
    2,
    (
        _template(0, 0, "SS"),
        _template(0, 0, "SR", 2),
        _template(1, 0, "-S", 1),
        _template(1, 0, "-R", 2, 1),
    ),
    resolutions=((320, 180), (640, 360)),
)
"""Two spatial layers; templates 0 and 2 are those of a key picture."""
