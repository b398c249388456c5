"""Picture of a mask over its map, drawn with Pillow: making a mask takes less time than importing matplotlib."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from burnish.reports.map_figures import centre_of, coloured, sections

_PANEL, _GAP, _HEAD, _FOOT = 300, 14, 58, 26
_INK, _SOFT, _ORANGE = (28, 37, 48), (91, 104, 117), (217, 119, 6)
_PLANES = (("z", "x", "y"), ("y", "x", "z"), ("x", "y", "z"))  # axis cut, axis to the right, axis upwards


def mask_picture(density: np.ndarray, mask: np.ndarray, surface: np.ndarray, pixel_size: float, title: str) -> bytes:
    """Three sections of the map and its surface seen along z, with the mask's outline, as PNG.

    Parameters
    ----------
    density, mask : [z, y, x].
    surface : shaded picture [y, x], NaN where nothing is seen.
    pixel_size : Å.
    title : one line above the panels.
    """
    canvas = Image.new("RGB", (4 * _PANEL + 5 * _GAP, _HEAD + _PANEL + _FOOT), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((_GAP, 8), title, fill=_INK, font=_font(15))
    where = centre_of(mask)
    low, high = np.percentile(density[:: max(1, len(density) // 64)], [0.5, 99.8])
    cuts = [_grey(cut, float(low), float(high)) for cut in sections(density, where)]
    names = [f"section across {cut}: {right} to the right, {up} upwards" for cut, right, up in _PLANES]
    outlines = [*sections(mask, where), mask.max(axis=0)]
    for i, (panel, outline) in enumerate(
        zip([*cuts, Image.fromarray(coloured(surface).astype(np.uint8))], outlines, strict=True)
    ):
        left = _GAP + i * (_PANEL + _GAP)
        picture = np.asarray(_scaled(panel, Image.Resampling.BICUBIC)).copy()
        wide = np.asarray(_scaled(Image.fromarray(outline.astype(np.float32)), Image.Resampling.BILINEAR))
        if i < 3:
            ends = _edge(wide > 0.01)
            ends[::6] = ends[1::6] = ends[2::6] = False  # dotted
            picture[ends] = _ORANGE
        picture[_thick(_edge(wide > 0.5))] = _ORANGE
        canvas.paste(Image.fromarray(picture[::-1]), (left, _HEAD))  # the first array axis upwards
        draw.text((left, _HEAD - 20), names[i] if i < 3 else "surface, seen along z", fill=_SOFT, font=_font(12))
        _scale_bar(draw, left, max(outline.shape) * pixel_size)
    out = BytesIO()
    canvas.save(out, format="PNG")
    return out.getvalue()


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans, which knows Å, from where matplotlib keeps it; found without importing matplotlib."""
    spec = find_spec("matplotlib")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "mpl-data/fonts/ttf/DejaVuSans.ttf"
        if path.exists():
            return ImageFont.truetype(path, size - 1)
    return ImageFont.load_default(size)


def _grey(section: np.ndarray, low: float, high: float) -> Image.Image:
    scaled = np.clip((section - low) / max(high - low, 1e-20), 0, 1) * 255
    return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")


def _scaled(image: Image.Image, how: Image.Resampling) -> Image.Image:
    """Fit into a square panel, the longer edge filling it."""
    factor = _PANEL / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, how)


def _edge(inside: np.ndarray) -> np.ndarray:
    """Pixels inside with a neighbour outside."""
    edge = np.zeros_like(inside)
    edge[:-1] |= inside[:-1] & ~inside[1:]
    edge[1:] |= inside[1:] & ~inside[:-1]
    edge[:, :-1] |= inside[:, :-1] & ~inside[:, 1:]
    edge[:, 1:] |= inside[:, 1:] & ~inside[:, :-1]
    return edge


def _thick(edge: np.ndarray) -> np.ndarray:
    wide = edge.copy()
    wide[1:] |= edge[:-1]
    wide[:, 1:] |= edge[:, :-1]
    return wide


def _scale_bar(draw: ImageDraw.ImageDraw, left: int, length: float) -> None:
    """A bar of a round number of Å, at most a third of the panel."""
    third = length / 3
    step = 10 ** np.floor(np.log10(third))
    bar = next(float(step * m) for m in (5, 2, 1) if step * m <= third)
    below = _HEAD + _PANEL + 6
    draw.rectangle((left, below, left + round(bar / length * _PANEL), below + 3), fill=_INK)
    draw.text((left + round(bar / length * _PANEL) + 6, below - 6), f"{bar:g} Å", fill=_SOFT, font=_font(12))
