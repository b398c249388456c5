"""Options of `burnish validate`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from burnish.options.base import ANGPIX, JobOptions, refuse_others


class ValidateOptions(JobOptions, frozen=True):
    """Judge the geometry of a model and its fit to diffraction data or to cryo-EM maps.

    The folder gets validation.json and validation.html: Ramachandran plot, outliers, fit of each residue to its
    density, what the difference map still shows. DATA may be left out; then the geometry alone is judged. With --map,
    or --half1 and --half2, or both, and --resolution: FSC of model and map, Q-scores, EMRinger, correlations, atoms
    inside the contour. The real-space scores are of --map where there is one, else of the half maps, sharpened and
    weighted.
    """

    model: Path = Field(description="Model, mmCIF or PDB.")
    data: Path | None = Field(None, description="Measured data, MTZ or structure-factor mmCIF.")
    half1: Path | None = Field(None, description="First half map, unfiltered and unmasked.")
    half2: Path | None = Field(None, description="Second half map.")
    map: Path | None = Field(None, description="The map as it will be deposited: sharpened.")
    resolution: float | None = Field(None, gt=0.0, description="Resolution of the maps, Å.")
    angpix: float | None = Field(
        None, validation_alias=ANGPIX, gt=0.0, description="Calibrated pixel size of the maps, Å."
    )
    contour: float | None = Field(
        None, description="Recommended contour level of the map; where it holds the model's volume by default."
    )
    symmetry: str | None = Field(None, description="Point group of the map, where the model is one asymmetric unit.")
    centre: tuple[float, float, float] | None = Field(
        None, description="Where the axes meet, x y z in Å; the middle voxel (n//2) of the map by default."
    )
    cross_validation: bool = Field(
        False, description="Refine the model, shaken, against half map 1 and compare it with half map 2."
    )
    seed: int = Field(0, ge=0, description="Seed of the shaking.")
    labels: str | None = Field(None, description="Columns to take, VALUE,SIGMA; found by convention when not given.")
    free_label: str | None = Field(None, description="Column of the free flags; found by convention when not given.")
    ligand: tuple[Path, ...] = Field((), description="Restraint dictionary (CIF) of a ligand; may be given again.")
    monomers: Path | None = Field(None, description="CCP4 monomer library; CLIBD_MON or the built-in one by default.")
    twin: bool = Field(False, description="Find twin laws and fit the fractions, for R factors of twinned data.")

    @model_validator(mode="after")
    def _maps_go_together(self) -> ValidateOptions:
        if (self.half1 is None) != (self.half2 is None):
            raise ValueError("--half1 and --half2 go together; for a single map give --map")
        if self.has_maps and self.data is not None:
            raise ValueError("give DATA or maps, not both")
        if self.has_maps and self.resolution is None:
            raise ValueError("--resolution: needed with maps; take that of the post-processing")
        if self.cross_validation and self.half1 is None:
            raise ValueError("--cross-validation needs two half maps")
        if self.centre is not None and self.symmetry is None:
            raise ValueError("--centre: says where the axes of --symmetry are")
        if self.has_maps:
            refuse_others(self, ("labels", "free_label", "twin"), "is for diffraction data, not for maps")
        else:
            refuse_others(self, ("resolution", "angpix", "contour", "symmetry"), "needs maps: --half1, --half2, --map")
        return self

    @property
    def has_maps(self) -> bool:
        return self.map is not None or self.half1 is not None
