"""Options of `burnish ctfrefine`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from burnish.options.base import DEVICE, JobOptions

Unit = Literal["particle", "micrograph", "no"]


class CtfRefineOptions(JobOptions, frozen=True):
    """Measure defocus, aberrations and magnification from refined particles and their own half map."""

    particles: Path = Field(description="STAR file of a refinement (run_data.star).")
    postprocess: Path = Field(description="postprocess.star: names half maps and mask, and holds the FSC.")
    half1: Path | None = Field(None, description="Unfiltered half map 1, if another than postprocess.star names.")
    half2: Path | None = Field(None, description="Unfiltered half map 2, if another than postprocess.star names.")
    mask: Path | None = Field(None, description="Solvent mask, if another than postprocess.star names.")
    min_resolution: float = Field(30.0, gt=0, description="Use only data finer than this, Å.")
    defocus: Unit = Field("particle", description="Fit defocus for each particle, one for a micrograph, or not.")
    defocus_range: float = Field(2000.0, gt=0, le=50000, description="Largest change of defocus to search, Å.")
    defocus_spread: float | None = Field(
        None, gt=0, description="Spread of the particles' defocus about their micrograph, Å; else from the data."
    )
    astigmatism: Unit = Field("no", description="Fit astigmatism.")
    phase_shift: Unit = Field("no", description="Fit the phase shift of a phase plate.")
    bfactor: Unit = Field("no", description="Fit a B factor and scale.")
    beam_tilt: bool = Field(False, description="Fit beam tilt, for each optics group.")
    trefoil: bool = Field(False, description="Fit trefoil, for each optics group.")
    fourth_order: bool = Field(False, description="Fit Cs, tetrafoil and the other symmetric terms up to 4th order.")
    magnification: bool = Field(False, description="Fit anisotropic magnification; alone, all other fits off.")
    beam_shift_groups: bool = Field(
        False, description="Split the optics groups by the beam-shift position in the micrograph names (EPU, SerialEM)."
    )
    beam_shifts: Path | None = Field(
        None,
        description="Text file with micrograph, beam shift x and y in each line: split the optics groups by it.",
    )
    device: str = Field("cpu", pattern=DEVICE, description="cpu, cuda, cuda:N or auto.")
    threads: int = Field(1, ge=1, le=256, description="CPU threads.")
    max_memory: float = Field(2.0, ge=0, description="Memory for images kept between passes, GiB.")

    @model_validator(mode="after")
    def _something_to_fit(self) -> Self:
        aberrations = self.beam_tilt or self.trefoil or self.fourth_order
        if self.magnification and aberrations:
            raise ValueError(
                "--magnification is fitted alone: with aberrations the fit is unstable; run it first, then the others"
            )
        if self.beam_shift_groups and self.beam_shifts is not None:
            raise ValueError("--beam-shift-groups and --beam-shifts are two ways to split the optics groups; give one")
        others = (self.defocus, self.astigmatism, self.phase_shift, self.bfactor)
        if not self.magnification and not aberrations and all(o == "no" for o in others):
            raise ValueError("nothing to fit: all of --defocus, --beam-tilt, --trefoil, … are off")
        return self
