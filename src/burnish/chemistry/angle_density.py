"""Smooth densities of torsion angles: mixtures of coupled von Mises components."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations, product
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class AngleDensity:
    """Density of d torsion angles, and the level of each density value among the reference residues.

    Attributes
    ----------
    fold : period of each angle is 2π / fold. (d,) float64
    mean : centres of the components, rad. (k, d)
    kappa : concentrations. (k, d)
    coupling : coefficients of the sine products of the pairs (0, 1), (0, 2) … (1, 2) …. (k, d(d−1)/2)
    log_weight : log of each component's height at its centre, normalised. (k,)
    log_density_knots, log_level_knots : the level, the fraction of reference residues at lower density, as a curve.
    harmonics : whole numbers k of the terms cos k·(fold x) and sin k·(fold x) by which levels are mended. (m, d)
    level_terms : constant, then the coefficients of all cosines and of all sines; empty for none. (2m + 1,)
    """

    fold: Tensor
    mean: Tensor
    kappa: Tensor
    coupling: Tensor
    log_weight: Tensor
    log_density_knots: Tensor
    log_level_knots: Tensor
    harmonics: Tensor
    level_terms: Tensor


def log_density(density: AngleDensity, angles: Tensor) -> Tensor:
    """Log of the probability density, rad⁻ᵈ, over the full circle of each angle times its fold.

    Parameters
    ----------
    density : the mixture of d angles.
    angles : torsion angles, rad. (n, d)

    Notes
    -----
    log Σₖ exp(wₖ + Σ κ_a (cos δ_a − 1) + Σ_{a<b} λ_ab sin δ_a sin δ_b), δ_a = fold_a (x_a − μ_a): the sine model of
    Singh, Hnizdo & Demchuk (2002), Biometrika 89, 719, eq. 1.1, extended to more than two angles.
    """
    delta = (angles[:, None, :] - density.mean.to(angles)) * density.fold.to(angles)
    exponent = density.log_weight.to(angles) + ((delta.cos() - 1.0) * density.kappa.to(angles)).sum(-1)
    sine = delta.sin()
    d = angles.shape[1]
    for k, (a, b) in enumerate(combinations(range(d), 2)):
        exponent = exponent + density.coupling[:, k].to(angles) * sine[..., a] * sine[..., b]
    return exponent.logsumexp(-1)


def log_level(density: AngleDensity, log_p: Tensor) -> Tensor:
    """Log of the fraction of reference residues at lower density than `log_p`, on straight lines between knots."""
    x, y = density.log_density_knots.to(log_p), density.log_level_knots.to(log_p)
    right = torch.searchsorted(x, log_p.detach().contiguous()).clamp(1, len(x) - 1)
    slope = (y[right] - y[right - 1]) / (x[right] - x[right - 1])
    return (y[right - 1] + slope * (log_p - x[right - 1])).clamp(max=0.0)


def levels(density: AngleDensity, angles: Tensor) -> Tensor:
    """Fraction of the reference residues that lie at lower density than each of `angles` (n, d)."""
    found = log_level(density, log_density(density, angles))
    if len(density.level_terms):
        found = (found + level_mend(density, angles)).clamp(max=0.0)
    return found.exp()


def level_mend(density: AngleDensity, angles: Tensor) -> Tensor:
    """What the logarithm of the mixture's level lacks near the levels of verdicts: a short Fourier series. (n,)

    A mixture of a few dozen components follows a density to some per cent, but a level of .003 changes by a third
    within a degree or two: the series, fitted to the levels themselves, takes up the rest.
    """
    phase = (angles * density.fold.to(angles)) @ density.harmonics.to(angles).T
    constant, cosines, sines = density.level_terms.to(angles).split([1, phase.shape[1], phase.shape[1]])
    return constant + phase.cos() @ cosines + phase.sin() @ sines


def harmonics_within(dimensions: int, radius: int) -> Tensor:
    """All k of whole numbers with 0 < |k| ≤ radius, one of each pair ±k, in lexical order. (m, dimensions) float64

    Examples
    --------
    >>> harmonics_within(2, 1).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    axis = range(-radius, radius + 1)
    zero = (0,) * dimensions
    chosen = [k for k in product(axis, repeat=dimensions) if k > zero and sum(x * x for x in k) <= radius * radius]
    return torch.tensor(chosen, dtype=torch.float64).reshape(-1, dimensions)


def from_record(record: dict[str, Any]) -> AngleDensity:
    """Make a density from the stored parameters (angles in degrees)."""

    def tensor(name: str) -> Tensor:
        return torch.tensor(record[name], dtype=torch.float64)

    d = len(record["fold"])
    return AngleDensity(
        fold=tensor("fold"),
        mean=torch.deg2rad(tensor("mean_deg")),
        kappa=tensor("kappa"),
        coupling=tensor("coupling").reshape(len(record["mean_deg"]), d * (d - 1) // 2),
        log_weight=tensor("log_weight"),
        log_density_knots=tensor("log_density_knots"),
        log_level_knots=tensor("log_level_knots"),
        harmonics=harmonics_within(d, record.get("level_radius", 0)),
        level_terms=torch.tensor(record.get("level_terms", []), dtype=torch.float64),
    )


@cache
def stored_parameters() -> dict[str, Any]:
    """The fitted parameters that come with the package (see `scripts/fit_conformation_densities.py`)."""
    path = files("burnish.chemistry") / "conformation_densities.json"
    parameters: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return parameters
