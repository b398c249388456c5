"""Rigid placement of a model in a map: global search over rotations and translations, then local ascent.

The search is at low resolution. Map and model are flattened in resolution shells, so that not only the lowest shells
decide; one FFT for each rotation gives the correlation for every translation. The best places climb to the nearest
maximum of the density at the atoms, first in the low-passed map, then in the whole, and are ranked by the correlation
of the model's density with the map's about the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation
from torch import Tensor

from burnish.core.events import Listener, Progress, ignore
from burnish.data.density import DensityMap
from burnish.data.sampled_map import box_map
from burnish.fourier.filters import low_pass
from burnish.geometry.rotation_grid import even_rotations
from burnish.maps.sampling import SplineMap, sample_with_gradient, spline_map

MOST_ATOMS = 3000  # for the search: a sample of a large model places it as well
APART = 0.5  # of the search resolution: nearer places are the same


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementSettings:
    """How to search.

    Attributes
    ----------
    resolution : of the map, Å.
    search_resolution : of the global search, Å; None for twice the map's, at least 8 and a third of the model's radius.
    step : between rotations, rad; None for what the search resolution asks at the model's radius.
    candidates : places that climb.
    """

    resolution: float
    search_resolution: float | None = None
    step: float | None = None
    candidates: int = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A place of the model: x_map = rotation · x + translation.

    Attributes
    ----------
    rotation : (3, 3) float64
    translation : Å. (3,) float64
    score : mean density at the atoms, in σ of the map.
    correlation : of the model's density with the map about the model.
    """

    rotation: Tensor
    translation: Tensor
    score: float
    correlation: float

    def apply(self, xyz: Tensor) -> Tensor:
        """Positions after placing. (n, 3)"""
        return xyz @ self.rotation.T + self.translation


def place_globally(
    density: DensityMap, xyz: Tensor, weights: Tensor, settings: PlacementSettings, listener: Listener = ignore
) -> list[Placement]:
    """Search all rotations and translations; places in order of their correlation, best first.

    Parameters
    ----------
    density : the map.
    xyz : positions of the model's atoms, anywhere, Å. (n, 3)
    weights : scattering of each atom, for instance its number of electrons. (n,)
    """
    xyz, weights = _thin(xyz.double(), weights.double())
    centre = xyz.mean(dim=0)
    local = xyz - centre
    radius = float(local.square().sum(1).mean().sqrt())
    # Orientations and voxels each go with the third power of radius over resolution: a large model shows enough of its
    # shape at a resolution that leaves some four thousand orientations.
    resolution = settings.search_resolution or max(8.0, 2.0 * settings.resolution, radius / 3.0)
    step = settings.step or min(math.radians(20.0), 0.8 * resolution / max(radius, resolution))
    coarse = _coarse_map(density, resolution)
    found = _scan(coarse, local, weights, resolution, even_rotations(step), settings.candidates, listener)
    return _climb(density, local, centre, weights, found, settings, resolution)


def place_locally(density: DensityMap, xyz: Tensor, weights: Tensor, settings: PlacementSettings) -> Placement:
    """Climb from where the model stands."""
    xyz, weights = _thin(xyz.double(), weights.double())
    centre = xyz.mean(dim=0)
    here = [(torch.eye(3, dtype=torch.float64), centre)]
    resolution = settings.search_resolution or max(8.0, 2.0 * settings.resolution)
    return _climb(density, xyz - centre, centre, weights, here, settings, resolution)[0]


def _thin(xyz: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    stride = max(1, math.ceil(len(xyz) / MOST_ATOMS))
    return xyz[::stride], weights[::stride]


def _coarse_map(density: DensityMap, resolution: float) -> DensityMap:
    """The map in a cube of voxels of a third of the resolution, zero-padded; its origin stays."""
    voxel = resolution / 3.0
    spline = spline_map(box_map(density))
    extent = [n * v for n, v in zip(density.values.shape[::-1], density.voxel_size, strict=True)]
    size = [max(8, math.ceil(e / voxel)) for e in extent]
    smooth = replace(density, values=_low_passed(density, resolution))
    spline = spline_map(box_map(smooth))
    axes = [torch.arange(n, dtype=torch.float64) * voxel + o for n, o in zip(size, density.origin, strict=True)]
    z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    points = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
    values = torch.cat([sample_with_gradient(spline, part)[0] for part in points.split(200_000)])
    return DensityMap(values=values.reshape(z.shape).float(), voxel_size=(voxel, voxel, voxel), origin=density.origin)


def _low_passed(density: DensityMap, resolution: float) -> Tensor:
    return low_pass(density.values.float(), resolution, density.voxel_size[0])


def _spread(local: Tensor, weights: Tensor, shape: tuple[int, ...], voxel: float) -> Tensor:
    """Trilinear spread of points about the corner of a periodic grid, [z, y, x]."""
    u = local.flip(1) / voxel
    base = u.floor()
    part = u - base
    index = base.long()
    out = torch.zeros(math.prod(shape), dtype=torch.float64)
    limit = torch.tensor(shape)
    for corner in range(8):
        offset = torch.tensor([(corner >> 2) & 1, (corner >> 1) & 1, corner & 1])
        share = torch.where(offset.bool(), part, 1.0 - part).prod(dim=1)
        z, y, x = ((index + offset) % limit).unbind(1)
        out.index_add_(0, (z * shape[1] + y) * shape[2] + x, share * weights)
    return out.reshape(shape)


def _scan(
    coarse: DensityMap,
    local: Tensor,
    weights: Tensor,
    resolution: float,
    rotations: Tensor,
    keep: int,
    listener: Listener,
) -> list[tuple[Tensor, Tensor]]:
    """Best rotations and positions of the global search."""
    voxel = coarse.voxel_size[0]
    reach = 2.0 * float(local.norm(dim=1).max())
    shape = tuple(_even(n + math.ceil(0.5 * reach / voxel)) for n in coarse.values.shape)  # no wrapping onto itself
    padded = torch.zeros(shape)
    nz, ny, nx = coarse.values.shape
    padded[:nz, :ny, :nx] = coarse.values - coarse.values.mean()
    shells = _shells(shape, voxel, resolution)
    target = _same_power(torch.fft.rfftn(padded), shells)
    product = torch.zeros(shape[0], shape[1], shape[2] // 2 + 1, dtype=torch.complex64)
    best: list[tuple[float, int, tuple[int, int, int]]] = []
    for k, rotation in enumerate(rotations):  # one FFT each: the loop costs nothing beside it
        model = torch.fft.rfftn(_spread(local @ rotation.T, weights, shape, voxel).float())
        model = _same_power(model, shells)
        product.view(-1)[shells.index] = target * model.conj()
        correlation = torch.fft.irfftn(product, s=shape)[:nz, :ny, :nx]
        norm = float(model.abs().square().sum().sqrt())
        for value, place in _peaks(correlation, 3):
            best.append((value / norm, k, place))
        if len(best) > 40 * keep:
            best = sorted(best, reverse=True)[: 10 * keep]
        if k % 64 == 0:
            listener(Progress("global search", k, len(rotations)))
    listener(Progress("global search", len(rotations), len(rotations)))
    places = []
    for _, k, (z, y, x) in sorted(best, reverse=True)[:keep]:
        position = torch.tensor([x, y, z], dtype=torch.float64) * voxel + torch.tensor(coarse.origin)
        places.append((rotations[k], position.double()))
    return places


def _even(n: int) -> int:
    return n + n % 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shells:
    """Coefficients of a half transform up to the resolution.

    Attributes
    ----------
    index : where they lie, flat. (n,)
    shell : of each. (n,)
    count : coefficients in each shell. (shells,)
    """

    index: Tensor
    shell: Tensor
    count: Tensor


def _shells(shape: tuple[int, ...], voxel: float, resolution: float) -> _Shells:
    axes = [torch.fft.fftfreq(n, voxel, dtype=torch.float64) for n in shape[:2]]
    axes.append(torch.fft.rfftfreq(shape[2], voxel, dtype=torch.float64))
    s = (axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2] ** 2).sqrt().reshape(-1)
    index = torch.nonzero((s <= 1.0 / resolution) & (s > 0))[:, 0]
    shell = (s[index] * max(shape) * voxel).round().long()
    return _Shells(index=index, shell=shell, count=torch.bincount(shell).float())


def _same_power(transform: Tensor, shells: _Shells) -> Tensor:
    """Coefficients up to the resolution, with the same power in every shell. (n,)"""
    inside = transform.reshape(-1)[shells.index]
    power = torch.zeros_like(shells.count).index_add_(0, shells.shell, inside.abs().square())
    rms = (power / shells.count.clamp_min(1)).sqrt().clamp_min(1e-12)
    return inside / rms[shells.shell]


def _peaks(correlation: Tensor, count: int) -> list[tuple[float, tuple[int, int, int]]]:
    """Highest points that no point within two voxels along each axis exceeds, best first."""
    flat = correlation.reshape(-1)
    for looked_at in (64, 4096, len(flat)):  # the highest voxels crowd about the highest peaks
        values, where = flat.topk(min(looked_at, len(flat)))
        found = torch.nonzero(values >= _highest_near(correlation, where))[:count, 0]
        if len(found) == count or looked_at >= len(flat):
            break
    ny, nx = correlation.shape[1:]
    return [
        (float(v), (int(i) // (ny * nx), int(i) // nx % ny, int(i) % nx))
        for v, i in zip(values[found], where[found], strict=True)
    ]


def _highest_near(correlation: Tensor, where: Tensor) -> Tensor:
    """Highest value within two voxels along each axis of some voxels, given by flat index. (n,)"""
    nz, ny, nx = correlation.shape
    steps = torch.arange(-2, 3)
    z, y, x = (
        (at[:, None] + steps).clamp(0, n - 1)
        for at, n in ((where // (ny * nx), nz), (where // nx % ny, ny), (where % nx, nx))
    )
    index = (z[:, :, None, None] * ny + y[:, None, :, None]) * nx + x[:, None, None, :]
    return torch.cat([part.amax(dim=(1, 2, 3)) for part in _gathered(correlation.reshape(-1), index)])


def _gathered(flat: Tensor, index: Tensor) -> Iterator[Tensor]:
    """Values at many indices, a part of the rows at a time."""
    for part in index.split(50_000):
        yield flat[part]


def _climb(
    density: DensityMap,
    local: Tensor,
    centre: Tensor,
    weights: Tensor,
    places: list[tuple[Tensor, Tensor]],
    settings: PlacementSettings,
    resolution: float,
) -> list[Placement]:
    """Local maxima from these places, without repetitions, best correlation first."""
    smooth = spline_map(box_map(replace(density, values=_low_passed(density, resolution))))
    sharp = spline_map(box_map(density))
    sigma = float(density.values.std())
    found: list[Placement] = []
    for rotation, position in places:
        for spline in (smooth, sharp):
            rotation, position, score = _ascend(spline, local, weights, rotation, position)
        placed = local @ rotation.T + position
        if any(_same(p, placed, local + centre, APART * resolution) for p in found):
            continue
        found.append(
            Placement(
                rotation=rotation,
                translation=position - rotation @ centre,
                score=score / sigma,
                correlation=_correlation(density, placed, weights, settings.resolution),
            )
        )
    return sorted(found, key=lambda p: p.correlation, reverse=True)


def _ascend(
    spline: SplineMap, local: Tensor, weights: Tensor, rotation: Tensor, position: Tensor
) -> tuple[Tensor, Tensor, float]:
    """Maximise the mean density at the atoms over rotation and position, by BFGS with analytic gradients."""
    share = weights / weights.sum()
    scale = float(local.square().sum(1).mean().sqrt())  # makes a radian as long as an Å

    def turned(p: np.ndarray) -> tuple[Tensor, Tensor]:
        extra = torch.from_numpy(Rotation.from_rotvec(p[:3] / scale).as_matrix())
        return local @ (extra @ rotation).T, position + torch.from_numpy(p[3:])

    def loss(p: np.ndarray) -> tuple[float, np.ndarray]:
        arms, centre = turned(p)
        value, gradient = sample_with_gradient(spline, arms + centre)
        force = share[:, None] * gradient
        torque = _left_jacobian(p[:3] / scale).T @ torch.linalg.cross(arms, force).sum(0).numpy() / scale
        return -float((share * value).sum()), -np.concatenate([torque, force.sum(0).numpy()])

    result = minimize(loss, np.zeros(6), jac=True, method="BFGS", options={"maxiter": 60, "gtol": 1e-5})
    extra = torch.from_numpy(Rotation.from_rotvec(result.x[:3] / scale).as_matrix())
    return extra @ rotation, position + torch.from_numpy(result.x[3:]), -float(result.fun)


def _left_jacobian(rotvec: np.ndarray) -> np.ndarray:
    """d(rotation on the left) / d(rotation vector): sin θ/θ · 1 + (1 − sin θ/θ) aaᵀ + (1 − cos θ)/θ [a]×."""
    theta = float(np.linalg.norm(rotvec))
    if theta < 1e-8:
        return np.eye(3)
    a = rotvec / theta
    cross = np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
    ratio = math.sin(theta) / theta
    return ratio * np.eye(3) + (1 - ratio) * np.outer(a, a) + (1 - math.cos(theta)) / theta * cross


def _same(placement: Placement, placed: Tensor, xyz: Tensor, limit: float) -> bool:
    """Whether atoms placed here lie where a placement that is known would put them."""
    return float((placed - placement.apply(xyz)).square().sum(1).mean().sqrt()) < limit


def _correlation(density: DensityMap, placed: Tensor, weights: Tensor, resolution: float) -> float:
    """Correlation of the model's low-passed density with the map, over the voxels that the model fills."""
    voxel, shape = density.voxel_size[0], tuple(density.values.shape)
    local = placed - torch.tensor(density.origin)
    inside = ((local >= 0) & (local < torch.tensor(shape[::-1]) * voxel)).all(dim=1)
    if int(inside.sum()) < 0.1 * len(placed):
        return 0.0
    model = low_pass(_spread(local[inside], weights[inside], shape, voxel).float(), max(resolution, 2.1 * voxel), voxel)
    use = model > 0.1 * float(model.max())
    a, b = model[use] - model[use].mean(), density.values[use] - density.values[use].mean()
    norm = float((a.square().sum() * b.square().sum()).sqrt())
    share = float(inside.double().mean())  # atoms outside the map explain nothing
    return share * float((a * b).sum()) / norm if norm > 0 else 0.0
