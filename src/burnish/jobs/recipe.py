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

A recipe for others has parameters, which options take as `{name}` and `burnish run --set NAME=VALUE` gives:

    parameters:
      particles: {about: "STAR file of the particles"}            # without a default: has to be given
      mask-diameter: {default: 200, about: "diameter of the particle, Å"}
      mtf: {default: null, about: "MTF of the detector"}          # left out where nobody gives it

Recipes in `burnish/recipes` are known by their names.

An input that a step does not name is the newest file of the right name from the steps before it, else from the jobs of
the project. `{name}` in an option stands for the folder of that step.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from burnish.core.errors import DataError, InputError

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


def find_recipe(given: Path) -> Path:
    """The file that a user means: a path, or the name of a recipe that comes with Burnish.

    Raises
    ------
    DataError : there is neither.
    """
    shipped = {path.stem: path for path in sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))}
    if given.exists() or str(given) not in shipped:
        if not given.exists() and given.suffix not in (".yaml", ".yml"):
            raise DataError(f"{given}: no such recipe; give a YAML file, or one of {', '.join(shipped)}")
        return given
    return shipped[str(given)]


def read_recipe(path: Path, commands: Sequence[str], given: Sequence[str] = ()) -> tuple[Step, ...]:
    """Read and check a recipe.

    Parameters
    ----------
    commands : names of those that a step may be.
    given : NAME=VALUE of parameters, values as in YAML.

    Raises
    ------
    DataError : not YAML, not a recipe, an unknown command or key; the message names the step.
    InputError : a parameter that the recipe does not have, or that is needed and missing.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the name of the recipe") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not isinstance(content.get("steps"), list) or not content["steps"]:
        raise DataError(f"{path}: expected a list 'steps' with at least one step, each with 'job' and 'options'")
    unknown = set(content) - {"steps", "name", "description", "parameters"}
    if unknown:
        raise DataError(
            f"{path}: unknown key '{min(map(str, unknown))}'; a recipe has name, description, parameters, steps"
        )
    values = _parameters(path, content.get("parameters") or {}, given)
    read = [_read_step(path, i + 1, entry, commands) for i, entry in enumerate(content["steps"])]
    names = [s.name for s in read]
    shared = set(names) & set(values)
    if shared:
        raise DataError(f"{path}: '{min(shared)}' is the name of a step and of a parameter")
    steps = tuple(replace(s, options=_with_parameters(s.options, values)) for s in read)
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


def _parameters(path: Path, content: Any, given: Sequence[str]) -> dict[str, Any]:
    """Values of the recipe's parameters."""
    if not isinstance(content, dict):
        raise DataError(f"{path}: 'parameters' is '{content}', expected names with 'default' and 'about'")
    values, needed = {}, {}
    for name, entry in content.items():
        if not isinstance(entry, dict) or set(entry) - {"default", "about"}:
            raise DataError(f"{path}: parameter '{name}': expected 'default', 'about', or both")
        if "default" in entry:
            values[str(name)] = entry["default"]
        else:
            needed[str(name)] = entry.get("about", "")
    for item in given:
        name, equals, text = item.partition("=")
        if not equals or name not in values.keys() | needed.keys():
            known = ", ".join(map(str, content)) or "none"
            raise InputError(f"--set {item}: {path.name} has no parameter '{name}'; its parameters: {known}")
        needed.pop(name, None)
        values[name] = yaml.safe_load(text)
    if needed:
        name, about = next(iter(needed.items()))
        raise InputError(f"{path.name} needs --set {name}=…" + (f" ({about})" if about else ""))
    return values


def _with_parameters(options: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the parameters filled in; one that is only a parameter without value is left out."""
    filled = {name: _with_values(value, values) for name, value in options.items()}
    return {name: value for name, value in filled.items() if value is not None or options[name] is None}


def _with_values(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_with_values(v, values) for v in value]
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole is not None and whole[1] in values:
        return values[whole[1]]  # of its own type
    return _REFERENCE.sub(lambda m: str(values[m[1]]) if m[1] in values else m[0], value)


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
