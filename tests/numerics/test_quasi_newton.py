"""BFGS between bounds, against known minima and against SciPy."""

import numpy as np
import pytest
from scipy.optimize import minimize

from burnish.numerics.quasi_newton import minimise

WIDE = np.full(2, 1e3)


def rosenbrock(x):
    value = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    return float(value), np.array([-2 * (1 - x[0]) - 400 * x[0] * (x[1] - x[0] ** 2), 200 * (x[1] - x[0] ** 2)])


def test_a_curved_valley():
    start = np.array([-1.2, 1.0])
    x, value = minimise(rosenbrock, start, -WIDE, WIDE, tolerance=1e-14, max_iterations=300)
    np.testing.assert_allclose(x, [1.0, 1.0], atol=1e-4)
    assert value < 1e-8
    assert (start == [-1.2, 1.0]).all()


def test_a_minimum_at_a_bound():
    x, _ = minimise(rosenbrock, np.array([-0.5, 0.2]), -WIDE, np.array([0.5, 1e3]), tolerance=1e-14, max_iterations=300)
    np.testing.assert_allclose(x, [0.5, 0.25], atol=1e-5)
    lower = np.array([2.0, -1.0])
    x, _ = minimise(lambda x: (float(x @ x), 2 * x), np.array([5.0, 5.0]), lower, WIDE)
    np.testing.assert_allclose(x, [2.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_same_as_scipy(seed):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(40, 12)) * 10.0 ** rng.uniform(-2, 1, 12)
    wanted = rng.normal(size=40)

    def objective(x):
        residual = mix @ x - wanted
        return float(np.sum(np.log1p(residual**2))), mix.T @ (2 * residual / (1 + residual**2))

    lower, upper = np.full(12, -0.4), np.full(12, 0.6)
    x, value = minimise(objective, np.zeros(12), lower, upper, tolerance=1e-12, max_iterations=500)
    other = minimize(objective, np.zeros(12), jac=True, method="L-BFGS-B", bounds=list(zip(lower, upper, strict=True)))
    assert ((x >= lower) & (x <= upper)).all()
    assert value <= other.fun * (1 + 1e-3)


def test_a_point_that_is_the_minimum_stays():
    x, value = minimise(lambda x: (float(x @ x), 2 * x), np.zeros(2), -WIDE, WIDE)
    assert (x == 0).all() and value == 0.0
