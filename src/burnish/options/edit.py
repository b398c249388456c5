"""Options of `burnish edit`, and the commands that a person gives on the page or in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from burnish.options.base import JobOptions

Tool = Literal[
    "refine", "flip", "next rotamer", "best rotamer", "chi", "drag", "move", "fit rigid body", "mutate",
    "add terminal residue", "rebuild loop", "build gap", "fit ligand", "add water", "delete", "undo", "redo", "look",
    "cancel",
]  # fmt: skip
Triple = tuple[float, float, float]


class EditOptions(JobOptions, frozen=True):
    """Change a model by hand: the commands of a file, or on the page a click at a time.

    The folder gets rebuilt.cif, journal.jsonl (every edit with the atoms before and after it), moves.jsonl and
    moves.html.
    """

    model: Path = Field(description="Model, mmCIF or PDB.")
    map_file: Path = Field(description="Map coefficients (MTZ, as refinement writes them) or a map (MRC, CCP4).")
    commands: Path | None = Field(None, description="File of commands, one JSON object a line.")
    ligand: tuple[Path, ...] = Field((), description="Restraint dictionary (CIF) of a ligand; may be given again.")
    monomers: Path | None = Field(None, description="CCP4 monomer library; CLIBD_MON or the built-in one by default.")


class HandCommand(BaseModel, frozen=True, extra="forbid"):
    """One thing to do to a model."""

    tool: Tool
    chain: str = Field("", description="Of the residue.")
    number: str = Field("", description="Of the residue, with its insertion code.")
    altloc: str = ""
    extent: Literal["residue", "zone", "sphere", "chain", "all"] = Field(
        "zone", description="What is refined or moved."
    )
    atom: str = Field("", description="Atom to drag or delete.")
    name: str = Field("", max_length=8, description="Component to mutate to, add or fit.")
    xyz: Triple | None = Field(None, description="Where to, Å: of the dragged atom, the water, the ligand.")
    shift: Triple = Field((0.0, 0.0, 0.0), description="Of a rigid body, Å.")
    turn_deg: Triple = Field((0.0, 0.0, 0.0), description="Rotation vector of a rigid body, °.")
    chi_deg: tuple[float, ...] = Field((), max_length=5, description="Side-chain torsions, °.")
    size: int = Field(3, ge=3, le=9, description="Residues of a loop.")
    what: Literal["residue", "side chain", "atom"] = Field("residue", description="What is deleted.")
    commit: bool = Field(True, description="False while a hand still moves: shown, not yet done.")
