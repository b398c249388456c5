"""A picture of a density surface, seen along one axis: enough to see what a mask encloses."""

from __future__ import annotations

import torch
from torch import Tensor


def shade_surface(density: Tensor, threshold: float, *, axis: int = 0) -> Tensor:
    """Brightness of the surface at `threshold` seen from the far end of `axis`, NaN where nothing is seen; 2D.

    Parameters
    ----------
    density : map [z, y, x].
    threshold : density of the surface.
    axis : of the array along which one looks: 0 is z, and the picture is then [y, x].

    Notes
    -----
    The first voxel above the threshold on each line of sight, placed between voxels by linear interpolation; Lambert
    shading by the slope of that surface, darker with depth.
    """
    lines = density.movedim(axis, 0).flip(0)
    above = lines > threshold
    seen = above.any(dim=0)
    first = above.to(torch.uint8).argmax(dim=0)
    before = (first - 1).clamp_min(0)
    high = lines.gather(0, first[None])[0]
    low = lines.gather(0, before[None])[0]
    step = torch.where(first > 0, (high - threshold) / (high - low).clamp_min(1e-20), 0.0)
    depth = first.float() - step.clamp(0.0, 1.0).float()
    filled = torch.where(seen, depth, depth[seen].max() if bool(seen.any()) else 0.0)
    smooth = torch.nn.functional.avg_pool2d(filled[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
    slope_y, slope_x = torch.gradient(smooth)
    normal = torch.stack([slope_x, slope_y, torch.ones_like(slope_x)])
    light = torch.tensor([-0.45, -0.55, 0.7], device=density.device)
    shade = (normal * (light / light.norm())[:, None, None]).sum(0).clamp_min(0.0) / normal.norm(dim=0)
    if bool(seen.any()):
        nearest, farthest = depth[seen].min(), depth[seen].max()
        shade = shade * (1.0 - 0.35 * (depth - nearest) / (farthest - nearest).clamp_min(1.0))
    return torch.where(seen, 0.4 + 0.6 * shade, torch.nan)
