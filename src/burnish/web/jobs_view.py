"""What the page shows of jobs, read from the project's files at each request: the files are the only store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from burnish.core.terms import term
from burnish.jobs.project import Project
from burnish.jobs.record import JobRecord, read_record
from burnish.web.suggestions import data_of, what_next

VIEWABLE = {".mrc", ".map", ".cif", ".pdb", ".mtz", ".ccp4"}
OWN_MODELS = ("refined.cif", "rebuilt.cif", "edited.cif", "fitted.cif")  # what a job left, the best first
FIRST_MAPS = (
    "postprocess_masked.mrc",
    "postprocess.mrc",
    "run_class001.mrc",
    "run_half1_class001_unfil.mrc",
    "mask.mrc",
)
MAP_SUFFIXES = (".mrc", ".map", ".ccp4")
MOST_MOVES = 500
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
    summary = (record and record.summary) or {}
    files = sorted(p for p in folder.iterdir() if _is_shown(p)) if folder.is_dir() else []
    return {
        "name": process.name.rstrip("/"),
        "alias": "" if process.alias == "None" else process.alias.rstrip("/").rsplit("/", 1)[-1],
        "status": process.status,
        "record": record.model_dump(mode="json") if record else None,
        "results": [
            [term(k), v] for k, v in summary.items() if not isinstance(v, dict | list | None) and k != "report"
        ],
        "previous": [n.rstrip("/") for n in pipeline.previous(process.name)],
        "next": [n.rstrip("/") for n in pipeline.following(process.name)],
        "files": [
            {"path": process.name + p.name, "name": p.name, "size": p.stat().st_size, "viewable": p.suffix in VIEWABLE}
            for p in files
        ],
        "statistics": _json_beside(folder, "refined.json"),
        "validation": _json_beside(folder, "validation.json"),
        "view": what_to_view(project, folder, record),
        "first_map": next((m["path"] for m in list_maps(project, folder) if not m["mask"]), None),
        "moves": read_moves(folder),
        "starts": what_next(project, folder, record),
        "data": data_of(project, record),
    }


def job_folder(project: Project, name: str) -> Path:
    """Folder of a job of the project."""
    return project.folder / project.find(name).name


def what_to_view(project: Project, folder: Path, record: JobRecord | None) -> dict[str, Any] | None:
    """The model of a job and the maps that belong to it, as paths in the project; None where it has no model.

    A job that judged a model shows that model, with the maps that stand beside it.
    """
    options = record.options if record else {}
    own = next((folder / n for n in OWN_MODELS if (folder / n).is_file()), None)
    given = options.get("model")
    model = own or (Path(project.folder / given) if isinstance(given, str) else None)
    if model is None or not model.is_file() or _inside(project, model) is None:
        return None
    return {"model": _inside(project, model), "maps": _maps_beside(project, folder, model, options)}


def _maps_beside(project: Project, folder: Path, model: Path, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Map coefficients, or else map files, that belong to a model: named in the options, or beside it."""
    named = [project.folder / v for k in ("map_file", "map", "half1") if isinstance(v := options.get(k), str)]
    for path in (*named, folder / "refined.mtz", model.with_name("refined.mtz")):
        inside = _inside(project, path)
        if inside is not None and path.is_file() and path.suffix == ".mtz":
            return [{"path": inside, "kind": kind} for kind in ("density", "difference")]
    for path in (folder / "refined_fo.mrc", model.with_name("refined_fo.mrc"), *named):
        inside = _inside(project, path)
        if inside is None or not path.is_file() or path.suffix not in MAP_SUFFIXES:
            continue
        maps = [{"path": inside, "kind": "file"}]
        difference = path.with_name("refined_fofc.mrc")
        if path.name == "refined_fo.mrc" and difference.is_file():
            maps.append({"path": str(Path(inside).with_name(difference.name)), "kind": "difference"})
        return maps
    return []


def _inside(project: Project, path: Path) -> str | None:
    try:
        return str(path.resolve().relative_to(project.folder.resolve()))
    except ValueError:
        return None


def read_moves(folder: Path) -> list[dict[str, Any]]:
    """Moves that a job weighed, the last `MOST_MOVES` of them, without what undoes them."""
    path = folder / "moves.jsonl"
    if not path.is_file():
        return []
    kept = ("round", "move", "kind", "residue", "why", "accepted", "reason")
    lines = path.read_text(encoding="utf-8").splitlines()[-MOST_MOVES:]
    return [{k: row[k] for k in kept if k in row} for row in map(_loads, lines)]


def list_maps(project: Project, folder: Path) -> list[dict[str, Any]]:
    """Maps of a job with what the page calls them, its own first, then the mask and half maps that it was given."""
    record = read_record(folder)
    given = [record.options.get(k) for k in ("mask", "half1", "half2", "reference")] if record else []
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    own = [p for p in there if p.suffix in MAP_SUFFIXES and _is_shown(p)]
    first = {name: k for k, name in enumerate(FIRST_MAPS)}
    own.sort(key=lambda p: (first.get(p.name, len(first)), p.name))
    others = [project.folder / v for v in given if isinstance(v, str) and Path(v).suffix in MAP_SUFFIXES]
    found = dict.fromkeys(_inside(project, p) for p in (*own, *others) if p.is_file())
    return [
        {"path": path, "name": Path(path).name, "mask": Path(path).name.startswith("mask")} for path in found if path
    ]


def read_events(folder: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Events after a byte offset into `events.jsonl`, and the offset to go on from; half-written lines wait.

    Numbers come with their names for people.
    """
    path = folder / "events.jsonl"
    if not path.is_file() or path.stat().st_size <= offset:
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    whole = data.rfind(b"\n") + 1
    return [_named(_loads(line)) for line in data[:whole].splitlines()], offset + whole


def _named(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "names": {name: term(name) for name in event["values"]}} if event["event"] == "metrics" else event


def _is_shown(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.suffix in SHOWN


def _json_beside(folder: Path, name: str) -> Any:
    path = folder / name
    return _loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _loads(text: str | bytes) -> Any:
    """JSON as Python writes it: NaN and infinities, which browsers refuse, become null."""
    return json.loads(text, parse_constant=lambda name: None)
