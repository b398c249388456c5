"""Hydrogens of a model whose geometry leaves no place for some of them."""

import gemmi
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
