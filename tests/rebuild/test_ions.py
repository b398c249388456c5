"""Ions by their partners: bond valences, balance, electrons; waters and crowded places are none."""

import numpy as np
import pytest

from burnish.chemistry.bond_valence import CATIONS, bond_valence
from burnish.chemistry.metals import DISTANCES
from burnish.rebuild.moves.ions import IonRules, IonSite, Partner, judge_chloride, judge_site

KINDS = {kind.component: kind for kind in CATIONS}
AXES = np.concatenate([np.eye(3), -np.eye(3)])


def partner(
    distance: float, direction: np.ndarray, element: str = "O", residue: str = "HOH", atom: str = "O"
) -> Partner:
    return Partner(
        element=element, residue=residue, atom=atom, distance=distance, direction=direction, name="A 1 HOH O"
    )


def site(distance: float, electrons: float, directions: np.ndarray = AXES, **what: str) -> IonSite:
    partners = tuple(partner(distance, d, **what) for d in directions)
    return IonSite(xyz=np.zeros(3), water=-1, partners=partners, electrons=electrons, b_iso=20.0)


@pytest.mark.parametrize(
    ("name", "kind", "partners", "element", "where"),
    [
        ("NA", "Na", 6, "O", "water"),
        ("MG", "Mg", 6, "O", "water"),
        ("K", "K", 7, "O", "water"),
        ("CA", "Ca", 7, "O", "water"),
        ("MN", "Mn", 6, "O", "water"),
        ("ZN", "Zn", 6, "O", "water"),
        ("ZN", "Zn", 4, "N", "N"),
        ("ZN", "Zn", 4, "S", "S"),
    ],
)
def test_usual_distances_give_the_valence(name, kind, partners, element, where):
    total = partners * bond_valence(KINDS[name], element, DISTANCES[kind][where])
    assert total == pytest.approx(KINDS[name].valence, rel=0.2)


@pytest.mark.parametrize(
    ("distance", "electrons", "expected"),
    [(2.07, 10, "MG"), (2.42, 9, "NA"), (2.17, 21, "MN"), (2.33, 18, "CA"), (2.78, 17, "K"), (2.09, 28, "ZN")],
)
def test_an_octahedron_is_the_ion_it_looks_like(distance, electrons, expected):
    assert judge_site(site(distance, electrons), 1.6, IonRules())[0].component == expected


def test_a_water_is_no_ion():
    tetrahedron = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
    assert judge_site(site(2.8, 8.0, tetrahedron), 1.6, IonRules()) == []
    assert judge_site(site(2.8, 12.0, tetrahedron), 1.6, IonRules()) == []


def test_light_ions_need_resolution():
    assert judge_site(site(2.07, 10.0), 2.5, IonRules()) == []
    assert judge_site(site(2.33, 18.0), 2.5, IonRules())[0].component == "CA"


def test_what_speaks_against_an_ion():
    rules = IonRules()
    assert judge_site(site(2.07, 3.0), 1.6, rules) == []  # no density
    one_side = np.array([[1.0, 0.1 * k, 0.0] for k in range(6)])
    one_side /= np.linalg.norm(one_side, axis=1, keepdims=True)
    assert judge_site(site(2.07, 10.0, one_side), 1.6, rules) == []
    good = site(2.07, 10.0)
    crowded = (*good.partners, partner(2.0, AXES[0], element="N", residue="LYS", atom="NZ"))
    near = IonSite(xyz=good.xyz, water=-1, partners=crowded, electrons=10.0, b_iso=20.0)
    assert [v for v in judge_site(near, 1.6, rules) if v.component in ("MG", "NA")] == []


def test_chloride_sits_among_donors():
    rules = IonRules()
    donors = site(3.25, 17.0, AXES[:3], element="N", residue="GLY", atom="N")
    found = judge_chloride(donors, rules)
    assert found is not None
    assert found.component == "CL"
    assert judge_chloride(site(3.25, 8.0, AXES[:3], element="N", residue="GLY", atom="N"), rules) is None
    acid = (*donors.partners, partner(2.9, AXES[4], residue="ASP", atom="OD1"))
    assert judge_chloride(IonSite(xyz=np.zeros(3), water=-1, partners=acid, electrons=17.0, b_iso=20.0), rules) is None
