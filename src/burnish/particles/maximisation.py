"""From the sums of an expectation to references, noise, scales: what the next iteration starts from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.maps.fsc_correction import masked_fsc
from burnish.particles.expectation import Setup, Tally
from burnish.particles.projection import PADDING, FourierSums
from burnish.particles.reconstruct import (
    crossing,
    fold_origin_plane,
    mean_weights,
    shell_correlation,
    solve_map,
    symmetrise,
)
from burnish.particles.solvent import LOW_PASS, solvent_mask
from burnish.particles.state import State

_SMALLEST_SHIFT = 1.5  # Å, floor of the shift prior's σ: estimated from sharp posteriors it collapses
_MOST_SSNR = 999.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps:
    """Maps of an iteration and how far they agree.

    Attributes
    ----------
    halves : reference of each half set, filtered, and masked where masks are found. (2, n, n, n)
    unfiltered : of each half set. (2, n, n, n)
    joined : map of all particles, filtered, after the last iteration; else None. (n, n, n)
    fsc : between the unfiltered half maps, in the mask and corrected where that was asked for. (shells,) float64
    fsc_masked : the same in the mask that references are multiplied by; the mean of both halves' where they have one
        each. (shells,) float64
    ssnr : of a half map in the sphere or given mask. (shells,) float64
    weight : mean Σ CTF²/σ² of a half by shell. (shells,) float64
    """

    halves: Tensor
    unfiltered: Tensor
    joined: Tensor | None
    fsc: Tensor
    fsc_masked: Tensor
    ssnr: Tensor
    weight: Tensor


def make_maps(
    halves: tuple[FourierSums, ...],
    setup: Setup,
    previous: Tensor,
    *,
    relaxation: float,
    join: bool,
    find_masks: bool = False,
) -> Maps:
    """Solve for the maps of both halves.

    Parameters
    ----------
    halves : sums of an expectation; all is computed on their device, and what results is on the host.
    previous : references of the iteration before. (2, n, n, n)
    relaxation : V ← V_old + relaxation (V_new − V_old); above 1 it shortens the many small steps of a flat posterior.
    join : also solve for the map of both halves together.
    find_masks : multiply each reference by the solvent mask of its own unfiltered map, once the halves agree so far.
    """
    size, device = setup.store.frame.size, halves[0].values.device
    sphere = setup.mask.to(device)
    whole = [symmetrise(fold_origin_plane(h), setup.operators) for h in halves]
    radius = whole[0].radius
    _join_low(whole, setup.join_shell)
    unfiltered = torch.stack([solve_map(h, size, None) for h in whole])
    fsc = shell_correlation(unfiltered[0], unfiltered[1]).cpu()
    in_sphere = masked = _fsc_within(unfiltered, sphere, radius)
    masks = None
    if find_masks and crossing(in_sphere, 0.143) >= setup.store.frame.shell(LOW_PASS):
        pixel = setup.store.frame.pixel_size
        masks = torch.stack([solvent_mask(m, sphere, pixel) for m in unfiltered])
        masked = _fsc_within(unfiltered, masks.mean(0), radius)
    if setup.flattened_fsc:
        fsc = _corrected(unfiltered.cpu(), (sphere if masks is None else masks.mean(0)).cpu(), setup.seed)
    fsc[radius + 1 :] = 0.0
    ssnr = _signal_to_noise(in_sphere)
    solved = torch.stack([solve_map(h, size, _signal_to_noise(masked)) for h in whole])
    solved = (solved if masks is None else solved * masks).cpu()
    references = solved if relaxation == 1.0 else previous + relaxation * (solved - previous)
    weight = torch.zeros(setup.store.frame.shells, dtype=torch.float64)
    weight[: radius + 1] = mean_weights(whole[0])[: radius + 1].cpu()
    joined = None
    if join:
        whole[0].values.add_(whole[1].values)
        joined = solve_map(whole[0], size, 2.0 * ssnr).cpu()
    return Maps(
        halves=references,
        unfiltered=unfiltered.cpu(),
        joined=joined,
        fsc=fsc,
        fsc_masked=masked,
        ssnr=ssnr,
        weight=weight,
    )


def _fsc_within(halves: Tensor, mask: Tensor, radius: int) -> Tensor:
    """FSC of masked half maps, zero beyond a radius, on the host. (shells,)"""
    curve = shell_correlation(halves[0] * mask, halves[1] * mask).cpu()
    curve[radius + 1 :] = 0.0
    return curve


def _signal_to_noise(fsc: Tensor) -> Tensor:
    """SSNR of each of two halves of that FSC."""
    agreement = fsc.clamp(0.0, _MOST_SSNR / (1.0 + _MOST_SSNR))
    return agreement / (1.0 - agreement)


def _corrected(halves: Tensor, mask: Tensor, seed: int) -> Tensor:
    """FSC inside the mask without the mask's own correlation (Chen et al. 2013, Ultramicroscopy 135, 24)."""
    generator = torch.Generator().manual_seed(seed)
    f1, f2 = torch.fft.rfftn(halves[0]), torch.fft.rfftn(halves[1])
    curves = masked_fsc(halves[0], halves[1], f1, f2, mask, generator)
    return curves.corrected.to(torch.float64).clone()


def _join_low(halves: list[FourierSums], shell: float) -> None:
    """Average the sums of both halves below a shell, where they could turn against each other; in place."""
    if shell <= 0:
        return
    half = halves[0].half
    reach = min(half, math.floor(PADDING * shell))
    line = torch.arange(-reach, reach + 1, device=halves[0].values.device)
    radii = line[:, None, None] ** 2 + line[None, :, None] ** 2 + line[reach:] ** 2
    low = radii <= (PADDING * shell) ** 2
    inner = slice(half - reach, half + reach + 1)
    parts = [h.values[inner, inner, : reach + 1] for h in halves]
    mean = 0.5 * (parts[0] + parts[1])
    for part in parts:
        part.copy_(torch.where(low[..., None], mean, part))


def noise_power(state: State, tally: Tally) -> Tensor:
    """σ² of each half, optics group and shell from the residuals of whole images; shells out of reach follow the last
    one."""
    residual = (tally.image_power - 2.0 * tally.cross + tally.power) / tally.pixels.clamp(min=1.0)
    seen = (tally.pixels > 0) & (residual > 0)
    fresh = torch.where(seen, residual, state.sigma2)
    return extend_outwards(fresh, tally.pixels > 0)


def extend_outwards(values: Tensor, seen: Tensor) -> Tensor:
    """Give shells beyond the last one seen its value. (2, g, shells)"""
    shells = values.shape[2]
    last = torch.where(seen.any(2), shells - 1 - seen.flip(2).int().argmax(2), shells - 1)
    index = torch.minimum(torch.arange(shells), last[..., None])
    return values.gather(2, index)


def group_scales(state: State, tally: Tally, setup: Setup) -> Tensor:
    """Scale of each half's groups: Σ Re(conj(CP) X)/σ² over Σ |CP|²/σ², their mean over the particles kept at 1. (2,
    m)"""
    particles = setup.store.particles
    scale = state.scale.clone()
    for half in (0, 1):
        mine = particles.half_set == half
        group = particles.group[mine]
        data, model, count = (
            torch.zeros(scale.shape[1], dtype=torch.float64).index_add(0, group, x)
            for x in (tally.data_model[mine], tally.model_model[mine], torch.ones(len(group), dtype=torch.float64))
        )
        ratio = torch.where(model > 0, data / model.clamp(min=1e-30), 1.0).clamp(0.5, 2.0)
        scale[half] *= ratio
        mean = (scale[half] * count).sum() / count.sum()
        scale[half] = (scale[half] / mean).clamp(0.2, 5.0)
    return scale


def image_norms(state: State, tally: Tally, setup: Setup) -> Tensor:
    """What each image is divided by, so that its residual has the noise's power; their mean over a half stays 1.
    (p,)"""
    pixels = torch.tensor([len(x.shell) - 1.0 for x in setup.store.lattices], dtype=torch.float64)
    count = pixels[setup.store.particles.optics_index]
    residual = tally.image_chi + (tally.model_model - 2.0 * tally.data_model) / count
    norm = state.norm * residual.clamp(0.1, 10.0).sqrt()
    for half in (0, 1):
        mine = setup.store.particles.half_set == half
        norm[mine] /= norm[mine].mean()
    return norm


def shift_deviation(tally: Tally, setup: Setup) -> Tensor:
    """σ of each half's shift prior from the posteriors, Å. (2,)"""
    half = setup.store.particles.half_set
    return torch.stack([tally.shift_variance[half == h].mean().sqrt().clamp(min=_SMALLEST_SHIFT) for h in (0, 1)])
