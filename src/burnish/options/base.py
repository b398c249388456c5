"""What all options models share."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class JobOptions(BaseModel, frozen=True, extra="forbid"):
    """Options of one job; frozen, since the job record keeps them as they were."""

    out: Path = Field(description="Folder of the job; made when the inputs have been read and found good.")
