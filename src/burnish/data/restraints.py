"""What stereochemistry says of a model, as tensors: which atoms, which ideal value, how sure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor


class Origin(IntEnum):
    """Where a restraint comes from: inside one residue, or the kind of link that it belongs to."""

    MONOMER = 0
    PEPTIDE = 1
    DISULPHIDE = 2
    NUCLEIC = 3
    GLYCOSIDIC = 4
    METAL = 5
    OTHER_LINK = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Symmetry operations that bonds across symmetry refer to; entry 0 is the identity.

    Attributes
    ----------
    rotation : Cartesian rotation R of x′ = R·x + t. (k, 3, 3) float64
    shift : Cartesian translation t, Å. (k, 3) float64
    """

    rotation: Tensor
    shift: Tensor

    def __len__(self) -> int:
        return len(self.shift)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bonds:
    """Restrained bond lengths.

    Attributes
    ----------
    atoms : indices of the two atoms. (n, 2) int64
    target, sigma : ideal length and its standard uncertainty, Å; bonds to hydrogen end at its electron cloud. (n,)
    target_nucleus, sigma_nucleus : the same with hydrogens at their nuclei; equal to the above elsewhere. (n,)
    image : index into `Restraints.images` of the operation that moves the second atom; 0 within the model. (n,) int64
    origin : an `Origin`. (n,) int64
    """

    atoms: Tensor
    target: Tensor
    sigma: Tensor
    target_nucleus: Tensor
    sigma_nucleus: Tensor
    image: Tensor
    origin: Tensor

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Angles:
    """Restrained bond angles.

    Attributes
    ----------
    atoms : indices; the second is the vertex. (n, 3) int64
    target, sigma : ideal angle and its standard uncertainty, rad. (n,)
    origin : an `Origin`. (n,) int64
    """

    atoms: Tensor
    target: Tensor
    sigma: Tensor
    origin: Tensor

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Torsions:
    """Torsion angles with ideal values; IUPAC sign.

    Attributes
    ----------
    atoms : indices in the order of the torsion. (n, 4) int64
    target, sigma : ideal angle and its standard uncertainty, rad. (n,)
    period : p of the p equivalent minima, target + 2πk/p; 1 and 0 both mean one minimum. (n,) int64
    restrained : those that refinement should hold by default (ω, χ of peptides, double bonds); the others, as the
        backbone of nucleic acids and the free torsions of ligands, are listed for reports and moves. (n,) bool
    origin : an `Origin`. (n,) int64
    names : label in the dictionary ("chi1", "omega", "sp2_sp2_1").
    """

    atoms: Tensor
    target: Tensor
    sigma: Tensor
    period: Tensor
    restrained: Tensor
    origin: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planes:
    """Groups of atoms that lie in one plane; atoms of all planes one after the other.

    Attributes
    ----------
    atoms : indices of the atoms. (m,) int64
    plane : the plane that each entry of `atoms` belongs to, ascending from 0. (m,) int64
    sigma : standard uncertainty of each entry's distance from the plane, Å. (m,)
    origin : an `Origin` for each plane. (n,) int64
    """

    atoms: Tensor
    plane: Tensor
    sigma: Tensor
    origin: Tensor

    def __len__(self) -> int:
        return len(self.origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chirals:
    """Chiral centres by their volume (x₁−x₀)·[(x₂−x₀)×(x₃−x₀)].

    Attributes
    ----------
    atoms : indices: centre, then three neighbours. (n, 4) int64
    target : ideal volume with its sign, Å³; positive where either hand is allowed. (n,)
    sigma : standard uncertainty, Å³. (n,)
    either : True where both hands are allowed: the target's sign is then that of the model. (n,) bool
    origin : an `Origin`. (n,) int64
    """

    atoms: Tensor
    target: Tensor
    sigma: Tensor
    either: Tensor
    origin: Tensor

    def __len__(self) -> int:
        return len(self.target)


class HydrogenBondRole(IntEnum):
    """What an atom may do in a hydrogen bond."""

    NEITHER = 0
    DONOR = 1
    ACCEPTOR = 2
    BOTH = 3
    HYDROGEN = 4  # a hydrogen on a donor


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactTypes:
    """What non-bonded contacts need to know of each atom.

    Attributes
    ----------
    radius : van der Waals radius, Å, with hydrogens in the model. (n,)
    united_radius : van der Waals radius that covers the hydrogens of the atom when the model has none, Å. (n,)
    ion_radius : radius in contacts between a metal and its ligands, Å; NaN for types without one. (n,)
    role : a `HydrogenBondRole`. (n,) int64
    is_hydrogen : hydrogen or deuterium. (n,) bool
    is_metal : (n,) bool
    conformer : 0 where there is one conformer, else a number for the letter; atoms of different non-zero conformers do
        not see each other. (n,) int64
    parent : heavy atom that a hydrogen is bonded to; the atom itself for others. (n,) int64
    near : pairs (i < j) one, two or three bonds apart, sorted by first and second atom. (m, 2) int64
    near_bonds : how many bonds lie between the pair: 1, 2 or 3. (m,) int64
    """

    radius: Tensor
    united_radius: Tensor
    ion_radius: Tensor
    role: Tensor
    is_hydrogen: Tensor
    is_metal: Tensor
    conformer: Tensor
    parent: Tensor
    near: Tensor
    near_bonds: Tensor

    def __len__(self) -> int:
        return len(self.radius)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restraints:
    """All that stereochemistry says of one model; indices follow the iteration over the atoms of its first model.

    Attributes
    ----------
    n_atoms : number of atoms, hydrogens among them.
    images : operations that `Bonds.image` refers to.
    contacts : what non-bonded contacts need.
    """

    n_atoms: int
    bonds: Bonds
    angles: Angles
    torsions: Torsions
    planes: Planes
    chirals: Chirals
    images: Images
    contacts: ContactTypes
