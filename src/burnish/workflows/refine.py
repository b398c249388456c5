"""`burnish refine`: an atomic model against diffraction data or maps."""

from __future__ import annotations

from typing import Any

from burnish.jobs.execution import load
from burnish.jobs.folder import Job
from burnish.options.refine import RefineOptions


def run(options: RefineOptions, job: Job) -> dict[str, Any]:
    """Refine; what only the other kind of data needs takes neither memory nor time."""
    kind = "refine_em" if options.data is None else "refine_crystal"
    summary: dict[str, Any] = load(f"burnish.workflows.{kind}:run")(options, job)
    return summary
