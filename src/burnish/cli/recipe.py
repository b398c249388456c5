"""`burnish run RECIPE.yaml`: the steps of a recipe, one job after the other.

A recipe that was stopped goes on with the step that was under way; steps that are done, with the same options and the
same input files, are not run again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from burnish.cli import commands
from burnish.cli.repeat import find_checkpoints
from burnish.core.errors import JobError
from burnish.core.events import Message
from burnish.jobs.folder import Job
from burnish.jobs.project import EXIT_FILES, Project, find_project, init_project
from burnish.jobs.recipe import FOLDERS, Step, find_recipe, fingerprint, read_recipe, resolve
from burnish.options.recipe import RecipeOptions
from burnish.options.table import COMMANDS, Command


def run(options: RecipeOptions, job: Job) -> dict[str, Any]:
    """Run the recipe's steps in the project's folder."""
    usable = {c.name: c for c in COMMANDS if c.project_folder or c.name in FOLDERS}
    recipe = find_recipe(options.recipe).resolve()
    steps = read_recipe(recipe, tuple(usable), options.set)
    if options.dry_run:
        shown = []
        for s in steps:
            given = " ".join(f"{name.replace('_', '-')}={value}" for name, value in s.options.items())
            shown.append({"step": s.place, "job": s.command, "name": s.name, "options": given})
        return {"steps": shown}
    folder = options.project.resolve()
    if find_project(folder) is None:
        init_project(folder)
    with _standing_in(folder):
        return _run_steps(Project(Path()), recipe, steps, usable, job, fresh=options.fresh)


def _run_steps(
    project: Project, recipe: Path, steps: tuple[Step, ...], usable: dict[str, Command], job: Job, *, fresh: bool
) -> dict[str, Any]:
    state_path = Path(f".burnish_recipe_{recipe.stem}.json")
    before = {} if fresh else _read_state(state_path)
    state: dict[str, dict[str, str]] = {}
    done: dict[str, Path] = {}
    made = []
    for step in steps:
        jobs = [Path(p.name) for p in project.read().processes]
        chosen = resolve(recipe, step, done, jobs)
        mark = fingerprint(step, chosen)
        known = before.get(step.name, {})
        folder = Path(known["folder"]) if known.get("fingerprint") == mark else None
        if folder is not None and (folder / EXIT_FILES["Succeeded"]).exists():
            job.notify(Message(f"{step}: done already in {folder}"))
        else:
            if folder is None or not folder.is_dir():
                command = usable[step.command]
                folder = Path(project.next_name(command.project_folder or FOLDERS[step.command]))
            state[step.name] = {"folder": str(folder), "fingerprint": mark}
            _write_state(state_path, {**before, **state})
            job.notify(Message(f"{step}: {folder}"))
            _run_step(project, recipe, step, usable[step.command], chosen, folder)
        state[step.name] = {"folder": str(folder), "fingerprint": mark}
        done[step.name] = folder
        made.append({"step": step.place, "job": step.command, "folder": str(folder)})
    _write_state(state_path, state)
    return {"steps": made}


def _run_step(
    project: Project, recipe: Path, step: Step, command: Command, chosen: dict[str, Any], folder: Path
) -> None:
    """Run one job in its folder; a job that was stopped there goes on from its last checkpoint."""
    given = dict(chosen)
    if command.keeps_record:
        given["out"] = folder
        checkpoints = find_checkpoints(folder)
        if checkpoints and "continue_from" in commands.load_options(command).model_fields:
            given["continue_from"] = checkpoints[-1]
        status = commands.run_command(command, given)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        given["out"] = folder / f"{command.name}.mrc"
        name = f"{folder}/"
        project.start(name, [Path(v) for v in chosen.values() if isinstance(v, str) and Path(v).is_file()])
        status = commands.run_command(command, given)
        project.end(name, "Aborted" if status == 130 else "Failed" if status else "Succeeded")
    if status == 130:
        raise KeyboardInterrupt
    if status:
        raise JobError(
            f"{recipe.name}, {step}: failed, see the line above; `burnish run` goes on from here once it is mended"
        )


def _read_state(path: Path) -> dict[str, dict[str, str]]:
    try:
        found: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # no earlier run, or none that can be read: every step runs
    return found


def _write_state(path: Path, state: dict[str, dict[str, str]]) -> None:
    aside = path.with_name(f".partial-{os.getpid()}{path.name}")
    aside.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    aside.replace(path)


@contextmanager
def _standing_in(folder: Path) -> Iterator[None]:
    """Names of files in a project are relative to its folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
