"""Backbone torsions φ and ψ drawn to where those of well-determined structures lie.

The energy is the −log density of (φ, ψ) in the class of the residue (`chemistry.ramachandran`), times a weight. It is a
mixture, so it has several minima and a residue goes to the nearest one: it cannot bring a residue out of a wrong
region, and it makes the Ramachandran plot useless as an independent check of the model. So it is off by default; use it
where the data do not say where the backbone runs, and together with moves that change the conformation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from burnish.chemistry.ramachandran import CLASSES, ramachandran_class, ramachandran_density
from burnish.data.labels import AtomLabels
from burnish.data.restraints import Origin, Restraints
from burnish.models.restraints.covalent import torsion_residuals
from burnish.models.restraints.term import Array, Index, Term, sparse_rows
from burnish.models.restraints.torsion_chains import Mixture, as_mixture, chain_angles, chain_energy, mixture_energy

CIS_LIMIT = np.pi / 6.0  # rad; |ω| below it is cis


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """Residues with both neighbours.

    Attributes
    ----------
    atoms : C of the residue before, N, CA, C, N of the residue after. (n, 5)
    kind : index into `CLASSES`. (n,)
    """

    atoms: Index
    kind: Index

    def __len__(self) -> int:
        return len(self.kind)


def find_backbone(labels: AtomLabels, restraints: Restraints, xyz: Array) -> Backbone:
    """Residues bonded to a residue before and one after by peptide links, once for each conformer of their backbone.

    Parameters
    ----------
    xyz : positions, which tell cis prolines from trans. (n_atoms, 3)
    """
    conformer = restraints.contacts.conformer.tolist()
    keys, names = list(zip(labels.chain, labels.number, labels.insertion, strict=True)), labels.atom_name
    residues: dict[tuple[str, int, str], dict[str, list[int]]] = {}
    for i, (key, name) in enumerate(zip(keys, names, strict=True)):
        if name in ("N", "CA", "C"):
            residues.setdefault(key, {}).setdefault(name, []).append(i)
    before, after = _peptide_bonds(names, restraints)

    def chosen(candidates: list[int], letter: int) -> int:
        return min(candidates, key=lambda i: (conformer[i] not in (letter, 0), i))

    rows, kinds = [], []
    for atoms in residues.values():
        if len(atoms) < 3:
            continue
        letters = {conformer[i] for group in atoms.values() for i in group}
        for letter in sorted(letters - {0} or {0}):
            n, ca, c = (chosen(atoms[name], letter) for name in ("N", "CA", "C"))
            if n not in before or c not in after:
                continue
            c_before, n_after = chosen(before[n], letter), chosen(after[c], letter)
            ca_before = residues[keys[c_before]].get("CA")
            cis = ca_before is not None and _is_cis(xyz, (chosen(ca_before, letter), c_before, n, ca))
            name, next_name = labels.residue_name[ca], labels.residue_name[n_after]
            rows.append((c_before, n, ca, c, n_after))
            kinds.append(CLASSES.index(ramachandran_class(name, next_name, is_cis=cis)))
    return Backbone(atoms=np.array(rows, dtype=np.int64).reshape(-1, 5), kind=np.array(kinds, dtype=np.int64))


def _peptide_bonds(names: tuple[str, ...], restraints: Restraints) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """C atoms bonded to each N, and N atoms bonded to each C, over peptide links within the model."""
    bonds = restraints.bonds
    use = (bonds.origin == Origin.PEPTIDE) & (bonds.image == 0)
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for first, second in bonds.atoms[use].tolist():
        c, n = (first, second) if names[first] == "C" else (second, first)
        if (names[c], names[n]) == ("C", "N"):
            before.setdefault(n, []).append(c)
            after.setdefault(c, []).append(n)
    return before, after


def _is_cis(xyz: Array, atoms: tuple[int, int, int, int]) -> bool:
    one = np.ones(1)
    omega = torsion_residuals(xyz, np.array([atoms]), 0.0 * one, one, np.ones(1, dtype=np.int64)).value
    return bool(abs(omega[0]) < CIS_LIMIT)


@cache
def backbone_mixture(kind: int) -> Mixture:
    """The density of φ and ψ of a class, by its index."""
    return as_mixture(ramachandran_density(CLASSES[kind]))


def negative_log_density(kind: int, angles: Array) -> tuple[Array, Array, Array]:
    """−log density of φ and ψ (n, 2), rad, in one class, its gradient and curvature; see `mixture_energy`."""
    return mixture_energy(backbone_mixture(kind), angles)


def ramachandran_term(xyz: Array, backbone: Backbone, weight: float) -> Term:
    """Weight times the −log density of all residues, as a term of the optimiser.

    Parameters
    ----------
    xyz : positions, Å. (n_atoms, 3)
    weight : 1 is what the reference says of one residue; data that are given a weight of several ask for as much here.
    """
    n, count = len(xyz), len(backbone)
    energy, gradient, rows = 0.0, np.zeros((n, 3)), np.zeros((count, 2, 5, 3))
    for kind in np.unique(backbone.kind):
        here = backbone.kind == kind
        value, slope, found = chain_energy(xyz, backbone.atoms[here], backbone_mixture(int(kind)))
        energy += float(value.sum())
        np.add.at(gradient, backbone.atoms[here], slope)
        rows[here] = found.reshape(-1, 2, 5, 3)
    return Term(
        name="Ramachandran",
        energy=weight * energy,
        gradient=weight * gradient.reshape(-1),
        factor=sparse_rows(np.repeat(backbone.atoms, 2, axis=0), np.sqrt(weight) * rows.reshape(-1, 5, 3), n),
    )


def ramachandran_energy(xyz: Array, backbone: Backbone, weight: float) -> float:
    """The energy of `ramachandran_term` alone."""
    angles, _ = chain_angles(xyz, backbone.atoms)
    kinds = [int(k) for k in np.unique(backbone.kind)]
    return weight * sum(float(negative_log_density(k, angles[backbone.kind == k])[0].sum()) for k in kinds)
