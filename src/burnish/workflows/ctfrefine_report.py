"""The report of `burnish ctfrefine`: sentences, tables and figures, put together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from burnish.optics.aberrations import odd_phase
from burnish.optics.ctf import defocus_coefficients
from burnish.optics.magnification import split_magnification
from burnish.options.ctfrefine import CtfRefineOptions
from burnish.particles.ctf_refinement.aberration_fit import phase_change
from burnish.particles.ctf_refinement.findings import GroupFinding, Loss
from burnish.particles.ctf_refinement.phase_images import observed_even, observed_odd, phase_image
from burnish.particles.ctf_refinement.refinement import Experiment, State
from burnish.reports.ctfrefine_figures import (
    MicrographPanel,
    change_figure,
    defocus_pages,
    phase_figure,
)
from burnish.reports.figures import as_pdf, as_png, house_style
from burnish.reports.page import Block, Note, Numbers, Page, Picture, Section, Table, Text, render

PAGES_IN_HTML = 4  # of 30 micrographs; all of them are in logfile.pdf


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The report.

    Attributes
    ----------
    files : name → content.
    sentences : what was found, one for each group.
    """

    files: dict[str, bytes]
    sentences: tuple[str, ...]


def draw_report(
    options: CtfRefineOptions,
    experiment: Experiment,
    state: State,
    findings: tuple[GroupFinding, ...],
    summary: dict[str, Any],
    *,
    footer: str,
) -> Drawn:
    """Draw every figure once and put it into HTML, PDF and files of its own."""
    sentences = tuple(_sentence(f, state, i) for i, f in enumerate(findings))
    files: dict[str, bytes] = {}
    with house_style():
        maps = _defocus_maps(experiment, state)
        changes = _changes(experiment, state)
        phases = _phase_figures(experiment, state)
        for name, figure in phases:
            files[f"{name}.png"] = as_png(figure, dpi=110)
        everything = [*([changes] if changes else []), *(f for _, f in phases), *maps]
        if everything:
            files["logfile.pdf"] = as_pdf(everything, title=f"CTF refinement of {options.particles}")
        sections = [Section("", _opening(findings, sentences, state, experiment, summary))]
        if changes is not None:
            sections.append(Section("Defocus", _defocus_blocks(changes, maps)))
        pictures = [Picture(files[f"{n}.png"], _caption(n), alt=_caption(n)) for n, _ in phases]
        terms = _term_table(findings)
        if terms or pictures:
            sections.append(Section("Aberrations", [*terms, *pictures]))
        if state.fits.magnification:
            sections.append(Section("Magnification", [_magnification_table(state)]))
    lead = f"{summary['particles']} particles of {summary['micrographs']} micrographs compared with their own half map."
    page = Page(title="CTF refinement", lead=lead, sections=sections, footer=footer)
    files["report.html"] = render(page).encode()
    return Drawn(files=files, sentences=sentences)


def _opening(
    findings: tuple[GroupFinding, ...],
    sentences: tuple[str, ...],
    state: State,
    experiment: Experiment,
    summary: dict[str, Any],
) -> list[Block]:
    numbers = [("particles", f"{summary['particles']}"), ("defocus refined", f"{summary['defocus_refined']}")]
    if summary["defocus_refined"]:
        numbers += [
            ("rms change of defocus", f"{summary['defocus_change_rms']:.0f} Å"),
            ("its typical uncertainty", f"± {summary['defocus_sigma_median']:.0f} Å"),
        ]
    numbers.append(("data used to", f"{min(f.limit for f in findings):.2f} Å"))
    blocks: list[Block] = [Numbers(numbers)]
    blocks += [Note(s, "good" if f.significant else "info") for f, s in zip(findings, sentences, strict=True)]
    names = experiment.particles.micrographs
    blocks += [Note(f"{names[m]} kept its old values: {why}", "warning") for m, why in state.failed.items()]
    kept = summary.get("defocus_kept", 0)
    if kept and not state.failed:
        blocks.append(Note(f"{kept} particles kept their old defocus: no maximum within the search range.", "warning"))
    return blocks


def _sentence(finding: GroupFinding, state: State, number: int) -> str:
    """What was found for one group, whether it is significant, and what it had cost."""
    said = [*_about_aberrations(finding), *_about_defocus(finding), *_about_magnification(state, number)]
    return f"{finding.name}: " + (" ".join(said) if said else "nothing was fitted.")


def _about_aberrations(finding: GroupFinding) -> list[str]:
    if not finding.terms:
        return []
    said = []
    tilts = [t for t in finding.terms if t.name.startswith("beam tilt")]
    if len(tilts) == 2:
        x, y = tilts
        verdict = "is significant" if x.taken else "is not significant and was left as it was"
        said.append(f"A beam tilt of ({x.value:.3f} ± {x.sigma:.3f}, {y.value:.3f} ± {y.sigma:.3f}) mrad {verdict}.")
    others = [s for s in finding.significant if not s.startswith("beam tilt")]
    tested = {t.name.split(",")[0].removesuffix(" sin").removesuffix(" cos") for t in finding.terms}
    absent = sorted(t for t in tested - set(others) if not t.startswith(("beam tilt", "shift")))
    if others:
        said.append(f"Significant {'is' if len(others) == 1 else 'are'} {', '.join(others)}.")
    if absent:
        said.append(f"No significant {', '.join(absent)}.")
    if finding.aberration_loss is not None:
        said.append(f"These aberrations had {_cost(finding.aberration_loss)}.")
    return said


def _about_defocus(finding: GroupFinding) -> list[str]:
    if not finding.fitted:
        return []
    text = f"The defocus of {finding.fitted} particles changed by {finding.defocus_spread:.0f} Å rms"
    text += f" ({finding.defocus_shift:+.0f} Å on average, each now known to ± {finding.defocus_sigma:.0f} Å)"
    if finding.defocus_loss is not None:
        text += f"; the old values had {_cost(finding.defocus_loss)}"
    return [text.replace("(-", "(−") + "."]


def _about_magnification(state: State, number: int) -> list[str]:
    fit = state.fits.magnification[number] if state.fits.magnification else None
    if fit is None:
        return []
    parts = split_magnification(fit.matrix)
    # an anisotropy of two elements, whose errors add
    sigma = 2.0 * float(fit.sigma.mean())
    verdict = "significant" if parts.anisotropy > 3.0 * sigma else "not significant"
    return [
        f"The magnification differs by {100 * parts.anisotropy:.2f} ± {100 * sigma:.2f} % between "
        f"{math.degrees(parts.angle):.0f}° and across it ({verdict}); its mean factor is {parts.mean:.4f}."
    ]


def _cost(loss: Loss) -> str:
    with_error, without = loss.resolution_with, loss.resolution_without
    kept = f"left {100 * loss.kept_fraction:.0f} % of the signal at {with_error:.2f} Å"
    if not loss.crossed:
        return f"{kept}, the limit of the data used"
    if with_error - without < 0.01:
        return f"{kept} and cost no resolution"
    return f"{kept}; without them about {without:.2f} Å can be expected"


def _defocus_maps(experiment: Experiment, state: State) -> list[Figure]:
    particles = experiment.particles
    if not bool(np.isfinite(particles.coordinate.numpy()).all()) or not bool(state.fitted.any()):
        return []
    defocus = defocus_coefficients(state.defocus)[:, 0].numpy()
    micrograph, xy = particles.micrograph.numpy(), particles.coordinate.numpy()
    panels = []
    for number, name in enumerate(particles.micrographs):
        rows = np.flatnonzero(micrograph == number)
        failed = number in state.failed
        panels.append(MicrographPanel(name=name, x=xy[rows, 0], y=xy[rows, 1], defocus=defocus[rows], failed=failed))
    return defocus_pages(panels)


def _changes(experiment: Experiment, state: State) -> Figure | None:
    fitted = state.fitted
    if not bool(fitted.any()):
        return None
    old, new = (defocus_coefficients(d)[:, 0] for d in (experiment.particles.defocus, state.defocus))
    return change_figure((new - old)[fitted].numpy(), state.sigma[fitted, 0].numpy())


def _phase_figures(experiment: Experiment, state: State) -> list[tuple[str, Figure]]:
    found = []
    for number, sums in enumerate(state.fits.sums):
        if sums is None:
            continue
        plane, now, given = experiment.planes[number], state.optics[number], experiment.particles.optics[number]
        limit = float(plane.s2.max().sqrt())
        k = plane.frequency.double()
        if state.fits.odd[number] is not None:
            before = odd_phase(k, given)
            fitted = phase_image(odd_phase(k, now) - before, plane, odd=True)
            title = f"{now.name}: antisymmetric phase beyond the given optics"
            figure = phase_figure(observed_odd(sums, before, plane), fitted, limit, title)
            found.append((f"odd_phase_optics-group_{number + 1}", figure))
        even = state.fits.even[number]
        if even is not None:
            fitted = phase_image(phase_change(even, now, plane), plane, odd=False)
            title = f"{now.name}: symmetric phase beyond the optics before the last fit"
            figure = phase_figure(observed_even(sums, plane), fitted, limit, title)
            found.append((f"even_phase_optics-group_{number + 1}", figure))
    return found


def _defocus_blocks(changes: Figure, maps: list[Figure]) -> list[Block]:
    blocks: list[Block] = [Picture(as_png(changes, dpi=100), "How far defocus moved, and how well it is known.")]
    for figure in maps[:PAGES_IN_HTML]:
        caption = "Particles at their coordinates; blue: lower defocus than the mean of the micrograph, orange: higher."
        blocks.append(Picture(as_png(figure, dpi=100), caption, alt="particles of each micrograph by defocus"))
    if len(maps) > PAGES_IN_HTML:
        blocks.append(Text(f"{len(maps) - PAGES_IN_HTML} more pages of micrographs are in logfile.pdf."))
    return blocks


def _term_table(findings: tuple[GroupFinding, ...]) -> list[Block]:
    rows = [
        [f.name, t.name, f"{t.value:.4g}", f"{t.sigma:.2g}", f"{t.chance:.2g}", "yes" if t.taken else "no"]
        for f in findings
        for t in f.terms
    ]
    if not rows:
        return []
    head = ["optics group", "term", "value", "± σ", "chance", "taken over"]
    return [Table(head, rows, caption="Fitted terms. Chance: probability of such a change by noise alone.")]


def _magnification_table(state: State) -> Block:
    rows = []
    for group, fit in zip(state.optics, state.fits.magnification, strict=True):
        if fit is None:
            continue
        parts = split_magnification(fit.matrix)
        elements = [f"{v:.5f} ± {s:.5f}" for v, s in zip(fit.matrix.flatten(), fit.sigma.flatten(), strict=True)]
        rows.append([group.name, *elements, f"{100 * parts.anisotropy:.2f}", f"{math.degrees(parts.angle):.0f}"])
    return Table(["optics group", "00", "01", "10", "11", "anisotropy, %", "along, °"], rows)


def _caption(name: str) -> str:
    kind, group = name.split("_phase_optics-group_")
    what = "Antisymmetric" if kind == "odd" else "Symmetric"
    return f"{what} phase of optics group {group}, rad: observed (smoothed), fitted, left over."
