"""The page of a deposition: what is there, what must be filled in, what the checks found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.reports.page import Block, Note, Numbers, Page, Section, Table, Text

WHAT = {
    "model.cif": "the model, its refinement and experiment: upload as coordinates (mmCIF)",
    "structure_factors.cif": "measured data, free flags, Fcalc and map coefficients: upload as structure factors",
    "primary_map.mrc": "the primary map",
    "half_map_1.mrc": "half map 1, unfiltered",
    "half_map_2.mrc": "half map 2, unfiltered",
    "mask.mrc": "the mask of the FSC",
    "fsc.xml": "FSC of the half maps; its title says whether corrected for the mask",
    "model_map_fsc.xml": "FSC of the model against the map",
    "to_fill_in.yaml": "what is missing; fill in and run again with --metadata",
    "validation.html": "geometry and fit of the files as written",
}
SHOWN = (
    ("ls_d_res_high", "Resolution, Å"), ("ls_number_reflns_obs", "Reflections"), ("ls_R_factor_R_work", "R-work"),
    ("ls_R_factor_R_free", "R-free"), ("pdbx_overall_ESU_R_Free", "Coordinate error (by R-free), Å"),
)  # fmt: skip
IN_MAPS = (
    ("fsc_average", "FSC of model and map, average", ".4f"),
    ("fsc_resolution_0.5", "FSC above .5 to, Å", ".2f"),
    ("q_score", "Q-score", ".3f"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositionReport:
    """What the page shows.

    Attributes
    ----------
    name : of the entry.
    files : written.
    missing : (item, what it is, example).
    from_model : chains whose sequence is only what the model shows.
    checks : file → (dictionary, errors); empty without a dictionary.
    findings : what needs a second look.
    refine : items of `_refine`.
    judged : summary of the validation of the written files; empty without.
    """

    name: str
    files: Sequence[str]
    missing: Sequence[tuple[str, str, str]]
    from_model: Sequence[str]
    checks: Mapping[str, tuple[str, Sequence[str]]]
    findings: Sequence[str]
    refine: Mapping[str, str]
    judged: Mapping[str, Any]


def deposition_page(report: DepositionReport) -> Page:
    """The page of one deposition."""
    sections = [Section("", [_numbers(report), *_notes(report)])]
    listed = [*report.files, *(["to_fill_in.yaml"] if report.missing else [])]
    listed += ["validation.html"] if report.judged else []
    sections.append(Section("Files", [Table(["File", "What it is"], [[f, WHAT.get(f, "")] for f in listed])]))
    if report.missing:
        head = ["Item", "What it is", "Example"]
        text = "Fill in to_fill_in.yaml and run again with --metadata, or type these into the deposition form."
        sections.append(Section("To fill in", [Text(text), Table(head, [list(m) for m in report.missing])]))
    if report.checks:
        rows = [[file, dictionary, str(len(errors))] for file, (dictionary, errors) in report.checks.items()]
        blocks: list[Block] = [Table(["File", "Dictionary", "Errors"], rows)]
        blocks += [Note(f"{file}: {e}", "warning") for file, (_, errors) in report.checks.items() for e in errors[:20]]
        sections.append(Section("Dictionary", blocks))
    lead = f"{len(report.files)} files. " + (
        f"{len(report.missing)} items are known to the experimenter only and must be filled in."
        if report.missing
        else "Nothing is left to fill in."
    )
    return Page(title=f"Deposition of {report.name}", lead=lead, sections=sections)


def _numbers(report: DepositionReport) -> Numbers:
    items = [(label, report.refine[item]) for item, label in SHOWN if item in report.refine]
    found = [(label, report.judged.get(key), form) for key, label, form in IN_MAPS]
    items += [(label, f"{value:{form}}") for label, value, form in found if value is not None]
    if "molprobity_score" in report.judged:
        items.append(("MolProbity score", f"{report.judged['molprobity_score']:.2f}"))
    if "clashscore" in report.judged:
        items.append(("Clash score", f"{report.judged['clashscore']:.2f}"))
    items.append(("To fill in", str(len(report.missing))))
    return Numbers(items)


def _notes(report: DepositionReport) -> list[Block]:
    notes: list[Block] = [Note(text, "warning") for text in report.findings]
    if report.from_model:
        chains = ", ".join(report.from_model)
        notes.append(
            Note(
                f"Chain {chains}: the sequence is what the model shows, without what is disordered; give that of the "
                "sample with --sequence FILE.fasta.",
                "warning",
            )
        )
    if not report.checks:
        notes.append(Note("Not checked against the PDBx/mmCIF dictionary: none was found (--dictionary)."))
    if "r_work" in report.judged:
        notes.append(
            Note(
                f"Read back, the files give R-work {report.judged['r_work']:.4f} and R-free "
                f"{report.judged['r_free']:.4f}.",
                "good",
            )
        )
    return notes
