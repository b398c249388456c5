"""The loop of an auto-refinement: start, step, and what a step leaves to be written."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from burnish.core.events import Message
from burnish.geometry.rotations import rotation_angle
from burnish.geometry.sampling import angular_step
from burnish.particles import controller
from burnish.particles.controller import Limits, Plan, Progress, Stop
from burnish.particles.expectation import (
    Crew,
    Expectation,
    Setup,
    Tally,
    expect_first,
    no_modes,
)
from burnish.particles.frames import match_hands, rejoin_halves
from burnish.particles.maximisation import (
    Maps,
    extend_outwards,
    group_scales,
    image_norms,
    make_maps,
    noise_power,
    shift_deviation,
)
from burnish.particles.modes import new_modes
from burnish.particles.reconstruct import crossing, low_pass
from burnish.particles.state import State

_FIRST_SHIFT = 10.0  # Å, σ of the shift prior at the start, RELION's value
_SCALE_STEPS, _SCALE_IMAGES = 4, 100  # fixed-point steps for the scale of the starting map, on so many images of a half
_SETTLED = 0.5  # mean share of the best pose above which scales and norms are worth fitting


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """What is fitted beside poses."""

    scale: bool = True
    norm: bool = True
    absolute_greyscale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One iteration made: its plan, the state after it, and what came of it."""

    plan: Plan
    state: State
    maps: Maps
    tally: Tally


def make_limits(
    setup: Setup, *, initial_lowpass: float, fine_order: int, max_iterations: int, local: bool = False
) -> Limits:
    """Bounds of the controller from the geometry."""
    frame = setup.store.frame
    fraction = frame.mask_radius / (frame.size * frame.pixel_size)
    coarse_order = max(1, fine_order - 1)
    return Limits(
        start_shell=frame.shell(initial_lowpass),
        nyquist=frame.nyquist,
        coarse_order=coarse_order,
        fine_order=fine_order,
        coarse_shell=_densest(angular_step(coarse_order), fraction),
        fine_shell=_densest(angular_step(fine_order), fraction),
        max_iterations=max_iterations,
        local=local,
    )


def _densest(step: float, fraction: float) -> int:
    """Shell at which a neighbouring sample moves the particle's edge by a quarter of a period, measured to be
    enough."""
    return max(4, round(1.55 / (step * fraction)))


def start(setup: Setup, reference: Tensor, *, initial_lowpass: float, corrections: Corrections, crew: Crew) -> State:
    """State before the first iteration: low-passed reference on the images' scale, noise power of the images.

    Parameters
    ----------
    reference : on the grid of the refinement. (n, n, n)
    initial_lowpass : Å.
    """
    store = setup.store
    p = len(store.particles)
    density = low_pass(reference.to(torch.float32), store.frame.shell(initial_lowpass))
    groups = int(store.particles.group.max()) + 1
    state = State(
        iteration=1,
        maps=torch.stack([density, density]),
        sigma2=torch.ones(2, len(store.particles.optics), store.frame.shells, dtype=torch.float64),
        centre=torch.zeros(p, 2, dtype=torch.int64),
        rotation=torch.eye(3, dtype=torch.float64).expand(p, 3, 3).clone(),
        shift=torch.zeros(p, 2, dtype=torch.float64),
        modes=no_modes(),
        scale=torch.ones(2, groups, dtype=torch.float64),
        norm=torch.ones(p, dtype=torch.float64),
        sigma_shift=torch.full((2,), _FIRST_SHIFT, dtype=torch.float64),
        progress=Progress(),
    )
    state = replace(state, sigma2=_image_power(state, setup, crew))
    return state if corrections.absolute_greyscale else _fit_scale(state, setup, initial_lowpass)


def start_at(state: State, setup: Setup, rotation: Tensor, shift: Tensor, *, initial_lowpass: float) -> State:
    """A state before its first iteration with one mode of each particle, at a pose that is known.

    Parameters
    ----------
    rotation, shift : of each particle; shifts in px. (p, 3, 3), (p, 2)
    """
    centre = shift.round()
    shell = setup.store.frame.shell(initial_lowpass)
    return replace(
        state,
        centre=centre.long(),
        rotation=rotation.double().clone(),
        shift=shift - centre,
        modes=new_modes(torch.arange(len(rotation)), rotation, shift - centre),
        progress=Progress(stage="modes", radius=round(shell) + 1, shell=shell),
    )


def _image_power(state: State, setup: Setup, crew: Crew) -> Tensor:
    """Mean power of whole images by shell: the noise, as long as nothing is known of the signal."""
    tally = crew.image_power(state, setup)
    mean = tally.image_power / tally.pixels.clamp(min=1.0)
    return extend_outwards(mean.clamp(min=1e-30), tally.pixels > 0)


def _fit_scale(state: State, setup: Setup, initial_lowpass: float) -> State:
    """Bring the starting map to the images' scale by expectation–maximisation of one number for each half."""
    shell = min(setup.store.frame.nyquist, round(setup.store.frame.shell(initial_lowpass)) + 1)
    plan = Plan(stage="grid", order=1, radius=min(shell, 8), map_radius=shell, offset_scale=1.5)
    half = setup.store.particles.half_set
    for _ in range(_SCALE_STEPS):
        tally = expect_first(state, setup, plan, _SCALE_IMAGES)
        ratio = [
            float(tally.data_model[half == h].sum() / tally.model_model[half == h].sum().clamp(min=1e-30))
            for h in (0, 1)
        ]
        factor = torch.tensor([min(max(r, 0.05), 20.0) for r in ratio])
        state = replace(state, maps=state.maps * factor[:, None, None, None])
    return state


def run(state: State, setup: Setup, limits: Limits, corrections: Corrections, crew: Crew) -> Iterator[Iteration]:
    """Iterate until the controller stops."""
    while not isinstance(plan := controller.plan_next(state.progress, limits), Stop):
        iteration = step(state, setup, plan, corrections, crew)
        state = iteration.state
        yield iteration


def step(state: State, setup: Setup, plan: Plan, corrections: Corrections, crew: Crew) -> Iteration:
    """One iteration."""
    found = crew.expect(state, setup, plan)
    maps = make_maps(
        found.halves,
        setup,
        state.maps,
        relaxation=plan.relaxation,
        join=plan.stage == "last",
        find_masks=setup.find_masks and plan.stage != "grid",
    )
    return Iteration(
        plan=plan, state=_advance(state, setup, plan, found, maps, corrections), maps=maps, tally=found.tally
    )


def _advance(state: State, setup: Setup, plan: Plan, found: Expectation, maps: Maps, corrections: Corrections) -> State:
    tally = found.tally
    settled = plan.stage != "grid" and float(tally.max_weight.mean()) > _SETTLED
    turned = symmetric_angle(state.rotation, tally.rotation, setup.operators)
    progress = controller.note(
        state.progress,
        plan,
        max_weight=float(tally.max_weight.mean()),
        shell=min(crossing(maps.fsc_masked, 0.143), float(plan.map_radius)),
        turned_deg=math.degrees(float(turned.median())),
        width_deg=math.degrees(float(tally.turn_deviation.nanmedian())) if plan.stage != "grid" else 0.0,
        ambiguous_frac=float((tally.max_weight < 0.5).double().mean()),
    )
    after = replace(
        state,
        iteration=state.iteration + 1,
        maps=maps.halves,
        sigma2=noise_power(state, tally),
        rotation=tally.rotation,
        shift=tally.shift,
        modes=found.modes,
        scale=group_scales(state, tally, setup) if settled and corrections.scale else state.scale,
        norm=image_norms(state, tally, setup) if settled and corrections.norm else state.norm,
        sigma_shift=shift_deviation(tally, setup),
        progress=progress,
    )
    if plan.stage == "last":
        return after
    half_set, last_shell = setup.store.particles.half_set, float(plan.map_radius)
    after, mirrored = match_hands(after, half_set, setup.join_shell, float(plan.radius))
    if mirrored:
        setup.listener(Message("the halves had taken opposite hands; the second was mirrored", "warning"))
        after = replace(after, progress=replace(after.progress, mirrored=not after.progress.mirrored))
    after, angle = rejoin_halves(after, half_set, setup.symmetry, setup.join_shell, last_shell)
    if angle != 0.0:
        degrees = math.degrees(angle)
        setup.listener(Message(f"the halves had turned by {degrees:.1f}° about the axis; turned back", "warning"))
    if mirrored or angle != 0.0:  # how far they agree is known after the next iteration
        after = replace(after, progress=replace(after.progress, gained=0))
    return recentre(after) if plan.stage == "modes" else after


def recentre(state: State) -> State:
    """Move the whole-pixel centres along with the best shifts, so that the round mask follows the particle."""
    move = state.shift.round()
    modes = replace(state.modes, shift=state.modes.shift - move[state.modes.owner])
    return replace(state, centre=state.centre + move.long(), shift=state.shift - move, modes=modes)


def symmetric_angle(a: Tensor, b: Tensor, operators: Tensor) -> Tensor:
    """Angle between rotations up to a point group, rad. (p,)"""
    return torch.stack([rotation_angle(a @ s.to(a), b) for s in operators]).amin(0)
