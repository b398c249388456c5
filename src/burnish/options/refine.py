"""Options of `burnish refine`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from burnish.options.base import ANGPIX, DEVICE, JobOptions, refuse_others

MAPS_ONLY = (  # what only a refinement against maps takes
    "half1",
    "half2",
    "map",
    "resolution",
    "angpix",
    "mask_radius",
    "mask",
    "cross_validation",
    "flexible",
    "reference",
    "symmetry",
    "twist_deg",
    "rise",
    "centre",
    "closeness",
)
CRYSTALS_ONLY = (  # what only a refinement against diffraction data takes
    "labels",
    "free_label",
    "free_value",
    "new_free_flags",
    "require_free",
    "data_block",
    "d_min",
    "d_max",
    "target",
    "wavelength",
    "dispersion",
    "twin",
    "uncertainties",
)


class RefineOptions(JobOptions, frozen=True, extra="forbid"):
    """Refine an atomic model against diffraction data, or against cryo-EM half maps.

    MODEL is mmCIF or PDB, DATA is MTZ or structure-factor mmCIF with amplitudes or intensities. The folder gets
    refined.cif, refined.pdb, refined.mtz (maps that Coot opens by itself), refined.json, report.html and run.log.
    With --half1 and --half2 (or --map) and --resolution in place of DATA the model is refined against them.
    """

    model: Path = Field(description="Model, mmCIF or PDB.")
    data: Path | None = Field(None, description="Measured data, MTZ or structure-factor mmCIF.")

    # cryo-EM maps in place of diffraction data
    half1: Path | None = Field(None, description="First half map, unfiltered and unmasked.")
    half2: Path | None = Field(None, description="Second half map.")
    map: Path | None = Field(None, description="A single map, where there are no half maps.")
    resolution: float | None = Field(None, gt=0.0, description="Resolution to refine to, Å; needed with maps.")
    angpix: float | None = Field(
        None, validation_alias=ANGPIX, gt=0.0, description="Calibrated pixel size of the maps, Å."
    )
    mask_radius: float = Field(3.0, gt=0.0, le=20.0, description="Density within this of the model counts, Å.")
    mask: Path | None = Field(None, description="Mask on the grid of the maps, in place of one about the model.")
    cross_validation: bool = Field(False, description="Refine against half map 1 as well, and judge by half map 2.")
    flexible: float | None = Field(
        None,
        gt=0.0,
        description="For domains that have moved: begin at this resolution, Å, with chains as rigid bodies and then a "
        "jelly body, and come down to --resolution.",
    )
    reference: Path | None = Field(
        None,
        description="Better model of the same molecule (same chains and numbers): local distances are kept like it.",
    )

    secondary_structure: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Hold the hydrogen bonds and torsions of the model's helices and strands; auto: against maps "
        "beyond 3.5 Å.",
    )

    symmetry: str | None = Field(
        None, description="Point group of the map (C5, D2, T, O, I …); the model is one asymmetric unit."
    )
    twist_deg: float | None = Field(None, description="Helical twist from one subunit to the next, °; with --rise.")
    rise: float | None = Field(None, description="Helical rise along z, Å.")
    centre: tuple[float, float, float] | None = Field(
        None, description="Where the axes meet, x y z in Å; the middle voxel (n//2) of the map by default."
    )

    predicted: bool = Field(
        False, description="The model is a prediction: B is pLDDT and becomes B, residues below 50 are left out."
    )

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
    target: Literal["ml", "intensity", "phased", "anomalous", "ls"] = Field(
        "ml",
        description="Maximum likelihood on amplitudes, on intensities, with experimental phases (Hendrickson-Lattman "
        "coefficients), on Bijvoet pairs, or least squares.",
    )
    wavelength: float | None = Field(
        None, gt=0.0, le=10.0, description="Wavelength, Å, for f′ and f″; from the data for the anomalous target."
    )
    dispersion: tuple[str, ...] = Field((), description="ELEMENT,f′,f″ as measured, e⁻; may be given again.")
    weight: float | None = Field(
        None, gt=0.0, description="Weight of the data against geometry; automatic if not given."
    )
    closeness: float = Field(
        1.0,
        ge=0.05,
        le=5.0,
        description="Half maps: how closely to follow their mean. Below 1 a factor on the automatic weight: tighter "
        "geometry and less fitted noise. Beyond 1 B and positions are held less, too: with 3 to 5 noisy half maps are "
        "followed as by other programs, to correlations beyond what a model without errors would have.",
    )
    adp: Literal["auto", "iso", "aniso", "fixed"] = Field("auto", description="Displacement parameters to refine.")
    positions: bool = Field(True, description="Refine positions.")
    occupancies: bool = Field(True, description="Refine occupancies of alternate conformers.")
    ncs: Literal["auto", "on", "off"] = Field("auto", description="Restraints between copies of a chain.")
    jelly_body: float | None = Field(None, ge=0.0, description="σ of jelly-body restraints, Å; 0 off, else automatic.")
    ramachandran: float = Field(
        0.0,
        ge=0.0,
        description="Weight of restraints on φ and ψ; 0 for none, so that the Ramachandran plot stays a check of its "
        "own; 2 to 5 where data at 3 Å and worse leave the backbone open.",
    )
    chi: float = Field(
        0.0, ge=0.0, description="Weight of restraints on the torsions of side chains, as --ramachandran on φ and ψ."
    )
    tls: str = Field(
        "none",
        description="TLS groups: none, auto (by chain), or a file: REFMAC's TLS and RANGE, or phenix' selections.",
    )
    rigid_body: int = Field(0, ge=0, description="Cycles that move chains as rigid bodies before the others.")
    rigid_domains: int | None = Field(
        None,
        ge=0,
        description="Cycles after those that move the domains of chains as rigid bodies, found from the contacts "
        "within each chain; as many as of whole chains unless given.",
    )
    twin: bool = Field(False, description="Find twin laws and refine the fractions.")

    # how to run and write
    continue_from: Path | None = Field(None, description="Checkpoint (checkpoint.npz) of a run to go on with.")
    uncertainties: bool = Field(False, description="Write standard uncertainties of positions and B into refined.cif.")
    map_labels: Literal["ccp4", "phenix"] = Field("ccp4", description="Names of the map columns in refined.mtz.")
    seed: int = Field(0, ge=0, description="Seed of everything random (new free flags).")
    device: str = Field("cpu", pattern=DEVICE, description="cpu, cuda, cuda:N or auto.")

    @field_validator("labels")
    @classmethod
    def _two_or_four_labels(cls, value: str | None) -> str | None:
        if value is not None and len([p for p in value.split(",") if p.strip()]) not in (1, 2, 4):
            raise ValueError("VALUE,SIGMA or VALUE+,SIGMA+,VALUE-,SIGMA- expected")
        return value

    @field_validator("dispersion")
    @classmethod
    def _named_dispersion(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            parts = item.split(",")
            if len(parts) != 3 or not all(_is_number(p) for p in parts[1:]):
                raise ValueError(f"ELEMENT,f′,f″ expected (as Se,-8.1,4.5), found {item}")
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
    def _one_kind_of_data(self) -> RefineOptions:
        halves = (self.half1 is not None) + (self.half2 is not None)
        if halves == 1:
            raise ValueError("--half1 and --half2 go together; for a single map give --map")
        if (self.data is not None) + (halves == 2) + (self.map is not None) != 1:
            raise ValueError("give one of: DATA, --half1 with --half2, or --map")
        if self.data is None and self.resolution is None:
            raise ValueError("--resolution: needed with maps; take that of the post-processing")
        if (self.twist_deg is None) != (self.rise is None):
            raise ValueError("--twist-deg and --rise go together")
        if self.data is not None and (self.symmetry or self.rise is not None):
            raise ValueError("--symmetry is for maps; a crystal brings its own")
        if self.data is not None and self.resolution is not None:
            raise ValueError("--resolution is for maps; --d-min limits diffraction data")
        if self.flexible is not None and (self.resolution is None or self.flexible <= self.resolution):
            raise ValueError("--flexible: a resolution of maps coarser than --resolution expected")
        if self.reference is not None and self.data is not None:
            raise ValueError("--reference is for maps so far")
        if self.data is None and self.radiation == "neutron":
            raise ValueError("--radiation: maps are refined against with electrons; neutron is for diffraction data")
        if self.centre is not None and self.symmetry is None and self.rise is None:
            raise ValueError("--centre: says where the axes of --symmetry, or of --twist-deg and --rise, are")
        if self.cross_validation and halves != 2:
            raise ValueError("--cross-validation needs two half maps")
        if self.closeness != 1.0 and halves != 2:
            raise ValueError("--closeness is for two half maps; give --weight with other data")
        if self.closeness != 1.0 and self.weight is not None:
            raise ValueError("--closeness is a factor on the automatic weight; give it or --weight")
        return self

    @model_validator(mode="after")
    def _nothing_of_other_data(self) -> RefineOptions:
        if self.data is None:
            refuse_others(self, CRYSTALS_ONLY, "is for diffraction data, not for maps")
        else:
            refuse_others(self, MAPS_ONLY, "is for maps, not for diffraction data")
        return self

    @model_validator(mode="after")
    def _limits_in_order(self) -> RefineOptions:
        if self.d_max and self.d_min >= self.d_max:
            raise ValueError(f"--d-min {self.d_min:g} must be smaller than --d-max {self.d_max:g}")
        return self


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
