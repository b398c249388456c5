"""Side-chain torsions χ drawn to where those of well-determined structures lie.

The energy is the −log density of all χ of a side chain (`chemistry.rotamers`), times a weight. Like that of φ and ψ it
has many minima: a side chain goes to the rotamer it is nearest to and cannot leave a wrong one, which is what moves are
for. Data at 3 Å and worse leave χ so open that refinement without it drives side chains between rotamers; where data
show them it makes rotamer outliers useless as an independent check, so it is off by default.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.sparse as sp

from burnish.chemistry.rotamers import CHI_ATOMS, rotamer_density
from burnish.data.labels import AtomLabels
from burnish.data.restraints import Restraints
from burnish.models.restraints.term import Array, Index, Term, sparse_rows
from burnish.models.restraints.torsion_chains import Mixture, as_mixture, chain_angles, chain_energy, mixture_energy


@dataclass(frozen=True, slots=True, kw_only=True)
class SideChains:
    """Side chains by residue type.

    Attributes
    ----------
    names : residue types.
    atoms : of each type, N, CA, CB … in a row, the last of them that which the last χ ends at. (n, d + 3) each
    """

    names: tuple[str, ...] = ()
    atoms: tuple[Index, ...] = ()

    def __len__(self) -> int:
        return sum(len(a) for a in self.atoms)


def find_side_chains(labels: AtomLabels, restraints: Restraints) -> SideChains:
    """Complete side chains with torsions, once for each of their conformers; proline's ring is left to its bonds."""
    conformer = restraints.contacts.conformer.tolist()
    residues: dict[tuple[str, int, str, str], dict[str, list[int]]] = {}
    keys = zip(labels.chain, labels.number, labels.insertion, labels.residue_name, strict=True)
    for i, (key, atom) in enumerate(zip(keys, labels.atom_name, strict=True)):
        if key[3] in CHI_ATOMS and key[3] != "PRO":
            residues.setdefault(key, {}).setdefault(atom, []).append(i)
    rows: dict[str, list[list[int]]] = {}
    for (_, _, _, name), atoms in residues.items():
        torsions = CHI_ATOMS[name]
        wanted = [*torsions[0], *(t[3] for t in torsions[1:])]
        if any(atom not in atoms for atom in wanted):
            continue
        letters = {conformer[i] for atom in wanted for i in atoms[atom]}
        for letter in sorted(letters - {0} or {0}):
            chosen = [min(atoms[a], key=lambda i: (conformer[i] not in (letter, 0), i)) for a in wanted]
            rows.setdefault(name, []).append(chosen)
    return SideChains(names=tuple(rows), atoms=tuple(np.array(r, dtype=np.int64) for r in rows.values()))


@cache
def side_chain_mixture(name: str) -> Mixture:
    """The density of χ of a residue type."""
    return as_mixture(rotamer_density(name))


def side_chain_parts(xyz: Array, side_chains: SideChains) -> list[tuple[Index, float, Array, Array]]:
    """Of each type: atoms, energy, its gradient by them, and rows whose squares are its curvature."""
    found = []
    for name, atoms in zip(side_chains.names, side_chains.atoms, strict=True):
        energy, slope, rows = chain_energy(xyz, atoms, side_chain_mixture(name))
        found.append((atoms, float(energy.sum()), slope, rows))
    return found


def side_chain_term(xyz: Array, side_chains: SideChains, weight: float) -> Term:
    """Weight times the −log density of all side chains, as a term of the optimiser.

    Parameters
    ----------
    xyz : positions, Å. (n_atoms, 3)
    weight : 1 is what the reference says of one side chain; data that are given a weight of several ask for as much.
    """
    n, energy, gradient, factors = len(xyz), 0.0, np.zeros((len(xyz), 3)), []
    for atoms, value, slope, rows in side_chain_parts(xyz, side_chains):
        energy += value
        np.add.at(gradient, atoms, slope)
        d = atoms.shape[1] - 3
        factors.append(sparse_rows(np.repeat(atoms, d, axis=0), np.sqrt(weight) * rows, n))
    return Term(
        name="rotamers",
        energy=weight * energy,
        gradient=weight * gradient.reshape(-1),
        factor=sp.vstack(factors, format="csr") if factors else sp.csr_matrix((0, 3 * n)),
    )


def side_chain_energy(xyz: Array, side_chains: SideChains, weight: float) -> float:
    """The energy of `side_chain_term` alone."""
    return weight * sum(
        float(mixture_energy(side_chain_mixture(name), chain_angles(xyz, atoms)[0])[0].sum())
        for name, atoms in zip(side_chains.names, side_chains.atoms, strict=True)
    )
