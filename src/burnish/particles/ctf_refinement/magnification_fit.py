"""Anisotropic magnification of an optics group, by Gauss–Newton on the four elements of its matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.data.particles import Particles
from burnish.optics.frequency import magnified
from burnish.particles.ctf_refinement.comparison import Chunk, Comparison, HalfMaps
from burnish.particles.ctf_refinement.half_plane import HalfPlane
from burnish.particles.ctf_refinement.reference import slices
from burnish.particles.ctf_refinement.weights import ShellWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class MagnificationSums:
    """Normal equations of a change of the matrix, in the order 00 01 10 11.

    Attributes
    ----------
    gradient : of the log-likelihood. (4,) float64
    information : (4, 4) float64
    particles : how many.
    """

    gradient: Tensor
    information: Tensor
    particles: int

    def __add__(self, other: MagnificationSums) -> MagnificationSums:
        return MagnificationSums(
            gradient=self.gradient + other.gradient,
            information=self.information + other.information,
            particles=self.particles + other.particles,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MagnificationFit:
    """Matrix of a group with the standard uncertainties of its elements."""

    matrix: Tensor  # (2, 2) float64
    sigma: Tensor  # (2, 2) float64


def sum_magnification(
    particles: Particles,
    chunk: Chunk,
    comparison: Comparison,
    half_maps: HalfMaps,
    plane: HalfPlane,
    weights: ShellWeights,
) -> MagnificationSums:
    """Normal equations of one chunk about its group's present matrix.

    Notes
    -----
    The projection at M·k changes by Σ_ab (∂P/∂k_a) k_b δM_ab (Zivanov, Nakane & Scheres, IUCrJ 7 (2020) 253); the
    derivative is a central difference over one step of the reference's grid. The transfer function is held: what the
    new matrix does to it goes into the astigmatism (`optics.magnification.carry_defocus`).

    The reliability f of a projection falls with resolution, as its noise takes over from the signal. Held at k while
    the projection moves to M·k, it would draw a common factor of all frequencies away from 1: with the noise N of the
    projection, E of the gradient at the true matrix is f' E|P|² times weights. The slope in the product with the image
    is therefore ∂P − ½ (ln f)' P, which makes that expectation vanish.
    """
    k = plane.frequency
    slopes = _slopes(particles, chunk, half_maps, plane)
    projection = comparison.projection
    optics = torch.sin(comparison.delay) * comparison.envelope
    turned = comparison.image * torch.polar(torch.ones_like(comparison.odd), -comparison.odd)
    linear, quadratic = weights.linear(plane).to(optics), weights.quadratic(plane).to(optics)
    fall = 0.5 * weights.reliability_slope(plane).to(k) / plane.s2.sqrt()
    along = magnified(k, particles.optics[chunk.group].magnification)
    per_pixel = []
    for axis, slope in enumerate(slopes):
        moved = slope - (fall * along[:, axis]) * projection
        with_image = optics * (moved.real * turned.real + moved.imag * turned.imag)
        with_model = optics.square() * (slope.real * projection.real + slope.imag * projection.imag)
        per_pixel.append((linear * with_image - 2.0 * quadratic * with_model).double().sum(dim=0))
    gradient = torch.stack([(per_pixel[a] * k[:, b]).sum() for a in (0, 1) for b in (0, 1)])
    information = torch.zeros(4, 4, dtype=torch.float64, device=k.device)
    power = 2.0 * quadratic * optics.square()
    for a in (0, 1):
        for c in (0, 1):
            product = slopes[a].real * slopes[c].real + slopes[a].imag * slopes[c].imag
            weight = (power * product).double().sum(dim=0)
            block = torch.einsum("p,pb,pd->bd", weight, k.double(), k.double())
            information[2 * a : 2 * a + 2, 2 * c : 2 * c + 2] = block
    return MagnificationSums(gradient=gradient, information=information, particles=len(chunk.rows))


def fit_magnification(sums: MagnificationSums, given: Tensor) -> MagnificationFit:
    """One Gauss–Newton step from the given matrix."""
    information = sums.information + 1e-9 * sums.information.diagonal().max() * torch.eye(
        4, dtype=torch.float64, device=sums.information.device
    )
    covariance = torch.linalg.inv(information)
    change = (covariance @ sums.gradient).reshape(2, 2)
    sigma = covariance.diagonal().clamp_min(0.0).sqrt().reshape(2, 2)
    return MagnificationFit(matrix=given.double() + change.to(given.device), sigma=sigma)


def _slopes(particles: Particles, chunk: Chunk, half_maps: HalfMaps, plane: HalfPlane) -> tuple[Tensor, Tensor]:
    """∂P/∂k_x and ∂P/∂k_y in the particle's plane at M·k, Å. Two of (n, p) complex"""
    assert particles.poses is not None
    device = plane.index.device
    rotation = particles.poses.rotation[chunk.rows].to(device)
    half = particles.half_set[chunk.rows].to(device)
    frequency = magnified(plane.frequency, particles.optics[chunk.group].magnification)
    found = []
    for axis in (0, 1):
        slope = torch.zeros(len(rotation), len(plane), dtype=half_maps[0].values.dtype, device=device)
        for number, reference in enumerate(half_maps):
            mine = half == number
            if not bool(mine.any()):
                continue
            step = torch.zeros(2, device=device)
            step[axis] = 0.5 * reference.step
            ahead = slices(reference, rotation[mine], frequency + step)
            behind = slices(reference, rotation[mine], frequency - step)
            slope[mine] = (ahead - behind) / reference.step
        found.append(slope)
    return found[0], found[1]
