"""Options of `burnish fit`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from burnish.options.base import ANGPIX, JobOptions


class FitOptions(JobOptions, frozen=True):
    """Place a model in a map as a rigid body.

    Searches all orientations and positions, or climbs from where the model stands (--local). The folder gets
    fitted.cif, fitted.pdb and fit.json with the best places in order; two of nearly the same correlation mean
    symmetry, or doubt.
    """

    model: Path = Field(description="Model, mmCIF or PDB.")
    map: Path = Field(description="Map, MRC or CCP4.")
    resolution: float = Field(gt=0.0, description="Resolution of the map, Å.")
    local: bool = Field(False, description="Only climb from where the model stands.")
    search_resolution: float | None = Field(
        None,
        gt=0.0,
        description="Resolution of the search, Å; by default twice the map's, at least 8 and a third of the radius.",
    )
    step_deg: float | None = Field(None, gt=0.0, le=45.0, description="Step between orientations, °; automatic.")
    candidates: int = Field(40, ge=1, le=1000, description="Places of the search that climb.")
    angpix: float | None = Field(
        None, validation_alias=ANGPIX, gt=0.0, description="Calibrated pixel size of the map, Å."
    )

    @model_validator(mode="after")
    def _search_is_coarser(self) -> FitOptions:
        if self.search_resolution is not None and self.search_resolution < self.resolution:
            raise ValueError(
                f"--search-resolution {self.search_resolution:g}: finer than --resolution {self.resolution:g}; "
                "expected coarser, by default twice that"
            )
        return self
