"""Tools that change which atoms there are: mutate, add, delete. Each returns a new structure and where to refine it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.add_residues import make_residue, nearest_chain, with_residue
from burnish.chemistry.conformers import ligand_shapes
from burnish.chemistry.edit_model import with_waters, without_atoms
from burnish.chemistry.ramachandran import ramachandran_class
from burnish.chemistry.residues import ResidueView
from burnish.core.errors import InputError
from burnish.geometry.torsions import place_atoms
from burnish.maps.sampling import sample, sample_with_gradient
from burnish.rebuild.blobs import blob_at, box_map, near_atoms
from burnish.rebuild.by_hand.model import HandModel
from burnish.rebuild.conformations import BACKBONE
from burnish.rebuild.loops import ANGLES_DEG, LENGTHS, O_ANGLE_DEG, O_LENGTH, sample_torsions
from burnish.rebuild.moves.ligands import ligand_body
from burnish.rebuild.pose_search import search_poses, varied_shapes

Array = NDArray[np.float64]

TRIALS = 600  # torsions drawn for a new residue at an end
WATER_REACH = 1.5  # Å that a new water may climb to its peak
LIGAND_LEVELS = (2.0, 1.3, 0.8)  # σ at which the density about the place is taken for the ligand's
CONFORMERS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """A changed model.

    Attributes
    ----------
    structure : with or without the atoms.
    place : chain and number of the residue to refine next; None where nothing is left to refine.
    note : what was done.
    """

    structure: gemmi.Structure
    place: tuple[str, str] | None
    note: str


def mutate(model: HandModel, view: int, name: str) -> Grown:
    """Another amino acid in the place of one: backbone and Cβ stay, the rest comes from the dictionary."""
    own = model.views[view]
    component = _component(model, name)
    if own.kind != "protein" or component is None or {"N", "CA", "C"} - {a.id for a in component.atoms}:
        raise InputError(f"{own.label} to {name!r}: expected two amino acids")
    if own.altloc:
        raise InputError(f"{own.label}: has conformers; delete the others first")
    backbone = own.indices("N", "CA", "C")
    if backbone is None:
        raise InputError(f"{own.label}: its backbone is not complete")
    placed = _on_backbone(component, model.xyz[list(backbone)])
    grown = model.structure.clone()
    residue = _residue(grown, own)
    mean_b = sum(a.b_iso for a in residue) / len(residue)
    for k in reversed(range(len(residue))):
        atom = residue[k]
        if atom.name not in BACKBONE and not (atom.name == "CB" and "CB" in placed):
            del residue[k]
    there = {a.name for a in residue}
    residue.name = name
    residue.het_flag = "A" if gemmi.find_tabulated_residue(name).is_standard() else "H"
    for atom_name, (element, xyz) in placed.items():
        if atom_name not in there:
            residue.add_atom(_atom(atom_name, element, xyz, mean_b))
    return Grown(structure=_settled(grown), place=(own.chain, own.number), note=f"{own.label} is now {name}")


def _on_backbone(component: gemmi.ChemComp, backbone: Array) -> dict[str, tuple[str, Array]]:
    """Side-chain atoms of a component with its N, Cα, C laid on those of a residue (3, 3): name → element, position."""
    atoms = {a.id: a for a in component.atoms if not a.is_hydrogen()}
    ideal = np.array([atoms[n].xyz.tolist() for n in ("N", "CA", "C")])
    if not np.isfinite(ideal).all():
        raise InputError(f"{component.name}: its dictionary has no coordinates")
    rotation = _frame(*backbone) @ _frame(*ideal).T
    return {
        n: (a.el.name, (np.array(a.xyz.tolist()) - ideal[1]) @ rotation.T + backbone[1])
        for n, a in atoms.items()
        if n not in BACKBONE
    }


def _frame(n: Array, ca: Array, c: Array) -> Array:
    """Right-handed axes at Cα as columns."""
    x = (c - ca) / np.linalg.norm(c - ca)
    y = (n - ca) - ((n - ca) @ x) * x
    y = y / np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def add_terminal_residue(model: HandModel, view: int, name: str = "ALA", seed: int = 0) -> Grown:
    """One residue more at the end of a chain, where its backbone lies best in the density.

    The end is the one at `view`: its C end where nothing follows, else its N end.
    """
    own = model.views[view]
    if own.kind != "protein" or own.indices("N", "CA", "C", "O") is None:
        raise InputError(f"{own.label}: no end of a protein chain")
    if own.next >= 0 and own.previous >= 0:
        raise InputError(f"{own.label}: lies inside a chain; choose a residue at an end")
    forward = own.next < 0
    trials = _terminal_trials(model, own, name, forward=forward, seed=seed)
    names = ["N", "CA", "C", "O"]
    rho = sample(model.target.spline, trials.reshape(-1, 3)).reshape(len(trials), -1) / model.target.sigma
    best = int((rho.clamp(max=4.0).mean(1) - 3.0 * _crowding(model, own, trials)).argmax())
    chosen = trials[best].numpy()
    component = _component(model, name)
    side = _on_backbone(component, chosen[:3]) if component is not None else {}
    grown = model.structure.clone()
    end = _residue(grown, own)
    number = int(end.seqid.num or 0) + (1 if forward else -1)
    chain = grown[0][own.chain]
    if any(r.seqid.num == number for r in chain if not r.is_water()):
        raise InputError(f"{own.chain} {number}: is there already; the new residue would have its number")
    mean_b = 1.1 * sum(a.b_iso for a in end) / len(end)
    new = gemmi.Residue()
    new.name, new.seqid, new.het_flag = name, gemmi.SeqId(number, " "), "A"
    new.subchain, new.entity_type = end.subchain, gemmi.EntityType.Polymer
    for atom_name, xyz in zip(names, chosen, strict=False):
        new.add_atom(_atom(atom_name, atom_name[0], xyz, mean_b))
    for atom_name, (element, xyz) in side.items():
        new.add_atom(_atom(atom_name, element, xyz, mean_b))
    if forward:
        for k in reversed(range(len(end))):
            if end[k].name == "OXT":
                del end[k]
        end.find_atom("O", "*").pos = gemmi.Position(*chosen[4])
    place = next(k for k, r in enumerate(chain) if r.seqid == end.seqid and r.name == end.name)
    chain.add_residue(new, place + 1 if forward else place)
    density = float(rho[best, :4].mean())
    note = f"{own.chain} {number} {name} added, density {density:.1f} σ"
    return Grown(structure=_settled(grown), place=(own.chain, str(number)), note=note)


def _terminal_trials(model: HandModel, own: ResidueView, name: str, *, forward: bool, seed: int) -> torch.Tensor:
    """N, Cα, C, O of the new residue for drawn torsions, forward also O of the present one. (trials, 4 or 5, 3)"""
    n, ca, c = (torch.from_numpy(model.xyz[own.atoms[a]]).expand(TRIALS, 3) for a in ("N", "CA", "C"))
    generator = torch.Generator().manual_seed(seed)
    kinds = [ramachandran_class(own.name, None, is_cis=False), ramachandran_class(name, None, is_cis=False)]
    present, new = sample_torsions(kinds, TRIALS, generator).unbind(1)
    one = torch.ones(TRIALS, dtype=torch.float64)
    omega = math.pi * one

    def put(a: torch.Tensor, b: torch.Tensor, d: torch.Tensor, length: float, angle: float, turn: torch.Tensor):  # type: ignore[no-untyped-def]
        return place_atoms(a, b, d, one * length, one * math.radians(angle), turn)

    if forward:
        psi = present[:, 1]
        n1 = put(n, ca, c, LENGTHS["N"], ANGLES_DEG["N"], psi)
        ca1 = put(ca, c, n1, LENGTHS["CA"], ANGLES_DEG["CA"], omega)
        c1 = put(c, n1, ca1, LENGTHS["C"], ANGLES_DEG["C"], new[:, 0])
        o1 = put(n1, ca1, c1, O_LENGTH, O_ANGLE_DEG, new[:, 1] + math.pi)
        return torch.stack([n1, ca1, c1, o1, put(n, ca, c, O_LENGTH, O_ANGLE_DEG, psi + math.pi)], dim=1)
    c1 = put(c, ca, n, LENGTHS["N"], ANGLES_DEG["CA"], present[:, 0])
    ca1 = put(ca, n, c1, LENGTHS["C"], ANGLES_DEG["N"], omega)
    n1 = put(n, c1, ca1, LENGTHS["CA"], ANGLES_DEG["C"], new[:, 1])
    o1 = put(n1, ca1, c1, O_LENGTH, O_ANGLE_DEG, new[:, 1] + math.pi)
    return torch.stack([n1, ca1, c1, o1], dim=1)


def _crowding(model: HandModel, own: ResidueView, trials: torch.Tensor) -> torch.Tensor:
    """How far Cα and C of each trial lie within 3 Å of other atoms or their mates, Å. (trials,)"""
    around = model.around()
    others = around.tree
    mine = set(own.atoms.values())
    near = []
    for xyz in trials[:, 1:3].reshape(-1, 3).numpy():
        close = [
            np.linalg.norm(around.xyz[k] - xyz)
            for k in others.query_ball_point(xyz, 3.0)
            if not (around.is_own[k] and int(around.source[k]) in mine)
        ]
        near.append(3.0 - min(close, default=3.0))
    return torch.tensor(near, dtype=torch.float64).reshape(-1, 2).max(1).values


def add_water(model: HandModel, xyz: tuple[float, float, float]) -> Grown:
    """A water at a place, moved up to the nearest peak of the density."""
    start = torch.tensor([xyz], dtype=torch.float64)
    at, size = start.clone(), 0.2
    value = float(sample(model.target.spline, at))
    while size > 0.01:
        _, slope = sample_with_gradient(model.target.spline, at)
        trial = at + size * slope / slope.norm().clamp(min=1e-9)
        gained = float(sample(model.target.spline, trial))
        if gained > value and float((trial - start).norm()) < WATER_REACH:
            at, value = trial, gained
        else:
            size *= 0.5
    x, y, z = (float(v) for v in at[0])
    away = np.linalg.norm(model.xyz - at[0].numpy(), axis=1)
    if away.min(initial=9.0) < 1.8:
        raise InputError("an atom is less than 1.8 Å from there; no water was added")
    nearby = [c.atom.b_iso for c, d in zip(model.structure[0].all(), away, strict=True) if d < 6.0]
    b_iso = 1.2 * sum(nearby) / len(nearby) if nearby else 30.0
    structure, (label,) = with_waters(model.structure, [(x, y, z)], [b_iso])
    chain, number, _ = label.split()
    return Grown(
        structure=structure,
        place=(chain, number),
        note=f"{label} added, density {value / model.target.sigma:.1f} σ, {away.min():.1f} Å from the nearest atom",
    )


def delete_atoms(model: HandModel, view: int, what: str, atom: str = "") -> Grown:
    """Remove a residue, its side chain beyond Cβ, or one atom of it.

    Parameters
    ----------
    what : "residue", "side chain" or "atom".
    """
    own = model.views[view]
    if what == "residue":
        doomed = [a for v in model.views if v.residue == own.residue for a in v.atoms.values()]
    elif what == "side chain":
        doomed = [a for n, a in own.atoms.items() if n not in BACKBONE and n != "CB"]
    elif what == "atom" and atom in own.atoms:
        doomed = [own.atoms[atom]]
    else:
        raise InputError(f"{own.label}: cannot delete {what} {atom}")
    if not doomed or len(doomed) >= len(model.xyz):
        raise InputError(f"{own.label}: nothing to delete, or nothing would be left")
    gone = f"{own.label}" if what == "residue" else f"{own.label} {atom or what}"
    return Grown(structure=without_atoms(model.structure, doomed), place=None, note=f"{gone} deleted")


def fit_ligand_here(model: HandModel, name: str, xyz: tuple[float, float, float], seed: int = 0) -> Grown:
    """A component of the dictionary in the density about a place: conformers, everywhere in the blob, then uphill."""
    component = _component(model, name)
    if component is None:
        raise InputError(f"{name}: not in the dictionaries; give it with --ligand when the session is opened")
    shapes = ligand_shapes(component, CONFORMERS, seed)
    body = ligand_body(shapes)
    generator = torch.Generator().manual_seed(seed)
    conformers = varied_shapes(body, shapes.xyz, CONFORMERS if len(body.bonds) else 1, generator)
    extent = float(max(np.linalg.norm(x[:, None] - x[None], axis=2).max(initial=0.0) for x in conformers))
    centre = np.array(xyz, dtype=np.float64)
    radius = 0.75 * extent + 3.0
    keep = model.xyz[[a for v in model.views if v.kind != "water" for a in v.atoms.values()]]
    occupied = near_atoms(model.crystal, keep, centre, radius + 3.0)
    box = box_map(model.target.spline, model.target.sigma, centre, radius, occupied)
    blobs = (blob_at(box, centre, level) for level in LIGAND_LEVELS)
    blob = next((b for b in blobs if b is not None and b.volume > 1.5 * len(shapes.atoms)), None)
    if blob is None:
        raise InputError(f"{name}: no free density about this place")
    poses = search_poses(body, conformers, box, blob.points, generator)
    if not poses:
        raise InputError(f"{name}: found no way to lie in this density")
    best = poses[0].xyz
    room = without_atoms(model.structure, _waters_in_the_way(model, best))
    away = np.linalg.norm(model.xyz[:, None] - best[None], axis=2).min(axis=1)
    nearby = [c.atom.b_iso for c, d in zip(model.structure[0].all(), away, strict=True) if d < 6.0]
    b_iso = sum(nearby) / len(nearby) if nearby else 30.0
    residue = make_residue(shapes.name, shapes.atoms, shapes.elements, best, b_iso)
    structure, label = with_residue(room, residue, nearest_chain(room, best))
    chain, number, _ = label.split()
    rho = float(sample(model.target.spline, torch.from_numpy(best)).mean()) / model.target.sigma
    return Grown(structure=structure, place=(chain, number), note=f"{label} placed, density {rho:.1f} σ")


def _waters_in_the_way(model: HandModel, xyz: Array) -> set[int]:
    waters = [a for v in model.views if v.kind == "water" for a in v.atoms.values()]
    if not waters:
        return set()
    away = np.linalg.norm(model.xyz[waters][:, None] - xyz[None], axis=2).min(axis=1)
    return {w for w, d in zip(waters, away.tolist(), strict=True) if d < 2.4}


def _component(model: HandModel, name: str) -> gemmi.ChemComp | None:
    known = model.monlib.monomers  # gemmi's map has no `get`
    return known[name] if name in known else None  # noqa: SIM401


def _residue(structure: gemmi.Structure, view: ResidueView) -> gemmi.Residue:
    chain = structure[0][view.chain]
    return next(r for r in chain if str(r.seqid) == view.number and r.name == view.name)


def _atom(name: str, element: str, xyz: Array, b_iso: float) -> gemmi.Atom:
    atom = gemmi.Atom()
    atom.name, atom.element = name, gemmi.Element(element)
    atom.pos, atom.b_iso, atom.occ = gemmi.Position(*(float(v) for v in xyz)), b_iso, 1.0
    return atom


def _settled(structure: gemmi.Structure) -> gemmi.Structure:
    """Entities and serial numbers after a change of the polymer."""
    structure.setup_entities()
    structure.assign_serial_numbers()
    return structure
