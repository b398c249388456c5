"""Options of `burnish mask`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from burnish.options.base import ANGPIX, JobOptions


class MaskOptions(JobOptions, frozen=True):
    """Make a soft solvent mask from a map, or about an atomic model on the grid of a map."""

    map: Path = Field(description="Map to threshold, or whose grid the mask of a model takes.")
    out: Path = Field(Path("mask.mrc"), description="Mask to write; a picture of it goes beside.")
    angpix: float | None = Field(
        None, validation_alias=ANGPIX, gt=0, description="Pixel size, Å, if the header's is wrong or missing."
    )
    lowpass: float = Field(15.0, ge=0, description="Low-pass the map to this resolution first, Å; 0 for none.")
    threshold: float | Literal["auto"] = Field("auto", description="Density of the seed's surface, or auto.")
    extend: float = Field(0.0, ge=-60, le=60, description="Grow the seed by this many pixels; negative shrinks it.")
    soft_edge: float = Field(6.0, ge=0, le=60, description="Width of the raised-cosine edge, pixels.")
    radius: float | None = Field(None, gt=0, description="Keep nothing beyond this distance from the centre, Å.")
    largest_only: bool = Field(False, description="Keep only the largest connected part.")
    helix_z: float | None = Field(None, gt=0, le=1, description="Keep this central fraction of z: for helices.")
    model: Path | None = Field(None, description="Atomic model: mask what is near its atoms instead of density.")
    model_radius: float = Field(3.0, gt=0, le=50, description="With --model: distance from an atom, Å.")
    invert: bool = Field(False, description="Write 1 − mask.")
    picture: bool = Field(True, description="Write a picture of the mask over the map.")
