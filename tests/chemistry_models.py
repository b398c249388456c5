"""Small models for the tests of restraints, made from the components' own coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import gemmi
import numpy as np

from burnish.chemistry.library import OWN_LIBRARY, monomer_path


def component(name: str) -> gemmi.ChemComp:
    """A component of the own library."""
    monlib = gemmi.MonLib()
    monlib.read_monomer_cif(str(monomer_path(OWN_LIBRARY, name)))
    return monlib.monomers[name]


def residue(name: str, number: int, at: Sequence[float] = (0.0, 0.0, 0.0)) -> gemmi.Residue:
    """A residue with its heavy atoms where the dictionary has them, moved."""
    made = gemmi.Residue()
    made.name = name
    made.seqid = gemmi.SeqId(number, " ")
    for atom in component(name).atoms:
        if atom.is_hydrogen():
            continue
        added = gemmi.Atom()
        added.name, added.element = atom.id, atom.el
        added.pos = gemmi.Position(*(np.array(atom.xyz.tolist()) + np.array(at)))
        made.add_atom(added)
    return made


def structure(
    chains: dict[str, list[gemmi.Residue]], cell: Sequence[float] = (50, 60, 70, 90, 90, 90)
) -> gemmi.Structure:
    """A model in a P 21 21 21 crystal."""
    made = gemmi.Structure()
    made.name = "test"
    made.cell = gemmi.UnitCell(*cell)
    made.spacegroup_hm = "P 21 21 21"
    made.add_model(gemmi.Model(1))
    for name, residues in chains.items():
        chain = gemmi.Chain(name)
        for one in residues:
            chain.add_residue(one)
        made[0].add_chain(chain)
    made.setup_entities()
    return made


def peptide(names: Sequence[str], phi: float = -65.0, psi: float = -40.0) -> gemmi.Structure:
    """A chain of residues in a helix: backbone grown with Engh & Huber geometry, side chains superposed."""
    places: list[np.ndarray] = [np.array([0.0, 0.0, 0.0]), np.array([1.459, 0.0, 0.0])]
    lengths = {"C": (1.525, 111.0), "N": (1.336, 117.2), "CA": (1.459, 121.7)}
    turn = {"C": phi, "N": psi, "CA": 180.0}
    order = ["N", "CA"]
    angle = np.radians(111.0)
    places.append(places[1] + 1.525 * np.array([-np.cos(angle), np.sin(angle), 0.0]))
    order.append("C")
    while len(places) < 3 * len(names):
        label = ("N", "CA", "C")[len(places) % 3]
        places.append(extend(places[-3], places[-2], places[-1], *lengths[label], turn[label]))
        order.append(label)
    residues = []
    for number, name in enumerate(names):
        one = residue(name, number + 1)
        frame = [gemmi.Position(*place) for place in places[3 * number : 3 * number + 3]]
        own = [one.find_atom(label, "*").pos for label in ("N", "CA", "C")]
        fit = gemmi.superpose_positions(frame, own).transform
        for atom in one:
            atom.pos = gemmi.Position(fit.apply(atom.pos))
        if number + 1 < len(names):
            one.remove_atom("OXT", "\0", gemmi.Element("O"))
            carbon, nitrogen, alpha = places[3 * number + 2 : 3 * number + 5]
            oxygen = extend(alpha, nitrogen, carbon, 1.229, 122.7, 0.0)
            one.find_atom("O", "*").pos = gemmi.Position(*oxygen)
        residues.append(one)
    return structure({"A": residues})


def extend(a: np.ndarray, b: np.ndarray, c: np.ndarray, length: float, angle: float, torsion: float) -> np.ndarray:
    """Place an atom bonded to c by its internal coordinates, degrees."""
    theta, chi = np.radians(angle), np.radians(torsion)
    bc = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, bc)
    normal = normal / np.linalg.norm(normal)
    local = length * np.array([-np.cos(theta), np.sin(theta) * np.cos(chi), np.sin(theta) * np.sin(chi)])
    return c + local @ np.stack([bc, np.cross(normal, bc), normal])
