"""Where a side chain is suspected: also where only the density of the right rotamer is left to tell."""

import math

import numpy as np
import pytest
from tests.rebuild.scenes import LIBRARY, peptide_with_side_chains, scene_of
from tests.rebuild.test_cis_trans import zone_system
from tests.rebuild.test_zone import density_at

from burnish.chemistry.edit_model import with_positions
from burnish.chemistry.residues import residue_views
from burnish.chemistry.topology import build_topology
from burnish.io.models import atoms_of
from burnish.maps.sampling import spline_map
from burnish.rebuild.conformations import chi_of, with_chi
from burnish.rebuild.move import Judges, Whole, best_apart, judge_site
from burnish.rebuild.moves.alternates import component_graph
from burnish.rebuild.moves.rotamers import SAME_PLACES, rotamer_site
from burnish.rebuild.suspects import density_elsewhere, handless_side_chains, wrong_hands, wrong_places
from burnish.rebuild.zone import surroundings
from burnish.validate.density_fit import ResidueFit

TRUTH = peptide_with_side_chains(["ALA", "VAL", "ALA", "LEU", "ALA"])
VIEWS = residue_views(TRUTH[0])
XYZ = atoms_of(TRUTH).xyz.numpy()
FITS = {
    k: ResidueFit(view=k, correlation=1.0, r_value=0.0, density=5.0, worst_z=0.0, mean_b=20.0, occupancy=1.0)
    for k in range(len(VIEWS))
}


def elsewhere(model, index: int) -> float:
    scene = scene_of(model, TRUTH)
    graph = component_graph(LIBRARY.monlib, scene.views[index])
    xyz = scene.evidence.atoms.xyz.numpy()
    return density_elsewhere(xyz, scene.views, index, graph, spline_map(scene.evidence.maps.difference), 1.0)


def turned(index: int, angle_deg: float):
    """The truth with the first torsion of one side chain turned."""
    chi = chi_of(XYZ, VIEWS[index])
    assert chi is not None
    graph = component_graph(LIBRARY.monlib, VIEWS[index])
    moved = with_chi(XYZ, VIEWS[index], graph, (chi[0] + math.radians(angle_deg), *chi[1:]))
    return with_positions(TRUTH, moved)


@pytest.mark.parametrize("angle_deg", [120.0, -120.0])
def test_a_valine_turned_by_a_third_shows_the_density_of_one_atom(angle_deg):
    assert elsewhere(turned(1, angle_deg), 1) > 3.0


def test_a_right_side_chain_and_one_without_rotamers_show_nothing():
    assert elsewhere(TRUTH, 1) == 0.0
    assert elsewhere(TRUTH, 3) == 0.0
    assert elsewhere(TRUTH, 0) == 0.0


def test_of_near_copies_only_the_best_is_refined():
    places = np.zeros((5, 2, 3))
    places[1, :, 0], places[2, :, 0], places[3, :, 0], places[4, :, 0] = 0.3, 2.0, 2.2, 5.0
    scores = np.array([1.0, 0.0, 3.0, 2.0, 4.0])
    assert best_apart(scores, places, 3, 0.75) == [1, 3, 4]
    assert best_apart(scores, places, 2, 0.75) == [1, 3]
    assert best_apart(scores, places, 3, 0.0) == [1, 0, 3]
    assert best_apart(scores[:0], places[:0], 3, 0.75) == []


def test_every_rotamer_of_leucine_can_be_among_the_refined():
    """Were near copies refined, the variants of one rotamer would leave no place for another."""
    graph = component_graph(LIBRARY.monlib, VIEWS[3])
    site = rotamer_site(XYZ, VIEWS, 3, graph, "test")
    assert site is not None
    places = np.stack([c.xyz[site.judged] for c in site.candidates])
    old = XYZ[site.atoms][site.judged]
    scores = np.sqrt(((places - old) ** 2).sum(axis=2).mean(axis=1))  # the nearest to the present one first
    names = {site.candidates[k].name.split()[0] for k in best_apart(scores, places, site.refined, SAME_PLACES)}
    assert len({site.candidates[k].name.split()[0] for k in np.argsort(scores)[: site.refined]}) == 1
    assert len(names) >= 3


def mirrored_side_chain():
    """The truth with the side chain of Val 2 mirrored at its Cβ: Cγ1 and Cγ2 have changed places."""
    xyz = XYZ.copy()
    one, two = VIEWS[1].atoms["CG1"], VIEWS[1].atoms["CG2"]
    xyz[[one, two]] = xyz[[two, one]]
    return xyz


def test_hands_are_told_by_chirality():
    restraints = build_topology(TRUTH, LIBRARY.monlib, hydrogens="remove").restraints
    assert wrong_hands(XYZ, VIEWS, restraints) == (set(), set())
    assert wrong_hands(mirrored_side_chain(), VIEWS, restraints) == (set(), {1})
    xyz = XYZ.copy()
    n, c, cb, ca = (XYZ[VIEWS[3].atoms[k]] for k in ("N", "C", "CB", "CA"))
    normal = np.cross(c - n, cb - n) / np.linalg.norm(np.cross(c - n, cb - n))
    xyz[VIEWS[3].atoms["CA"]] = ca - ((ca - n) @ normal) * normal  # flat
    assert wrong_hands(xyz, VIEWS, restraints)[0] == {3}
    assert any("wrong hand" in why for k, why in wrong_places(xyz, VIEWS, FITS, hands={3}) if k == 3)


def test_a_side_chain_of_the_wrong_hand_is_made_anew_in_its_place():
    restraints = build_topology(TRUTH, LIBRARY.monlib, hydrogens="remove").restraints
    (site,) = handless_side_chains(mirrored_side_chain(), VIEWS, restraints, LIBRARY.monlib)
    assert site.residue == VIEWS[1].label
    away = [np.sqrt(((c.xyz - XYZ[site.atoms]) ** 2).sum(axis=1).mean()) for c in site.candidates]
    assert min(away) < 0.25
    assert handless_side_chains(XYZ, VIEWS, restraints, LIBRARY.monlib) == []


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_the_data_say_decides_where_density_remembers_the_side_chain(sign):
    """Density shows the valine as it is and as it was alike; the likelihood asks for the one or the other."""
    wrong = atoms_of(turned(1, 120.0)).xyz.numpy()
    graph = component_graph(LIBRARY.monlib, VIEWS[1])
    site = rotamer_site(wrong, VIEWS, 1, graph, "tried")
    assert site is not None
    topology = build_topology(TRUTH, LIBRARY.monlib, hydrogens="remove")
    system = zone_system(topology, atoms_of(topology.structure))
    target = density_at(np.concatenate([XYZ, wrong]), np.concatenate([XYZ, wrong]))
    names = [str(k) for k in range(len(XYZ))]

    def away(places: np.ndarray) -> float:
        return sign * 20.0 * float(((places - XYZ[site.atoms]) ** 2).sum(axis=1).mean())

    def free(batch: np.ndarray) -> np.ndarray:
        return np.zeros(len(batch))

    whole = Whole(system=system, around=surroundings(wrong, None), xyz=wrong, names=names)
    record, moved = judge_site(site, whole, Judges(target=target, torsion_energy=free, likelihood=away))
    assert record.accepted is (sign > 0)
    assert record.before is not None
    assert record.before.density == pytest.approx(sign * abs(record.before.density))
    if moved is not None:
        assert np.linalg.norm(moved - XYZ, axis=1).max() < 0.5
