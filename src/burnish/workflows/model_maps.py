"""Maps that a model is compared with, and their mask: read, and checked against each other and against the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gemmi
from torch import Tensor

from burnish.core.errors import DataError, InputError
from burnish.core.events import Listener, Message, ignore
from burnish.data.density import DensityMap
from burnish.io.mrc import read_header, read_map
from burnish.models.boxed_maps import OPEN

LEAST_INSIDE = 0.5  # share of the atoms that must lie in the map
MOST_INSIDE = 0.99  # share from which those outside are not worth a word
BAD_AGREEMENT = 0.15  # FSC average: a model in its place with errors of half an ångström has .5, one elsewhere below .1
BAD_HALVES = 0.3  # FSC at half the resolution and coarser; half maps whose resolution it is have above .8 there
BACKGROUND = 1.5  # standard deviations; the median of maps of particles, also of cut-out ones, is below half of one
LEAST_EDGE = 2.0  # resolutions that the narrowest side of a map must hold
MOST_VALUES = 1_000_000
OTHER_SCALE = 1.5  # between the standard deviations of half maps, which differ by some per cent
SAME_PLACE = 0.1  # voxels by which two grids may lie apart
SAME_DENSITY = 1e-6  # of 1 - correlation: what rounding in a file leaves, and independent noise never


def read_maps(paths: Sequence[Path], pixel_size: float | None, listener: Listener = ignore) -> list[DensityMap]:
    """One map, or two half maps on one grid, with a calibrated pixel size when there is one.

    A background that is higher or lower than density varies, as of maps stored as whole numbers, is taken off: a mask
    would make a signal of it that both half maps share.
    """
    maps = [read_density(path, pixel_size) for path in paths]
    if len(maps) == 2:
        refuse_other_grid(paths[1], maps[1], paths[0], maps[0])
        _refuse_same_density(paths, maps)
        _refuse_other_scale(paths, maps)
    for k, density in enumerate(maps):
        values = some_values(density)
        level = float(values.median())
        if abs(level) > BACKGROUND * float(values.std()):
            maps[k] = replace(density, values=density.values - level)
            listener(Message(f"{paths[k].name}: its background of {level:.4g} is taken off", "warning"))
    return maps


def read_density(path: Path, pixel_size: float | None) -> DensityMap:
    """A map as it is, refused where it shows nothing."""
    density = read_map(path, voxel_size=pixel_size)
    if float(density.values.std()) == 0.0:
        raise DataError(f"{path}: every value is {float(density.values.flatten()[0]):g}; expected density")
    return density


def refuse_other_grid(path: Path, density: DensityMap, like_path: Path, like: DensityMap) -> None:
    """Half maps of one refinement have the same box, pixel size and origin."""
    if density.values.shape != like.values.shape:
        raise DataError(
            f"{path}: its grid is {_grid(density)}, that of {like_path} {_grid(like)}; half maps of one refinement "
            "have the same grid"
        )
    if any(abs(a - b) > 1e-3 for a, b in zip(density.voxel_size, like.voxel_size, strict=True)):
        raise DataError(
            f"{path}: pixel size {_pixel(density)} Å, that of {like_path} {_pixel(like)}; expected the same; give the "
            "right one with --angpix"
        )
    refuse_other_origin(path, density, like_path, like)


def refuse_other_origin(path: Path, density: DensityMap, like_path: Path, like: DensityMap) -> None:
    """Maps of one box and pixel size lie at one place: another origin is a fault of the header."""
    if _apart(density, like) > SAME_PLACE:
        raise DataError(
            f"{path}: its origin is {_place(density)} Å, that of {like_path} {_place(like)}; expected the same; "
            "correct the header of the one that is wrong"
        )


def _refuse_same_density(paths: Sequence[Path], maps: Sequence[DensityMap]) -> None:
    if paths[0].resolve() == paths[1].resolve():
        raise DataError(f"{paths[1]}: given as both half maps; give the other one, or a single map with --map")
    one, two = (v - v.mean() for v in (some_values(m).double() for m in maps))
    size = float(one.norm() * two.norm())
    if size > 0.0 and 1.0 - float(one @ two) / size < SAME_DENSITY:
        raise DataError(
            f"{paths[1]}: the same density as {paths[0]}, so that no noise is seen; expected maps of two independent "
            "halves of the particles; give a single map with --map"
        )


def _refuse_other_scale(paths: Sequence[Path], maps: Sequence[DensityMap]) -> None:
    """Maps of two halves of the particles vary alike: where one is stronger, the mean would be that one."""
    one, two = (float(some_values(m).std()) for m in maps)
    if max(one, two) > OTHER_SCALE * min(one, two):
        raise DataError(
            f"{paths[1]}: its standard deviation is {two:.4g}, that of {paths[0]} {one:.4g}; half maps of one "
            "reconstruction have the same scale: give both as they came, neither filtered nor masked"
        )


def read_mask(path: Path, like: DensityMap, pixel_size: float | None = None) -> DensityMap:
    """A mask on the grid of the maps, 0 to 1, open somewhere.

    Parameters
    ----------
    like : one of the maps.
    pixel_size : that the user gave in place of those of the headers, Å.

    Notes
    -----
    Programs that make masks leave the origin out, some the pixel size: the grid counts where these are zero.
    """
    if pixel_size is None and min(read_header(path).voxel_size) <= 0.0:
        pixel_size = like.voxel_size[0]
    mask = read_map(path, voxel_size=pixel_size)
    if mask.values.shape != like.values.shape:
        raise DataError(
            f"{path}: its grid is {_grid(mask)}, that of the maps {_grid(like)}; make the mask from one of the maps"
        )
    if any(abs(a - b) > 1e-3 * b for a, b in zip(mask.voxel_size, like.voxel_size, strict=True)):
        raise DataError(
            f"{path}: pixel size {_pixel(mask)} Å, that of the maps {_pixel(like)}; make the mask from one of the maps"
        )
    if any(mask.origin) and _apart(mask, like) > SAME_PLACE:
        raise DataError(
            f"{path}: its origin is {_place(mask)} Å, that of the maps {_place(like)}; make the mask from one of them"
        )
    low, high = float(mask.values.min()), float(mask.values.max())
    if low < -1e-3 or high > 1.0 + 1e-3:
        raise DataError(f"{path}: values from {low:.4g} to {high:.4g}; a mask lies between 0 and 1 (burnish mask)")
    if high <= OPEN:
        raise DataError(f"{path}: no value above {OPEN:g}; a mask is 1 inside and 0 outside")
    return mask


def without_crystal(structure: gemmi.Structure) -> gemmi.Structure:
    """A copy in P 1; the cell of a crystal goes with its symmetry, that of a map's box stays."""
    single = structure.clone()
    group = single.find_spacegroup()
    if group is not None and group.number > 1:
        single.cell = gemmi.UnitCell(1.0, 1.0, 1.0, 90.0, 90.0, 90.0)
    single.spacegroup_hm = "P 1"
    return single


def check_model_inside(path: Path, xyz: Tensor, density: DensityMap, listener: Listener) -> None:
    """Refuse a model most of which lies outside the map's box, tell of atoms that do; positions in Å. (n, 3)"""
    inside = xyz.new_ones(len(xyz), dtype=bool)  # type: ignore[call-overload]
    for axis in range(3):
        low = density.origin[axis]
        high = low + density.voxel_size[axis] * density.values.shape[2 - axis]
        inside &= (xyz[:, axis] >= low) & (xyz[:, axis] <= high)
    share = float(inside.double().mean())
    if share < LEAST_INSIDE:
        centre = ", ".join(f"{v:.0f}" for v in xyz.mean(dim=0).tolist())
        raise DataError(
            f"{path}: {share:.0%} of its atoms lie in the map's box (model centre {centre} Å, map origin "
            f"{', '.join(f'{o:.0f}' for o in density.origin)} Å); place the model first, for example with `burnish fit`"
        )
    if share < MOST_INSIDE:
        count = int((~inside).sum())
        text = f"{path.name}: {count} of {len(xyz)} atoms lie outside the map's box, where geometry alone holds them"
        listener(Message(text, "warning"))


def check_resolution(resolution: float, density: DensityMap, path: Path) -> None:
    """The resolution must not be finer than the pixels of the map show, nor so coarse that its box holds no shells."""
    nyquist = 2.0 * max(density.voxel_size)
    if resolution < nyquist - 1e-3:
        raise InputError(
            f"--resolution {resolution:g}: {path} with its pixels of {nyquist / 2:g} Å ends at {nyquist:g} Å; "
            "expected no finer than that"
        )
    edge = min(n * v for n, v in zip(reversed(density.values.shape), density.voxel_size, strict=True))
    if resolution > edge / LEAST_EDGE:
        raise InputError(
            f"--resolution {resolution:g}: {path} is {edge:.0f} Å wide where it is narrowest; expected at most "
            f"{edge / LEAST_EDGE:.0f} Å"
        )


def tell_of_bad_agreement(fsc: float, listener: Listener) -> None:
    """A warning where the FSC average of model and map says that the two do not belong together."""
    if fsc >= BAD_AGREEMENT:
        return
    if fsc < -BAD_AGREEMENT:
        why = "density is negative where the atoms are; reverse the contrast with `burnish image --invert`"
    else:
        why = "it lies elsewhere (place it with `burnish fit`), is of another hand, or the map is another one"
    listener(Message(f"the model hardly agrees with the map (FSC average {fsc:.2f}): {why}", "warning"))


def tell_of_bad_halves(s: Tensor, fsc: Tensor | None, resolution: float, listener: Listener) -> None:
    """A warning where half maps do not agree with each other even at low resolution.

    Parameters
    ----------
    s : of the shells of the density near the model, Å⁻¹. (shells,)
    fsc : of the half maps in them; None from one map. (shells,)
    resolution : to which the model is refined, Å.
    """
    if fsc is None or not bool((low := s <= 0.5 / resolution).any()):
        return
    if (agreement := float(fsc[low].mean())) < BAD_HALVES:
        listener(
            Message(
                f"the half maps hardly agree with each other near the model (FSC {agreement:.2f} to "
                f"{2.0 * resolution:.1f} Å): is one of another reconstruction, hand or sign?",
                "warning",
            )
        )


def some_values(density: DensityMap) -> Tensor:
    """Densities all over a map, a million at most: enough for what is the same of all of them."""
    flat = density.values.flatten()
    return flat[:: len(flat) // MOST_VALUES + 1]


def _apart(one: DensityMap, two: DensityMap) -> float:
    """Largest distance of two origins along an axis, voxels."""
    return max(abs(a - b) / v for a, b, v in zip(one.origin, two.origin, one.voxel_size, strict=True))


def _grid(density: DensityMap) -> str:
    return " × ".join(map(str, reversed(density.values.shape)))


def _pixel(density: DensityMap) -> str:
    """Size of a voxel, of its three edges where they differ."""
    edges = [f"{v:g}" for v in density.voxel_size]
    return edges[0] if len(set(edges)) == 1 else " × ".join(edges)


def _place(density: DensityMap) -> str:
    return ", ".join(f"{o:g}" for o in density.origin)
