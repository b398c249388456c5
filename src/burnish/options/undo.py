"""Options of `burnish undo`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class UndoOptions(BaseModel, frozen=True, extra="forbid"):
    """Take recorded moves of `burnish rebuild` or `burnish cycle` back and write the model without them.

    Moves are named as moves.html names them, ROUND.MOVE. The model goes to undone.cif in the job's folder; moves that
    were taken back before stay taken back (undone.json lists them). Refine the model afterwards.
    """

    job: Path = Field(description="Folder of the job.")
    moves: tuple[str, ...] = Field(description="Moves to take back, as 1.3.")
    model: Path | None = Field(None, description="Model to take them out of; the job's own by default.")
    out: Path | None = Field(None, description="Where the model goes; undone.cif in the job's folder by default.")
    fresh: bool = Field(False, description="Forget what was taken back before.")
