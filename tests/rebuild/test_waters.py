"""Waters in the density of a small peptide: what is added, what goes, and what a new neighbour keeps."""

import numpy as np
from tests.rebuild.scenes import peptide_with_side_chains, scene_of

from burnish.chemistry.edit_model import with_waters
from burnish.io.models import atoms_of
from burnish.rebuild.moves.waters import WaterRules, find_doomed_waters, find_waters

RULES = WaterRules()
CHAIN = peptide_with_side_chains(["ALA", "ALA", "ALA"])


def beyond_an_oxygen() -> tuple[np.ndarray, np.ndarray]:
    """The last oxygen of the main chain, and the direction away from its carbon."""
    xyz = {(s.residue.seqid.num, s.atom.name): np.array(s.atom.pos.tolist()) for s in CHAIN[0].all()}
    o, c = xyz[2, "O"], xyz[2, "C"]
    return o, (o - c) / np.linalg.norm(o - c)


def with_places(places: list[np.ndarray]):
    return with_waters(CHAIN, [tuple(map(float, p)) for p in places], [20.0] * len(places))[0]


def test_a_water_whose_only_partner_is_a_new_one_stays():
    o, away = beyond_an_oxygen()
    first, second = o + 2.8 * away, o + 5.6 * away
    truth, model = with_places([first, second]), with_places([second])
    scene = scene_of(model, truth)
    added = find_waters(scene.evidence, None, RULES, most=5)
    assert np.linalg.norm(np.array([w.xyz for w in added]) - first, axis=1).min() < 0.3
    (alone,) = find_doomed_waters(scene.evidence, scene.views, None, RULES)
    assert alone.reason == "no partner within reach"
    assert find_doomed_waters(scene.evidence, scene.views, None, RULES, added) == ()


def test_a_water_without_density_goes_and_one_with_it_stays():
    o, away = beyond_an_oxygen()
    shown, empty = o + 2.8 * away, o + 2.8 * away + 6.0 * np.array([0.0, 0.0, 1.0])
    scene = scene_of(with_places([shown, empty]), with_places([shown]))
    doomed = find_doomed_waters(scene.evidence, scene.views, None, RULES)
    xyz = atoms_of(scene.structure).xyz.numpy()
    assert [np.linalg.norm(xyz[w.atom] - empty) < 0.01 for w in doomed] == [True]
    assert doomed[0].reason.startswith("density only")
