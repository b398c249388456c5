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


@dataclass(frozen=True, slots=True)
class _Mixture:
    """Components of one class: centres and κ (k, 2), coupling and log weight (k,)."""

    mean: Array
    kappa: Array
    coupling: Array
    log_weight: Array


@cache
def _mixture(kind: int) -> _Mixture:
    d = ramachandran_density(CLASSES[kind])
    return _Mixture(d.mean.numpy(), d.kappa.numpy(), d.coupling.numpy()[:, 0], d.log_weight.numpy())


def negative_log_density(kind: int, angles: Array) -> tuple[Array, Array, Array]:
    """−log density of (φ, ψ) in one class, its gradient, and a curvature that is never negative.

    Parameters
    ----------
    kind : index into `CLASSES`.
    angles : φ and ψ, rad. (n, 2)

    Returns
    -------
    (n,), (n, 2) rad⁻¹, (n, 2, 2) rad⁻²

    Notes
    -----
    The gradient is that of `chemistry.angle_density.log_density`. The curvature is that of the components, weighted by
    their share of the density at this place, each by κ sin δ/δ, the parabola above κ(1 − cos δ) that touches it here
    (as in expectation and maximisation: the spread between components, which only lowers it, is left out).
    """
    m = _mixture(kind)
    delta = angles[:, None, :] - m.mean
    delta = delta - 2.0 * np.pi * np.round(delta / (2.0 * np.pi))
    sine, cosine = np.sin(delta), np.cos(delta)
    exponent = m.log_weight + ((cosine - 1.0) * m.kappa).sum(axis=2) + m.coupling * sine[..., 0] * sine[..., 1]
    highest = exponent.max(axis=1, keepdims=True)
    share = np.exp(exponent - highest)
    total = share.sum(axis=1, keepdims=True)
    share = share / total
    by_angle = sine * m.kappa - m.coupling[:, None] * cosine * sine[..., ::-1]
    gradient = np.einsum("nk,nka->na", share, by_angle)
    curvature = np.empty((len(angles), 2, 2))
    diagonal = np.einsum("nk,nka->na", share, m.kappa * np.sinc(delta / np.pi))
    curvature[:, 0, 0], curvature[:, 1, 1] = diagonal.T
    curvature[:, 0, 1] = curvature[:, 1, 0] = -(share * m.coupling * cosine[..., 0] * cosine[..., 1]).sum(axis=1)
    values, vectors = np.linalg.eigh(curvature)
    curvature = np.einsum("nia,na,nja->nij", vectors, np.maximum(values, 0.0), vectors)
    return -(highest + np.log(total))[:, 0], gradient, curvature


def ramachandran_term(xyz: Array, backbone: Backbone, weight: float) -> Term:
    """Weight times the −log density of all residues, as a term of the optimiser.

    Parameters
    ----------
    xyz : positions, Å. (n_atoms, 3)
    weight : 1 is what the reference says of one residue; data that are given a weight of several ask for as much here.
    """
    n, count = len(xyz), len(backbone)
    angles, jacobian = _angles(xyz, backbone)
    energy, slope, curvature = np.zeros(count), np.zeros((count, 2)), np.zeros((count, 2, 2))
    for kind in np.unique(backbone.kind):
        here = backbone.kind == kind
        energy[here], slope[here], curvature[here] = negative_log_density(int(kind), angles[here])
    values, vectors = np.linalg.eigh(curvature)
    root = np.sqrt(weight * np.maximum(values, 0.0))[:, :, None] * vectors.transpose(0, 2, 1)  # rootᵀ root = curvature
    blocks = np.einsum("nra,nakx->nrkx", root, jacobian).reshape(2 * count, 5, 3)
    force = weight * np.einsum("na,nakx->nkx", slope, jacobian)
    gradient = np.zeros((n, 3))
    np.add.at(gradient, backbone.atoms, force)
    return Term(
        name="Ramachandran",
        energy=weight * float(energy.sum()),
        gradient=gradient.reshape(-1),
        factor=sparse_rows(np.repeat(backbone.atoms, 2, axis=0), blocks, n),
    )


def ramachandran_energy(xyz: Array, backbone: Backbone, weight: float) -> float:
    """The energy of `ramachandran_term` alone."""
    angles, _ = _angles(xyz, backbone)
    kinds = [int(k) for k in np.unique(backbone.kind)]
    return weight * sum(float(negative_log_density(k, angles[backbone.kind == k])[0].sum()) for k in kinds)


def _angles(xyz: Array, backbone: Backbone) -> tuple[Array, Array]:
    """φ and ψ (n, 2) and their derivatives by the five atoms (n, 2, 5, 3)."""
    count = len(backbone)
    zero, one, period = np.zeros(count), np.ones(count), np.ones(count, dtype=np.int64)
    jacobian = np.zeros((count, 2, 5, 3))
    angles = np.empty((count, 2))
    for k in range(2):
        torsion = torsion_residuals(xyz, backbone.atoms[:, k : k + 4], zero, one, period)
        angles[:, k] = torsion.value
        jacobian[:, k, k : k + 4] = torsion.jacobian
    return angles, jacobian
