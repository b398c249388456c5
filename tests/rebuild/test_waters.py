"""Waters in the density of a small peptide: what is added, what goes, and what a new neighbour keeps."""

from dataclasses import replace

import gemmi
import numpy as np
import pytest
import torch
from tests.models.crystals import reflections_to
from tests.rebuild.scenes import peptide_with_side_chains, scene_of

from burnish.chemistry.edit_model import with_positions, with_waters
from burnish.chemistry.residues import residue_views
from burnish.data.reflections import Crystal, Reflections
from burnish.io.models import atoms_of
from burnish.models.crystal_term import CrystalTerm
from burnish.models.structure_factors import plan_structure_factors, structure_factors
from burnish.rebuild.evidence import make_evidence
from burnish.rebuild.moves.waters import WaterRules, find_doomed_waters, find_waters, on_elements
from burnish.scattering.form_factors import form_factors

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


CRYSTAL = Crystal(cell=(24.0, 19.0, 27.0, 90.0, 100.0, 90.0), space_group="P 1 2 1")
AXIS = np.array([0.0, 5.0, 0.0])  # a point of the twofold axis


def crystal_of(truth: gemmi.Structure, d_min: float = 2.3) -> Reflections:
    """Amplitudes of a crystal with 3 % errors."""
    r = reflections_to(CRYSTAL, d_min)
    atoms = atoms_of(truth)
    plan = plan_structure_factors(CRYSTAL, r.hkl)
    f = structure_factors(atoms, form_factors(atoms.elements), atoms.occ.numpy(), plan).abs().double()
    generator = torch.Generator().manual_seed(2)
    sigma = 0.03 * f + 0.5
    noisy = (f + sigma * torch.randn(len(f), generator=generator, dtype=f.dtype)).clamp_min(0.1)
    return replace(r, f_obs=noisy, sigma_f_obs=sigma, free=torch.rand(len(f), generator=generator) < 0.08)


def beside_the_axis(apart: float) -> tuple[gemmi.Structure, np.ndarray]:
    """The chain with its last oxygen so far from the twofold axis, Å, and a free place 2.8 Å from its first."""
    o, away = beyond_an_oxygen()
    moved = atoms_of(CHAIN).xyz.numpy() + AXIS - (o + apart * away)
    chain = with_positions(CHAIN, moved)
    xyz = {(s.residue.seqid.num, s.atom.name): np.array(s.atom.pos.tolist()) for s in chain[0].all()}
    o, c = xyz[1, "O"], xyz[1, "C"]
    return chain, o + 2.8 * (o - c) / np.linalg.norm(o - c)


def evidence_of(model: gemmi.Structure, truth: gemmi.Structure):
    atoms = atoms_of(model)
    term = CrystalTerm(crystal_of(truth))
    term.prepare(atoms)
    return make_evidence(term, atoms)


def test_the_data_of_a_crystal_say_where_a_water_is_missing():
    chain, spot = beside_the_axis(6.0)
    truth = with_waters(chain, [tuple(map(float, spot))], [35.0])[0]
    (water,) = find_waters(evidence_of(chain, truth), CRYSTAL, replace(RULES, density=99.0), most=5)
    assert np.linalg.norm(np.array(water.xyz) - spot) < 0.3
    assert water.occ == 1.0
    assert 20.0 < water.b_iso < 60.0
    assert water.gain > 10.0
    assert "log likelihood +" in water.evidence("A 1 ALA O")
    assert find_waters(evidence_of(truth, truth), CRYSTAL, RULES, most=5) == ()


def test_a_high_peak_that_is_too_little_for_a_water_is_none_for_the_likelihood():
    chain, spot = beside_the_axis(6.0)
    truth = with_waters(chain, [tuple(map(float, spot))], [35.0], [0.3])[0]
    evidence = evidence_of(chain, truth)
    (peak,) = find_waters(evidence, CRYSTAL, replace(RULES, density=99.0, gain=-99.0), most=50)
    assert np.linalg.norm(np.array(peak.xyz) - spot) < 0.3
    assert peak.difference > 10.0
    assert peak.gain < 0.0
    assert find_waters(evidence, CRYSTAL, replace(RULES, density=99.0), most=50) == ()


def test_a_water_on_a_twofold_axis_is_added_there_with_half_its_occupancy():
    chain, _ = beside_the_axis(2.8)
    truth = with_waters(chain, [tuple(map(float, AXIS))], [25.0], [0.5])[0]
    (water,) = find_waters(evidence_of(chain, truth), CRYSTAL, RULES, most=5)
    assert water.xyz == pytest.approx(tuple(AXIS), abs=0.3)
    assert water.xyz[::2] == pytest.approx((0.0, 0.0), abs=1e-9)
    assert water.occ == 0.5
    assert "occupancy 0.50" in water.evidence("A 3 ALA O")


def test_places_next_to_their_images_move_onto_the_element_between_them():
    places = np.array([[0.2, 3.0, 0.1], [0.9, 3.0, 0.0], [5.0, 6.0, 7.0]])
    moved, occ = on_elements(CRYSTAL, places)
    assert moved[0] == pytest.approx([0.0, 3.0, 0.0], abs=1e-9)
    assert moved[1:] == pytest.approx(places[1:])
    assert occ.tolist() == [0.5, 1.0, 1.0]
    assert on_elements(None, places)[1].tolist() == [1.0, 1.0, 1.0]


def test_a_water_that_the_data_need_stays_whatever_the_density_at_it():
    chain, spot = beside_the_axis(6.0)
    empty = spot + np.array([0.0, 0.0, 5.0])
    both = with_waters(chain, [tuple(map(float, spot)), tuple(map(float, empty))], [35.0, 35.0])[0]
    evidence = evidence_of(both, with_waters(chain, [tuple(map(float, spot))], [35.0])[0])
    views = residue_views(both[0])
    strict = WaterRules(density=99.0)  # as if both lay in a hole
    doomed = find_doomed_waters(evidence, views, CRYSTAL, strict)
    assert [w.atom for w in doomed] == [len(atoms_of(both)) - 1]
    assert "of log likelihood" in doomed[0].reason


def test_how_large_a_b_may_be_follows_the_model():
    """All atoms of the chain have B 20: a water of 80 goes; where the mean is 80, one of 100 stays."""
    o, away = beyond_an_oxygen()
    for mean, b, stays in ((20.0, 80.0, False), (80.0, 100.0, True)):
        model = with_waters(CHAIN, [tuple(map(float, o + 2.8 * away))], [b])[0]
        scene = scene_of(model, model)
        atoms = scene.evidence.atoms
        b_iso = torch.full_like(atoms.b_iso, mean)
        b_iso[-1] = b
        evidence = replace(scene.evidence, atoms=replace(atoms, b_iso=b_iso))
        doomed = find_doomed_waters(evidence, scene.views, None, RULES)
        assert [w.reason for w in doomed] == ([] if stays else ["B 80 Å²"])
