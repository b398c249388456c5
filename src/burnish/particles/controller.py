"""What an auto-refinement does next: a pure function of a few numbers, of which images are none.

Three stages. *Grid*: while the posterior is flat, all of it is kept on a coarse grid, over few shells, one or two
more each iteration.
*Modes*: once it is concentrated, each particle keeps a few modes; the radius follows the resolution; orientations are
searched again over
the whole unit when the map has sharpened. *Last*: halves joined, all shells.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal


class Stop(Enum):
    """Why a refinement ended."""

    CONVERGED = "converged"
    OUT_OF_ITERATIONS = "out of iterations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds the decisions.

    Attributes
    ----------
    start_shell : resolution of the starting map, as a shell.
    nyquist : outermost shell.
    coarse_order, fine_order : HEALPix orders of the grids.
    coarse_shell, fine_shell : outermost shell at which each grid samples the particle densely enough.
    max_iterations : after which it ends whatever happens.
    local : never search orientations over the whole unit.
    """

    start_shell: float
    nyquist: int
    coarse_order: int
    fine_order: int
    coarse_shell: int
    fine_shell: int
    max_iterations: int = 50
    local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the last iteration came to.

    Attributes
    ----------
    iteration : its number; 0 when none has been made.
    stage : its kind.
    order, radius, map_radius : as planned.
    max_weight : mean over particles of the share of the best pose.
    shell : where the FSC inside the mask of the references falls below .143.
    gained : how many iterations ago `shell` last rose by one.
    searched : how many iterations ago orientations were searched.
    searches : in the stage of modes, so far.
    searched_shell : `shell` when that was planned.
    fine_grids : iterations on the fine grid so far.
    turned_deg : median turn of the particles since the iteration before.
    turned_before_deg : the same one iteration earlier.
    width_deg : median posterior width of the rotations.
    ambiguous_frac : share of particles whose best mode holds less than half.
    mirrored : whether the second half had to be mirrored to be of the hand of the first.
    """

    iteration: int = 0
    stage: Literal["none", "grid", "modes", "last"] = "none"
    order: int = 0
    radius: int = 0
    map_radius: int = 0
    max_weight: float = 0.0
    shell: float = 0.0
    gained: int = 0
    searched: int = 0
    searches: int = 0
    searched_shell: float = 0.0
    fine_grids: int = 0
    turned_deg: float = 180.0
    turned_before_deg: float = 180.0
    width_deg: float = 0.0
    ambiguous_frac: float = 1.0
    mirrored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the next iteration does.

    Attributes
    ----------
    stage : its kind.
    order : HEALPix order of its grid, if it has one.
    radius : shells that poses are judged by.
    map_radius : shells that the map is made of.
    relaxation : how far the map moves towards its new estimate, 1 for all the way.
    offset_scale : widens the step of the shifts' grid.
    search, search_radius, candidates : whether orientations are searched again, by how many shells, and how many are
        looked at closely.
    steps : Gauss–Newton steps of carried modes.
    limit, window : how many modes a particle keeps, and how much less likely than the best (in log) they may be.
    """

    stage: Literal["grid", "modes", "last"]
    order: int
    radius: int
    map_radius: int
    relaxation: float = 1.0
    offset_scale: float = 1.0
    search: bool = False
    search_radius: int = 0
    candidates: int = 12
    steps: int = 1
    limit: int = 8
    window: float = 8.0


_CONCENTRATED = 0.5
_FLAT = 0.3
_FINE_GRIDS = 3
_AMBIGUOUS = 0.15
_SEARCHES = 4


def plan_next(now: Progress, limits: Limits) -> Plan | Stop:
    """Return the next iteration's plan, or the reason to stop.

    Examples
    --------
    >>> limits = Limits(start_shell=5.1, nyquist=63, coarse_order=2, fine_order=3, coarse_shell=15, fine_shell=30)
    >>> plan_next(Progress(), limits).radius
    6
    """
    if now.stage == "last":
        return Stop.CONVERGED
    if now.iteration >= limits.max_iterations:
        return Stop.OUT_OF_ITERATIONS
    if now.stage == "modes" and now.iteration == limits.max_iterations - 1:
        return _last(limits)
    if now.stage in ("none", "grid"):
        return _next_grid(now, limits)
    return _next_modes(now, limits)


def _next_grid(now: Progress, limits: Limits) -> Plan:
    unit = max(1.0, limits.start_shell / 5.0)
    relaxation = 1.8 if now.max_weight < _FLAT else 1.0
    if now.stage == "none":
        radius = min(round(limits.start_shell) + 1, limits.coarse_shell, limits.nyquist)
        return _grid(limits, limits.coarse_order, radius, 1.8)
    if now.max_weight > _CONCENTRATED or now.fine_grids >= _FINE_GRIDS:
        return _first_modes(now, limits)
    if now.order == limits.coarse_order and now.radius < min(limits.coarse_shell, limits.nyquist):
        growth = round(unit * {0: 3, 1: 2}.get(now.iteration - 1, 1))
        return _grid(limits, limits.coarse_order, min(limits.coarse_shell, now.radius + growth), relaxation)
    radius = now.radius + (1 if now.fine_grids == 0 else round(4 * unit))
    return _grid(limits, limits.fine_order, min(radius, limits.fine_shell), relaxation, offset_scale=1.25)


def _grid(limits: Limits, order: int, radius: int, relaxation: float, offset_scale: float = 1.0) -> Plan:
    radius = min(radius, limits.nyquist)
    beyond = min(limits.nyquist, radius + max(3, radius // 4))
    return Plan(
        stage="grid", order=order, radius=radius, map_radius=beyond, relaxation=relaxation, offset_scale=offset_scale
    )


def _first_modes(now: Progress, limits: Limits) -> Plan:
    concentrated = now.max_weight > _CONCENTRATED
    radius = max(now.radius, min(now.map_radius, round(now.shell) + 3))
    return Plan(
        stage="modes",
        order=limits.coarse_order if concentrated else limits.fine_order,
        radius=radius,
        map_radius=_beyond(radius, limits),
        search=True,
        search_radius=min(radius, 12 if concentrated else limits.fine_shell),
        candidates=12 if concentrated else 30,
        limit=8 if concentrated else 16,
        offset_scale=1.0 if concentrated else 1.25,
    )


def _next_modes(now: Progress, limits: Limits) -> Plan:
    settled = now.turned_deg < 1.5 * now.width_deg or now.turned_deg > 0.7 * now.turned_before_deg
    ended = now.gained >= 1 and now.searched >= 1 and settled
    # modes that nothing moves any more may be the wrong ones: the whole unit is searched with the sharp map before
    # the end
    lost = not limits.local and (now.searches < 2 or (now.ambiguous_frac > _AMBIGUOUS and now.searches < _SEARCHES))
    if ended and not lost:
        return _last(limits)
    wanted = round(now.shell + max(5.0, 0.5 * now.shell))
    radius = min(limits.nyquist, max(now.radius, wanted))
    sharper = now.shell > 1.15 * now.searched_shell + 2
    search = ended or (sharper and (now.searches < 2 or now.ambiguous_frac > _AMBIGUOUS) and now.searched >= 1)
    search = search and not limits.local
    hard = now.fine_grids > 0  # the posterior was still flat when the coarse grid had no more to give
    return Plan(
        stage="modes",
        order=limits.fine_order,
        radius=radius,
        map_radius=_beyond(radius, limits),
        search=search,
        search_radius=min(radius, limits.fine_shell, 24 if hard else 16),
        candidates=24,
        limit=12 if hard else 8,
        offset_scale=1.25 if hard else 1.0,
        window=8.0 if search else 6.0,
    )


def _last(limits: Limits) -> Plan:
    return Plan(stage="last", order=limits.fine_order, radius=limits.nyquist, map_radius=limits.nyquist, window=6.0)


def _beyond(radius: int, limits: Limits) -> int:
    return min(limits.nyquist, radius + max(4, radius // 5))


def note(
    before: Progress,
    plan: Plan,
    *,
    max_weight: float,
    shell: float,
    turned_deg: float,
    ambiguous_frac: float,
    width_deg: float,
) -> Progress:
    """What an iteration came to, from its plan, the iteration before and its own numbers."""
    gained = 0 if shell >= before.shell + 1.0 else before.gained + 1
    return Progress(
        iteration=before.iteration + 1,
        stage=plan.stage,
        order=plan.order,
        radius=plan.radius,
        map_radius=plan.map_radius,
        max_weight=max_weight,
        shell=max(shell, before.shell) if gained else shell,
        gained=gained,
        searched=0 if plan.search else before.searched + 1,
        searches=before.searches + plan.search,
        searched_shell=shell if plan.search else before.searched_shell,
        fine_grids=before.fine_grids + (plan.stage == "grid" and plan.offset_scale > 1.0),
        turned_deg=turned_deg,
        turned_before_deg=before.turned_deg,
        width_deg=width_deg,
        ambiguous_frac=ambiguous_frac,
        mirrored=before.mirrored,
    )
