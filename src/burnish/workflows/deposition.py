"""What depositions of crystals and of maps share: the refinement that is read, the checks, the report."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi

from burnish.chemistry.library import Library, read_library
from burnish.core.errors import DataError, InputError
from burnish.core.events import Message
from burnish.io.atomic import write_text
from burnish.io.deposition.categories import Categories
from burnish.io.deposition.dictionary import Dictionary, DictionaryCheck, find_dictionary
from burnish.io.deposition.requirements import Missing
from burnish.io.deposition.sequences import Sequenced, read_sequences, with_sequences
from burnish.io.models import ModelFile, read_model
from burnish.jobs.folder import Job
from burnish.options.deposit import DepositOptions
from burnish.reports.deposition import DepositionReport, deposition_page
from burnish.reports.page import render
from burnish.workflows.ligand_requests import ligand_requests

READ_BACK = ("r_work", "r_free", "fsc_average", "q_score", "clashscore", "molprobity_score")  # of the validation


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A refinement to deposit.

    Attributes
    ----------
    folder : of the job.
    record : its `refined.json`.
    options : of the job, by name.
    model : its `refined.cif`.
    block : of that file.
    """

    folder: Path
    record: dict[str, Any]
    options: dict[str, Any]
    model: ModelFile
    block: gemmi.cif.Block

    @property
    def is_em(self) -> bool:
        return self.options.get("data") is None


def read_source(folder: Path) -> Source:
    """Read what a refinement left in its folder.

    Raises
    ------
    InputError, DataError
        when the folder is not that of a finished refinement.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name that of a refinement or cycle")
    for name in ("refined.cif", "refined.json"):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: no {name} in it; expected the folder of a finished refinement or cycle")
    try:
        record = json.loads((folder / "refined.json").read_text(encoding="utf-8"))
        job = json.loads((folder / "job.json").read_text(encoding="utf-8")) if (folder / "job.json").is_file() else {}
    except ValueError as error:
        raise DataError(f"{folder}: damaged record ({error}); run the refinement again") from None
    options = dict(job.get("options", {}))
    if not options:
        options = {"data": (record.get("data") or {}).get("file"), "ligand": []}
    model = read_model(folder / "refined.cif")
    document = model.document
    if document is None:
        raise DataError(f"{folder / 'refined.cif'}: is no mmCIF; run the refinement again")
    block = next(b for b in document if b.find_loop("_atom_site.id").get_loop() is not None)
    return Source(folder=folder, record=record, options=options, model=model, block=block)


def _entry_name(source: Source) -> str:
    """The PDB code that the model's file names, else the name of the file that was refined."""
    name = source.model.structure.name.partition(".")[0]
    if not re.fullmatch(r"(pdb_0000)?\d\w{3}", name):
        name = Path(str(source.options.get("model") or source.record.get("model") or name)).name.partition(".")[0]
    return re.sub(r"\W", "_", name).upper() or "MODEL"


def prepare(options: DepositOptions, source: Source, job: Job) -> tuple[Sequenced, Library]:
    """The structure with its sequences and final names, and the dictionaries of its components."""
    structure = source.model.structure.clone()
    structure.name = options.entry or _entry_name(source)
    structure.info["_entry.id"] = structure.name  # the file's own would contradict every other table
    sequenced = with_sequences(structure, read_sequences(options.sequence))
    for message in sequenced.messages:
        job.notify(message)
    asked = ligand_requests(source.options.get("ligand") or ())  # a cycle takes codes and SMILES as well
    ligands = options.ligand or asked.files
    monomers = options.monomers or (Path(source.options["monomers"]) if source.options.get("monomers") else None)
    smiles = asked.smiles | dict(item.split("=", 1) for item in source.options.get("smiles") or ())
    examples = {residue.name: residue for chain in structure[0] for residue in chain}
    library = read_library(sorted(examples), ligands=ligands, monomers=monomers, smiles=smiles, examples=examples)
    return sequenced, library


def input_files(options: DepositOptions, source: Source, *names: str) -> list[Path]:
    """Every file that is read."""
    own = [source.folder / n for n in ("refined.cif", "refined.json", *names)]
    return [
        *own,
        *options.sequence,
        *(p for p in (options.metadata, options.unmerged) if p is not None),
        *options.ligand,
    ]


def read_dictionary(options: DepositOptions) -> Dictionary | None:
    """The dictionary to check against, None where there is none."""
    path = find_dictionary(options.dictionary)
    return Dictionary(path) if path is not None else None


def check_files(dictionary: Dictionary | None, job: Job, names: list[str]) -> dict[str, DictionaryCheck]:
    """Check written files against the dictionary, telling what it finds."""
    if dictionary is None:
        job.notify(Message("no PDBx/mmCIF dictionary: not checked; --dictionary FILE, or pip install burnish[cctbx]"))
        return {}
    checks = {name: dictionary.check(job.path(name)) for name in names}
    for name, check in checks.items():
        for text in check.errors:
            job.notify(Message(f"{name}: {text}", "warning"))
    return checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """A deposition whose files are written.

    Attributes
    ----------
    name : of the entry.
    categories : of its model.
    missing : what only the experimenter knows.
    checks : of files against the dictionary.
    findings : what is wrong with the files, in words.
    judged : summary of the validation of what was written.
    sequenced : the model with its sequences, and what was said of them.
    files : names.
    """

    name: str
    categories: Categories
    missing: list[Missing]
    checks: dict[str, DictionaryCheck]
    findings: list[str]
    judged: dict[str, Any]
    sequenced: Sequenced
    files: list[str]


def finish(job: Job, done: Gathered) -> dict[str, Any]:
    """Write record and page, and sum up."""
    for text in done.findings:
        job.notify(Message(text, "warning"))
    findings = [*done.findings, *(m.text for m in done.sequenced.messages)]  # those have been told
    missing, checks, judged = done.missing, done.checks, done.judged
    if missing:
        listed = job.path("to_fill_in.yaml")
        job.notify(
            Message(f"{len(missing)} items only you know: fill in {listed} and run again with --metadata {listed}")
        )
    record = {
        "entry": done.name,
        "files": done.files,
        "to_fill_in": [{"item": m.name, "what": m.requirement.what, "example": m.requirement.example} for m in missing],
        "sequence_from_model": list(done.sequenced.from_model),
        "dictionary": {
            file: {"dictionary": c.dictionary, "errors": list(c.errors), "notes": list(c.notes)}
            for file, c in checks.items()
        },
        "findings": findings,
        "read_back": {k: v for k, v in judged.items() if k != "report"},
    }
    write_text(job.path("deposit.json"), json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    report = DepositionReport(
        name=done.name,
        files=tuple(done.files),
        missing=tuple((m.name, m.requirement.what, m.requirement.example) for m in missing),
        from_model=done.sequenced.from_model,
        checks={k: (c.dictionary, c.errors) for k, c in checks.items()},
        findings=tuple(findings),
        refine={k: str(v[0]) for k, v in done.categories.get("refine", {}).items() if isinstance(v[0], str)},
        judged=judged,
    )
    write_text(job.path("report.html"), render(deposition_page(report)))
    return {
        "entry": done.name,
        "files": [str(job.path(f)) for f in done.files],
        "to_fill_in": len(missing),
        "dictionary_errors": sum(len(c.errors) for c in checks.values()) if checks else None,
        "findings": len(findings),
        **{k: judged[k] for k in READ_BACK if k in judged},
        "report": str(job.path("report.html")),
    }
