"""Sections of maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # mask pictures use the rest without waiting for matplotlib
    from matplotlib.axes import Axes

_BLUE = (31, 111, 139)  # of `figures`, whose import would bring matplotlib


def sections(density: np.ndarray, at: tuple[int, int, int]) -> list[np.ndarray]:
    """Return the three sections of a map [z, y, x] through voxel `at` (z, y, x)."""
    return [density[at[0]], density[:, at[1]], density[:, :, at[2]]]


def show_section(axes: Axes, section: np.ndarray, pixel_size: float, low: float, high: float) -> None:
    """Draw one section in grey, the first array axis upwards, in Å about the centre."""
    axes.imshow(section, origin="lower", cmap="gray", vmin=low, vmax=high, extent=_extent(section, pixel_size))
    axes.grid(False)


def show_surface(axes: Axes, surface: np.ndarray, pixel_size: float) -> None:
    """Draw a shaded surface (NaN where nothing is seen) in blue on white, in Å about the centre."""
    axes.imshow(
        coloured(surface).astype(np.uint8),
        origin="lower",
        extent=_extent(surface, pixel_size),
        interpolation="bilinear",
    )
    axes.grid(False)
    axes.set_xlabel("x, Å")


def coloured(surface: np.ndarray) -> np.ndarray:
    """Blue where the surface is seen, white elsewhere; [y, x, 3] uint8."""
    picture = np.full((*surface.shape, 3), 255.0)
    seen = np.isfinite(surface)
    bright = surface[seen][:, None]
    picture[seen] = np.clip(np.array(_BLUE) * bright * 1.35 + 64 * bright**4, 0, 255)
    return picture.astype(np.uint8)


def _extent(section: np.ndarray, pixel_size: float) -> tuple[float, float, float, float]:
    rows, columns = section.shape
    left, bottom = -(columns // 2 + 0.5) * pixel_size, -(rows // 2 + 0.5) * pixel_size
    return left, left + columns * pixel_size, bottom, bottom + rows * pixel_size


def centre_of(mask: np.ndarray) -> tuple[int, int, int]:
    """Voxel nearest to the mask's centre of mass; the box centre for an empty mask."""
    centre = []
    for axis in range(3):
        profile = mask.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64)
        total = profile.sum()
        n = mask.shape[axis]
        centre.append(round(float((profile * np.arange(n)).sum() / total)) if total > 0 else n // 2)
    return centre[0], centre[1], centre[2]
