"""Options of commands that can share their work with other processes and machines."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, Field, field_validator, model_validator

KINDS = ("local", "dask", "slurm", "pbs")
_ADDRESS = re.compile(r"^(tcp|tls|ucx|ws|wss)://\S+:\d+$")


class ExecutorOptions(BaseModel, frozen=True, extra="forbid"):
    """Where the work is done."""

    executor: str = Field(
        "local",
        description="local: in this process; dask: workers on this machine; slurm or pbs: workers as jobs of the "
        "queue; or the address of a Dask scheduler (tcp://HOST:PORT).",
    )
    workers: int | None = Field(
        None, ge=1, description="Number of workers; given alone, they are started on this machine."
    )
    cluster: Path | None = Field(
        None,
        description="YAML file with the queue's settings (queue, account, walltime, cores, memory, "
        "job_extra_directives …), as dask-jobqueue names them; else as in Dask's own configuration.",
    )

    @field_validator("executor")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in KINDS and not _ADDRESS.match(value):
            raise ValueError(f"one of {', '.join(KINDS)} or an address tcp://HOST:PORT expected, found {value}")
        return value

    @model_validator(mode="after")
    def _cluster_is_for_queues(self) -> ExecutorOptions:
        if self.cluster is not None and self.executor not in ("slurm", "pbs"):
            raise ValueError(f"--cluster: settings of a queue; --executor is {self.executor}, expected slurm or pbs")
        return self

    @property
    def in_this_process(self) -> bool:
        """Whether no workers are wanted."""
        return self.executor == "local" and (self.workers is None or self.workers == 1)
