"""The likelihood of phase changes: brute force, derivatives, recovery."""

from __future__ import annotations

import pytest
import torch

from burnish.particles.ctf_refinement.phase_fit import (
    PhaseSums,
    Prior,
    _derivatives,
    fit_phases,
    gather_places,
    log_likelihood,
    pool_units,
    scan,
    sum_phases,
    turn_sums,
)


def random_terms(n: int = 4, p: int = 30, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    agreement = torch.randn(n, p, generator=g, dtype=torch.float64)
    power = torch.rand(n, p, generator=g, dtype=torch.float64)
    delay = 10 * torch.rand(n, p, generator=g, dtype=torch.float64)
    return agreement, power, delay


def flat(m: int) -> Prior:
    return Prior(mean=torch.zeros(m, dtype=torch.float64), precision=torch.zeros(m, dtype=torch.float64))


def noiseless(n: int, p: int, change: torch.Tensor, seed: int = 4) -> tuple[PhaseSums, torch.Tensor]:
    """Images that are the model with χ + change: a = 2 b sin(χ + change)."""
    g = torch.Generator().manual_seed(seed)
    power = 20 * torch.rand(n, p, generator=g, dtype=torch.float64)
    delay = 10 * torch.rand(n, p, generator=g, dtype=torch.float64)
    return sum_phases(2 * power * torch.sin(delay + change), power, delay), power


def test_equals_the_sum_over_images():
    agreement, power, delay = random_terms()
    change = torch.linspace(-2, 2, 30, dtype=torch.float64)
    sine = torch.sin(delay + change)
    direct = (agreement * sine - power * sine.square()).sum()
    sums = sum_phases(agreement, power, delay)
    torch.testing.assert_close(log_likelihood(pool_units(sums), change)[0], direct)
    torch.testing.assert_close(log_likelihood(sums, change).sum(), direct)


def test_scan_is_the_likelihood_at_each_step():
    sums = sum_phases(*random_terms())
    pattern, steps = torch.linspace(0, 3, 30, dtype=torch.float64), torch.linspace(-1, 1, 7, dtype=torch.float64)
    one_by_one = torch.stack([log_likelihood(sums, t * pattern) for t in steps], dim=1)
    torch.testing.assert_close(scan(sums, pattern, steps), one_by_one)


def test_turned_sums_start_from_the_new_phase():
    sums = sum_phases(*random_terms())
    first, second = torch.linspace(-2, 2, 30, dtype=torch.float64), torch.linspace(1, 0, 30, dtype=torch.float64)
    torch.testing.assert_close(log_likelihood(turn_sums(sums, first), second), log_likelihood(sums, first + second))


def test_gathering_places_of_one_pattern_changes_nothing():
    sums = sum_phases(*random_terms())
    place = torch.arange(30) // 3
    rings = gather_places(sums, place, 10)
    pattern = torch.linspace(0, 2, 10, dtype=torch.float64)
    torch.testing.assert_close(log_likelihood(rings, pattern), log_likelihood(sums, pattern[place]))


def test_derivatives_are_those_of_the_likelihood():
    sums = sum_phases(*random_terms(n=2))
    g = torch.Generator().manual_seed(3)
    basis = torch.randn(30, 3, generator=g, dtype=torch.float64)
    theta = 0.3 * torch.randn(2, 3, generator=g, dtype=torch.float64)
    prior = Prior(
        mean=torch.full((3,), 0.1, dtype=torch.float64), precision=torch.full((3,), 500.0, dtype=torch.float64)
    )

    def posterior(t: torch.Tensor) -> torch.Tensor:
        quadratic = 0.5 * (prior.precision * (t - prior.mean).square()).sum(dim=-1)
        return (log_likelihood(sums, t @ basis.T) - quadratic).sum()

    gradient, information = _derivatives(sums, basis, theta, prior)
    at = theta.clone().requires_grad_()
    torch.testing.assert_close(torch.autograd.grad(posterior(at), at)[0], gradient)
    hessian = torch.autograd.functional.hessian(posterior, theta)
    for unit in range(2):
        torch.testing.assert_close(-hessian[unit, :, unit], information[unit])  # the prior keeps it positive


def test_recovers_parameters_and_leaves_inputs():
    g = torch.Generator().manual_seed(6)
    basis = torch.randn(200, 3, generator=g, dtype=torch.float64)
    truth = torch.tensor([[0.2, -0.3, 0.1], [0.0, 0.4, -0.2]], dtype=torch.float64)
    sums, _ = noiseless(2, 200, truth @ basis.T)
    start, before = torch.zeros(2, 3, dtype=torch.float64), sums.s1.clone()
    fit = fit_phases(sums, basis, start, flat(3))
    torch.testing.assert_close(fit.value, truth, rtol=0, atol=1e-6)
    assert bool(fit.converged.all()) and bool((fit.gain > 0).all())
    assert torch.equal(start, torch.zeros(2, 3, dtype=torch.float64)) and torch.equal(sums.s1, before)


def test_batch_equals_loop():
    basis = torch.randn(60, 2, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    sums, _ = noiseless(3, 60, torch.full((60,), 0.2, dtype=torch.float64))
    together = fit_phases(sums, basis, torch.zeros(3, 2), flat(2))
    for i in range(3):
        one = PhaseSums(**{n: getattr(sums, n)[i : i + 1] for n in PhaseSums.__slots__})
        torch.testing.assert_close(fit_phases(one, basis, torch.zeros(1, 2), flat(2)).value[0], together.value[i])


def test_uncertainty_is_the_spread_of_repeated_fits():
    """Images with unit noise: a = 2 Re(X* P)/σ², so that its variance is 2 b."""
    g = torch.Generator().manual_seed(8)
    repeats, p = 400, 60
    basis = torch.linspace(0.2, 1.0, p, dtype=torch.float64)[:, None]
    power = torch.full((repeats, p), 4.0, dtype=torch.float64)
    delay = (10 * torch.rand(p, generator=g, dtype=torch.float64)).expand(repeats, p)
    agreement = 2 * power * torch.sin(delay) + (2 * power).sqrt() * torch.randn(
        repeats, p, generator=g, dtype=torch.float64
    )
    fit = fit_phases(sum_phases(agreement, power, delay), basis, torch.zeros(repeats, 1), flat(1))
    z = fit.value[:, 0] / fit.sigma[:, 0]
    assert abs(float(z.square().mean().sqrt()) - 1.0) < 0.12  # 3 σ of a spread from 400 values is 0.11
    assert abs(float(z.mean())) < 0.16


def test_a_prior_holds_what_the_images_do_not_say():
    nothing = torch.zeros(1, 10, dtype=torch.float64)
    sums = PhaseSums(s1=nothing, s2=nothing, t0=nothing, t1=nothing, t2=nothing)
    prior = Prior(mean=torch.tensor([[3.0]], dtype=torch.float64), precision=torch.tensor([0.25], dtype=torch.float64))
    fit = fit_phases(sums, torch.ones(10, 1, dtype=torch.float64), torch.zeros(1, 1), prior)
    assert fit.value.item() == pytest.approx(3.0)
    assert fit.sigma.item() == pytest.approx(2.0)
