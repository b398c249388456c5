"""Figures of local and directional resolution."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from burnish.maps.directional_fsc import DirectionalFsc
from burnish.maps.postprocess import THRESHOLD
from burnish.reports.colours import BLUE, GREY, INK, ORANGE
from burnish.reports.figures import new_figure, resolution_axis
from burnish.reports.map_figures import sections, show_section

_COLOURS = "viridis_r"


def local_figure(density: np.ndarray, resolution: np.ndarray, inside: np.ndarray, pixel_size: float) -> Figure:
    """Three sections of the map coloured by local resolution, and its histogram; call inside `house_style`.

    Parameters
    ----------
    density, resolution : [z, y, x]; resolution in Å.
    inside : where to show it.
    pixel_size : Å.
    """
    figure, axes = new_figure(11.5, 3.2, columns=4)
    values = resolution[inside]
    low, high = (float(v) for v in np.percentile(values, [1, 97])) if len(values) else (0.0, 1.0)
    high = max(high, low + 0.1)
    middle = tuple(n // 2 for n in density.shape)
    grey = np.percentile(density[:: max(1, len(density) // 64)], [1, 99.8])
    image = None
    colour = np.where(inside, resolution, np.nan)
    for panel, cut, over, name in zip(axes, sections(density, middle), sections(colour, middle), "zyx", strict=False):
        show_section(panel, cut, pixel_size, float(grey[0]), float(grey[1]))
        extent = panel.images[0].get_extent()
        image = panel.imshow(over, origin="lower", cmap=_COLOURS, vmin=low, vmax=high, alpha=0.6, extent=extent)
        panel.set_title(f"section across {name}")
        panel.set_xlabel("Å")
    if image is not None:
        figure.colorbar(image, ax=axes[2], label="local resolution, Å", shrink=0.85)
    axes[3].hist(values, bins=60, range=(low - 0.2, high + 0.5), color=BLUE)
    axes[3].set(xlabel="local resolution, Å", title="voxels", yticks=[])
    return figure


def directional_figure(found: DirectionalFsc, curve: np.ndarray, box_length: float) -> Figure:
    """Curves of all cones about the global one, and the resolution by direction; call inside `house_style`."""
    figure, axes = new_figure(10.0, 4.0, columns=2)
    s = np.arange(len(curve)) / box_length
    curves = found.curves.numpy()
    low, high = np.percentile(curves, [5, 95], axis=0)
    axes[0].fill_between(s, curves.min(0), curves.max(0), color=BLUE, alpha=0.12, lw=0, label="all directions")
    axes[0].fill_between(s, low, high, color=BLUE, alpha=0.3, lw=0, label="90 % of them")
    axes[0].plot(s, curve, color=INK, label="all together")
    axes[0].axhline(THRESHOLD, color=GREY, ls=":", lw=1)
    axes[0].set(ylim=(-0.15, 1.03), xlim=(0, s[-1]), ylabel="FSC", title=f"Sphericity {found.sphericity:.3f}")
    axes[0].legend(loc="upper right")
    resolution_axis(axes[0])
    direction = found.directions.numpy()
    r = np.sqrt(2) * np.sin(np.arccos(np.clip(direction[:, 2], -1, 1)) / 2)  # equal-area view of the half sphere
    angle = np.arctan2(direction[:, 1], direction[:, 0])
    points = axes[1].scatter(
        r * np.cos(angle), r * np.sin(angle), c=found.resolution.numpy(), cmap=_COLOURS, s=45, edgecolors="none"
    )
    axes[1].add_patch(_circle())
    axes[1].set(aspect="equal", xlim=(-1.08, 1.08), ylim=(-1.08, 1.08), xticks=[], yticks=[])
    axes[1].set_title("resolution by direction, z towards you")
    axes[1].annotate("x", (1.02, 0), va="center", color=ORANGE)
    axes[1].annotate("y", (0, 1.02), ha="center", color=ORANGE)
    for spine in axes[1].spines.values():
        spine.set_visible(False)
    figure.colorbar(points, ax=axes[1], label="Å", shrink=0.85)
    return figure


def _circle() -> Circle:
    return Circle((0, 0), 1.0, fill=False, color=GREY, lw=0.8)
