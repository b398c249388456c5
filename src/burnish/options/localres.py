"""Options of `burnish localres`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from burnish.options.base import ANGPIX, JobOptions


class LocalResOptions(JobOptions, frozen=True):
    """Local and directional resolution of two half maps, and a map filtered by it."""

    half1: Path = Field(description="Either unfiltered half map; the other is found by its name.")
    half2: Path | None = Field(None, description="The other half map, where its name does not follow.")
    mask: Path | None = Field(None, description="Measure inside this mask only.")
    angpix: float | None = Field(
        None, validation_alias=ANGPIX, gt=0, description="Calibrated pixel size, Å, if it differs from the header's."
    )
    step: float = Field(15.0, gt=0, description="Distance between sphere centres, Å.")
    radius: float = Field(12.5, gt=0, description="Radius of the sphere, Å.")
    edge: float = Field(25.0, ge=0, description="Width of the sphere's soft edge, Å.")
    randomise_from: float = Field(25.0, gt=0, description="Randomise phases from this resolution on, Å.")
    worst: float = Field(50.0, gt=0, description="Coarsest resolution to report, Å.")
    bfactor: float = Field(0.0, description="B factor of the locally filtered map, Å², negative sharpens.")
    cone: float = Field(20.0, gt=1, lt=90, description="Half angle of the cones of the directional FSC, °.")
    directional: bool = Field(True, description="Measure the directional FSC, too.")
    seed: int = Field(1, ge=0, description="Seed of the random phases.")
