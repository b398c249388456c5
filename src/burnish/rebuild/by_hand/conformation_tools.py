"""Tools that move atoms: refine, flip, rotamers, χ angles, dragging, rigid bodies. Each returns all positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.rotamers import CHI_ATOMS, Rotamer, rotamer_name, rotamers_of
from burnish.core.errors import InputError
from burnish.maps.sampling import sample, sample_with_gradient
from burnish.rebuild.by_hand.minimise import Minimised, Pull
from burnish.rebuild.by_hand.model import HandModel, refined, zone_atoms
from burnish.rebuild.conformations import BACKBONE, chi_of, with_chi, with_peptide_turned

Array = NDArray[np.float64]
Index = NDArray[np.int64]

RIGID_STEPS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a tool did.

    Attributes
    ----------
    xyz : of all atoms, Å. (n, 3)
    atoms : that it moved. (m,)
    density : mean density at them, σ, before and after.
    note : what it did, in words.
    """

    xyz: Array
    atoms: Index
    density: tuple[float, float]
    note: str


def refine_about(model: HandModel, view: int, extent: str) -> Moved:
    """Real-space refinement of a residue, zone, sphere or chain."""
    atoms = zone_atoms(model, view, extent)
    xyz, done = refined(model, atoms, steps=30)
    return _moved(model, xyz, atoms, f"{len(atoms)} atoms refined, geometry {done.energy.geometry:.0f}")


def flip_peptide(model: HandModel, view: int) -> Moved:
    """The peptide after a residue turned over about its Cα–Cα line, then refined."""
    turned = with_peptide_turned(model.xyz, model.views, view, math.pi)
    if turned is None:
        raise InputError(f"{model.views[view].label}: no peptide after it that could be turned")
    atoms = np.union1d(zone_atoms(model, view, "residue"), zone_atoms(model, model.views[view].next, "residue"))
    xyz, _ = refined(model, atoms, turned[atoms])
    return _moved(model, xyz, atoms, f"peptide {model.views[view].label} – {model.views[model.views[view].next].label}")


def next_rotamer(model: HandModel, view: int) -> Moved:
    """The rotamer after the present one in the order of their frequency, refined."""
    listed = _rotamers(model, view)
    chi = chi_of(model.xyz, model.views[view])
    name = rotamer_name(model.views[view].name, torch.tensor(chi, dtype=torch.float64))
    names = [r.name for r in listed]
    chosen = listed[(names.index(name) + 1) % len(listed)] if name in names else listed[0]
    return _as_rotamer(model, view, chosen)


def best_rotamer(model: HandModel, view: int) -> Moved:
    """The rotamer that has the lowest energy after refinement, less its rarity."""
    best: tuple[float, Moved] | None = None
    atoms = zone_atoms(model, view, "residue")
    for rotamer in _rotamers(model, view):
        start = with_chi(model.xyz, model.views[view], model.graph, rotamer.chi)
        xyz, done = refined(model, atoms, start[atoms], steps=12)
        value = done.energy.total - math.log(max(rotamer.frequency, 1e-4))
        if best is None or value < best[0]:
            best = value, _moved(model, xyz, atoms, f"rotamer {rotamer.name} ({100 * rotamer.frequency:.0f} %)")
    if best is None:
        raise InputError(f"{model.views[view].label}: has no rotamers")
    return best[1]


def _as_rotamer(model: HandModel, view: int, rotamer: Rotamer) -> Moved:
    atoms = zone_atoms(model, view, "residue")
    start = with_chi(model.xyz, model.views[view], model.graph, rotamer.chi)
    side = np.array([a for a in atoms.tolist() if _name(model, view, a) not in BACKBONE], dtype=np.int64)
    xyz, _ = refined(model, side, start[side], steps=6)
    return _moved(model, xyz, atoms, f"rotamer {rotamer.name} ({100 * rotamer.frequency:.0f} %)")


def _rotamers(model: HandModel, view: int) -> tuple[Rotamer, ...]:
    own = model.views[view]
    listed = rotamers_of(own.name)
    if not listed or chi_of(model.xyz, own) is None:
        raise InputError(f"{own.label}: has no rotamers, or atoms are missing")
    return listed


def turn_side_chain(model: HandModel, view: int, chi_deg: Sequence[float], *, refine: bool) -> Moved:
    """The side chain at other χ angles; refined with its Cα–Cβ frame when asked."""
    own = model.views[view]
    if len(chi_deg) != len(CHI_ATOMS.get(own.name, ())) or chi_of(model.xyz, own) is None:
        raise InputError(f"{own.label}: expected {len(CHI_ATOMS.get(own.name, ()))} χ angles and a whole side chain")
    xyz = with_chi(model.xyz, own, model.graph, [math.radians(c) for c in chi_deg])
    atoms = zone_atoms(model, view, "residue")
    if refine:
        xyz, _ = refined(model, atoms, xyz[atoms])
    return _moved(model, xyz, atoms, "χ " + ", ".join(f"{c:.0f}°" for c in chi_deg))


def drag_atom(
    model: HandModel, view: int, atom: str, goal: Sequence[float], start: Array | None = None, steps: int = 4
) -> tuple[Moved, Minimised]:
    """An atom drawn to a place, its residue and the neighbours along the chain following.

    Parameters
    ----------
    goal : where the hand is, Å. (3,)
    start : positions of the moving atoms where the drag has come to. (m, 3)
    steps : few while the hand moves.
    """
    own = model.views[view]
    if atom not in own.atoms:
        raise InputError(f"{own.label}: has no atom {atom}")
    atoms = np.unique(
        np.concatenate([zone_atoms(model, v, "residue") for v in (own.previous, view, own.next) if v >= 0])
    )
    pull = Pull(atom=own.atoms[atom], goal=np.array(goal, dtype=np.float64))
    xyz, done = refined(model, atoms, start, (pull,), steps)
    return _moved(model, xyz, atoms, f"{atom} dragged"), done


def settle(model: HandModel, atoms: Index, start: Array, note: str) -> Moved:
    """Let go: the same atoms refined without the hand."""
    xyz, _ = refined(model, atoms, start)
    return _moved(model, xyz, atoms, note)


def move_rigidly(model: HandModel, view: int, extent: str, shift: Sequence[float], turn_deg: Sequence[float]) -> Moved:
    """Atoms shifted, Å, and turned by a rotation vector, °, about their centre."""
    atoms = zone_atoms(model, view, extent)
    xyz = model.xyz.copy()
    xyz[atoms] = _rigid(xyz[atoms], np.array(shift, dtype=float), np.radians(np.array(turn_deg, dtype=float)))
    return _moved(model, xyz, atoms, f"{len(atoms)} atoms moved as one")


def fit_rigidly(model: HandModel, view: int, extent: str) -> Moved:
    """A residue or chain moved as one body into the density: Gauss–Newton on three shifts and three turns."""
    atoms = zone_atoms(model, view, extent)
    at = model.xyz[atoms].copy()
    weight = model.system.electrons[atoms] * model.system.occ[atoms]
    spline = model.target.spline
    score = float(weight @ sample(spline, torch.from_numpy(at)).numpy())
    size = 0.3
    for _ in range(RIGID_STEPS):
        _, slope = sample_with_gradient(spline, torch.from_numpy(at))
        force = weight[:, None] * slope.numpy()
        arm = at - at.mean(axis=0)
        spread = float(np.sqrt((arm**2).sum(axis=1).mean())) + 1e-6
        push, torque = force.sum(axis=0), np.cross(arm, force).sum(axis=0) / spread
        length = math.sqrt(float(push @ push + torque @ torque)) + 1e-12
        trial = _rigid(at, size * push / length, size * torque / length / spread)
        gained = float(weight @ sample(spline, torch.from_numpy(trial)).numpy())
        if gained > score:
            at, score = trial, gained
        else:
            size *= 0.6
        if size < 1e-3:
            break
    xyz = model.xyz.copy()
    xyz[atoms] = at
    return _moved(model, xyz, atoms, f"{len(atoms)} atoms fitted as one")


def _rigid(xyz: Array, shift: Array, turn: Array) -> Array:
    centre, angle = xyz.mean(axis=0), float(np.linalg.norm(turn))
    if angle < 1e-9:
        return xyz + shift
    unit = turn / angle
    relative = xyz - centre
    along = (relative @ unit)[:, None] * unit
    turned = along + (relative - along) * math.cos(angle) + np.cross(unit, relative) * math.sin(angle)
    return centre + turned + shift


def present_chi_deg(model: HandModel, view: int) -> list[float]:
    """χ angles of a residue, °; empty where it has none."""
    chi = chi_of(model.xyz, model.views[view])
    return [] if chi is None else [round(math.degrees(c), 1) for c in chi]


def _name(model: HandModel, view: int, atom: int) -> str:
    return next(n for n, a in model.views[view].atoms.items() if a == atom)


def _moved(model: HandModel, xyz: Array, atoms: Index, note: str) -> Moved:
    def mean(at: Array) -> float:
        values = sample(model.target.spline, torch.from_numpy(np.ascontiguousarray(at[atoms])))
        return float(values.mean()) / model.target.sigma

    return Moved(xyz=xyz, atoms=atoms, density=(mean(model.xyz), mean(xyz)), note=note)
