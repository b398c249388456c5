"""Every command of the command line: what it is called, its options and its workflow, by import path."""

from __future__ import annotations

from dataclasses import dataclass

MAPS, MODELS, PROJECT = "Cryo-EM maps", "Atomic models", "Projects"


@dataclass(frozen=True, slots=True)
class Command:
    """One command; `options` and `workflow` are import paths, so that the table costs nothing to read.

    `positional` names the options that may be given without their flag, in order. `keeps_record` is False for commands
    whose `--out` is one file rather than a job folder: they leave no `job.json`. `project_folder` is where jobs of this
    kind live in a project ("Refine3D"): there `--out` may be left out, and the job takes the next number.
    `ends_at_once` is for commands so short that the end of their process counts, and that close all of their files.
    """

    name: str
    summary: str
    group: str
    options: str
    workflow: str
    positional: tuple[str, ...] = ()
    keeps_record: bool = True
    project_folder: str = ""
    ends_at_once: bool = False


COMMANDS: tuple[Command, ...] = (
    Command(
        "simulate",
        "Simulate particle images of a model or a map, with their truth.",
        MAPS,
        "burnish.options.simulate:SimulateOptions",
        "burnish.workflows.simulate:run",
        ("source",),
        keeps_record=False,
    ),
    Command(
        "localres",
        "Local and directional resolution of two half maps.",
        MAPS,
        "burnish.options.localres:LocalResOptions",
        "burnish.workflows.localres:run",
        ("half1", "half2"),
        project_folder="LocalRes",
    ),
    Command(
        "refine3d",
        "Refine a map against particles in two independent halves.",
        MAPS,
        "burnish.options.refine3d:Refine3DOptions",
        "burnish.workflows.refine3d:run",
        project_folder="Refine3D",
    ),
    Command(
        "image",
        "Filter, rescale, crop, invert, shift or symmetrise maps and stacks.",
        MAPS,
        "burnish.options.image:ImageOptions",
        "burnish.workflows.image:run",
        ("input",),
        keeps_record=False,
    ),
    Command(
        "postprocess",
        "Resolution and sharpened map from two half maps.",
        MAPS,
        "burnish.options.postprocess:PostprocessOptions",
        "burnish.workflows.postprocess:run",
        ("half1", "half2"),
        project_folder="PostProcess",
    ),
    Command(
        "mask",
        "Make a soft solvent mask from a map or a model.",
        MAPS,
        "burnish.options.mask:MaskOptions",
        "burnish.workflows.mask:run",
        ("map",),
        keeps_record=False,
    ),
    Command(
        "refine",
        "Refine an atomic model against diffraction data or cryo-EM maps.",
        MODELS,
        "burnish.options.refine:RefineOptions",
        "burnish.workflows.refine:run",
        ("model", "data"),
        project_folder="Refine",
        ends_at_once=True,
    ),
    Command(
        "fit",
        "Place a model in a cryo-EM map as a rigid body.",
        MODELS,
        "burnish.options.fit:FitOptions",
        "burnish.workflows.fit:run",
        ("model", "map"),
        project_folder="Fit",
    ),
    Command(
        "validate",
        "Judge a model: geometry, and fit to the data.",
        MODELS,
        "burnish.options.validate:ValidateOptions",
        "burnish.workflows.validate:run",
        ("model", "data"),
        project_folder="Validate",
    ),
    Command(
        "rebuild",
        "Correct a model against its density: side chains, peptides, waters.",
        MODELS,
        "burnish.options.rebuild:RebuildOptions",
        "burnish.workflows.rebuild:run",
        ("model", "data"),
        project_folder="Rebuild",
    ),
    Command(
        "edit",
        "Change a model by hand: commands of a file, as the page's tools give them.",
        MODELS,
        "burnish.options.edit:EditOptions",
        "burnish.workflows.edit:run",
        ("model", "map_file"),
        project_folder="Rebuild",
    ),
    Command(
        "cycle",
        "Refine and rebuild a model in rounds until nothing improves.",
        MODELS,
        "burnish.options.rebuild:CycleOptions",
        "burnish.workflows.cycle:run",
        ("model", "data"),
        project_folder="Cycle",
    ),
    Command(
        "rcomplete",
        "Complete cross-validation: R of all reflections, each held out once.",
        MODELS,
        "burnish.options.cross_validation:RCompleteOptions",
        "burnish.workflows.rcomplete:run",
        ("model", "data"),
        project_folder="RComplete",
    ),
    Command(
        "paired",
        "Paired refinement: to which resolution the data improve the model.",
        MODELS,
        "burnish.options.cross_validation:PairedOptions",
        "burnish.workflows.paired:run",
        ("model", "data"),
        project_folder="Paired",
    ),
    Command(
        "bmodel",
        "Choose one B, isotropic, TLS or anisotropic displacement by the data.",
        MODELS,
        "burnish.options.cross_validation:BModelOptions",
        "burnish.workflows.bmodel:run",
        ("model", "data"),
        project_folder="BModel",
    ),
    Command(
        "deposit",
        "Gather the files of a deposition: model, data or maps, statistics.",
        MODELS,
        "burnish.options.deposit:DepositOptions",
        "burnish.workflows.deposit:run",
        ("source",),
        project_folder="Deposit",
    ),
    Command(
        "undo",
        "Take recorded moves of a rebuilt model back.",
        MODELS,
        "burnish.options.undo:UndoOptions",
        "burnish.workflows.undo:run",
        ("job", "moves"),
        keeps_record=False,
    ),
    Command(
        "batch",
        "Run a command on many data sets; resumable, with one summary.",
        PROJECT,
        "burnish.options.batch:BatchOptions",
        "burnish.workflows.batch:run",
        ("sets",),
        project_folder="Batch",
    ),
    Command(
        "project",
        "Make a project, list and show its jobs, name, clean and export them.",
        PROJECT,
        "burnish.options.project:ProjectOptions",
        "burnish.workflows.project:run",
        ("action", "job", "name"),
        keeps_record=False,
    ),
    Command(
        "serve",
        "Show a project in the browser.",
        PROJECT,
        "burnish.options.serve:ServeOptions",
        "burnish.web.serve:run",
        ("project",),
        keeps_record=False,
    ),
    Command(
        "rerun",
        "Run a job of the project again, with the same options on its present inputs.",
        PROJECT,
        "burnish.options.project:RepeatOptions",
        "burnish.cli.repeat:rerun",
        ("job",),
        keeps_record=False,
    ),
    Command(
        "continue",
        "Go on with a job that was stopped, in its folder.",
        PROJECT,
        "burnish.options.project:RepeatOptions",
        "burnish.cli.repeat:resume",
        ("job",),
        keeps_record=False,
    ),
    Command(
        "ctfrefine",
        "Measure defocus, aberrations and magnification from refined particles.",
        MAPS,
        "burnish.options.ctfrefine:CtfRefineOptions",
        "burnish.workflows.ctfrefine:run",
        project_folder="CtfRefine",
    ),
    Command(
        "run",
        "Run a recipe: a chain of jobs, each taking what the ones before it left.",
        PROJECT,
        "burnish.options.recipe:RecipeOptions",
        "burnish.cli.recipe:run",
        ("recipe",),
        keeps_record=False,
    ),
)
