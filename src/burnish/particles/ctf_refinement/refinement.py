"""The refinement of optics: passes over the micrographs, fits after each.

A pass compares every micrograph's images with projections once. Aberrations and magnification need sums over an optics
group, defocus needs one micrograph: so the order is aberrations, defocus, aberrations again with the better defocus.
The state after any micrograph is all that resuming needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import torch
from torch import Tensor

from burnish.core.errors import BurnishError, DataError
from burnish.core.events import Listener, Message, Progress
from burnish.data.optics import Defocus, OpticsGroup
from burnish.data.particles import Particles
from burnish.optics.aberrations import split_beam_tilt
from burnish.optics.magnification import carry_defocus
from burnish.particles.ctf_refinement.aberration_fit import AberrationSums, Family, TermFit, fit_even, fit_odd
from burnish.particles.ctf_refinement.comparison import (
    Chunk,
    Comparison,
    HalfMaps,
    ImageLoader,
    compare,
    dress,
    select_defocus,
    split_into_chunks,
    transfer_terms,
)
from burnish.particles.ctf_refinement.defocus_fit import DefocusResult, DefocusSettings, fit_defocus
from burnish.particles.ctf_refinement.half_plane import HalfPlane, make_half_plane
from burnish.particles.ctf_refinement.magnification_fit import (
    MagnificationFit,
    MagnificationSums,
    fit_magnification,
    sum_magnification,
)
from burnish.particles.ctf_refinement.phase_fit import PhaseSums, pool_units, sum_phases
from burnish.particles.ctf_refinement.reference import transform_reference
from burnish.particles.ctf_refinement.weights import ShellWeights, reliability_of_shells, survey
from burnish.particles.parallel import ordered_map

_Outcome = DefocusResult | AberrationSums | MagnificationSums | str  # str: why the micrograph cannot be used

MAGNIFICATION_PASSES = 3  # Gauss–Newton steps; the first ends within a tenth of the change


class Pass(StrEnum):
    """What one walk over the micrographs is for."""

    ABERRATIONS = "aberrations"
    DEFOCUS = "defocus"
    MAGNIFICATION = "magnification"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementSettings:
    """What is refined.

    Attributes
    ----------
    defocus : which values, and for whom.
    odd_order : highest n of the odd Zernike terms, 3 for beam tilt and trefoil; 0 for none.
    odd_families : families (n, |m|) of odd terms that may change; all up to `odd_order` if None.
    even_order : highest n of the even ones, 4 for tetrafoil and Cs; 0 for none.
    magnification : anisotropic magnification, alone.
    """

    defocus: DefocusSettings
    odd_order: int
    even_order: int
    magnification: bool
    odd_families: tuple[Family, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """All that stays the same during the refinement.

    Attributes
    ----------
    particles : as given; the half maps were made with their optics.
    half_maps : transforms of the masked half maps.
    planes, weights : of each optics group.
    load : reads images.
    """

    particles: Particles
    half_maps: HalfMaps
    planes: tuple[HalfPlane, ...]
    weights: tuple[ShellWeights, ...]
    load: ImageLoader


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFits:
    """What was fitted to each optics group, and from which sums; None where it was not asked for or had no images."""

    odd: tuple[TermFit | None, ...] = ()
    even: tuple[TermFit | None, ...] = ()
    magnification: tuple[MagnificationFit | None, ...] = ()
    sums: tuple[AberrationSums | None, ...] = ()


@dataclass(slots=True, kw_only=True)
class State:
    """Where the refinement stands: everything that resuming needs.

    Attributes
    ----------
    stage : index of the pass under way.
    done : chunks of this pass that are finished.
    optics : of each group, as refined so far.
    defocus : of each particle, as refined so far.
    sigma : standard uncertainty of defocus, astigmatism (Å), phase shift (rad) and B (Å²) of each particle. (n, 4)
    fitted : particles whose defocus fit succeeded. (n,) bool
    sums : of the pass under way, by optics group.
    fits : of the groups.
    failed : micrograph → why it could not be used; it keeps its values.
    """

    optics: tuple[OpticsGroup, ...]
    defocus: Defocus
    sigma: Tensor
    fitted: Tensor
    stage: int = 0
    done: int = 0
    sums: dict[int, AberrationSums | MagnificationSums] = field(default_factory=dict)
    fits: GroupFits = field(default_factory=GroupFits)
    failed: dict[int, str] = field(default_factory=dict)


def prepare(
    particles: Particles,
    half_maps: tuple[Tensor, Tensor],
    mask: Tensor,
    voxel_size: float,
    fsc: tuple[Tensor, Tensor],
    min_resolution: float,
    load: ImageLoader,
    device: torch.device,
) -> Experiment:
    """Transform the half maps and find what each optics group's images are worth.

    Parameters
    ----------
    half_maps : unfiltered, centred at index n // 2. Two of (n, n, n)
    mask : between 0 and 1. (n, n, n)
    voxel_size : of the maps, Å.
    fsc : between the half maps inside the mask, and the frequencies of its shells, Å⁻¹. Two of (shells,)
    min_resolution : coarsest data to use, Å.
    load : reads images by row of the table.

    Raises
    ------
    DataError : the half maps do not agree beyond `min_resolution`, or images and maps do not go together.
    """
    planes, reliability, limits = [], [], []
    for group in particles.optics:
        shells = torch.arange(group.box_size // 2 + 1, dtype=torch.float64) / (group.box_size * group.pixel_size)
        worth = reliability_of_shells(fsc[0], fsc[1], shells)
        limit = float(shells[worth > 0].max()) if bool((worth > 0).any()) else 0.0
        plane = make_half_plane(group.box_size, group.pixel_size, 1.0 / min_resolution, limit, device=device)
        if len(plane) == 0:
            raise DataError(
                f"the half maps agree to {1 / limit if limit else float('inf'):.3g} Å only, which leaves nothing finer "
                f"than {min_resolution:g} Å to fit; refine further first"
            )
        planes.append(plane)
        reliability.append(worth.to(device))
        limits.append(limit * float(torch.linalg.matrix_norm(group.magnification, 2)))
    reach = 1.02 * max(limits)  # a refined magnification may ask for a little more
    mask = mask.to(device)
    first, second = (transform_reference(h.to(device), mask, voxel_size, reach) for h in half_maps)
    transforms = (first, second)
    weights = survey(particles, transforms, tuple(planes), tuple(reliability), load)
    return Experiment(particles=particles, half_maps=transforms, planes=tuple(planes), weights=weights, load=load)


def plan_passes(settings: RefinementSettings) -> tuple[Pass, ...]:
    """Passes in their order.

    Examples
    --------
    >>> d = DefocusSettings(defocus="particle", astigmatism="no", phase_shift="no", b_factor="no", search_range=2000.0,
    ...                     spread=None, default_spread=200.0)
    >>> [str(p) for p in plan_passes(RefinementSettings(defocus=d, odd_order=3, even_order=0, magnification=False))]
    ['aberrations', 'defocus', 'aberrations']
    """
    if settings.magnification:
        return (Pass.MAGNIFICATION,) * MAGNIFICATION_PASSES
    aberrations = settings.odd_order > 0 or settings.even_order > 0
    if settings.defocus.anything:
        first = (Pass.ABERRATIONS,) if settings.odd_order else ()
        rounds = 2 if settings.even_order else 1  # even terms and defocus answer each other
        return first + (Pass.DEFOCUS, Pass.ABERRATIONS) * rounds if aberrations else (Pass.DEFOCUS,)
    return (Pass.ABERRATIONS,) if aberrations else ()


def start_refinement(particles: Particles) -> State:
    """State before the first micrograph."""
    n = len(particles)
    return State(
        optics=particles.optics,
        defocus=select_defocus(particles.defocus, torch.arange(n)),
        sigma=torch.full((n, 4), torch.nan, dtype=torch.float64),
        fitted=torch.zeros(n, dtype=torch.bool),
    )


def refine(
    experiment: Experiment,
    settings: RefinementSettings,
    state: State,
    notify: Listener,
    save: Callable[[State], None],
    *,
    cache_bytes: int = 0,
    threads: int = 1,
) -> State:
    """Carry a refinement to its end.

    Parameters
    ----------
    state : from `start_refinement` or from a checkpoint.
    save : called after every micrograph and at the end of each pass; decides itself how often it writes.
    cache_bytes : memory that comparisons may take from one pass to the next.
    threads : chunks that are examined at once; the result does not depend on it.
    """
    passes = plan_passes(settings)
    chunks = split_into_chunks(experiment.particles)
    cache = _Cache(cache_bytes)
    while state.stage < len(passes):
        stage = passes[state.stage]
        title = f"{stage.value} (pass {state.stage + 1} of {len(passes)})"

        def examine(chunk: Chunk, stage: Pass = stage) -> _Outcome:
            return _examine(experiment, settings, state, stage, chunk, cache)

        ahead = chunks[state.done :]
        for chunk, outcome in zip(ahead, ordered_map(examine, ahead, threads), strict=True):
            notify(Progress(title, state.done, len(chunks)))
            _take(experiment, state, chunk, outcome, notify)
            state.done += 1
            save(state)
        notify(Progress(title, len(chunks), len(chunks)))
        _finish_pass(experiment, settings, state, stage)
        state.stage, state.done, state.sums = state.stage + 1, 0, {}
        save(state)
    return state


class _Cache:
    """Images and projections of the first chunks, as many as fit."""

    def __init__(self, capacity: int) -> None:
        self._left = capacity
        self._kept: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def find(self, chunk: Chunk) -> tuple[Tensor, Tensor] | None:
        return self._kept.get((chunk.micrograph, chunk.group))

    def offer(self, chunk: Chunk, image: Tensor, projection: Tensor) -> None:
        size = 2 * image.numel() * image.element_size()
        if size <= self._left:
            self._left -= size
            self._kept[chunk.micrograph, chunk.group] = (image, projection)


def _examine(
    experiment: Experiment,
    settings: RefinementSettings,
    state: State,
    stage: Pass,
    chunk: Chunk,
    cache: _Cache,
) -> _Outcome:
    """What one chunk says, or why its micrograph cannot be used; changes nothing."""
    if chunk.micrograph in state.failed:
        return state.failed[chunk.micrograph]
    try:
        comparison = _compare(experiment, state, chunk, cache, keep=stage is not Pass.MAGNIFICATION)
        if stage is Pass.DEFOCUS:
            return _fit_chunk(experiment, settings.defocus, state, chunk, comparison)
        if stage is Pass.ABERRATIONS:
            return _sum_chunk(experiment, chunk, comparison, even=settings.even_order > 0)
        plane, weights = experiment.planes[chunk.group], experiment.weights[chunk.group]
        now = replace(experiment.particles, optics=state.optics, defocus=state.defocus)
        return sum_magnification(now, chunk, comparison, experiment.half_maps, plane, weights)
    except (BurnishError, OSError, torch.linalg.LinAlgError) as error:
        return " ".join(str(error).split())


def _take(experiment: Experiment, state: State, chunk: Chunk, outcome: _Outcome, notify: Listener) -> None:
    """Bring what one chunk said into the state."""
    if isinstance(outcome, str):
        if chunk.micrograph not in state.failed:
            name = experiment.particles.micrographs[chunk.micrograph]
            state.failed[chunk.micrograph] = outcome
            notify(Message(f"{name}: kept its old values ({outcome})", "warning"))
    elif isinstance(outcome, DefocusResult):
        _take_defocus(state, chunk, outcome)
    else:
        before = state.sums.get(chunk.group)
        state.sums[chunk.group] = outcome if before is None else before + outcome  # type: ignore[operator]


def _compare(experiment: Experiment, state: State, chunk: Chunk, cache: _Cache, *, keep: bool) -> Comparison:
    """Compare a chunk under the optics as refined so far."""
    plane = experiment.planes[chunk.group]
    now = replace(experiment.particles, optics=state.optics, defocus=state.defocus)
    kept = cache.find(chunk) if keep else None
    if kept is None:
        images = experiment.load(chunk.rows)
        finite = torch.isfinite(images.sum(dim=(1, 2)))  # a sum is four times cheaper to test than every pixel
        if not bool(finite.all()):
            bad = int((~finite).sum())
            raise DataError(f"{bad} of {len(images)} images hold values that are not finite numbers")
        comparison = compare(now, chunk, images, experiment.half_maps, plane)
        if keep:
            cache.offer(chunk, comparison.image, comparison.projection)
        return comparison
    return dress(now, chunk, *kept, plane)


def _likelihood_terms(experiment: Experiment, chunk: Chunk, comparison: Comparison) -> tuple[Tensor, Tensor]:
    """Weighted P*·X as recorded (complex, without what the half map remembers of X), weighted |P|². Each (n, p)

    Notes
    -----
    The half map holds β·C·exp(−iφ)·X of each image, with the optics it was made with, so that P*·X holds
    β·C·exp(iφ)·|X|².
    """
    plane, weights = experiment.planes[chunk.group], experiment.weights[chunk.group]
    given = experiment.particles
    made_with = transfer_terms(given, chunk, plane)
    image, projection = comparison.image, comparison.projection
    power = image.real.square() + image.imag.square()
    remembered = weights.memory[plane.shell].to(power) * power * torch.sin(made_with.delay) * made_with.envelope
    product = projection.conj() * image
    parts = torch.view_as_real(product)
    parts[..., 0] -= remembered * torch.cos(made_with.odd)
    if bool((made_with.odd != 0).any()):
        parts[..., 1] -= remembered * torch.sin(made_with.odd)
    product *= weights.linear(plane).to(power)
    strength = weights.quadratic(plane).to(power) * (projection.real.square() + projection.imag.square())
    return product, strength


def _sum_chunk(experiment: Experiment, chunk: Chunk, comparison: Comparison, *, even: bool) -> AberrationSums:
    product, strength = _likelihood_terms(experiment, chunk, comparison)
    envelope = comparison.envelope
    phases = None
    if even:
        turned = product * torch.polar(torch.ones_like(comparison.odd), -comparison.odd)
        pooled = pool_units(sum_phases(turned.real * envelope, strength * envelope.square(), comparison.delay))
        phases = PhaseSums(**{n: getattr(pooled, n).double() for n in PhaseSums.__slots__})
    odd = (torch.sin(comparison.delay) * envelope * product).sum(dim=0).to(torch.complex128)
    return AberrationSums(odd=odd, even=phases, particles=len(chunk.rows))


def _fit_chunk(
    experiment: Experiment, settings: DefocusSettings, state: State, chunk: Chunk, comparison: Comparison
) -> DefocusResult:
    product, strength = _likelihood_terms(experiment, chunk, comparison)
    turned = product * torch.polar(torch.ones_like(comparison.odd), -comparison.odd)
    return fit_defocus(
        turned.real * comparison.envelope,
        strength * comparison.envelope.square(),
        comparison.delay,
        select_defocus(state.defocus, chunk.rows, comparison.delay.device),
        state.optics[chunk.group],
        experiment.planes[chunk.group],
        settings,
    )


def _take_defocus(state: State, chunk: Chunk, result: DefocusResult) -> None:
    for name in ("u", "v", "angle", "phase_shift", "b_factor", "scale"):
        getattr(state.defocus, name)[chunk.rows] = getattr(result.defocus, name).to(state.defocus.u).cpu()
    sigma = (result.sigma_defocus, result.sigma_astigmatism, result.sigma_phase_shift, result.sigma_b_factor)
    state.sigma[chunk.rows] = torch.stack(sigma, dim=1).cpu()
    state.fitted[chunk.rows] = ~result.kept.cpu()


def _finish_pass(experiment: Experiment, settings: RefinementSettings, state: State, stage: Pass) -> None:
    """Fit the groups after all micrographs have been seen."""
    if stage is Pass.MAGNIFICATION:
        _finish_magnification(experiment, state)
    if stage is not Pass.ABERRATIONS:
        return
    odd: list[TermFit | None] = []
    even: list[TermFit | None] = []
    optics = []
    kept: list[AberrationSums | None] = []
    for number, given in enumerate(experiment.particles.optics):
        sums, plane, group = state.sums.get(number), experiment.planes[number], state.optics[number]
        if not isinstance(sums, AberrationSums):
            odd.append(None)
            even.append(None)
            optics.append(group)
            kept.append(None)
            continue
        kept.append(sums)
        odd.append(
            fit_odd(sums, given, plane, settings.odd_order, settings.odd_families) if settings.odd_order else None
        )
        # while the particles' defocus is still as given, its mean error would pass for an aberration
        ready = not settings.defocus.anything or Pass.DEFOCUS in plan_passes(settings)[: state.stage]
        even.append(
            fit_even(sums, group, plane, settings.even_order, free_defocus=settings.defocus.defocus != "no")
            if settings.even_order and ready
            else None
        )
        optics.append(_with_terms(group, given, odd[-1], even[-1]))
    state.optics = tuple(optics)
    state.fits = replace(state.fits, odd=tuple(odd), even=tuple(even), sums=tuple(kept))


def _with_terms(group: OpticsGroup, given: OpticsGroup, odd: TermFit | None, even: TermFit | None) -> OpticsGroup:
    """The group with what was found significant; without, what it had."""
    if odd is not None and odd.significant:
        tilt, rest = split_beam_tilt(odd.zernike(), group.voltage, group.spherical_aberration)
        group = replace(group, beam_tilt=tilt, odd_zernike=rest)
    elif odd is not None:
        group = replace(group, beam_tilt=given.beam_tilt, odd_zernike=given.odd_zernike)
    if even is not None and even.significant:
        group = replace(group, even_zernike=even.zernike())
    return group


def _finish_magnification(experiment: Experiment, state: State) -> None:
    fits: list[MagnificationFit | None] = []
    optics = list(state.optics)
    rows_of = experiment.particles.optics_index
    for number, group in enumerate(state.optics):
        sums = state.sums.get(number)
        if not isinstance(sums, MagnificationSums):
            fits.append(None)
            continue
        fit = fit_magnification(sums, group.magnification)
        rows = (rows_of == number).nonzero()[:, 0]
        carried = carry_defocus(select_defocus(state.defocus, rows), group.magnification, fit.matrix)
        state.defocus.u[rows], state.defocus.v[rows] = carried.u, carried.v
        state.defocus.angle[rows] = carried.angle
        optics[number] = replace(group, magnification=fit.matrix)
        fits.append(fit)
    state.optics, state.fits = tuple(optics), replace(state.fits, magnification=tuple(fits))
