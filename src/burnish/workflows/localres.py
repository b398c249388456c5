"""`burnish localres`: two half maps in, local and directional resolution out."""

from __future__ import annotations

from typing import Any

import torch

from burnish.core.errors import DataError, InputError
from burnish.core.events import Message
from burnish.data.density import DensityMap
from burnish.fourier.shells import fsc
from burnish.io.atomic import write_aside, write_text
from burnish.io.mrc import read_map, write_map
from burnish.io.star import make_table, write_star
from burnish.jobs.folder import Job
from burnish.maps.directional_fsc import DirectionalFsc, directional_fsc, fsc_map
from burnish.maps.local_resolution import LocalResolution, LocalResolutionSettings, local_resolution, quantiles
from burnish.maps.mask import automatic_threshold
from burnish.options.localres import LocalResOptions
from burnish.workflows.postprocess import check_same_grid, half_map_names, read_mask


def run(options: LocalResOptions, job: Job) -> dict[str, Any]:
    """Measure, write, report."""
    names = half_map_names(options.half1, options.half2)
    half1, half2 = (read_map(p, voxel_size=options.angpix) for p in names)
    check_same_grid(names[0], half1, names[1], half2)
    pixel = half1.voxel_size[0]
    length = pixel * half1.values.shape[0]
    mask = read_mask(options.mask, names[0], half1)
    if 2 * options.radius >= length:
        raise InputError(f"--radius {options.radius:g} Å: the sphere does not fit the box of {length:.0f} Å")
    if options.randomise_from >= length:
        raise InputError(f"--randomise-from {options.randomise_from:g} Å: coarser than the box of {length:.0f} Å")
    job.begin([*names, *([options.mask] if options.mask else [])], seed=options.seed)
    settings = LocalResolutionSettings(
        step=options.step,
        radius=options.radius,
        edge=options.edge,
        randomise_from=options.randomise_from,
        worst=options.worst,
        b_factor=options.bfactor,
    )
    generator = torch.Generator().manual_seed(options.seed)
    found = local_resolution(half1.values, half2.values, pixel, settings, generator, mask=mask, listener=job.notify)
    if not len(found.centres):
        raise DataError(f"{options.mask or names[0]}: no sphere fits inside; a smaller --radius may help")
    mean = (half1.values + half2.values).mul_(0.5)
    inside = (mask >= 0.5) if mask is not None else mean > automatic_threshold(mean.numpy())
    inside &= found.resolution > 0
    directions = None
    if options.directional:
        masked = [h.values if mask is None else h.values * mask for h in (half1, half2)]
        directions = directional_fsc(masked[0], masked[1], pixel, half_angle_deg=options.cone)
        curve = fsc(masked[0], masked[1])
    for name, values in (("locres.mrc", found.resolution), ("locres_filtered.mrc", found.filtered)):
        write_map(job.path(name), DensityMap(values=values, voxel_size=half1.voxel_size, origin=half1.origin))
    _write_spheres(job, found)
    summary = {"spheres": len(found.centres), **quantiles(found.resolution, inside)}
    if directions is not None:
        _write_directions(job, directions, half1)
        summary |= {
            "sphericity": directions.sphericity,
            "best_direction": directions.best,
            "worst_direction": directions.worst,
        }
        if directions.sphericity < 0.9:
            job.notify(Message(_uneven(directions), "warning"))
    _report(job, found, mean, inside, pixel, directions, curve if directions is not None else None, summary)
    return summary


def _uneven(directions: DirectionalFsc) -> str:
    return (
        f"the resolution differs by direction, {directions.best:.1f} to {directions.worst:.1f} Å (sphericity "
        f"{directions.sphericity:.2f}): views are missing; look at the angular distribution"
    )


def _write_spheres(job: Job, found: LocalResolution) -> None:
    z, y, x = found.centres.unbind(1)
    columns = {
        "rlnCoordinateX": x.tolist(),
        "rlnCoordinateY": y.tolist(),
        "rlnCoordinateZ": z.tolist(),
        "burnishLocalResolution": found.at_centres.tolist(),
    }
    write_star(job.path("locres.star"), [make_table("spheres", columns)])


def _write_directions(job: Job, directions: DirectionalFsc, like: DensityMap) -> None:
    x, y, z = directions.directions.T.tolist()
    columns = {"burnishDirectionX": x, "burnishDirectionY": y, "burnishDirectionZ": z}
    columns["rlnAngstromResolution"] = directions.resolution.tolist()
    write_star(job.path("directional_fsc.star"), [make_table("directions", columns)])
    values = fsc_map(directions, like.values.shape[0])
    write_map(job.path("directional_fsc.mrc"), DensityMap(values=values, voxel_size=like.voxel_size))


def _report(
    job: Job,
    found: LocalResolution,
    mean: torch.Tensor,
    inside: torch.Tensor,
    pixel: float,
    directions: DirectionalFsc | None,
    curve: torch.Tensor | None,
    summary: dict[str, Any],
) -> None:
    from burnish.reports.figures import as_pdf, as_png, house_style
    from burnish.reports.localres_figures import directional_figure, local_figure
    from burnish.reports.page import Note, Numbers, Page, Picture, Section, render

    with house_style():
        figures = [local_figure(mean.numpy(), found.resolution.numpy(), inside.numpy(), pixel)]
        if directions is not None and curve is not None:
            figures.append(directional_figure(directions, curve.numpy(), pixel * len(mean)))
        with write_aside(job.path("logfile.pdf")) as aside:
            aside.write_bytes(as_pdf(figures, "Local resolution"))
        pictures = [as_png(f) for f in figures]
    captions = ["Local resolution over the map, and how it is distributed.", "Directional FSC."]
    numbers = [("median", f"{summary['median']:.2f} Å"), ("best tenth", f"{summary['best_10_percent']:.2f} Å")]
    numbers += [("worst tenth", f"{summary['worst_10_percent']:.2f} Å")]
    blocks: list[Any] = []
    lead = f"Half of the particle is resolved to {summary['median']:.1f} Å or better."
    if directions is not None:
        numbers += [("sphericity", f"{directions.sphericity:.3f}")]
        if directions.sphericity < 0.9:
            blocks.append(Note(_uneven(directions) + ".", "warning"))
    sections = [Section("Result", [Numbers(numbers), *blocks])]
    sections += [Section("Pictures", [Picture(p, c) for p, c in zip(pictures, captions, strict=False)])]
    write_text(job.path("report.html"), render(Page("Local resolution", lead, sections)))
