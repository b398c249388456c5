"""Twins: laws, mates, fractions recovered, gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.data.atoms import Atoms
from burnish.data.reflections import Crystal, Reflections
from burnish.models.crystal_term import CrystalTerm
from burnish.models.structure_factors import plan_structure_factors, structure_factors
from burnish.models.twin_target import TwinTarget
from burnish.models.twinning import twin_laws, twin_mates
from burnish.scattering.form_factors import form_factors
from tests.models.crystals import random_atoms, reflections_to
from tests.models.test_crystal_term import disturbed

TETRAGONAL = Crystal(cell=(24.0, 24.0, 31.0, 90.0, 90.0, 90.0), space_group="P 43")


def twinned_crystal(alpha: float) -> tuple[Atoms, Reflections]:
    atoms = random_atoms(TETRAGONAL, 60, seed=3)
    r = reflections_to(TETRAGONAL, 1.7)
    mates = twin_mates(r, twin_laws(TETRAGONAL))
    plan = plan_structure_factors(TETRAGONAL, mates.hkl)
    f = structure_factors(atoms, form_factors(atoms.elements), atoms.occ.numpy(), plan).abs().double()
    single = f.square()[mates.mate]
    intensity = (1 - alpha) * single[0] + alpha * single[1]
    generator = torch.Generator().manual_seed(8)
    sigma = 0.04 * intensity + 0.5
    intensity = intensity + sigma * torch.randn(len(r), generator=generator, dtype=torch.float64)
    f_obs = intensity.clamp_min(0.1).sqrt()
    free = torch.rand(len(r), generator=generator) < 0.1
    return atoms, replace(
        r, i_obs=intensity, sigma_i_obs=sigma, f_obs=f_obs, sigma_f_obs=0.5 * sigma / f_obs.clamp_min(1.0), free=free
    )


def test_laws_and_mates() -> None:
    assert twin_laws(TETRAGONAL) == ("-x,y,-z",)
    assert twin_laws(replace(TETRAGONAL, space_group="P 43 21 2")) == ()
    r = reflections_to(TETRAGONAL, 4.0)
    mates = twin_mates(r, ("-x,y,-z",))
    assert torch.equal(mates.hkl[: len(r)], r.hkl)
    assert mates.mate[0].tolist() == list(range(len(r)))
    inside = mates.mate[1] < len(r)
    back = mates.mate[1][mates.mate[1][inside]]
    assert torch.equal(back, torch.arange(len(r))[inside])  # a twofold law taken twice


@pytest.mark.parametrize("alpha", [0.1, 0.35, 0.5])
def test_fraction_is_recovered_also_from_a_poor_model(alpha: float) -> None:
    atoms, reflections = twinned_crystal(alpha)
    for model, tolerance in ((atoms, 0.01), (disturbed(atoms, 0.25), 0.05)):
        term = CrystalTerm(reflections, TwinTarget(reflections))
        term.prepare(model)
        term.update_scaling(model)
        assert term.statistics().twin_fractions[1] == pytest.approx(alpha, abs=tolerance)
    term = CrystalTerm(reflections, TwinTarget(reflections))
    term.prepare(atoms)
    assert term.statistics().r_free < 0.05


def test_gradient() -> None:
    atoms, reflections = twinned_crystal(0.3)
    model = disturbed(atoms, 0.2)
    term = CrystalTerm(reflections, TwinTarget(reflections))
    term.prepare(model)
    found = term.evaluate(model)
    scale = float(found.gradient.xyz.abs().max())
    for n in range(0, len(atoms), 11):
        ends = []
        for sign in (1.0, -1.0):
            xyz = model.xyz.clone()
            xyz[n, 1] += sign * 0.01
            ends.append(term.value(replace(model, xyz=xyz)))
        assert (ends[0] - ends[1]) / 0.02 == pytest.approx(float(found.gradient.xyz[n, 1]), abs=5e-3 * scale)


def test_newton_steps_recover_a_twinned_structure() -> None:
    atoms, reflections = twinned_crystal(0.4)
    model = disturbed(atoms, 0.2)
    term = CrystalTerm(reflections, TwinTarget(reflections))
    term.prepare(model)
    for _ in range(8):
        found = term.evaluate(model)
        shift = torch.linalg.solve(found.fisher.xyz, found.gradient.xyz[:, :, None])[:, :, 0]
        model = replace(model, xyz=model.xyz - 0.6 * shift)
        term.update_scaling(model)
    assert float((model.xyz - atoms.xyz).norm(dim=1).median()) < 0.04
    assert np.isfinite(term.statistics().free_value)


def test_no_laws_is_an_untwinned_crystal() -> None:
    atoms, reflections = twinned_crystal(0.0)
    term = CrystalTerm(reflections, TwinTarget(reflections, laws=()))
    plain = CrystalTerm(reflections)
    term.prepare(atoms)
    plain.prepare(atoms)
    assert term.statistics().twin_fractions == (1.0,)
    assert term.statistics().work_value == pytest.approx(plain.statistics().work_value, rel=1e-3)
