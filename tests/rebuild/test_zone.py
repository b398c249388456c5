"""Zone refinement: right derivative, finds density, holds geometry, keeps away from neighbours, changes no input."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.chemistry.library import read_library
from burnish.chemistry.topology import build_topology
from burnish.data.sampled_map import SampledMap
from burnish.io.models import atoms_of
from burnish.maps.sampling import spline_map
from burnish.models.restraints.nonbonded import SIGMA as CONTACT_SIGMA
from burnish.models.restraints.ramachandran import Backbone, ramachandran_energy
from burnish.models.restraints.stereochemistry import stereochemistry
from burnish.rebuild.conformations import turn
from burnish.rebuild.zone import SLACK, Target, ZoneSystem, make_zone, surroundings
from burnish.rebuild.zone_refinement import Copies, first_scores, refine_zone, refine_zones, zone_energy
from peptide_model import make_peptide


@pytest.fixture(scope="module")
def peptide():
    structure = make_peptide(["ALA"] * 5, -62.0, -42.0)
    structure.setup_entities()
    library = read_library(["ALA"], environment={}, debian=None)
    topology = build_topology(structure, library.monlib, hydrogens="remove")
    atoms = atoms_of(topology.structure)
    system = ZoneSystem(
        stereochemistry=stereochemistry(topology.restraints),
        contacts=topology.restraints.contacts,
        electrons=np.array([{"C": 6.0, "N": 7.0, "O": 8.0}[e] for e in atoms.elements]),
        occ=np.ones(len(atoms)),
        crystal=None,
    )
    return system, atoms.xyz.numpy()


BACKBONE = Backbone(atoms=np.array([[7, 10, 11, 12, 15], [12, 15, 16, 17, 20]]), kind=np.array([0, 0]))


def density_at(xyz: np.ndarray, centres: np.ndarray) -> Target:
    """Gaussians of height 5σ and variance .4 Å² at some centres, in a box."""
    low = xyz.min(axis=0) - 6.0
    shape = tuple(int(np.ceil(s)) for s in (xyz.max(axis=0) + 6.0 - low) / 0.5)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1) * 0.5 + low
    values = sum(5.0 * np.exp(-((index - c) ** 2).sum(-1) / 0.8) for c in centres)
    grid = SampledMap(
        values=torch.tensor(values).float(),
        to_grid=torch.eye(3, dtype=torch.float64) / 0.5,
        offset=torch.tensor(-low / 0.5),
        periodic=False,
    )
    return Target(spline=spline_map(grid), sigma=1.0)


def middle_zone(system, xyz, start=None):
    atoms = np.arange(10, 15)
    around = surroundings(xyz, None)
    return make_zone(system, around, atoms, (xyz[atoms] if start is None else start)[None])


@pytest.mark.parametrize("guided", [False, True])
def test_gradient(peptide, guided):
    system, xyz = peptide
    if guided:
        system = replace(system, backbone=BACKBONE)
    start = xyz[10:15] + np.random.default_rng(0).normal(0.0, 0.3, (5, 3))
    start[4] = xyz[3] + np.array([1.9, 0.3, 0.2])  # in contact with a held atom
    zone, target = middle_zone(system, xyz, start), density_at(xyz, xyz)
    found = Copies(system, zone, xyz, target).evaluate(start[None])
    gradient, normal = found.gradient[0], found.normal[0]
    numeric = np.zeros(15)
    for k in range(15):
        for sign in (1.0, -1.0):
            moved = start.copy().reshape(-1)
            moved[k] += sign * 1e-5
            energy, _ = zone_energy(system, zone, xyz, moved.reshape(5, 3), target)
            numeric[k] += sign * energy.total / 2e-5
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-2)
    assert np.linalg.eigvalsh(normal).min() > -1e-8


def test_displaced_atoms_come_back(peptide):
    system, xyz = peptide
    before = xyz.copy()
    start = xyz[10:15] + np.random.default_rng(1).normal(0.0, 0.3, (5, 3))
    zone = middle_zone(system, xyz, start)
    found = refine_zone(system, zone, xyz, start, density_at(xyz, xyz), steps=30)
    assert np.linalg.norm(found.xyz - xyz[10:15], axis=1).max() < 0.15
    assert found.density.min() > 4.0
    np.testing.assert_array_equal(xyz, before)


def test_energy_never_rises(peptide):
    system, xyz = peptide
    start = xyz[10:15] + np.random.default_rng(2).normal(0.0, 0.5, (5, 3))
    zone, target = middle_zone(system, xyz, start), density_at(xyz, xyz)
    energies = [refine_zone(system, zone, xyz, start, target, steps=n).energy.total for n in (1, 2, 4, 8, 16)]
    first, _ = zone_energy(system, zone, xyz, start, target)
    assert all(b <= a + 1e-9 for a, b in zip([first.total, *energies[:-1]], energies, strict=True))


def test_repulsion_keeps_atoms_apart(peptide):
    system, xyz = peptide
    lone = ZoneSystem(
        stereochemistry=system.stereochemistry,
        contacts=system.contacts,
        electrons=np.zeros(len(xyz)),
        occ=np.ones(len(xyz)),
        crystal=None,
    )
    moved = xyz.copy()
    moved[20:25] = xyz[20:25] + (xyz[3] - xyz[24]) + np.array([0.0, 0.0, 1.5])  # the last residue onto the first
    zone = make_zone(lone, surroundings(moved, None), np.arange(20, 25), moved[None, 20:25])
    energy, _ = zone_energy(lone, zone, moved, moved[20:25], density_at(xyz, xyz[:1]))
    assert energy.contact > 10.0
    assert (zone.distance > 2.0).all()
    assert SLACK > 0


def test_first_scores_are_density_and_contacts(peptide):
    system, xyz = peptide
    near = xyz[10:15].copy()
    near[4] = xyz[3] + np.array([1.9, 0.3, 0.2])
    starts = np.stack([xyz[10:15], near, xyz[10:15] + 0.4])
    zone, target = middle_zone(system, xyz, near), density_at(xyz, xyz)
    found = first_scores(system, zone, starts, target, 60.0)
    for score, start in zip(found, starts, strict=True):
        energy, _ = zone_energy(system, zone, xyz, start, target)
        assert score == pytest.approx(energy.density + min(energy.contact, 60.0), rel=1e-6)


def test_a_guided_zone_ends_nearer_to_where_backbones_usually_are(peptide):
    system, xyz = peptide
    start = with_backbone_turned(xyz)
    atoms = np.arange(5, 20)
    around = surroundings(xyz, None)
    flat = density_at(xyz, xyz[:1] + 90.0)
    levels = []
    for chosen in (system, replace(system, backbone=BACKBONE)):
        zone = make_zone(chosen, around, atoms, start[None, 5:20])
        moved = xyz.copy()
        moved[5:20] = refine_zone(chosen, zone, start, start[5:20], flat, steps=40).xyz
        levels.append(ramachandran_energy(moved, BACKBONE, 1.0))
    assert levels[1] < levels[0] - 0.5


def with_backbone_turned(xyz: np.ndarray) -> np.ndarray:
    """ψ of the middle residue turned by 60°, everything after it along."""
    return turn(xyz, list(range(13, len(xyz))), xyz[11], xyz[12] - xyz[11], np.radians(60.0))


def test_many_starts_at_once_end_where_each_would_alone(peptide):
    system, xyz = peptide
    system = replace(system, backbone=BACKBONE)
    rng = np.random.default_rng(3)
    starts = np.stack([xyz[10:15] + rng.normal(0.0, s, (5, 3)) for s in (0.1, 0.3, 0.5, 0.7)])
    starts[2, 4] = xyz[3] + np.array([1.9, 0.3, 0.2])  # in contact with a held atom
    before = starts.copy()
    zone = make_zone(system, surroundings(xyz, None), np.arange(10, 15), starts)
    target = density_at(xyz, xyz)
    limits = (12, 3, 12, 12)
    together = refine_zones(system, zone, xyz, starts, target, steps=limits)
    np.testing.assert_array_equal(starts, before)
    for found, start, most in zip(together, starts, limits, strict=True):
        alone = refine_zone(system, zone, xyz, start, target, steps=most)
        np.testing.assert_allclose(found.xyz, alone.xyz, atol=1e-9)
        np.testing.assert_allclose(found.density, alone.density, atol=1e-8)
        assert found.energy.total == pytest.approx(alone.energy.total, abs=1e-8)


def test_contacts_are_those_of_all_pairs(peptide):
    system, xyz = peptide
    start = xyz[10:15].copy()
    start[4] = start[0] + np.array([0.4, 0.2, 0.1])  # inside the zone, and onto held atoms
    start[3] = xyz[2] + np.array([0.5, 0.5, 0.5])
    zone, target = middle_zone(system, xyz, start), density_at(xyz, xyz[:1] + 50.0)
    found = Copies(system, zone, xyz, target).evaluate(start[None])
    expected = 0.0
    for k, j, held, least in zip(zone.pair_moving, zone.pair_other, zone.held, zone.distance, strict=True):
        away = np.linalg.norm(start[k] - (start[j] if j >= 0 else held))
        expected += 0.5 * (min(away - least, 0.0) / CONTACT_SIGMA) ** 2
    assert expected > 10.0
    assert found.contact[0] == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(found.normal[0], found.normal[0].T, atol=1e-9)
