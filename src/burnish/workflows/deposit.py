"""`burnish deposit`: the folder of a refinement in; the files that PDB and EMDB take, out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gemmi

from burnish.chemistry.library import Library
from burnish.core.errors import InputError
from burnish.io.atomic import write_text
from burnish.io.deposition.categories import Categories, categories_of, fill, value_of, write_block
from burnish.io.deposition.experiment import data_categories
from burnish.io.deposition.model import crystal_contents, model_categories
from burnish.io.deposition.refinement import refinement_categories
from burnish.io.deposition.requirements import CRYSTAL, find_missing, lay_over, read_metadata, template
from burnish.io.deposition.sequences import Sequenced
from burnish.io.deposition.structure_factors import write_structure_factors
from burnish.io.deposition.unmerged import add_merging, merging_statistics
from burnish.io.reflections import DataRequest, DiffractionData, read_reflections
from burnish.jobs.folder import Job
from burnish.models.twinning import twin_laws
from burnish.options.deposit import DepositOptions
from burnish.options.validate import ValidateOptions
from burnish.workflows import deposit_em, validate
from burnish.workflows.deposition import (
    Gathered,
    Source,
    check_files,
    finish,
    input_files,
    prepare,
    read_dictionary,
    read_source,
)
from burnish.workflows.ligand_requests import ligand_requests

MODEL, STRUCTURE_FACTORS = "model.cif", "structure_factors.cif"
R_TOLERANCE = 0.005


def run(options: DepositOptions, job: Job) -> dict[str, Any]:
    """Read the refinement, write model and data, read them back."""
    source = read_source(options.source)
    if source.is_em:
        return deposit_em.run(options, job, source)
    sequenced, library = prepare(options, source, job)
    data = _read_data(source)
    given = read_metadata(options.metadata) if options.metadata is not None else {}
    merging = merging_statistics(options.unmerged) if options.unmerged is not None else None
    dictionary = read_dictionary(options)
    categories = _crystal_categories(source, sequenced, library, data)
    if merging is not None:
        add_merging(categories, *merging)
    lay_over(categories, given)
    missing = find_missing(categories, CRYSTAL)
    job.begin(input_files(options, source, "refined.mtz"))
    name = sequenced.structure.name
    write_block(job.path(MODEL), name, categories)
    wavelength = value_of(categories, "diffrn_radiation_wavelength", "wavelength")
    write_structure_factors(
        job.path(STRUCTURE_FACTORS), data, name, wavelength=gemmi.cif.as_number(wavelength) if wavelength else None
    )
    write_text(job.path("to_fill_in.yaml"), template(missing))
    judged = _judge(options, source, job) if options.validate_files else {}
    done = Gathered(
        name=name,
        categories=categories,
        missing=missing,
        checks=check_files(dictionary, job, [MODEL, STRUCTURE_FACTORS]),
        findings=_same_numbers(source, judged),
        judged=judged,
        sequenced=sequenced,
        files=[MODEL, STRUCTURE_FACTORS],
    )
    return finish(job, done)


def _read_data(source: Source) -> DiffractionData:
    path = source.folder / "refined.mtz"
    if not path.is_file():
        raise InputError(f"{source.folder}: no refined.mtz in it; run the refinement again")
    asked = source.record["data"]
    labels = tuple(asked["labels"])
    free = asked["free_label"]
    request = DataRequest(
        labels=labels,
        free_label="FreeR_flag" if free in ("STATUS", "RFREE") else free,
        free_value=None if free in ("STATUS", "RFREE") else asked["free_value"],
        require_free=True,
    )
    return read_reflections(path, request)


def _crystal_categories(source: Source, sequenced: Sequenced, library: Library, data: DiffractionData) -> Categories:
    structure = sequenced.structure
    categories = model_categories(structure, library.monlib, source.block, sequenced.entity_ids)
    before = categories_of(source.block)
    record = source.record
    if source.options.get("twin"):
        record = record | {"twin_laws": twin_laws(data.reflections.crystal)}
    categories |= refinement_categories(record, source.options, structure, before)
    for item in ("pdbx_method_to_determine_struct", "pdbx_starting_model"):
        fill(categories, "refine", {item: value_of(before, "refine", item)})
    data_categories(categories, data, source.options.get("radiation", "xray"), _original(source))
    crystal_contents(categories, structure)
    return categories


def _original(source: Source) -> Categories:
    """What the measured file itself says of the experiment, when it is mmCIF and still there."""
    path = Path(str(source.record["data"]["file"]))
    if not path.is_file() or not path.name.removesuffix(".gz").endswith((".cif", ".ent", ".mmcif")):
        return {}
    try:
        return categories_of(gemmi.cif.read(str(path))[0])
    except (OSError, RuntimeError, ValueError):
        return {}


def _judge(options: DepositOptions, source: Source, job: Job) -> dict[str, Any]:
    """Validate the written files, as they will be read by others."""
    inner = Job("validate", job.folder, {}, job.listener, keeps_record=False)
    monomers = options.monomers or source.options.get("monomers")
    asked = ValidateOptions.model_validate(
        {
            "model": job.path(MODEL),
            "data": job.path(STRUCTURE_FACTORS),
            "labels": _labels_of(source),
            "out": job.folder,
            "ligand": options.ligand or ligand_requests(source.options.get("ligand") or ()).files,
            "monomers": monomers,
            "twin": bool(source.options.get("twin")),
        }
    )
    return validate.run(asked, inner)


def _labels_of(source: Source) -> str:
    """Items of the written file that hold the data of the refinement."""
    labels = source.record["data"]["labels"]
    pairs = len(labels) == 4
    intensity = source.options.get("target") == "intensity" or labels[0].upper().startswith(("I", "J"))
    if pairs:
        kind = "pdbx_I" if intensity else "pdbx_F"
        return f"{kind}_plus,{kind}_plus_sigma,{kind}_minus,{kind}_minus_sigma"
    return "intensity_meas,intensity_sigma" if intensity else "F_meas_au,F_meas_sigma_au"


def _same_numbers(source: Source, judged: dict[str, Any]) -> list[str]:
    """Whether model and data, read back, give the R factors that are claimed."""
    final = source.record["final"]
    found = []
    for name in ("r_work", "r_free"):
        if judged.get(name) is not None and final.get(name) is not None:
            away = judged[name] - final[name]
            if abs(away) > R_TOLERANCE:
                found.append(
                    f"{name.replace('_', '-')} of the files read back is {judged[name]:.4f}, the refinement said "
                    f"{final[name]:.4f}"
                )
    return found
