"""The data term: gradient, curvature, scales and agreement on simulated crystals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.data.atoms import Atoms
from burnish.data.reflections import Reflections
from burnish.models.crystal_term import CrystalTerm
from burnish.models.structure_factors import plan_structure_factors, structure_factors
from burnish.scattering.form_factors import form_factors
from tests.models.crystals import random_atoms, reflections_to, triclinic_like


def simulated(seed: int = 1, count: int = 60, d_min: float = 1.6) -> tuple[Atoms, Reflections]:
    """Amplitudes of a random P2₁2₁2₁ crystal with 3 % errors, an overall scale of 2.5 and an anisotropic one."""
    crystal = replace(triclinic_like("P 21 21 21"), cell=(18.0, 22.0, 27.0, 90.0, 90.0, 90.0))
    atoms = random_atoms(crystal, count, seed)
    r = reflections_to(crystal, d_min)
    plan = plan_structure_factors(crystal, r.hkl)
    f = structure_factors(atoms, form_factors(atoms.elements), atoms.occ.numpy(), plan).abs().double()
    h = r.hkl[:, 0].double() / 18.0
    f = 2.5 * f * torch.exp(-0.25 * 4.0 * h.square())
    generator = torch.Generator().manual_seed(seed)
    sigma = 0.03 * f + 0.2
    noisy = (f + sigma * torch.randn(len(f), generator=generator, dtype=f.dtype)).clamp_min(0.1)
    free = torch.rand(len(f), generator=generator) < 0.1
    return atoms, replace(r, f_obs=noisy, sigma_f_obs=sigma, free=free)


def disturbed(atoms: Atoms, rms: float, seed: int = 5) -> Atoms:
    generator = torch.Generator().manual_seed(seed)
    return replace(
        atoms, xyz=atoms.xyz + rms / 3**0.5 * torch.randn(atoms.xyz.shape, generator=generator, dtype=torch.float64)
    )


def test_true_model_fits_to_the_noise() -> None:
    atoms, reflections = simulated()
    term = CrystalTerm(reflections)
    term.prepare(atoms)
    found = term.statistics()
    assert found.r_work < 0.05
    assert found.r_free < 0.05
    assert found.cc_work > 0.99
    assert 2.0 < found.anisotropy[0] - found.anisotropy[1] < 6.0  # 4 Å² along a, beside the rest of the scale


@pytest.mark.parametrize("name", ["xyz", "b_iso", "occ"])
def test_gradient_is_that_of_the_value(name: str) -> None:
    atoms, reflections = simulated()
    model = disturbed(atoms, 0.15)
    term = CrystalTerm(reflections)
    term.prepare(model)
    gradient = getattr(term.evaluate(model).gradient, name)
    step = {"xyz": 0.01, "b_iso": 0.2, "occ": 0.01}[name]
    scale = float(gradient.abs().max())
    for n in range(0, len(atoms), 9):
        index = (n, n % 3) if name == "xyz" else (n,)
        ends = []
        for sign in (1.0, -1.0):
            changed = getattr(model, name).clone()
            changed[index] += sign * step
            ends.append(term.value(replace(model, **{name: changed})))
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float(gradient[index]), abs=5e-3 * scale)


def test_newton_steps_with_the_fisher_blocks_recover_the_model() -> None:
    atoms, reflections = simulated()
    model = disturbed(atoms, 0.2)
    term = CrystalTerm(reflections)
    term.prepare(model)
    start = term.statistics().r_work
    for _ in range(6):
        found = term.evaluate(model)
        shift = torch.linalg.solve(found.fisher.xyz, found.gradient.xyz[:, :, None])[:, :, 0]
        model = replace(model, xyz=model.xyz - 0.7 * shift)
        term.update_scaling(model)
    assert start > 0.15
    assert term.statistics().r_work < 0.06
    assert float((model.xyz - atoms.xyz).norm(dim=1).median()) < 0.03


def test_curvature_is_that_of_the_value_at_the_true_model() -> None:
    """At the truth the mean second derivative equals the Fisher information; by atom it scatters."""
    atoms, reflections = simulated(count=40)
    term = CrystalTerm(reflections)
    term.prepare(atoms)
    fisher = term.evaluate(atoms).fisher
    ratios = []
    for n in range(0, len(atoms), 2):
        values = [term.value(replace(atoms, xyz=_shifted(atoms.xyz, n, x))) for x in (-0.03, 0.0, 0.03)]
        ratios.append((values[0] - 2 * values[1] + values[2]) / 0.03**2 / float(fisher.xyz[n, 0, 0]))
    assert np.median(ratios) == pytest.approx(1.0, abs=0.2)


def _shifted(xyz: torch.Tensor, n: int, x: float) -> torch.Tensor:
    out = xyz.clone()
    out[n, 0] += x
    return out


def test_a_wild_amplitude_is_left_out_and_named() -> None:
    atoms, reflections = simulated()
    f_obs = reflections.f_obs.clone()
    f_obs[50] = 1e30
    told = []
    term = CrystalTerm(replace(reflections, f_obs=f_obs), listener=told.append)
    term.prepare(atoms)
    assert term.statistics().outliers == 1
    assert "improbably large" in told[0].text
    assert term.statistics().r_work < 0.05


def test_unmeasured_reflections_do_not_count() -> None:
    atoms, reflections = simulated()
    f_obs = reflections.f_obs.clone()
    f_obs[::7] = torch.nan
    term = CrystalTerm(replace(reflections, f_obs=f_obs))
    term.prepare(atoms)
    assert np.isfinite(term.evaluate(atoms).value)
    assert bool(term.amplitudes.f_model.isfinite().all())
    assert term.statistics().r_work < 0.05


def test_asking_before_preparing_fails() -> None:
    atoms, reflections = simulated(count=5)
    with pytest.raises(RuntimeError, match="prepare"):
        CrystalTerm(reflections).value(atoms)
