"""Options of `burnish validate`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from burnish.options.base import JobOptions


class ValidateOptions(JobOptions, frozen=True):
    """Judge the geometry of a model and its fit to diffraction data.

    The folder gets validation.json and validation.html: Ramachandran plot, outliers, fit of each residue to its
    density, what the difference map still shows. DATA may be left out; then the geometry alone is judged.
    """

    model: Path = Field(description="Model, mmCIF or PDB.")
    data: Path | None = Field(None, description="Measured data, MTZ or structure-factor mmCIF.")
    labels: str | None = Field(None, description="Columns to take, VALUE,SIGMA; found by convention when not given.")
    free_label: str | None = Field(None, description="Column of the free flags; found by convention when not given.")
    ligand: tuple[Path, ...] = Field((), description="Restraint dictionary (CIF) of a ligand; may be given again.")
    monomers: Path | None = Field(None, description="CCP4 monomer library; CLIBD_MON or the built-in one by default.")
    twin: bool = Field(False, description="Find twin laws and fit the fractions, for R factors of twinned data.")
