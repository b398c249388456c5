"""Options of `burnish project`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field


class ProjectOptions(BaseModel, frozen=True, extra="forbid"):
    """Make a project, list and show its jobs, name, clean and export them.

    init makes the current folder a project in RELION's layout; an existing RELION project needs no init. list shows its
    jobs. show JOB tells what a job was asked, what it read and made, and which jobs come before and after it.
    alias JOB NAME names a job, alias JOB removes the name. clean JOB moves the files of all iterations but the last
    into Trash/. export JOB copies a job and everything that it descends from into a zip or folder that opens as a
    project of its own and says, as an RO-Crate, how each file came about.
    """

    action: Literal["init", "list", "show", "alias", "clean", "export"] = Field(description="What to do.")
    job: str | None = Field(None, description="Which job: its name (Refine3D/job021), alias or number.")
    name: str | None = Field(None, description="The new alias.")
    folder: Path = Field(Path(), description="Folder of the project.")
    to: Path | None = Field(None, description="export: zip file (*.zip) or folder to write; else named by the job.")
    iterations: bool = Field(False, description="export: also the files of single iterations, and checkpoints.")
    images: bool = Field(False, description="export: also the image stacks that the tables of particles name.")
    harsh: bool = Field(False, description="clean: move everything away that no later job and no person needs.")


class RepeatOptions(BaseModel, frozen=True, extra="forbid"):
    """Run a job of the project again, or go on with it."""

    job: str = Field(description="Which job: its name (Refine3D/job021), alias or number.")
