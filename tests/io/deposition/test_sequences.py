"""Sequences of a deposition: aligned from FASTA, kept, or taken from the model."""

import gemmi
import pytest

from burnish.core.errors import DataError
from burnish.io.deposition.sequences import read_sequences, with_sequences
from peptide_model import make_peptide


@pytest.fixture
def peptide() -> gemmi.Structure:
    structure = make_peptide(["GLY", "ALA", "SER", "VAL", "LEU", "THR", "LYS", "GLU"], -62.0, -42.0)
    structure.setup_entities()
    return structure


def numbers(structure: gemmi.Structure) -> list[int | None]:
    return [r.label_seq for r in structure[0][0]]


def test_residues_take_their_place_in_the_full_sequence(peptide):
    del peptide[0][0][3]  # a gap at the valine
    found = with_sequences(peptide, [("tagged", "MHGASVLTKEHH")])
    assert numbers(found.structure) == [3, 4, 5, 7, 8, 9, 10]
    assert [len(e.full_sequence) for e in found.structure.entities] == [12]
    assert found.from_model == () and found.messages == ()


def test_a_residue_that_differs_is_told(peptide):
    found = with_sequences(peptide, [("mutant", "GASVLTRE")])
    assert "1 residues differ from it: LYS 7 (ARG in the sequence)" in found.messages[0].text


def test_a_sequence_of_something_else_is_not_used(peptide):
    found = with_sequences(peptide, [("other", "WWWWHHHHWWWW")])
    assert found.from_model == ("A",)
    assert "not used" in found.messages[0].text
    assert list(found.structure.entities[0].full_sequence)[:2] == ["GLY", "ALA"]


def test_copies_of_one_sequence_become_one_entity(peptide):
    second = peptide[0][0].clone()
    second.name = "B"
    for _ in range(3):
        del second[0]
    for residue in second:
        residue.subchain = ""
    peptide[0].add_chain(second)
    peptide.setup_entities()
    found = with_sequences(peptide, [("both", "GASVLTKE")])
    assert [(e.name, e.subchains) for e in found.structure.entities] == [("1", ["A", "B"])]


def test_inputs_unchanged(peptide):
    before = peptide.make_mmcif_document().as_string()
    with_sequences(peptide, [("tagged", "MHGASVLTKEHH")])
    assert peptide.make_mmcif_document().as_string() == before


def test_an_empty_sequence_is_refused(tmp_path):
    path = tmp_path / "empty.fasta"
    path.write_text(">one\nGASV\n>two\n\n")
    with pytest.raises(DataError, match=r"sequence two is empty"):
        read_sequences([path])
