"""`burnish ctfrefine`: refined particles in, particles with better optics out."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from burnish.core.errors import DataError
from burnish.core.events import Message
from burnish.core.units import RAD_PER_MRAD
from burnish.data.particles import Particles
from burnish.io.atomic import write_aside, write_text
from burnish.io.chunked_images import ChunkedImages
from burnish.io.particles import write_particles
from burnish.jobs.folder import Job
from burnish.options.ctfrefine import CtfRefineOptions
from burnish.particles.ctf_refinement.aberration_fit import COMA, TREFOIL
from burnish.particles.ctf_refinement.beam_shift_groups import (
    beam_shift_labels,
    cluster_positions,
    natural_spacing,
    split_by_labels,
)
from burnish.particles.ctf_refinement.defocus_fit import DefocusSettings
from burnish.particles.ctf_refinement.findings import GroupFinding, find
from burnish.particles.ctf_refinement.refinement import (
    Experiment,
    RefinementSettings,
    State,
    prepare,
    refine,
    start_refinement,
)
from burnish.workflows.ctfrefine_checkpoint import Checkpoint
from burnish.workflows.ctfrefine_inputs import Inputs, read_beam_shifts, read_inputs
from burnish.workflows.device import chosen_device

DEFAULT_SPREAD = 200.0  # Å; of defocus in micrographs with too few particles to tell
UNCERTAINTY_COLUMNS = (
    "burnishDefocusSigma",
    "burnishAstigmatismSigma",
    "burnishPhaseShiftSigma",
    "burnishBfactorSigma",
)
NOT_FITTED = -1.0  # written as the uncertainty of a value that was kept: 0 would read as perfectly known


def run(options: CtfRefineOptions, job: Job) -> dict[str, Any]:
    """Refine the optics."""
    started = time.monotonic()
    torch.set_num_threads(1)  # chunks are shared by threads of our own
    torch.set_flush_denormal(True)
    device = torch.device(chosen_device(options.device))
    inputs = read_inputs(options)
    particles = inputs.file.particles
    particles = _split_groups(options, particles, job)
    images = ChunkedImages(particles, options.particles)
    experiment = prepare(
        particles,
        inputs.half_maps,
        inputs.mask,
        inputs.voxel_size,
        (inputs.fsc, inputs.fsc_frequency),
        options.min_resolution,
        images.read,
        device,
    )
    job.begin(inputs.paths, device=str(device))
    for note in inputs.file.notes:
        job.notify(Message(note, "warning"))
    checkpoint = Checkpoint(job, options)
    state = checkpoint.load() or start_refinement(particles)
    cache = int(options.max_memory * 2**30)
    state = refine(
        experiment, _settings(options), state, job.notify, checkpoint.save, cache_bytes=cache, threads=options.threads
    )
    if len(state.failed) == len(particles.micrographs):
        first = next(iter(state.failed.values()))
        raise DataError(
            f"{options.particles}: none of {len(state.failed)} micrographs could be used; the first: {first}"
        )
    findings = find(experiment, state)
    _write(job, inputs, particles, state)
    summary = _summary(particles, state, findings, time.monotonic() - started)
    _report(job, options, experiment, state, findings, summary)
    checkpoint.remove()
    return summary


def _settings(options: CtfRefineOptions) -> RefinementSettings:
    families = ((COMA,) if options.beam_tilt else ()) + ((TREFOIL,) if options.trefoil else ())
    return RefinementSettings(
        defocus=DefocusSettings(
            defocus=options.defocus,
            astigmatism=options.astigmatism,
            phase_shift=options.phase_shift,
            b_factor=options.bfactor,
            search_range=options.defocus_range,
            spread=options.defocus_spread,
            default_spread=options.defocus_spread or DEFAULT_SPREAD,
        ),
        odd_order=3 if families else 0,
        even_order=4 if options.fourth_order else 0,
        magnification=options.magnification,
        odd_families=families,
    )


def _split_groups(options: CtfRefineOptions, particles: Particles, job: Job) -> Particles:
    """One optics group for each beam shift, if that is asked for and known."""
    if options.beam_shifts is not None:
        position = read_beam_shifts(options.beam_shifts, particles.micrographs)
        spacing = natural_spacing(position)
        labels = [f"shift{int(c) + 1}" for c in cluster_positions(position, spacing)]
        reason = f"{options.beam_shifts}: the beam shifts form no clusters"
    elif options.beam_shift_groups:
        labels = list(beam_shift_labels(particles.micrographs) or ())
        reason = (
            f"{options.particles}: the micrograph names carry no beam-shift positions as EPU or SerialEM write them"
        )
    else:
        return particles
    if len(set(labels)) < 2:
        job.notify(Message(f"{reason}; the optics groups stay as they are", "warning"))
        return particles
    split = split_by_labels(particles, labels)
    job.notify(Message(f"{len(particles.optics)} optics group(s) split into {len(split.optics)} by beam shift"))
    return split


def _write(job: Job, inputs: Inputs, particles: Particles, state: State) -> None:
    refined = replace(particles, optics=state.optics, defocus=state.defocus)
    columns = {
        name: torch.where(state.sigma[:, i].isfinite(), state.sigma[:, i], NOT_FITTED).tolist()
        for i, name in enumerate(UNCERTAINTY_COLUMNS)
        if bool(torch.isfinite(state.sigma[:, i]).any())
    }
    write_particles(job.path("particles_ctf_refine.star"), inputs.file, refined, columns=columns)
    if state.fits.odd:
        for number, group in enumerate(state.optics):
            x, y = (t / RAD_PER_MRAD for t in group.beam_tilt)
            write_text(job.path(f"beamtilt_{number}.txt"), f"beamtilt_x = {x:.6g}\nbeamtilt_y = {y:.6g}\n")


def _summary(particles: Particles, state: State, findings: tuple[GroupFinding, ...], seconds: float) -> dict[str, Any]:
    fitted = int(state.fitted.sum())
    summary: dict[str, Any] = {
        "particles": len(particles),
        "micrographs": len(particles.micrographs),
        "defocus_refined": fitted,
        "failed_micrographs": {particles.micrographs[m]: why for m, why in state.failed.items()},
        "seconds": seconds,
    }
    if fitted:
        old = (particles.defocus.u + particles.defocus.v)[state.fitted]
        change = ((state.defocus.u + state.defocus.v)[state.fitted] - old) / 2
        summary["defocus_change_rms"] = float(change.square().mean().sqrt())
        summary["defocus_sigma_median"] = float(state.sigma[state.fitted, 0].nanmedian())
        summary["defocus_kept"] = len(particles) - fitted
    summary["groups"] = {
        f.name: {
            "particles": f.particles,
            "beam_tilt_mrad": [float(t / RAD_PER_MRAD) for t in group.beam_tilt],
            "significant": list(f.significant),
            "magnification": group.magnification.tolist(),
            "terms": [{"name": t.name, "value": t.value, "sigma": t.sigma, "taken": t.taken} for t in f.terms],
        }
        for f, group in zip(findings, state.optics, strict=True)
    }
    return summary


def _report(
    job: Job,
    options: CtfRefineOptions,
    experiment: Experiment,
    state: State,
    findings: tuple[GroupFinding, ...],
    summary: dict[str, Any],
) -> None:
    from burnish.workflows.ctfrefine_report import draw_report  # matplotlib is wanted here only

    drawn = draw_report(options, experiment, state, findings, summary, footer=str(job.folder))
    for name, content in drawn.files.items():
        with write_aside(job.path(name)) as aside:
            aside.write_bytes(content)
    for sentence in drawn.sentences:
        job.notify(Message(sentence))
    summary["report"] = str(Path(job.folder) / "report.html")
    summary["findings"] = list(drawn.sentences)
