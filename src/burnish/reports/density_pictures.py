"""Pictures of a few atoms in their density: sticks in chicken wire, drawn with Pillow in some hundredths of a second.

Contours of planes along three axes are projected along one direction and drawn from the back to the front, fading into
the white background with depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import contourpy
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.spatial import cKDTree

from burnish.maps.sampling import SplineMap, sample

Array = NDArray[np.float64]
Colour = tuple[int, int, int]

SIZE = 340  # px, of a panel
FINE = 2  # drawn larger by this, then reduced: smooth lines without a graphics library
GRID = 0.45  # Å, between planes
DENSITY_LEVEL, DIFFERENCE_LEVEL = 1.2, 3.0  # σ
BLUE, GREEN, RED = (52, 101, 188), (24, 148, 62), (206, 44, 44)
INK: Colour = (40, 48, 58)
ELEMENTS: dict[str, Colour] = {
    "N": (48, 80, 216), "O": (214, 40, 40), "S": (188, 150, 0), "P": (222, 118, 0), "Cl": (40, 160, 40),
}  # fmt: skip
OTHER: Colour = (130, 70, 170)  # metals and all the rest
CARBON, CARBON_FAR = (222, 150, 20), (150, 158, 166)  # of the atoms that a move is about, and of the others
NEAR_ATOMS = 2.2  # Å; density farther from the atoms of the move is left out
BONDED = 1.25  # of the sum of covalent radii
RADII = {"H": 0.31, "C": 0.76, "N": 0.71, "O": 0.66, "S": 1.05, "P": 1.07, "Se": 1.2, "Cl": 1.02, "F": 0.57, "Br": 1.2}


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturedAtoms:
    """Atoms in a picture.

    Attributes
    ----------
    xyz : Å. (n, 3)
    elements : of each.
    conformer : letter of each, "" where there is one.
    meant : those that the move is about. (n,)
    """

    xyz: Array
    elements: tuple[str, ...]
    conformer: tuple[str, ...]
    meant: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturedMaps:
    """Density in a picture, and its units.

    Attributes
    ----------
    density, difference : 2mFo − DFc and mFo − DFc.
    sigma, difference_sigma : of each.
    """

    density: SplineMap
    difference: SplineMap
    sigma: float
    difference_sigma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Where a picture looks from.

    Attributes
    ----------
    centre : of the picture, Å. (3,)
    axes : rows: to the right, up, towards the reader. (3, 3)
    reach : half the width, Å.
    depth : half of what is seen along the line of sight, Å.
    """

    centre: Array
    axes: Array
    reach: float
    depth: float


def best_view(points: Array) -> View:
    """Look at some positions from where they spread most.

    Parameters
    ----------
    points : Å. (n, 3)
    """
    centre = (points.min(0) + points.max(0)) / 2.0
    _, _, axes = np.linalg.svd(np.concatenate([points - points.mean(0), 0.01 * np.eye(3)]))
    axes[2] = np.cross(axes[0], axes[1])
    inside = np.abs((points - centre) @ axes.T)
    return View(
        centre=centre,
        axes=axes,
        reach=float(np.clip(inside[:, :2].max(initial=0.0) + 2.6, 4.0, 11.0)),
        depth=float(np.clip(inside[:, 2].max(initial=0.0) + 1.8, 2.5, 5.0)),
    )


def density_pictures(
    panels: Sequence[tuple[str, PicturedAtoms, PicturedMaps]], view: View, focus: Array, size: int = SIZE
) -> bytes:
    """Panels side by side, all seen the same way, as PNG.

    Parameters
    ----------
    panels : title, atoms and maps of each.
    view : of all of them.
    focus : positions about which density is shown, Å. (k, 3)
    size : of a panel, px.
    """
    picture = Image.new("RGB", (size * len(panels), size), "white")
    for k, (title, atoms, maps) in enumerate(panels):
        picture.paste(_panel(title, atoms, maps, view, focus, size), (k * size, 0))
    out = BytesIO()
    picture.quantize(64, dither=Image.Dither.NONE).save(out, format="PNG", optimize=True)
    return out.getvalue()


def _panel(title: str, atoms: PicturedAtoms, maps: PicturedMaps, view: View, focus: Array, size: int) -> Image.Image:
    canvas = Image.new("RGB", (size * FINE, size * FINE), "white")
    draw = ImageDraw.Draw(canvas)
    scale = size * FINE / (2.0 * view.reach)

    def on_page(points: Array) -> list[tuple[float, float]]:
        return [(size * FINE / 2 + x * scale, size * FINE / 2 - y * scale) for x, y in points[:, :2].tolist()]

    things: list[tuple[float, list[tuple[float, float]], Colour, int]] = []
    for points, colour in _wires(maps, view, focus):
        things.append((float(points[:, 2].mean()), on_page(points), colour, FINE))
    for ends, colour, width in _sticks(atoms, view):
        things.append((float(ends[:, 2].mean()), on_page(ends), colour, round(width * scale)))
    for depth, line, colour, width in sorted(things, key=lambda thing: thing[0]):
        drawn = _faded(colour, 0.5 - 0.5 * depth / view.depth)
        if line[0] == line[-1] and len(line) == 2:
            x, y = line[0]
            draw.ellipse([x - width, y - width, x + width, y + width], fill=drawn)
        else:
            draw.line(line, fill=drawn, width=max(1, width), joint="curve" if width > 3 else None)
    reduced = canvas.resize((size, size), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(reduced)
    pen.text((8, 6), title, fill=INK, font=ImageFont.load_default(14))
    pen.rectangle([0, 0, size - 1, size - 1], outline=(223, 228, 233))
    return reduced


def _faded(colour: Colour, share: float) -> Colour:
    """Mixed with white by `share` of the way back: 0 at the front, 1 at the back."""
    mix = 0.75 * min(max(share, 0.0), 1.0)
    r, g, b = (round(c + (255 - c) * mix) for c in colour)
    return r, g, b


def _wires(maps: PicturedMaps, view: View, focus: Array) -> list[tuple[Array, Colour]]:
    """Contour lines of both maps, in the frame of the view."""
    wide = np.arange(-view.reach, view.reach + GRID, GRID)
    deep = np.arange(-view.depth, view.depth + GRID, GRID)
    x, y, z = np.meshgrid(wide, wide, deep, indexing="ij")
    local = np.stack([x, y, z], axis=-1)
    points = local.reshape(-1, 3) @ view.axes + view.centre
    near = cKDTree(focus).query(points, distance_upper_bound=NEAR_ATOMS)[0] <= NEAR_ATOMS
    lines: list[tuple[Array, Colour]] = []
    for spline, sigma, levels in (
        (maps.density, maps.sigma, ((DENSITY_LEVEL, BLUE),)),
        (maps.difference, maps.difference_sigma, ((DIFFERENCE_LEVEL, GREEN), (-DIFFERENCE_LEVEL, RED))),
    ):
        values = sample(spline, torch.from_numpy(points)).numpy() / sigma
        if spline is maps.density:
            values = np.where(near, values, min(0.0, DENSITY_LEVEL - 1.0))
        cube = values.reshape(x.shape)
        for level, colour in levels:
            lines += [(line, colour) for line in _contours(cube, (wide, wide, deep), level)]
    return lines


def _contours(cube: Array, axes: tuple[Array, Array, Array], level: float) -> list[Array]:
    """Contour lines of every plane along three axes. (k, 3) each"""
    found = []
    for across in range(3):
        one, two = (a for a in range(3) if a != across)
        for k, at in enumerate(axes[across].tolist()):
            plane = cube.take(k, axis=across)
            if plane.min() > level or plane.max() < level:
                continue
            made = contourpy.contour_generator(axes[two], axes[one], plane).lines(level)
            for line in made:
                flat = np.asarray(line, dtype=np.float64)
                points = np.empty((len(flat), 3))
                points[:, across], points[:, two], points[:, one] = at, flat[:, 0], flat[:, 1]
                found.append(points)
    return found


def _sticks(atoms: PicturedAtoms, view: View) -> list[tuple[Array, Colour, float]]:
    """Halves of bonds, and balls for atoms without any, in the frame of the view."""
    local = (atoms.xyz - view.centre) @ view.axes.T
    inside = (np.abs(local[:, :2]) < view.reach + 1.5).all(1) & (np.abs(local[:, 2]) < view.depth + 0.5)
    kept = np.flatnonzero(inside)
    if len(kept) == 0:
        return []
    radius = np.array([RADII.get(atoms.elements[k], 1.3) for k in kept])
    drawn, alone = [], set(range(len(kept)))
    for i, j in cKDTree(local[kept]).query_pairs(3.0):
        a, b = kept[i], kept[j]
        letters = {atoms.conformer[a], atoms.conformer[b]} - {""}
        if len(letters) > 1 or np.linalg.norm(local[a] - local[b]) > BONDED * (radius[i] + radius[j]):
            continue
        alone -= {i, j}
        middle = (local[a] + local[b]) / 2.0
        for end in (a, b):
            width = 0.26 if atoms.meant[end] else 0.14
            drawn.append((np.stack([local[end], middle]), _colour(atoms, int(end)), width))
    for i in alone:
        at = local[kept[i]]
        drawn.append((np.stack([at, at]), _colour(atoms, int(kept[i])), 0.25 if atoms.meant[kept[i]] else 0.15))
    return drawn


def _colour(atoms: PicturedAtoms, index: int) -> Colour:
    element = atoms.elements[index]
    if element == "C":
        return CARBON if atoms.meant[index] else CARBON_FAR
    return ELEMENTS.get(element, OTHER)
