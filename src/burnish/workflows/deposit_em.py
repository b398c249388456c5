"""EM part, next."""

from __future__ import annotations

from typing import Any

from burnish.jobs.folder import Job
from burnish.options.deposit import DepositOptions
from burnish.workflows.deposition import Source


def run(options: DepositOptions, job: Job, source: Source) -> dict[str, Any]:
    """To come."""
    raise NotImplementedError
