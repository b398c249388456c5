"""Options of `burnish refine`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from burnish.options.base import JobOptions


class RefineOptions(JobOptions, frozen=True, extra="forbid"):
    """Refine an atomic model against diffraction data.

    MODEL is mmCIF or PDB, DATA is MTZ or structure-factor mmCIF with amplitudes or intensities. The folder gets
    refined.cif, refined.pdb, refined.mtz (maps that Coot opens by itself), refined.json, report.html and run.log.
    """

    model: Path = Field(description="Model, mmCIF or PDB.")
    data: Path = Field(description="Measured data, MTZ or structure-factor mmCIF.")

    # what to take from the data
    labels: str | None = Field(
        None, description="Columns to take, VALUE,SIGMA or the four of ± pairs; found by convention when not given."
    )
    free_label: str | None = Field(None, description="Column of the free flags; found by convention when not given.")
    free_value: float | None = Field(None, description="Value that marks free reflections; told by the numbers.")
    new_free_flags: bool = Field(False, description="Make new free flags although the data have some.")
    require_free: bool = Field(False, description="Refuse data without free flags instead of making some.")
    data_block: str | None = Field(None, description="Data block of a structure-factor mmCIF; the first by default.")
    d_min: float = Field(0.0, ge=0.0, description="High-resolution limit, Å; 0 for all data.")
    d_max: float = Field(0.0, ge=0.0, description="Low-resolution limit, Å; 0 for all data.")
    radiation: Literal["xray", "electron", "neutron"] = Field("xray", description="What was diffracted.")

    # what is known of the chemistry
    ligand: tuple[Path, ...] = Field((), description="Restraint dictionary (CIF) of a ligand; may be given again.")
    monomers: Path | None = Field(None, description="CCP4 monomer library; CLIBD_MON or the built-in one by default.")
    smiles: tuple[str, ...] = Field((), description="NAME=SMILES of a component that no dictionary knows.")
    hydrogens: Literal["add", "keep", "remove"] = Field("add", description="Riding hydrogens: place, keep, or drop.")
    write_hydrogens: Literal["as-input", "yes", "no"] = Field("as-input", description="Hydrogens in the output.")

    # how to refine
    cycles: int = Field(10, ge=0, le=1000, description="Number of cycles; 0 only scores the model.")
    target: Literal["ml", "intensity", "phased", "ls"] = Field(
        "ml",
        description="Maximum likelihood on amplitudes, on intensities, with experimental phases (Hendrickson-Lattman "
        "coefficients), or least squares.",
    )
    weight: float | None = Field(
        None, gt=0.0, description="Weight of the data against geometry; automatic if not given."
    )
    adp: Literal["auto", "iso", "aniso", "fixed"] = Field("auto", description="Displacement parameters to refine.")
    positions: bool = Field(True, description="Refine positions.")
    occupancies: bool = Field(True, description="Refine occupancies of alternate conformers.")
    ncs: Literal["auto", "on", "off"] = Field("auto", description="Restraints between copies of a chain.")
    jelly_body: float | None = Field(None, ge=0.0, description="σ of jelly-body restraints, Å; 0 off, else automatic.")
    tls: str = Field("none", description="TLS groups: none, auto (by chain), or a file in REFMAC's or phenix' format.")
    rigid_body: int = Field(0, ge=0, description="Cycles that move chains as rigid bodies before the others.")
    twin: bool = Field(False, description="Find twin laws and refine the fractions.")

    # how to run and write
    continue_from: Path | None = Field(None, description="Checkpoint (checkpoint.npz) of a run to go on with.")
    map_labels: Literal["ccp4", "phenix"] = Field("ccp4", description="Names of the map columns in refined.mtz.")
    seed: int = Field(0, ge=0, description="Seed of everything random (new free flags).")
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?|auto)$", description="cpu, cuda, cuda:N or auto.")

    @field_validator("labels")
    @classmethod
    def _two_or_four_labels(cls, value: str | None) -> str | None:
        if value is not None and len([p for p in value.split(",") if p.strip()]) not in (1, 2, 4):
            raise ValueError("VALUE,SIGMA or VALUE+,SIGMA+,VALUE-,SIGMA- expected")
        return value

    @field_validator("smiles")
    @classmethod
    def _named_smiles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            name, equals, text = item.partition("=")
            if not (name and equals and text):
                raise ValueError(f"NAME=SMILES expected, found {item}")
        return value

    @model_validator(mode="after")
    def _limits_in_order(self) -> RefineOptions:
        if self.d_max and self.d_min >= self.d_max:
            raise ValueError(f"--d-min {self.d_min:g} must be smaller than --d-max {self.d_max:g}")
        return self
