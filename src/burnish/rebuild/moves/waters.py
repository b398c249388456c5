"""Waters added where the difference map shows them, dropped where nothing supports them.

A peak of mFo − DFc is a water where 2mFo − DFc shows one too, or where the likelihood of the data asks for it: by so
much does −log likelihood fall when an oxygen is put there, to second order in its occupancy, for the B that suits it
best. x, y, z and B cost one unit each (Akaike 1974, IEEE Trans. Autom. Control 19, 716). At low resolution 2mFo − DFc
says little: where an atom is missing DFc is negative, and a water that mFo − DFc shows with 4 σ may have less than
nothing there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from burnish.chemistry.residues import ResidueView
from burnish.data.particle_symmetry import ParticleSymmetry, Symmetry
from burnish.maps.peaks import find_peaks
from burnish.maps.sampling import sample, spline_map
from burnish.rebuild.additions import new_atoms
from burnish.rebuild.evidence import Evidence
from burnish.symmetry.images import images_near, nearest_images
from burnish.validate.waters import PARTNERS

Array = NDArray[np.float64]
Index = NDArray[np.int64]

LEAST_B = 8.0  # Å²
TRIED_B = 8  # values between the least and the largest B
ON_AXIS = 1.0  # Å; images of a peak nearer to each other than that are one water on an element of symmetry


@dataclass(frozen=True, slots=True, kw_only=True)
class WaterRules:
    """What a water must show.

    Attributes
    ----------
    difference, density : least height of its peak in mFo − DFc, and of 2mFo − DFc there, σ, or else
    likely_difference, gain : least height of its peak, σ, and gain of log likelihood by it.
    nearest, farthest : distance to a partner (N, O, S, halogen), Å.
    nearest_metal : to a metal, which is a partner as well, Å.
    nearest_carbon : to any other atom, Å.
    most_b, most_b_of_mean : largest B, Å², and as a multiple of the model's mean; the larger of both holds.
    least_density : 2mFo − DFc below which a water goes, σ, where only maps are known; else it is `density`, unless
    kept_gain : log likelihood would lose as much without it. An atom that is part of the model has drawn the phases to
        itself: the same evidence is worth more than twice what it was before the atom was refined.
    worst_difference : mFo − DFc below which a water goes, σ.
    """

    difference: float = 3.4
    density: float = 1.0
    likely_difference: float = 3.0
    gain: float = 4.0
    nearest: float = 2.3
    farthest: float = 3.5
    nearest_metal: float = 1.9
    nearest_carbon: float = 2.9
    most_b: float = 75.0
    most_b_of_mean: float = 1.5
    least_density: float = 0.9
    kept_gain: float = 10.0
    worst_difference: float = -4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWater:
    """A water to add, with its evidence.

    Attributes
    ----------
    xyz, b_iso, occ : Å, Å²; occupancy 1, on an n-fold element of symmetry 1/n.
    difference, density : mFo − DFc and 2mFo − DFc there, σ.
    gain : of log likelihood; NaN where only maps are known.
    distance, near : to the nearest partner, Å, and which atom that is.
    """

    xyz: tuple[float, float, float]
    b_iso: float
    occ: float
    difference: float
    density: float
    gain: float
    distance: float
    near: int

    def evidence(self, partner: str) -> str:
        """What speaks for it, in words."""
        gained = "" if np.isnan(self.gain) else f", log likelihood {self.gain:+.1f}"
        shared = "" if self.occ == 1.0 else f", on an element of symmetry with occupancy {self.occ:.2f}"
        maps = f"difference density {self.difference:.1f} σ, density {self.density:.1f} σ"
        return f"{maps}{gained}, {self.distance:.2f} Å from {partner}{shared}"


def find_waters(evidence: Evidence, crystal: Symmetry | None, rules: WaterRules, most: int) -> tuple[NewWater, ...]:
    """Peaks of the difference map that are waters, the highest first.

    Parameters
    ----------
    evidence : maps of the present model.
    crystal : its symmetry.
    rules : what a water must show.
    most : how many to add at once; later maps show the weaker ones more clearly.
    """
    least = rules.difference if evidence.likelihood is None else min(rules.difference, rules.likely_difference)
    peaks = find_peaks(evidence.maps.difference, least * evidence.difference_sigma)
    where, _, _ = nearest_images(crystal, peaks.xyz.numpy(), evidence.atoms.xyz.numpy())
    where, occ = on_elements(crystal, where)
    partner, distance = _partners(evidence, crystal, where, rules)
    held = partner >= 0
    where, occ, partner, distance = where[held], occ[held], partner[held], distance[held]
    height = peaks.height.numpy()[held] / evidence.difference_sigma
    density = sample(spline_map(evidence.maps.density), torch.from_numpy(where)).numpy() / evidence.sigma
    gain, b_iso = _judged(evidence, where, occ, partner, rules)
    shown = (height >= rules.difference) & (density >= rules.density) | (gain >= rules.gain)
    found: list[NewWater] = []
    for k in np.flatnonzero(shown):
        if len(found) == most:
            break
        if _too_near_others(crystal, where[k], found, rules.nearest):
            continue
        x, y, z = (float(v) for v in where[k])
        found.append(
            NewWater(
                xyz=(x, y, z),
                b_iso=float(b_iso[k]),
                occ=float(occ[k]),
                difference=float(height[k]),
                density=float(density[k]),
                gain=float(gain[k]),
                distance=float(distance[k]),
                near=int(partner[k]),
            )
        )
    return tuple(found)


def on_elements(crystal: Symmetry | None, xyz: Array) -> tuple[Array, Array]:
    """Places next to their own images moved onto the element of symmetry between them, with the occupancy there.

    Parameters
    ----------
    crystal : symmetry; elements of a particle are left alone.
    xyz : Å. (n, 3)

    Returns
    -------
    Places (n, 3), and 1/multiplicity, as files of the wwPDB have it (n,).
    """
    moved, occ = xyz.copy(), np.ones(len(xyz))
    if crystal is None or isinstance(crystal, ParticleSymmetry) or len(xyz) == 0:
        return moved, occ
    images = images_near(crystal, xyz, xyz, ON_AXIS)
    close = np.linalg.norm(images.xyz - xyz[images.source], axis=1) < ON_AXIS
    count = np.bincount(images.source[close], minlength=len(xyz))
    for axis in range(3):
        moved[:, axis] = np.bincount(images.source[close], images.xyz[close, axis], len(xyz)) / count
    return moved, 1.0 / count


def _partners(evidence: Evidence, crystal: Symmetry | None, where: Array, rules: WaterRules) -> tuple[Index, Array]:
    """The partner nearest to each place, −1 where there is none or another atom is too near, and its distance, Å."""
    around = _neighbours(evidence, crystal, evidence.atoms.xyz.numpy())
    nearest = np.where(around.metal, rules.nearest_metal, np.where(around.polar, rules.nearest, rules.nearest_carbon))
    partner, distance = np.full(len(where), -1, dtype=np.int64), np.full(len(where), np.inf)
    for k, near in enumerate(around.tree.query_ball_point(where, rules.farthest)):
        contacts = np.array(near, dtype=np.int64)
        away = np.linalg.norm(around.xyz[contacts] - where[k], axis=1)
        holding = around.polar[contacts] | around.metal[contacts]
        if holding.any() and not (away < nearest[contacts]).any():
            best = np.argmin(np.where(holding, away, np.inf))
            partner[k], distance[k] = around.source[contacts[best]], away[best]
    return partner, distance


def _judged(evidence: Evidence, where: Array, occ: Array, partner: Index, rules: WaterRules) -> tuple[Array, Array]:
    """Gain of log likelihood by an oxygen at each place (n,), and the B that gives the most, Å² (n,).

    Where only maps are known the gain is NaN, and B a little above that of the partner.
    """
    n = len(where)
    if evidence.likelihood is None:
        b_iso = np.clip(1.2 * evidence.atoms.b_iso.numpy()[partner] + 5.0, LEAST_B, 0.8 * rules.most_b)
        return np.full(n, np.nan), b_iso
    tried = np.geomspace(LEAST_B, _most_b(evidence, rules), TRIED_B)
    each = new_atoms(("O",) * (n * TRIED_B), np.repeat(where, TRIED_B, axis=0), LEAST_B)
    share = np.repeat(occ, TRIED_B)
    each = replace(each, b_iso=torch.from_numpy(np.tile(tried, n)), occ=torch.from_numpy(share))
    gain = -evidence.likelihood().of_each(each, share).reshape(n, TRIED_B)
    best = gain.argmax(axis=1)
    return gain[np.arange(n), best], tried[best]


def _most_b(evidence: Evidence, rules: WaterRules) -> float:
    """The largest B of a water, Å²: where all atoms have large ones, so do waters."""
    return max(rules.most_b, rules.most_b_of_mean * float(evidence.atoms.b_iso.mean()))


def _too_near_others(crystal: Symmetry | None, xyz: Array, found: Sequence[NewWater], nearest: float) -> bool:
    """Whether a new water, or a mate of it, is already there; also a place next to its own image."""
    others = np.array([w.xyz for w in found]).reshape(-1, 3)
    together = np.concatenate([others, xyz[None]])
    mates = images_near(crystal, together, xyz[None], nearest)
    away = np.linalg.norm(mates.xyz - xyz, axis=1)
    itself = (mates.source == len(others)) & (away < 0.01)  # and its images, on an element of symmetry
    return bool((away[~itself] < nearest).any())


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
    xyz = atoms.xyz.numpy()
    index = np.array([a for _, a in waters])
    at = atoms.xyz[index]
    observed = sample(spline_map(evidence.maps.density), at).numpy() / evidence.sigma
    difference = sample(spline_map(evidence.maps.difference), at).numpy() / evidence.difference_sigma
    worth, most_b = _worth(evidence, index), _most_b(evidence, rules)
    least_density = rules.least_density if evidence.likelihood is None else rules.density
    around = _neighbours(evidence, crystal, xyz, [w.xyz for w in added])
    found: list[DoomedWater] = []
    gone: set[int] = set()
    for k in np.argsort(observed, kind="stable"):
        view, atom = waters[k]
        held, nearest = around.of(atom, gone)
        reason = ""
        if observed[k] < least_density and not worth[k] >= rules.kept_gain:
            reason = f"density only {observed[k]:.1f} σ"
            reason += "" if np.isnan(worth[k]) else f", worth {worth[k]:.1f} of log likelihood"
        elif difference[k] < rules.worst_difference:
            reason = f"difference density {difference[k]:.1f} σ"
        elif float(atoms.b_iso[atom]) > most_b:
            reason = f"B {float(atoms.b_iso[atom]):.0f} Å²"
        elif held > rules.farthest + 0.4:
            reason = "no partner within reach"
        elif nearest < 2.0:
            reason = f"{nearest:.1f} Å from another atom"
        if reason:
            gone.add(atom)
            found.append(DoomedWater(view=view, atom=atom, reason=reason))
    return tuple(found)


def _worth(evidence: Evidence, index: Index) -> Array:
    """What log likelihood would lose without each of some atoms alone; NaN where only maps are known. (k,)"""
    if evidence.likelihood is None:
        return np.full(len(index), np.nan)
    chosen = evidence.atoms.subset(index.tolist())
    return evidence.likelihood().of_each(chosen, -chosen.occ.numpy())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Neighbours:
    """Atoms and mates near a model, without hydrogens; `new` are waters that it gets."""

    model: Array
    xyz: Array
    source: Index
    polar: NDArray[np.bool_]
    metal: NDArray[np.bool_]
    tree: cKDTree
    new: cKDTree | None

    def of(self, atom: int, gone: Collection[int]) -> tuple[float, float]:
        """Distance of an atom from its nearest partner, and from the nearest atom that is no metal, Å."""
        here = self.model[atom]
        near = [c for c in self.tree.query_ball_point(here, 4.2) if self.source[c] not in (atom, *gone)]
        away = [float(np.linalg.norm(self.xyz[c] - here)) for c in near]
        held = min((d for c, d in zip(near, away, strict=True) if self.polar[c] or self.metal[c]), default=np.inf)
        if self.new is not None:
            held = min(held, float(self.new.query(here)[0]))
        return held, min((d for c, d in zip(near, away, strict=True) if not self.metal[c]), default=np.inf)


def _neighbours(
    evidence: Evidence, crystal: Symmetry | None, model: Array, new: Sequence[tuple[float, float, float]] = ()
) -> _Neighbours:
    """All of them, mates within 4.5 Å of the model among them; `model` are the positions of its atoms (n, 3)."""
    elements = evidence.atoms.elements
    heavy = np.array([k for k, e in enumerate(elements) if e not in ("H", "D")])
    mates = images_near(crystal, model[heavy], model, 4.5)
    source = heavy[mates.source]
    return _Neighbours(
        model=model,
        xyz=mates.xyz,
        source=source,
        polar=np.array([elements[s] in PARTNERS for s in source]),
        metal=np.array([gemmi.Element(elements[s]).is_metal for s in source]),
        tree=cKDTree(mates.xyz),
        new=cKDTree(images_near(crystal, np.array(new), model, 4.5).xyz) if new else None,
    )
