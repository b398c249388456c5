"""Stretches of a chain whose side chains stand one residue off: detected by density, reported, not mended.

At every residue the density about the backbone, all side chains taken out, is compared with the side chain that stands
there, and with those of the residues before and after it in the sequence. Where over a stretch the neighbours' side
chains fit better than the residues' own, the trace has slipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.residues import ResidueView
from burnish.maps.sampling import sample, spline_map
from burnish.rebuild.conformations import BACKBONE
from burnish.rebuild.evidence import zone_density
from burnish.rebuild.move import MoveRecord
from burnish.rebuild.moves.side_chain_atoms import record_of
from burnish.rebuild.scene import Change, Scene
from burnish.rebuild.side_chains import PER_ATOM, RICHEST, Template, frame, side_chain_rotamers, side_chain_template
from burnish.validate.cbeta import ideal_cbeta

Array = NDArray[np.float64]

SHORTEST = 6  # residues of a stretch that is reported
CLEAR = 15.0  # σ, summed over the atoms of a stretch, by which the shifted sequence must fit better
EACH = 1.0  # σ a residue, likewise


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterShift:
    """A stretch that fits another part of the sequence better.

    Attributes
    ----------
    first, last : views at its ends.
    shift : +1 where each residue's place holds the side chain of the next one in sequence, −1 that of the one before.
    gain : σ summed over atoms, by which the shifted side chains fit better.
    """

    first: int
    last: int
    shift: int
    gain: float


class _Shapes:
    """Side chains of each type in all rotamers, in the frame of Cα, Cβ and N. Cached by type."""

    def __init__(self, monlib: gemmi.MonLib) -> None:
        self._monlib = monlib
        self._known: dict[str, tuple[Template, Array, Array] | None] = {}

    def of(self, name: str) -> tuple[Template, Array, Array] | None:
        """Template, −log frequency (r,) and positions (r, m, 3) of a type."""
        if name not in self._known:
            template = side_chain_template(self._monlib, name)
            if template is None:
                self._known[name] = None
            else:
                _, costs, xyz = side_chain_rotamers(template, template.xyz[:3], spread=False)
                self._known[name] = (template, np.array(costs), xyz)
        return self._known[name]


def find_register_shifts(scene: Scene) -> tuple[RegisterShift, ...]:
    """Stretches of a model that are one residue off."""
    views = scene.views
    side = [a for v in views if v.kind == "protein" for n, a in v.atoms.items() if n not in BACKBONE and n != "CB"]
    if not side:
        return ()
    density = zone_density(scene.evidence, np.array(sorted(set(side)), dtype=np.int64))
    spline = spline_map(density)
    shapes = _Shapes(scene.monlib)
    xyz = scene.evidence.atoms.xyz.numpy()
    found: list[RegisterShift] = []
    for chain in _chains(views):
        places = [_place(xyz, views[k]) for k in chain]

        def score(at: int, name: str, places: list[Array | None] = places) -> float:
            place, shape = places[at], shapes.of(name)
            if place is None or shape is None:
                return 0.0
            template, costs, rotamers = shape
            return _best(place, template, costs, rotamers, lambda x: sample(spline, x).numpy() / scene.evidence.sigma)

        own = [score(k, views[v].name) for k, v in enumerate(chain)]
        for shift in (-1, 1):
            gain = np.zeros(len(chain))
            for k, v in enumerate(chain):
                other = k + shift
                if 0 <= other < len(chain) and views[chain[other]].name != views[v].name:
                    gain[k] = score(k, views[chain[other]].name) - own[k]
            found += [
                RegisterShift(first=chain[a], last=chain[b], shift=shift, gain=total)
                for a, b, total in best_stretches(gain)
            ]
    apart: list[RegisterShift] = []
    for one in sorted(found, key=lambda s: -s.gain):  # of two that overlap the clearer one
        if all(one.last < s.first or one.first > s.last for s in apart):
            apart.append(one)
    return tuple(apart)


def best_stretches(gain: Array) -> list[tuple[int, int, float]]:
    """Stretches (first, last, sum) whose sum cannot be made larger and is clear, none overlapping another."""
    left = gain.astype(float).copy()
    found: list[tuple[int, int, float]] = []
    while True:
        first, last, total = _largest(left)
        if total < CLEAR or last - first + 1 < SHORTEST or total < EACH * (last - first + 1):
            return found
        found.append((first, last, total))
        left[first : last + 1] = -1e9


def _largest(values: Array) -> tuple[int, int, float]:
    """The stretch of largest sum (Bentley 1984, Commun. ACM 27, 865)."""
    best, start, sum_here = (0, -1, 0.0), 0, 0.0
    for k, value in enumerate(values.tolist()):
        if sum_here <= 0.0:
            start, sum_here = k, 0.0
        sum_here += value
        if sum_here > best[2]:
            best = (start, k, sum_here)
    return best


def _chains(views: Sequence[ResidueView]) -> list[list[int]]:
    """Views of bonded stretches of protein, first conformers."""
    chains: list[list[int]] = []
    for k, view in enumerate(views):
        if view.kind != "protein" or not view.is_primary:
            continue
        if view.previous >= 0 and chains and views[chains[-1][-1]].residue == view.residue - 1:
            chains[-1].append(k)
        else:
            chains.append([k])
    return chains


def _place(xyz: Array, view: ResidueView) -> Array | None:
    """N, Cα, C and the ideal Cβ of a residue (4, 3); None where one is missing."""
    atoms = view.indices("N", "CA", "C")
    if atoms is None:
        return None
    n, ca, c = (torch.from_numpy(xyz[a])[None] for a in atoms)
    return np.concatenate([xyz[list(atoms)], ideal_cbeta(n, ca, c, "ALA").numpy()])


def _best(
    place: Array, template: Template, costs: Array, rotamers: Array, density: Callable[[torch.Tensor], Array]
) -> float:
    """Density at the side chain beyond Cβ in its best rotamer, beyond what each atom must have."""
    if rotamers.shape[1] < 2:
        return 0.0
    base = template.xyz
    cb = rotamers[0, 0]
    rotation = frame(place[1], place[3], place[0]) @ frame(base[1], cb, base[0]).T
    moved = (rotamers[:, 1:] - cb) @ rotation.T + place[3]
    rho = density(torch.from_numpy(moved.reshape(-1, 3))).reshape(moved.shape[:2])
    weight = np.array([{"S": 2.7, "SE": 5.7}.get(e.upper(), 1.0) for e in template.elements[4:]])
    score = (np.clip(rho, -2.0, RICHEST * weight) - PER_ATOM).sum(axis=1) - 0.3 * costs
    return float(score.max())


def report_register_shifts(scene: Scene) -> Change:
    """Records of what looks one residue off; the model stays as it is."""
    records: list[MoveRecord] = []
    for s in find_register_shifts(scene):
        where = f"{scene.views[s.first].label} – {scene.views[s.last].label}"
        towards = "next" if s.shift > 0 else "previous"
        reason = f"side chains of the {towards} residues fit better by {s.gain:.0f} σ in all: reported, not changed"
        records.append(record_of("register shift", where, f"sequence off by {s.shift:+d}", False, reason))
    return Change(structure=scene.structure, records=tuple(records))
