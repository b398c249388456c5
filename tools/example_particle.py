"""Write the model of an invented particle: four bundles of helices in D2 symmetry, for tutorials and tests.

    python tools/example_particle.py particle.cif

Poly-alanine helices of ideal geometry lie about a centre like sticks in a heap: lopsided enough that no view looks like
another, and nobody's structure.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import gemmi
import numpy as np
import torch

from burnish.geometry.torsions import place_atoms

# middle (Å, of one bundle about its own centre), axis and number of residues of each helix
HELICES = (
    ((0.0, 0.0, 0.0), (0.1, 0.2, 1.0), 22),
    ((11.6, 1.0, 2.0), (-0.15, 0.1, 1.0), 17),
    ((2.0, 11.0, -3.0), (0.25, -0.1, 1.0), 19),
    ((-10.0, -4.0, 3.0), (-0.25, 0.15, 1.0), 12),
    ((7.0, -10.0, -4.0), (0.2, 0.3, 1.0), 14),
)
BUNDLE_AT = (14.0, 15.5, 17.5)  # Å, of the bundle's centre from the three twofold axes
D2 = tuple(np.diag(signs) for signs in ((1, 1, 1), (-1, -1, 1), (-1, 1, -1), (1, -1, -1)))


def helix(residues: int) -> np.ndarray:
    """Positions of N, CA, C, O and CB of an alanine helix about its middle, its axis along z, Å. (residues, 5, 3)"""
    backbone = [torch.tensor([p], dtype=torch.float64) for p in ((0.0, 1.0, 0.0), (0.0, 0.0, 0.0), (1.458, 0.0, 0.0))]
    steps = ((1.525, 111.0, -62.0), (1.329, 116.2, -43.0), (1.458, 121.7, 180.0))  # to C, N, CA: Engh & Huber (2001)
    while len(backbone) < 3 * residues + 2:
        backbone.append(_place(backbone[-3:], *steps[len(backbone) % 3]))
    xyz = np.zeros((residues, 5, 3))
    for i in range(residues):
        n, ca, c, next_n = backbone[1 + 3 * i : 5 + 3 * i]
        atoms = [n, ca, c, _place([next_n, ca, c], 1.231, 120.8, 180.0), _place([c, n, ca], 1.521, 110.4, -122.6)]
        xyz[i] = torch.cat(atoms).numpy()
    xyz -= xyz.mean((0, 1))
    axis = np.linalg.svd(xyz[:, 1] - xyz[:, 1].mean(0))[2][0]
    return xyz @ _turn(axis, np.array([0.0, 0.0, 1.0])).T


def _place(last: list[torch.Tensor], length: float, angle_deg: float, torsion_deg: float) -> torch.Tensor:
    numbers = (torch.tensor([x], dtype=torch.float64) for x in (length, *map(math.radians, (angle_deg, torsion_deg))))
    return place_atoms(*last, *numbers)


def _turn(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rotation that turns unit vector a into b."""
    v, c = np.cross(a, b), float(a @ b)
    if c < -0.999999:
        return np.diag([1.0, -1.0, -1.0])
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)


def particle() -> gemmi.Structure:
    """The whole particle: chain A to D, one bundle each, its middle at the origin."""
    structure = gemmi.Structure()
    structure.name = "particle"
    model = gemmi.Model(1)
    for name, operator in zip("ABCD", D2, strict=True):
        chain = gemmi.Chain(name)
        number = 1
        for middle, axis, residues in HELICES:
            unit = np.array(axis) / np.linalg.norm(axis)
            xyz = helix(residues) @ _turn(np.array([0.0, 0.0, 1.0]), unit).T + np.array(middle) + np.array(BUNDLE_AT)
            for i, atoms in enumerate(xyz @ operator.T):
                chain.add_residue(_alanine(number + i, atoms))
            number += residues + 10  # a gap in the numbers: no bond from one helix to the next
        model.add_chain(chain)
    structure.add_model(model)
    structure.setup_entities()
    return structure


def _alanine(number: int, xyz: np.ndarray) -> gemmi.Residue:
    residue = gemmi.Residue()
    residue.name, residue.seqid = "ALA", gemmi.SeqId(number, " ")
    for name, position in zip(("N", "CA", "C", "O", "CB"), xyz, strict=True):
        atom = gemmi.Atom()
        atom.name, atom.element, atom.occ, atom.b_iso = name, gemmi.Element(name[0]), 1.0, 40.0
        atom.pos = gemmi.Position(*position)
        residue.add_atom(atom)
    return residue


def main() -> None:
    """Write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    particle().make_mmcif_document().write_file(str(parser.parse_args().out))


if __name__ == "__main__":
    main()
