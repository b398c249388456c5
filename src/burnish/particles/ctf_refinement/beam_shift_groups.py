"""Optics groups by beam shift: micrographs taken with one shift of the beam share one beam tilt.

Programs that take several holes from one stage position write the position into the name of the micrograph, or into a
file beside it, as numbers that scatter about the places of the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from burnish.data.particles import Particles

# EPU: FoilHole_<hole>_Data_<position>_<exposure>_<date>_<time>; the position is the place in the acquisition template
_EPU = re.compile(r"FoilHole_\d+_Data_(\d+)_\d+_\d{8}_\d+")
# SerialEM multi-shot: …_X+1Y-1-2…: hole of the pattern, then the shot within it
_SERIALEM = re.compile(r"_X([+-]\d+)Y([+-]\d+)(?:-(\d+))?(?=[_.]|$)")
MIN_GAP = 3.0  # between distances within a cluster and between clusters
MIN_MICROGRAPHS = 2  # a position seen once is no position: names of another meaning


def beam_shift_labels(micrographs: tuple[str, ...]) -> tuple[str, ...] | None:
    """Label of each micrograph's beam-shift position, or None where the names do not carry any.

    Examples
    --------
    >>> beam_shift_labels(("a_X+0Y-1-2_frames.mrc", "b_X+0Y-1-2.mrc", "c_X+1Y+0-1.mrc", "d_X+1Y+0-1.mrc"))
    ('X+0Y-1-2', 'X+0Y-1-2', 'X+1Y+0-1', 'X+1Y+0-1')
    """
    names = [m.rsplit("/", 1)[-1] for m in micrographs]
    for pattern in (_EPU, _SERIALEM):
        found = [pattern.search(n) for n in names]
        if all(f is not None for f in found):
            labels = tuple(_label(f) for f in found if f is not None)
            counts = {label: labels.count(label) for label in set(labels)}
            if len(counts) > 1 and sorted(counts.values())[len(counts) // 2] >= MIN_MICROGRAPHS:
                return labels
    return None


def cluster_positions(position: Tensor, spacing: float) -> Tensor:
    """Cluster beam-shift positions that are known as numbers: those nearer than `spacing` belong together.

    Parameters
    ----------
    position : (x, y) of each micrograph, any unit. (n, 2)
    spacing : largest distance between neighbours of one cluster.

    Returns
    -------
    Index of the cluster of each micrograph, numbered in order of appearance. (n,) int64

    Notes
    -----
    Single linkage: what a chain of steps shorter than `spacing` joins is one cluster.
    """
    n = len(position)
    near = torch.cdist(position.double(), position.double()) < spacing
    cluster = torch.full((n,), -1, dtype=torch.int64)
    count = 0
    for first in range(n):
        if cluster[first] >= 0:
            continue
        members = torch.zeros(n, dtype=torch.bool)
        members[first] = True
        while True:
            grown = near[members].any(dim=0) | members
            if bool((grown == members).all()):
                break
            members = grown
        cluster[members] = count
        count += 1
    return cluster


def natural_spacing(position: Tensor) -> float:
    """Distance that parts a pattern of positions into clusters: inside the widest relative gap between the distances.

    Parameters
    ----------
    position : (x, y) of each micrograph. (n, 2)

    Returns
    -------
    The geometric mean of the two edges of the minimum spanning tree between which the lengths jump most; 0 where no
    jump is threefold: such positions have no clusters.
    """
    n = len(position)
    if n < 3:
        return 0.0
    distance = torch.cdist(position.double(), position.double())
    inside = torch.zeros(n, dtype=torch.bool)
    inside[0] = True
    nearest = distance[0].clone()
    edges = []
    for _ in range(n - 1):  # Prim's algorithm
        nearest[inside] = torch.inf
        new = int(nearest.argmin())
        edges.append(float(nearest[new]))
        inside[new] = True
        nearest = torch.minimum(nearest, distance[new])
    length = torch.tensor(edges, dtype=torch.float64).sort().values.clamp_min(1e-3 * max(edges))
    ratio = length[1:] / length[:-1]
    widest = int(ratio.argmax())
    return float((length[widest] * length[widest + 1]).sqrt()) if ratio[widest] > MIN_GAP else 0.0


def split_by_labels(particles: Particles, labels: Sequence[str]) -> Particles:
    """The particles with one optics group for each old group and label of their micrograph."""
    distinct = {label: i for i, label in enumerate(sorted(set(labels)))}
    label_of = torch.tensor([distinct[label] for label in labels])
    key = particles.optics_index * len(distinct) + label_of[particles.micrograph]
    used, index = torch.unique(key, return_inverse=True)
    names = list(distinct)
    optics = tuple(
        replace(
            particles.optics[int(k) // len(distinct)],
            name=f"{particles.optics[int(k) // len(distinct)].name}_{names[int(k) % len(distinct)]}",
        )
        for k in used
    )
    return replace(particles, optics=optics, optics_index=index)


def _label(found: re.Match[str]) -> str:
    if found.re is _EPU:
        return found[1]
    shot = f"-{found[3]}" if found[3] else ""
    return f"X{found[1]}Y{found[2]}{shot}"
