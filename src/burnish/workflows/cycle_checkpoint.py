"""What a cycle leaves after each round so that it can go on: in each round's folder its model before and after
refinement in full precision, at the top where the cycle stands."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from burnish.core.errors import DataError
from burnish.core.events import Message
from burnish.io.atomic import write_aside, write_text
from burnish.io.models import atoms_of, with_atoms
from burnish.jobs.folder import Job
from burnish.jobs.record import hash_file
from burnish.models.refinement import RefinementState, state_arrays
from burnish.options.rebuild import CycleOptions
from burnish.rebuild.memory import Memory, memory_from_record
from burnish.rebuild.rounds import RoundQuality

STANDING = "cycle_checkpoint.json"
ROUND = "checkpoint.npz"
_FIELDS = ("xyz", "b_iso", "u_aniso", "is_aniso", "occ")


@dataclass(slots=True)
class Standing:
    """Where a cycle stands.

    Attributes
    ----------
    qualities : of each round that is done.
    lines : moves of all rounds.
    memory : what rounds have tried.
    warnings : that were given.
    asked : what the cycle was asked to do and with which inputs; another request starts anew.
    displacement : options of refinement that the choice of a displacement model has set; empty before it.
    """

    qualities: list[RoundQuality]
    lines: list[dict[str, Any]]
    memory: Memory
    warnings: list[str]
    asked: dict[str, Any]
    displacement: dict[str, str] = field(default_factory=dict)


def request(options: CycleOptions) -> dict[str, Any]:
    """What is asked, without where it goes, how long it goes on and what judges its end; inputs by their content."""
    asked = options.model_dump(mode="json", exclude={"out", "rounds", "rcomplete", "paired"})
    files = (options.model, options.data, options.half1, options.half2, options.map, options.sequence)
    return {**asked, "inputs": [hash_file(path).sha256 for path in files if path is not None]}


def round_folder(folder: Path, number: int) -> Path:
    """Folder of one round."""
    return folder / f"round_{number:02d}"


def standing_in(job: Job, asked: dict[str, Any]) -> Standing | None:
    """Where an earlier run of the same request stood in a job's folder; None to start anew."""
    if not job.path(STANDING).exists():
        return None
    standing = read_standing(job.path(STANDING))
    if standing.asked != asked:
        job.notify(Message(f"{job.folder}: holds a cycle of other inputs or options; this one starts anew"))
        return None
    return standing


def write_round_checkpoint(folder: Path, before: gemmi.Structure, state: RefinementState) -> None:
    """Write the model that a round refined and the refinement's last state."""
    _write_arrays(
        folder, {**_model_arrays(before), **{f"state_{n}": array for n, array in state_arrays(state).items()}}
    )


def read_round_checkpoint(folder: Path) -> tuple[gemmi.Structure, dict[str, np.ndarray]]:
    """The model that a round refined, and the arrays of its last state."""
    structure, arrays = _read_arrays(folder)
    return structure, {n.removeprefix("state_"): array for n, array in arrays.items() if n.startswith("state_")}


def write_model_checkpoint(folder: Path, structure: gemmi.Structure) -> None:
    """Write a model alone, in full precision."""
    _write_arrays(folder, _model_arrays(structure))


def read_model_checkpoint(folder: Path) -> gemmi.Structure:
    """The model that `write_model_checkpoint` wrote."""
    return _read_arrays(folder)[0]


def _model_arrays(structure: gemmi.Structure) -> dict[str, np.ndarray]:
    atoms = atoms_of(structure)
    arrays = {f"before_{name}": getattr(atoms, name).numpy() for name in _FIELDS}
    text = structure.make_mmcif_document().as_string()
    return {**arrays, "before": np.frombuffer(text.encode(), dtype=np.uint8)}


def _write_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    with write_aside(folder / ROUND) as aside, aside.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _read_arrays(folder: Path) -> tuple[gemmi.Structure, dict[str, np.ndarray]]:
    path = folder / ROUND
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.array(file[name]) for name in file.files}
        structure = gemmi.make_structure_from_block(gemmi.cif.read_string(bytes(arrays["before"]).decode())[0])
        structure.setup_entities()
        atoms = atoms_of(structure)
        if len(atoms) != len(arrays["before_xyz"]):
            raise ValueError(f"{len(arrays['before_xyz'])} positions for {len(atoms)} atoms")
        for name in _FIELDS:
            getattr(atoms, name).numpy()[...] = arrays[f"before_{name}"]
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise DataError(f"{path}: is no checkpoint of a round ({error}); start the cycle anew") from None
    return with_atoms(structure, atoms), arrays


def write_standing(path: Path, standing: Standing) -> None:
    """Write where a cycle stands; the last thing of a round, so that it speaks of complete rounds only."""
    record = {
        "qualities": [asdict(q) for q in standing.qualities],
        "lines": standing.lines,
        "memory": standing.memory.as_record(),
        "warnings": standing.warnings,
        "asked": standing.asked,
        "displacement": standing.displacement,
    }
    write_text(path, json.dumps(record, ensure_ascii=False) + "\n")


def read_standing(path: Path) -> Standing:
    """Where a cycle stood."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return Standing(
            qualities=[RoundQuality(**q) for q in record["qualities"]],
            lines=record["lines"],
            memory=memory_from_record(record["memory"]),
            warnings=record["warnings"],
            asked=record["asked"],
            displacement=record["displacement"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: does not tell where the cycle stood ({error}); start it anew") from None
