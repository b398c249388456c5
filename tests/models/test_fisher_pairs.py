"""Curvature between neighbouring atoms against sums over reflections, and against the target itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.data.atoms import Atoms
from burnish.data.reflections import Crystal
from burnish.models.crystal_term import CrystalTerm
from burnish.models.data_curvature import displacement_curvature, position_curvature, slope_by_displacements
from burnish.models.data_term import DataEvaluation
from burnish.models.fisher import fisher_blocks, shell_weights
from burnish.models.fisher_pairs import _sin_cos, fisher_pairs, pair_reach
from burnish.models.gaussian_atoms import AtomGradient
from burnish.models.structure_factors import plan_structure_factors, structure_factors
from burnish.scattering.form_factors import form_factors
from burnish.symmetry.space_groups import fractionalisation
from tests.models.crystals import random_atoms, reflections_to

CELL = Crystal(cell=(40.0, 41.0, 43.0, 90.0, 90.0, 90.0), space_group="P 1")


def cluster(elements: tuple[str, ...] = ("C", "N", "H", "O", "C")) -> Atoms:
    """Atoms within 2.5 Å of each other, isotropic."""
    atoms = replace(random_atoms(CELL, len(elements), 3), elements=elements)
    place = torch.tensor([[0.0, 0, 0], [1.45, 0.1, 0], [-0.3, 1.0, 0.1], [0.4, -0.9, 0.9], [2.1, 1.2, 0.3]])
    return replace(atoms, xyz=10.0 + place.double())


def summed(atoms: Atoms, d_min: float, occ: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Re(∂F conj ∂F) by x, y, z, B of every atom, summed over the reflections of half a sphere. (n, 4, n, 4)"""
    hkl = reflections_to(CELL, d_min).hkl.numpy()
    h = hkl @ fractionalisation(CELL)
    s2 = (h**2).sum(axis=1)
    f = form_factors(atoms.elements)
    amplitude = occ[:, None] * f.at(s2)[f.kind] * np.exp(-0.25 * atoms.b_iso.numpy()[:, None] * s2)
    wave = amplitude * np.exp(2j * np.pi * atoms.xyz.numpy() @ h.T)
    by = np.stack([*(2j * np.pi * h[:, k] * wave for k in range(3)), -0.25 * s2 * wave], axis=1)
    return np.einsum("iph,jqh->ipjq", by, by.conj()).real, h


@pytest.mark.parametrize("d_min", [1.8, 3.0])
def test_pairs_are_the_sums_over_reflections(d_min: float) -> None:
    atoms = cluster()
    occ = atoms.occ.numpy()
    expected, h = summed(atoms, d_min, occ)
    shells = shell_weights(np.ones(len(h)), CELL, h)
    factors, alone = form_factors(atoms.elements), np.ones(len(atoms))
    own = fisher_blocks(atoms, factors, occ, shells, alone)
    found = fisher_pairs(atoms, factors, occ, shells, alone, 3.0)
    assert len(found.atoms) == 10
    for p, (i, j) in enumerate(found.atoms.tolist()):
        of_xyz = np.sqrt(expected[i, 0, i, 0] * expected[j, 0, j, 0])
        of_b = np.sqrt(expected[i, 3, i, 3] * expected[j, 3, j, 3])
        np.testing.assert_allclose(found.xyz[p], expected[i, :3, j, :3], atol=0.02 * of_xyz)
        assert float(found.b_iso[p]) == pytest.approx(expected[i, 3, j, 3], abs=0.02 * of_b)
        np.testing.assert_allclose(found.xyz_b[p], expected[i, :3, j, 3], atol=0.02 * np.sqrt(of_xyz * of_b))
        np.testing.assert_allclose(-found.xyz_b[p], expected[j, :3, i, 3], atol=0.02 * np.sqrt(of_xyz * of_b))
    assert float(own.b_iso[0]) == pytest.approx(expected[0, 3, 0, 3], rel=0.01)


def test_pairs_of_hydrogens_and_far_ones_are_left_out() -> None:
    atoms = cluster(("C", "H", "H", "H", "C"))
    _, h = summed(atoms, 3.0, np.ones(5))
    shells = shell_weights(np.ones(len(h)), CELL, h)
    found = fisher_pairs(atoms, form_factors(atoms.elements), np.ones(5), shells, np.ones(5), 2.0)
    assert {tuple(sorted(p)) for p in found.atoms.tolist()} == {(0, 1), (0, 2), (0, 3), (1, 4)}
    assert pair_reach(1.0) == 1.7
    assert pair_reach(5.0) == 3.0


def test_matrices_are_symmetric_and_positive() -> None:
    atoms = cluster()
    occ = np.ones(5)
    _, h = summed(atoms, 3.0, occ)
    shells, factors = shell_weights(np.ones(len(h)), CELL, h), form_factors(atoms.elements)
    zero = torch.zeros(5, dtype=torch.float64)
    evaluation = DataEvaluation(
        value=0.0,
        gradient=AtomGradient(xyz=torch.zeros(5, 3), b_iso=zero, u_aniso=torch.zeros(5, 6), occ=zero),
        fisher=fisher_blocks(atoms, factors, occ, shells, occ),
        pairs=fisher_pairs(atoms, factors, occ, shells, occ, 3.0),
    )
    by_xyz, by_b = position_curvature(evaluation).toarray(), displacement_curvature(evaluation).toarray()[:5, :5]
    for matrix in (by_xyz, by_b):
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-9 * np.abs(matrix).max())
        assert np.linalg.eigvalsh(matrix).min() > 0.0
    exact, _ = summed(atoms, 3.0, occ)
    step = np.random.default_rng(0).normal(size=15)
    found = slope_by_displacements(evaluation, step)[:5]
    wanted = np.einsum("jikq,kq->ji", exact[:, 3:, :, :3], step.reshape(5, 3))[:, 0]
    np.testing.assert_allclose(found, wanted, atol=0.03 * np.abs(wanted).max())


def test_a_step_of_overlapping_atoms_gains_what_was_foreseen() -> None:
    """Groups at 3 Å, moved as a whole: blocks of single atoms promise too much, blocks with pairs what comes."""
    crystal = Crystal(cell=(24.0, 26.0, 29.0, 90.0, 90.0, 90.0), space_group="P 21 21 21")
    seeds = random_atoms(crystal, 14, 8)
    groups = seeds.xyz[:, None, :] + torch.tensor([[0.0, 0, 0], [1.2, 0.4, 0], [0.1, 1.2, 0.5], [-0.9, 0.3, 0.9]])
    n = 56
    truth = Atoms(
        xyz=groups.reshape(-1, 3), b_iso=torch.full((n,), 45.0).double(), u_aniso=torch.zeros(n, 6).double(),
        is_aniso=torch.zeros(n, dtype=torch.bool), occ=torch.ones(n).double(), elements=("C",) * n,
        charges=torch.zeros(n, dtype=torch.int64), altloc=("",) * n, residue=torch.arange(n),
    )  # fmt: skip
    r = reflections_to(crystal, 3.0)
    f = structure_factors(truth, form_factors(truth.elements), np.ones(n), plan_structure_factors(crystal, r.hkl)).abs()
    generator = torch.Generator().manual_seed(1)
    free = torch.rand(len(f), generator=generator) < 0.2
    term = CrystalTerm(replace(r, f_obs=f.double(), sigma_f_obs=0.05 * f.double() + 1.0, free=free))
    shift = 0.25 * torch.randn((14, 1, 3), generator=generator, dtype=torch.float64).expand(14, 4, 3).reshape(-1, 3)
    model = replace(truth, xyz=truth.xyz + shift)
    term.prepare(model)
    found = term.evaluate(model)
    slope, back = found.gradient.xyz.numpy().reshape(-1), -shift.numpy().reshape(-1)
    gained = found.value - term.value(truth)
    with_pairs = -slope @ back - 0.5 * back @ (position_curvature(found) @ back)
    alone = -slope @ back - 0.5 * back @ (position_curvature(replace(found, pairs=None)) @ back)
    assert gained > 0
    assert abs(with_pairs - gained) < 0.5 * abs(alone - gained)


def test_sines_and_cosines_are_those_of_the_library() -> None:
    t = np.linspace(0.0, 200.0, 20001)
    found = np.array([_sin_cos.py_func(x) for x in t])
    np.testing.assert_allclose(found, np.stack([np.sin(t), np.cos(t)], axis=1), rtol=0.0, atol=1e-12)


def test_atoms_on_one_place_share_what_each_has_alone() -> None:
    atoms = replace(cluster(("C", "C")), b_iso=torch.tensor([20.0, 20.0], dtype=torch.float64))
    atoms = replace(atoms, xyz=atoms.xyz[:1].repeat(2, 1))
    _, h = summed(atoms, 3.0, np.ones(2))
    shells, factors = shell_weights(np.ones(len(h)), CELL, h), form_factors(atoms.elements)
    own = fisher_blocks(atoms, factors, np.ones(2), shells, np.ones(2))
    found = fisher_pairs(atoms, factors, np.ones(2), shells, np.ones(2), 3.0)
    assert float(found.b_iso[0]) == pytest.approx(float(own.b_iso[0]), rel=1e-6)
    assert float(found.xyz[0].trace()) == pytest.approx(float(own.xyz[0].trace()), rel=1e-3)  # moments by shell
