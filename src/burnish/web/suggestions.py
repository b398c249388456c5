"""What a form can be filled in with: files of the project, and what a job that has ended leads to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from burnish.jobs.project import Project
from burnish.jobs.record import JobRecord, read_record

INPUTS = {".mrc", ".map", ".ccp4", ".mrcs", ".star", ".cs", ".mtz", ".cif", ".pdb", ".fasta", ".csv", ".yaml"}
MOST_FILES = 400
MOST_OF_FOLDER, MOST_LOOKED_AT = 200, 5000  # files; projects hold millions
DEEPEST = 4  # folders
MODELS = ("refined.cif", "rebuilt.cif", "undone.cif", "fitted.cif")  # what jobs leave, the best first
MAPS = ("half1", "half2", "map")
# options that hold for the next job as well
KEPT = ("resolution", "ligand", "twin", "symmetry", "labels", "free_label", "free_value", "monomers")
AFTER_MODEL = ("refine", "rebuild", "cycle", "validate")


def list_inputs(project: Project) -> list[str]:
    """Files that jobs read, as paths in the project; those outside job folders first, then of the latest jobs."""
    root = project.folder.resolve()
    found: list[tuple[bool, float, str]] = []
    for folder, names, files in os.walk(root):
        here = Path(folder).relative_to(root)
        names[:] = [] if len(here.parts) >= DEEPEST else [n for n in names if not n.startswith(".")]
        is_job = "job.json" in files
        if len(found) > MOST_LOOKED_AT:
            break
        for name in files[:MOST_OF_FOLDER]:  # a folder of micrographs is not what a form is filled in with
            if Path(name).suffix in INPUTS and not name.startswith((".", "default_pipeline")):
                path = Path(folder) / name
                if path.is_file():
                    found.append((is_job, -path.stat().st_mtime, str(here / name)))
    return [path for _, _, path in sorted(found)[:MOST_FILES]]


def what_next(project: Project, folder: Path, record: JobRecord | None) -> list[dict[str, Any]]:
    """Commands that take what a job left, with the options that are known."""
    if record is None or record.state != "finished":
        return []
    left = folder.relative_to(project.folder)
    model = next((str(left / n) for n in MODELS if (folder / n).is_file()), None)
    if model is not None:
        following = [{"command": c, "options": {"model": model, **data_of(project, record)}} for c in AFTER_MODEL]
        if record.job_type in ("refine", "cycle"):
            following.append({"command": "deposit", "options": {"source": str(left)}})
        return following
    if (folder / "run_half1_class001_unfil.mrc").is_file():
        half = str(left / "run_half1_class001_unfil.mrc")
        return [
            {"command": "postprocess", "options": {"half1": half, "mask": "auto"}},
            {"command": "localres", "options": {"half1": half, "half2": half.replace("half1", "half2")}},
        ]
    star = folder / "postprocess.star"
    if star.is_file() and (particles := _particles_of(project, record)):
        return [{"command": "ctfrefine", "options": {"particles": particles, "postprocess": str(left / star.name)}}]
    return []


def data_of(project: Project, record: JobRecord | None) -> dict[str, Any]:
    """Data that a model was made from: the job's own, or those of the job that its model came from."""
    if record is None:
        return {}
    for _ in range(20):  # a line of hand edits
        options = record.options
        names = [n for n in ("data", *MAPS) if isinstance(options.get(n), str)]
        if names:
            kept = {k: options[k] for k in KEPT if isinstance(options.get(k), str | int | float | list) and options[k]}
            return {n: options[n] for n in names} | kept
        parent = read_record(project.folder / str(options.get("model", "")).rpartition("/")[0])
        if parent is None or parent == record:
            return {}
        record = parent
    return {}


def _particles_of(project: Project, record: JobRecord) -> str | None:
    half = Path(str(record.options.get("half1", "")))
    particles = half.parent / "run_data.star"
    return str(particles) if half.name and (project.folder / particles).is_file() else None
