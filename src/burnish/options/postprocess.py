"""Options of `burnish postprocess`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from burnish.options.base import ANGPIX, JobOptions


class PostprocessOptions(JobOptions, frozen=True):
    """Resolution and sharpened map from two unfiltered half maps."""

    half1: Path = Field(description="Either unfiltered half map; the other is found by its name.")
    half2: Path | None = Field(None, description="The other half map, where its name does not follow.")
    mask: Path = Field(Path("auto"), description="Solvent mask, or auto, or none.")
    angpix: float | None = Field(
        None, validation_alias=ANGPIX, gt=0, description="Calibrated pixel size, Å, if it differs from the header's."
    )
    mtf: Path | None = Field(None, description="STAR file with the MTF of the detector, to divide by.")
    mtf_angpix: float | None = Field(None, gt=0, description="Pixel size of the micrographs (of the MTF), Å.")
    bfactor: float | Literal["auto"] = Field("auto", description="B factor to apply, Å², negative sharpens; or auto.")
    autob_lowres: float = Field(10.0, gt=0, description="Fit B from this resolution on, Å.")
    autob_highres: float = Field(0.0, ge=0, description="Fit B up to this resolution, Å; 0 for Nyquist.")
    fsc_weighting: bool = Field(True, description="Weight shells by their FSC.")
    lowpass: float | None = Field(None, gt=0, description="Low-pass the map, Å; without weighting: its resolution.")
    force_mask: bool = Field(False, description="Use the mask even where it makes the resolution worse.")
    half_maps: bool = Field(False, description="Write both half maps sharpened the same way, too.")
    float16: bool = Field(False, description="Write maps as float16 (mode 12).")
    seed: int = Field(1, ge=0, description="Seed of the random phases.")

    @model_validator(mode="after")
    def _mtf_goes_with_its_pixel(self) -> Self:
        if self.mtf_angpix is not None and self.mtf is None:
            raise ValueError("--mtf-angpix is given without --mtf")
        if self.autob_highres > 0 and self.autob_highres >= self.autob_lowres:
            raise ValueError("--autob-highres must be finer than --autob-lowres")
        return self
