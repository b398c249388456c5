"""Which numbers refinement varies, and how the atoms follow from them.

Full vectors of n atoms are positions (3n), displacements (7n: B of every atom, then six U of every atom) and
occupancies (n). The parameters are fewer: riding hydrogens follow their parents, special positions allow only some
directions, conformers share occupancies. All of this is linear in a small step, dx_full = P·dp, so that one sparse
matrix P for each kind says it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
import torch

from burnish.chemistry.hydrogens import place_hydrogens
from burnish.core.units import EIGHT_PI_SQUARED
from burnish.data.atoms import Atoms
from burnish.data.hydrogens import Riders
from burnish.data.restraints import Restraints
from burnish.models.restraints.riding import riding_jacobian
from burnish.models.restraints.term import Array, Index, Mask
from burnish.models.special_positions import SpecialPositions

SMALLEST_B = 2.0  # Å²
LARGEST_B = 300.0
LARGEST_MOVE = 1.0  # Å, of one atom in one cycle
LARGEST_CHANGE_B = 30.0  # Å², in one cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class OccupancyGroups:
    """Conformers whose occupancies are refined as one number each.

    Attributes
    ----------
    group : group of each atom; −1 where the occupancy stays. (n,)
    set_of_group : the set that a group belongs to; the occupancies of a set add up to a constant. (groups,)
    """

    group: Index
    set_of_group: Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Parametrisation:
    """Sparse maps from parameters to full vectors, one for each kind.

    Attributes
    ----------
    xyz : (3n, parameters of positions).
    adp : (7n, parameters of displacement).
    occ : (n, parameters of occupancy).
    """

    xyz: sp.csr_matrix
    adp: sp.csr_matrix
    occ: sp.csr_matrix

    @property
    def n_parameters(self) -> int:
        return int(self.xyz.shape[1] + self.adp.shape[1] + self.occ.shape[1])


def _columns(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Drop columns that nothing depends on."""
    used = np.flatnonzero(np.bincount(matrix.indices, minlength=matrix.shape[1]))
    return matrix[:, used].tocsr()


def position_parameters(xyz: Array, riders: Riders, special: SpecialPositions) -> sp.csr_matrix:
    """Positions of all atoms but riding hydrogens, projected onto what special positions allow."""
    matrix = riding_jacobian(xyz, riders)
    if len(special.atom):
        n = 3 * len(xyz)
        blocks = sp.lil_matrix((n, n))
        blocks.setdiag(1.0)
        for atom, projector in zip(special.atom, special.projector, strict=True):
            blocks[3 * atom : 3 * atom + 3, 3 * atom : 3 * atom + 3] = projector
        matrix = matrix @ blocks.tocsr()
    return _columns(matrix)


def displacement_parameters(
    is_aniso: Mask, parent: Index, special: SpecialPositions, shape_held: Mask, tls: sp.csr_matrix | None = None
) -> sp.csr_matrix:
    """B or U of each atom; a hydrogen's B is that of its parent.

    Parameters
    ----------
    is_aniso : which atoms have tensors. (n,)
    parent : heavy atom of a riding hydrogen; the atom itself for others. (n,)
    special : tensors on special positions obey their symmetry.
    shape_held : anisotropic atoms that have one parameter, an isotropic part added to U. (n,) bool
    tls : further columns, (7n, 20 for each group).
    """
    n = len(is_aniso)
    own = parent == np.arange(n)
    iso = np.flatnonzero(~is_aniso)
    of_iso = iso[~is_aniso[parent[iso]]]
    of_aniso = iso[is_aniso[parent[iso]] & ~shape_held[parent[iso]]]  # an isotropic hydrogen on an anisotropic atom
    third = np.repeat(EIGHT_PI_SQUARED / 3.0, 3 * len(of_aniso))
    traces = n + 6 * parent[of_aniso][:, None] + np.arange(3)
    tensor = np.flatnonzero(is_aniso & own & ~shape_held)
    six = (n + 6 * tensor[:, None] + np.arange(6)).reshape(-1)
    held = np.flatnonzero(is_aniso & own & shape_held)
    diagonal = (n + 6 * held[:, None] + np.arange(3)).reshape(-1)
    of_held = iso[shape_held[parent[iso]]]
    rows = np.concatenate([of_iso, np.repeat(of_aniso, 3), six, diagonal, of_held])
    columns = np.concatenate([parent[of_iso], traces.reshape(-1), six, np.repeat(held, 3), parent[of_held]])
    values = np.concatenate(
        [
            np.ones(len(of_iso)),
            third,
            np.ones(len(six)),
            np.full(len(diagonal), 1 / EIGHT_PI_SQUARED),
            np.ones(len(of_held)),
        ]
    )
    matrix = sp.csr_matrix((values, (rows, columns)), shape=(7 * n, 7 * n))
    pairs = zip(special.atom, special.tensor_projector, strict=True)
    chosen = [(a, p) for a, p in pairs if is_aniso[a] and not shape_held[a]]
    if chosen:
        blocks = sp.eye_array(7 * n, format="lil")
        for atom, projector in chosen:
            start = n + 6 * atom
            blocks[start : start + 6, start : start + 6] = projector
        matrix = sp.csr_matrix(matrix @ blocks.tocsr())
    matrix = _columns(sp.csr_matrix(matrix))
    return matrix if tls is None else sp.csr_matrix(sp.hstack([matrix, tls]))


def find_occupancy_groups(atoms: Atoms, restraints: Restraints) -> OccupancyGroups:
    """Alternate conformers: atoms with the same letter in residues bonded through alternate atoms share an occupancy.

    A set with a single letter has nobody to share with and stays as it is.
    """
    n = len(atoms)
    letters, letter = np.unique(np.array(atoms.altloc, dtype=object).astype(str), return_inverse=True)
    alternate = letters[letter] != ""
    if not alternate.any():
        return OccupancyGroups(group=np.full(n, -1, dtype=np.int64), set_of_group=np.zeros(0, dtype=np.int64))
    from scipy.sparse.csgraph import connected_components  # takes long to import, and few models need it

    residue = atoms.residue.numpy()
    bonds = restraints.bonds.atoms.numpy()
    bonds = bonds[alternate[bonds].all(axis=1)]
    n_residues = int(residue.max(initial=-1)) + 1
    links = sp.csr_matrix((np.ones(len(bonds)), (residue[bonds[:, 0]], residue[bonds[:, 1]])), shape=(n_residues,) * 2)
    _, cluster = connected_components(links, directed=False)
    group = np.full(n, -1, dtype=np.int64)
    sets: list[int] = []
    for number, which in enumerate(np.unique(cluster[residue[alternate]])):
        members = alternate & (cluster[residue] == which)
        present = np.unique(letter[members])
        if len(present) < 2:
            continue
        for l in present:
            group[members & (letter == l)] = len(sets)
            sets.append(number)
    return OccupancyGroups(group=group, set_of_group=np.array(sets, dtype=np.int64))


def normalised_occupancies(occ: Array, groups: OccupancyGroups) -> Array:
    """Occupancies with one value in each group, adding up to one in each set; the input stays as it is."""
    result = occ.copy()
    for number in np.unique(groups.set_of_group):
        members = np.flatnonzero(groups.set_of_group == number)
        means = np.array([max(occ[groups.group == g].mean(), 0.01) for g in members])
        means = means / means.sum()
        for g, value in zip(members, means, strict=True):
            result[groups.group == g] = value
    return result


def occupancy_parameters(groups: OccupancyGroups) -> sp.csr_matrix:
    """One parameter for each group but the last of its set, which takes what the others leave."""
    n_groups = len(groups.set_of_group)
    last = {int(s): g for g, s in enumerate(groups.set_of_group)}
    free = [g for g in range(n_groups) if last[int(groups.set_of_group[g])] != g]
    spread = sp.lil_matrix((n_groups, len(free)))
    for column, g in enumerate(free):
        spread[g, column] = 1.0
        spread[last[int(groups.set_of_group[g])], column] = -1.0
    member = np.flatnonzero(groups.group >= 0)
    choose = sp.csr_matrix((np.ones(len(member)), (member, groups.group[member])), shape=(len(groups.group), n_groups))
    return (choose @ spread.tocsr()).tocsr()


def moved_atoms(
    atoms: Atoms,
    steps: tuple[Array, Array, Array],
    riders: Riders,
    parent: Index,
    largest_move: float = LARGEST_MOVE,
) -> Atoms:
    """Atoms after a step, within what is physical.

    Parameters
    ----------
    steps : full vectors of positions (3n), displacements (7n) and occupancies (n).
    largest_move : of one atom, Å.

    Notes
    -----
    Positions move by at most `largest_move`, B by at most 30 Å², tensors keep their eigenvalues positive. Hydrogens are
    placed exactly.
    """
    n = len(atoms)
    move = steps[0].reshape(n, 3)
    length = np.linalg.norm(move, axis=1)
    move = move * np.minimum(1.0, largest_move / np.maximum(length, 1e-12))[:, None]
    xyz = place_hydrogens(atoms.xyz + torch.as_tensor(move), riders)
    change = np.clip(steps[1][:n], -LARGEST_CHANGE_B, LARGEST_CHANGE_B)
    b_iso = np.clip(atoms.b_iso.numpy() + change, SMALLEST_B, LARGEST_B)
    is_aniso = atoms.is_aniso.numpy()
    u_aniso = atoms.u_aniso.numpy().copy()
    if is_aniso.any():
        step = np.clip(steps[1][n:].reshape(n, 6)[is_aniso] * EIGHT_PI_SQUARED, -LARGEST_CHANGE_B, LARGEST_CHANGE_B)
        u_aniso[is_aniso] = positive_tensors(u_aniso[is_aniso] + step / EIGHT_PI_SQUARED)
        b_iso[is_aniso] = EIGHT_PI_SQUARED * u_aniso[is_aniso][:, :3].mean(axis=1)
    rides = parent != np.arange(n)
    b_iso[rides & ~is_aniso] = b_iso[parent[rides & ~is_aniso]]
    occ = np.where(steps[2] != 0.0, np.clip(atoms.occ.numpy() + steps[2], 0.01, 1.0), atoms.occ.numpy())
    return replace(
        atoms,
        xyz=xyz,
        b_iso=torch.as_tensor(b_iso),
        u_aniso=torch.as_tensor(u_aniso),
        occ=torch.as_tensor(occ),
    )


def positive_tensors(u: Array) -> Array:
    """Tensors (n, 6) with eigenvalues between what the limits of B allow."""
    matrix = u[:, [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(-1, 3, 3)
    values, vectors = np.linalg.eigh(matrix)
    clipped = np.clip(values, SMALLEST_B / EIGHT_PI_SQUARED, LARGEST_B / EIGHT_PI_SQUARED)
    fixed = np.einsum("nik,nk,njk->nij", vectors, clipped, vectors)
    return np.where((clipped == values).all(axis=1)[:, None], u, fixed.reshape(-1, 9)[:, [0, 4, 8, 1, 2, 5]])
