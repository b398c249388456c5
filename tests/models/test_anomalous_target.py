"""Bijvoet pairs: F(h) and F(−h) with f″, gradient, anomalous difference map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.core.errors import InputError
from burnish.data.reflections import AnomalousPairs
from burnish.models.anomalous_target import AnomalousTarget
from burnish.models.crystal_term import CrystalSettings, CrystalTerm
from burnish.models.density_maps import anomalous_coefficients, crystal_map
from burnish.models.structure_factors import grid_shape
from burnish.scattering.form_factors import form_factors
from burnish.symmetry.space_groups import fractionalisation, operations
from tests.models.test_crystal_term import disturbed, simulated

DISPERSION = {"S": (0.3, 6.0)}


def bijvoet_crystal():
    """A simulated crystal whose three first atoms are strong anomalous scatterers; the true F of h and −h."""
    atoms, reflections = simulated()
    atoms = replace(atoms, elements=("S", "S", "S", *("C" if e == "S" else e for e in atoms.elements[3:])))
    factors = form_factors(atoms.elements, dispersion=DISPERSION)
    group, frac = operations(reflections.crystal), atoms.xyz.numpy() @ fractionalisation(reflections.crystal).T
    form = factors.at(reflections.s2.numpy())[factors.kind] + 1j * factors.dispersion[factors.kind][:, None]
    form = form * np.exp(-0.25 * atoms.b_iso.numpy()[:, None] * reflections.s2.numpy())
    form *= atoms.occ.numpy()[:, None]
    hkl = reflections.hkl.numpy()
    plus, minus = np.zeros(len(hkl), complex), np.zeros(len(hkl), complex)
    for rotation, translation in zip(group.rotation, group.translation, strict=True):
        angle = 2 * np.pi * ((frac @ rotation.T + translation) @ hkl.T)
        plus += np.sum(form * np.exp(1j * angle), axis=0)
        minus += np.sum(form * np.exp(-1j * angle), axis=0)
    amplitude = torch.from_numpy(np.abs(np.stack([plus, minus], axis=1)))
    generator = torch.Generator().manual_seed(2)
    sigma = 0.01 * amplitude + 0.1
    noisy = (amplitude + sigma * torch.randn(amplitude.shape, generator=generator, dtype=torch.float64)).clamp_min(0.1)
    pairs = AnomalousPairs(f_obs=noisy, sigma_f_obs=sigma, i_obs=None, sigma_i_obs=None)
    reflections = replace(reflections, anomalous=pairs, f_obs=noisy.mean(dim=1), sigma_f_obs=sigma.mean(dim=1) / 2**0.5)
    return atoms, reflections, np.abs(plus), np.abs(minus)


def prepared(atoms, reflections) -> CrystalTerm:
    term = CrystalTerm(reflections, AnomalousTarget(reflections), CrystalSettings(dispersion=DISPERSION))
    term.prepare(atoms)
    return term


def test_amplitudes_of_pairs_against_direct_summation() -> None:
    atoms, reflections, plus, minus = bijvoet_crystal()
    f = prepared(atoms, reflections).amplitudes.f_calc.abs().numpy()
    n = len(reflections)
    assert np.abs(plus - minus).mean() > 0.02 * plus.mean()
    assert np.abs(f[:n] - plus).mean() < 2e-3 * plus.mean()
    assert np.abs(f[n:] - minus).mean() < 2e-3 * plus.mean()


def test_gradient() -> None:
    atoms, reflections, *_ = bijvoet_crystal()
    model = disturbed(atoms, 0.15)
    term = prepared(model, reflections)
    gradient = term.evaluate(model).gradient.xyz
    scale = float(gradient.abs().max())
    for n in (0, 1, 2, 10, 40):
        ends = []
        for sign in (1.0, -1.0):
            xyz = model.xyz.clone()
            xyz[n, 0] += sign * 0.01
            ends.append(term.value(replace(model, xyz=xyz)))
        assert (ends[0] - ends[1]) / 0.02 == pytest.approx(float(gradient[n, 0]), abs=5e-3 * scale)


def test_f_double_prime_makes_the_pairs_more_likely() -> None:
    atoms, reflections, *_ = bijvoet_crystal()
    without = CrystalTerm(reflections, AnomalousTarget(reflections))
    without.prepare(atoms)
    assert prepared(atoms, reflections).statistics().free_value < without.statistics().free_value


def test_anomalous_map_shows_the_scatterers() -> None:
    atoms, reflections, *_ = bijvoet_crystal()
    term = prepared(atoms, reflections)
    crystal = reflections.crystal
    density = crystal_map(crystal, reflections.hkl, anomalous_coefficients(term), grid_shape(crystal, 0.5))
    place = np.round(atoms.xyz.numpy() @ fractionalisation(crystal).T * np.array(density.shape)).astype(int)
    height = density.numpy()[tuple((place % np.array(density.shape)).T)] / float(density.std())
    assert height[:3].min() > 8.0
    assert height[:3].min() > 1.5 * np.abs(height[3:]).max()


def test_data_without_pairs_say_so() -> None:
    _, reflections = simulated(count=5)
    with pytest.raises(InputError, match="Bijvoet"):
        AnomalousTarget(reflections)
