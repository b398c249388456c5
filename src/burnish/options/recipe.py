"""Options of `burnish run`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class RecipeOptions(BaseModel, frozen=True, extra="forbid"):
    """Run a chain of jobs from a recipe; each step finds its inputs in what the steps before it left."""

    recipe: Path = Field(
        description="YAML file with the steps, or the name of one that comes along: map, model, crystal."
    )
    set: tuple[str, ...] = Field((), description="NAME=VALUE of a parameter of the recipe; may be given again.")
    project: Path = Field(Path(), description="Project folder; made a project if it is none.")
    fresh: bool = Field(False, description="Run every step again, also those that are done already.")
    dry_run: bool = Field(False, description="Check the recipe and say what would be run; run nothing.")
