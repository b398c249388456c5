"""How well each residue fits the density, and what the difference map still shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burnish.chemistry.residues import ResidueView
from burnish.data.particle_symmetry import Symmetry
from burnish.data.sampled_map import SampledMap
from burnish.maps.peaks import find_peaks
from burnish.maps.sampling import points_near, rms, sample, spline_map
from burnish.symmetry.images import nearest_images

POOR_CORRELATION = 0.8
SAME_PEAK = 0.7  # Å


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidueFit:
    """Agreement of one residue with the density.

    Attributes
    ----------
    view : index into the residue views.
    correlation : RSCC of observed and calculated density over the points near the residue.
    r_value : RSR, Σ|ρo − ρc| / Σ|ρo + ρc| over the same points (Jones et al. 1991, Acta Cryst. A47, 110).
    density : mean observed density at its atoms, in σ of the map, each atom counted by its electrons.
    worst_z : difference density at its atoms, in σ: the value of largest size, with its sign.
    mean_b : mean B of its atoms, Å².
    occupancy : smallest of its atoms.
    """

    view: int
    correlation: float
    r_value: float
    density: float
    worst_z: float
    mean_b: float
    occupancy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferencePeak:
    """A peak (positive) or hole (negative) of the difference map, at the image nearest to the model.

    Attributes
    ----------
    xyz : Å.
    height : in σ.
    atom : index of the nearest atom.
    distance : to it, Å.
    """

    xyz: tuple[float, float, float]
    height: float
    atom: int
    distance: float


def mask_radius(d_min: float) -> float:
    """Radius about atoms in which densities are compared, Å: grows from 1.2 at 1 Å to 2.1 at 4 Å and beyond."""
    return min(2.1, 0.9 + 0.3 * max(d_min, 1.0))


def atom_difference_z(difference: SampledMap, xyz: Tensor) -> Tensor:
    """Difference density at each atom, in σ of the map. (n,)"""
    return sample(spline_map(difference), xyz) / max(rms(difference), 1e-12)


def residue_fits(
    density: SampledMap,
    calculated: SampledMap,
    difference: SampledMap,
    xyz: Tensor,
    b_iso: Tensor,
    occ: Tensor,
    electrons: Tensor,
    views: Sequence[ResidueView],
    d_min: float,
) -> tuple[ResidueFit, ...]:
    """Fit of every residue, hydrogens left out.

    Parameters
    ----------
    density, calculated, difference : maps on the same grid and scale.
    xyz, b_iso, occ : of all atoms. (n, 3), (n,), (n,)
    electrons : number of electrons of each atom; 0 or 1 for hydrogens, which do not count. (n,)
    views : residues by conformer.
    d_min : resolution of the maps, Å.
    """
    owner, point, _ = points_near(density, xyz, mask_radius(d_min))
    counts = electrons.tolist()
    heavy = [[a for a in view.atoms.values() if counts[a] > 1.5] for view in views]
    near = _near_residues(owner, point, heavy, len(xyz), density.values.numel())
    observed, modelled = (m.values.reshape(-1)[near[1]].double() for m in (density, calculated))
    correlation = _correlations(near[0], observed, modelled, len(views))
    apart = _sums(near[0], (observed - modelled).abs(), len(views))
    r_value = apart / _sums(near[0], (observed + modelled).abs(), len(views)).clamp(min=1e-12)
    z = atom_difference_z(difference, xyz)
    at_atoms = sample(spline_map(density), xyz) / max(rms(density), 1e-12)
    by_atom = [x.detach().double().numpy() for x in (z, at_atoms, electrons, b_iso, occ)]
    found = []
    for i, atoms in enumerate(heavy):
        if not atoms:
            continue
        own_z, own_density, weight, own_b, own_occ = (x[atoms] for x in by_atom)
        found.append(
            ResidueFit(
                view=i,
                correlation=float(correlation[i]),
                r_value=float(r_value[i]),
                density=float((own_density * weight).sum() / weight.sum()),
                worst_z=float(own_z[np.abs(own_z).argmax()]),
                mean_b=float(own_b.mean()),
                occupancy=float(own_occ.min()),
            )
        )
    return tuple(found)


def _near_residues(
    owner: Tensor, point: Tensor, atoms: Sequence[Sequence[int]], n_atoms: int, n_points: int
) -> tuple[Tensor, Tensor]:
    """Every grid point near each residue once: the residue, and the point. (m,), (m,)

    Parameters
    ----------
    owner, point : atom, and grid point near it. (k,), (k,)
    atoms : of each residue.
    """
    order = torch.argsort(owner, stable=True)
    point = point[order]
    start = torch.searchsorted(owner[order], torch.arange(n_atoms + 1))
    atom = torch.tensor([a for group in atoms for a in group], dtype=torch.int64)
    residue = torch.tensor([i for i, group in enumerate(atoms) for _ in group], dtype=torch.int64)
    count = start[atom + 1] - start[atom]
    first = torch.repeat_interleave(start[atom] - (count.cumsum(0) - count), count)
    place = first + torch.arange(int(count.sum()))
    key = torch.unique(torch.repeat_interleave(residue, count) * n_points + point[place])
    return key // n_points, key % n_points


def _sums(group: Tensor, values: Tensor, size: int) -> Tensor:
    """Sum of each group. (size,)"""
    return torch.zeros(size, dtype=values.dtype).index_add_(0, group, values)


def _correlations(group: Tensor, a: Tensor, b: Tensor, size: int) -> Tensor:
    """Linear correlation in each group; 0 where either is flat or empty. (size,)"""
    count = torch.bincount(group, minlength=size).clamp(min=1)
    a, b = (x - (_sums(group, x, size) / count)[group] for x in (a, b))
    norm = (_sums(group, a * a, size) * _sums(group, b * b, size)).sqrt()
    return torch.where(norm > 0, _sums(group, a * b, size) / norm.clamp(min=1e-300), 0.0)


def difference_peaks(
    difference: SampledMap, crystal: Symmetry | None, xyz: Tensor, *, least: float = 4.0, most: int = 100
) -> tuple[DifferencePeak, ...]:
    """Peaks and holes of the difference map, the largest first, each once at the image nearest to the model.

    Parameters
    ----------
    difference : the map.
    crystal : for symmetry; None for a box.
    xyz : positions of all atoms, Å. (n, 3)
    least : smallest height, σ.
    most : how many to list.
    """
    sigma = max(rms(difference), 1e-12)
    atoms = xyz.detach().cpu().numpy()
    found: list[DifferencePeak] = []
    for sign in (1.0, -1.0):
        flipped = SampledMap(
            values=sign * difference.values,
            to_grid=difference.to_grid,
            offset=difference.offset,
            periodic=difference.periodic,
        )
        peaks = find_peaks(flipped, least * sigma)
        where, atom, distance = nearest_images(crystal, peaks.xyz.numpy(), atoms)
        kept: list[np.ndarray] = []
        for position, height, nearest, away in zip(where, peaks.height.tolist(), atom, distance, strict=True):
            if kept and np.linalg.norm(np.array(kept) - position, axis=1).min() < SAME_PEAK:
                continue
            kept.append(position)
            x, y, z = (float(v) for v in position)
            found.append(
                DifferencePeak(xyz=(x, y, z), height=sign * height / sigma, atom=int(nearest), distance=float(away))
            )
    found.sort(key=lambda p: -abs(p.height))
    return tuple(found[:most])
