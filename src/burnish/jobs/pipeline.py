"""`default_pipeline.star`: the history of a project as RELION keeps it, read and written in each of its dialects.

RELION 3.1 numbers the types and states of jobs, RELION 4 and 5 spell them out. A pipeline is written with both sets of
columns, so that every version reads it; columns that a file did not have are filled from the ones it had.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import gemmi

from burnish.core.errors import DataError

Status = Literal["Running", "Scheduled", "Succeeded", "Failed", "Aborted"]

STATUS_OF_NUMBER: dict[str, Status] = {
    "0": "Running",
    "1": "Scheduled",
    "2": "Succeeded",
    "3": "Failed",
    "4": "Aborted",
}
NUMBER_OF_STATUS = {status: number for number, status in STATUS_OF_NUMBER.items()}

# RELION 3.1's job numbers and RELION 4's labels by the folder that jobs of the type live in; jobs that RELION does not
# know (a folder missing here) are shown by it as external ones.
TYPE_NUMBER = {
    "Import": "0", "MotionCorr": "1", "CtfFind": "2", "ManualPick": "3", "AutoPick": "4", "Extract": "5", "Select": "7",
    "Class2D": "8", "Class3D": "9", "Refine3D": "10", "MaskCreate": "12", "JoinStar": "13", "Subtract": "14",
    "PostProcess": "15", "LocalRes": "16", "InitialModel": "18", "MultiBody": "19", "Polish": "20", "CtfRefine": "21",
    "External": "99",
}  # fmt: skip
TYPE_LABEL = {
    "Import": "relion.import", "MotionCorr": "relion.motioncorr", "CtfFind": "relion.ctffind",
    "ManualPick": "relion.manualpick", "AutoPick": "relion.autopick", "Extract": "relion.extract",
    "Select": "relion.select", "Class2D": "relion.class2d", "Class3D": "relion.class3d", "Refine3D": "relion.refine3d",
    "MaskCreate": "relion.maskcreate", "JoinStar": "relion.joinstar", "Subtract": "relion.subtract",
    "PostProcess": "relion.postprocess", "LocalRes": "relion.localres", "InitialModel": "relion.initialmodel",
    "MultiBody": "relion.multibody", "Polish": "relion.polish", "CtfRefine": "relion.ctfrefine",
    "External": "relion.external",
}  # fmt: skip

# RELION 3.1's node numbers and RELION 4's labels of the files that jobs exchange.
NODE_LABEL = {
    "0": "MicrographMoviesData.star.relion", "1": "MicrographsData.star.relion", "2": "MicrographsCoords.star.relion",
    "3": "ParticlesData.star.relion", "5": "Image2DStack.mrc", "6": "DensityMap.mrc", "7": "Mask3D.mrc",
    "8": "ParticlesModel.star.relion", "9": "OptimiserData.star.relion", "10": "DensityMap.mrc.halfmap",
    "11": "DensityMap.mrc.relion.postprocess", "12": "Image3D.mrc.relion.localresmap", "13": "LogFile.pdf",
    "14": "ProcessData.star.relion.postprocess", "15": "ProcessData.txt.relion.polish",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One job of the history; `name` and `alias` end with a slash as in the file ("Refine3D/job021/")."""

    name: str
    alias: str = "None"
    type_number: str = "99"
    type_label: str = "relion.external"
    status: Status = "Succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A file that one job made or another used."""

    name: str
    type_number: str = "?"
    type_label: str = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The whole history.

    Attributes
    ----------
    job_counter : the number that the next job gets.
    inputs : (file, job) pairs.
    outputs : (job, file) pairs.
    """

    job_counter: int = 1
    processes: tuple[Process, ...] = ()
    nodes: tuple[Node, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()

    def process(self, name: str) -> Process | None:
        """The job of that name or alias, or None."""
        wanted = name.rstrip("/") + "/"
        return next((p for p in self.processes if wanted in (p.name, p.alias)), None)

    def previous(self, name: str) -> list[str]:
        """Jobs whose outputs the job used, in the order of the history."""
        maker = {file: job for job, file in self.outputs}
        found = {maker[file] for file, job in self.inputs if job == name and file in maker}
        return [p.name for p in self.processes if p.name in found]

    def following(self, name: str) -> list[str]:
        """Jobs that used the job's outputs, in the order of the history."""
        made = {file for job, file in self.outputs if job == name}
        found = {job for file, job in self.inputs if file in made}
        return [p.name for p in self.processes if p.name in found]

    def with_process(self, process: Process) -> Pipeline:
        """The history with this job added, or changed where it stood."""
        if self.process(process.name) is None:
            return replace(self, processes=(*self.processes, process))
        return replace(self, processes=tuple(process if p.name == process.name else p for p in self.processes))

    def with_files(self, name: str, inputs: tuple[Node, ...], outputs: tuple[Node, ...]) -> Pipeline:
        """The history with these files used and made by the job; a file that is known stays as it is."""
        known = {n.name for n in self.nodes}
        new = {n.name: n for n in (*inputs, *outputs) if n.name not in known}
        read = tuple((n.name, name) for n in inputs if (n.name, name) not in self.inputs)
        made = tuple((name, n.name) for n in outputs if (name, n.name) not in self.outputs)
        return replace(
            self,
            nodes=(*self.nodes, *new.values()),
            inputs=(*self.inputs, *read),
            outputs=(*self.outputs, *made),
        )


def folder_type(name: str) -> str:
    """The type of a job by its folder: "Refine3D" for "Refine3D/job021/"."""
    return name.split("/", 1)[0]


def new_process(name: str, status: Status) -> Process:
    """A job of the type that its folder says, external to RELION where it does not know the folder."""
    kind = folder_type(name)
    return Process(
        name=name,
        type_number=TYPE_NUMBER.get(kind, TYPE_NUMBER["External"]),
        type_label=TYPE_LABEL.get(kind, TYPE_LABEL["External"]),
        status=status,
    )


def read_pipeline(path: Path) -> Pipeline:
    """Read a pipeline of RELION 3.0 to 5.

    Raises
    ------
    DataError : the file is no STAR file or lacks the job counter or the table of processes.
    """
    try:
        document = gemmi.cif.read(str(path))
    except (ValueError, RuntimeError, OSError) as error:
        raise DataError(f"{path}: not a STAR file that can be read ({' '.join(str(error).split())})") from None
    general = document.find_block("pipeline_general")
    counter = general.find_value("_rlnPipeLineJobCounter") if general else None
    if counter is None or not str(counter).isdigit():
        raise DataError(f"{path}: no job counter (_rlnPipeLineJobCounter); not the pipeline of a RELION project")
    processes = tuple(_process(row, path) for row in _rows(document, "pipeline_processes", "_rlnPipeLineProcess"))
    nodes = tuple(
        Node(
            name=row["Name"],
            type_number=row.get("Type", _number_of_label(row.get("TypeLabel", "?"))),
            type_label=row.get("TypeLabel", NODE_LABEL.get(row.get("Type", "?"), "?")),
        )
        for row in _rows(document, "pipeline_nodes", "_rlnPipeLineNode")
    )
    edges_in = _rows(document, "pipeline_input_edges", "_rlnPipeLineEdge")
    edges_out = _rows(document, "pipeline_output_edges", "_rlnPipeLineEdge")
    return Pipeline(
        job_counter=int(counter),
        processes=processes,
        nodes=nodes,
        inputs=tuple((row["FromNode"], row["Process"]) for row in edges_in),
        outputs=tuple((row["Process"], row["ToNode"]) for row in edges_out),
    )


def format_pipeline(pipeline: Pipeline) -> str:
    """The pipeline as text, with the columns of RELION 3.1 and of RELION 4 and 5."""
    parts = [f"# version 30001\n\ndata_pipeline_general\n\n_rlnPipeLineJobCounter {pipeline.job_counter:>24d}\n \n"]
    tables: list[tuple[str, str, list[str], list[list[str]]]] = [
        (
            "pipeline_processes",
            "_rlnPipeLineProcess",
            ["Name", "Alias", "Type", "Status", "TypeLabel", "StatusLabel"],
            [
                [p.name, p.alias, p.type_number, NUMBER_OF_STATUS[p.status], p.type_label, p.status]
                for p in pipeline.processes
            ],
        ),
        (
            "pipeline_nodes",
            "_rlnPipeLineNode",
            ["Name", "Type", "TypeLabel"],
            [[n.name, n.type_number, n.type_label] for n in pipeline.nodes],
        ),
        ("pipeline_input_edges", "_rlnPipeLineEdge", ["FromNode", "Process"], [list(e) for e in pipeline.inputs]),
        ("pipeline_output_edges", "_rlnPipeLineEdge", ["Process", "ToNode"], [list(e) for e in pipeline.outputs]),
    ]
    for name, prefix, columns, rows in tables:
        if rows:
            labels = "".join(f"{prefix}{column} #{i} \n" for i, column in enumerate(columns, 1))
            body = "".join(" ".join(f"{_quoted(value):>12}" for value in row) + " \n" for row in rows)
            parts.append(f"# version 30001\n\ndata_{name}\n\nloop_ \n{labels}{body} \n")
    return "\n" + "\n".join(parts)


def _process(row: dict[str, str], path: Path) -> Process:
    status = row.get("StatusLabel") or STATUS_OF_NUMBER.get(row.get("Status", ""), "")
    if status not in NUMBER_OF_STATUS:
        found = row.get("StatusLabel", row.get("Status", "nothing"))
        raise DataError(
            f"{path}: job {row['Name']} has the state {found!r}, expected one of {', '.join(NUMBER_OF_STATUS)}"
        )
    fresh = new_process(row["Name"], status)
    return replace(
        fresh,
        alias=row.get("Alias", "None"),
        type_number=row.get("Type", fresh.type_number),
        type_label=row.get("TypeLabel", fresh.type_label),
    )


def _number_of_label(label: str) -> str:
    matches = [number for number, text in NODE_LABEL.items() if label.startswith(text)]
    return max(matches, key=lambda number: len(NODE_LABEL[number]), default="99")


def _rows(document: gemmi.cif.Document, block_name: str, prefix: str) -> list[dict[str, str]]:
    block = document.find_block(block_name)
    if block is None:
        return []
    rows: list[dict[str, str]] = []
    for item in block:
        if item.loop is not None and item.loop.tags[0].startswith(prefix):
            names = [tag.removeprefix(prefix) for tag in item.loop.tags]
            values = [gemmi.cif.as_string(v) for v in item.loop.values]
            rows += [
                dict(zip(names, values[i : i + len(names)], strict=True)) for i in range(0, len(values), len(names))
            ]
    return rows


def _quoted(value: str) -> str:
    return f'"{value}"' if not value or " " in value else value
