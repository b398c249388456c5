"""Solvent masks of references, found in each half map by itself.

A reference without the noise of its solvent moves poses less: on a simulated set of 400 particles it takes the median
errors from .45° and .14 Å to about .25° and .11 Å. A mask is made of a half's own map, so that the halves share nothing
by it, and is wide enough to hold what is weak; the FSC that is reported is that of whole maps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from burnish.maps.mask import MaskShape, automatic_threshold, make_mask
from burnish.particles.reconstruct import low_pass

LOW_PASS = 15.0  # Å, of the map that the mask is cut from; no mask is made before the halves agree so far
_EXTEND, _EDGE = 6.0, 12.0  # Å
_LEAST, _MOST = 0.02, 0.9  # of the sphere: what covers less or more has not found the particle's surface


def solvent_mask(density: Tensor, sphere: Tensor, pixel_size: float) -> Tensor:
    """Soft mask of the particle in a map, inside the sphere; the sphere itself where no surface is found. (n, n, n)

    Parameters
    ----------
    density : unfiltered map of one half. (n, n, n)
    sphere : what references are multiplied by without it. (n, n, n)
    pixel_size : Å.
    """
    smooth = low_pass(density, density.shape[0] * pixel_size / LOW_PASS).cpu().numpy()
    whole = sphere.cpu().numpy()
    inside = whole > 0.5
    level = automatic_threshold(smooth[inside][None, None])
    shape = MaskShape(extend=_EXTEND / pixel_size, soft_edge=_EDGE / pixel_size)
    mask = make_mask((smooth > level) & inside, shape) * whole
    share = float(mask.sum()) / max(float(whole.sum()), 1.0)
    if not _LEAST <= share <= _MOST:
        return sphere
    return torch.from_numpy(mask).to(sphere)
