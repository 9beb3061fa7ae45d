"""The dependency descriptor: structures, templates and what is said of one frame alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.codecs import LayerMarks
from sfu.dependency import MAX_TEMPLATES, Dependencies, DependencyError, FrameDependency, Structure, parse
from tests.sfu.descriptors import L1T3, L2T1, Bits, descriptor


def test_a_structure_is_read_as_it_was_written() -> None:
    read = parse(descriptor(0, 7, structure=L2T1, attach=True), None)
    assert read.structure == L2T1
    assert read.attached
    assert (read.start_of_frame, read.end_of_frame, read.frame_number, read.active) == (True, True, 7, 0b11)
    assert read.frame == L2T1.templates[0]


def test_three_bytes_name_a_template_of_the_structure_before() -> None:
    read = parse(descriptor(3, 0xFFFF, structure=L1T3, start=False), L1T3)
    assert (read.start_of_frame, read.frame_number, read.frame) == (False, 0xFFFF, L1T3.templates[3])
    assert not read.attached


def test_template_ids_wrap_behind_their_offset() -> None:
    structure = Structure(62, L1T3.targets, L1T3.templates)
    assert parse(descriptor(4, 1, structure=structure), structure).frame == L1T3.templates[4]


def test_a_frame_can_have_its_own_indications_differences_and_chains() -> None:
    structure = Structure(0, 2, (FrameDependency(0, 0, (2, 2), (1,), (3,)),), 1, (0, 0))
    data = descriptor(0, 1, structure=structure, indications=(1, 0), differences=(1, 17, 4096), chains=(255,))
    assert parse(data, structure).frame == FrameDependency(0, 0, (1, 0), (1, 17, 4096), (255,))


def test_the_mask_of_active_targets_is_read() -> None:
    assert parse(descriptor(0, 1, structure=L1T3, attach=True, active=0b011), None).active == 0b011
    assert parse(descriptor(0, 1, structure=L1T3, active=0b101), L1T3).active == 0b101


def test_targets_have_the_highest_layers_that_belong_to_them() -> None:
    assert [L1T3.target_layers(target) for target in range(3)] == [(0, 0), (0, 1), (0, 2)]
    assert [L2T1.target_layers(target) for target in range(2)] == [(0, 0), (1, 0)]


@pytest.mark.parametrize("data", [b"", b"\x80\x00", b"\x80\x00\x01", descriptor(0, 1, structure=L1T3, active=7)])
def test_without_a_structure_nothing_is_understood(data: bytes) -> None:
    with pytest.raises(DependencyError):
        parse(data, None)


def test_a_template_outside_of_the_structure_is_an_error() -> None:
    with pytest.raises(DependencyError, match="template"):
        parse(bytes((0x80 | 5, 0, 1)), L1T3)


def test_a_structure_cut_anywhere_is_an_error() -> None:
    whole = descriptor(0, 1, structure=L2T1, attach=True)
    for length in range(len(whole)):
        with pytest.raises(DependencyError):
            parse(whole[:length], None)


def layers_of(*steps: int) -> bytes:
    bits = Bits()
    bits.put(0x800001 << 5 | 0b10000, 29)
    bits.put(0, 11)
    for step in steps:
        bits.put(step, 2)
    return bits.data() + bytes(64)


@pytest.mark.parametrize(
    ("steps", "fits"),
    [
        ((1,) * 7 + (3,), True),
        ((1,) * 8 + (3,), False),
        ((2,) * 3 + (3,), True),
        ((2,) * 4 + (3,), False),
        ((0,) * (MAX_TEMPLATES - 1) + (3,), True),
        ((0,) * MAX_TEMPLATES + (3,), False),
    ],
)
def test_layers_and_templates_are_bounded(steps: tuple[int, ...], fits: bool) -> None:
    data = layers_of(*steps)
    if fits:
        assert len(parse(data, None).structure.templates) == len(steps)
    else:
        with pytest.raises(DependencyError, match="too many"):
            parse(data, None)


@given(st.binary(max_size=80), st.sampled_from([None, L1T3, L2T1]))
def test_any_bytes_are_a_descriptor_or_its_error(data: bytes, structure: Structure | None) -> None:
    try:
        parse(data, structure)
    except DependencyError:
        return


# What a forwarder must know


def test_a_switch_opens_the_temporal_layers_above() -> None:
    known = Dependencies()
    assert known.read(descriptor(0, 1, structure=L1T3, attach=True), 0) == LayerMarks(0, 0, 0, 7, True, True)
    assert known.read(descriptor(3, 2, structure=L1T3), 3000) == LayerMarks(0, 2, 0, 0, False, True)
    assert known.read(descriptor(2, 3, structure=L1T3), 6000) == LayerMarks(0, 1, 1, 7, False, True)


def test_a_spatial_layer_opens_where_it_needs_its_own_picture_alone() -> None:
    known = Dependencies()
    known.read(descriptor(0, 1, structure=L2T1, attach=True), 0)
    assert known.read(descriptor(2, 2, structure=L2T1), 0) == LayerMarks(1, 0, 0, 0, True, True)
    known.read(descriptor(1, 3, structure=L2T1), 3000)
    assert known.read(descriptor(3, 4, structure=L2T1), 3000) == LayerMarks(1, 0, 0, 0, False, True)
    assert known.read(descriptor(2, 6, structure=L2T1), 6000) == LayerMarks(1, 0, 0, 0, False, True)


def test_what_is_not_understood_changes_nothing() -> None:
    known = Dependencies()
    known.read(descriptor(0, 1, structure=L1T3, attach=True), 0)
    assert known.read(descriptor(0, 1, structure=L2T1, attach=True)[:-1], 0) is None
    assert known.structure == L1T3
