"""Figures of maps and masks."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from burnish.reports.figures import BLUE, ORANGE, new_figure

_PLANES = (("z", "x", "y"), ("y", "x", "z"), ("x", "y", "z"))  # axis cut, axis to the right, axis upwards


def sections(density: np.ndarray, at: tuple[int, int, int]) -> list[np.ndarray]:
    """Return the three sections of a map [z, y, x] through voxel `at` (z, y, x)."""
    return [density[at[0]], density[:, at[1]], density[:, :, at[2]]]


def mask_figure(density: np.ndarray, mask: np.ndarray, surface: np.ndarray, pixel_size: float, title: str) -> Figure:
    """Three sections of the map with the mask's outline, and the surface; call inside `house_style`.

    Parameters
    ----------
    density, mask : [z, y, x].
    surface : shaded picture [y, x], NaN where nothing is seen.
    pixel_size : Å.
    """
    figure, axes = new_figure(11.0, 3.1, columns=4)
    where = _centre_of(mask)
    low, high = np.percentile(density[:: max(1, len(density) // 64)], [0.5, 99.8])
    for panel, cut, outline, plane in zip(axes, sections(density, where), sections(mask, where), _PLANES, strict=False):
        show_section(panel, cut, pixel_size, float(low), float(high))
        extent = _extent(cut, pixel_size)
        for level, style in ((0.5, "solid"), (0.01, "dotted")):
            if outline.min() < level < outline.max():
                panel.contour(outline, levels=[level], colors=[ORANGE], linewidths=1.3, linestyles=style, extent=extent)
        panel.set_title(f"section across {plane[0]}")
        panel.set_xlabel(f"{plane[1]}, Å")
        panel.set_ylabel(f"{plane[2]}, Å")
    show_surface(axes[3], surface, pixel_size)
    outline = mask.max(axis=0)
    if outline.min() < 0.5 < outline.max():
        axes[3].contour(outline, levels=[0.5], colors=[ORANGE], linewidths=1.3, extent=_extent(outline, pixel_size))
    axes[3].set_title("surface, seen along z")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5)
    return figure


def show_section(axes: Axes, section: np.ndarray, pixel_size: float, low: float, high: float) -> None:
    """Draw one section in grey, the first array axis upwards, in Å about the centre."""
    axes.imshow(section, origin="lower", cmap="gray", vmin=low, vmax=high, extent=_extent(section, pixel_size))
    axes.grid(False)


def show_surface(axes: Axes, surface: np.ndarray, pixel_size: float) -> None:
    """Draw a shaded surface in blue on white."""
    picture = np.ones((*surface.shape, 3))
    colour = np.array([int(BLUE[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    seen = np.isfinite(surface)
    bright = surface[seen][:, None]
    picture[seen] = np.clip(colour * bright * 1.35 + 0.25 * bright**4, 0, 1)
    axes.imshow(picture, origin="lower", extent=_extent(surface, pixel_size), interpolation="bilinear")
    axes.grid(False)
    axes.set_xlabel("x, Å")


def _extent(section: np.ndarray, pixel_size: float) -> tuple[float, float, float, float]:
    rows, columns = section.shape
    left, bottom = -(columns // 2 + 0.5) * pixel_size, -(rows // 2 + 0.5) * pixel_size
    return left, left + columns * pixel_size, bottom, bottom + rows * pixel_size


def _centre_of(mask: np.ndarray) -> tuple[int, int, int]:
    """Voxel nearest to the mask's centre of mass; the box centre for an empty mask."""
    centre = []
    for axis in range(3):
        profile = mask.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64)
        total = profile.sum()
        n = mask.shape[axis]
        centre.append(round(float((profile * np.arange(n)).sum() / total)) if total > 0 else n // 2)
    return centre[0], centre[1], centre[2]
