"""`burnish project export`: a job and everything that it descends from, as a folder or zip that opens as a project.

The export is an RO-Crate (https://w3id.org/ro/crate/1.1) of the profile Process Run Crate: `ro-crate-metadata.json`
lists every file with its SHA-256 and says which job, with which options and version, made it from which files.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import quote

from burnish.core.errors import DataError, InputError
from burnish.core.events import Message, Progress
from burnish.io.atomic import write_aside
from burnish.io.images import find_stack
from burnish.io.star import read_star
from burnish.jobs.folder import Job
from burnish.jobs.pipeline import Pipeline, format_pipeline
from burnish.jobs.project import PIPELINE_NAME, Project
from burnish.jobs.record import JobRecord, hash_file, read_record
from burnish.options.project import ProjectOptions

METADATA_NAME = "ro-crate-metadata.json"
ITERATION_FILES = ("run_it[0-9][0-9][0-9]_*", "cycle_[0-9][0-9][0-9]*", "checkpoint.npz", "*_checkpoint.pt")
_NEVER = (".*", "RELION_JOB_ABORT*", "*.lock")
_STORED = (".mrc", ".mrcs", ".mtz", ".pdf", ".png", ".npz", ".zip", ".pt")  # hardly shrink


@dataclass(slots=True)
class _Contents:
    """What goes out: files by their names in the export, and what cannot."""

    files: dict[str, Path] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def export(project: Project, options: ProjectOptions, job: Job) -> dict[str, Any]:
    """Write the export; return what is in it."""
    process = project.find(options.job or "")
    target = options.to or Path(process.name.rstrip("/").replace("/", "_") + ".zip")
    if target.exists():
        raise InputError(f"--to {target}: exists already; name another, or remove it")
    if target.resolve().is_relative_to((project.folder / process.name).resolve()):
        raise InputError(f"--to {target}: lies inside the job that is exported")
    pipeline = project.read()
    names = ancestors(pipeline, process.name)
    contents = _collect(project, pipeline, names, iterations=options.iterations, images=options.images)
    part = _part_of(pipeline, names)
    metadata = _metadata(project, part, process.name, contents)
    texts = {PIPELINE_NAME: format_pipeline(part), METADATA_NAME: json.dumps(metadata, indent=1) + "\n"}
    size = _write(target, contents, texts, job)
    for line in contents.left_out:
        job.notify(Message(f"not in the export: {line}", "warning"))
    return {
        "export": str(target),
        "jobs": ", ".join(n.rstrip("/") for n in names),
        "files": len(contents.files) + len(texts),
        "megabytes": round(size / 1e6, 1),
        "left out": len(contents.left_out),
    }


def ancestors(pipeline: Pipeline, name: str) -> list[str]:
    """The job and all that it descends from, in the order of the history."""
    wanted, open_ends = {name}, [name]
    while open_ends:
        for earlier in pipeline.previous(open_ends.pop()):
            if earlier not in wanted:
                wanted.add(earlier)
                open_ends.append(earlier)
    return [p.name for p in pipeline.processes if p.name in wanted]


def _part_of(pipeline: Pipeline, names: Iterable[str]) -> Pipeline:
    """The history of these jobs alone."""
    wanted = set(names)
    inputs = tuple(e for e in pipeline.inputs if e[1] in wanted)
    outputs = tuple(e for e in pipeline.outputs if e[0] in wanted)
    nodes = {e[0] for e in inputs} | {e[1] for e in outputs}
    return Pipeline(
        job_counter=pipeline.job_counter,
        processes=tuple(p for p in pipeline.processes if p.name in wanted),
        nodes=tuple(n for n in pipeline.nodes if n.name in nodes),
        inputs=inputs,
        outputs=outputs,
    )


def _collect(project: Project, pipeline: Pipeline, names: list[str], *, iterations: bool, images: bool) -> _Contents:
    contents = _Contents()
    for name in names:
        for path in _files_of(project.folder / name, iterations=iterations):
            contents.files[str(path.relative_to(project.folder))] = path
        read = [file for file, reader in pipeline.inputs if reader == name]
        record = read_record(project.folder / name)
        read += [seen.path for seen in record.inputs] if record is not None else []
        for file in dict.fromkeys(read):
            _add_input(contents, project, file, name)
    if images:
        for star in [f for f in contents.files if f.endswith(".star")]:
            _add_stacks(contents, project, contents.files[star])
    return contents


def _files_of(folder: Path, *, iterations: bool) -> Iterator[Path]:
    """Files of a job that others need; of iterations none, or all."""
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.is_symlink() or not path.is_file() or any(fnmatch(p, n) for p in inner.parts for n in _NEVER):
            continue
        if iterations or not any(fnmatch(path.name, pattern) for pattern in ITERATION_FILES):
            yield path


def _add_input(contents: _Contents, project: Project, file: str, reader: str) -> None:
    path = project.folder / file
    try:
        inner = str(path.resolve().relative_to(project.folder.resolve()))
    except ValueError:
        contents.left_out.append(f"{file}, read by {reader.rstrip('/')}: lies outside the project")
        return
    if path.is_file():
        contents.files.setdefault(inner, path)
    else:
        contents.left_out.append(f"{file}, read by {reader.rstrip('/')}: is gone")


def _add_stacks(contents: _Contents, project: Project, star: Path) -> None:
    """The image stacks that a table of particles names."""
    try:
        tables = read_star(star).tables
    except DataError:
        return  # no table of ours
    for table in tables:
        if "rlnImageName" not in table.columns:
            continue
        for stack in dict.fromkeys(str(v).rpartition("@")[2] for v in table.columns["rlnImageName"]):
            found = find_stack(stack, star)
            if found is None:
                contents.left_out.append(f"{stack}, named in {star}: not found")
            else:
                _add_input(contents, project, str(found.resolve()), str(star))


def _metadata(project: Project, part: Pipeline, name: str, contents: _Contents) -> dict[str, Any]:
    """The crate's description as JSON-LD."""
    files = [_file_entity(arcname, path) for arcname, path in sorted(contents.files.items())]
    records = {p.name: read_record(project.folder / p.name) for p in part.processes}
    actions = [_action(project, p.name, records[p.name], part, contents) for p in part.processes]
    versions = sorted({r.version for r in records.values() if r is not None})
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{name.rstrip('/')} with everything it descends from",
        "description": f"{len(part.processes)} jobs of a project of structure refinement, in RELION's layout.",
        "datePublished": f"{datetime.now(UTC):%Y-%m-%d}",
        "license": "not stated",
        "conformsTo": {"@id": "https://w3id.org/ro/wfrun/process/0.5"},
        "hasPart": [{"@id": f["@id"]} for f in files] + [{"@id": PIPELINE_NAME}],
        "mentions": [{"@id": a["@id"]} for a in actions],
    }
    software = [
        {"@id": _software(v), "@type": "SoftwareApplication", "name": "Burnish", "softwareVersion": v} for v in versions
    ]
    software += [{"@id": "#other", "@type": "SoftwareApplication", "name": "another program (RELION's job)"}]
    index = {"@id": PIPELINE_NAME, "@type": "File", "name": "history of the jobs, as RELION keeps it"}
    descriptor = {
        "@id": METADATA_NAME,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    return {
        "@context": ["https://w3id.org/ro/crate/1.1/context", {"sha256": "https://schema.org/sha256"}],
        "@graph": [descriptor, root, index, *files, *software, *actions],
    }


def _file_entity(arcname: str, path: Path) -> dict[str, Any]:
    seen = hash_file(path)
    return {
        "@id": quote(arcname),
        "@type": "File",
        "name": Path(arcname).name,
        "contentSize": str(seen.size),
        "sha256": seen.sha256,
    }


def _software(version: str) -> str:
    return f"#burnish-{version}"


def _action(
    project: Project, name: str, record: JobRecord | None, part: Pipeline, contents: _Contents
) -> dict[str, Any]:
    """One job: what it read, what it made, how it was asked."""
    read = [file for file, reader in part.inputs if reader == name]
    sources = {str(path.resolve()): file for file, path in contents.files.items()}
    for seen in record.inputs if record is not None else ():
        read.append(sources.get(str((project.folder / seen.path).resolve()), seen.path))
    made = [file for file in contents.files if file.startswith(name)]
    action: dict[str, Any] = {
        "@id": f"#{name.rstrip('/')}",
        "@type": "CreateAction",
        "name": name.rstrip("/"),
        "instrument": {"@id": _software(record.version) if record is not None else "#other"},
        "object": [{"@id": quote(f)} for f in dict.fromkeys(read) if f in contents.files],
        "result": [{"@id": quote(f)} for f in made],
    }
    if record is not None:
        failed = record.state in ("failed", "interrupted")
        action |= {
            "description": json.dumps({"command": record.job_type, "options": record.options}),
            "startTime": record.started.isoformat(),
            "actionStatus": {"@id": f"http://schema.org/{'Failed' if failed else 'Completed'}ActionStatus"},
        }
        if record.ended is not None:
            action["endTime"] = record.ended.isoformat()
    return action


def _write(target: Path, contents: _Contents, texts: dict[str, str], job: Job) -> int:
    """Write aside, then rename; return the size in bytes."""
    total = sum(p.stat().st_size for p in contents.files.values())
    done = 0
    if target.suffix.lower() == ".zip":
        with write_aside(target) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
            for arcname, path in sorted(contents.files.items()):
                kind = zipfile.ZIP_STORED if path.suffix.lower() in _STORED else zipfile.ZIP_DEFLATED
                archive.write(path, arcname, compress_type=kind)
                done += path.stat().st_size
                job.notify(Progress("export", done, total))
            for arcname, text in texts.items():
                archive.writestr(arcname, text)
        return target.stat().st_size
    aside = target.with_name(f".partial-{target.name}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        for arcname, path in sorted(contents.files.items()):
            (aside / arcname).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, aside / arcname)
            done += path.stat().st_size
            job.notify(Progress("export", done, total))
        for arcname, text in texts.items():
            (aside / arcname).write_text(text, encoding="utf-8")
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return total
