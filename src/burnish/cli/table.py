"""Every command of the command line: what it is called, its options and its workflow, by import path."""

from __future__ import annotations

from dataclasses import dataclass

MAPS, MODELS = "Cryo-EM maps", "Atomic models"


@dataclass(frozen=True, slots=True)
class Command:
    """One command; `options` and `workflow` are import paths, so that the table costs nothing to read.

    `positional` names the options that may be given without their flag, in order. `keeps_record` is False for commands
    whose `--out` is one file rather than a job folder: they leave no `job.json`.
    """

    name: str
    summary: str
    group: str
    options: str
    workflow: str
    positional: tuple[str, ...] = ()
    keeps_record: bool = True


COMMANDS: tuple[Command, ...] = ()
