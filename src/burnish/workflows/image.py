"""`burnish image`: a map or stack in, a map or stack out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from burnish.core.errors import DataError, InputError
from burnish.core.events import Message, Progress
from burnish.data.density import DensityMap
from burnish.io.mrc import map_stack, new_stack, read_map, write_map
from burnish.jobs.folder import Job
from burnish.maps.image import ImageOperations, origin_after, pooled, statistics, transform_image
from burnish.options.image import ImageOptions

_CHUNK = 1 << 25  # values of a stack at a time


def run(options: ImageOptions, job: Job) -> dict[str, Any]:
    """Read, transform, write."""
    if options.out.resolve() == options.input.resolve():
        raise InputError(f"--out {options.out}: that is the input itself; name another file")
    is_stack = options.stack if options.stack is not None else options.input.name.endswith((".mrcs", ".stk", ".st"))
    return _stack(options, job) if is_stack else _map(options, job)


def _operations(options: ImageOptions, pixel: float) -> ImageOperations:
    final = options.rescale_angpix or pixel
    for name, value in (("lowpass", options.lowpass), ("highpass", options.highpass)):
        if value is not None and value < 2 * pixel:
            raise InputError(f"--{name} {value:g} Å: finer than Nyquist of the input, {2 * pixel:g} Å")
    if options.lowpass and options.highpass and options.highpass <= options.lowpass:
        raise InputError(f"--highpass {options.highpass:g} Å must be coarser than --lowpass {options.lowpass:g} Å")
    rotations = None
    if options.symmetry.upper() != "C1":
        from burnish.symmetry.point_groups import point_group

        rotations = point_group(options.symmetry)
    return ImageOperations(
        invert=options.invert,
        mirror=options.flip_hand,
        rotations=rotations,
        low_pass=options.lowpass,
        high_pass=options.highpass,
        b_factor=options.bfactor,
        shift=(options.shift_x, options.shift_y, options.shift_z),
        pixel_size=final,
        box=options.new_box,
    )


def _map(options: ImageOptions, job: Job) -> dict[str, Any]:
    density = read_map(options.input, voxel_size=options.angpix)
    x, y, z = density.voxel_size
    if max(x, y, z) - min(x, y, z) > 1e-3 * x:
        raise DataError(f"{options.input}: voxels of {x:g}×{y:g}×{z:g} Å; give one --angpix if the header is wrong")
    operations = _operations(options, x)
    if operations.rotations is not None and len(set(density.values.shape)) > 1:
        raise DataError(f"{options.input}: {tuple(density.values.shape)} voxels; only a cube can be symmetrised")
    job.begin([options.input])
    values = transform_image(density.values, x, operations, dims=3)
    pixel = operations.pixel_size or x
    old, new = tuple(reversed(density.values.shape)), tuple(reversed(values.shape))
    origin = origin_after(density.origin, old, x, new, pixel)
    write_map(
        options.out,
        DensityMap(values=values, voxel_size=(pixel, pixel, pixel), origin=origin),
        mode=12 if options.float16 else 2,
    )
    numbers = statistics(values)
    return {
        "out": str(options.out),
        "pixel_size": pixel,
        "box": "×".join(str(n) for n in new),
        **asdict(numbers),
    }


def _stack(options: ImageOptions, job: Job) -> dict[str, Any]:
    if options.symmetry.upper() != "C1" or options.shift_z:
        raise InputError(f"{options.input}: images of a stack have neither --symmetry nor --shift-z")
    images, header = map_stack(options.input)
    pixel = options.angpix or header.voxel_size[0]
    in_angstrom = (options.rescale_angpix, options.lowpass, options.highpass, options.bfactor)
    if pixel <= 0:
        if any(v is not None for v in in_angstrom):
            raise DataError(f"{options.input}: the header has no pixel size; give it with --angpix")
        pixel = 1.0
        job.notify(Message(f"{options.input}: no pixel size in the header; 1 Å written", "warning"))
    operations = _operations(options, pixel)
    job.begin([options.input])
    first = transform_image(_tensor(images[:1]), pixel, operations, dims=2)
    final = operations.pixel_size or pixel
    mode = 12 if options.float16 else 2
    step = max(1, _CHUNK // (images.shape[1] * images.shape[2]))
    parts = []
    with new_stack(options.out, (len(images), *first.shape[1:]), final, mode=mode) as written:
        for start in range(0, len(images), step):
            chunk = transform_image(_tensor(images[start : start + step]), pixel, operations, dims=2)
            written[start : start + step] = chunk.numpy()
            parts.append(statistics(chunk))
            job.notify(Progress("images", start + len(chunk), len(images)))
    numbers = pooled(parts)
    return {
        "out": str(options.out),
        "images": len(images),
        "pixel_size": final,
        "box": int(first.shape[-1]),
        **asdict(numbers),
    }


def _tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(images, dtype=np.float32))
