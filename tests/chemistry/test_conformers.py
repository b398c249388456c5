"""Conformers of components from dictionaries that leave bonds delocalised."""

import gemmi
import numpy as np
import pytest

from burnish.chemistry.conformers import Shapes, drawn_bonds, ligand_shapes
from burnish.chemistry.library import read_library


def delocalised(name: str, pairs: list[tuple[str, str]]) -> gemmi.ChemComp:
    """A component some of whose bonds its dictionary calls delocalised, with the charges that CCP4 writes then."""
    changed = read_library([name], environment={}, debian=None).monlib.monomers[name]
    for bond in changed.rt.bonds:
        if (bond.id1.atom, bond.id2.atom) in pairs or (bond.id2.atom, bond.id1.atom) in pairs:
            bond.type = gemmi.BondType.Deloc
    return changed


@pytest.mark.parametrize(
    ("name", "pairs", "double", "charged"),
    [
        ("PO4", [("P", f"O{k}") for k in (1, 2, 3, 4)], 1, 3),
        ("SO4", [("S", f"O{k}") for k in (1, 2, 3, 4)], 2, 2),
        ("ACT", [("C", "O"), ("C", "OXT")], 1, 1),
        ("EPE", [("S", "O1S"), ("S", "O2S"), ("S", "O3S")], 2, 1),
    ],
)
def test_delocalised_bonds_are_drawn(name, pairs, double, charged):
    bonds, charges = drawn_bonds(delocalised(name, pairs))
    asked = [order for one, two, order in bonds if (one, two) in pairs or (two, one) in pairs]
    assert sorted(asked) == ["double"] * double + ["single"] * (len(pairs) - double)
    assert sum(charges[n] == -1 for p in pairs for n in p) == charged


def test_a_dictionary_with_delocalised_phosphates_gives_conformers():
    changed = delocalised("ATP", [(f"P{k}", f"O{n}{k}") for k in "ABG" for n in (1, 2, 3)])
    shapes = ligand_shapes(changed, 5, 1)
    assert shapes.source == "RDKit"
    assert shapes.xyz.shape == (5, 31, 3)
    lengths = np.linalg.norm(shapes.xyz[:, shapes.bonds[:, 0]] - shapes.xyz[:, shapes.bonds[:, 1]], axis=2)
    assert lengths.max() < 1.9


def test_rings_stay_aromatic_and_amidines_get_their_charge():
    arginine = delocalised("ARG", [("CZ", "NE"), ("CZ", "NH1"), ("CZ", "NH2")])
    bonds, charges = drawn_bonds(arginine)
    around = {frozenset((a, b)): order for a, b, order in bonds}
    orders = [around[frozenset(("CZ", n))] for n in ("NE", "NH1", "NH2")]
    assert sorted(orders) == ["double", "single", "single"]
    assert sum(charges[n] for n in ("NE", "NH1", "NH2")) == 1
    ring = delocalised("BEN", [("C1", "C2")])
    assert ("C1", "C2", "aromatic") in drawn_bonds(ring)[0] or ("C2", "C1", "aromatic") in drawn_bonds(ring)[0]
    assert ligand_shapes(arginine, 3, 1).source == "RDKit"


def test_tertiary_amides_turn_and_others_do_not():
    smiles = {"TAM": "CCN(CC)C(=O)CC", "SAM": "CCNC(=O)CC"}
    monlib = read_library(list(smiles), environment={}, debian=None, smiles=smiles).monlib
    for name, expected in (("TAM", True), ("SAM", False)):
        shapes = ligand_shapes(monlib.monomers[name], 1, 1)
        nitrogen, (carbonyl,) = shapes.elements.index("N"), _carbonyls(shapes)
        turning = {frozenset(pair) for pair in shapes.turning.tolist()}
        assert (frozenset((nitrogen, carbonyl)) in turning) == expected


def _carbonyls(shapes: Shapes) -> list[int]:
    oxygen = shapes.elements.index("O")
    return [j if i == oxygen else i for i, j in shapes.bonds.tolist() if oxygen in (i, j)]
