"""Recipes: chains of jobs as text, and where each step finds its inputs.

A recipe is YAML:

    steps:
      - job: refine3d
        name: first                # only needed where a later step refers to it
        options: {particles: particles.star, reference: initial.mrc, mask-diameter: 200, symmetry: D2}
      - job: mask
        options: {lowpass: 15}
      - job: postprocess
      - job: ctfrefine
        options: {beam-tilt: true}
      - job: refine3d
        options: {reference: "{first}/run_class001.mrc", mask-diameter: 200, symmetry: D2}

An input that a step does not name is the newest file of the right name from the steps before it, else from the jobs of
the project. `{name}` in an option stands for the folder of that step.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from burnish.core.errors import DataError

# Inputs that a step may leave out, by command: option → names of the files that serve, best first.
INPUTS: dict[str, dict[str, tuple[str, ...]]] = {
    "refine3d": {
        "particles": ("particles_ctf_refine.star", "run_data.star", "particles.star"),
        "reference": ("run_class001.mrc",),
    },
    "mask": {"map": ("run_class001.mrc",)},
    "postprocess": {"half1": ("run_half1_class001_unfil.mrc",), "mask": ("mask.mrc",)},
    "ctfrefine": {"particles": ("run_data.star",), "postprocess": ("postprocess.star",)},
    "refine": {"half1": ("run_half1_class001_unfil.mrc",), "half2": ("run_half2_class001_unfil.mrc",)},
    "validate": {"model": ("refined.cif",)},
}
# Of those, what has a default of its own and is wired only to a step of the same recipe.
ONLY_WITHIN_RECIPE = {("postprocess", "mask"), ("refine", "half1"), ("refine", "half2")}
FOLDERS = {"mask": "MaskCreate"}  # of commands that write one file and so keep no record of their own

_REFERENCE = re.compile(r"\{([A-Za-z0-9_-]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step as the recipe gives it.

    Attributes
    ----------
    place : number from 1.
    command : name of the command.
    name : by which later steps refer to it.
    options : with underscores in their names, values as YAML gives them.
    """

    place: int
    command: str
    name: str
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return f"step {self.place} ({self.command})"


def read_recipe(path: Path, commands: Sequence[str]) -> tuple[Step, ...]:
    """Read and check a recipe.

    Parameters
    ----------
    commands : names of those that a step may be.

    Raises
    ------
    DataError : not YAML, not a recipe, an unknown command or key; the message names the step.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the name of the recipe") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not isinstance(content.get("steps"), list) or not content["steps"]:
        raise DataError(f"{path}: expected a list 'steps' with at least one step, each with 'job' and 'options'")
    unknown = set(content) - {"steps", "name", "description"}
    if unknown:
        raise DataError(f"{path}: unknown key '{min(map(str, unknown))}'; a recipe has name, description, steps")
    steps = tuple(_read_step(path, i + 1, entry, commands) for i, entry in enumerate(content["steps"]))
    names = [s.name for s in steps]
    for step in steps:
        if names.count(step.name) > 1:
            raise DataError(f"{path}, {step}: the name '{step.name}' is used twice")
        for known in _REFERENCE.findall(json.dumps(step.options, default=str)):
            if known not in names[: step.place - 1]:
                raise DataError(f"{path}, {step}: {{{known}}} is not the name of an earlier step")
    return steps


def resolve(path: Path, step: Step, done: Mapping[str, Path], jobs: Sequence[Path]) -> dict[str, Any]:
    """Options of a step with references and inputs filled in.

    Parameters
    ----------
    path : of the recipe, for messages.
    done : folder of each earlier step by its name, in their order.
    jobs : folders of the project's jobs, oldest first.

    Raises
    ------
    DataError : an input that has to be there is nowhere.
    """
    options = {name: _fill(value, done) for name, value in step.options.items()}
    earlier = list(done.values())
    for option, files in INPUTS.get(step.command, {}).items():
        if option in options:
            continue
        within_recipe = (step.command, option) in ONLY_WITHIN_RECIPE
        found = _newest(earlier, files) or (None if within_recipe else _newest(jobs, files))
        if found is not None:
            options[option] = str(found)
        elif not within_recipe:
            raise DataError(
                f"{path}, {step}: no {' or '.join(files)} in an earlier step or job of the project; give the option "
                f"'{option.replace('_', '-')}'"
            )
    return options


def fingerprint(step: Step, options: Mapping[str, Any]) -> str:
    """What a step is: its command, its options, and size and time of every file that they name."""
    files = {}
    for name, value in options.items():
        if isinstance(value, str) and value and Path(value).is_file():
            status = Path(value).stat()
            files[name] = [status.st_size, status.st_mtime_ns]
    text = json.dumps([step.command, dict(options), files], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_step(path: Path, place: int, entry: Any, commands: Sequence[str]) -> Step:
    where = f"{path}, step {place}"
    if not isinstance(entry, dict) or "job" not in entry:
        raise DataError(f"{where}: expected 'job' with the name of a command, and 'options'")
    unknown = set(entry) - {"job", "name", "options"}
    if unknown:
        raise DataError(f"{where}: unknown key '{min(map(str, unknown))}'; a step has job, name and options")
    command = str(entry["job"])
    if command not in commands:
        raise DataError(f"{where}: no command '{command}'; known are {', '.join(sorted(commands))}")
    given = entry.get("options") or {}
    if not isinstance(given, dict):
        raise DataError(f"{where}: 'options' is '{given}', expected names with values")
    options = {str(k).replace("-", "_"): v for k, v in given.items()}
    if "out" in options:
        raise DataError(f"{where}: option 'out' is not for recipes; each step gets a folder of the project")
    return Step(place=place, command=command, name=str(entry.get("name") or f"step{place}"), options=options)


def _fill(value: Any, done: Mapping[str, Path]) -> Any:
    if isinstance(value, str):
        return _REFERENCE.sub(lambda m: str(done[m[1]]).rstrip("/"), value)
    if isinstance(value, list):
        return [_fill(v, done) for v in value]
    return value


def _newest(folders: Sequence[Path], files: Sequence[str]) -> Path | None:
    """The file of the newest folder that holds one of these names, the first name first."""
    for folder in reversed(folders):
        for name in files:
            if (folder / name).is_file():
                return folder / name
    return None
