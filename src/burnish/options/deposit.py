"""Options of `burnish deposit`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from burnish.options.base import ENTRY, JobOptions


class DepositOptions(JobOptions, frozen=True):
    """Gather what the PDB and EMDB take: model, data or maps, statistics, validation.

    SOURCE is the folder of a refinement or cycle. The folder gets model.cif and structure_factors.cif (or maps, mask
    and FSC), validation.html, report.html, and to_fill_in.yaml with everything that only the experimenter knows: filled
    in, it goes back with --metadata.
    """

    source: Path = Field(description="Folder of the refinement or cycle to deposit.")
    sequence: tuple[Path, ...] = Field((), description="FASTA of what was in the sample; may be given again.")
    unmerged: Path | None = Field(None, description="Unmerged intensities (MTZ, XDS_ASCII.HKL), for R-merge, CC½ …")
    metadata: Path | None = Field(None, description="to_fill_in.yaml of an earlier run, filled in.")
    entry: str = Field("", pattern=ENTRY, description="Name of the entry; that of the model by default.")
    ligand: tuple[Path, ...] = Field((), description="Restraint dictionary (CIF); those of the refinement by default.")
    monomers: Path | None = Field(None, description="CCP4 monomer library; as in the refinement by default.")
    dictionary: Path | None = Field(
        None, description="PDBx/mmCIF dictionary; else PDBX_DICTIONARY, or that of cctbx-base."
    )
    validate_files: bool = Field(True, description="Read the written files back, and judge them.")

    # cryo-EM
    postprocess: Path | None = Field(None, description="Folder of the post-processing: primary map, mask, FSC.")
    primary_map: Path | None = Field(None, description="Primary map, where there is no post-processing folder.")
    mask: Path | None = Field(None, description="Mask of the FSC; that of the post-processing by default.")
    particles: Path | None = Field(None, description="STAR of the refined particles: their number, voltage, Cs.")
    symmetry: str | None = Field(None, description="Point group of the reconstruction, as C1 or D2.")
    contour: float | None = Field(None, description="Recommended contour of the primary map.")
