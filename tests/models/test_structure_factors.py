"""Structure factors against direct summation, and their gradient against finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.data.atoms import Atoms
from burnish.data.reflections import Crystal
from burnish.models import splat_cpu, splat_reference
from burnish.models.gaussian_atoms import gaussian_atoms
from burnish.models.structure_factors import (
    Accuracy,
    adjoint_map,
    fft_size,
    miller_grid,
    plan_structure_factors,
    structure_factor_gradient,
    structure_factors,
    transform_at,
)
from burnish.scattering.form_factors import form_factors
from burnish.symmetry.space_groups import special_positions
from tests.models.crystals import (
    direct_summation,
    on_special_position,
    random_atoms,
    reflections_to,
    triclinic_like,
)

GROUPS = ["P 1", "P -1", "P 1 21 1", "C 1 2 1", "P 21 21 21", "C 2 2 21", "F d d d:2", "I 41", "P 43 21 2", "P 31",
          "R 3 2:H", "R 3:R", "P 65 2 2", "P 2 3", "I 21 3", "F 41 3 2", "P 63/m m c"]  # fmt: skip


def calculated(crystal: Crystal, atoms: Atoms, accuracy: Accuracy | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    reflections = reflections_to(crystal, 1.8)
    plan = plan_structure_factors(crystal, reflections.hkl, accuracy)
    return structure_factors(atoms, form_factors(atoms.elements), atoms.occ.numpy(), plan), reflections.hkl


@pytest.mark.parametrize("space_group", GROUPS)
def test_agrees_with_direct_summation(space_group: str) -> None:
    crystal = triclinic_like(space_group)
    atoms = random_atoms(crystal, 6, seed=1, anisotropic=0.4)
    found, hkl = calculated(crystal, atoms)
    pick = torch.arange(0, len(hkl), max(1, len(hkl) // 60))
    expected = direct_summation(crystal, atoms, hkl[pick])
    error = np.abs(found[pick].numpy() - expected)
    assert error.sum() < 1e-3 * np.abs(expected).sum()


@pytest.mark.parametrize("occupancy", [1.0, 0.5])
def test_special_position_counts_once_in_both_conventions(occupancy: float) -> None:
    crystal = triclinic_like("C 2 2 21")
    atoms = on_special_position(crystal, random_atoms(crystal, 4, seed=2), (0.3, 0.0, 0.0))
    full = replace(atoms, occ=torch.tensor([occupancy, 0.7, 0.7, 0.7], dtype=torch.float64))
    weight = special_positions(crystal, atoms.xyz.numpy()).weight(full.occ.numpy())
    found, hkl = calculated(crystal, replace(full, occ=full.occ * torch.tensor(weight)))
    as_half = replace(full, occ=torch.tensor([0.5, 0.7, 0.7, 0.7], dtype=torch.float64))
    expected = direct_summation(crystal, as_half, hkl[:80])
    assert np.abs(found[:80].numpy() - expected).sum() < 1e-3 * np.abs(expected).sum()


@pytest.mark.parametrize("space_group", ["P 1", "P 31", "C 1 2 1"])
def test_kernels_agree_with_the_reference(space_group: str) -> None:
    crystal = triclinic_like(space_group)
    atoms = random_atoms(crystal, 12, seed=3, anisotropic=0.5)
    plan = plan_structure_factors(crystal, reflections_to(crystal, 2.0).hkl)
    spots = gaussian_atoms(atoms, form_factors(atoms.elements), atoms.occ.numpy(), 12.0, 1e-7)
    fast = np.zeros(plan.lookup.shape, dtype=np.float32)
    splat_cpu.spread(fast, spots, plan.frac, plan.orth)
    slow = torch.zeros(plan.lookup.shape, dtype=torch.float64)
    splat_reference.spread(slow, spots, plan.frac, plan.orth)
    np.testing.assert_allclose(fast, slow.numpy(), atol=1e-5 * float(slow.max()))
    weight = torch.randn(plan.lookup.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = splat_cpu.gather(weight.numpy().astype(np.float32), spots, plan.frac, plan.orth)
    wanted = splat_reference.gather(weight, spots, plan.frac, plan.orth)
    trace = wanted[1][spots.isotropic, :3].sum(axis=1)  # all that the kernel finds for isotropic atoms
    wanted[1][spots.isotropic] = 0.0
    wanted[1][spots.isotropic, :3] = trace[:, None] / 3.0
    for quick, reference in zip(found, wanted, strict=True):
        np.testing.assert_allclose(quick, reference, atol=3e-5 * np.abs(reference).max())


def test_transform_and_map_are_adjoint() -> None:
    crystal = triclinic_like("I 21 3")
    hkl = reflections_to(crystal, 2.2).hkl
    lookup = miller_grid(crystal, hkl, (20, 20, 20))
    lookup = replace(lookup, phase=lookup.phase.to(torch.complex128))
    generator = torch.Generator().manual_seed(4)
    grid = torch.randn(lookup.shape, generator=generator, dtype=torch.float64)
    coefficient = torch.randn(len(hkl), generator=generator, dtype=torch.complex128)
    left = torch.sum((coefficient.conj() * transform_at(grid, lookup)).real)
    right = torch.sum(grid * adjoint_map(coefficient, lookup))
    torch.testing.assert_close(left, right)


@pytest.mark.parametrize("space_group", ["P 1", "P 43 21 2"])
def test_gradient_of_the_reference_against_finite_differences(space_group: str) -> None:
    """float64 throughout: the density on the grid, without the FFT, against its gathered adjoint."""
    crystal = triclinic_like(space_group)
    atoms = random_atoms(crystal, 5, seed=5, anisotropic=0.6)
    factors = form_factors(atoms.elements)
    plan = plan_structure_factors(crystal, reflections_to(crystal, 2.5).hkl)
    weight = torch.randn((24, 24, 24), generator=torch.Generator().manual_seed(6), dtype=torch.float64)

    def value(model: Atoms) -> float:
        grid = torch.zeros_like(weight)
        splat_reference.spread(
            grid, gaussian_atoms(model, factors, model.occ.numpy(), 5.0, 1e-13), plan.frac, plan.orth
        )
        return float(torch.sum(weight * grid))

    spots = gaussian_atoms(atoms, factors, atoms.occ.numpy(), 5.0, 1e-13)
    wrt_xyz, wrt_u, wrt_occ = splat_reference.gather(weight, spots, plan.frac, plan.orth)
    for n in range(len(atoms)):
        np.testing.assert_allclose(slope(value, atoms, "xyz", (n, 0)), wrt_xyz[n, 0], rtol=2e-5, atol=1e-5)
        np.testing.assert_allclose(slope(value, atoms, "xyz", (n, 2)), wrt_xyz[n, 2], rtol=2e-5, atol=1e-5)
        np.testing.assert_allclose(slope(value, atoms, "occ", (n,)), wrt_occ[n], rtol=2e-5, atol=1e-5)
        if bool(atoms.is_aniso[n]):
            for component in range(6):
                np.testing.assert_allclose(
                    slope(value, atoms, "u_aniso", (n, component)), wrt_u[n, component], rtol=1e-4, atol=1e-4
                )


def slope(value, atoms: Atoms, name: str, index: tuple[int, ...], step: float = 1e-4) -> float:
    """Central difference by one parameter."""
    ends = []
    for sign in (1.0, -1.0):
        changed = getattr(atoms, name).clone()
        changed[index] += sign * step
        ends.append(value(replace(atoms, **{name: changed})))
    return (ends[0] - ends[1]) / (2.0 * step)


def test_gradient_of_a_function_of_structure_factors() -> None:
    """The whole chain in single precision: Σ|F|² against finite differences."""
    crystal = triclinic_like("P 21 21 21")
    atoms = random_atoms(crystal, 8, seed=7, anisotropic=0.4)
    factors = form_factors(atoms.elements)
    plan = plan_structure_factors(crystal, reflections_to(crystal, 1.8).hkl, Accuracy(rate=2.0, cutoff=1e-6))

    def value(model: Atoms) -> float:
        return float(
            structure_factors(model, factors, model.occ.numpy(), plan).to(torch.complex128).abs().square().sum()
        )

    f_calc = structure_factors(atoms, factors, atoms.occ.numpy(), plan)
    gradient = structure_factor_gradient(atoms, factors, atoms.occ.numpy(), plan, 2.0 * f_calc)
    for n in range(len(atoms)):
        scale = float(gradient.xyz.abs().max())
        assert abs(slope(value, atoms, "xyz", (n, 1), 0.01) - float(gradient.xyz[n, 1])) < 3e-3 * scale
        if bool(atoms.is_aniso[n]):
            expected = float(gradient.u_aniso[n, 3])
            assert float(gradient.b_iso[n]) == 0.0
            assert abs(slope(value, atoms, "u_aniso", (n, 3), 2e-3) - expected) < 5e-3 * float(
                gradient.u_aniso.abs().max()
            )
        else:
            scale = float(gradient.b_iso.abs().max())
            assert abs(slope(value, atoms, "b_iso", (n,), 0.1) - float(gradient.b_iso[n])) < 5e-3 * scale


def test_inputs_stay_untouched_and_an_atom_of_no_occupancy_is_nothing() -> None:
    crystal = triclinic_like("P 1")
    atoms = random_atoms(crystal, 3, seed=8)
    before = atoms.xyz.clone()
    silent = replace(atoms, occ=torch.zeros(3, dtype=torch.float64))
    found, _ = calculated(crystal, silent)
    assert float(found.abs().max()) == 0.0
    calculated(crystal, atoms)
    assert torch.equal(atoms.xyz, before)


def test_moving_by_a_symmetry_operation_changes_nothing() -> None:
    crystal = triclinic_like("P 65 2 2")
    atoms = random_atoms(crystal, 5, seed=9)
    from burnish.symmetry.space_groups import fractionalisation, operations, orthogonalisation

    group = operations(crystal)
    frac = atoms.xyz.numpy() @ fractionalisation(crystal).T
    moved = (frac @ group.rotation[3].T + group.translation[3]) @ orthogonalisation(crystal).T
    first, _ = calculated(crystal, atoms)
    second, _ = calculated(crystal, replace(atoms, xyz=torch.tensor(moved)))
    assert float((first - second).abs().sum()) < 1e-3 * float(first.abs().sum())


def test_sizes_of_transforms() -> None:
    assert [fft_size(x) for x in (1, 7, 13.2, 97)] == [2, 8, 16, 100]
