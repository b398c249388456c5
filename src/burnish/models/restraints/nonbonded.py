"""Repulsion between atoms that are not bonded, symmetry mates among them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from burnish.data.particle_symmetry import ParticleSymmetry, Symmetry
from burnish.data.restraints import ContactTypes, HydrogenBondRole
from burnish.geometry.near_points import near_pairs
from burnish.models.restraints.term import Array, Index, Residuals

SIGMA = 0.2  # Å; of a contact distance in the CCP4 convention
_HYDROGEN_BOND = -0.3  # Å; donor and acceptor come closer than their radii by this
_HYDROGEN_BOND_HYDROGEN = 0.1  # Å; a hydrogen of a donor stays this far outside of the acceptor's radius
_ONE_FOUR = -0.15  # Å per atom; ends of a torsion
_MARGIN = 0.7  # Å; how much farther than touching the list of pairs reaches, so that it serves a whole cycle
_SELF_IMAGE = 0.8  # Å; an atom nearer to its own image sits on a special position


@dataclass(frozen=True, slots=True, kw_only=True)
class SymmetryMates:
    """Cartesian operations x′ = R·x + t of the symmetry mates that may touch a model; entry 0 is the identity.

    Attributes
    ----------
    rotation : (k, 3, 3).
    shift : Å. (k, 3)
    """

    rotation: Array
    shift: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Contacts:
    """Pairs that may touch.

    Attributes
    ----------
    atoms : (n, 2).
    mate : operation that moves the second atom, index into `mates`. (n,)
    mates : the operations.
    distance : shortest distance without repulsion, Å. (n,)
    """

    atoms: Index
    mate: Index
    mates: SymmetryMates
    distance: Array

    def __len__(self) -> int:
        return len(self.distance)


def find_mates(xyz: Array, crystal: Symmetry | None, reach: float) -> SymmetryMates:
    """Symmetry operations and lattice shifts whose copy of the model comes within `reach` Å of the model's bounding
    box."""
    identity = SymmetryMates(rotation=np.eye(3)[None], shift=np.zeros((1, 3)))
    if crystal is None or len(xyz) == 0:
        return identity
    if isinstance(crystal, ParticleSymmetry):
        return _touching_copies(xyz, crystal, reach)
    cell = crystal.unit_cell
    orthogonal = np.array(cell.orth.mat.tolist())
    fractional = np.linalg.inv(orthogonal)
    low, high = xyz.min(axis=0) - reach, xyz.max(axis=0) + reach
    corners = np.array(list(itertools.product(*zip(low, high, strict=True)))) @ fractional.T
    rotations, shifts = [identity.rotation], [identity.shift]
    for op in crystal.group.operations():
        rot = np.array(op.rot) / op.DEN
        tran = np.array(op.tran) / op.DEN
        moved = xyz @ (rot @ fractional).T + tran
        first = np.floor(corners.min(axis=0) - moved.max(axis=0)).astype(int)
        last = np.ceil(corners.max(axis=0) - moved.min(axis=0)).astype(int)
        lattice = np.stack(np.meshgrid(*[np.arange(a, b + 1) for a, b in zip(first, last, strict=True)]), -1).reshape(
            -1, 3
        )
        cartesian = moved @ orthogonal.T
        offset = lattice @ orthogonal.T
        near = ((cartesian.min(0) + offset <= high) & (cartesian.max(0) + offset >= low)).all(axis=1)
        is_identity = np.array_equal(rot, np.eye(3)) & np.all(np.abs(lattice + tran) < 1e-9, axis=1)
        offset = offset[near & ~is_identity]
        rotations.append(np.broadcast_to(orthogonal @ rot @ fractional, (len(offset), 3, 3)))
        shifts.append(offset + orthogonal @ tran)
    return SymmetryMates(rotation=np.concatenate(rotations), shift=np.concatenate(shifts))


def _touching_copies(xyz: Array, particle: ParticleSymmetry, reach: float) -> SymmetryMates:
    """The copies of a particle's model whose bounding box comes within `reach` of its own."""
    low, high = xyz.min(axis=0) - reach, xyz.max(axis=0) + reach
    kept = [0]
    for k in range(1, len(particle)):
        copy = xyz @ particle.rotation[k].T + particle.shift[k]
        if ((copy.min(axis=0) <= high) & (copy.max(axis=0) >= low)).all():
            kept.append(k)
    return SymmetryMates(rotation=particle.rotation[kept], shift=particle.shift[kept])


def find_pairs(xyz: Array, mates: SymmetryMates, cutoff: float) -> tuple[Index, Index, Array]:
    """Pairs of atoms (n, 2) with i ≤ j, the operation on the second (n,) and their distance (n,) up to `cutoff` Å."""
    if len(xyz) == 0:
        return np.zeros((0, 2), dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
    own = near_pairs(xyz, cutoff)
    low, high = xyz.min(axis=0) - cutoff, xyz.max(axis=0) + cutoff
    images, source, operation = [], [], []
    for k in range(1, len(mates.shift)):
        copy = xyz @ mates.rotation[k].T + mates.shift[k]
        inside = np.flatnonzero(((copy >= low) & (copy <= high)).all(axis=1))
        images.append(copy[inside])
        source.append(inside)
        operation.append(np.full(len(inside), k))
    distance = np.zeros(len(own))
    for axis in range(3):  # axis by axis: there are twenty times as many pairs as atoms
        distance += (xyz[own[:, 0], axis] - xyz[own[:, 1], axis]) ** 2
    distance = np.sqrt(distance)
    zero = np.zeros(len(own), dtype=np.int64)
    if not images or sum(map(len, source)) == 0:
        return own, zero, distance
    from scipy.spatial import cKDTree  # takes long to import

    found = cKDTree(xyz).sparse_distance_matrix(cKDTree(np.concatenate(images)), cutoff, output_type="ndarray")
    partner = np.concatenate(source)[found["j"]]
    keep = found["i"] <= partner
    pairs = np.stack([found["i"][keep], partner[keep]], axis=1).astype(np.int64)
    mate = np.concatenate(operation)[found["j"][keep]]
    return np.concatenate([own, pairs]), np.concatenate([zero, mate]), np.concatenate([distance, found["v"][keep]])


def contact_distances(types: ContactTypes, pairs: Index, near_bonds: Index) -> Array:
    """Shortest distance without repulsion of each pair, Å.

    The rules are those of REFMAC's non-bonded interactions (Murshudov et al. 2011, Acta Cryst. D67, 355): sum of van
    der Waals radii, less for hydrogen bonds and the ends of a torsion, ionic radii where a metal is involved.
    """
    hydrogens = types.is_hydrogen.numpy()
    radius = (types.radius if hydrogens.any() else types.united_radius).numpy()
    role, metal, ionic = types.role.numpy(), types.is_metal.numpy(), types.ion_radius.numpy()
    a, b = pairs[:, 0], pairs[:, 1]
    distance = radius[a] + radius[b]
    donor = (role == HydrogenBondRole.DONOR) | (role == HydrogenBondRole.BOTH)
    acceptor = (role == HydrogenBondRole.ACCEPTOR) | (role == HydrogenBondRole.BOTH)
    bridge = role == HydrogenBondRole.HYDROGEN
    distance = np.where((donor[a] & acceptor[b]) | (acceptor[a] & donor[b]), distance + _HYDROGEN_BOND, distance)
    distance = np.where(bridge[a] & acceptor[b], radius[b] + _HYDROGEN_BOND_HYDROGEN, distance)
    distance = np.where(acceptor[a] & bridge[b], radius[a] + _HYDROGEN_BOND_HYDROGEN, distance)
    ions = ionic[a] + ionic[b]
    distance = np.where((metal[a] | metal[b]) & np.isfinite(ions), ions, distance)
    return np.where(near_bonds == 3, distance + 2 * _ONE_FOUR, distance)


def find_contacts(
    xyz: Array, types: ContactTypes, crystal: Symmetry | None, occ: Array, bonded_images: Index | None = None
) -> Contacts:
    """Pairs that touch or nearly do, at most as far apart as a cycle may move them.

    Parameters
    ----------
    crystal : for the symmetry mates; None without symmetry.
    occ : occupancies; an atom of at most one half does not repel its own image. (n,)
    bonded_images : pairs of atoms bonded across symmetry. (m, 2)
    """
    radius = types.radius if bool(types.is_hydrogen.any()) else types.united_radius
    cutoff = 2.0 * float(radius.max()) + _MARGIN if len(xyz) else 1.0
    cutoff = min(cutoff, 4.5)
    mates = find_mates(xyz, crystal, cutoff)
    pairs, mate, now = find_pairs(xyz, mates, cutoff)
    near_bonds = _near_bonds(types, pairs, mate, len(xyz))
    conformer = types.conformer.numpy()
    a, b = conformer[pairs[:, 0]], conformer[pairs[:, 1]]
    keep = ((a == b) | (a == 0) | (b == 0)) & ((near_bonds < 0) | (near_bonds == 3))
    own_image = (pairs[:, 0] == pairs[:, 1]) & ((now < _SELF_IMAGE) | (occ[pairs[:, 0]] <= 0.5))
    keep &= ~own_image
    if bonded_images is not None and len(bonded_images):
        low, high = bonded_images.min(axis=1), bonded_images.max(axis=1)
        code = low * len(xyz) + high
        keep &= ~((mate > 0) & np.isin(pairs.min(axis=1) * len(xyz) + pairs.max(axis=1), code))
    pairs, mate, now, near_bonds = pairs[keep], mate[keep], now[keep], near_bonds[keep]
    distance = contact_distances(types, pairs, near_bonds)
    close = now < distance + _MARGIN
    return Contacts(atoms=pairs[close], mate=mate[close], mates=mates, distance=distance[close])


def _near_bonds(types: ContactTypes, pairs: Index, mate: Index, n_atoms: int) -> Index:
    """Bonds between each pair as the topology counts them; −1 for pairs far apart along the chain or across
    symmetry."""
    near = types.near.numpy()
    result = np.full(len(pairs), -1, dtype=np.int64)
    if len(near) == 0:
        return result
    code = near[:, 0] * n_atoms + near[:, 1]
    wanted = pairs.min(axis=1) * n_atoms + pairs.max(axis=1)
    place = np.minimum(np.searchsorted(code, wanted), len(code) - 1)
    found = (code[place] == wanted) & (mate == 0)
    result[found] = types.near_bonds.numpy()[place[found]]
    return result


def contact_residuals(xyz: Array, contacts: Contacts) -> Residuals:
    """Residuals of the pairs that are too close; the others do not appear."""
    first, second = xyz[contacts.atoms[:, 0]], xyz[contacts.atoms[:, 1]]
    alone = len(contacts.mates.shift) == 1  # the identity
    if not alone:
        rotation = contacts.mates.rotation[contacts.mate]
        second = np.einsum("nij,nj->ni", rotation, second) + contacts.mates.shift[contacts.mate]
    delta = first - second
    distance = np.sqrt((delta**2).sum(axis=1))
    close = distance < contacts.distance
    delta, distance = delta[close], distance[close]
    unit = np.where(distance[:, None] > 1e-8, delta / np.maximum(distance, 1e-8)[:, None], [1.0, 0.0, 0.0]) / SIGMA
    deviation = distance - contacts.distance[close]
    turned = unit if alone else np.einsum("nij,ni->nj", rotation[close], unit)
    jacobian = np.stack([unit, -turned], axis=1)
    return Residuals(
        value=distance, deviation=deviation, z=deviation / SIGMA, atoms=contacts.atoms[close], jacobian=jacobian
    )
