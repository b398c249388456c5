"""What `burnish refine3d` reads, checked before anything is written."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from burnish.core.errors import DataError, InputError, ResourceError
from burnish.data.density import DensityMap
from burnish.data.particles import Particles
from burnish.fourier.resize import resample
from burnish.io.images import ImageStacks
from burnish.io.mrc import read_map
from burnish.io.particles import ParticleFile, read_particles
from burnish.options.refine3d import Refine3DOptions
from burnish.particles.store import Frame

_GIB = 2.0**30
_PROGRAM = 0.35 * _GIB  # the interpreter and its libraries
_RECORD = 5000.0  # bytes: sixteen modes of 37 numbers
_NAN_CHUNK = 256  # images looked at together


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything read.

    Attributes
    ----------
    file : the particles with all their columns.
    rows : of the particles that take part.
    half_set : of those, 0 or 1. (p,) int64
    stacks : their images.
    frame : geometry of the maps.
    reference : on that geometry. (n, n, n)
    mask : on that geometry, or None.
    remarks : lines for the log.
    """

    file: ParticleFile
    rows: Tensor
    half_set: Tensor
    stacks: ImageStacks
    frame: Frame
    reference: Tensor
    mask: Tensor | None
    remarks: tuple[str, ...]


def read_inputs(options: Refine3DOptions) -> Inputs:
    """Read and check everything that the options name."""
    assert options.particles is not None and options.reference is not None and options.mask_diameter is not None
    file = read_particles(options.particles, needs_defocus=options.ctf_correction)
    _check_optics(file)
    particles = file.particles
    stacks = ImageStacks(particles, file.path)
    first = particles.optics[int(particles.optics_index[0])]
    frame = Frame(size=first.box_size, pixel_size=first.pixel_size, mask_radius=options.mask_diameter / 2.0)
    _check_diameter(options, frame)
    remarks = list(file.notes)
    reference, said = _read_reference(options, frame)
    remarks += said
    mask = _read_mask(options.mask, frame) if options.mask else None
    rows, bad = _good_images(particles, stacks)
    if bad:
        names = ", ".join(str(r + 1) for r in bad[:10]) + (" …" if len(bad) > 10 else "")
        remarks.append(f"{file.path}: {len(bad)} images hold NaN or infinity and are left out: rows {names}")
    half_set, said_of_halves = _half_sets(particles, rows, options.seed, file.path)
    remarks += said_of_halves
    return Inputs(
        file=file,
        rows=rows,
        half_set=half_set,
        stacks=stacks,
        frame=frame,
        reference=reference,
        mask=mask,
        remarks=tuple(remarks),
    )


def known_poses(options: Refine3DOptions, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Rotations and shifts (px) of the particles taken, from their file."""
    particles, rows = inputs.file.particles, inputs.rows
    if particles.poses is None:
        raise DataError(
            f"{options.particles}: no poses (rlnAngleRot, rlnAngleTilt, rlnAnglePsi), from which --local starts; "
            "leave it out"
        )
    pixel = torch.tensor([g.pixel_size for g in particles.optics], dtype=torch.float64)[particles.optics_index[rows]]
    return particles.poses.rotation[rows], particles.poses.shift[rows] / pixel[:, None]


def reopen_inputs(options: Refine3DOptions, rows: Tensor, half_set: Tensor) -> Inputs:
    """What `read_inputs` found good, opened again by another process, which takes its word; without the reference."""
    assert options.particles is not None and options.mask_diameter is not None
    file = read_particles(options.particles, needs_defocus=options.ctf_correction)
    if len(rows) and int(rows.max()) >= len(file.particles):
        raise DataError(
            f"{options.particles}: {len(file.particles)} particles as this worker sees it, more where the job began; "
            "workers and the job must see the same files"
        )
    first = file.particles.optics[int(file.particles.optics_index[0])]
    frame = Frame(size=first.box_size, pixel_size=first.pixel_size, mask_radius=options.mask_diameter / 2.0)
    return Inputs(
        file=file,
        rows=rows,
        half_set=half_set,
        stacks=ImageStacks(file.particles, file.path),
        frame=frame,
        reference=torch.empty(0),
        mask=_read_mask(options.mask, frame) if options.mask else None,
        remarks=(),
    )


def _check_optics(file: ParticleFile) -> None:
    table = file.optics_table
    if len(table):
        numbers = table.ints("rlnOpticsGroup").tolist()
        twice = next((n for n in numbers if numbers.count(n) > 1), None)
        if twice is not None:
            raise DataError(
                f"{table.place()}: optics group {twice} is listed {numbers.count(twice)} times; keep one row of it"
            )
    for group in file.particles.optics:
        if group.box_size % 2:
            raise DataError(
                f"{file.path}: images of optics group {group.name} have an odd box of {group.box_size} px; "
                "pad them to an even one (burnish image --new-box)"
            )
    if bool(torch.isnan(file.particles.defocus.u).any()) and len(file.table):
        row = int(torch.isnan(file.particles.defocus.u).nonzero()[0])
        raise DataError(f"{file.table.place(row)}: no defocus; run CTF estimation, or pass --no-ctf-correction")


def _check_diameter(options: Refine3DOptions, frame: Frame) -> None:
    box = frame.size * frame.pixel_size
    assert options.mask_diameter is not None
    if options.mask_diameter > box:
        raise InputError(
            f"--mask-diameter {options.mask_diameter:g} Å: wider than the images, {frame.size} px of "
            f"{frame.pixel_size:g} Å = {box:g} Å; give the particle's diameter"
        )
    if options.initial_lowpass < 2 * frame.pixel_size or options.initial_lowpass > options.mask_diameter:
        raise InputError(
            f"--initial-lowpass {options.initial_lowpass:g} Å: expected a value between Nyquist "
            f"({2 * frame.pixel_size:g} Å) and the particle's diameter ({options.mask_diameter:g} Å)"
        )


def _read_reference(options: Refine3DOptions, frame: Frame) -> tuple[Tensor, list[str]]:
    assert options.reference is not None
    try:
        given = read_map(options.reference, voxel_size=options.reference_angpix)
    except DataError as error:  # --angpix is other commands' name for it
        raise DataError(str(error).replace(" --angpix", " --reference-angpix")) from None
    _check_cube(options.reference, given)
    if not bool(torch.isfinite(given.values).all()):
        raise DataError(f"{options.reference}: holds NaN or infinity; expected a map of numbers")
    if float(given.values.std()) == 0.0:
        raise DataError(
            f"{options.reference}: every voxel is {float(given.values.mean()):g}; expected a map of a particle"
        )
    n, a = given.values.shape[0], given.voxel_size[0]
    if n == frame.size and abs(a - frame.pixel_size) < 1e-3 * a:
        return given.values, []
    found = f"{options.reference}: {n} voxels of {a:g} Å, the images have {frame.size} px of {frame.pixel_size:g} Å"
    if not options.resize_reference:
        raise DataError(
            f"{found}; --no-resize-reference forbids to resample it (burnish image --rescale-angpix --new-box)"
        )
    ratio = frame.pixel_size / a
    return resample(given.values, (ratio,) * 3, (frame.size,) * 3).to(torch.float32), [f"{found}; resampled to these"]


def _check_cube(path: Path, given: DensityMap) -> None:
    shape, voxel = given.values.shape, given.voxel_size
    if len(set(shape)) > 1 or max(voxel) - min(voxel) > 1e-3 * voxel[0]:
        size = "×".join(str(x) for x in reversed(shape))
        raise DataError(
            f"{path}: {size} voxels of {voxel[0]:g}×{voxel[1]:g}×{voxel[2]:g} Å; expected a cube of cubic voxels"
        )


def _read_mask(path: Path, frame: Frame) -> Tensor:
    given = read_map(path, voxel_size=frame.pixel_size)
    if given.values.shape != (frame.size,) * 3:
        size = "×".join(str(x) for x in reversed(given.values.shape))
        raise DataError(f"{path}: {size} voxels, the images have {frame.size} px; make the mask on that box")
    low, high = float(given.values.min()), float(given.values.max())
    if low < -1e-6 or high > 1 + 1e-6 or high < 0.5:
        raise DataError(f"{path}: values from {low:.4g} to {high:.4g}; a mask lies between 0 and 1 (burnish mask)")
    return given.values


def _good_images(particles: Particles, stacks: ImageStacks) -> tuple[Tensor, list[int]]:
    """Rows whose images are finite, and the others; reads every image once, block by block."""
    bad: list[int] = []
    for group in range(len(particles.optics)):
        members = (particles.optics_index == group).nonzero()[:, 0]
        for rows in members.split(_NAN_CHUNK):
            sums = stacks.read(rows).sum((1, 2))
            bad += rows[~torch.isfinite(sums)].tolist()
    keep = torch.ones(len(particles), dtype=torch.bool)
    keep[bad] = False
    return keep.nonzero()[:, 0], sorted(bad)


def _half_sets(particles: Particles, rows: Tensor, seed: int, path: Path) -> tuple[Tensor, list[str]]:
    """Half sets of the file where it has both, else random ones of equal size."""
    given = particles.half_set[rows]
    if len(rows) < 4:
        raise DataError(f"{path}: {len(rows)} usable particles; two halves need at least two each")
    if bool((given >= 0).all()):
        sizes = [int((given == h).sum()) for h in (0, 1)]
        if min(sizes) == 0:
            full = 1 if sizes[0] else 2
            raise DataError(
                f"{path}: all {len(rows)} particles are in half set {full} (rlnRandomSubset); "
                f"both are needed, or none named"
            )
        return given, [f"half sets as in {path}: {sizes[0]} and {sizes[1]} particles"]
    generator = torch.Generator().manual_seed(seed)
    half = torch.empty(len(rows), dtype=torch.int64)
    half[torch.randperm(len(rows), generator=generator)] = torch.arange(len(rows)) % 2
    return half, []


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """What the job will take at its largest iteration, bytes.

    Attributes
    ----------
    volumes : maps, padded transforms and sums of the last, full-size iteration.
    blocks : images and slices in work.
    images : what is left for images kept between iterations.
    block_size : images a block.
    """

    volumes: float
    blocks: float
    images: float
    block_size: int

    def __str__(self) -> str:
        total = (self.volumes + self.blocks) / _GIB
        return (
            f"memory: {total:.2f} GiB at the last iteration, up to {self.images / _GIB:.2f} GiB more to keep images; "
            f"blocks of {self.block_size}"
        )


def plan_memory(
    frame: Frame, count: int, threads: int, given: float | None, order: int, fold: int, device: str = "cpu"
) -> MemoryPlan:
    """Sizes from the geometry and the free memory; `ResourceError` where the last iteration would not fit.

    Parameters
    ----------
    count : particles: their modes and table rows are kept, not their images.
    given : memory to plan with, GiB; None for half of what is free, or four fifths on a device of its own.
    order : HEALPix order of the finest grid.
    fold : number of operators of the point group: only the asymmetric unit of orientations is searched.
    """
    on_host = device == "cpu"
    free = 0.5 * free_memory() if on_host else 0.8 * torch.cuda.mem_get_info(device)[0]
    free = given * _GIB if given is not None else free
    n, padded = frame.size, 2 * frame.size
    half = padded // 2 + 2
    grid = (2 * half) ** 2 * half
    # two halves' sums (3 floats), one symmetrised beside them, one solved: transform, density, and a padded reference
    volumes = grid * 4.0 * (3 * 4 + 2 + 2) + padded**3 * 4.0 * 2 + 9 * n**3 * 4.0
    rotations = 12 * 4**order * 6 * 2**order / fold
    pixels = 3.2 * min(30, n // 2) ** 2 / 2
    block_size = 32 if on_host else 256  # in a cache, or enough to keep a device busy
    blocks = (
        _PROGRAM
        + count * _RECORD
        + rotations * pixels * 4 * 6
        + (threads + 1) * (rotations * 21 * 4.0 * block_size * 2 + block_size * n * n * 12.0)
    )
    if volumes + blocks > free:
        need = (volumes + blocks) / _GIB
        raise ResourceError(
            f"the last, full-size iteration on {n} px needs {need:.1f} GiB, {free / _GIB:.1f} GiB may be used; "
            "give --memory more, fewer --threads, or bin the images"
        )
    return MemoryPlan(volumes=volumes, blocks=blocks, images=free - volumes - blocks, block_size=block_size)


def free_memory() -> float:
    """Bytes that a process may take without swapping; what only caches files counts as free."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024.0 * float(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 8.0 * _GIB
