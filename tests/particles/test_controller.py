"""Decisions of the auto-refinement, from numbers alone."""

from __future__ import annotations

from dataclasses import replace

from burnish.particles.controller import Limits, Plan, Progress, Stop, note, plan_next

LIMITS = Limits(start_shell=5.1, nyquist=63, coarse_order=2, fine_order=3, coarse_shell=15, fine_shell=30)


def play(max_weights: list[float], shells: list[float], turns: list[float] | None = None) -> list[Plan]:
    """Plans that follow from these numbers; the last of each list stays."""
    now, plans = Progress(), []
    for i in range(60):
        plan = plan_next(now, LIMITS)
        if isinstance(plan, Stop):
            return plans
        plans.append(plan)
        at = min(i, len(max_weights) - 1), min(i, len(shells) - 1)
        turned = turns[min(i, len(turns) - 1)] if turns else 1.0 / (i + 1)
        now = note(
            now, plan, max_weight=max_weights[at[0]], shell=shells[at[1]], turned_deg=turned,
            ambiguous_frac=1.0 - max_weights[at[0]], width_deg=0.1,
        )  # fmt: skip
    raise AssertionError("it never stops")


def test_local_refinement_never_searches() -> None:
    limits = Limits(
        start_shell=5.0, nyquist=63, coarse_order=2, fine_order=3, coarse_shell=15, fine_shell=30, local=True
    )
    now = Progress(stage="modes", radius=6, shell=5.0)
    for shell in (12.0, 25.0, 40.0, 55.0, 60.0, 60.0, 60.0, 60.0):
        plan = plan_next(now, limits)
        if not isinstance(plan, Plan) or plan.stage == "last":
            break
        assert plan.stage == "modes" and not plan.search
        now = note(now, plan, max_weight=1.0, shell=shell, turned_deg=0.1, ambiguous_frac=0.4, width_deg=0.2)
    assert isinstance(plan, Plan) and plan.stage == "last"


def test_starts_just_beyond_the_starting_map_and_over_relaxes() -> None:
    plan = plan_next(Progress(), LIMITS)
    assert isinstance(plan, Plan)
    assert (plan.stage, plan.order, plan.radius, plan.relaxation) == ("grid", 2, 6, 1.8)
    assert plan.map_radius > plan.radius


def test_a_flat_posterior_stays_on_grids_of_growing_radius() -> None:
    plans = play([0.01], [8.0])
    grids = [p for p in plans if p.stage == "grid"]
    radii = [p.radius for p in grids]
    assert radii == sorted(radii) and radii[-1] <= LIMITS.fine_shell
    assert all(p.radius <= LIMITS.coarse_shell for p in grids if p.order == 2)
    assert {p.order for p in grids} == {2, 3}
    assert plans[len(grids)].search


def test_a_concentrated_posterior_leaves_the_grid_at_once() -> None:
    plans = play([0.1, 0.7], [9.0, 14.0, 25.0, 40.0, 60.0])
    assert [p.stage for p in plans[:3]] == ["grid", "grid", "modes"]
    assert plans[1].relaxation == 1.8 and plans[2].relaxation == 1.0
    assert plans[-1].stage == "last" and plans[-1].radius == LIMITS.nyquist


def test_radius_follows_the_resolution_with_room_to_improve() -> None:
    now = Progress(iteration=4, stage="modes", radius=20, map_radius=24, max_weight=0.8, shell=22.0, ambiguous_frac=0.1)
    plan = plan_next(now, LIMITS)
    assert isinstance(plan, Plan) and plan.radius == 33
    sharp = plan_next(replace(now, shell=60.0), LIMITS)
    assert isinstance(sharp, Plan) and sharp.radius == LIMITS.nyquist


def test_one_bad_shell_does_not_shrink_the_radius() -> None:
    now = Progress(iteration=5, stage="modes", radius=40, map_radius=48, max_weight=0.8, shell=12.0, ambiguous_frac=0.1)
    plan = plan_next(now, LIMITS)
    assert isinstance(plan, Plan) and plan.radius == 40


def test_searches_again_when_the_map_has_sharpened() -> None:
    now = Progress(
        iteration=5, stage="modes", radius=40, map_radius=48, max_weight=0.6, shell=30.0, searched=2, searches=1,
        searched_shell=15.0, ambiguous_frac=0.5,
    )  # fmt: skip
    plan = plan_next(now, LIMITS)
    assert isinstance(plan, Plan) and plan.search
    again = plan_next(replace(now, searched_shell=29.0), LIMITS)
    assert isinstance(again, Plan) and not again.search


def test_ends_with_all_shells_when_nothing_gains() -> None:
    plans = play([0.1, 0.8], [9.0, 20.0, 40.0, 60.0], turns=[5.0, 2.0, 1.0, 0.5, 0.05])
    assert plans[-1] == replace(plans[-1], stage="last", radius=63, map_radius=63)
    assert sum(p.stage == "last" for p in plans) == 1
    assert len(plans) < 15


def test_searches_everywhere_once_more_before_it_ends() -> None:
    stuck = Progress(
        iteration=6, stage="modes", radius=31, map_radius=31, max_weight=0.7, shell=22.0, gained=1, searched=2,
        searches=1, searched_shell=21.0, turned_deg=0.0, turned_before_deg=0.5, width_deg=1.0, ambiguous_frac=0.05,
    )  # fmt: skip
    plan = plan_next(stuck, LIMITS)
    assert isinstance(plan, Plan) and plan.stage == "modes" and plan.search
    again = plan_next(replace(stuck, searches=2), LIMITS)
    assert isinstance(again, Plan) and again.stage == "last"
    lost = plan_next(replace(stuck, searches=2, ambiguous_frac=0.3), LIMITS)
    assert isinstance(lost, Plan) and lost.search


def test_ends_after_the_allowed_iterations() -> None:
    limits = replace(LIMITS, max_iterations=3)
    assert plan_next(Progress(iteration=3, stage="grid", radius=9), limits) is Stop.OUT_OF_ITERATIONS
    plan = plan_next(Progress(iteration=2, stage="modes", radius=9), limits)
    assert isinstance(plan, Plan) and plan.stage == "last"
    assert plan_next(Progress(iteration=3, stage="last"), limits) is Stop.CONVERGED
