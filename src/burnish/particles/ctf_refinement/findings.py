"""What a refinement of optics found, as numbers that a report turns into sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.core.constants import electron_wavelength
from burnish.data.optics import Defocus, OpticsGroup
from burnish.optics.aberrations import odd_phase
from burnish.optics.ctf import defocus_coefficients
from burnish.particles.ctf_refinement.aberration_fit import (
    ASTIGMATISM,
    COMA,
    CONSTANT,
    DEFOCUS,
    SHIFT,
    SPHERICAL,
    TETRAFOIL,
    TREFOIL,
    Family,
    TermFit,
    measured_cs,
    measured_tilt,
    phase_change,
)
from burnish.particles.ctf_refinement.half_plane import HalfPlane
from burnish.particles.ctf_refinement.refinement import Experiment, State
from burnish.particles.ctf_refinement.weights import ShellWeights

THRESHOLD = 0.143  # of the FSC between half maps, for resolutions (Rosenthal & Henderson 2003)
FAMILY_NAMES: dict[Family, str] = {
    SHIFT: "shift of all particles",
    COMA: "beam tilt (coma)",
    TREFOIL: "trefoil",
    CONSTANT: "constant phase",
    DEFOCUS: "common defocus",
    ASTIGMATISM: "common astigmatism",
    SPHERICAL: "Cs",
    (4, 2): "second-order astigmatism",
    TETRAFOIL: "tetrafoil",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TermRow:
    """One fitted term of a group.

    Attributes
    ----------
    name : in words, with its unit.
    value, sigma : in that unit.
    chance : probability of its family's change by chance.
    taken : whether the change is in the output.
    """

    name: str
    value: float
    sigma: float
    chance: float
    taken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What an error of phase had cost.

    Attributes
    ----------
    kept_fraction : of the signal's amplitude at the resolution limit.
    resolution_with, resolution_without : at which the FSC of images of this group alone would cross 0.143, Å.
    crossed : whether it does so at all within the data used; else both are the data's limit.
    """

    kept_fraction: float
    resolution_with: float
    resolution_without: float
    crossed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFinding:
    """Findings of one optics group; losses are None where nothing was changed.

    Attributes
    ----------
    particles, fitted : how many belong to it, and had their defocus refined.
    defocus_shift, defocus_spread : mean and rms change of defocus, Å; NaN where it was not refined.
    defocus_sigma : median standard uncertainty of a particle's defocus, Å.
    odd_phase_rms : rms of the change of the antisymmetric phase up to `limit`, rad.
    limit : resolution to which the fits went, Å.
    """

    name: str
    particles: int
    fitted: int
    terms: tuple[TermRow, ...]
    significant: tuple[str, ...]
    limit: float
    odd_phase_rms: float
    defocus_shift: float
    defocus_spread: float
    defocus_sigma: float
    aberration_loss: Loss | None
    defocus_loss: Loss | None


def find(experiment: Experiment, state: State) -> tuple[GroupFinding, ...]:
    """Compare what was refined with what was given, group by group."""
    return tuple(_find_group(experiment, state, number) for number in range(len(state.optics)))


def kept_by_shell(phase: Tensor, plane: HalfPlane, shells: int) -> Tensor:
    """Fraction of the signal's amplitude that a phase error leaves in each shell, the mean of its cosine. (shells,)"""
    total = torch.zeros(shells, dtype=torch.float64, device=phase.device)
    count = total.index_add(0, plane.shell, torch.ones_like(phase, dtype=torch.float64))
    return torch.where(
        count > 0, total.index_add(0, plane.shell, phase.double().cos()) / count.clamp_min(1.0), torch.ones_like(total)
    )


def kept_under_defocus(change: Tensor, optics: OpticsGroup, shells: int) -> Tensor:
    """The same for errors of defocus, over the particles. (shells,)

    Parameters
    ----------
    change : of each particle's defocus, Å. (n,)
    """
    s = torch.arange(shells, dtype=torch.float64) / (optics.box_size * optics.pixel_size)
    turn = math.pi * electron_wavelength(optics.voltage) * s.square()
    return torch.cos(change.double()[:, None] * turn).mean(dim=0)


def estimate_loss(kept: Tensor, weights: ShellWeights, plane: HalfPlane) -> Loss:
    """What it means for resolution that shells kept only a part of their amplitude.

    Parameters
    ----------
    kept : fraction of the amplitude left in each shell. (shells,)

    Notes
    -----
    Signal-to-noise ratios follow the square of the amplitude: FSC/(1−FSC) of the half maps, which were made with the
    error, grows by 1/kept² when it is gone.
    """
    fsc = weights.reliability.cpu().clamp(0.0, 0.999)
    step = 1.0 / (plane.box_size * plane.pixel_size)
    ratio = fsc / (1.0 - fsc) / kept.cpu().clamp_min(0.2).square()
    corrected = ratio / (1.0 + ratio)
    last = int(plane.shell.max())
    with_error = _crossing(fsc[: last + 1], step)
    at = min(round(1.0 / (with_error * step)), last)
    return Loss(
        kept_fraction=max(float(kept[at]), 0.0),
        resolution_with=with_error,
        resolution_without=min(_crossing(corrected[: last + 1], step), with_error),
        crossed=bool((fsc[: last + 1] < THRESHOLD).any()),
    )


def _find_group(experiment: Experiment, state: State, number: int) -> GroupFinding:
    given, now = experiment.particles.optics[number], state.optics[number]
    plane, weights = experiment.planes[number], experiment.weights[number]
    rows = (experiment.particles.optics_index == number).nonzero()[:, 0]
    fitted = rows[state.fitted[rows]]
    change = (_mean_defocus(state.defocus) - _mean_defocus(experiment.particles.defocus))[fitted]
    odd = state.fits.odd[number] if state.fits.odd else None
    even = state.fits.even[number] if state.fits.even else None
    k = plane.frequency.double()
    odd_change = odd_phase(k, now) - odd_phase(k, given)
    kept = torch.ones(len(weights.noise), dtype=torch.float64)
    if odd is not None and odd.significant:
        kept = kept * kept_by_shell(odd_change, plane, len(kept)).cpu()
    if even is not None and even.significant:
        kept = kept * kept_by_shell(phase_change(even, now, plane), plane, len(kept)).cpu()
    aberrated = any(f is not None and f.significant for f in (odd, even))
    under = kept_under_defocus(change, given, len(kept)) if len(change) else None
    return GroupFinding(
        name=given.name,
        particles=len(rows),
        fitted=len(fitted),
        terms=tuple(_rows_of(odd, given) + _rows_of(even, given)),
        significant=tuple(FAMILY_NAMES.get(f, str(f)) for fit in (odd, even) if fit for f in fit.significant),
        limit=1.0 / float(plane.s2.max().sqrt()),
        odd_phase_rms=float(odd_change.square().mean().sqrt()),
        defocus_shift=float(change.mean()) if len(change) else math.nan,
        defocus_spread=float(change.square().mean().sqrt()) if len(change) else math.nan,
        defocus_sigma=float(state.sigma[fitted, 0].median()) if len(change) else math.nan,
        aberration_loss=estimate_loss(kept, weights, plane) if aberrated else None,
        defocus_loss=None if under is None else estimate_loss(under, weights, plane),
    )


def _rows_of(fit: TermFit | None, optics: OpticsGroup) -> list[TermRow]:
    """The terms of a fit that were free, in the units that people know them by."""
    if fit is None:
        return []
    rows = []

    def add(name: str, value: float, sigma: float, family: Family) -> None:
        if family not in fit.chance:
            return
        taken = family in fit.significant
        rows.append(TermRow(name=name, value=float(value), sigma=float(sigma), chance=fit.chance[family], taken=taken))

    if fit.odd and optics.spherical_aberration:
        for axis, tilt in zip("xy", measured_tilt(fit, optics), strict=True):
            add(f"beam tilt {axis}, mrad", tilt.value * 1e3, tilt.sigma * 1e3, COMA)
    elif not fit.odd:
        cs = measured_cs(fit, optics)
        add("Cs, mm (change)", cs.value * 1e-7, cs.sigma * 1e-7, SPHERICAL)
    known = {COMA} if fit.odd and optics.spherical_aberration else {SPHERICAL}
    seen: dict[Family, int] = {}
    for place, family in enumerate(fit.families):
        seen[family] = seen.get(family, 0) + 1
        if family in known:
            continue
        part = "" if family[1] == 0 else (" sin", " cos")[seen[family] - 1]
        name = f"{FAMILY_NAMES.get(family, f'{family[0]}, {family[1]}')}{part}, rad{_unit(family[0])}"
        add(name, float(fit.measured[place]), float(fit.sigma[place]), family)
    return rows


def _mean_defocus(defocus: Defocus) -> Tensor:
    return defocus_coefficients(defocus)[:, 0]


def _crossing(fsc: Tensor, step: float) -> float:
    """Resolution at which a curve first falls below the threshold, Å; that of the last shell if it never does."""
    below = (fsc < THRESHOLD).nonzero()
    if not len(below):
        return 1.0 / (step * (len(fsc) - 1))
    shell = max(int(below[0]), 1)
    high, low = float(fsc[shell - 1]), float(fsc[shell])
    part = (high - THRESHOLD) / (high - low) if high > low else 1.0
    return 1.0 / (step * max(shell - 1 + min(max(part, 0.0), 1.0), 1.0))


def _unit(n: int) -> str:
    """Of the coefficient of a term sⁿ, beside rad."""
    return "" if n == 0 else " Å" if n == 1 else " Å" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(c)] for c in str(n))
