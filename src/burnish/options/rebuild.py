"""Options of `burnish rebuild` and `burnish cycle`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from burnish.options.base import ANGPIX, JobOptions, refuse_others
from burnish.options.cross_validation import falling_limits


class _ModelAndData(JobOptions, frozen=True):
    model: Path = Field(description="Model, mmCIF or PDB.")
    data: Path | None = Field(None, description="Measured data, MTZ or structure-factor mmCIF.")
    half1: Path | None = Field(None, description="First half map of a particle, in place of DATA.")
    half2: Path | None = Field(None, description="Second half map.")
    map: Path | None = Field(None, description="A single map, where there are no half maps.")
    resolution: float | None = Field(None, gt=0.0, description="Resolution of the maps, Å; needed with maps.")
    angpix: float | None = Field(
        None, validation_alias=ANGPIX, gt=0.0, description="Calibrated pixel size of the maps, Å."
    )
    symmetry: str | None = Field(None, description="Point group of the map; the model is one asymmetric unit.")
    centre: tuple[float, float, float] | None = Field(
        None, description="Where the axes meet, x y z in Å; the middle voxel (n//2) of the map by default."
    )
    labels: str | None = Field(None, description="Columns to take, VALUE,SIGMA; found by convention when not given.")
    free_label: str | None = Field(None, description="Column of the free flags; found by convention when not given.")
    ligand: tuple[str, ...] = Field(
        (),
        description="Ligand: restraint dictionary (CIF), component code or SMILES (also NAME=SMILES); placed where the "
        "density shows it unless the model has it; may be given again.",
    )
    ligand_copies: int = Field(1, ge=1, le=100, description="Copies of each ligand that the model should have.")
    pictures: bool = Field(True, description="Draw each change before and after, for moves.html.")
    sugars: bool = Field(True, description="Build sugars on sites of N-glycosylation.")
    ions: bool = Field(True, description="Recognise ions among waters and in high peaks.")
    alternates: bool = Field(True, description="Add second conformers of side chains, drop those that fade.")
    monomers: Path | None = Field(None, description="CCP4 monomer library; CLIBD_MON or the built-in one by default.")
    sequence: Path | None = Field(
        None,
        description="Sequences of the molecules in the sample, FASTA or PIR: residues are made what they say, gaps and "
        "ends are built; without it those of the model's file say what is missing.",
    )
    rotamers: bool = Field(True, description="Fit side chains again, in other rotamers and with backrubs.")
    peptides: bool = Field(True, description="Turn peptides over.")
    flips: bool = Field(True, description="Turn Asn, Gln and His side chains by their contacts.")
    waters: bool = Field(True, description="Add and drop waters.")
    twin: bool = Field(False, description="The crystal is twinned: find twin laws and refine the fractions.")
    seed: int = Field(0, ge=0, description="Seed of everything random (new free flags).")

    @model_validator(mode="after")
    def _one_kind_of_data(self) -> _ModelAndData:
        halves = (self.half1 is not None) + (self.half2 is not None)
        if halves == 1:
            raise ValueError("--half1 and --half2 go together; for a single map give --map")
        if (self.data is not None) + (halves == 2) + (self.map is not None) != 1:
            raise ValueError("give one of: DATA, --half1 with --half2, or --map")
        if self.data is None and self.resolution is None:
            raise ValueError("--resolution: needed with maps; take that of the post-processing")
        if self.centre is not None and self.symmetry is None:
            raise ValueError("--centre: says where the axes of --symmetry are")
        if self.data is None:
            refuse_others(self, ("labels", "free_label", "twin"), "is for diffraction data, not for maps")
        else:
            refuse_others(self, ("resolution", "angpix", "symmetry"), "is for maps, not for diffraction data")
        return self


class RebuildOptions(_ModelAndData, frozen=True):
    """Correct a model against its density, once, without refining it as a whole.

    The density is that of diffraction data, or of cryo-EM maps: --half1 and --half2 (or --map) with --resolution.

    The folder gets rebuilt.cif, moves.jsonl (every move that was weighed, with its numbers and what undoes it) and
    moves.html.
    """


class CycleOptions(_ModelAndData, frozen=True):
    """Refine, validate and rebuild in rounds until nothing improves; keep the best round.

    The data are diffraction data, or cryo-EM maps: --half1 and --half2 (or --map) with --resolution.

    The folder gets refined.cif, refined.pdb, refined.mtz and refined.json of the best round, moves.jsonl and
    moves.html, validation.json and validation.html, and every round in round_NN.
    """

    rounds: int = Field(6, ge=1, le=50, description="Most rounds of rebuilding.")
    cycles: int = Field(6, ge=1, le=100, description="Cycles of refinement in a round.")
    ramachandran: float | None = Field(
        None,
        ge=0.0,
        description="Weight of restraints on φ and ψ in refinement, 0 for none; by default none up to 2 Å, growing to "
        "4 at 2.5 Å and beyond.",
    )
    displacement: Literal["auto", "keep"] = Field(
        "auto",
        description="Choose the displacement model (one B, isotropic, TLS, anisotropic) that the data pay for after "
        "the first round, or keep the kind that the model has.",
    )
    rcomplete: int = Field(
        0, ge=0, le=100, description="Folds of complete cross-validation of the kept round at the end; 0 for none."
    )
    paired: str | None = Field(
        None, description="Resolution limits of paired refinement of the kept round, Å, as 2.2,2.0,1.85."
    )
    chi: float | None = Field(
        None, ge=0.0, description="The same on the torsions of side chains; by default as --ramachandran."
    )
    final_cycles: int = Field(6, ge=1, le=100, description="Cycles of the last refinement.")

    @field_validator("paired")
    @classmethod
    def _falling(cls, value: str | None) -> str | None:
        return None if value is None else falling_limits(value)

    @model_validator(mode="after")
    def _reflections_for_unseen_data(self) -> CycleOptions:
        if self.data is None and (self.rcomplete or self.paired is not None):
            raise ValueError("--rcomplete and --paired need diffraction data")
        if self.rcomplete == 1:
            raise ValueError("--rcomplete: two folds or more, or 0 for none")
        return self
