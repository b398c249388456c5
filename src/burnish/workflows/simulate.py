"""`burnish simulate`: a model or map in; particle images, what a refinement may see of them, and the truth out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from burnish.core.errors import DataError, InputError
from burnish.core.events import Progress
from burnish.core.units import ANGSTROM_PER_MM, RAD_PER_DEG, RAD_PER_MRAD, VOLT_PER_KV
from burnish.data.density import DensityMap
from burnish.data.optics import OpticsGroup
from burnish.data.particles import Particles
from burnish.io.atoms import read_atoms
from burnish.io.mrc import new_stack, read_map, write_map
from burnish.io.particles import write_new_particles
from burnish.jobs.folder import Job
from burnish.maps.image import ImageOperations, transform_image
from burnish.maps.potential import electron_potential
from burnish.options.simulate import SimulateOptions, numbers
from burnish.particles.simulation import (
    NoiseModel,
    Scene,
    disturb_defocus,
    draw_particles,
    make_projector,
    nominal,
    render,
    rows_of_one_optics,
    signal_deviation,
)

_MAP_SUFFIXES = (".mrc", ".map", ".ccp4", ".mrc.gz", ".map.gz")


def run(options: SimulateOptions, job: Job) -> dict[str, Any]:
    """Simulate."""
    density = _read_source(options)
    box, pixel = len(density.values), density.voxel_size[0]
    diameter = options.diameter or 0.8 * box * pixel
    if diameter > box * pixel:
        raise InputError(f"--diameter {diameter:g} Å: larger than the box of {box * pixel:g} Å")
    generator = torch.Generator().manual_seed(options.seed)
    endings = (".mrcs", "_particles.star", "_truth.star", "_map.mrc")
    files = {ending: options.out.with_name(options.out.name + ending) for ending in endings}
    truth = draw_particles(_scene(options, pixel), _optics(options, box, pixel), str(files[".mrcs"]), generator)
    noise = NoiseModel(snr=options.snr or None, coloured=options.coloured, diameter=diameter, dose=options.dose)
    job.begin([options.source], seed=options.seed)
    write_map(files["_map.mrc"], density)
    projector = make_projector(density.values)
    deviation = signal_deviation(projector, truth, noise, generator) if options.snr else 1.0
    done = 0
    with new_stack(files[".mrcs"], (options.particles, box, box), pixel) as images:
        for rows in rows_of_one_optics(truth, max(1, min(64, (1 << 22) // box**2))):
            images[rows.numpy()] = render(projector, truth, rows, noise, deviation, generator).numpy()
            done += len(rows)
            job.notify(Progress("images", done, options.particles))
    write_new_particles(files["_truth.star"], truth)
    write_new_particles(files["_particles.star"], _given(options, truth, generator))
    return {
        "images": str(files[".mrcs"]),
        "particles": str(files["_particles.star"]),
        "truth": str(files["_truth.star"]),
        "map": str(files["_map.mrc"]),
        "count": options.particles,
        "box": box,
        "pixel_size": pixel,
        "signal_deviation": deviation,
    }


def _given(options: SimulateOptions, truth: Particles, generator: torch.Generator) -> Particles:
    """What a refinement may see: no aberrations, the micrograph's defocus, poses only where asked for."""
    given = replace(truth, optics=tuple(nominal(g) for g in truth.optics))
    if not options.with_poses:
        no_halves = torch.full_like(truth.half_set, -1)
        given = replace(given, poses=None, half_set=no_halves)
    return disturb_defocus(given, options.defocus_error, generator, own=options.with_poses)


def _scene(options: SimulateOptions, pixel: float) -> Scene:
    return Scene(
        particles=options.particles,
        micrographs=options.micrographs,
        preferred=options.preferred,
        preferred_spread=options.preferred_spread_deg * RAD_PER_DEG,
        shift=options.shift_px * pixel,
        defocus=options.defocus,
        defocus_spread=options.defocus_spread,
        astigmatism=options.astigmatism,
        scale_spread=options.scale_spread,
    )


def _optics(options: SimulateOptions, box: int, pixel: float) -> tuple[OpticsGroup, ...]:
    groups = []
    for i in range(options.optics_groups):
        sign = -1.0 if i % 2 else 1.0
        groups.append(
            OpticsGroup(
                name=f"opticsGroup{i + 1}",
                voltage=options.kv * VOLT_PER_KV,
                spherical_aberration=options.cs * ANGSTROM_PER_MM,
                amplitude_contrast=options.q0,
                pixel_size=pixel,
                box_size=box,
                beam_tilt=(sign * options.beam_tilt[0] * RAD_PER_MRAD, sign * options.beam_tilt[1] * RAD_PER_MRAD),
                odd_zernike=numbers(options.odd_zernike) or None,
                even_zernike=numbers(options.even_zernike) or None,
                magnification=torch.tensor(options.magnification, dtype=torch.float64).reshape(2, 2),
            )
        )
    return tuple(groups)


def _read_source(options: SimulateOptions) -> DensityMap:
    if options.source.name.lower().endswith(_MAP_SUFFIXES):
        return _read_map(options)
    if options.box is None or options.angpix is None:
        raise InputError("--box and --angpix: a model needs both; say how large the images and their pixels are")
    if options.box % 2:
        raise InputError(f"--box {options.box}: expected an even number")
    atoms = read_atoms(options.source, chains=options.chains)
    xyz = atoms.xyz - (atoms.xyz.amax(0) + atoms.xyz.amin(0)) / 2 if options.centre else atoms.xyz
    b_iso = torch.full_like(atoms.b_iso, options.b_factor) if options.b_factor is not None else atoms.b_iso
    values = electron_potential(xyz, b_iso, atoms.occ, atoms.elements, options.box, options.angpix)
    return DensityMap(values=values, voxel_size=(options.angpix,) * 3)


def _read_map(options: SimulateOptions) -> DensityMap:
    density = read_map(options.source)
    if len(set(density.values.shape)) > 1 or len(set(density.voxel_size)) > 1:
        size = tuple(density.values.shape)
        raise DataError(f"{options.source}: {size} voxels of {density.voxel_size} Å; expected a cube")
    pixel = options.angpix or density.voxel_size[0]
    operations = ImageOperations(pixel_size=pixel, box=options.box or len(density.values))
    values = transform_image(density.values, density.voxel_size[0], operations, dims=3)
    if len(values) % 2:
        raise DataError(f"{options.source}: a box of {len(values)} voxels; give an even --box")
    return DensityMap(values=values, voxel_size=(pixel, pixel, pixel))
