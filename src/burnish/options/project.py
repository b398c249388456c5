"""Options of `burnish project`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field


class ProjectOptions(BaseModel, frozen=True, extra="forbid"):
    """Make a project, list and show its jobs, name and clean them.

    init makes the current folder a project in RELION's layout; an existing RELION project needs no init. list shows its
    jobs. show JOB tells what a job was asked, what it read and made, and which jobs come before and after it.
    alias JOB NAME names a job, alias JOB removes the name. clean JOB moves the files of all iterations but the last
    into Trash/.
    """

    action: Literal["init", "list", "show", "alias", "clean"] = Field(description="What to do.")
    job: str | None = Field(None, description="Which job: its name (Refine3D/job021), alias or number.")
    name: str | None = Field(None, description="The new alias.")
    folder: Path = Field(Path(), description="Folder of the project.")
    harsh: bool = Field(False, description="clean: move everything away that no later job and no person needs.")


class RepeatOptions(BaseModel, frozen=True, extra="forbid"):
    """Run a job of the project again, or go on with it."""

    job: str = Field(description="Which job: its name (Refine3D/job021), alias or number.")
