"""The page of a validation: verdicts first, then plots, then what to look at."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from numpy.typing import NDArray

from burnish.chemistry.angle_density import levels
from burnish.chemistry.ramachandran import FAVOURED_LEVEL, OUTLIER_LEVEL, RamachandranClass, ramachandran_density
from burnish.reports.colours import BLUE, GREY, ORANGE, RED, SOFT
from burnish.reports.figures import as_png, house_style, new_figure
from burnish.reports.page import Block, Note, Numbers, Page, Picture, Section, Table, Text
from burnish.reports.validation_em import map_section
from burnish.reports.worklist import worklist

PANELS: tuple[tuple[RamachandranClass, str], ...] = (
    ("general", "General"),
    ("ile_val", "Ile and Val"),
    ("pre_proline", "Before proline"),
    ("glycine", "Glycine"),
    ("trans_proline", "Trans proline"),
    ("cis_proline", "Cis proline"),
)
FloatArray = NDArray[np.float64]
COLOURS = {"favoured": BLUE, "allowed": ORANGE, "outlier": RED}


def validation_page(record: dict[str, Any], name: str, agreement: dict[str, float] | None = None) -> Page:
    """The page of one model.

    Parameters
    ----------
    record : findings, as `validate.summary` gives them.
    name : of the model.
    agreement : R factors and the like, by name, when there are data.
    """
    sections = [Section("", [_numbers(record, agreement), *_notes(record)]), _backbone_section(record)]
    if "map" in record:
        sections.append(map_section(record))
    sections.append(Section("By residue", _residue_pictures(record)))
    sections.append(worklist(record))
    if "geometry" in record:
        sections.append(_geometry_section(record["geometry"]))
    sections.append(_outlier_section(record))
    if "fit" in record:
        sections.append(_fit_section(record))
    return Page(title=f"Validation of {name}", lead=_lead(record, agreement), sections=sections)


RESIDUE = re.compile(r"(\S+) (-?\d+[A-Za-z]?) [A-Z0-9]+\b")  # "A 27 LEU", as findings name residues and atoms


def viewer_address(job: str) -> str:
    """Where the web page shows a job ("Validate/job003/", as RELION names it) at a residue to be appended."""
    return f"/#/job/{job.rstrip('/')}?residue="


def with_viewer_links(page: Page, viewer: str) -> Page:
    """The page with each table's residues leading to the viewer.

    Parameters
    ----------
    viewer : address that chain and number are appended to, as "/#/job/Validate/job003?residue=".
    """

    def linked(block: Block) -> Block:
        if not isinstance(block, Table) or block.links:
            return block
        found = [RESIDUE.match(row[0]) for row in block.rows]
        if not any(found):
            return block
        return replace(block, links=[f"{viewer}{quote(m[1])}/{m[2]}" if m else "" for m in found])

    sections = [replace(section, blocks=[linked(b) for b in section.blocks]) for section in page.sections]
    return replace(page, sections=sections)


def _lead(record: dict[str, Any], agreement: dict[str, float] | None) -> str:
    backbone = record["ramachandran"]
    text = (
        f"{backbone['favoured_percent']:.1f} % of the residues are Ramachandran favoured and "
        f"{backbone['outlier_percent']:.1f} % outliers; {record['rotamer_outlier_percent']:.1f} % of the side chains "
        f"are rotamer outliers; clash score {record['clashscore']:.1f}."
    )
    if "map" in record:
        found = record["map"]
        text += f" FSC average of model and map {found['fsc']['average']:.3f} to {found['resolution']:g} Å."
    if agreement:
        text += f" R {agreement['r_work']:.3f}, R-free {agreement['r_free']:.3f}."
    return text


def _numbers(record: dict[str, Any], agreement: dict[str, float] | None) -> Numbers:
    items = []
    if agreement:
        items += [("R-work", f"{agreement['r_work']:.4f}"), ("R-free", f"{agreement['r_free']:.4f}")]
    backbone = record["ramachandran"]
    items += [
        ("Ramachandran favoured", f"{backbone['favoured_percent']:.1f} %"),
        ("Ramachandran outliers", f"{backbone['outlier_percent']:.2f} %"),
        ("Rotamer outliers", f"{record['rotamer_outlier_percent']:.1f} %"),
        ("Clash score", f"{record['clashscore']:.2f}"),
        ("MolProbity score", f"{record['molprobity_score']:.2f}"),
        ("Cβ outliers", str(record["cbeta"]["outlier_count"])),
    ]
    return Numbers(items)


def _notes(record: dict[str, Any]) -> list[Block]:
    notes: list[Block] = []
    for key, label in (("molprobity_score", "MolProbity score"), ("clashscore", "clash score")):
        standing = record.get("percentiles", {}).get(key)
        if standing and standing["percentile"] is not None:
            notes.append(
                Text(
                    f"The {label} is better than that of about {standing['percentile']:.0f} % of the structures of "
                    f"like resolution of 2004–2006 (median {standing['median']:.2f})."
                )
            )
    bad = record["peptides"]["twisted"]
    if bad:
        notes.append(Note("Twisted peptides before " + ", ".join(p["residue"] for p in bad) + ".", "warning"))
    cis = record["peptides"]["cis_nonproline"]
    if cis:
        notes.append(Note("Cis peptides before other residues than proline: " + _names(cis) + ".", "warning"))
    return notes


def _names(rows: Sequence[dict[str, Any]]) -> str:
    return ", ".join(r["residue"] for r in rows)


def _backbone_section(record: dict[str, Any]) -> Section:
    blocks: list[Block] = [
        Picture(
            ramachandran_figure(record["by_residue"]),
            "φ and ψ of every residue over the favoured (dark) and allowed (light) regions of its class.",
            "Ramachandran plots of six classes of residues",
        )
    ]
    outliers = record["ramachandran"]["outliers"] + record["ramachandran"]["allowed"]
    if outliers:
        rows = [
            [r["residue"], r["class"].replace("_", " "), f"{r['phi_deg']:.1f}", f"{r['psi_deg']:.1f}",
             f"{r['level_percent']:.3f}"]
            for r in outliers
        ]  # fmt: skip
        blocks.append(
            Table(
                ["Residue", "Class", "φ, °", "ψ, °", "Level, %"],
                rows,
                "Outliers and residues in allowed regions: percentage of like residues that are less usual.",
            )
        )
    return Section("Backbone", blocks)


def ramachandran_figure(rows: Sequence[dict[str, Any]]) -> bytes:
    """PNG of the six plots, outliers labelled."""
    with house_style():
        figure, axes = new_figure(10.5, 7.2, columns=3, rows=2, margins=(0.76, 0.2, 0.52, 0.34))
        for panel, (kind, title) in zip(axes, PANELS, strict=True):
            _draw_regions(panel, kind)
            _draw_residues(panel, [r for r in rows if r.get("ramachandran_class") == kind], title)
        return as_png(figure)


def _draw_regions(axes: Axes, kind: RamachandranClass) -> None:
    x = torch.deg2rad(torch.arange(-180.0, 181.0, 4.0, dtype=torch.float64))
    level = levels(ramachandran_density(kind), torch.cartesian_prod(x, x)).reshape(len(x), len(x)).T.numpy()
    degrees = np.rad2deg(x.numpy())
    axes.contourf(
        degrees,
        degrees,
        np.log(np.maximum(level, 1e-9)),
        levels=[math.log(OUTLIER_LEVEL[kind]), math.log(FAVOURED_LEVEL), 0.1],
        colors=["#e3edf1", "#b9d3dc"],
    )


def _draw_residues(axes: Axes, rows: Sequence[dict[str, Any]], title: str) -> None:
    for verdict, colour in COLOURS.items():
        chosen = [r for r in rows if r["ramachandran"] == verdict]
        size = 7 if verdict == "favoured" else 18
        axes.scatter([r["phi_deg"] for r in chosen], [r["psi_deg"] for r in chosen], s=size, color=colour, zorder=3)
    for r in rows:
        if r["ramachandran"] == "outlier":
            label = f"{r['chain']} {r['number']}"
            axes.annotate(
                label, (r["phi_deg"], r["psi_deg"]), xytext=(4, 3), textcoords="offset points", fontsize=7.5, color=RED
            )
    axes.set_xlim(-180, 180)
    axes.set_ylim(-180, 180)
    axes.set_xticks(range(-180, 181, 90))
    axes.set_yticks(range(-180, 181, 90))
    axes.set_aspect("equal")
    axes.set_title(f"{title} ({len(rows)})")
    axes.set_xlabel("φ, °")
    axes.set_ylabel("ψ, °")


def _residue_pictures(record: dict[str, Any]) -> list[Block]:
    chains: dict[str, list[dict[str, Any]]] = {}
    for row in record["by_residue"]:
        if row["kind"] in ("protein", "nucleic") and row["altloc"] in ("", "A"):
            chains.setdefault(row["chain"], []).append(row)
    return [
        Picture(
            residue_figure(rows),
            f"Chain {chain}. Every bar grows with the trouble: higher is worse.",
            f"Quality of each residue of chain {chain}",
        )
        for chain, rows in chains.items()
        if len(rows) > 1
    ]


def residue_figure(rows: Sequence[dict[str, Any]]) -> bytes:
    """PNG of bars by residue, all pointing up for worse: density, difference density, backbone, side chain, B."""
    tracks: list[tuple[str, list[float], float]] = []
    if any("rscc" in r for r in rows):
        tracks.append(("1 − RSCC", [1.0 - r.get("rscc", 1.0) for r in rows], 0.2))
        tracks.append(("|difference|, σ", [abs(r.get("difference_z", 0.0)) for r in rows], 4.0))
        tracks.append(("mean B, Å²", [r.get("mean_b", 0.0) for r in rows], math.inf))
    tracks.append(("backbone, −log₁₀", [_rarity(r.get("ramachandran_percent")) for r in rows], -math.log10(0.02)))
    tracks.append(("side chain, −log₁₀", [_rarity(r.get("rotamer_percent")) for r in rows], -math.log10(0.003)))
    with house_style():
        figure, axes = new_figure(11.0, 1.05 * len(tracks), rows=len(tracks), margins=(0.6, 0.1, 0.16, 0.06))
        x = np.arange(len(rows), dtype=np.float64)
        for panel, (label, values, limit) in zip(axes, tracks, strict=True):
            _draw_bars(panel, x, np.array(values), limit)
            if math.isfinite(limit):
                panel.axhline(limit, color=SOFT, linewidth=0.8, linestyle=":")
            panel.set_ylabel(label, fontsize=6.8)
            panel.set_xlim(-1, len(rows))
            panel.grid(False, axis="x")
            panel.set_xticks([])
        step = max(1, len(rows) // 20)
        axes[-1].set_xticks(x[::step], [row["number"] for row in rows[::step]])
        axes[-1].tick_params(axis="x", length=0, pad=1, labelsize=7.5)
        return as_png(figure)


def _draw_bars(axes: Axes, x: FloatArray, values: FloatArray, limit: float) -> None:
    """Bars as one collection: a patch for each would take most of the time of a validation of a large model."""
    corners = np.zeros((len(x), 4, 2))
    corners[:, :, 0] = x[:, None] + np.array([-0.45, -0.45, 0.45, 0.45])
    corners[:, 1:3, 1] = values[:, None]
    axes.add_collection(PolyCollection(list(corners), facecolors=[RED if v > limit else GREY for v in values]))
    highest = max(float(values.max(initial=0.0)), limit if math.isfinite(limit) else 0.0)
    axes.set_ylim(0.0, 1.05 * highest or 1.0)


def _rarity(percent: float | None) -> float:
    """−log₁₀ of a level; 0 where there is none."""
    return 0.0 if percent is None else min(5.0, -math.log10(max(percent / 100.0, 1e-5)))


GEOMETRY_KINDS = (
    ("bond", "Bonds, Å"),
    ("bond_link", "of these between residues, Å"),
    ("angle", "Angles, °"),
    ("angle_link", "of these between residues, °"),
    ("torsion", "Torsions, °"),
    ("chiral", "Chiral volumes, Å³"),
    ("plane", "Atoms out of planes, Å"),
)


def _geometry_section(geometry: dict[str, Any]) -> Section:
    rows = [
        [label, str(g["count"]), f"{g['rmsd']:.3f}", f"{g['rmsz']:.2f}"]
        for kind, label in GEOMETRY_KINDS
        if (g := geometry[kind])["count"]
    ]
    blocks: list[Block] = [
        Table(["", "Number", "rmsd", "rms Z"], rows, "Against the dictionaries, without hydrogens: all that is bonded.")
    ]
    if geometry["outliers"]:
        worst = [
            [o["kind"], " – ".join(o["atoms"]), f"{o['value']:.3f}", f"{o['ideal']:.3f}", f"{o['z']:+.1f}"]
            for o in geometry["outliers"][:60]
        ]
        head = ["Kind", "Atoms", "Value", "Ideal", "Z"]
        blocks.append(Table(head, worst, "Farther than 5 σ from ideal, the worst first.", more=len(worst) > 12))
    return Section("Stereochemistry", blocks)


def _outlier_section(record: dict[str, Any]) -> Section:
    blocks: list[Block] = []
    rotamers = record["rotamers"]["outliers"]
    if rotamers:
        rows = [[r["residue"], " ".join(f"{c:.0f}°" for c in r["chi_deg"]), f"{r['level_percent']:.3f}"]
                for r in rotamers]  # fmt: skip
        blocks.append(Table(["Residue", "χ", "Level, %"], rows, "Rotamer outliers."))
    if record["clashes"]:
        rows = [[c["first"], c["second"], f"{c['overlap']:.2f}"] for c in record["clashes"][:60]]
        blocks.append(Table(["Atom", "Atom", "Overlap, Å"], rows, "Clashes, the worst first.", more=len(rows) > 12))
    if record["cbeta"]["outliers"]:
        rows = [[d["residue"], f"{d['deviation']:.2f}"] for d in record["cbeta"]["outliers"]]
        blocks.append(Table(["Residue", "Deviation, Å"], rows, "Cβ deviations."))
    if record["flips"]:
        rows = [[f["residue"], f"{f['gain']:.1f}"] for f in record["flips"]]
        blocks.append(Table(["Side chain", "Gain"], rows, "Asn, Gln and His that bond better turned by 180°."))
    waters = record["waters"]
    if waters["alone"] or waters["too_close"]:
        alone, close = ", ".join(waters["alone"]) or "none", ", ".join(waters["too_close"]) or "none"
        blocks.append(Text(f"Waters without a partner: {alone}. Waters too close to an atom: {close}."))
    if record["b_factor_outliers"]:
        rows = [[d["residue"], f"{d['mean_b']:.0f}", f"{d['around']:.0f}"] for d in record["b_factor_outliers"][:30]]
        blocks.append(
            Table(["Residue", "B, Å²", "around, Å²"], rows, "B unlike their surroundings.", more=len(rows) > 8)
        )
    return Section("Side chains, clashes and B", blocks or [Text("Nothing stands out.")])


def _fit_section(record: dict[str, Any]) -> Section:
    fit = record["fit"]
    blocks: list[Block] = [Text(f"Mean correlation of the residues with the density: {fit['mean_rscc']}.")]
    for key, caption in (("poor", "Residues with correlation below 0.8."), ("ligands", "Ligands and ions.")):
        if fit[key]:
            rows = [
                [r["residue"], f"{r['rscc']:.2f}", f"{r['rsr']:.2f}", f"{r['difference_z']:+.1f}", f"{r['mean_b']:.0f}"]
                for r in fit[key]
            ]
            blocks.append(Table(["Residue", "RSCC", "RSR", "Difference, σ", "B, Å²"], rows, caption, len(rows) > 15))
    peaks = record["difference_peaks"]
    if peaks:
        rows = [
            [f"{p['sigma']:+.1f}", p["near"], f"{p['distance']:.1f}", " ".join(f"{x:.1f}" for x in p["xyz"])]
            for p in peaks[:40]
        ]
        blocks.append(
            Table(
                ["Height, σ", "Nearest atom", "Distance, Å", "Position, Å"],
                rows,
                "Peaks and holes of the difference density.",
            )
        )
    return Section("Fit to the density", blocks)
