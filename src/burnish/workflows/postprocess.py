"""`burnish postprocess`: two half maps in; resolution, sharpened map and reports out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from burnish.core.errors import DataError, InputError
from burnish.core.events import Message
from burnish.data.density import DensityMap
from burnish.io.atomic import write_aside, write_text
from burnish.io.mrc import read_map, write_map
from burnish.io.postprocess_star import read_mtf, write_fsc_xml, write_postprocess
from burnish.jobs.folder import Job
from burnish.maps.postprocess import PostprocessResult, automatic_mask, findings, postprocess, sharpen_like
from burnish.maps.sharpening import SharpenSettings
from burnish.options.postprocess import PostprocessOptions


def run(options: PostprocessOptions, job: Job) -> dict[str, Any]:
    """Post-process."""
    names = half_map_names(options.half1, options.half2)
    half1, half2 = (read_map(p, voxel_size=options.angpix) for p in names)
    check_same_grid(names[0], half1, names[1], half2)
    pixel = half1.voxel_size[0]
    mask_name = None if str(options.mask) in ("auto", "none") else options.mask
    mask = read_mask(mask_name, names[0], half1)
    if str(options.mask) == "auto":
        mask = automatic_mask(half1.values, half2.values, pixel)
    settings = SharpenSettings(
        b_factor=None if options.bfactor == "auto" else float(options.bfactor),
        fit_from=options.autob_lowres,
        fit_to=options.autob_highres,
        fsc_weighting=options.fsc_weighting,
        low_pass=options.lowpass,
        mtf=read_mtf(options.mtf) if options.mtf else None,
        mtf_pixel_size=options.mtf_angpix,
    )
    if options.lowpass is not None and options.lowpass < 2 * pixel:
        raise InputError(f"--lowpass {options.lowpass:g} Å: finer than Nyquist, {2 * pixel:g} Å")
    job.begin([*names, *(p for p in (mask_name, options.mtf) if p)], seed=options.seed)
    if options.bfactor != "auto" and float(options.bfactor) > 0:
        job.notify(Message(f"--bfactor {options.bfactor:g} is positive and dampens; a negative B sharpens", "warning"))
    if mask is not None and mask_name is None:
        mask_name = job.path("mask.mrc")
        write_map(mask_name, DensityMap(values=mask, voxel_size=half1.voxel_size, origin=half1.origin))
    generator = torch.Generator().manual_seed(options.seed)
    result = postprocess(half1.values, half2.values, mask, pixel, settings, generator, force_mask=options.force_mask)
    said = findings(result, 2 * pixel)
    for text in said:
        job.notify(Message(text, "warning"))
    _write_maps(options, job, half1, half2, mask, result, settings)
    command = f"burnish postprocess {names[0]} {names[1]} --mask {mask_name or 'none'} --angpix {pixel:g}"
    star = job.path("postprocess.star")
    write_postprocess(star, result, half1=names[0], half2=names[1], mask=mask_name, command=command)
    write_fsc_xml(job.path("postprocess_fsc.xml"), result)
    _report(options, job, result, said, names, mask_name, pixel)
    return _summary(result, said, mask_name)


def half_map_names(one: Path, other: Path | None) -> tuple[Path, Path]:
    """Return both half maps, half 1 first; the other is found by exchanging half1 and half2 in the name."""
    if other is None:
        for a, b in (("half1", "half2"), ("half2", "half1"), ("half_1", "half_2"), ("half_2", "half_1")):
            if a in one.name:
                other = one.with_name(one.name.replace(a, b))
                break
        else:
            raise InputError(f"{one}: neither half1 nor half2 in its name; name the other half map, too")
    if not other.exists():
        raise InputError(f"{other}: no such half map; name the one that goes with {one}")
    if one.resolve() == other.resolve():
        raise InputError(f"{one}: given as both half maps; they must be independent")
    return (other, one) if "half2" in one.name and "half1" in other.name else (one, other)


def check_same_grid(path1: Path, map1: DensityMap, path2: Path, map2: DensityMap) -> None:
    """Both maps must be on one cubic grid."""
    if map1.values.shape != map2.values.shape:
        raise DataError(f"{path2}: {_size(map2)} voxels, but {path1} has {_size(map1)}; they must be of one box")
    if max(abs(a - b) for a, b in zip(map1.voxel_size, map2.voxel_size, strict=True)) > 1e-3 * map1.voxel_size[0]:
        raise DataError(
            f"{path2}: pixel size {map2.voxel_size[0]:g} Å, but {path1} has {map1.voxel_size[0]:g}; give --angpix"
        )
    x, y, z = map1.voxel_size
    if len(set(map1.values.shape)) > 1 or max(x, y, z) - min(x, y, z) > 1e-3 * x:
        raise DataError(
            f"{path1}: {_size(map1)} voxels of {x:g}×{y:g}×{z:g} Å; half maps must be cubes of cubic voxels"
        )


def _size(density: DensityMap) -> str:
    return "×".join(str(n) for n in reversed(density.values.shape))


def read_mask(name: Path | None, half_name: Path, half: DensityMap) -> torch.Tensor | None:
    """Read a mask and check that it fits the half maps; None for None."""
    if name is None:
        return None
    mask = read_map(name, voxel_size=half.voxel_size[0])
    if mask.values.shape != half.values.shape:
        raise DataError(f"{name}: {_size(mask)} voxels, but {half_name} has {_size(half)}; make the mask on that grid")
    low, high = float(mask.values.min()), float(mask.values.max())
    if low < -1e-6 or high > 1 + 1e-6:
        raise DataError(f"{name}: values from {low:.4g} to {high:.4g}; a mask lies between 0 and 1 (burnish mask)")
    if high < 0.5:
        raise DataError(f"{name}: the mask is blank (highest value {high:.4g}); make it with a lower threshold")
    return mask.values


def _write_maps(
    options: PostprocessOptions,
    job: Job,
    half1: DensityMap,
    half2: DensityMap,
    mask: torch.Tensor | None,
    result: PostprocessResult,
    settings: SharpenSettings,
) -> None:
    mode = 12 if options.float16 else 2

    def write(name: str, values: torch.Tensor) -> None:
        density = DensityMap(values=values, voxel_size=half1.voxel_size, origin=half1.origin)
        write_map(job.path(name), density, mode=mode)

    write("postprocess.mrc", result.sharpened)
    if mask is not None:
        write("postprocess_masked.mrc", result.sharpened * mask)
    if options.half_maps:
        for number, half in ((1, half1), (2, half2)):
            write(f"postprocess_half{number}.mrc", sharpen_like(half.values, half1.voxel_size[0], result, settings))


def _report(
    options: PostprocessOptions,
    job: Job,
    result: PostprocessResult,
    said: list[str],
    names: tuple[Path, Path],
    mask_name: Path | None,
    pixel: float,
) -> None:
    from burnish.reports.figures import as_pdf, as_png, house_style
    from burnish.reports.fsc_figures import fsc_figure, guinier_figure, postprocess_page
    from burnish.reports.page import render

    with house_style():
        figures = [fsc_figure(result), guinier_figure(result)]
        with write_aside(job.path("logfile.pdf")) as aside:
            aside.write_bytes(as_pdf(figures, f"Post-processing of {names[0].name}"))
        captions = ["Fourier shell correlation of the half maps.", "Mean amplitude by shell, with the fit of B."]
        pictures = [(as_png(f), c) for f, c in zip(figures, captions, strict=True)]
    inputs = [("half map 1", str(names[0])), ("half map 2", str(names[1])), ("mask", str(mask_name or "none"))]
    inputs += [("pixel size", f"{pixel:g} Å")]
    inputs += [("MTF", str(options.mtf))] if options.mtf else []
    page = postprocess_page(result, said, pictures, inputs, f"Post-processing of {names[0].name}")
    write_text(job.path("report.html"), render(page))


def _summary(result: PostprocessResult, said: list[str], mask_name: Path | None) -> dict[str, Any]:
    g = result.guinier
    return {
        "resolution": result.resolution.at_shell,
        "resolution_between_shells": result.resolution.between,
        "resolution_at_0.5": result.half_resolution.at_shell,
        "unmasked_resolution": result.unmasked_resolution.at_shell,
        "b_factor": g.b_factor,
        "guinier_intercept": g.fit.intercept if g.fit else None,
        "low_pass": result.low_pass,
        "mask": str(mask_name) if mask_name else None,
        "mask_used": result.mask_used,
        "warnings": said,
    }
