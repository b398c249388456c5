"""What each resolution shell is worth: noise of the images, gain, reliability and memory of the half maps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from burnish.core.errors import BurnishError, DataError
from burnish.data.particles import Particles
from burnish.particles.ctf_refinement.comparison import Chunk, HalfMaps, ImageLoader, compare, split_into_chunks
from burnish.particles.ctf_refinement.half_plane import HalfPlane

SURVEY_PARTICLES = 75  # of an optics group: shells hold thousands of pixels of them
SURVEY_CHUNK = 15  # of one micrograph, so that the survey sees many
MIN_RELIABILITY = 0.05  # shells after the last one with this FSC between half maps are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellWeights:
    """Statistics of one optics group by shell of its images.

    Attributes
    ----------
    noise : power of the noise, E|N|², of one coefficient. (shells,)
    gain : images = gain · optics · projection + noise; one number for the group.
    reliability : Wiener factor of a half map's projection, the FSC between half maps. (shells,)
    memory : share of an image, times its transfer function, that its own half map's projection repeats. (shells,)
    """

    noise: Tensor
    gain: float
    reliability: Tensor
    memory: Tensor

    def linear(self, plane: HalfPlane) -> Tensor:
        """Weight of Re(image* · optics · projection) in the log-likelihood. (p,)"""
        return (2.0 * self.gain * self.reliability / self.noise)[plane.shell]

    def reliability_slope(self, plane: HalfPlane) -> Tensor:
        """d(ln reliability)/ds, Å, from a line through five shells. (p,)"""
        step = 1.0 / (plane.box_size * plane.pixel_size)
        shells = torch.arange(len(self.reliability), device=self.reliability.device)
        known = self.reliability > 0
        log = torch.where(known, self.reliability.clamp_min(1e-300).log(), torch.zeros_like(self.reliability))
        slope = torch.zeros_like(self.reliability)
        for shell in plane.shell.unique().tolist():
            near = ((shells - shell).abs() <= 2) & known
            if int(near.sum()) >= 2:
                s = shells[near].double() * step
                slope[shell] = ((s - s.mean()) * log[near]).sum() / (s - s.mean()).square().sum()
        return slope[plane.shell]

    def quadratic(self, plane: HalfPlane) -> Tensor:
        """Weight of |optics · projection|² in the log-likelihood, to be subtracted. (p,)"""
        return ((self.gain * self.reliability).square() / self.noise)[plane.shell]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellSums:
    """Sums over particles and over the pixels of each shell; each (shells,) float64."""

    image_power: Tensor
    with_own: Tensor
    with_other: Tensor
    model_power: Tensor
    filtered_power: Tensor
    count: Tensor

    def __add__(self, other: ShellSums) -> ShellSums:
        return ShellSums(**{n: getattr(self, n) + getattr(other, n) for n in ShellSums.__slots__})


def reliability_of_shells(fsc: Tensor, fsc_frequency: Tensor, plane_frequency: Tensor) -> Tensor:
    """FSC of the half maps at other frequencies, cut after the last shell that is worth using.

    Parameters
    ----------
    fsc : between half maps inside the mask, corrected for the mask. (shells,)
    fsc_frequency : of those shells, ascending, Å⁻¹. (shells,)
    plane_frequency : wanted, ascending, Å⁻¹. (m,)

    Returns
    -------
    Between 0 and 1; 0 beyond the first shell from which two in a row are below `MIN_RELIABILITY`. (m,) float64
    """
    x, y = fsc_frequency.double(), fsc.double().clamp(0.0, 1.0)
    low = (y < MIN_RELIABILITY) & torch.cat([y[1:] < MIN_RELIABILITY, torch.ones(1, dtype=torch.bool, device=y.device)])
    below = low.nonzero()
    last = int(below[0]) if len(below) else len(y)
    y = torch.where(torch.arange(len(y), device=y.device) < last, y, torch.zeros_like(y))
    upper = torch.searchsorted(x, plane_frequency.double()).clamp(1, len(x) - 1)
    part = ((plane_frequency - x[upper - 1]) / (x[upper] - x[upper - 1])).clamp(0.0, 1.0)
    value = y[upper - 1] + part * (y[upper] - y[upper - 1])
    return torch.where(plane_frequency <= x[-1], value, torch.zeros_like(value))


def sum_shells(
    particles: Particles, chunk: Chunk, load: ImageLoader, half_maps: HalfMaps, plane: HalfPlane, shells: int
) -> ShellSums:
    """Compare the images of a chunk with both half maps, shell by shell, under the optics given."""
    images = load(chunk.rows)
    own = compare(particles, chunk, images, half_maps, plane)
    other = compare(particles, chunk, images, half_maps, plane, swap=True)
    transfer = torch.sin(own.delay) * own.envelope
    turned = own.image * torch.polar(torch.ones_like(own.odd), -own.odd)

    def by_shell(values: Tensor) -> Tensor:
        total = torch.zeros(shells, dtype=torch.float64, device=values.device)
        return total.index_add_(0, plane.shell, values.double().sum(dim=0))

    return ShellSums(
        image_power=by_shell(_power(own.image)),
        with_own=by_shell(transfer * _product(own.projection, turned)),
        with_other=by_shell(transfer * _product(other.projection, turned)),
        model_power=by_shell(transfer.square() * _power(own.projection)),
        filtered_power=by_shell(transfer.square() * _power(own.image)),
        count=by_shell(torch.ones_like(own.delay)),
    )


def survey(
    particles: Particles,
    half_maps: HalfMaps,
    planes: tuple[HalfPlane, ...],
    reliability: tuple[Tensor, ...],
    load: ImageLoader,
) -> tuple[ShellWeights, ...]:
    """Weights of each optics group from a few images of many micrographs.

    Parameters
    ----------
    reliability : of each group's shells, see `reliability_of_shells`.

    Raises
    ------
    DataError : no image of any group could be read, or images and half maps do not go together.

    Notes
    -----
    A micrograph that cannot be read is passed over here; the passes name it. A group without a readable one gets no
    weight at all.
    """
    chunks = split_into_chunks(particles)
    found: list[ShellWeights] = []
    reason = ""
    for number, plane in enumerate(planes):
        mine = [c for c in chunks if c.group == number]
        spaced = sorted(range(len(mine)), key=lambda i: (i * 0.6180339887498949) % 1.0)  # spread over the session
        total: ShellSums | None = None
        seen = 0
        for chunk in (mine[i] for i in spaced):
            if seen >= SURVEY_PARTICLES:
                break
            some = replace(chunk, rows=chunk.rows[:SURVEY_CHUNK])
            try:
                sums = sum_shells(particles, some, load, half_maps, plane, len(reliability[number]))
            except (BurnishError, OSError) as error:
                reason = str(error)
                continue
            if not bool(torch.isfinite(sums.image_power).all()):
                reason = f"{particles.micrographs[chunk.micrograph]}: images hold values that are not finite numbers"
                continue
            total = sums if total is None else total + sums
            seen += len(some.rows)
        found.append(_weights_of_group(particles, number, total, reliability[number]))
    if all(w.gain == 0.0 for w in found):
        raise DataError(reason or "no particles")
    return tuple(found)


def _weights_of_group(particles: Particles, number: int, sums: ShellSums | None, reliability: Tensor) -> ShellWeights:
    if sums is None:
        nothing = torch.zeros_like(reliability)
        return ShellWeights(noise=torch.ones_like(reliability), gain=0.0, reliability=nothing, memory=nothing)
    weights = estimate_weights(sums, reliability)
    if weights.gain <= 0.0:
        raise DataError(
            f"optics group {particles.optics[number].name}: images and half maps do not correlate (gain "
            f"{weights.gain:.3g}); check that they are of the same refinement and contrast"
        )
    return weights


def estimate_weights(sums: ShellSums, reliability: Tensor) -> ShellWeights:
    """Noise, gain and memory of a group from its sums.

    Notes
    -----
    A half map holds a share β·C·X of each image that went into it. With the noise of the two half maps independent,
    β = Σ Re(X* C (P_own − P_other)) / Σ C²|X|² of a shell. Without its removal every fit is drawn towards the optics
    with which the half maps were made.
    """
    counted = sums.count > 0
    safe = sums.count.clamp_min(1.0)
    memory = _ratio(sums.with_own - sums.with_other, sums.filtered_power)
    memory = _smooth(torch.where(counted, memory, torch.zeros_like(memory)), sums.filtered_power)
    memory = memory.clamp_min(0.0)
    agreement = sums.with_own - memory * sums.filtered_power
    power = sums.image_power / safe
    floor = power[counted].min() * 1e-6 if bool(counted.any()) else torch.tensor(1.0)
    whole = power.clamp_min(floor)
    gain = _ratio((reliability * agreement / whole).sum(), (reliability.square() * sums.model_power / whole).sum())
    # power of the projected signal: the part of the model that is not the half map's own noise
    signal = gain.square() * reliability * sums.model_power / safe
    noise = torch.maximum(power - signal, 0.2 * power).clamp_min(floor)
    return ShellWeights(noise=noise, gain=float(gain), reliability=reliability, memory=memory)


def _power(values: Tensor) -> Tensor:
    return values.real.square() + values.imag.square()


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Re(a* b)."""
    return a.real * b.real + a.imag * b.imag


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    return torch.where(denominator > 0, numerator / denominator.clamp_min(1e-300), torch.zeros_like(numerator))


def _smooth(values: Tensor, weight: Tensor, reach: int = 3) -> Tensor:
    """Weighted running mean over 2 · reach + 1 shells."""
    kernel = torch.ones(1, 1, 2 * reach + 1, dtype=values.dtype, device=values.device)

    def spread(x: Tensor) -> Tensor:
        return torch.nn.functional.conv1d(x[None, None], kernel, padding=reach)[0, 0]

    return _ratio(spread(values * weight), spread(weight))
