"""The dependency descriptor, a header extension that tells layers of any codec: plain reference of sfu/dependency.pxi.

"RTP Payload Format For AV1" v1.0, appendix A. `parse` understands one descriptor by the template structure that came
before it, or raises `DependencyError`; `Dependencies` keeps that structure for a stream and says what a forwarder must
know of a packet. Nothing else keeps state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from sfu.codecs import ALL_LAYERS, LayerMarks

MAX_TEMPLATES = 64
MAX_SPATIAL_ID, MAX_TEMPORAL_ID = 3, 7
MANDATORY_BYTES = 3


class DependencyError(ValueError):
    """The bytes are no descriptor, or one whose structure is not known."""


class Indication(IntEnum):
    """What a frame is to a decode target (A.2)."""

    NOT_PRESENT = 0
    DISCARDABLE = 1
    SWITCH = 2
    REQUIRED = 3


@dataclass(frozen=True, slots=True)
class FrameDependency:
    """What a template, or a frame of its own, says; differences are of frame numbers."""

    spatial: int
    temporal: int
    indications: tuple[int, ...]
    differences: tuple[int, ...] = ()
    chain_differences: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Structure:
    """template_dependency_structure(); `protected_by` has the chain of each decode target, when there are chains."""

    template_id_offset: int
    targets: int
    templates: tuple[FrameDependency, ...]
    chains: int = 0
    protected_by: tuple[int, ...] = ()
    resolutions: tuple[tuple[int, int], ...] = ()

    def target_layers(self, target: int) -> tuple[int, int]:
        """(spatial, temporal): the highest of the templates that belong to the decode target."""
        within = [each for each in self.templates if each.indications[target] != Indication.NOT_PRESENT]
        return max((each.spatial for each in within), default=0), max((each.temporal for each in within), default=0)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One descriptor, read by `structure`, which it brings if `attached`; `active` is a mask of decode targets."""

    start_of_frame: bool
    end_of_frame: bool
    template_id: int
    frame_number: int
    frame: FrameDependency
    structure: Structure
    attached: bool = False
    active: int | None = None


class _Bits:
    """Reads bits, most significant first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        """An unsigned number of `count` bits."""
        if count > self._left:
            raise DependencyError("the descriptor is cut off")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def flag(self) -> bool:
        """One bit."""
        return bool(self.take(1))

    def below(self, count: int) -> int:
        """ns(n): a number from 0 to count - 1, the small ones a bit shorter."""
        width = count.bit_length()
        short = (1 << width) - count
        value = self.take(width - 1)
        return value if value < short else (value << 1) - short + self.take(1)


def parse(data: bytes, structure: Structure | None) -> Descriptor:
    """dependency_descriptor(), A.8. `structure` is the one last attached to this stream."""
    bits = _Bits(data)
    start, end, template_id, number = bits.flag(), bits.flag(), bits.take(6), bits.take(16)
    attached, active = False, None
    custom_indications = custom_differences = custom_chains = False
    if len(data) > MANDATORY_BYTES:
        attached, has_active = bits.flag(), bits.flag()
        custom_indications, custom_differences, custom_chains = bits.flag(), bits.flag(), bits.flag()
        if attached:
            structure = _parse_structure(bits)
            active = (1 << structure.targets) - 1
        if structure is None:
            raise DependencyError("no structure is known")
        if has_active:
            active = bits.take(structure.targets)
    if structure is None:
        raise DependencyError("no structure is known")
    index = (template_id - structure.template_id_offset) % MAX_TEMPLATES
    if index >= len(structure.templates):
        raise DependencyError("the template is not one of the structure")
    frame = structure.templates[index]
    if custom_indications:
        frame = replace(frame, indications=tuple(bits.take(2) for _ in range(structure.targets)))
    if custom_differences:
        frame = replace(frame, differences=_parse_differences(bits))
    if custom_chains:
        frame = replace(frame, chain_differences=tuple(bits.take(8) for _ in range(structure.chains)))
    return Descriptor(start, end, template_id, number, frame, structure, attached, active)


def _parse_differences(bits: _Bits) -> tuple[int, ...]:
    differences = []
    while size := bits.take(2):
        differences.append(bits.take(4 * size) + 1)
    return tuple(differences)


def _parse_layers(bits: _Bits) -> list[tuple[int, int]]:
    """template_layers(): next_layer_idc is 0 for the same layer, 1 the next temporal, 2 the next spatial one, 3 end."""
    layers = [(0, 0)]
    while (step := bits.take(2)) != 3:
        spatial, temporal = layers[-1]
        if step == 1:
            temporal += 1
        elif step == 2:
            spatial, temporal = spatial + 1, 0
        if spatial > MAX_SPATIAL_ID or temporal > MAX_TEMPORAL_ID or len(layers) == MAX_TEMPLATES:
            raise DependencyError("too many layers or templates")
        layers.append((spatial, temporal))
    return layers


def _parse_structure(bits: _Bits) -> Structure:
    offset, targets = bits.take(6), bits.take(5) + 1
    layers = _parse_layers(bits)
    indications = [tuple(bits.take(2) for _ in range(targets)) for _ in layers]
    differences: list[tuple[int, ...]] = []
    for _ in layers:
        each = []
        while bits.flag():
            each.append(bits.take(4) + 1)
        differences.append(tuple(each))
    chains = bits.below(targets + 1)
    protected_by: tuple[int, ...] = ()
    chain_differences: list[tuple[int, ...]] = [() for _ in layers]
    if chains:
        protected_by = tuple(bits.below(chains) for _ in range(targets))
        chain_differences = [tuple(bits.take(4) for _ in range(chains)) for _ in layers]
    resolutions: tuple[tuple[int, int], ...] = ()
    if bits.flag():
        resolutions = tuple((bits.take(16) + 1, bits.take(16) + 1) for _ in range(layers[-1][0] + 1))
    templates = tuple(
        FrameDependency(*layer, *each)
        for layer, *each in zip(layers, indications, differences, chain_differences, strict=True)
    )
    return Structure(offset, targets, templates, chains, protected_by, resolutions)


class Dependencies:
    """What is known of one stream's layers: its structure, and where its newest picture begins."""

    def __init__(self) -> None:
        self.structure: Structure | None = None
        self._timestamp: int | None = None
        self._first_frame = 0

    def read(self, data: bytes, timestamp: int) -> LayerMarks | None:
        """What the descriptor of a packet says; None when it cannot be understood.

        A frame opens a spatial layer when all it needs is in its own picture, and temporal layers of its own spatial
        one for which it is a switch.
        """
        try:
            descriptor = parse(data, self.structure)
        except DependencyError:
            return None
        self.structure = structure = descriptor.structure
        if self._timestamp is None or 0 < (timestamp - self._timestamp) % 2**32 < 2**31:
            self._timestamp, self._first_frame = timestamp, descriptor.frame_number
        frame = descriptor.frame
        opens_to = 0
        opens_spatial = False
        if descriptor.start_of_frame:
            reach = (descriptor.frame_number - self._first_frame) % 2**16 if timestamp == self._timestamp else 0
            opens_spatial = max(frame.differences, default=0) <= reach
            opens_to = self._opens_to(structure, frame)
        return LayerMarks(
            frame.spatial,
            frame.temporal,
            frame.temporal if opens_to else 0,
            opens_to,
            opens_spatial,
            descriptor.end_of_frame,
        )

    @staticmethod
    def _opens_to(structure: Structure, frame: FrameDependency) -> int:
        layers = [structure.target_layers(target) for target in range(structure.targets)]
        opened = max(
            (
                temporal
                for (spatial, temporal), indication in zip(layers, frame.indications, strict=True)
                if indication == Indication.SWITCH and spatial == frame.spatial and temporal > frame.temporal
            ),
            default=0,
        )
        return ALL_LAYERS if opened and opened == max(temporal for _, temporal in layers) else opened
