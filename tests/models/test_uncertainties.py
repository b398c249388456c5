"""Standard uncertainties against the dense inverse, and against the errors of repeated measurements."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from burnish.data.atoms import Atoms
from burnish.data.reflections import Crystal
from burnish.models.crystal_term import CrystalTerm
from burnish.models.data_curvature import position_curvature
from burnish.models.structure_factors import plan_structure_factors, structure_factors
from burnish.models.uncertainties import inflation, inverse_near_diagonal
from burnish.numerics.conjugate_gradients import NormalMatrix
from burnish.scattering.form_factors import form_factors
from burnish.symmetry.space_groups import fractionalisation, operations
from tests.models.crystals import random_atoms, reflections_to, triclinic_like


def springs(n: int = 240, stiffness: float = 2.0) -> NormalMatrix:
    """A chain of points, each held in its place and to its neighbour."""
    generator = np.random.default_rng(0)
    bonds = sp.diags_array([np.ones(n - 1), -np.ones(n - 1)], offsets=[0, 1], shape=(n - 1, n)).tocsr()
    own = sp.diags_array(generator.uniform(0.5, 2.0, n)).tocsr()
    return NormalMatrix(factors=(sp.csr_matrix(np.sqrt(stiffness) * bonds),), blocks=sp.csr_matrix(own))


def test_diagonal_of_the_inverse():
    matrix = springs()
    dense = np.linalg.inv(matrix.whole().toarray())
    found = inverse_near_diagonal(matrix, group=24, hops=12)
    np.testing.assert_allclose(found.diagonal(), np.diag(dense), rtol=1e-4)
    rough = inverse_near_diagonal(matrix, group=24, hops=1)
    assert (rough.diagonal() <= np.diag(dense) * (1 + 1e-12)).all()  # what lies outside is taken as fixed


def test_one_piece_is_exact_with_its_covariances():
    matrix = springs(30)
    dense = np.linalg.inv(matrix.whole().toarray())
    np.testing.assert_allclose(inverse_near_diagonal(matrix, group=30).toarray(), dense, rtol=1e-10)


def test_parameters_without_curvature_have_no_variance():
    factor, blocks = sp.csr_matrix((0, 3)), sp.diags_array(np.array([4.0, 0.0, 1.0])).tocsr()
    found = inverse_near_diagonal(NormalMatrix(factors=(factor,), blocks=sp.csr_matrix(blocks)))
    np.testing.assert_allclose(found.diagonal(), [0.25, 0.0, 1.0])


def test_inputs_stay():
    matrix = springs(20)
    before = matrix.factors[0].toarray(), matrix.blocks.toarray()
    inverse_near_diagonal(matrix, group=5)
    assert (matrix.factors[0].toarray() == before[0]).all() and (matrix.blocks.toarray() == before[1]).all()


def normal_matrix(crystal: Crystal, atoms: Atoms, hkl: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Σ w ∂|F| ∂|F|ᵀ over positions, every term by itself (Cruickshank 1999, eq. 1). (3n, 3n)"""
    frac, (rotations, translations) = fractionalisation(crystal), operations(crystal).all_operations()
    s2 = ((hkl @ frac) ** 2).sum(axis=1)
    factors = form_factors(atoms.elements)
    size = atoms.occ.numpy()[:, None] * factors.at(s2)[factors.kind]
    size = size * np.exp(-0.25 * atoms.b_iso.numpy()[:, None] * s2)
    by, total = np.zeros((len(atoms), 3, len(hkl)), complex), np.zeros(len(hkl), complex)
    for rotation, translation in zip(rotations, translations, strict=True):
        wave = size * np.exp(2j * np.pi * (atoms.xyz.numpy() @ frac.T @ rotation.T + translation) @ hkl.T)
        total += wave.sum(axis=0)
        by += 2j * np.pi * ((hkl @ rotation) @ frac).T * wave[:, None, :]
    along = np.real(by * (total / np.abs(total)).conj()).reshape(3 * len(atoms), -1)
    return (along * weight) @ along.T


def groups_of_four(crystal: Crystal, count: int) -> Atoms:
    """Atoms 1.5 Å and more apart in groups of four, B 18 Å²."""
    centres = random_atoms(crystal, count, 8).xyz
    form = torch.tensor([[0.0, 0, 0], [1.5, 0.3, 0], [0.1, 1.5, 0.4], [-1.1, -0.7, 0.9]]).double()
    n = 4 * count
    return Atoms(
        xyz=(centres[:, None, :] + form).reshape(-1, 3), b_iso=torch.full((n,), 18.0).double(),
        u_aniso=torch.zeros(n, 6).double(), is_aniso=torch.zeros(n, dtype=torch.bool), occ=torch.ones(n).double(),
        elements=("C", "N", "C", "O") * count, charges=torch.zeros(n, dtype=torch.int64), altloc=("",) * n,
        residue=torch.arange(n),
    )  # fmt: skip


@pytest.mark.parametrize("d_min", [1.5, 1.65])
def test_likelihood_and_neighbours_give_the_closed_form(d_min):
    """Amplitudes with known errors: uncertainties of the likelihood, with pairs and for the number of data, are those
    of the whole normal matrix of least squares; those of atoms by themselves are too small."""
    crystal = replace(triclinic_like("P 21 21 21"), cell=(24.0, 26.0, 31.0, 90.0, 90.0, 90.0))
    atoms = groups_of_four(crystal, 14)
    r = reflections_to(crystal, d_min)
    factors = form_factors(atoms.elements)
    f = structure_factors(atoms, factors, atoms.occ.numpy(), plan_structure_factors(crystal, r.hkl)).abs().double()
    generator = torch.Generator().manual_seed(3)
    sigma, free = 0.05 * f + 1.0, torch.rand(len(f), generator=generator) < 0.1
    observed = (f + sigma * torch.randn(len(f), generator=generator, dtype=f.dtype)).abs()
    term = CrystalTerm(replace(r, f_obs=observed, sigma_f_obs=sigma, free=free))
    term.prepare(atoms)
    found = term.evaluate(atoms)
    weight = (1.0 / sigma.square()).numpy() * (~free).numpy()
    exact = np.sqrt(np.diag(np.linalg.inv(normal_matrix(crystal, atoms, r.hkl.numpy().astype(float), weight))))

    def by_curvature(evaluation):
        return np.sqrt(np.diag(np.linalg.inv(position_curvature(evaluation).toarray().astype(float))))

    ours = inflation(len(exact), int((~free).sum())) * by_curvature(found) / exact
    alone = by_curvature(replace(found, pairs=None)) / exact
    assert np.median(ours) == pytest.approx(1.0, abs=0.1)
    assert np.median(alone) < 0.95
