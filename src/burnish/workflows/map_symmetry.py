"""The symmetry that a user names for maps: made, and checked against the model and the map."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
import torch
from torch import Tensor

from burnish.core.errors import DataError, InputError
from burnish.core.units import RAD_PER_DEG
from burnish.data.density import DensityMap
from burnish.data.particle_symmetry import ParticleSymmetry
from burnish.data.sampled_map import box_map
from burnish.maps.sampling import SplineMap, sample, spline_map
from burnish.models.copies import copied_positions
from burnish.options.refine import RefineOptions
from burnish.symmetry.particle import helical_symmetry, point_symmetry

OVERLAP = 0.05  # share of the atoms that may lie on atoms of a copy; more is a second asymmetric unit
SAME_PLACE = 1.0  # Å
LEAST_AGREEMENT = 0.5  # correlation of the density at an atom and at its copies; noise alone has none
NEIGHBOURS = 40  # turns of a helix whose subunits may touch


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSymmetry:
    """Strict symmetry of a map.

    Attributes
    ----------
    density : copies that the map holds.
    contacts : copies that may touch the model; the same for point groups.
    """

    density: ParticleSymmetry
    contacts: ParticleSymmetry


def map_symmetry(options: RefineOptions, density: DensityMap, xyz: Tensor) -> MapSymmetry | None:
    """The symmetry that was asked for, or None; refused where the model or the map contradicts it.

    Parameters
    ----------
    xyz : heavy atoms of the model, Å. (n, 3)
    """
    if options.symmetry is None and options.twist_deg is None:
        return None
    centre = options.centre or map_centre(density)
    if options.twist_deg is None or options.rise is None:
        group = point_symmetry(options.symmetry or "C1", centre)
        if len(group) == 1:
            return None
        found = MapSymmetry(density=group, contacts=group)
    else:
        found = _helix(options, density, xyz, centre, options.twist_deg * RAD_PER_DEG, options.rise)
    _refuse_overlap(options, xyz, found.contacts)
    if len(found.density) == 1:
        raise InputError(
            f"--rise {options.rise:g}: no copy of the model lies in the map as a whole, which is "
            f"{density.values.shape[0] * density.voxel_size[2]:.0f} Å high; expected a rise that brings some into it"
        )
    _refuse_other_symmetry(options, density, xyz, found.density)
    return found


def map_centre(density: DensityMap) -> tuple[float, float, float]:
    """Where point groups have their axes: voxel n//2, as RELION has it."""
    x, y, z = (
        o + v * (n // 2)
        for o, v, n in zip(density.origin, density.voxel_size, reversed(density.values.shape), strict=True)
    )
    return x, y, z


def _helix(
    options: RefineOptions, density: DensityMap, xyz: Tensor, centre: tuple[float, ...], twist: float, rise: float
) -> MapSymmetry:
    """Subunits that lie in the map as a whole, and the neighbours of one, whether they do or not."""
    fold = 1
    if options.symmetry is not None:
        if not options.symmetry.upper().startswith("C"):
            raise InputError(f"--symmetry {options.symmetry}: with a helix only C1, C2 … about its axis are known")
        fold = len(point_symmetry(options.symmetry, centre))
    if abs(rise) < 1e-3:
        raise InputError("--rise: 0 makes a ring; give --symmetry Cn for it")
    bottom, top = density.origin[2], density.origin[2] + density.voxel_size[2] * (density.values.shape[0] - 1)
    low, high = float(xyz[:, 2].min()), float(xyz[:, 2].max())
    reach = int((high - low + 10.0) / abs(rise)) + 1
    most = int((top - bottom) / abs(rise)) + 1
    inside = [k for k in range(-most, most + 1) if low + k * rise >= bottom and high + k * rise <= top]
    near = range(-min(reach, NEIGHBOURS), min(reach, NEIGHBOURS) + 1)
    return MapSymmetry(
        density=helical_symmetry(twist, rise, centre, inside, fold),
        contacts=helical_symmetry(twist, rise, centre, near, fold),
    )


def _refuse_overlap(options: RefineOptions, xyz: Tensor, particle: ParticleSymmetry) -> None:
    """The model must be one asymmetric unit."""
    share = _overlap(xyz, particle)
    if share > OVERLAP:
        raise DataError(
            f"{options.model}: {share:.0%} of its atoms lie on other atoms of its own copies by {particle.name}; the "
            "model must be one asymmetric unit: keep one of the chains that symmetry makes of each other"
        )


def _overlap(xyz: Tensor, particle: ParticleSymmetry) -> float:
    """Share of the atoms that lie on other atoms of the copies."""
    from scipy.spatial import cKDTree  # takes long to import

    own = xyz.numpy()
    copies = copied_positions(xyz, particle).numpy()[len(own) :]
    away, nearest = cKDTree(copies).query(own, distance_upper_bound=SAME_PLACE) if len(copies) else ([], [])
    other = np.isfinite(away) & (np.asarray(nearest) % len(own) != np.arange(len(own)))
    return float(other.mean()) if len(other) else 0.0


def _refuse_other_symmetry(
    options: RefineOptions, density: DensityMap, xyz: Tensor, particle: ParticleSymmetry
) -> None:
    """The density at the atoms and at their copies must agree."""
    grid = spline_map(box_map(density))
    agreement = _agreement(grid, xyz, particle)
    if agreement >= LEAST_AGREEMENT:
        return
    centre = _written(options.centre or map_centre(density))
    named = "the symmetry" if options.twist_deg is None else "twist and rise"
    advice = f"check {named}, the axes (z is the main one) and --centre (now {centre} Å)"
    if options.twist_deg is None:
        better, found = _find_centre(grid, density, xyz, options.symmetry or "C1")
        if found >= LEAST_AGREEMENT:
            advice = f"its axes meet elsewhere: by {found:.2f} with --centre {_written(better)} (now {centre} Å)"
    raise DataError(
        f"{options.map or options.half1}: density at the atoms and at their copies by {particle.name} correlates "
        f"by {round(agreement, 2) + 0.0:.2f} only; {advice}"
    )


def _agreement(grid: SplineMap, xyz: Tensor, particle: ParticleSymmetry) -> float:
    """Correlation of the density at the atoms with that at those copies where it is lowest."""
    values = sample(grid, copied_positions(xyz, particle)).reshape(len(particle), -1).double()
    first = values[0] - values[0].mean()
    return min((_correlation(first, other) for other in values[1:]), default=1.0)


def _find_centre(
    grid: SplineMap, density: DensityMap, xyz: Tensor, group: str
) -> tuple[tuple[float, float, float], float]:
    """Where the axes meet best, and how well the density agrees then.

    The search climbs from the middle of the box, the origin and the middle of what is dense: a map that was cut out of
    another one has its axes there.
    """
    values = density.values.double()
    weight = (values - values.mean() - 2.0 * values.std()).clamp_min(0.0)
    shares = [weight.sum(dim=tuple(d for d in range(3) if d != axis)) for axis in (2, 1, 0)]
    size, voxel, origin = np.array(values.shape[::-1]), np.array(density.voxel_size), np.array(density.origin)
    dense = [float((s * torch.arange(len(s))).sum() / s.sum().clamp_min(1e-30)) for s in shares]
    best, found = np.zeros(3), -1.0
    for start in (origin + voxel * (size - 1) / 2, np.zeros(3), origin + voxel * np.array(dense)):
        at, step = start, 4.0 * float(voxel.max())
        now = _agreement(grid, xyz, point_symmetry(group, tuple(at)))
        while step > 0.05:
            tries = [at + step * sign * np.eye(3)[axis] for axis in range(3) for sign in (-1.0, 1.0)]
            scores = [_agreement(grid, xyz, point_symmetry(group, tuple(t))) for t in tries]
            if max(scores) > now:
                at, now = tries[int(np.argmax(scores))], max(scores)
            else:
                step *= 0.5
        if now > found and _overlap(xyz, point_symmetry(group, tuple(at))) <= OVERLAP:
            best, found = at, now
    x, y, z = (float(v) for v in best)
    return (x, y, z), found


def _written(centre: tuple[float, float, float]) -> str:
    return " ".join(f"{c:.1f}" for c in centre)


def _correlation(first: Tensor, other: Tensor) -> float:
    other = other - other.mean()
    size = float(first.norm() * other.norm())
    return float(first @ other) / size if size > 0 else 0.0


def record_symmetry(structure: gemmi.Structure, symmetry: MapSymmetry) -> None:
    """Write the operations into a structure, as those that generate the other copies."""
    structure.ncs.clear()
    for k, (rotation, shift) in enumerate(zip(symmetry.density.rotation, symmetry.density.shift, strict=True)):
        transform = gemmi.Transform()
        transform.mat.fromlist((np.round(rotation, 12) + 0.0).tolist())  # zeros without rounding errors or signs
        transform.vec.fromlist((np.round(shift, 9) + 0.0).tolist())
        structure.ncs.append(gemmi.NcsOp(transform, str(k + 1), k == 0))


def expanded(structure: gemmi.Structure) -> gemmi.Structure:
    """Every copy as chains of their own."""
    whole = structure.clone()
    whole.expand_ncs(gemmi.HowToNameCopiedChain.Short)
    whole.ncs.clear()
    return whole
