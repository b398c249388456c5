"""Which residues follow each other, what kind a link is, and where symmetry puts its second atom."""

import gemmi
import numpy as np
import pytest

from burnish.chemistry.links import follows, link_origin
from burnish.chemistry.topology import nearest_image
from burnish.data.restraints import Origin


def residue(number: int, icode: str = " ", label: int | None = None) -> gemmi.Residue:
    made = gemmi.Residue()
    made.name = "ALA"
    made.seqid = gemmi.SeqId(number, icode)
    made.label_seq = label
    return made


def atom(name: str, element: str) -> gemmi.Atom:
    made = gemmi.Atom()
    made.name, made.element = name, gemmi.Element(element)
    return made


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (residue(10), residue(11), True),
        (residue(10), residue(12), False),
        (residue(10), residue(10, "A"), True),
        (residue(10), residue(10), False),
        (residue(10, label=4), residue(45, label=5), True),
        (residue(10, label=4), residue(11, label=6), False),
    ],
)
def test_next_in_sequence(first, second, expected):
    assert follows(first, second) is expected


@pytest.mark.parametrize(
    ("link_id", "atoms", "expected"),
    [
        ("PTRANS", [atom("C", "C"), atom("N", "N")], Origin.PEPTIDE),
        ("p", [atom("O3'", "O"), atom("P", "P")], Origin.NUCLEIC),
        ("disulf", [atom("SG", "S"), atom("SG", "S")], Origin.DISULPHIDE),
        ("SF41-CYS", [atom("FE1", "Fe"), atom("SG", "S")], Origin.METAL),
        ("BETA1-4", [atom("O4", "O"), atom("C1", "C")], Origin.GLYCOSIDIC),
        ("auto-1", [atom("C7", "C"), atom("NZ", "N")], Origin.OTHER_LINK),
    ],
)
def test_kind_of_link(link_id, atoms, expected):
    assert link_origin(link_id, atoms) == expected


def test_nearest_image_is_where_gemmi_measures_it():
    crystal = gemmi.Structure()
    crystal.cell = gemmi.UnitCell(40.0, 50.0, 60.0, 90.0, 104.0, 90.0)
    crystal.spacegroup_hm = "P 1 21 1"
    crystal.setup_cell_images()
    cell = crystal.cell
    rng = np.random.default_rng(3)
    for _ in range(20):
        first, second = gemmi.Position(*rng.uniform(-30, 90, 3)), gemmi.Position(*rng.uniform(-30, 90, 3))
        rotation, shift = nearest_image(cell, first, second)
        moved = rotation @ np.array(second.tolist()) + shift
        expected = cell.find_nearest_image(first, second, gemmi.Asu.Any).dist()
        assert np.linalg.norm(moved - np.array(first.tolist())) == pytest.approx(expected, abs=1e-6)
        assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-10)
