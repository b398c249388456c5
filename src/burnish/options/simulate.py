"""Options of `burnish simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from burnish.options.base import ANGPIX, JobOptions


class SimulateOptions(JobOptions, frozen=True):
    """Particle images of a model or a map, with the truth in files of their own."""

    source: Path = Field(description="Atomic model (mmCIF, PDB) or map (MRC).")
    out: Path = Field(description="Prefix: PREFIX.mrcs, PREFIX_particles.star, PREFIX_truth.star, PREFIX_map.mrc.")
    particles: int = Field(400, ge=1, description="Number of particles.")
    micrographs: int = Field(20, ge=1, description="Number of micrographs.")
    box: int | None = Field(None, ge=16, le=1024, description="Box of the images, pixels; of a map: its own.")
    angpix: float | None = Field(None, validation_alias=ANGPIX, gt=0, description="Pixel size, Å; of a map: its own.")
    b_factor: float | None = Field(None, ge=0, description="One B for all atoms, Å²; else those of the model.")
    chains: tuple[str, ...] = Field((), description="Chains of the model to take; all if none is named.")
    centre: bool = Field(True, description="Put the middle of the atoms in the middle of the box; else the origin.")
    diameter: float | None = Field(None, gt=0, description="Of the particle, Å; else 80 % of the box.")
    kv: float = Field(300.0, ge=20, le=1500, description="Voltage, kV.")
    cs: float = Field(2.7, ge=0, description="Spherical aberration, mm.")
    q0: float = Field(0.1, ge=0, lt=1, description="Amplitude contrast.")
    preferred: float = Field(0.0, ge=0, le=1, description="Share of particles that lie in one preferred view.")
    preferred_spread_deg: float = Field(12.0, ge=0, description="Spread of the preferred view, °.")
    shift_px: float = Field(2.0, ge=0, description="Standard deviation of the shifts, pixels.")
    defocus: tuple[float, float] = Field((8000.0, 25000.0), description="Lowest and highest defocus, Å.")
    defocus_spread: float = Field(150.0, ge=0, description="Spread of particles about their micrograph, Å.")
    astigmatism: float = Field(400.0, ge=0, description="Largest astigmatism, Å.")
    optics_groups: int = Field(1, ge=1, description="Number of optics groups.")
    beam_tilt: tuple[float, float] = Field((0.0, 0.0), description="Beam tilt x y, mrad; its sign alternates by group.")
    odd_zernike: str = Field("", description="Antisymmetric aberrations, rad, in RELION's order: 0.3,-0.2,1.")
    even_zernike: str = Field("", description="Symmetric aberrations, rad, in RELION's order.")
    magnification: tuple[float, float, float, float] = Field((1, 0, 0, 1), description="Anisotropic, row by row.")
    scale_spread: float = Field(0.15, ge=0, lt=1, description="Intensity of micrographs: 1 ± this.")
    snr: float = Field(0.1, ge=0, description="Signal to noise variance in the particle's circle; 0 for no noise.")
    coloured: float = Field(0.1, ge=0, lt=1, description="Share of the noise power below 25 Å.")
    dose: float = Field(0.0, ge=0, description="Exposure whose damage dims high resolution, e⁻/Å².")
    with_poses: bool = Field(False, description="Write true poses into the particles, for CTF refinement.")
    defocus_error: float = Field(0.0, ge=0, description="Error put into the given defocus values, Å.")
    seed: int = Field(1, ge=0, description="Seed of everything random.")

    @model_validator(mode="after")
    def _numbers_go_together(self) -> Self:
        if self.defocus[0] > self.defocus[1]:
            raise ValueError(f"--defocus {self.defocus[0]:g} {self.defocus[1]:g}: the lower value comes first")
        if self.micrographs > self.particles:
            raise ValueError(f"--micrographs {self.micrographs} for --particles {self.particles}: some would be empty")
        if self.optics_groups > self.micrographs:
            raise ValueError(f"--optics-groups {self.optics_groups} for --micrographs {self.micrographs}")
        for text in (self.odd_zernike, self.even_zernike):
            numbers(text)
        return self


def numbers(text: str) -> tuple[float, ...]:
    """Numbers of a list such as 0.3,-0.2 or [0.3,-0.2]."""
    try:
        return tuple(float(x) for x in text.strip("[] ").split(",") if x.strip())
    except ValueError:
        raise ValueError(f"'{text}': expected numbers with commas between them, as 0.3,-0.2") from None
