"""`burnish bmodel`: one refinement with each kind of displacement parameters, and which one the data pay for."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import torch

from burnish.core.events import Message, Metrics, Progress
from burnish.data.atoms import Atoms
from burnish.io.atomic import write_text
from burnish.jobs.folder import Job
from burnish.models.cross_validation import (
    Degrees,
    FreeComparison,
    HamiltonTest,
    compare_free,
    hamilton_test,
    residual_ratio,
)
from burnish.models.refinement_settings import RefinementSettings
from burnish.models.refinement_system import displacement_pairs, parametrise
from burnish.models.resolution import shells_of_equal_number
from burnish.options.cross_validation import BModelOptions
from burnish.reports.page import render
from burnish.reports.repeated import bmodel_page
from burnish.workflows.device import chosen_device
from burnish.workflows.refine_model import refinement_settings
from burnish.workflows.refine_numbers import without_nan
from burnish.workflows.refine_outputs import Finished, write_outputs
from burnish.workflows.repeated_refinement import (
    Refined,
    Warnings,
    common_values,
    free_values,
    read_repeated,
    refine_with,
)

SHELLS = 20
NAMES = {"one": "one B", "iso": "isotropic", "tls": "TLS and isotropic", "aniso": "anisotropic"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A larger model against the one that was taken before it."""

    smaller: str
    larger: str
    hamilton: HamiltonTest
    free: FreeComparison

    @property
    def taken(self) -> bool:
        return self.hamilton.verdict != "rejected" and self.free.significant


def run(options: BModelOptions, job: Job) -> dict[str, Any]:
    """Refine with each, choose, write the chosen one."""
    listener = Warnings(job.notify)
    inputs = read_repeated(options, listener)
    settings = refinement_settings(options, inputs.refinable.labels)
    names = [part.strip() for part in options.include.split(",") if part.strip()]
    job.begin(inputs.files, seed=options.seed, device=chosen_device(options.device))
    done: dict[str, Refined] = {}
    for number, name in enumerate(names):
        atoms = with_one_b(inputs.refinable.atoms) if name == "one" else None
        done[name] = refine_with(inputs, options, settings_of(name, settings), atoms=atoms)
        statistics = done[name].statistics
        job.notify(Message(f"{NAMES[name]}: R-work {statistics.r_work:.4f}, R-free {statistics.r_free:.4f}"))
        job.notify(Metrics("model", number, {"r_work": statistics.r_work, "r_free": statistics.r_free}))
        job.notify(Progress("displacement models", number + 1, len(names)))
    chosen, steps = choose(done)
    files = {"model": str(options.model), "data": str(options.data)}
    record = without_nan({**files, **comparison_record(done, steps, chosen)})
    write_text(job.path("bmodel.json"), json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_text(job.path("bmodel.html"), render(bmodel_page(record)))
    kept = done[chosen]
    finished = Finished(
        inputs=inputs, term=kept.term, state=kept.state, interrupted=False, warnings=listener.texts, system=kept.system
    )
    summary = write_outputs(options, job, finished)
    job.notify(Message(f"chosen: {NAMES[chosen]}"))
    return {"chosen": chosen, **summary, "report": str(job.path("bmodel.html"))}


def settings_of(name: str, settings: RefinementSettings) -> RefinementSettings:
    """Settings of one displacement model; TLS groups are those given, else chains."""
    if name == "one":
        return replace(settings, adp="fixed", tls="none", tls_groups=())
    if name == "iso":
        return replace(settings, adp="iso", tls="none", tls_groups=())
    if name == "tls":
        return replace(settings, adp="iso", tls="given" if settings.tls_groups else "chain")
    return replace(settings, adp="aniso", tls="none", tls_groups=())


def with_one_b(atoms: Atoms) -> Atoms:
    """All atoms with the mean B, isotropic; the scale of the data takes up what the whole crystal lacks."""
    mean = atoms.b_iso.mean()
    return replace(
        atoms,
        b_iso=torch.full_like(atoms.b_iso, float(mean)),
        u_aniso=torch.zeros_like(atoms.u_aniso),
        is_aniso=torch.zeros_like(atoms.is_aniso),
    )


def choose(done: dict[str, Refined]) -> tuple[str, list[Step]]:
    """Go from small to large; each is compared with the largest that was taken so far."""
    names = list(done)
    chosen, steps = names[0], []
    for name in names[1:]:
        step = compare(chosen, name, done)
        steps.append(step)
        if step.taken:
            chosen = name
    return chosen, steps


def compare(smaller: str, larger: str, done: dict[str, Refined]) -> Step:
    """Hamilton's test on the working set, the likelihood on the free set."""
    one, two = done[smaller], done[larger]
    work = one.term.work & two.term.work
    amplitudes = [r.term.target.compare(r.term.amplitudes.f_model.to(torch.complex128)) for r in (one, two)]
    work &= amplitudes[0].observed.isfinite()  # twins compare strong intensities only
    observed = amplitudes[0].observed[work]
    shell = torch.from_numpy(shells_of_equal_number(one.term.reflections.s2[work].numpy(), SHELLS))
    first_model, second_model = (a.model[work] for a in amplitudes)
    ratio = residual_ratio(observed, first_model, second_model, shell)
    test = hamilton_test(ratio, int(work.sum()), degrees(one), degrees(two))
    first, second = free_values(one.term), free_values(two.term)
    if first is not None and second is not None:
        free = compare_free(*common_values(first, second))
    else:  # twins and other targets: their mean by reflection, without an error
        free = FreeComparison(gain=one.statistics.free_value - two.statistics.free_value, error=0.0)
    return Step(smaller=smaller, larger=larger, hamilton=test, free=free)


def degrees(done: Refined) -> Degrees:
    """Parameters and restraints of a refinement."""
    system, atoms = done.system, done.state.atoms
    restraints = system.model.restraints
    heavy = torch.as_tensor(system.stereochemistry.heavy)
    listed = (restraints.bonds, restraints.angles, restraints.torsions, restraints.chirals)
    count = sum(int(heavy[kind.atoms].all(1).sum()) for kind in listed) + len(restraints.planes.sigma)
    if system.settings.adp != "fixed":
        shape = 6 if bool(atoms.is_aniso[heavy].any()) and not system.shape_held.any() else 1
        count += shape * len(displacement_pairs(atoms, system).atoms)
        count += 6 * int(heavy.sum()) if shape == 6 else 0  # each atom is drawn to a sphere
    return Degrees(parameters=parametrise(atoms, system).n_parameters, restraints=count)


def comparison_record(done: dict[str, Refined], steps: list[Step], chosen: str) -> dict[str, Any]:
    """The models and how they were compared, as plain values."""
    models = []
    for name, refined in done.items():
        statistics, size = refined.statistics, degrees(refined)
        models.append(
            {
                "name": name,
                "label": NAMES[name],
                "parameters": size.parameters,
                "restraints": size.restraints,
                "r_work": statistics.r_work,
                "r_free": statistics.r_free,
                "free_value": statistics.free_value,
            }
        )
    compared = [
        {
            "smaller": s.smaller,
            "larger": s.larger,
            "residual_ratio": s.hamilton.ratio,
            "hamilton": s.hamilton.verdict,
            "accepted_share": s.hamilton.accepted,
            "free_gain": s.free.gain,
            "free_error": s.free.error,
            "taken": s.taken,
        }
        for s in steps
    ]
    return {
        "models": models,
        "steps": compared,
        "chosen": chosen,
    }
