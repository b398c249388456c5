"""The report of a refinement against diffraction data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.data.reflections import Crystal
from burnish.models.data_term import DataStatistics
from burnish.reports.page import Block, Note, Numbers, Page, Picture, Section, Table, Text
from burnish.reports.refinement_figures import b_figure, cycles_figure, geometry_figure, shells_figure
from burnish.validate.geometry import GeometryReport

MOST_LISTED = 40
KINDS = (  # label, kind, unit, format of the rms deviation
    ("bonds", "bond", "Å", ".4f"),
    ("… of links", "bond_link", "Å", ".4f"),
    ("angles", "angle", "°", ".2f"),
    ("… of links", "angle_link", "°", ".2f"),
    ("torsions", "torsion", "°", ".1f"),
    ("chiral volumes", "chiral", "Å³", ".3f"),
    ("planes", "plane", "Å", ".4f"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementReport:
    """What the report tells.

    Attributes
    ----------
    model, data : file names.
    labels, flags : columns of the data, and the convention of the free flags in words.
    crystal : cell and space group.
    cycles : numbers by name of every cycle, the start first.
    statistics : agreement at the end.
    geometry : deviations at the end, and outliers.
    n_work, n_free : reflections in use.
    b_model, b_water : B of the atoms, Å².
    warnings : in the order in which they came.
    interrupted : whether the user ended the refinement.
    dictionaries : where the restraints of each component come from.
    """

    model: str
    data: str
    labels: str
    flags: str
    crystal: Crystal
    cycles: Sequence[Mapping[str, float]]
    statistics: DataStatistics
    geometry: GeometryReport
    n_work: int
    n_free: int
    b_model: Sequence[float]
    b_water: Sequence[float]
    warnings: Sequence[str]
    interrupted: bool
    dictionaries: Mapping[str, str]


def refinement_page(report: RefinementReport) -> Page:
    """The report as a page."""
    return Page(
        title=f"Refinement of {report.model}",
        lead=_lead(report),
        sections=[
            Section("", [*_notes(report), _numbers(report)]),
            Section("Course of the refinement", _course(report)),
            Section("Agreement by resolution", _shells(report)),
            Section("Geometry", _geometry(report)),
            Section("B factors", _displacement(report)),
            Section("Data and restraints", _sources(report)),
        ],
    )


def _lead(report: RefinementReport) -> str:
    first, count = report.cycles[0], int(report.cycles[-1]["cycle"])
    return (
        f"R-work {first['r_work']:.3f} → {report.statistics.r_work:.3f}, R-free {first['r_free']:.3f} → "
        f"{report.statistics.r_free:.3f} in {count} cycle{'' if count == 1 else 's'} against {report.data}."
    )


def _notes(report: RefinementReport) -> list[Block]:
    notes: list[Block] = []
    if report.interrupted:
        notes.append(Note("Ended by the user: these are the results of the last complete cycle.", "warning"))
    notes += [Note(text, "warning") for text in report.warnings[:12]]
    if len(report.warnings) > 12:
        notes.append(Note(f"{len(report.warnings) - 12} more warnings in run.log.", "warning"))
    return notes


def _numbers(report: RefinementReport) -> Numbers:
    last, statistics = report.cycles[-1], report.statistics
    items = [
        ("R-work", f"{statistics.r_work:.4f}"),
        ("R-free", f"{statistics.r_free:.4f}"),
        ("bonds, rmsd (rms Z)", f"{last['bond_rmsd']:.4f} Å ({last['bond_rmsz']:.2f})"),
        ("angles, rmsd (rms Z)", f"{last['angle_rmsd']:.2f}° ({last['angle_rmsz']:.2f})"),
        ("CC-free", f"{statistics.cc_free:.3f}"),
    ]
    if len(statistics.twin_fractions) > 1:
        items.append(("twin fractions", " ".join(f"{f:.3f}" for f in statistics.twin_fractions)))
    return Numbers(items)


def _course(report: RefinementReport) -> list[Block]:
    picture = cycles_figure(report.cycles)
    rows = [
        [
            f"{int(c['cycle'])}",
            f"{c['r_work']:.4f}",
            f"{c['r_free']:.4f}",
            f"{c['bond_rmsd']:.4f}",
            f"{c['bond_rmsz']:.2f}",
            f"{c['angle_rmsd']:.2f}",
            f"{c['angle_rmsz']:.2f}",
            f"{c['weight']:.3g}",
        ]
        for c in report.cycles
    ]
    head = ["cycle", "R-work", "R-free", "bonds, Å", "rms Z", "angles, °", "rms Z", "weight"]
    return [
        Picture(picture, "R factors, likelihood of the free set, and geometry by cycle; cycle 0 is the start."),
        Table(head, rows, caption="Every cycle", more=True),
    ]


def _shells(report: RefinementReport) -> list[Block]:
    picture = shells_figure(report.statistics.shells)
    rows = [
        [
            f"{s.d_max:.2f}–{s.d_min:.2f}",
            f"{s.measured}",
            f"{s.free}",
            f"{100 * s.completeness:.1f}",
            f"{s.r_work:.3f}",
            f"{s.r_free:.3f}",
            f"{s.cc_work:.3f}",
            f"{s.cc_free:.3f}",
            f"{s.fom:.2f}",
        ]
        for s in report.statistics.shells
    ]
    head = ["Å", "measured", "free", "complete, %", "R-work", "R-free", "CC work", "CC free", "FOM"]
    return [
        Picture(picture, "R factors, correlation of amplitudes, and completeness with the figure of merit, by shell."),
        Table(head, rows, caption="Every shell", more=True),
    ]


def _geometry(report: RefinementReport) -> list[Block]:
    first, found = report.cycles[0], report.geometry.summaries
    rows = [
        [
            f"{label}, {unit}",
            f"{found[kind].count}",
            f"{first[f'{kind}_rmsz']:.2f}" if f"{kind}_rmsz" in first else "–",
            f"{found[kind].rmsz:.2f}",
            f"{found[kind].rmsd:{form}}",
        ]
        for label, kind, unit, form in KINDS
        if kind in found and found[kind].count
    ]
    picture = geometry_figure(report.cycles)
    blocks: list[Block] = [
        Picture(picture, "Root mean square Z of bonds and angles by cycle; the band is where bonds should end."),
        Table(
            ["restraints", "number", "rms Z at the start", "rms Z at the end", "rms deviation"],
            rows,
            caption="Without hydrogens. Everything that the topology lists counts, restrained or not; links are those "
            "between residues, which the lines above them hold too.",
        ),
    ]
    outliers = report.geometry.outliers
    if not outliers:
        return [*blocks, Text("No bond, angle, torsion, chiral volume or plane is off by 5 σ or more.")]
    listed = [
        [o.kind + (" (link)" if o.link else ""), " – ".join(o.atoms), f"{o.value:.3f}", f"{o.target:.3f}", f"{o.z:.1f}"]
        for o in outliers[:MOST_LISTED]
    ]
    more = f" (the worst {MOST_LISTED} of {len(outliers)})" if len(outliers) > MOST_LISTED else ""
    caption = f"Off by 5 σ or more{more}; Å, degrees, Å³"
    return [*blocks, Table(["kind", "atoms", "value", "ideal", "Z"], listed, caption=caption, more=True)]


def _displacement(report: RefinementReport) -> list[Block]:
    picture = b_figure(report.b_model, report.b_water)
    return [Picture(picture, "Distribution of B (equivalent B of anisotropic atoms); the last bar holds all above it.")]


def _sources(report: RefinementReport) -> list[Block]:
    cell = " ".join(f"{v:.4g}" for v in report.crystal.cell)
    statistics = report.statistics
    anisotropy = " ".join(f"{v:.2f}" for v in statistics.anisotropy)
    rows = [
        ["Data", f"{report.data}, {report.labels}"],
        ["Free flags", report.flags],
        ["Reflections", f"{report.n_work} work, {report.n_free} free, {statistics.outliers} outliers left out"],
        ["Crystal", f"{cell} {report.crystal.space_group}"],
        ["Bulk solvent", f"k {statistics.k_sol:.3f} e⁻/Å³, B {statistics.b_sol:.1f} Å²"],
        ["Anisotropy of the scale", f"{anisotropy} Å² (11 22 33 12 13 23)"],
    ]
    made = [[name, source] for name, source in sorted(report.dictionaries.items())]
    return [
        Table(["", ""], rows),
        Table(["component", "restraints from"], made, caption="Dictionaries", more=True),
        Text("refined.mtz holds the maps (FWT PHWT, DELFWT PHDELWT), refined.json every number of this page."),
    ]
