"""Clashes of atoms whose overlap is known, and what counts as a hydrogen bond instead."""

import gemmi
import numpy as np
import pytest
from scipy import sparse

from burnish.chemistry.all_atom import AllAtomModel, Rotor
from burnish.validate.clashes import find_clashes
from burnish.validate.polar_hydrogens import turn_polar_hydrogens


def atoms(
    xyz, radius, *, donor=(), acceptor=(), water=(), bonded=(), altloc=None, charge=None, rotors=(), hydrogen=()
) -> AllAtomModel:
    n = len(xyz)

    def marked(which):
        return np.isin(np.arange(n), list(which))

    excluded = sparse.lil_array((n, n), dtype=bool)
    for i in range(n):
        excluded[i, i] = True
    for i, j in bonded:
        excluded[i, j] = excluded[j, i] = True
    return AllAtomModel(
        structure=gemmi.Structure(),
        xyz=np.array(xyz, dtype=float),
        radius=np.array(radius, dtype=float),
        is_donor=marked(donor),
        is_acceptor=marked(acceptor),
        charge=np.zeros(n, dtype=np.int64) if charge is None else np.array(charge),
        is_hydrogen=marked(hydrogen),
        is_water=marked(water),
        altloc=np.zeros(n, dtype=np.int64) if altloc is None else np.array(altloc),
        occ=np.ones(n),
        excluded=excluded.tocsr(),
        rotors=tuple(rotors),
    )


def test_overlap_of_two_spheres():
    found = find_clashes(atoms([(0, 0, 0), (0, 0, 2.6)], [1.75, 1.40]))
    (clash,) = found.pairs
    assert clash.overlap == pytest.approx(0.55, abs=0.02)  # the dots are 0.25 Å apart
    assert found.score == pytest.approx(500.0)


def test_touching_spheres_do_not_clash():
    assert find_clashes(atoms([(0, 0, 0), (0, 0, 2.85)], [1.75, 1.40])).pairs == ()


def test_bonded_atoms_do_not_clash():
    assert find_clashes(atoms([(0, 0, 0), (0, 0, 1.5)], [1.75, 1.75], bonded=[(0, 1)])).pairs == ()


def test_hydrogen_bonds_are_no_clash():
    bond = {"donor": [0], "acceptor": [1]}
    assert find_clashes(atoms([(0, 0, 0), (0, 0, 1.9)], [1.05, 1.40], **bond)).pairs == ()
    assert len(find_clashes(atoms([(0, 0, 0), (0, 0, 1.9)], [1.05, 1.40])).pairs) == 1
    assert len(find_clashes(atoms([(0, 0, 0), (0, 0, 1.9)], [1.05, 1.40], charge=[1, 1], **bond)).pairs) == 1
    # however close: some of their dots are as deep as those of a hydrogen bond, and that is enough for MolProbity
    assert find_clashes(atoms([(0, 0, 0), (0, 0, 1.3)], [1.05, 1.40], **bond)).pairs == ()


def test_hydrogen_bonds_clash_where_every_dot_is_too_deep():
    # all that lies below z = 0.95 is inside an atom bonded to both, so that only the deepest dots are left
    given = {"donor": [0], "acceptor": [1], "bonded": [(0, 2), (1, 2)], "hydrogen": [0]}
    xyz, radius = [(0, 0, 0), (0, 0, 0.8), (0, 0, -9.0)], [1.05, 1.40, 9.95]
    (clash,) = find_clashes(atoms(xyz, radius, **given)).pairs
    assert clash.overlap == pytest.approx(1.40 - 0.25 - 0.6, abs=0.05)
    assert find_clashes(atoms(xyz, radius, charge=[1, -1, 0], **given)).pairs == ()


def test_conformers_of_one_residue_do_not_meet():
    close = [(0, 0, 0), (0, 0, 1.0)]
    assert find_clashes(atoms(close, [1.75, 1.75], altloc=[65, 66])).pairs == ()
    assert len(find_clashes(atoms(close, [1.75, 1.75], altloc=[65, 65])).pairs) == 1
    assert len(find_clashes(atoms(close, [1.75, 1.75], altloc=[0, 66])).pairs) == 1


def test_a_hydrogen_shields_its_carbon():
    xyz = [(0, 0, 0), (0, 0, 0.97), (0, 0, 2.6)]  # C–H pointing at an oxygen
    found = find_clashes(atoms(xyz, [1.75, 1.22, 1.40], bonded=[(0, 1)], hydrogen=[1]))
    assert [(c.first, c.second) for c in found.pairs] == [(1, 2)]


def test_waters_are_not_counted_among_the_atoms_nor_with_each_other():
    xyz = [(0, 0, 0), (0, 0, 2.0), (0, 2.0, 2.0)]
    found = find_clashes(atoms(xyz, [1.75, 1.40, 1.40], water=[1, 2]))
    assert [(c.first, c.second) for c in found.pairs] == [(0, 1), (0, 2)][: len(found.pairs)]
    assert len(found.pairs) >= 1
    assert found.n_atoms == 1


@pytest.mark.parametrize(("distance", "expected"), [(2.5, []), (2.3, []), (2.1, [0.7]), (1.9, [0.9])])
def test_waters_without_hydrogens_bond_until_too_close(distance, expected):
    given = {"donor": [1], "acceptor": [0, 1], "water": [1]}
    found = find_clashes(atoms([(0, 0, 0), (0, 0, distance)], [1.40, 1.40], **given))
    assert [round(c.overlap, 1) for c in found.pairs] == expected


def test_a_water_that_takes_a_hydrogen_is_like_any_acceptor():
    given = {"donor": [0, 1], "acceptor": [1], "water": [1], "hydrogen": [0]}
    assert find_clashes(atoms([(0, 0, 0), (0, 0, 1.7)], [1.05, 1.40], **given)).pairs == ()


def test_hydroxyl_turns_to_its_acceptor():
    # C–O–H with the hydrogen pointing away; an acceptor lies on the other side
    carbon, oxygen, acceptor = (0, 0, 0), (0, 0, 1.4), (-2.9, 0, 2.2)
    hydrogen = (0.8, 0, 1.7)
    model = atoms(
        [carbon, oxygen, hydrogen, acceptor],
        [1.75, 1.40, 1.05, 1.40],
        donor=[2],
        acceptor=[1, 3],
        hydrogen=[2],
        bonded=[(0, 1), (1, 2), (0, 2)],
        rotors=[Rotor(axis=(0, 1), hydrogens=(2,))],
    )
    before = model.xyz.copy()
    turned = turn_polar_hydrogens(model)
    assert turned.xyz[2] == pytest.approx([-0.8, 0, 1.7], abs=0.02)
    np.testing.assert_array_equal(model.xyz, before)
