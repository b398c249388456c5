"""Everything that is said of a model and a map of a particle, put together and as plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from burnish.chemistry.residues import ResidueView
from burnish.data.density import DensityMap
from burnish.maps.linear import sample_linear
from burnish.validate.emringer import EmRinger, emringer
from burnish.validate.map_agreement import (
    MapCorrelations,
    contour_of_volume,
    map_correlations,
    model_region,
)
from burnish.validate.q_score import expected_q_score, q_scores

BACKBONE = frozenset(("N", "CA", "C", "O", "P", "O5'", "C5'", "C4'", "C3'", "O3'"))
LEVELS = 41  # contours of the curve of atom inclusion


@dataclass(frozen=True, slots=True, kw_only=True)
class MapValidation:
    """Findings about a model in a map; arrays are by atom, hydrogens NaN.

    Attributes
    ----------
    q : Q-scores. (n,)
    ringer : EMRinger.
    correlations : of map and model.
    contour : level of the atom inclusion, in the map's unit.
    density : of the map at the atoms. (n,)
    curve : share of the atoms inside by contour level.
    """

    q: np.ndarray
    ringer: EmRinger
    correlations: MapCorrelations
    contour: float
    density: np.ndarray
    curve: tuple[tuple[float, float], ...]


def validate_in_map(
    density: DensityMap,
    calculated: DensityMap,
    xyz: Tensor,
    radii: np.ndarray,
    views: Sequence[ResidueView],
    contour: float | None = None,
    copies: Tensor | None = None,
) -> MapValidation:
    """Judge a model by a map.

    Parameters
    ----------
    density : the map as it will be deposited: sharpened.
    calculated : density of the model on the same grid.
    xyz : positions of all atoms, Å. (n, 3)
    radii : van der Waals radii; 0 for hydrogens, which do not count. (n,)
    views : residues by conformer.
    contour : recommended level; where the map holds the volume of the model and its copies by default.
    copies : positions of the atoms of the model's copies by symmetry, copy after copy, Å. (k·n, 3)
    """
    heavy = np.flatnonzero(radii > 0)
    at = xyz.detach().cpu().numpy()
    k = 0 if copies is None else len(copies) // len(xyz)
    every = at if copies is None else np.concatenate([at, copies.detach().cpu().numpy()])
    all_radii = np.tile(radii, 1 + k)
    near = model_region(density, every[all_radii > 0], all_radii[all_radii > 0])
    level = contour_of_volume(density, near) if contour is None else contour
    q = np.full(len(at), np.nan)
    rest = None if copies is None else copies[np.flatnonzero(np.tile(radii, k) > 0).tolist()]
    q[heavy] = q_scores(density, xyz[heavy.tolist()], rest).numpy()
    values, inside = sample_linear(density, at)
    values = np.where(inside, values, -math.inf)
    values[radii <= 0] = np.nan
    highest = float(density.values.max())
    steps = np.linspace(0.0, max(highest, 2.0 * level), LEVELS)
    return MapValidation(
        q=q,
        ringer=emringer(density, xyz, views),
        correlations=map_correlations(density.values.numpy(), calculated.values.numpy(), near),
        contour=level,
        density=values,
        curve=tuple((float(s), float((values[heavy] > s).mean())) for s in steps),
    )


def map_record(found: MapValidation, views: Sequence[ResidueView], resolution: float) -> dict[str, Any]:
    """Findings as plain values, as `validation.json` holds them under `map`."""
    chain_like = [v for v in views if v.kind in ("protein", "nucleic")]
    backbone = [i for v in chain_like for name, i in v.atoms.items() if name in BACKBONE]
    heavy = np.isfinite(found.density) | (found.density == -math.inf)
    chains = dict.fromkeys(v.chain for v in chain_like)
    ringer = found.ringer
    return {
        "cc": {f"cc_{k}": _rounded(v) for k, v in asdict(found.correlations).items()},
        "q_score": {
            "mean": _mean(found.q),
            "expected": round(expected_q_score(resolution), 3),
            "by_chain": {c: _mean(found.q[_atoms_of(views, c)]) for c in chains},
        },
        "emringer": {
            "score": _rounded(ringer.score),
            "threshold": _rounded(ringer.threshold, 5),
            "rotameric_percent": _rounded(100.0 * ringer.rotameric, 2),
            "residues": len(ringer.residues),
            "scan": [
                {"threshold": round(t, 5), "score": round(s, 3), "rotameric": round(r, 3), "peaks": n}
                for t, s, r, n in zip(ringer.thresholds, ringer.scores, ringer.shares, ringer.counts, strict=True)
            ],
        },
        "atom_inclusion": {
            "contour": round(found.contour, 5),
            "all_percent": _rounded(100.0 * float((found.density[heavy] > found.contour).mean()), 2),
            "backbone_percent": _rounded(100.0 * float((found.density[backbone] > found.contour).mean()), 2)
            if backbone
            else None,
            "curve": [[round(level, 5), round(share, 4)] for level, share in found.curve],
        },
    }


def add_to_residues(rows: list[dict[str, Any]], found: MapValidation, views: Sequence[ResidueView]) -> None:
    """Put what is known of each residue into its row; rows and views are in the same order."""
    for row, view in zip(rows, views, strict=True):
        atoms = [a for a in view.atoms.values() if not np.isnan(found.density[a])]
        if atoms:
            row["q_score"] = _mean(found.q[atoms])
            row["inclusion"] = round(float((found.density[atoms] > found.contour).mean()), 3)
    for residue in found.ringer.residues:
        rows[residue.view] |= {
            "ringer_deg": round(math.degrees(residue.angle), 0),
            "ringer_height": round(residue.height, 4),
            "ringer_rotameric": residue.is_rotameric,
            "chi1_deg": round(math.degrees(residue.modelled), 1),
        }


def _atoms_of(views: Sequence[ResidueView], chain: str) -> list[int]:
    return sorted({i for v in views if v.chain == chain and v.kind in ("protein", "nucleic") for i in v.atoms.values()})


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), 4) if len(known) else None


def _rounded(value: float, digits: int = 4) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
