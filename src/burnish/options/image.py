"""Options of `burnish image`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from burnish.options.base import ANGPIX, JobOptions


class ImageOptions(JobOptions, frozen=True):
    """Filter, rescale, crop, pad, invert, shift or symmetrise a map or an image stack."""

    input: Path = Field(description="Map, or stack (.mrcs).")
    out: Path = Field(description="Map or stack to write.")
    angpix: float | None = Field(
        None, validation_alias=ANGPIX, gt=0, description="Pixel size of the input, Å, if the header's is wrong."
    )
    rescale_angpix: float | None = Field(None, gt=0, description="Resample to this pixel size, exactly, Å.")
    new_box: int | None = Field(None, ge=2, le=4096, description="Box after that, pixels.")
    lowpass: float | None = Field(None, gt=0, description="Low-pass at this resolution, Å.")
    highpass: float | None = Field(None, gt=0, description="High-pass at this resolution, Å.")
    bfactor: float | None = Field(None, description="Multiply by exp(−B s²/4), Å²; negative sharpens.")
    invert: bool = Field(False, description="Reverse the contrast.")
    flip_hand: bool = Field(False, description="Reverse the hand: z of a map, x of images.")
    shift_x: float = Field(0.0, description="Move the content along x, pixels.")
    shift_y: float = Field(0.0, description="Move the content along y, pixels.")
    shift_z: float = Field(0.0, description="Move the content along z, pixels.")
    symmetry: str = Field("C1", description="Average a map over this point group.")
    float16: bool = Field(False, description="Write float16 (mode 12).")
    stack: bool | None = Field(None, description="Whether the input is a stack; else told by its name (.mrcs).")
