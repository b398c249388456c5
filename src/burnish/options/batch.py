"""Options of `burnish batch`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from burnish.options.base import JobOptions
from burnish.options.executor import ExecutorOptions


class BatchOptions(JobOptions, ExecutorOptions, frozen=True, extra="forbid"):
    """Run one command on many data sets, each in a folder of its own; one summary for all.

    SETS is a table (CSV, TSV, or JSON: a list of objects) whose columns are options of the command, as model, data,
    ligand (several parted by spaces), and 'name' for the name of a set; or a pattern of folders, as 'screen/x*', with
    --find for the files in each. A batch that was stopped goes on where it was when it is started again with the same
    --out; what is done, with the same options and unchanged files, is not done again. A set that fails does not stop
    the others.
    """

    sets: str = Field(description="Table of the data sets, or a pattern of folders in quotes.")
    command: Literal["refine", "cycle", "rebuild", "validate"] = Field("refine", description="What is run on each set.")
    find: tuple[str, ...] = Field(
        (),
        description="OPTION=PATTERN of files in each folder, as data=*.mtz; may be given again. The first match is "
        "taken, for options that take several all of them.",
    )
    set: tuple[str, ...] = Field((), description="OPTION=VALUE for all sets where the table has none; may be repeated.")
    scan: tuple[str, ...] = Field(
        (),
        description="OPTION=VALUE,VALUE,…: every set once with each value, as weight=0.5,1,2, or free-value=0,1,2,3,4 "
        "for a cross-validation; several scans are combined.",
    )
    time_limit: float | None = Field(None, gt=0, description="Minutes after which a set is given up.")
    only: tuple[str, ...] = Field((), description="Names of the sets to run, of those that SETS has.")

    @field_validator("find", "set", "scan")
    @classmethod
    def _named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            name, equals, text = item.partition("=")
            if not (name and equals and text):
                raise ValueError(f"OPTION=VALUE expected, found {item}")
        return value

    @model_validator(mode="after")
    def _files_are_found_in_folders(self) -> BatchOptions:
        if self.find and is_table(self.sets):
            raise ValueError(f"--find is for patterns of folders; {self.sets} is a table")
        return self


def is_table(sets: str) -> bool:
    """Whether the sets stand in a table rather than in folders."""
    return Path(sets).suffix.lower() in (".csv", ".tsv", ".json")
