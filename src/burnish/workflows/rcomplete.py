"""`burnish rcomplete`: complete cross-validation of a model."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from burnish.core.events import Message, Metrics, Progress
from burnish.io.atomic import write_text
from burnish.io.free_flags import lattice_orbits
from burnish.jobs.folder import Job
from burnish.models.agreement import r_factor
from burnish.models.cross_validation import HeldOut, held_out, r_complete, shaken, with_free
from burnish.models.resolution import shells_of_equal_number
from burnish.options.cross_validation import RCompleteOptions
from burnish.reports.page import render
from burnish.reports.repeated import rcomplete_page
from burnish.workflows.device import chosen_device
from burnish.workflows.refine_inputs import RefineInputs
from burnish.workflows.refine_model import refinement_settings
from burnish.workflows.refine_numbers import without_nan
from burnish.workflows.repeated_refinement import read_repeated, refine_with

SHELLS = 10


def run(options: RCompleteOptions, job: Job) -> dict[str, Any]:
    """Refine once without each fold, put what was held out together."""
    inputs = read_repeated(options, job.notify)
    settings = refinement_settings(options, inputs.refinable.labels)
    fold = folds_of(inputs, options.folds, options.seed)
    job.begin(inputs.files, seed=options.seed, device=chosen_device(options.device))
    results: list[HeldOut] = []
    for number in range(options.folds):
        generator = torch.Generator().manual_seed(options.seed + number)
        reflections = with_free(inputs.data.reflections, fold == number)
        atoms = shaken(inputs.refinable.atoms, options.shake, generator) if options.shake > 0 else None
        done = refine_with(inputs, options, settings, reflections=reflections, atoms=atoms)
        results.append(held_out(done.term))
        last = results[-1]
        job.notify(Metrics("fold", number + 1, {"r_work": last.r_work, "r_free": last.r_free}))
        job.notify(Progress("complete cross-validation", number + 1, options.folds))
    found = r_complete(results)
    record = without_nan(
        {
            "model": str(options.model),
            "data": str(options.data),
            "folds": [{"reflections": len(f.index), "r_work": f.r_work, "r_free": f.r_free} for f in results],
            "shells": by_shell(inputs, results),
            "final": asdict(found),
        }
    )
    write_text(job.path("rcomplete.json"), json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_text(job.path("report.html"), render(rcomplete_page(record)))
    job.notify(Message(f"R-complete {found.r_complete:.4f} of {found.reflections} reflections"))
    return {**record["final"], "folds": options.folds, "report": str(job.path("report.html"))}


def folds_of(inputs: RefineInputs, folds: int, seed: int) -> torch.Tensor:
    """Fold of each reflection; mates under the symmetry of the lattice are held out together. (n,)"""
    reflections = inputs.data.reflections
    orbit = lattice_orbits(reflections.hkl.numpy(), reflections.crystal)
    order = np.random.default_rng(seed).permutation(int(orbit.max()) + 1)
    return torch.from_numpy(order[orbit] % folds)


def by_shell(inputs: RefineInputs, results: list[HeldOut]) -> list[dict[str, float]]:
    """R-complete by resolution."""
    index, observed, model = (torch.cat([getattr(f, n) for f in results]) for n in ("index", "observed", "model"))
    s2 = inputs.data.reflections.s2[index]
    shell = torch.from_numpy(shells_of_equal_number(s2.numpy(), SHELLS))
    found = []
    for number in range(SHELLS):
        here = shell == number
        if bool(here.any()):
            found.append(
                {
                    "d_max": float(s2[here].min().rsqrt()),
                    "d_min": float(s2[here].max().rsqrt()),
                    "reflections": int(here.sum()),
                    "r_complete": r_factor(observed[here], model[here]),
                }
            )
    return found
