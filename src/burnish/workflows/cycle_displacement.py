"""Which displacement parameters the data of a cycle pay for: chosen once, when the first moves have been made.

The models are those of `burnish bmodel`, from small to large, each refined from the same start; only those are tried
that the number of measured values allows at all, so that most crystals cost one or two refinements more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gemmi

from burnish.core.events import Listener, Message
from burnish.io.atomic import write_text
from burnish.jobs.folder import Job
from burnish.models.refinement_settings import RefinementSettings
from burnish.models.refinement_system import wants_anisotropic
from burnish.reports.page import render
from burnish.reports.repeated import bmodel_page
from burnish.workflows.bmodel import NAMES, choose, comparison_record, with_one_b
from burnish.workflows.model_rounds import Start, with_structure
from burnish.workflows.refine_inputs import RefineInputs
from burnish.workflows.refine_model import refinement_settings
from burnish.workflows.refine_numbers import without_nan
from burnish.workflows.repeated_refinement import Refined, refine_with

LEAST_RATIO = {"iso": 1.5, "aniso": 1.0}  # measured values for each parameter from which a model is tried
ANISOTROPIC_D_MIN = 2.0  # Å; beyond it tensors atom by atom are not tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The displacement model of a cycle, and the refinement with it.

    Attributes
    ----------
    name : "one", "iso", "tls" or "aniso".
    options : what it changes in the options of refinement.
    inputs, refined : of the refinement that chose it.
    """

    name: str
    options: dict[str, str]
    inputs: RefineInputs
    refined: Refined


def models_to_try(d_min: float, n_observations: int, n_heavy: int, settings: RefinementSettings) -> tuple[str, ...]:
    """Displacement models that the number of measured values allows, small to large.

    Parameters
    ----------
    d_min : resolution, Å.
    n_observations : measured values in the working set.
    n_heavy : atoms that are no hydrogens.
    settings : of the refinements, which say what is done without a choice.
    """
    if wants_anisotropic(settings, d_min, n_observations, n_heavy):
        return ("iso", "aniso")
    names = ["iso", "tls"]
    if n_observations < LEAST_RATIO["iso"] * 4 * n_heavy:
        names.insert(0, "one")
    if d_min <= ANISOTROPIC_D_MIN and n_observations >= LEAST_RATIO["aniso"] * 9 * n_heavy:
        names.append("aniso")
    return tuple(names)


def displacement_options(name: str, names: Sequence[str]) -> dict[str, str]:
    """Options of refinement for one of the models that are tried.

    Isotropic B keep the shape of tensors that the model came with, but at the resolution of atoms.
    """
    whole = "iso" if names[-2:] == ("iso", "aniso") else "auto"
    chosen = {"one": ("fixed", "none"), "iso": (whole, "none"), "tls": ("auto", "auto"), "aniso": ("aniso", "none")}
    adp, tls = chosen[name]
    return {"adp": adp, "tls": tls}


def with_displacement(start: Start, options: Mapping[str, str]) -> Start:
    """The start with a displacement model that was chosen."""
    return replace(start, options=start.options.model_copy(update=dict(options)))


def choose_displacement(start: Start, job: Job, structure: gemmi.Structure, cycles: int, listener: Listener) -> Choice:
    """Refine with each model that may be worth it and take the one that the data pay for.

    Writes `bmodel.json` and `bmodel.html`.
    """
    inputs = with_structure(start, structure)
    heavy = int((~inputs.refinable.restraints.contacts.is_hydrogen).sum())
    reflections = inputs.data.reflections
    n_observations = int((reflections.f_obs.isfinite() & ~reflections.free).sum())
    plain = replace(refinement_settings(start.options), cycles=cycles)
    names = models_to_try(reflections.d_min, n_observations, heavy, plain)
    done: dict[str, Refined] = {}
    for name in names:
        options = with_displacement(start, displacement_options(name, names)).options
        settings = replace(refinement_settings(options), cycles=cycles)
        atoms = with_one_b(inputs.refinable.atoms) if name == "one" else None
        done[name] = refine_with(inputs, options, settings, atoms=atoms)
        statistics = done[name].statistics
        listener(Message(f"{NAMES[name]}: R-work {statistics.r_work:.4f}, R-free {statistics.r_free:.4f}"))
    chosen, steps = choose(done)
    listener(Message(f"displacement model: {NAMES[chosen]}"))
    files = {"model": str(start.options.model), "data": str(start.options.data)}
    record: dict[str, Any] = without_nan({**files, **comparison_record(done, steps, chosen)})
    write_text(job.path("bmodel.json"), json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_text(job.path("bmodel.html"), render(bmodel_page(record)))
    return Choice(name=chosen, options=displacement_options(chosen, names), inputs=inputs, refined=done[chosen])
