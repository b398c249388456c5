"""What is remembered from round to round."""

import numpy as np

from burnish.rebuild.memory import Memory, memory_from_record

XYZ = np.random.default_rng(0).normal(0.0, 2.0, (5, 3))


def test_a_failure_is_not_repeated_until_the_zone_has_moved():
    memory = Memory()
    assert memory.is_new
    assert not memory.would_repeat("rotamer", "A 1 LEU", XYZ)
    memory.remember_failure("rotamer", "A 1 LEU", XYZ)
    assert not memory.is_new
    assert memory.would_repeat("rotamer", "A 1 LEU", XYZ + 0.05)
    assert not memory.would_repeat("rotamer", "A 1 LEU", XYZ + 0.5)
    assert not memory.would_repeat("peptide flip", "A 1 LEU", XYZ)
    assert not memory.would_repeat("rotamer", "A 1 LEU", XYZ[:4])


def test_failures_are_forgotten_when_the_maps_are_clearer_but_not_what_was_left():
    memory = Memory()
    memory.remember_failure("rotamer", "A 1 LEU", XYZ)
    memory.remember_left("A 1 LEU", XYZ, XYZ + 3.0)
    memory.forget_failures()
    for kept in (memory, memory_from_record(memory.as_record())):
        assert not kept.would_repeat("rotamer", "A 1 LEU", XYZ)
        assert kept.goes_back("A 1 LEU", XYZ + 3.0, XYZ)
        assert not kept.is_new
    alone = Memory()
    alone.remember_failure("rotamer", "A 1 LEU", XYZ)
    alone.forget_failures()
    assert not alone.is_new


def test_what_was_left_is_not_returned_to():
    memory = Memory()
    memory.remember_left("A 1 LEU", XYZ, XYZ + 3.0)
    assert memory.goes_back("A 1 LEU", XYZ + 3.0, XYZ + 0.1)
    assert not memory.goes_back("A 1 LEU", XYZ + 3.0, XYZ + 2.0)
    assert not memory.goes_back("A 2 LEU", XYZ + 3.0, XYZ)


def test_what_was_only_straightened_was_not_left():
    memory = Memory()
    memory.remember_left("A 1 LEU", XYZ, XYZ + 0.1)
    assert not memory.goes_back("A 1 LEU", XYZ + 3.0, XYZ)


def test_memory_keeps_its_own_copies_and_goes_through_a_file():
    memory, xyz = Memory(), XYZ.copy()
    memory.remember_failure("rotamer", "A 1 LEU", xyz)
    memory.remember_left("A 1 LEU", xyz, xyz + 3.0)
    xyz += 5.0
    again = memory_from_record(memory.as_record())
    assert again.would_repeat("rotamer", "A 1 LEU", XYZ)
    assert again.goes_back("A 1 LEU", XYZ + 3.0, XYZ)


def test_what_refinement_has_undone_is_not_made_again():
    memory = Memory()
    memory.remember_left("A 1 LEU", XYZ, XYZ + 3.0)
    for kept in (memory, memory_from_record(memory.as_record())):
        assert kept.goes_back("A 1 LEU", XYZ + 1.5, XYZ + 3.0)
        assert not kept.goes_back("A 1 LEU", XYZ + 3.1, XYZ + 2.9)  # kept, and now straightened
    assert not memory_from_record({"failed": {}, "left": {}}).made  # folders of before
