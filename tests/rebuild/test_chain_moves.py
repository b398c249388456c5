"""Gaps, ends, side chains and sequences: what density shows is built, what it does not show is not."""

import math

import gemmi
import numpy as np
import pytest
from tests.rebuild.scenes import peptide_with_side_chains, scene_of

from burnish.chemistry.edit_model import without_atoms
from burnish.chemistry.residues import residue_views
from burnish.io.models import atoms_of
from burnish.rebuild.moves.gaps import close_gaps, extend_ends
from burnish.rebuild.moves.mutations import mutate_to_sequence
from burnish.rebuild.moves.side_chain_atoms import complete_side_chains, trim_side_chains
from burnish.rebuild.register import best_stretches, find_register_shifts, report_register_shifts

NAMES = ("ALA", "LEU", "SER", "PHE", "LYS", "VAL", "ASP", "GLY", "THR", "LEU", "ALA", "GLU")
TRUTH = peptide_with_side_chains(NAMES)


def atoms_by_name(structure: gemmi.Structure) -> dict[tuple[str, str], np.ndarray]:
    xyz = atoms_of(structure).xyz.numpy()
    return {(v.number, n): xyz[a] for v in residue_views(structure[0]) for n, a in v.atoms.items()}


def rms(one: gemmi.Structure, other: gemmi.Structure, numbers: range, names: tuple[str, ...]) -> float:
    a, b = atoms_by_name(one), atoms_by_name(other)
    square = [((a[str(k), n] - b[str(k), n]) ** 2).sum() for k in numbers for n in names]
    return math.sqrt(float(np.mean(square)))


def without_residues(structure: gemmi.Structure, numbers: range) -> gemmi.Structure:
    views = residue_views(structure[0])
    return without_atoms(structure, {a for v in views if int(v.number) in numbers for a in v.atoms.values()})


def side_atoms(structure: gemmi.Structure, number: int, first: str) -> set[int]:
    """Atoms of one side chain from a Greek letter on."""
    view = next(v for v in residue_views(structure[0]) if v.number == str(number))
    order = "BGDEZH"
    return {
        a
        for n, a in view.atoms.items()
        if len(n) > 1 and n not in ("CA", "OXT") and order.find(n[1]) >= order.index(first)
    }


def test_a_gap_is_closed_through_its_density():
    gone = range(5, 9)
    model = without_residues(TRUTH, gone)
    before = atoms_of(model).xyz.clone()
    scene = scene_of(model, TRUTH, (NAMES,))
    change = close_gaps(scene)
    (record,) = change.records
    assert record.accepted, record.reason
    assert rms(change.structure, TRUTH, gone, ("N", "CA", "C", "O")) < 0.4
    assert [r.name for r in change.structure[0]["A"]] == list(NAMES)
    assert "A 5 LYS CA" in record.added
    assert (atoms_of(model).xyz == before).all()


def test_no_density_no_loop():
    model = without_residues(TRUTH, range(5, 9))
    change = close_gaps(scene_of(model, model, (NAMES,)))
    assert [r.accepted for r in change.records] == [False]
    assert change.structure is model


def test_a_gap_that_the_numbering_does_not_know_is_reported():
    model = without_residues(TRUTH, range(5, 9))
    for residue in list(model[0]["A"])[4:]:
        residue.seqid = gemmi.SeqId(residue.seqid.num + 20, " ")
    change = close_gaps(scene_of(model, TRUTH, (NAMES,)))
    assert [r.accepted for r in change.records] == [False]
    assert "numbering" in change.records[0].reason


@pytest.mark.parametrize("at_the_end", [True, False])
def test_an_end_grows_while_there_is_density(at_the_end):
    gone = range(10, 13) if at_the_end else range(1, 4)
    model = without_residues(TRUTH, gone)
    change = extend_ends(scene_of(model, TRUTH, (NAMES,)))
    (record,) = change.records
    assert record.accepted, record.reason
    built = [r.seqid.num for r in change.structure[0]["A"]]
    assert built == list(range(1, len(built) + 1)) if at_the_end else built == list(range(13 - len(built), 13))
    inner = range(10, max(built) + 1) if at_the_end else range(min(built), 4)
    assert len(inner) >= 2
    assert rms(change.structure, TRUTH, inner, ("N", "CA", "C")) < 0.8
    assert [r.accepted for r in extend_ends(scene_of(model, model, (NAMES,))).records] == [False]


def test_a_cut_side_chain_is_completed_only_where_seen():
    cut = without_atoms(TRUTH, side_atoms(TRUTH, 4, "G") | side_atoms(TRUTH, 2, "D"))
    change = complete_side_chains(scene_of(cut, TRUTH))
    assert sorted(r.residue for r in change.records if r.accepted) == ["A 2 LEU", "A 4 PHE"]
    assert rms(change.structure, TRUTH, range(4, 5), ("CG", "CD1", "CE2", "CZ")) < 0.5
    assert rms(change.structure, TRUTH, range(2, 3), ("CD1", "CD2")) < 0.5
    unseen = complete_side_chains(scene_of(cut, cut))
    assert not any(r.accepted for r in unseen.records)
    assert unseen.structure is cut


def test_what_the_data_deny_is_cut():
    seen = without_atoms(TRUTH, side_atoms(TRUTH, 5, "D"))
    change = trim_side_chains(scene_of(TRUTH, seen))
    (record,) = change.records
    assert record.residue == "A 5 LYS"
    left = {n for (number, n) in atoms_by_name(change.structure) if number == "5"}
    assert left == {"N", "CA", "C", "O", "CB", "CG"}
    assert {name.split()[-1] for name, _ in record.undo} == {"CD", "CE", "NZ"}
    assert trim_side_chains(scene_of(TRUTH, TRUTH)).records == ()


def test_residues_become_what_the_sequence_says():
    wrong = peptide_with_side_chains((*NAMES[:3], "ALA", "SER", *NAMES[5:]))
    change = mutate_to_sequence(scene_of(wrong, TRUTH, (NAMES,)))
    assert [r.name for r in change.structure[0]["A"]] == list(NAMES)
    assert [(r.residue, r.accepted) for r in change.records] == [("A 4 ALA", True), ("A 5 SER", True)]
    assert rms(change.structure, TRUTH, range(4, 5), ("CG", "CZ")) < 0.5
    assert mutate_to_sequence(scene_of(wrong, TRUTH)).records == ()


def test_a_shift_of_register_is_seen_and_only_then():
    names = ("LEU", "ALA", "PHE", "GLY", "TRP", "SER", "LYS", "ALA", "ILE", "GLY", "GLU", "THR", "PHE", "ALA")
    truth = peptide_with_side_chains(names)
    shifted = peptide_with_side_chains((names[-1], *names[:-1]))
    assert find_register_shifts(scene_of(truth, truth)) == ()
    (found,) = find_register_shifts(scene_of(shifted, truth))
    assert found.shift == 1
    assert found.last - found.first > 8
    change = report_register_shifts(scene_of(shifted, truth))
    assert [r.accepted for r in change.records] == [False]
    assert change.structure[0].count_atom_sites() == shifted[0].count_atom_sites()


def test_stretches_of_largest_sum():
    gain = np.array([-1.0, 3.0, 4.0, 2.0, -1.0, 5.0, 6.0, -9.0, 1.0])
    assert best_stretches(gain) == [(1, 6, 19.0)]
    assert best_stretches(np.full(20, 0.5)) == []
    assert best_stretches(np.zeros(0)) == []
