"""What `burnish refine` writes for a crystal: models, maps, statistics and report, after the last complete cycle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import gemmi

from burnish import __version__
from burnish.core.events import Listener, Message
from burnish.core.memory import return_small_blocks
from burnish.io.atomic import write_text
from burnish.io.model_writer import (
    RefinementNumbers,
    RestraintLine,
    Uncertainties,
    why_not_pdb,
    write_model_cif,
    write_model_pdb,
)
from burnish.io.models import with_atoms
from burnish.io.reflection_writer import OutputColumn, write_reflections
from burnish.io.tls_groups import tls_records
from burnish.jobs.folder import Job
from burnish.models.crystal_term import CrystalTerm
from burnish.models.data_term import DataStatistics
from burnish.models.density_maps import anomalous_coefficients, map_coefficients
from burnish.models.phases import phases_deg
from burnish.models.refinement import CycleRecord, RefinementState
from burnish.models.refinement_system import RefinementSystem
from burnish.models.tls import fit_tls
from burnish.models.uncertainties import standard_uncertainties
from burnish.options.refine import RefineOptions
from burnish.validate.geometry import GeometryReport, report_geometry
from burnish.workflows.refine_inputs import RefineInputs
from burnish.workflows.refine_numbers import cycle_numbers, without_nan

CCP4_LABELS = ("FWT", "PHWT", "DELFWT", "PHDELWT", "FWT_NOFILL", "PHWT_NOFILL")
PHENIX_LABELS = ("2FOFCWT", "PH2FOFCWT", "FOFCWT", "PHFOFCWT", "2FOFCWT_no_fill", "PH2FOFCWT_no_fill")
MOST_OUTLIERS = 100
RESTRAINT_NAMES = {
    "bond": "r_bond_refined_d",
    "bond_h": "r_bond_other_d",
    "angle": "r_angle_refined_deg",
    "angle_h": "r_angle_other_deg",
    "torsion": "r_dihedral_angle_refined_deg",
    "chiral": "r_chiral_restr",
    "plane": "r_gen_planes_refined",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A refinement to be written: how it ended, and where it stood."""

    inputs: RefineInputs
    term: CrystalTerm
    state: RefinementState
    interrupted: bool
    warnings: Sequence[str]
    system: RefinementSystem | None = None  # what uncertainties need beside the rest


def write_outputs(options: RefineOptions, job: Job, done: Finished) -> dict[str, Any]:
    """Write every result of a refinement and return its summary."""
    statistics = done.term.statistics()
    write_maps(options, job, done)
    return_small_blocks()
    structure = output_structure(options, done)
    geometry = geometry_report(done)
    numbers = header_numbers(done, statistics, geometry)
    uncertainties = _uncertainties(done, structure) if options.uncertainties else None
    return_small_blocks()
    write_model_cif(job.path("refined.cif"), done.inputs.model, structure, numbers, uncertainties)
    _write_pdb(job, structure, numbers, job.notify)
    record = statistics_record(options, done, statistics, geometry)
    write_text(job.path("refined.json"), json.dumps(record, indent=1, allow_nan=False) + "\n")
    return_small_blocks()
    write_text(job.path("report.html"), _report(options, done, statistics, geometry, structure))
    return {**record["final"], "report": str(job.path("report.html"))}


def output_structure(options: RefineOptions, done: Finished) -> gemmi.Structure:
    """The refined structure, with hydrogens as the user wants them."""
    structure = with_atoms(done.inputs.topology.structure, done.state.atoms)
    had_hydrogens = any(cra.atom.is_hydrogen() for cra in done.inputs.model.structure[0].all())
    if options.write_hydrogens == "no" or (options.write_hydrogens == "as-input" and not had_hydrogens):
        structure.remove_hydrogens()
    structure.assign_serial_numbers()
    return structure


def _uncertainties(done: Finished, structure: gemmi.Structure) -> Uncertainties:
    """Standard uncertainties of the atoms that are written."""
    if done.system is None:
        raise ValueError("uncertainties need the system that was refined")
    found = standard_uncertainties(done.state, done.system, done.term)
    every = list(done.inputs.topology.structure[0].all())
    if structure[0].count_atom_sites() == len(every):
        return Uncertainties(xyz=found.xyz, b_iso=found.b_iso)
    written = [not cra.atom.is_hydrogen() for cra in every]
    return Uncertainties(xyz=found.xyz[written], b_iso=found.b_iso[written])


def _write_pdb(job: Job, structure: gemmi.Structure, numbers: RefinementNumbers, listener: Listener) -> None:
    reason = why_not_pdb(structure)
    if reason is not None:
        job.path("refined.pdb").unlink(missing_ok=True)
        listener(Message(f"no refined.pdb: the format cannot hold this model ({reason}); use refined.cif"))
        return
    write_model_pdb(job.path("refined.pdb"), structure, numbers)


def write_maps(options: RefineOptions, job: Job, done: Finished) -> None:
    """Write refined.mtz: the data as they came, the free flags, and the maps."""
    reflections = done.inputs.data.reflections
    maps = map_coefficients(done.term)
    names = PHENIX_LABELS if options.map_labels == "phenix" else CCP4_LABELS
    columns = []
    if done.inputs.data.intensities_only:
        columns.append(OutputColumn(label="F", kind="F", values=reflections.f_obs))
        columns.append(OutputColumn(label="SIGF", kind="Q", values=reflections.sigma_f_obs))
    pairs = [
        (names[0], names[1], maps.filled),
        (names[2], names[3], maps.difference),
        (names[4], names[5], maps.density),
        ("FC", "PHIC", maps.f_calc),
        ("FC_ALL", "PHIC_ALL", maps.f_model),
    ]
    if reflections.anomalous is not None and reflections.anomalous.f_obs is not None:
        pairs.append(("FAN", "PHAN", anomalous_coefficients(done.term)))
    for amplitude, phase, coefficient in pairs:
        columns.append(OutputColumn(label=amplitude, kind="F", values=coefficient.abs()))
        columns.append(OutputColumn(label=phase, kind="P", values=phases_deg(coefficient)))
    columns.append(OutputColumn(label="FOM", kind="W", values=maps.fom))
    write_reflections(job.path("refined.mtz"), done.inputs.data, columns)


def header_numbers(done: Finished, statistics: DataStatistics, geometry: GeometryReport) -> RefinementNumbers:
    """What the headers of the models say."""
    r = done.inputs.data.reflections
    d = r.s2[done.term.work | done.term.free].rsqrt()
    lines = [
        RestraintLine(name=name, count=found.count, rms=found.rmsd, target=found.mean_sigma)
        for kind, name in RESTRAINT_NAMES.items()
        if (found := geometry.summaries[kind]).count
    ]
    measured = int(done.term.work.sum()) + int(done.term.free.sum())
    return RefinementNumbers(
        d_min=float(d.min()),
        d_max=float(d.max()),
        n_work=int(done.term.work.sum()),
        n_free=int(done.term.free.sum()),
        r_work=statistics.r_work,
        r_free=statistics.r_free,
        cc_work=statistics.cc_work,
        cc_free=statistics.cc_free,
        completeness=measured / len(r),
        restraints=lines,
        tls_groups=_tls_groups(done),
    )


def _tls_groups(done: Finished) -> list[gemmi.TlsGroup]:
    """Tensors of the TLS groups as the refined displacements show them; B and U of the atoms hold this motion too."""
    labels = done.inputs.refinable.labels
    if done.system is None or not done.system.tls_groups or labels is None:
        return []
    xyz, u_aniso = done.state.atoms.xyz.numpy(), done.state.atoms.u_aniso.numpy()
    groups = done.system.tls_groups
    return tls_records([g.tolist() for g in groups], [fit_tls(xyz[g], u_aniso[g]) for g in groups], labels)


def geometry_report(done: Finished) -> GeometryReport:
    """Deviations of all that the topology lists, and the restraints that are far from their ideal."""
    names = [
        f"{cra.chain.name}/{cra.residue.name} {cra.residue.seqid}/{cra.atom.name}{_conformer(cra.atom)}"
        for cra in done.inputs.topology.structure[0].all()
    ]
    return report_geometry(done.inputs.topology.restraints, done.state.atoms.xyz, names)


def _conformer(atom: gemmi.Atom) -> str:
    return "" if atom.altloc == "\0" else f".{atom.altloc}"


def statistics_record(
    options: RefineOptions, done: Finished, statistics: DataStatistics, geometry: GeometryReport
) -> dict[str, Any]:
    """The content of refined.json; numbers that are not known are null."""
    r = done.inputs.data.reflections
    history = done.state.history
    record = {
        "program": f"Burnish {__version__}",
        "model": str(options.model),
        "data": {
            "file": str(options.data),
            "labels": list(done.inputs.data.choice.signal.labels),
            "free_label": done.inputs.data.flags.label,
            "free_value": done.inputs.data.flags.free_value,
            "free_flags_made_here": done.inputs.data.flags.generated,
            "d_min": float(r.s2[done.term.work | done.term.free].max().rsqrt()),
            "d_max": float(r.s2[done.term.work | done.term.free].min().rsqrt()),
            "n_work": int(done.term.work.sum()),
            "n_free": int(done.term.free.sum()),
            "n_possible": len(r),
            "outliers": statistics.outliers,
        },
        "crystal": {"cell": list(r.crystal.cell), "space_group": r.crystal.space_group},
        "interrupted": done.interrupted,
        "cycles": [cycle_numbers(c) for c in history],
        "shells": [asdict(shell) for shell in statistics.shells],
        "scaling": {
            "k_sol": statistics.k_sol,
            "b_sol": statistics.b_sol,
            "anisotropy": list(statistics.anisotropy),
        },
        "geometry": {kind: asdict(summary) for kind, summary in geometry.summaries.items()},
        "geometry_outliers": [asdict(outlier) for outlier in geometry.outliers[:MOST_OUTLIERS]],
        "warnings": list(done.warnings),
        "final": final_numbers(history[0], history[-1], statistics),
    }
    return without_nan(record)


def final_numbers(first: CycleRecord, last: CycleRecord, statistics: DataStatistics) -> dict[str, Any]:
    """The summary: agreement and geometry at the end, R at the start beside it."""
    return without_nan(
        {
            "r_work_start": first.data["r_work"],
            "r_free_start": first.data["r_free"],
            "r_work": statistics.r_work,
            "r_free": statistics.r_free,
            "cc_work": statistics.cc_work,
            "cc_free": statistics.cc_free,
            **{name: last.geometry[name] for name in ("bond_rmsd", "bond_rmsz", "angle_rmsd", "angle_rmsz")},
            "cycles": last.cycle,
            "weight": last.weight,
            "twin_fractions": list(statistics.twin_fractions),
            "outliers": statistics.outliers,
        }
    )


def _report(
    options: RefineOptions,
    done: Finished,
    statistics: DataStatistics,
    geometry: GeometryReport,
    structure: gemmi.Structure,
) -> str:
    """The report as HTML."""
    from burnish.reports.page import render  # figures bring matplotlib (40 MB), wanted only when all else is done
    from burnish.reports.refinement import RefinementReport, refinement_page

    b = [(cra.atom.b_iso, cra.residue.entity_type == gemmi.EntityType.Water) for cra in structure[0].all()]
    report = RefinementReport(
        model=options.model.name,
        data=done.inputs.data.source.name,
        labels=",".join(done.inputs.data.choice.signal.labels),
        flags=done.inputs.data.flags.convention,
        crystal=done.inputs.data.reflections.crystal,
        cycles=[cycle_numbers(c) for c in done.state.history],
        statistics=statistics,
        geometry=geometry,
        n_work=int(done.term.work.sum()),
        n_free=int(done.term.free.sum()),
        b_model=[value for value, water in b if not water],
        b_water=[value for value, water in b if water],
        warnings=list(done.warnings),
        interrupted=done.interrupted,
        dictionaries=dict(done.inputs.library.sources),
    )
    return render(refinement_page(report))
