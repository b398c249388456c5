"""The kept round of a cycle judged by data it has not seen, where that is asked for: `rcomplete` and `paired` on it."""

from __future__ import annotations

from typing import Any

from burnish.jobs.folder import Job
from burnish.options.cross_validation import PairedOptions, RCompleteOptions
from burnish.options.rebuild import CycleOptions
from burnish.workflows import paired, rcomplete
from burnish.workflows.model_rounds import Start


def judge_by_unseen_data(start: Start, job: Job, options: CycleOptions) -> dict[str, Any]:
    """Complete cross-validation and paired refinement of refined.cif, in folders of their own; what they say."""
    found: dict[str, Any] = {}
    given = start.options.model_dump() | {"model": job.path("refined.cif")}
    if options.rcomplete:
        inner = _inner(job, "rcomplete")
        asked = RCompleteOptions.model_validate(given | {"out": inner.folder, "folds": options.rcomplete})
        found["r_complete"] = rcomplete.run(asked, inner)["r_complete"]
    if options.paired is not None:
        inner = _inner(job, "paired")
        limits = PairedOptions.model_validate(given | {"out": inner.folder, "limits": options.paired})
        found["resolution_limit"] = paired.run(limits, inner)["d_min"]
    return found


def _inner(job: Job, name: str) -> Job:
    folder = job.path(name)
    folder.mkdir(parents=True, exist_ok=True)
    return Job(name, folder, {}, job.listener, keeps_record=False)
