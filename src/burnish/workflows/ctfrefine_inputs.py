"""What `burnish ctfrefine` reads: particles, half maps, mask and FSC, checked against each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burnish.core.errors import DataError, InputError
from burnish.data.density import DensityMap
from burnish.io.images import find_stack
from burnish.io.mrc import read_map
from burnish.io.particles import ParticleFile, read_particles
from burnish.io.star import StarTable, read_star
from burnish.options.ctfrefine import CtfRefineOptions

_HALF_MAPS = ("rlnUnfilteredMapHalf1", "rlnUnfilteredMapHalf2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything that was read.

    Attributes
    ----------
    file : the particles.
    half_maps, mask : on one grid.
    voxel_size : Å.
    fsc, fsc_frequency : between the masked half maps, corrected; Å⁻¹. (shells,)
    paths : of all files, for the job record.
    """

    file: ParticleFile
    half_maps: tuple[Tensor, Tensor]
    mask: Tensor
    voxel_size: float
    fsc: Tensor
    fsc_frequency: Tensor
    paths: tuple[Path, ...]


def read_inputs(options: CtfRefineOptions) -> Inputs:
    """Read and check all that the options name."""
    file = read_particles(options.particles)
    _check_particles(file)
    star = read_star(options.postprocess)
    general = star["general"]
    halves = [
        given or _named(general, column, options.postprocess, f"--half{number}")
        for number, (given, column) in enumerate(zip((options.half1, options.half2), _HALF_MAPS, strict=True), 1)
    ]
    mask_path = options.mask
    if mask_path is None and "rlnMaskName" in general and general.value("rlnMaskName") not in ("", "None", "none"):
        mask_path = _named(general, "rlnMaskName", options.postprocess, "--mask")
    if halves[0].resolve() == halves[1].resolve():
        raise InputError(f"{halves[0]}: given as both half maps; particles must be compared with their own half")
    first, second = (read_map(path) for path in halves)
    _check_grid(halves[0], first, halves[1], second)
    mask = torch.ones_like(first.values) if mask_path is None else _read_mask(mask_path, halves[0], first)
    fsc, frequency = _read_fsc(star["fsc"])
    paths = (options.particles, options.postprocess, *halves, *([mask_path] if mask_path else []))
    return Inputs(
        file=file,
        half_maps=(first.values, second.values),
        mask=mask,
        voxel_size=first.voxel_size[0],
        fsc=fsc,
        fsc_frequency=frequency,
        paths=paths,
    )


def read_beam_shifts(path: Path, micrographs: tuple[str, ...]) -> Tensor:
    """Beam shift of each micrograph from lines of name, x and y; names may leave out folder and ending. (m, 2)"""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected lines of micrograph, x and y") from None
    known: dict[str, tuple[float, float]] = {}
    for number, line in enumerate(lines, 1):
        values = line.replace(",", " ").replace(";", " ").split()
        if not values or values[0].startswith("#"):
            continue
        try:
            x, y = (float(v) for v in values[1:3])
        except ValueError:
            if number == 1:
                continue  # a heading
            raise DataError(f"{path}, line {number}: '{line.strip()}', expected micrograph, x and y") from None
        known[_stem(values[0])] = (x, y)
    missing = [m for m in micrographs if _stem(m) not in known]
    if missing:
        raise DataError(
            f"{path}: no beam shift of {missing[0]} ({len(missing)} of {len(micrographs)} micrographs are missing)"
        )
    return torch.tensor([known[_stem(m)] for m in micrographs], dtype=torch.float64)


def _stem(name: str) -> str:
    return name.rsplit("/", 1)[-1].split(".")[0]


def _check_particles(file: ParticleFile) -> None:
    particles = file.particles
    if particles.poses is None:
        raise DataError(f"{file.path}: no angles (rlnAngleRot …); give the run_data.star of a refinement")
    unset = (particles.half_set < 0).nonzero()[:, 0]
    if len(unset):
        raise DataError(
            f"{file.path}, row {int(unset[0]) + 1}: rlnRandomSubset is missing or not 1 or 2, so that the particle's "
            "own half map is unknown; give the run_data.star of a refinement in two halves"
        )
    for name in ("u", "v", "angle"):
        bad = (~torch.isfinite(getattr(particles.defocus, name))).nonzero()[:, 0]
        if len(bad):
            raise DataError(
                f"{file.path}, row {int(bad[0]) + 1}: defocus is not a finite number; estimate the CTF first"
            )
    for group in particles.optics:
        if group.spherical_aberration < 0 or not 0 <= group.amplitude_contrast < 1:
            raise DataError(
                f"{file.path}, optics group {group.name}: Cs {group.spherical_aberration * 1e-7:g} mm and amplitude "
                f"contrast {group.amplitude_contrast:g}, expected Cs ≥ 0 and contrast between 0 and 1"
            )


def _named(general: StarTable, column: str, star: Path, option: str) -> Path:
    """The file that postprocess.star names, from the project folder or beside the STAR file."""
    if column not in general:
        raise DataError(f"{star}: no {column} in its table 'general'; name the file with {option}")
    name = general.value(column)
    found = find_stack(name, star) or find_stack(Path(name).name, star)
    if found is None:
        raise DataError(f"{star}: {column} is {name}, which is not there; name the file with {option}")
    return found


def _check_grid(path1: Path, map1: DensityMap, path2: Path, map2: DensityMap) -> None:
    shape = tuple(map1.values.shape)
    if shape != tuple(map2.values.shape):
        raise DataError(f"{path2}: {_size(map2)} voxels, but {path1} has {_size(map1)}; they must be of one box")
    x, y, z = map1.voxel_size
    if len(set(shape)) > 1 or max(x, y, z) - min(x, y, z) > 1e-3 * x:
        raise DataError(f"{path1}: {_size(map1)} voxels of {x:g}×{y:g}×{z:g} Å; expected a cube of cubic voxels")
    if abs(map2.voxel_size[0] - x) > 1e-3 * x:
        raise DataError(f"{path2}: voxels of {map2.voxel_size[0]:g} Å, but {path1} has {x:g}; correct one of them")
    if x <= 0:
        raise DataError(f"{path1}: its header does not say the voxel size; set it")


def _read_mask(path: Path, half_path: Path, half: DensityMap) -> Tensor:
    mask = read_map(path, voxel_size=half.voxel_size[0])
    if mask.values.shape != half.values.shape:
        raise DataError(f"{path}: {_size(mask)} voxels, but {half_path} has {_size(half)}; make the mask on that grid")
    low, high = float(mask.values.min()), float(mask.values.max())
    if low < -1e-3 or high > 1.001 or high < 0.5:
        raise DataError(f"{path}: values from {low:.4g} to {high:.4g}; a mask lies between 0 and 1 (burnish mask)")
    return mask.values.clamp(0.0, 1.0)


def _read_fsc(table: StarTable) -> tuple[Tensor, Tensor]:
    frequency = table.floats("rlnResolution")
    column = "rlnFourierShellCorrelationCorrected"
    fsc = table.floats(column)
    if len(fsc) < 3 or not np.isfinite(frequency).all() or (np.diff(frequency) <= 0).any():
        raise DataError(f"{table.place()}: rlnResolution must rise over at least 3 shells; run postprocess again")
    # RELION leaves nan in shells without power, where nothing correlates
    return torch.from_numpy(np.where(np.isfinite(fsc), fsc, 0.0)), torch.from_numpy(frequency)


def _size(density: DensityMap) -> str:
    return "×".join(str(n) for n in reversed(density.values.shape))
