"""Residues by conformer: neighbours along the chain, gaps, conformers, kinds."""

import gemmi

from burnish.chemistry.residues import residue_views
from peptide_model import make_peptide


def test_neighbours_and_gaps():
    structure = make_peptide(["ALA"] * 4, -60.0, -45.0)
    for atom in structure[0]["A"][3]:
        atom.pos = gemmi.Position(*(x + 8.0 for x in atom.pos.tolist()))
    views = residue_views(structure[0])
    assert [(v.previous, v.next) for v in views] == [(-1, 1), (0, 2), (1, -1), (-1, -1)]
    assert views[1].indices("N", "CA") == (5, 6)
    assert views[1].indices("N", "CG") is None


def test_conformers_share_what_has_no_letter():
    structure = make_peptide(["ALA", "SER", "ALA"], -60.0, -45.0)
    residue = structure[0]["A"][1]
    for letter in "AB":
        atom = gemmi.Atom()
        atom.name, atom.element, atom.altloc, atom.pos = "OG", gemmi.Element("O"), letter, residue["CB"][0].pos
        residue.add_atom(atom)
    views = residue_views(structure[0])
    assert [v.altloc for v in views] == ["", "A", "B", ""]
    assert [v.is_primary for v in views] == [True, True, False, True]
    assert views[1].atoms["CA"] == views[2].atoms["CA"]
    assert views[1].atoms["OG"] + 1 == views[2].atoms["OG"]
    assert (views[0].next, views[3].previous) == (1, 1)
    assert views[2].label == "A 2 SER (B)"


def test_waters_and_ligands_have_no_neighbours():
    structure = make_peptide(["ALA", "HOH", "SO4"], -60.0, -45.0)
    for residue in list(structure[0]["A"])[1:]:
        while len(residue) > 1:
            del residue[0]
    assert [v.kind for v in residue_views(structure[0])] == ["protein", "water", "other"]
