"""`burnish mask`: a map or a model in, a soft mask and its picture out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from burnish.core.errors import DataError, InputError
from burnish.core.events import Message
from burnish.fourier.array_low_pass import low_pass_array
from burnish.io.atomic import write_aside
from burnish.io.mrc import MapArray, read_array, write_array
from burnish.jobs.folder import Job
from burnish.maps.mask import MaskFacts, MaskShape, automatic_threshold, describe_mask, make_mask, seed_from_atoms
from burnish.options.mask import MaskOptions


def run(options: MaskOptions, job: Job) -> dict[str, Any]:
    """Make the mask, say what is wrong with it, write it."""
    density = read_array(options.map, voxel_size=options.angpix)
    pixel = _one_pixel_size(options.map, density)
    if options.out.resolve() == options.map.resolve():
        raise InputError(f"--out {options.out}: that is the map itself; name another file")
    nyquist = 2 * pixel
    if 0 < options.lowpass < nyquist:
        raise InputError(f"--lowpass {options.lowpass:g} Å: finer than the map's Nyquist limit of {nyquist:g} Å")
    values = low_pass_array(density.values, options.lowpass, pixel) if options.lowpass else density.values
    automatic = automatic_threshold(values)
    threshold = automatic if options.threshold == "auto" else float(options.threshold)
    seed = _seed(options, density, values, threshold)
    shape = MaskShape(
        extend=options.extend,
        soft_edge=options.soft_edge,
        radius=options.radius / pixel if options.radius else None,
        largest_only=options.largest_only,
        helix_z_frac=options.helix_z,
    )
    mask = make_mask(seed, shape)
    facts = describe_mask(mask, values, automatic)
    if facts.fraction == 0:
        raise DataError(f"{options.map}: the mask came out empty; loosen --radius, --extend or --helix-z")
    for text in _warnings(facts):
        job.notify(Message(text, "warning"))
    if options.invert:
        mask = 1.0 - mask
    job.begin([options.map, *([options.model] if options.model else [])])
    write_array(options.out, MapArray(values=mask, voxel_size=density.voxel_size, origin=density.origin))
    summary: dict[str, Any] = {"mask": str(options.out), "fraction_of_box": facts.fraction}
    if options.model is None:
        summary["threshold"] = threshold
    summary["density_outside"] = facts.density_outside
    summary["warnings"] = _warnings(facts)
    if options.picture:
        summary["picture"] = str(_draw(options, values, mask, threshold if options.model is None else automatic, pixel))
    return summary


def _seed(options: MaskOptions, density: MapArray, values: np.ndarray, threshold: float) -> np.ndarray:
    if options.model is not None:
        from burnish.io.atoms import read_atoms  # only a mask of a model needs it

        xyz = read_atoms(options.model).xyz.numpy() - np.array(density.origin)
        seed = seed_from_atoms(xyz, values.shape, density.voxel_size, options.model_radius)
        if not seed.any():
            raise DataError(
                f"{options.model}: no atom lies in the box of {options.map}, whose voxel 0 is at "
                f"{tuple(round(o, 1) for o in density.origin)} Å; check the origin or fit the model to the map"
            )
        return seed
    seed = values >= threshold
    if not seed.any():
        raise DataError(
            f"{options.map}: --threshold {threshold:g} is above the highest density of the low-passed map, "
            f"{float(values.max()):.4g}; lower it or use auto"
        )
    if seed.all():
        raise DataError(
            f"{options.map}: --threshold {threshold:g} is below the lowest density of the low-passed map, "
            f"{float(values.min()):.4g}; raise it or use auto"
        )
    return seed


def _warnings(facts: MaskFacts) -> list[str]:
    found = []
    if facts.density_outside > 0.03:
        found.append(
            f"the mask cuts density: {100 * facts.density_outside:.0f} % of the strong density lies outside it; lower "
            "--threshold, raise --extend, or look at the picture"
        )
    if facts.touches_edge:
        found.append("the mask reaches the edge of the box; use a larger box, a higher --threshold or --radius")
    if facts.fraction > 0.5:
        found.append(f"the mask covers {100 * facts.fraction:.0f} % of the box; it hardly removes any solvent")
    return found


def _one_pixel_size(path: Path, density: MapArray) -> float:
    x, y, z = density.voxel_size
    if max(x, y, z) - min(x, y, z) > 1e-3 * x:
        raise DataError(f"{path}: voxels of {x:g} × {y:g} × {z:g} Å; masks need cubic voxels (give --angpix)")
    return x


def _draw(options: MaskOptions, values: np.ndarray, mask: np.ndarray, threshold: float, pixel: float) -> Path:
    from burnish.maps.surface import shade_surface
    from burnish.reports.mask_picture import mask_picture

    surface = shade_surface(values, threshold)
    name = options.out.name.removesuffix(".gz").rsplit(".", 1)[0]
    picture = options.out.with_name(f"{name}.png")
    title = f"{options.out.name} over {options.map.name}: the mask is ½ on the line, 0 beyond the dots"
    with write_aside(picture) as aside:
        aside.write_bytes(mask_picture(values, mask, surface, pixel, title))
    return picture
