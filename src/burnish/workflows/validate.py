"""`burnish validate`: a model, and data if there are any, in; what is wrong with it, out."""

from __future__ import annotations

import json
from typing import Any

from burnish.chemistry.checks import check_atoms
from burnish.chemistry.library import Library, read_library
from burnish.chemistry.topology import build_topology
from burnish.core.events import Listener, Message
from burnish.data.atoms import Atoms
from burnish.data.particle_symmetry import Symmetry
from burnish.data.reflections import Crystal
from burnish.io.atomic import write_aside
from burnish.io.models import ModelFile, agree_on_crystal, atoms_of, read_model
from burnish.io.reflections import DataRequest, read_reflections
from burnish.jobs.folder import Job
from burnish.models.crystal_term import CrystalTerm
from burnish.models.fit_maps import fit_maps
from burnish.models.protons import Protons, find_protons
from burnish.options.validate import ValidateOptions
from burnish.reports.page import render
from burnish.reports.validation import validation_page, viewer_address, with_viewer_links
from burnish.validate.geometry import geometry_record
from burnish.validate.map_validation import add_to_residues
from burnish.validate.model_validation import JudgedMaps, validate_model
from burnish.validate.summary import validation_record
from burnish.workflows.cctbx_contours import cctbx_contours
from burnish.workflows.refine_inputs import twin_target, with_amplitudes
from burnish.workflows.validate_em import judge_in_maps


def run(options: ValidateOptions, job: Job) -> dict[str, Any]:
    """Read, judge, write `validation.json` and `validation.html`."""
    model = read_model(options.model)
    for message in model.messages:
        job.notify(message)
    components = sorted({residue.name for chain in model.structure[0] for residue in chain})
    library = read_library(components, ligands=options.ligand, monomers=options.monomers)
    check_atoms(options.model, model.structure, library.monlib)
    for text in library.messages:
        job.notify(Message(text, "warning"))
    crystal, maps, agreement = model.crystal, None, None
    if options.data is not None:
        crystal, maps, agreement = _against_data(options, model, library, job.notify)
    judged = None
    if options.has_maps:
        judged = judge_in_maps(options, model, *_with_hydrogens(model, library), job.notify)
    symmetry: Symmetry | None = crystal
    if judged is not None:
        symmetry, maps = judged.symmetry, judged.maps
    contours = cctbx_contours()
    found = validate_model(model.structure, model.atoms, library.monlib, symmetry, maps, contours)
    record = validation_record(found, maps.d_min if maps is not None else None)
    if contours is not None:
        differ = sum(r.verdict != r.fitted for r in found.ramachandran)
        record["ramachandran"] |= {"contours": "cctbx", "fitted_verdicts_that_differ": differ}
    if judged is not None:
        record["map"] = judged.record
        add_to_residues(record["by_residue"], judged.found, found.views)
    if agreement is not None:
        record["agreement"] = agreement
    record["geometry"] = geometry_record(found.geometry)
    content = validation_page(record, options.model.name, agreement)
    if job.project_name is not None:
        content = with_viewer_links(content, viewer_address(job.project_name))
    page = render(content)
    inputs = (options.model, options.data, options.half1, options.half2, options.map, *options.ligand)
    job.begin([path for path in inputs if path is not None])
    with write_aside(job.path("validation.json")) as aside:
        aside.write_text(_as_json(record), encoding="utf-8")
    with write_aside(job.path("validation.html")) as aside:
        aside.write_text(page, encoding="utf-8")
    return _summary(record, job)


def _against_data(
    options: ValidateOptions, model: ModelFile, library: Library, listener: Listener
) -> tuple[Crystal, JudgedMaps, dict[str, float]]:
    """Scale the model to the data and make the maps that it is judged by."""
    if options.data is None:
        raise ValueError("no data")
    labels = tuple(p.strip() for p in options.labels.split(",") if p.strip()) if options.labels else None
    data = with_amplitudes(read_reflections(options.data, DataRequest(labels=labels, free_label=options.free_label)))
    for message in (*data.messages, *agree_on_crystal(model, data.reflections.crystal, data.source)):
        listener(message)
    target = twin_target(data.reflections, listener) if options.twin else None
    term = CrystalTerm(data.reflections, target=target, listener=listener)
    scattering, _ = _with_hydrogens(model, library)
    term.prepare(scattering)
    statistics = term.statistics()
    maps = fit_maps(term)
    judged = JudgedMaps(density=maps.density, calculated=maps.calculated, difference=maps.difference, d_min=maps.d_min)
    agreement = {
        "r_work": round(statistics.r_work, 4),
        "r_free": round(statistics.r_free, 4),
        "cc_work": round(statistics.cc_work, 4),
        "cc_free": round(statistics.cc_free, 4),
    }
    return data.reflections.crystal, judged, agreement


def _with_hydrogens(model: ModelFile, library: Library) -> tuple[Atoms, Protons]:
    """What scatters: with riding hydrogens, as refinement has them, where the model has none of its own."""
    has_hydrogens = any(cra.atom.is_hydrogen() for cra in model.structure[0].all())
    topology = build_topology(model.structure, library.monlib, hydrogens="keep" if has_hydrogens else "add")
    return atoms_of(topology.structure), find_protons(topology.restraints)


def _as_json(record: dict[str, Any]) -> str:
    """The record, one finding of the top level a line: indenting all of it costs a second for a large model."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in record.items())
    return "{\n" + lines + "\n}\n"


def _summary(record: dict[str, Any], job: Job) -> dict[str, Any]:
    backbone = record["ramachandran"]
    summary: dict[str, Any] = dict(record.get("agreement", {}))
    summary |= {
        f"{kind}_{name}": record["geometry"][kind][name] for kind in ("bond", "angle") for name in ("rmsd", "rmsz")
    }
    summary |= {f"ramachandran_{k}": backbone[k] for k in ("favoured_percent", "allowed_percent", "outlier_percent")}
    summary |= {
        "rotamer_outlier_percent": record["rotamer_outlier_percent"],
        "rotamer_outliers": record["rotamers"]["outlier_count"],
        "clashscore": record["clashscore"],
        "molprobity_score": record["molprobity_score"],
        "cbeta_outliers": record["cbeta"]["outlier_count"],
        "twisted_peptides": len(record["peptides"]["twisted"]),
        "flips": len(record["flips"]),
    }
    if "map" in record:
        summary |= _map_summary(record["map"])
    if "fit" in record:
        summary["mean_rscc"] = record["fit"]["mean_rscc"]
        summary["largest_difference_sigma"] = (
            record["difference_peaks"][0]["sigma"] if record["difference_peaks"] else 0.0
        )
    summary["report"] = str(job.path("validation.html"))
    return summary


def _map_summary(found: dict[str, Any]) -> dict[str, Any]:
    """The few numbers of a model in a map."""
    fsc = found["fsc"]
    return {
        "fsc_average": fsc["average"],
        "fsc_resolution_0.5": fsc["resolution_0.5"],
        "fsc_resolution_0.143": fsc["resolution_0.143"],
        **found.get("cross_validation", {}),
        **found["cc"],
        "q_score": found["q_score"]["mean"],
        "emringer": found["emringer"]["score"],
        "atom_inclusion_percent": found["atom_inclusion"]["all_percent"],
    }
