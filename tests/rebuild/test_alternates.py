"""Second conformers: made and unmade in the model, believed by their numbers."""

from dataclasses import replace

import numpy as np
import pytest

from burnish.chemistry.edit_conformers import Split, with_conformers, without_conformer
from burnish.chemistry.residues import residue_views
from burnish.chemistry.rotamers import rotamers_of
from burnish.rebuild.atom_rows import difference, rows_of
from burnish.rebuild.moves.alternates import Alternate, AlternateRules, decide_alternate, spread_angles
from peptide_model import make_peptide

MODEL = make_peptide(["ALA", "SER", "ALA"], -62.0, -42.0)
SPLIT = Split(chain="A", number="2", name="SER", positions={"CB": (1.0, 2.0, 3.0)}, occupancy=0.3)


def test_a_residue_is_split_and_made_whole():
    split = with_conformers(MODEL, [SPLIT])
    letters = {(a.name, a.altloc): a.occ for a in split[0]["A"][1]}
    assert letters[("CB", "A")] == pytest.approx(0.7)
    assert letters[("CB", "B")] == pytest.approx(0.3)
    assert letters[("CA", "\0")] == 1.0
    assert [v.altloc for v in residue_views(split[0])] == ["", "A", "B", ""]
    assert MODEL[0].count_atom_sites() + 1 == split[0].count_atom_sites()
    added, removed = difference(MODEL, split)
    assert added == ("A 2 SER CB A", "A 2 SER CB B")
    assert [r.name for r in removed] == ["A 2 SER CB"]
    whole = without_conformer(split, ("A", "2", "SER"), "B")
    assert rows_of(whole) == rows_of(MODEL)
    other = without_conformer(split, ("A", "2", "SER"), "A")
    assert other[0]["A"][1]["CB"][0].pos.tolist() == [1.0, 2.0, 3.0]
    assert other[0]["A"][1]["CB"][0].occ == 1.0


def test_atoms_that_have_conformers_are_left_alone():
    split = with_conformers(MODEL, [SPLIT])
    assert rows_of(with_conformers(split, [replace(SPLIT, occupancy=0.5)])) == rows_of(split)


GOOD = Alternate(view=0, rotamer="m", names=("OG",), xyz=np.zeros((1, 3)), mean_z=4.0, least_z=3.0, apart=1)


@pytest.mark.parametrize(
    ("change", "occupancy", "accepted"),
    [
        ({}, 0.3, True),
        ({}, 0.1, False),
        ({}, 0.9, False),
        ({}, 0.17, True),
        ({"mean_z": 3.5}, 0.17, False),
        ({"mean_z": 3.5}, 0.22, True),
        ({"mean_z": 2.0}, 0.3, False),
        ({"least_z": 0.5}, 0.3, False),
        ({"apart": 0}, 0.3, False),
    ],
)
def test_decision_about_a_second_conformer(change, occupancy, accepted):
    said, reason = decide_alternate(replace(GOOD, **change), occupancy, AlternateRules())
    assert said is accepted
    assert "m: " in reason


def test_the_end_of_glutamate_is_looked_for_all_round():
    (rotamer,) = [r for r in rotamers_of("GLU") if r.name == "mt-10"]
    angles = np.degrees(np.array(spread_angles("GLU", rotamer)))
    ends = np.unique(np.round(np.mod(angles[:, 2], 180.0), 3))
    assert len(ends) == 6 and np.allclose(np.diff(ends), 30.0)
    assert len(np.unique(np.round(angles[:, 0], 3))) == 3
    (other,) = [r for r in rotamers_of("SER") if r.name == "p"]
    assert len(spread_angles("SER", other)) == 3
