"""`burnish paired`: refinements to several resolution limits, neighbours compared where both have data."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import torch

from burnish.core.errors import InputError
from burnish.core.events import Message, Metrics, Progress
from burnish.io.atomic import write_text
from burnish.jobs.folder import Job
from burnish.models.agreement import correlation
from burnish.models.cross_validation import FreeComparison, Paired, best_limit, compare_free, limited
from burnish.models.crystal_term import CrystalTerm
from burnish.options.cross_validation import PairedOptions
from burnish.reports.page import render
from burnish.reports.repeated import paired_page
from burnish.workflows.device import chosen_device
from burnish.workflows.refine_inputs import RefineInputs
from burnish.workflows.refine_model import refinement_settings
from burnish.workflows.refine_numbers import without_nan
from burnish.workflows.refine_outputs import Finished, write_outputs
from burnish.workflows.repeated_refinement import (
    Refined,
    Warnings,
    common_values,
    free_values,
    judge,
    read_repeated,
    refine_with,
)

ROUNDED = 0.98  # of the resolution limit


def run(options: PairedOptions, job: Job) -> dict[str, Any]:
    """Refine to each limit, compare neighbours, write the model of the limit that was found."""
    listener = Warnings(job.notify)
    inputs = read_repeated(options, listener)
    limits = options.resolution_limits
    d_min = inputs.data.reflections.d_min
    refuse_finer_limits("--limits", options.limits, d_min)
    settings = refinement_settings(options, inputs.refinable.labels)
    job.begin(inputs.files, seed=options.seed, device=chosen_device(options.device))
    done: list[Refined] = []
    for number, limit in enumerate(limits):
        reflections = limited(inputs.data.reflections, limit)
        start = done[-1].state.atoms if done else None
        done.append(refine_with(inputs, options, settings, reflections=reflections, atoms=start))
        statistics = done[-1].statistics
        job.notify(Metrics("limit", number, {"d_min": limit, "r_work": statistics.r_work, "r_free": statistics.r_free}))
        job.notify(Progress("paired refinement", number + 1, len(limits)))
    pairs = [compare(inputs, options, a, b, da, db) for a, b, da, db in _neighbours(done, limits)]
    chosen = best_limit(limits[0], pairs)
    record = without_nan(
        {
            "model": str(options.model),
            "data": str(options.data),
            "limits": [
                {"d_min": d, "r_work": r.statistics.r_work, "r_free": r.statistics.r_free}
                for d, r in zip(limits, done, strict=True)
            ],
            "pairs": [asdict(p) | {"worthwhile": p.worthwhile} for p in pairs],
            "chosen": chosen,
        }
    )
    write_text(job.path("paired.json"), json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_text(job.path("paired.html"), render(paired_page(record)))
    kept = done[limits.index(chosen)]
    finished = Finished(
        inputs=limited_inputs(inputs, chosen),
        term=kept.term,
        state=kept.state,
        interrupted=False,
        warnings=listener.texts,
        system=kept.system,
    )
    summary = write_outputs(options, job, finished)
    job.notify(Message(f"the data improve the model to {chosen:g} Å"))
    return {"d_min": chosen, **summary, "report": str(job.path("paired.html"))}


def refuse_finer_limits(option: str, limits: str, d_min: float) -> None:
    """Limits must lie within the data, up to rounding: data to 2.02 Å are called 2.0 Å data."""
    finest = float(limits.split(",")[-1])
    if finest < ROUNDED * d_min:
        raise InputError(f"{option} {limits}: the data end at {d_min:.2f} Å; expected no finer limit")


def limited_inputs(inputs: RefineInputs, d_min: float) -> RefineInputs:
    """The inputs with the data to a resolution limit; finer measurements stay in the file that is written."""
    data = inputs.data
    keep = (data.reflections.s2 <= (1.0 + 1e-9) / d_min**2).numpy()
    flags = replace(data.flags, values=data.flags.values[keep])
    return replace(inputs, data=replace(data, reflections=limited(data.reflections, d_min), flags=flags))


def _neighbours(done: list[Refined], limits: tuple[float, ...]) -> list[tuple[Refined, Refined, float, float]]:
    return list(zip(done, done[1:], limits, limits[1:], strict=False))


def compare(
    inputs: RefineInputs, options: PairedOptions, coarse: Refined, fine: Refined, d_coarse: float, d_fine: float
) -> Paired:
    """Both models against the data to the coarser limit."""
    reflections = limited(inputs.data.reflections, d_coarse)
    one, two = (judge(inputs, options, reflections, r.state.atoms) for r in (coarse, fine))
    a, b = one.statistics(), two.statistics()
    first, second = free_values(one), free_values(two)
    free = FreeComparison(gain=float("nan"), error=float("nan"))
    if first is not None and second is not None:
        free = compare_free(*common_values(first, second))
    return Paired(
        d_coarse=d_coarse,
        d_fine=d_fine,
        r_work=b.r_work - a.r_work,
        r_free=b.r_free - a.r_free,
        free=free,
        shell_cc_free=_shell_correlation(fine.term, d_coarse),
    )


def _shell_correlation(term: CrystalTerm, d_coarse: float) -> float:
    """Correlation of the free amplitudes finer than a limit with those of the model."""
    compared = term.target.compare(term.amplitudes.f_model.to(torch.complex128))
    here = term.free & (term.reflections.s2 > 1.0 / d_coarse**2)
    return correlation(compared.observed[here], compared.model[here])
