"""`burnish undo`: a model without some of the moves that made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from burnish.core.errors import DataError, InputError
from burnish.core.events import Message
from burnish.io.atomic import write_text
from burnish.io.model_writer import write_changed_cif
from burnish.io.models import read_model
from burnish.jobs.folder import Job
from burnish.options.undo import UndoOptions
from burnish.rebuild.atom_rows import AtomRow
from burnish.rebuild.undo import Recorded, take_back

MODELS = ("refined.cif", "rebuilt.cif")


def run(options: UndoOptions, job: Job) -> dict[str, Any]:
    """Read the records, take the moves back, write."""
    lines = _read_moves(options.job / "moves.jsonl")
    listed = options.job / "undone.json"
    earlier = [] if options.fresh or not listed.is_file() or options.model else json.loads(listed.read_text())["moves"]
    wanted = list(dict.fromkeys([*earlier, *options.moves]))
    for name in wanted:
        _check(name, lines, options.job)
    order = [name for name in lines if name in wanted]
    source = options.model or _model_of(options.job)
    model = read_model(source)
    moves = [_recorded(lines[name]) for name in order]
    structure, lost = take_back(model.structure, moves)
    warnings = [*_later_moves(order, lines), *(f"{name} is not in the model; left out" for name in lost)]
    for text in warnings:
        job.notify(Message(text, "warning"))
    out = options.out or options.job / "undone.cif"
    write_changed_cif(out, model, structure)
    if options.model is None:
        write_text(listed, json.dumps({"moves": order}) + "\n")
    return {"model": str(out), "from": str(source), "taken_back": order, "warnings": warnings}


def _read_moves(path: Path) -> dict[str, dict[str, Any]]:
    """Moves by name, in the order in which they were made."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; name the folder of a rebuild or cycle job")
    found = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            line = json.loads(text)
            found[f"{line['round']}.{line['move']}"] = line
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{path}: line {number} is no record of a move; the file is damaged") from None
    return found


def _check(name: str, lines: dict[str, dict[str, Any]], folder: Path) -> None:
    if name not in lines:
        raise InputError(f"move {name}: not in {folder / 'moves.jsonl'}; moves.html lists them as ROUND.MOVE")
    if not lines[name]["accepted"]:
        raise InputError(f"move {name}: was not accepted, so there is nothing to take back")
    rounds = folder / "rounds.json"
    if rounds.is_file():
        best = next((r["round"] for r in json.loads(rounds.read_text()) if r.get("best")), None)
        if best is not None and lines[name]["round"] > best:
            raise InputError(
                f"move {name}: the model that was kept is that of round {best}, before this move; "
                f"give --model {folder}/round_{lines[name]['round']:02d}/refined.cif to take it out of that"
            )


def _model_of(folder: Path) -> Path:
    for name in MODELS:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder}: neither {' nor '.join(MODELS)} there; give --model")


def _recorded(line: dict[str, Any]) -> Recorded:
    removed = tuple(
        AtomRow(**{**row, "xyz": tuple(row["xyz"]), "u_aniso": tuple(row["u_aniso"])})
        for row in line.get("removed", ())
    )
    moved = tuple((name, tuple(position)) for name, position in line["undo"])
    return Recorded(added=tuple(line.get("added", ())), removed=removed, moved=moved)


def _later_moves(order: list[str], lines: dict[str, dict[str, Any]]) -> list[str]:
    """Accepted moves after those that are taken back, of the same atoms, which stay."""
    names = list(lines)
    found = []
    for name in order:
        touched = _recorded(lines[name]).names
        for later in names[names.index(name) + 1 :]:
            same = lines[later]["accepted"] and later not in order and touched & _recorded(lines[later]).names
            if same:
                found.append(
                    f"move {later} changed some of the same atoms after {name}; look at it, or take it back too"
                )
    return found
