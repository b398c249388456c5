"""Options of `burnish refine3d`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from burnish.options.base import DEVICE, JobOptions
from burnish.options.executor import ExecutorOptions


class Refine3DOptions(JobOptions, ExecutorOptions, frozen=True, extra="forbid"):
    """Refine one reference against particles, in two independent halves."""

    particles: Path | None = Field(None, description="STAR file of the particles (or CryoSPARC .cs).")
    reference: Path | None = Field(None, description="Map to start from.")
    mask_diameter: float | None = Field(None, gt=0, description="Diameter of the soft round mask on the images, Å.")
    symmetry: str = Field("C1", description="Point group: C1, C2 …, D1 …, T, O, I or I1 … I4, in RELION's settings.")
    initial_lowpass: float = Field(60.0, gt=0, description="Low-pass filter of the reference before the start, Å.")
    mask: Path | None = Field(
        None, description="Soft solvent mask for the references; else a sphere of the diameter and masks found."
    )
    find_masks: bool = Field(
        True,
        description="Without --mask: from 15 Å on, mask each half's reference by the solvent of its own map.",
    )
    absolute_greyscale: bool = Field(False, description="The reference is on the images' scale already.")
    reference_angpix: float | None = Field(
        None, gt=0, description="Pixel size of the reference, Å, if not the header's."
    )
    resize_reference: bool = Field(True, description="Resample a reference of another box or pixel size.")
    ctf_correction: bool = Field(True, description="Model the contrast transfer function.")
    reference_ctf_corrected: bool = Field(True, description="The reference has been corrected for the CTF.")
    phase_flipped: bool = Field(False, description="The images' phases have been flipped.")
    ignore_ctf_until_first_peak: bool = Field(False, description="Take the CTF as 1 up to its first peak.")
    zero_mask: bool = Field(True, description="Fill masked-away pixels with the background's mean; else with noise.")
    solvent_flattened_fsc: bool = Field(
        False, description="Report the FSC inside the mask, corrected by phase randomisation."
    )
    angular_sampling: float = Field(
        7.5, gt=0, le=30, description="Finest spacing of the global grids, °; modes follow."
    )
    local: bool = Field(
        False, description="Start from the poses in the particles' file and look about them only: local searches."
    )
    offset_range: float = Field(6.0, gt=0, description="Radius of the grid of shifts, px.")
    offset_step: float = Field(2.0, gt=0, description="Spacing of the grid of shifts, px.")
    join_halves: float = Field(40.0, ge=0, description="Halves share what is coarser than this, Å; 0 for nothing.")
    scale_correction: bool = Field(True, description="Fit the intensity scale of each group.")
    norm_correction: bool = Field(True, description="Fit the noise level of each image.")
    max_iterations: int = Field(50, ge=1, description="End after so many iterations whatever happens.")
    memory: float | None = Field(None, gt=0, description="Memory to plan with, GiB; else half of what is free.")
    chunk: int = Field(
        1024,
        ge=1,
        description="Images whose sums are made apart, which is what a worker takes at a time; at most 64 such parts "
        "of a half set. The result depends on it to rounding.",
    )
    device: str = Field("cpu", pattern=DEVICE, description="cpu, cuda, cuda:N or auto.")
    threads: int = Field(1, ge=1, description="Threads that share the work; the result does not depend on them.")
    seed: int = Field(1, ge=0, description="Seed of half sets and grids.")
    continue_from: Path | None = Field(
        None, description="run_itNNN_optimiser.star to go on from.", json_schema_extra={"flag": "continue"}
    )

    @model_validator(mode="after")
    def _has_inputs(self) -> Self:
        if self.continue_from is not None:
            return self
        for name in ("particles", "reference", "mask_diameter"):
            if getattr(self, name) is None:
                raise ValueError(f"--{name.replace('_', '-')} is missing; give it, or --continue an earlier run")
        if self.offset_step > self.offset_range:
            raise ValueError(
                f"--offset-step {self.offset_step:g} px is wider than --offset-range {self.offset_range:g} px"
            )
        return self
