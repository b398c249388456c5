"""A model ready to be changed by hand: atoms, residues, restraints and the map, made anew when atoms come or go."""

from __future__ import annotations

from dataclasses import dataclass, field

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.residues import ResidueView, residue_views
from burnish.chemistry.topology import build_topology
from burnish.core.errors import InputError
from burnish.data.reflections import Crystal
from burnish.data.sampled_map import SampledMap
from burnish.maps.sampling import rms, spline_map
from burnish.models.restraints.stereochemistry import stereochemistry
from burnish.rebuild.by_hand.minimise import Minimised, Pull, make_problem, minimise
from burnish.rebuild.conformations import Graph, bond_graph
from burnish.rebuild.zone import Surroundings, Target, ZoneSystem, surroundings

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class HandModel:
    """A model without hydrogens and what its tools need.

    Attributes
    ----------
    structure : the model; not to be changed.
    xyz : positions in file order, Å. (n, 3)
    views : residues by conformer.
    graph : bonds.
    system : restraints, contacts, electrons.
    target : the map.
    monlib : dictionaries.
    crystal : for symmetry mates; None without.
    """

    structure: gemmi.Structure
    xyz: Array
    views: tuple[ResidueView, ...]
    graph: Graph
    system: ZoneSystem
    target: Target
    monlib: gemmi.MonLib = field(repr=False)
    crystal: Crystal | None

    def around(self) -> Surroundings:
        """All atoms and their mates."""
        return surroundings(self.xyz, self.crystal)

    def find(self, chain: str, number: str, altloc: str = "") -> int:
        """Index of a residue's view.

        Raises
        ------
        InputError : there is none of that chain and number.
        """
        matching = [i for i, v in enumerate(self.views) if (v.chain, v.number) == (chain, number)]
        if not matching:
            raise InputError(f"{chain} {number}: no such residue in the model")
        return next((i for i in matching if self.views[i].altloc == altloc), matching[0])


def make_target(density: SampledMap) -> Target:
    """A map to fit, in units of its rms."""
    return Target(spline=spline_map(density), sigma=rms(density))


def make_hand_model(
    structure: gemmi.Structure, monlib: gemmi.MonLib, target: Target, crystal: Crystal | None
) -> HandModel:
    """Build the restraints of a model; its hydrogens are left out."""
    topology = build_topology(structure, monlib, hydrogens="remove")
    atoms = list(topology.structure[0].all())
    restraints = topology.restraints
    system = ZoneSystem(
        stereochemistry=stereochemistry(restraints),
        contacts=restraints.contacts,
        electrons=np.array([float(c.atom.element.atomic_number) for c in atoms]),
        occ=np.array([c.atom.occ for c in atoms]),
        crystal=crystal,
    )
    return HandModel(
        structure=topology.structure,
        xyz=np.array([c.atom.pos.tolist() for c in atoms]).reshape(-1, 3),
        views=residue_views(topology.structure[0]),
        graph=bond_graph(restraints.bonds.atoms.numpy()[restraints.bonds.image.numpy() == 0]),
        system=system,
        target=target,
        monlib=monlib,
        crystal=crystal,
    )


def refined(
    model: HandModel, atoms: Index, start: Array | None = None, pulls: tuple[Pull, ...] = (), steps: int = 20
) -> tuple[Array, Minimised]:
    """All positions with some atoms refined from `start` (their own positions by default), and the result. (n, 3)"""
    xyz = model.xyz.copy()
    if start is not None:
        xyz[atoms] = start
    problem = make_problem(model.system, model.around(), xyz, atoms, model.target, pulls)
    done = minimise(problem, xyz[atoms], steps=steps)
    xyz[atoms] = done.xyz
    return xyz, done


def zone_atoms(model: HandModel, view: int, extent: str) -> Index:
    """Atoms that a refinement about a residue moves.

    Parameters
    ----------
    extent : "residue"; "zone": with two neighbours along the chain on either side; "sphere": every residue with an
        atom within 4.5 Å of it; "chain"; "all".
    """
    if extent == "all":
        return np.arange(len(model.xyz), dtype=np.int64)
    own = model.views[view]
    residues = {own.residue}
    if extent == "zone":
        for step in ("previous", "next"):
            at = view
            for _ in range(2):
                at = getattr(model.views[at], step)
                if at < 0:
                    break
                residues.add(model.views[at].residue)
    elif extent == "sphere":
        centre = model.xyz[list(own.atoms.values())]
        away = np.min(torch.cdist(torch.from_numpy(model.xyz), torch.from_numpy(centre)).numpy(), axis=1)
        near = set(np.flatnonzero(away < 4.5).tolist())
        residues |= {v.residue for v in model.views if near & set(v.atoms.values())}
    elif extent == "chain":
        residues = {v.residue for v in model.views if v.chain == own.chain and v.kind == own.kind}
    elif extent != "residue":
        raise InputError(f"{extent!r}: expected residue, zone, sphere, chain or all")
    atoms = {a for v in model.views if v.residue in residues for a in v.atoms.values()}
    return np.array(sorted(atoms), dtype=np.int64)
