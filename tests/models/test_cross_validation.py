"""Complete cross-validation, Hamilton's test, paired likelihoods, resolution limits."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from burnish.models.cross_validation import (
    Degrees,
    FreeComparison,
    HeldOut,
    Paired,
    best_limit,
    compare_free,
    generalised_residual,
    hamilton_test,
    r_complete,
    residual_ratio,
    shaken,
)
from tests.models.crystals import random_atoms, triclinic_like


def fold(start: int, model: list[float]) -> HeldOut:
    values = torch.tensor(model, dtype=torch.float64)
    index = torch.arange(start, start + len(values))
    return HeldOut(index=index, observed=torch.full_like(values, 10.0), model=values, r_work=0.1, r_free=0.2)


def test_r_complete_is_the_r_factor_of_all_held_out_reflections():
    found = r_complete([fold(0, [9.0, 11.0]), fold(2, [14.0, 10.0])])
    assert found.r_complete == pytest.approx(6.0 / 40.0)
    assert found.reflections == 4 and found.r_free_sd == 0.0


def test_hamilton_without_restraints_is_the_f_test():
    # a line in place of a constant, 100 observations: one parameter more
    limit = math.sqrt(1.0 / 98.0 * stats.f.ppf(0.99, 1, 98) + 1.0)
    smaller, larger = Degrees(parameters=1, restraints=0), Degrees(parameters=2, restraints=0)
    assert hamilton_test(limit * 1.001, 100, smaller, larger).verdict == "justified"
    assert hamilton_test(limit * 0.999, 100, smaller, larger).verdict == "rejected"


def test_hamilton_false_positives_are_as_rare_as_asked():
    """Useless parameters pass in about one case of a hundred."""
    generator = np.random.default_rng(5)
    smaller, larger = Degrees(parameters=1, restraints=0), Degrees(parameters=4, restraints=0)
    passed = 0
    for _ in range(1000):
        y = 10.0 + generator.normal(size=60)
        design = np.column_stack([np.ones(60), generator.normal(size=(60, 3))])
        fit = design @ np.linalg.lstsq(design, y, rcond=None)[0]
        one = torch.ones(60, dtype=torch.float64)
        residuals = [
            generalised_residual(torch.from_numpy(y), torch.from_numpy(m), one) for m in (np.full(60, y.mean()), fit)
        ]
        passed += hamilton_test(residuals[0] / residuals[1], 60, smaller, larger).verdict == "justified"
    assert 2 <= passed <= 25


def test_restraints_widen_what_is_possible():
    smaller, larger = Degrees(parameters=40, restraints=10), Degrees(parameters=90, restraints=60)
    assert not hamilton_test(2.0, 20, smaller, larger).possible
    assert (
        hamilton_test(1.2, 100, smaller, larger).verdict == "undecided"
    )  # held fast it is small, free it is too large


def test_paired_likelihoods_and_their_error():
    generator = torch.Generator().manual_seed(1)
    first = torch.randn(400, generator=generator, dtype=torch.float64)
    found = compare_free(first, first - 0.1)
    assert found.gain == pytest.approx(0.1) and found.error < 1e-12 and found.significant
    noise = compare_free(first, torch.randn(400, generator=generator, dtype=torch.float64))
    assert noise.error == pytest.approx(math.sqrt(2.0 / 400), rel=0.1)


def step(coarse: float, fine: float, r_free: float, gain: float) -> Paired:
    free = FreeComparison(gain=gain, error=0.01)
    return Paired(d_coarse=coarse, d_fine=fine, r_work=0.0, r_free=r_free, free=free, shell_cc_free=0.3)


def test_the_limit_stops_at_the_first_step_that_does_harm():
    good, bad = step(2.2, 2.0, -0.001, 0.02), step(2.0, 1.9, 0.004, -0.02)
    assert best_limit(2.2, [good, bad, step(1.9, 1.8, -0.01, 0.1)]) == 2.0
    assert best_limit(2.2, [good]) == 2.0
    assert best_limit(2.0, [bad]) == 2.0


def test_harm_that_chance_explains_is_none():
    """R-free rises, but the free likelihood falls by less than its standard error of .01."""
    assert best_limit(2.0, [step(2.0, 1.9, 0.004, -0.008)]) == 1.9
    assert best_limit(2.0, [step(2.0, 1.9, 0.004, float("nan"))]) == 2.0


def test_shaking_moves_by_what_was_asked():
    atoms = random_atoms(triclinic_like("P 1"), 40, 2)
    before = atoms.xyz.clone()
    moved = shaken(atoms, 0.2, torch.Generator().manual_seed(3))
    assert torch.equal(atoms.xyz, before)
    assert float((moved.xyz - before).square().sum(1).mean().sqrt()) == pytest.approx(0.2, rel=0.2)


def test_the_ratio_of_residuals_weighs_shells_by_their_variance():
    generator = torch.Generator().manual_seed(4)
    shell = torch.arange(400) // 100
    truth = 50.0 + 10.0 * torch.rand(400, generator=generator, dtype=torch.float64)
    error = torch.randn(400, generator=generator, dtype=torch.float64) * (1.0 + shell)
    assert residual_ratio(truth, truth + error, truth + 0.5 * error, shell) == pytest.approx(2.0)
    assert residual_ratio(truth, truth + error, truth + error, shell) == pytest.approx(1.0)
    first = torch.where(shell == 3, 0.5, 1.0)  # the weak shell alone is better: it counts as every other
    found = residual_ratio(truth, truth + error, truth + first * error, shell)
    assert found == pytest.approx(math.sqrt(4.0 / 3.25), rel=0.02)
