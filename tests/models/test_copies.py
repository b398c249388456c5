"""Copies by the symmetry of a particle: places, tensors, gradients folded back, atoms on axes, contacts."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.data.atoms import Atoms
from burnish.models.boxed_maps import box_maps
from burnish.models.copies import copied_positions, folded_gradient, with_copies
from burnish.models.gaussian_atoms import AtomGradient
from burnish.models.map_term import MapTerm
from burnish.models.restraints.nonbonded import find_mates, find_pairs
from burnish.models.special_positions import find_special_positions
from burnish.symmetry.images import images_near
from burnish.symmetry.particle import helical_symmetry, point_symmetry
from tests.models.test_map_term import ORIGIN, SHAPE, VOXEL, _atoms, _maps

CENTRE = tuple(o + 0.5 * n * VOXEL for o, n in zip(ORIGIN, SHAPE, strict=True))


def _unit(n: int = 25, away: float = 7.0) -> Atoms:
    """A blob beside the axis."""
    atoms = _atoms(n=n)
    shift = torch.tensor(CENTRE, dtype=torch.float64) + torch.tensor([away, 0.0, 0.0], dtype=torch.float64)
    return replace(atoms, xyz=(atoms.xyz - atoms.xyz.mean(0)) * 0.6 + shift)


def _aniso(atoms: Atoms, seed: int = 2) -> Atoms:
    noise = 0.3 * torch.randn(len(atoms), 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    u = 0.5 + 0.1 * noise
    u[:, 3:] = 0.1 * noise[:, 3:]
    return replace(atoms, is_aniso=torch.ones(len(atoms), dtype=torch.bool), u_aniso=u)


@pytest.mark.parametrize("group", ["C3", "D2", "T", "O"])
def test_copies_lie_where_the_group_says(group: str) -> None:
    atoms, particle = _unit(), point_symmetry(group, CENTRE)
    xyz = copied_positions(atoms.xyz, particle).reshape(len(particle), -1, 3).numpy()
    middle = np.array(CENTRE)
    assert np.allclose(np.linalg.norm(xyz - middle, axis=2), np.linalg.norm(xyz[0] - middle, axis=1))
    again = (xyz.reshape(-1, 3) @ particle.rotation[1].T + particle.shift[1])[:, None]  # a group is closed
    assert np.linalg.norm(again - xyz.reshape(-1, 3), axis=2).min(axis=1).max() < 1e-8


def test_a_helix_goes_up_and_round() -> None:
    helix = helical_symmetry(math.radians(90.0), 5.0, (1.0, 2.0, 0.0), range(-1, 3))
    at = helix.rotation @ np.array([4.0, 2.0, 0.0]) + helix.shift
    assert np.allclose(at, [[4, 2, 0], [1, -1, -5], [1, 5, 5], [-2, 2, 10]])


@pytest.mark.parametrize("group", ["C4", "D3", "I"])
def test_gradient_of_the_unit_against_finite_differences(group: str) -> None:
    """Derivatives of positions, B, U and occupancy of one unit, with the density of every copy."""
    particle, start = point_symmetry(group, CENTRE), _aniso(_unit(8, away=6.0))
    start = replace(start, is_aniso=torch.arange(8) % 2 == 0)
    maps = _maps(_unit(20, away=6.5), noise=0.01)
    boxed = box_maps(maps, copied_positions(start.xyz, particle), 3.0)
    term = MapTerm(boxed, symmetry=particle)
    term.prepare(start)
    found = term.evaluate(start).gradient
    direction = torch.randn(8, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    iso, aniso = (~start.is_aniso).double(), start.is_aniso.double()
    for name, vector, slope, step in (
        ("xyz", direction[:, :3], found.xyz, 2e-3),
        ("b_iso", 3.0 * iso * direction[:, 0], found.b_iso, 2e-1),
        ("u_aniso", 0.05 * aniso[:, None] * direction, found.u_aniso, 1e-1),
        ("occ", 0.1 * direction[:, 1], found.occ, 2e-2),
    ):
        here = getattr(start, name)
        ahead = term.value(replace(start, **{name: here + step * vector}))
        behind = term.value(replace(start, **{name: here - step * vector}))
        tolerance = 0.01 * float(vector.norm() * slope.norm())  # the directions are random, and may all but cancel
        assert float((vector * slope).sum()) == pytest.approx((ahead - behind) / (2 * step), rel=0.03, abs=tolerance), (
            name
        )


def test_one_unit_with_symmetry_is_all_copies_without() -> None:
    atoms, particle = _unit(), point_symmetry("C3", CENTRE)
    every = with_copies(atoms, particle)
    maps = _maps(every, noise=0.01)
    boxed = box_maps(maps, every.xyz, 3.0)
    one, all_of_them = MapTerm(boxed, symmetry=particle), MapTerm(boxed)
    one.prepare(atoms)
    all_of_them.prepare(every)
    assert one.value(atoms) == pytest.approx(all_of_them.value(every) / 3.0, rel=1e-9)
    first, other = one.evaluate(atoms), all_of_them.evaluate(every)
    n = len(atoms)
    assert torch.allclose(first.gradient.b_iso * 3.0, other.gradient.b_iso.reshape(3, n).sum(0), rtol=1e-3, atol=1e-3)
    assert torch.allclose(first.fisher.b_iso, other.fisher.b_iso[:n], rtol=1e-6)


def test_folding_turns_gradients_back() -> None:
    particle = point_symmetry("C2", (0.0, 0.0, 0.0))
    zero = torch.zeros(2, dtype=torch.float64)
    gradient = AtomGradient(
        xyz=torch.tensor([[1.0, 0.0, 2.0], [-1.0, 0.0, 2.0]], dtype=torch.float64),
        b_iso=torch.tensor([1.0, 2.0], dtype=torch.float64),
        u_aniso=torch.zeros(2, 6, dtype=torch.float64),
        occ=zero,
    )
    folded = folded_gradient(gradient, particle)
    assert torch.allclose(folded.xyz, torch.tensor([[2.0, 0.0, 4.0]], dtype=torch.float64), atol=1e-9)
    assert folded.b_iso.tolist() == [3.0]


def test_an_atom_on_the_axis_counts_once() -> None:
    particle = point_symmetry("C4", CENTRE)
    axis = _unit(1)
    axis = replace(axis, xyz=torch.tensor([CENTRE], dtype=torch.float64))
    boxed = box_maps(_maps(axis, noise=0.0), axis.xyz, 3.0)
    one, alone = MapTerm(boxed, symmetry=particle), MapTerm(boxed)
    one.prepare(axis)
    alone.prepare(axis)
    assert torch.allclose(one.last_f_calc, alone.last_f_calc, rtol=1e-5, atol=1e-6)
    blocks = one.evaluate(axis).fisher, alone.evaluate(axis).fisher
    assert float(blocks[0].b_iso[0]) == pytest.approx(float(blocks[1].b_iso[0]) / 4.0, rel=1e-9)
    special = find_special_positions(axis.xyz.numpy(), particle)
    assert special.multiplicity.tolist() == [4]
    assert np.allclose(special.projector[0], np.diag([0.0, 0.0, 1.0]), atol=1e-9)


def test_contacts_between_copies_are_found_once() -> None:
    """Two atoms 3 Å apart across a two-fold: one pair by each of the two ways is one contact."""
    particle = point_symmetry("C2", (0.0, 0.0, 0.0))
    xyz = np.array([[1.5, 0.0, 0.0], [1.5, 0.0, 30.0]])
    pairs, mate, distance = find_pairs(xyz, find_mates(xyz, particle, 4.0), 4.0)
    assert pairs.tolist() == [[0, 0], [1, 1]]
    assert mate.tolist() == [1, 1]
    assert np.allclose(distance, 3.0)
    images = images_near(particle, xyz, xyz[:1], 5.0)
    assert sorted(images.source.tolist()) == [0, 0]
    assert images.is_identity.sum() == 1
