"""Outputs of `burnish refine` against maps: model, maps, statistics and report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
import torch

from burnish import __version__
from burnish.chemistry.library import Library
from burnish.chemistry.topology import Topology
from burnish.core.events import Message
from burnish.data.atoms import Atoms
from burnish.io.atomic import write_aside, write_text
from burnish.io.map_coefficients import COLUMNS
from burnish.io.model_writer import RefinementNumbers, why_not_pdb, write_model_cif, write_model_pdb
from burnish.io.models import ModelFile, with_atoms
from burnish.io.mrc import write_map
from burnish.jobs.folder import Job
from burnish.models.em_density_maps import EmMapCoefficients, box_density, em_map_coefficients, in_model_frame
from burnish.models.local_filter import locally_filtered
from burnish.models.map_term import MapTerm
from burnish.models.phases import phases_deg
from burnish.models.refinement import RefinementState
from burnish.models.refinement_system import RefinableModel
from burnish.options.refine import RefineOptions
from burnish.reports.page import render
from burnish.reports.refinement_em import EmReport, em_refinement_page
from burnish.workflows.map_symmetry import MapSymmetry, expanded, record_symmetry
from burnish.workflows.refine_numbers import cycle_numbers, without_nan

NOT_ALWAYS = ("refined_local.mrc", "refined_half1.cif", "refined_expanded.cif")  # files that only some runs make


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfMapValidation:
    """Correlation of a model refined against half map 1 with both half maps.

    Attributes
    ----------
    fsc_work, fsc_free : averages against half map 1 and 2.
    work_by_shell, free_by_shell : the same by shell.
    atoms : of that model.
    """

    fsc_work: float
    fsc_free: float
    work_by_shell: Sequence[float]
    free_by_shell: Sequence[float]
    atoms: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class EmFinished:
    """A refinement against maps to be written."""

    model: ModelFile
    library: Library
    topology: Topology
    refinable: RefinableModel
    term: MapTerm
    state: RefinementState
    validation: HalfMapValidation | None
    symmetry: MapSymmetry | None
    interrupted: bool
    warnings: Sequence[str]
    maps: Sequence[str]


def write_em_outputs(options: RefineOptions, job: Job, done: EmFinished) -> dict[str, Any]:
    """Write every result and return the summary."""
    coefficients = em_map_coefficients(done.term)
    maps = done.term.maps
    write_map(job.path("refined_fo.mrc"), box_density(coefficients.density, maps))
    write_map(job.path("refined_fofc.mrc"), box_density(coefficients.difference, maps))
    for name in NOT_ALWAYS:
        job.path(name).unlink(missing_ok=True)  # of an earlier refinement in this folder
    local = locally_filtered(maps)
    if local is not None:
        write_map(job.path("refined_local.mrc"), local)
    _write_mtz(job, done.term, coefficients, phenix=options.map_labels == "phenix")
    structure = with_atoms(done.topology.structure, done.state.atoms)
    had_hydrogens = any(cra.atom.is_hydrogen() for cra in done.model.structure[0].all())
    if options.write_hydrogens == "no" or (options.write_hydrogens == "as-input" and not had_hydrogens):
        structure.remove_hydrogens()
    structure.assign_serial_numbers()
    if done.symmetry is not None:
        record_symmetry(structure, done.symmetry)
    numbers = RefinementNumbers(d_min=options.resolution or float("nan"), method="ELECTRON MICROSCOPY")
    write_model_cif(job.path("refined.cif"), done.model, structure, numbers)
    _write_pdb(job, structure, numbers)
    if done.validation is not None:
        alone = with_atoms(done.topology.structure, done.validation.atoms)
        alone.remove_hydrogens()
        write_text(job.path("refined_half1.cif"), alone.make_mmcif_document().as_string())
    if done.symmetry is not None:
        write_text(job.path("refined_expanded.cif"), expanded(structure).make_mmcif_document().as_string())
    record = _record(options, done)
    write_text(job.path("refined.json"), json.dumps(record, indent=1, allow_nan=False) + "\n")
    page = em_refinement_page(_report(options, done, structure))
    write_text(job.path("report.html"), render(page))
    return {**record["final"], "report": str(job.path("report.html"))}


def _write_pdb(job: Job, structure: gemmi.Structure, numbers: RefinementNumbers) -> None:
    reason = why_not_pdb(structure)
    if reason is None:
        write_model_pdb(job.path("refined.pdb"), structure, numbers)
    else:
        job.path("refined.pdb").unlink(missing_ok=True)
        job.notify(Message(f"no refined.pdb: the format cannot hold this model ({reason}); use refined.cif"))


def _write_mtz(job: Job, term: MapTerm, coefficients: EmMapCoefficients, *, phenix: bool) -> None:
    """Map coefficients of the box, shifted onto the model, under the names by which Coot opens them."""
    maps = term.maps
    mtz = gemmi.Mtz(with_base=True)
    mtz.title = "Burnish refinement against maps"
    mtz.spacegroup = gemmi.SpaceGroup("P 1")
    mtz.set_cell_for_all(maps.crystal.unit_cell)
    mtz.add_dataset("refined")
    columns = [maps.hkl.numpy().astype(np.float64)]
    for amplitude, phase, values in (
        (*COLUMNS["density"][phenix], coefficients.density),
        (*COLUMNS["difference"][phenix], coefficients.difference),
        ("FC", "PHIC", coefficients.f_calc),
        ("Fout", "Pout", maps.f_obs.to(torch.complex128)),
    ):
        placed = in_model_frame(values, maps)
        mtz.add_column(amplitude, "F")
        mtz.add_column(phase, "P")
        columns += [placed.abs().numpy()[:, None], phases_deg(placed).numpy()[:, None]]
    mtz.add_column("FOM", "W")
    columns.append(coefficients.fom.numpy()[:, None])
    mtz.history = [f"Burnish {__version__}"]
    mtz.set_data(np.concatenate(columns, axis=1).astype(np.float32))
    mtz.update_reso()
    with write_aside(job.path("refined.mtz")) as aside:
        mtz.write_to_file(str(aside))


def _record(options: RefineOptions, done: EmFinished) -> dict[str, Any]:
    """The content of refined.json."""
    term, last = done.term, done.state.history[-1]
    halves = term.half_fsc()
    shells = [
        {
            "d_max": shell.d_max,
            "d_min": shell.d_min,
            "coefficients": shell.measured,
            "fsc_model": shell.cc_work,
            "fsc_halves": None if halves is None else float(halves[k]),
            "d_scale": shell.d_scale,
        }
        for k, shell in enumerate(term.statistics().shells)
    ]
    final: dict[str, Any] = {
        "fsc_average_start": done.state.history[0].data["cc_work"],
        "fsc_average": term.fsc_average,
        **{name: last.geometry[name] for name in ("bond_rmsd", "bond_rmsz", "angle_rmsd", "angle_rmsz")},
        "cycles": last.cycle,
        "weight": last.weight,
        "copies": done.term.copies,
        "b_mean": float(done.state.atoms.b_iso.mean()),
    }
    expected = term.expected_fsc()
    if expected is not None:
        final["fsc_expected"] = term.average(expected)
    if done.validation is not None:
        final |= {"fsc_work": done.validation.fsc_work, "fsc_free": done.validation.fsc_free}
    record = {
        "program": f"Burnish {__version__}",
        "model": str(options.model),
        "maps": list(done.maps),
        "resolution": options.resolution,
        "interrupted": done.interrupted,
        "cycles": [cycle_numbers(c) for c in done.state.history],
        "shells": shells,
        "warnings": list(done.warnings),
        "final": final,
    }
    return without_nan(record)


def _report(options: RefineOptions, done: EmFinished, structure: gemmi.Structure) -> EmReport:
    halves, expected = done.term.half_fsc(), done.term.expected_fsc()
    shells = done.term.statistics().shells
    return EmReport(
        model=options.model.name,
        maps=done.maps,
        resolution=options.resolution or float("nan"),
        cycles=[cycle_numbers(c) for c in done.state.history],
        s=[2.0 / (shell.d_min + shell.d_max) for shell in shells],
        counts=[shell.measured for shell in shells],
        fsc_model=[shell.cc_work for shell in shells],
        fsc_halves=None if halves is None else halves.tolist(),
        fsc_work=None if done.validation is None else list(done.validation.work_by_shell),
        fsc_free=None if done.validation is None else list(done.validation.free_by_shell),
        fsc_average=done.term.fsc_average,
        fsc_expected=None if expected is None else expected.tolist(),
        expected_average=None if expected is None else done.term.average(expected),
        averages=None if done.validation is None else (done.validation.fsc_work, done.validation.fsc_free),
        b=[cra.atom.b_iso for cra in structure[0].all()],
        warnings=list(done.warnings),
        interrupted=done.interrupted,
    )
