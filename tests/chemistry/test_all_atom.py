"""Hydrogens of a model, whose geometry may leave no place for some of them, and what is said of each atom."""

import gemmi
import numpy as np
import pytest

from burnish.chemistry.all_atom import all_atom_model
from burnish.chemistry.library import read_library
from peptide_model import make_peptide


def test_a_flat_centre_loses_its_hydrogen_and_nothing_fails():
    peptide = make_peptide(["ALA"] * 4, -62.0, -42.0)
    peptide.setup_entities()
    residue = peptide[0][0][1]
    n, ca, c = (residue[name][0].pos for name in ("N", "CA", "C"))
    residue["CB"][0].pos = gemmi.Position(*((ca * 3 - n - c).tolist()))  # in the plane of N, CA and C
    library = read_library(["ALA"], debian=None, environment={})
    made = all_atom_model(peptide, library.monlib)
    names = [atom.name for atom in made.structure[0][0][1]]
    assert "HB1" in names and len(made.xyz) == made.structure[0].count_atom_sites()


def test_gemmi_itself_refuses_it():
    """The case above is one that fails without care: if not, it tests nothing."""
    peptide = make_peptide(["ALA"] * 4, -62.0, -42.0)
    peptide.setup_entities()
    residue = peptide[0][0][1]
    n, ca, c = (residue[name][0].pos for name in ("N", "CA", "C"))
    residue["CB"][0].pos = gemmi.Position(*((ca * 3 - n - c).tolist()))
    library = read_library(["ALA"], debian=None, environment={})
    with pytest.raises(RuntimeError, match="co-planar"):
        gemmi.prepare_topology(peptide, library.monlib, 0, gemmi.HydrogenChange.ReAddButWater)


def residue(name: str, number: int) -> gemmi.Residue:
    component = read_library([name], debian=None, environment={}).monlib.monomers[name]
    made = gemmi.Residue()
    made.name, made.seqid = name, gemmi.SeqId(number, " ")
    made.het_flag, made.entity_type = "A", gemmi.EntityType.Polymer
    for listed in component.atoms:
        if not listed.is_hydrogen() and listed.id != "OXT":
            atom = gemmi.Atom()
            atom.name, atom.element, atom.occ, atom.b_iso, atom.pos = listed.id, listed.el, 0.8, 20.0, listed.xyz
            made.add_atom(atom)
    return made


def single(*names: str):
    """Residues far apart, one chain each, as an all-atom model; and the row of each atom by residue and name."""
    structure, model = gemmi.Structure(), gemmi.Model(1)
    for k, name in enumerate(names):
        chain = gemmi.Chain("ABCDEFGH"[k])
        chain.add_residue(residue(name, 5))
        for atom in chain[0]:
            atom.pos += gemmi.Position(30.0 * k, 0.0, 0.0)
        model.add_chain(chain)
    structure.add_model(model)
    structure.setup_entities()
    made = all_atom_model(structure, read_library(list(names), debian=None, environment={}).monlib)
    return made, {(s.residue.name, s.atom.name): i for i, s in enumerate(made.structure[0].all())}


def test_radii_are_those_of_probe():
    made, row = single("PHE", "ASN", "DT", "MET")
    expected = {
        ("PHE", "CB"): 1.70, ("PHE", "CZ"): 1.75, ("PHE", "HZ"): 1.05, ("PHE", "HB2"): 1.22, ("PHE", "C"): 1.65,
        ("PHE", "H"): 1.05, ("ASN", "CG"): 1.65, ("ASN", "ND2"): 1.55, ("ASN", "OD1"): 1.40, ("ASN", "HD21"): 1.05,
        ("DT", "C6"): 1.75, ("DT", "H6"): 1.05, ("DT", "C7"): 1.70, ("DT", "H71"): 1.22, ("DT", "C1'"): 1.70,
        ("MET", "SD"): 1.80,
    }  # fmt: skip
    assert {k: float(made.radius[row[k]]) for k in expected} == expected


def test_hydrogens_that_turn_freely_count_like_any_other():
    made, row = single("SER", "TYR", "HIS", "DT")
    assert np.allclose(made.occ, 0.8)
    for key in (("SER", "HG"), ("TYR", "HH"), ("HIS", "HD1"), ("HIS", "HE2"), ("DT", "H71")):
        assert made.is_hydrogen[row[key]]


def test_the_face_of_a_ring_accepts():
    made, row = single("PHE", "TRP", "HIS", "DT")
    for key, accepts in {
        ("PHE", "CZ"): 1,
        ("TRP", "CZ2"): 1,
        ("TRP", "CD1"): 0,
        ("HIS", "ND1"): 1,
        ("DT", "C6"): 1,
    }.items():
        assert made.is_acceptor[row[key]] == bool(accepts)
