"""Waters added where the difference map shows them, dropped where nothing supports them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from burnish.chemistry.residues import ResidueView
from burnish.data.particle_symmetry import Symmetry
from burnish.maps.peaks import find_peaks
from burnish.maps.sampling import sample, spline_map
from burnish.rebuild.evidence import Evidence
from burnish.symmetry.images import images_near, nearest_images
from burnish.validate.waters import PARTNERS

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaterRules:
    """What a water must show.

    Attributes
    ----------
    difference : least height of its peak in mFo − DFc, σ.
    density : least 2mFo − DFc there, σ.
    nearest, farthest : distance to a partner (N, O, S, halogen), Å.
    nearest_metal : to a metal, which is a partner as well, Å.
    nearest_carbon : to any other atom, Å.
    most_b : largest B, Å².
    least_density : 2mFo − DFc below which a water goes, σ.
    worst_difference : mFo − DFc below which a water goes, σ.
    """

    difference: float = 3.4
    density: float = 1.0
    nearest: float = 2.3
    farthest: float = 3.5
    nearest_metal: float = 1.9
    nearest_carbon: float = 2.9
    most_b: float = 75.0
    least_density: float = 0.9
    worst_difference: float = -4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWater:
    """A water to add, with its evidence."""

    xyz: tuple[float, float, float]
    b_iso: float
    difference: float
    density: float
    distance: float
    near: int


def find_waters(evidence: Evidence, crystal: Symmetry | None, rules: WaterRules, most: int) -> tuple[NewWater, ...]:
    """Peaks of the difference map that are waters, the highest first.

    Parameters
    ----------
    evidence : maps of the present model.
    crystal : its symmetry.
    rules : what a water must show.
    most : how many to add at once; later maps show the weaker ones more clearly.
    """
    atoms = evidence.atoms
    xyz = atoms.xyz.numpy()
    peaks = find_peaks(evidence.maps.difference, rules.difference * evidence.difference_sigma)
    where, _, _ = nearest_images(crystal, peaks.xyz.numpy(), xyz)
    observed = sample(spline_map(evidence.maps.density), torch.from_numpy(where)).numpy() / evidence.sigma
    heavy = np.array([k for k, e in enumerate(atoms.elements) if e not in ("H", "D")])
    mates = images_near(crystal, xyz[heavy], xyz, rules.farthest + 0.5)
    polar = np.array([atoms.elements[heavy[s]] in PARTNERS for s in mates.source])
    metal = np.array([gemmi.Element(atoms.elements[heavy[s]]).is_metal for s in mates.source])
    tree = cKDTree(mates.xyz)
    found: list[NewWater] = []
    for k in range(len(where)):
        if len(found) == most or observed[k] < rules.density:
            continue
        contacts = list(tree.query_ball_point(where[k], rules.farthest))
        away = {c: float(np.linalg.norm(mates.xyz[c] - where[k])) for c in contacts}
        partner = min((c for c in contacts if polar[c] or metal[c]), key=lambda c: away[c], default=None)
        if partner is None or any(away[c] < (rules.nearest_metal if metal[c] else rules.nearest) for c in contacts):
            continue
        if any(away[c] < rules.nearest_carbon for c in contacts if not polar[c] and not metal[c]):
            continue
        if _too_near_others(crystal, where[k], found, rules.nearest):
            continue
        source = int(heavy[mates.source[partner]])
        x, y, z = (float(v) for v in where[k])
        found.append(
            NewWater(
                xyz=(x, y, z),
                b_iso=float(np.clip(float(atoms.b_iso[source]) * 1.2 + 5.0, 8.0, 0.8 * rules.most_b)),
                difference=float(peaks.height[k]) / evidence.difference_sigma,
                density=float(observed[k]),
                distance=away[partner],
                near=source,
            )
        )
    return tuple(found)


def _too_near_others(crystal: Symmetry | None, xyz: Array, found: Sequence[NewWater], nearest: float) -> bool:
    """Whether a new water, or a mate of it, is already there; also a place next to its own image."""
    others = np.array([w.xyz for w in found]).reshape(-1, 3)
    together = np.concatenate([others, xyz[None]])
    mates = images_near(crystal, together, xyz[None], nearest)
    own = mates.is_identity & (mates.source == len(others))
    return bool((np.linalg.norm(mates.xyz[~own] - xyz, axis=1) < nearest).any())


@dataclass(frozen=True, slots=True, kw_only=True)
class DoomedWater:
    """A water to drop, and why."""

    view: int
    atom: int
    reason: str


def find_doomed_waters(
    evidence: Evidence,
    views: Sequence[ResidueView],
    crystal: Symmetry | None,
    rules: WaterRules,
    added: Sequence[NewWater] = (),
) -> tuple[DoomedWater, ...]:
    """Waters that density, B or neighbours speak against.

    Parameters
    ----------
    evidence, views, crystal, rules : as for `find_waters`.
    added : waters that this round adds; they are partners as well, since a water may be alone for want of another one.
    """
    waters = [(i, v.atoms["O"]) for i, v in enumerate(views) if v.kind == "water" and "O" in v.atoms]
    if not waters:
        return ()
    atoms = evidence.atoms
    xyz = atoms.xyz
    at = xyz[torch.tensor([a for _, a in waters])]
    observed = sample(spline_map(evidence.maps.density), at).numpy() / evidence.sigma
    difference = sample(spline_map(evidence.maps.difference), at).numpy() / evidence.difference_sigma
    heavy = np.array([k for k, e in enumerate(atoms.elements) if e not in ("H", "D")])
    mates = images_near(crystal, xyz.numpy()[heavy], xyz.numpy(), 4.5)
    source = heavy[mates.source]
    metal = np.array([gemmi.Element(atoms.elements[s]).is_metal for s in source])
    polar = np.array([atoms.elements[s] in PARTNERS for s in source]) | metal
    tree = cKDTree(mates.xyz)
    new = np.array([w.xyz for w in added])
    partners = cKDTree(images_near(crystal, new, xyz.numpy(), 4.5).xyz) if added else None
    found: list[DoomedWater] = []
    gone: set[int] = set()
    for (view, atom), rho, delta in sorted(
        zip(waters, observed.tolist(), difference.tolist(), strict=True), key=lambda w: w[1]
    ):
        near = [c for c in tree.query_ball_point(xyz.numpy()[atom], 4.2) if source[c] != atom and source[c] not in gone]
        away = [float(np.linalg.norm(mates.xyz[c] - xyz.numpy()[atom])) for c in near]
        held = min((d for c, d in zip(near, away, strict=True) if polar[c]), default=np.inf)
        if partners is not None:
            held = min(held, float(partners.query(xyz.numpy()[atom])[0]))
        reason = ""
        if rho < rules.least_density:
            reason = f"density only {rho:.1f} σ"
        elif delta < rules.worst_difference:
            reason = f"difference density {delta:.1f} σ"
        elif float(atoms.b_iso[atom]) > rules.most_b:
            reason = f"B {float(atoms.b_iso[atom]):.0f} Å²"
        elif held > rules.farthest + 0.4:
            reason = "no partner within reach"
        elif min((d for c, d in zip(near, away, strict=True) if not metal[c]), default=np.inf) < 2.0:
            reason = f"{min(away):.1f} Å from another atom"
        if reason:
            gone.add(atom)
            found.append(DoomedWater(view=view, atom=atom, reason=reason))
    return tuple(found)
