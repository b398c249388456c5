"""What the page shows of jobs, read from the project's files at each request: the files are the only store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from burnish.jobs.project import Project
from burnish.jobs.record import read_record

VIEWABLE = {".mrc", ".map", ".cif", ".pdb", ".mtz", ".ccp4"}
SHOWN = {
    *VIEWABLE,
    ".star",
    ".json",
    ".jsonl",
    ".txt",
    ".log",
    ".html",
    ".pdf",
    ".png",
    ".xml",
    ".yaml",
    ".out",
    ".err",
}


def list_jobs(project: Project) -> list[dict[str, Any]]:
    """Every job with its state, times and neighbours in the history."""
    pipeline = project.read()
    jobs = []
    for process in pipeline.processes:
        record = read_record(project.folder / process.name)
        jobs.append(
            {
                "name": process.name.rstrip("/"),
                "alias": "" if process.alias == "None" else process.alias.rstrip("/").rsplit("/", 1)[-1],
                "status": process.status,
                "type": process.type_label,
                "started": record.started.isoformat() if record else None,
                "ended": record.ended.isoformat() if record and record.ended else None,
                "previous": [n.rstrip("/") for n in pipeline.previous(process.name)],
                "ours": record is not None,
            }
        )
    return jobs


def show_job(project: Project, name: str) -> dict[str, Any]:
    """One job: record, files, neighbours."""
    process = project.find(name)
    pipeline = project.read()
    folder = project.folder / process.name
    record = read_record(folder)
    files = sorted(p for p in folder.iterdir() if _is_shown(p)) if folder.is_dir() else []
    return {
        "name": process.name.rstrip("/"),
        "alias": "" if process.alias == "None" else process.alias.rstrip("/").rsplit("/", 1)[-1],
        "status": process.status,
        "record": record.model_dump(mode="json") if record else None,
        "previous": [n.rstrip("/") for n in pipeline.previous(process.name)],
        "next": [n.rstrip("/") for n in pipeline.following(process.name)],
        "files": [
            {"path": process.name + p.name, "name": p.name, "size": p.stat().st_size, "viewable": p.suffix in VIEWABLE}
            for p in files
        ],
        "statistics": _json_beside(folder, "refined.json"),
        "validation": _json_beside(folder, "validation.json"),
    }


def read_events(folder: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Events after a byte offset into `events.jsonl`, and the offset to go on from; half-written lines wait."""
    path = folder / "events.jsonl"
    if not path.is_file() or path.stat().st_size <= offset:
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    whole = data.rfind(b"\n") + 1
    return [json.loads(line) for line in data[:whole].splitlines()], offset + whole


def _is_shown(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.suffix in SHOWN


def _json_beside(folder: Path, name: str) -> Any:
    path = folder / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
