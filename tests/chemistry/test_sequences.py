"""Chains against their sequences: where residues stand, what is missing, what is another residue."""

import gemmi
import pytest

from burnish.chemistry.edit_model import without_atoms
from burnish.chemistry.edit_residues import NewAtom, NewResidue, with_new_atoms, with_residues
from burnish.chemistry.residues import residue_views
from burnish.chemistry.sequences import differs, find_gaps, place_chains
from burnish.core.errors import DataError, InputError
from burnish.io.sequences import read_sequences
from peptide_model import make_peptide, positions

NAMES = ("MET", "LYS", "ALA", "LEU", "SER", "GLY", "VAL", "PHE", "GLU", "THR")


def chain(kept: tuple[int, ...]) -> gemmi.Structure:
    structure = make_peptide(NAMES, -120.0, 130.0)
    doomed = {a for k, v in enumerate(residue_views(structure[0])) if k not in kept for a in v.atoms.values()}
    left = without_atoms(structure, doomed)
    left.setup_entities()
    return left


def numbers(structure: gemmi.Structure) -> dict[int, int]:
    return {v.residue: int(v.number) for v in residue_views(structure[0])}


def test_gap_and_ends():
    structure = chain((1, 2, 3, 6, 7, 8))
    (placed,) = place_chains(structure, [("ALA", "TRP", "TRP"), NAMES])
    assert placed.sequence == NAMES
    assert placed.positions == (1, 2, 3, 6, 7, 8)
    (gap,), words = find_gaps(placed, numbers(structure), 12)
    assert (gap.before, gap.after) == (2, 3)
    assert gap.names == ("SER", "GLY")
    assert gap.numbers == (5, 6)
    assert words == ()
    none, words = find_gaps(placed, numbers(structure), 1)
    assert none == ()
    assert "more than 1" in words[0]


def test_no_sequence_no_place():
    structure = chain(tuple(range(10)))
    assert place_chains(structure) == ()
    assert place_chains(structure, [("TRP",) * 10]) == ()
    structure.entities[0].full_sequence = list(NAMES)
    (placed,) = place_chains(structure)
    assert placed.positions == tuple(range(10))


def test_modified_residues_count_as_what_they_are_made_of():
    assert not differs("MSE", "MET")
    assert differs("ALA", "GLY")
    assert not differs("XYZ", "XYZ")


def test_residues_and_atoms_come_in_at_their_places():
    structure = chain((0, 1, 4, 5))
    atom = NewAtom(name="CA", element="C", xyz=positions(structure)[0].numpy() + 9.0, b_iso=30.0)
    new = [NewResidue(name="ALA", number=3, atoms=(atom,)), NewResidue(name="LEU", number=4, atoms=(atom,))]
    grown = with_residues(structure, 2, new)
    assert [r.seqid.num for r in grown[0]["A"]] == [1, 2, 3, 4, 5, 6]
    assert len({r.subchain for r in grown[0]["A"]}) == 1
    assert structure[0].count_atom_sites() == grown[0].count_atom_sites() - 2
    at_the_end = with_residues(structure, 4, [NewResidue(name="VAL", number=7, atoms=(atom,))])
    assert [r.seqid.num for r in at_the_end[0]["A"]] == [1, 2, 5, 6, 7]
    with pytest.raises(ValueError, match="no chain"):
        with_residues(structure, 2, [NewResidue(name="VAL", number=77, atoms=(atom,))])
    changed = with_new_atoms(structure, {1: [atom]}, names={1: "GLN"}, dropped={1: {"CA", "CB"}})
    residue = changed[0]["A"][1]
    assert residue.name == "GLN"
    assert sorted(a.name for a in residue) == ["C", "CA", "N", "O"]


def test_sequence_files(tmp_path):
    path = tmp_path / "a.fasta"
    path.write_text(">one\nMKAL\nSG\n>two\nA(MSE)G\n")
    assert read_sequences(path) == (NAMES[:6], ("ALA", "MSE", "GLY"))
    path.write_text("nothing here?\n")
    with pytest.raises(DataError, match=r"a\.fasta"):
        read_sequences(path)
    with pytest.raises(InputError, match="none"):
        read_sequences(tmp_path / "none.fasta")
