"""What a refinement starts from and what stays the same through its cycles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
import torch

from burnish.core.units import EIGHT_PI_SQUARED
from burnish.data.atoms import Atoms
from burnish.data.hydrogens import Riders
from burnish.data.labels import AtomLabels
from burnish.data.particle_symmetry import Symmetry
from burnish.data.restraints import Restraints
from burnish.models.domains import domain_atoms
from burnish.models.parameters import (
    OccupancyGroups,
    Parametrisation,
    displacement_parameters,
    find_occupancy_groups,
    normalised_occupancies,
    occupancy_parameters,
    position_parameters,
)
from burnish.models.refinement_settings import RefinementSettings
from burnish.models.restraints.displacement import (
    SimilarPairs,
    similar_pairs,
    similarity_energy,
    similarity_term,
    sphericity_term,
)
from burnish.models.restraints.neighbours import (
    Copies,
    ReferenceDistances,
    find_copies,
    jelly_term,
    ncs_term,
    reference_term,
)
from burnish.models.restraints.nonbonded import Contacts, find_mates, find_pairs
from burnish.models.restraints.ramachandran import Backbone, find_backbone, ramachandran_energy, ramachandran_term
from burnish.models.restraints.secondary_structure import (
    SecondaryStructure,
    find_secondary_structure,
    secondary_structure_terms,
)
from burnish.models.restraints.side_chains import SideChains, find_side_chains, side_chain_energy, side_chain_term
from burnish.models.restraints.stereochemistry import Stereochemistry, geometry_energy, geometry_terms, stereochemistry
from burnish.models.restraints.term import Index, Mask, Term
from burnish.models.restraints.weights import GeometryWeights
from burnish.models.special_positions import SpecialPositions, find_special_positions
from burnish.models.tls import LEAST_ATOMS, tls_columns
from burnish.models.weight import BalanceLimits

ANISOTROPIC_D_MIN = 1.3  # Å; beyond it data rarely pay for six parameters an atom
ANISOTROPIC_RATIO = 1.8  # measured values for each parameter of an anisotropic model
_B_SIGMA = {1: 0.09, 2: 0.13, 3: 0.23}  # relative difference of B over one bond, two bonds, and in contact
NCS_D_MIN = 2.0  # Å; better data show in which details copies differ
JELLY_D_MIN = 2.8  # Å
JELLY_SIGMA = 0.05  # Å
_SPHERICITY = 0.4  # σ of U against its mean, relative


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinableModel:
    """A model with all that is known of it beforehand.

    Attributes
    ----------
    atoms : in the order of the restraints, hydrogens among them.
    restraints : of the same atoms.
    riders : hydrogens that ride.
    crystal : for symmetry mates, of a crystal or of a particle; None without symmetry.
    labels : names of the atoms, for finding copies of chains; None without.
    reference : distances of a better model; None without.
    """

    atoms: Atoms
    restraints: Restraints
    riders: Riders
    crystal: Symmetry | None
    labels: AtomLabels | None = None
    reference: ReferenceDistances | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementSystem:
    """What stays the same through the cycles.

    Attributes
    ----------
    model : with the kinds of displacement and the occupancies that are refined.
    settings : what is refined.
    stereochemistry : restraints as arrays.
    special : atoms on special positions.
    groups : of occupancies.
    parent : heavy atom of each riding hydrogen, the atom itself for others. (n,)
    shape_held : anisotropic atoms whose tensors keep their shape and move by an isotropic part only. (n,) bool
    copies : corresponding atoms of equal chains that are restrained to be alike.
    tls_groups : atoms of each TLS group. (k,) each
    rigid_groups : atoms of each body of the rigid cycles.
    domain_groups : atoms of each domain, for the cycles after those.
    jelly_sigma : σ of the restraints that hold present distances, Å; None without.
    backbone : residues whose φ and ψ are restrained; None without.
    secondary_structure : helices and strands that are held together; None without.
    side_chains : residues whose χ are restrained; None without.
    d_min : resolution of the data, Å.
    limits : where the weight should bring geometry.
    """

    model: RefinableModel
    settings: RefinementSettings
    stereochemistry: Stereochemistry
    special: SpecialPositions
    groups: OccupancyGroups
    parent: Index
    shape_held: Mask
    copies: tuple[Copies, ...]
    tls_groups: tuple[Index, ...]
    rigid_groups: tuple[Index, ...]
    domain_groups: tuple[Index, ...]
    jelly_sigma: float | None
    backbone: Backbone | None
    secondary_structure: SecondaryStructure | None
    side_chains: SideChains | None
    d_min: float
    limits: BalanceLimits


def wants_anisotropic(settings: RefinementSettings, d_min: float, n_observations: int, n_heavy: int) -> bool:
    """Whether the data pay for anisotropic displacement: nine parameters an atom, at better than 1.3 Å."""
    if settings.adp != "auto":
        return settings.adp == "aniso"
    return d_min < ANISOTROPIC_D_MIN and n_observations > ANISOTROPIC_RATIO * 9 * n_heavy


def make_system(
    model: RefinableModel, settings: RefinementSettings, *, d_min: float, n_observations: int
) -> RefinementSystem:
    """Prepare a refinement.

    Parameters
    ----------
    d_min : resolution of the data, Å.
    n_observations : measured values in the working set.
    """
    contacts = model.restraints.contacts
    hydrogen = contacts.is_hydrogen
    atoms = model.atoms
    special = find_special_positions(atoms.xyz.numpy(), model.crystal)
    if len(special.atom):
        xyz = atoms.xyz.clone()
        xyz[torch.as_tensor(special.atom)] = torch.as_tensor(special.position)
        atoms = replace(atoms, xyz=xyz)
    groups = find_occupancy_groups(atoms, model.restraints)
    if settings.occupancies:
        atoms = replace(atoms, occ=torch.as_tensor(normalised_occupancies(atoms.occ.numpy(), groups)))
    aniso = wants_anisotropic(settings, d_min, n_observations, int((~hydrogen).sum()))
    if settings.adp == "iso":
        atoms = isotropic(atoms)
    elif aniso:
        atoms = anisotropic(atoms, ~hydrogen)
    tls_groups = () if aniso or settings.adp == "fixed" else _tls_groups(model, settings)
    for group in tls_groups:
        chosen = torch.zeros_like(hydrogen)
        chosen[torch.as_tensor(group)] = True
        atoms = anisotropic(atoms, chosen)
    held = atoms.is_aniso.numpy() & (not aniso)
    domains = _domain_groups(model, settings)
    if not domains:
        settings = replace(settings, domain_cycles=0)
    return RefinementSystem(
        model=replace(model, atoms=atoms),
        settings=settings,
        stereochemistry=stereochemistry(model.restraints),
        special=special,
        groups=groups,
        parent=_ridden(model),
        shape_held=held,
        copies=_copies(model, settings, d_min),
        tls_groups=tls_groups,
        rigid_groups=_rigid_groups(model, settings),
        domain_groups=domains,
        jelly_sigma=_jelly_sigma(settings, d_min),
        backbone=_backbone(model, settings),
        secondary_structure=_secondary_structure(model, settings),
        side_chains=_side_chains(model, settings),
        d_min=d_min,
        limits=BalanceLimits(),
    )


def _by_chain(model: RefinableModel) -> tuple[Index, ...]:
    """Atoms of each chain; all atoms where names are unknown."""
    if model.labels is None:
        return (np.arange(len(model.atoms)),)
    chain = np.array(model.labels.chain)
    return tuple(np.flatnonzero(chain == name) for name in dict.fromkeys(model.labels.chain))


def _tls_groups(model: RefinableModel, settings: RefinementSettings) -> tuple[Index, ...]:
    """Heavy atoms of each group, without groups too small to have twenty parameters; waters move on their own."""
    if settings.tls == "none":
        return ()
    heavy = ~model.restraints.contacts.is_hydrogen.numpy()
    bonded = np.zeros(len(heavy), dtype=bool)
    bonds = model.restraints.bonds.atoms.numpy()
    bonded[bonds[heavy[bonds].all(axis=1)]] = True
    groups = _by_chain(model) if settings.tls == "chain" else tuple(np.array(g) for g in settings.tls_groups)
    kept = [group[heavy[group] & bonded[group]] for group in groups]
    return tuple(group for group in kept if len(group) >= LEAST_ATOMS)


def _rigid_groups(model: RefinableModel, settings: RefinementSettings) -> tuple[Index, ...]:
    if settings.rigid_cycles == 0:
        return ()
    return tuple(np.array(g) for g in settings.rigid_groups) if settings.rigid_groups else _by_chain(model)


def _domain_groups(model: RefinableModel, settings: RefinementSettings) -> tuple[Index, ...]:
    """Atoms of each domain where some chain has more than one, else none."""
    if settings.domain_cycles == 0 or model.labels is None:
        return ()
    found = domain_atoms(model.labels, model.atoms.xyz.numpy())
    return found if len(found) > len(set(model.labels.chain)) else ()


def _copies(model: RefinableModel, settings: RefinementSettings, d_min: float) -> tuple[Copies, ...]:
    wanted = settings.ncs if settings.ncs is not None else d_min > NCS_D_MIN
    if not wanted or model.labels is None:
        return ()
    return find_copies(model.labels, model.restraints.contacts)


def _jelly_sigma(settings: RefinementSettings, d_min: float) -> float | None:
    if settings.jelly_body is not None:
        return settings.jelly_body if settings.jelly_body > 0 else None
    return JELLY_SIGMA if d_min > JELLY_D_MIN else None


def _backbone(model: RefinableModel, settings: RefinementSettings) -> Backbone | None:
    if settings.ramachandran_weight <= 0.0 or model.labels is None:
        return None
    found = find_backbone(model.labels, model.restraints, model.atoms.xyz.numpy())
    return found if len(found) else None


def _side_chains(model: RefinableModel, settings: RefinementSettings) -> SideChains | None:
    if settings.rotamer_weight <= 0.0 or model.labels is None:
        return None
    found = find_side_chains(model.labels, model.restraints)
    return found if len(found) else None


def _secondary_structure(model: RefinableModel, settings: RefinementSettings) -> SecondaryStructure | None:
    if not settings.secondary_structure or model.labels is None:
        return None
    found = find_secondary_structure(model.labels, model.restraints, model.atoms.xyz.numpy())
    return found if found.helix + found.strand else None


def _ridden(model: RefinableModel) -> Index:
    """Parent of every hydrogen that has one; the atom itself for others."""
    contacts = model.restraints.contacts
    own = np.arange(len(contacts))
    return np.where(contacts.is_hydrogen.numpy(), contacts.parent.numpy(), own)


def isotropic(atoms: Atoms) -> Atoms:
    """Atoms with the equivalent isotropic B in place of tensors."""
    return replace(atoms, is_aniso=torch.zeros_like(atoms.is_aniso), u_aniso=torch.zeros_like(atoms.u_aniso))


def anisotropic(atoms: Atoms, chosen: torch.Tensor) -> Atoms:
    """Atoms with spherical tensors where the chosen ones had none."""
    u = atoms.u_aniso.clone()
    new = chosen & ~atoms.is_aniso
    u[new] = 0.0
    u[new, :3] = (atoms.b_iso[new] / EIGHT_PI_SQUARED)[:, None]
    return replace(atoms, u_aniso=u, is_aniso=atoms.is_aniso | chosen)


def parametrise(atoms: Atoms, system: RefinementSystem) -> Parametrisation:
    """Maps from parameters to atoms at the present positions."""
    n = len(atoms)
    settings = system.settings
    xyz = position_parameters(atoms.xyz.numpy(), system.model.riders, system.special)
    tls = tls_columns(atoms.xyz.numpy(), system.tls_groups) if system.tls_groups else None
    adp = displacement_parameters(atoms.is_aniso.numpy(), system.parent, system.special, system.shape_held, tls)
    occ = occupancy_parameters(system.groups)
    return Parametrisation(
        xyz=xyz if settings.xyz else sp.csr_matrix((3 * n, 0)),
        adp=adp if settings.adp != "fixed" else sp.csr_matrix((7 * n, 0)),
        occ=occ if settings.occupancies else sp.csr_matrix((n, 0)),
    )


def displacement_pairs(atoms: Atoms, system: RefinementSystem) -> SimilarPairs:
    """Heavy atoms whose displacements are alike: bonded, two bonds apart, or within 4 Å, symmetry mates among them."""
    contacts = system.stereochemistry.source.contacts
    heavy = np.flatnonzero(system.stereochemistry.heavy)
    xyz = atoms.xyz.numpy()
    conformer = contacts.conformer.numpy()
    mates = find_mates(xyz[heavy], system.model.crystal, 4.0)
    pairs, _, distance = find_pairs(xyz[heavy], mates, 4.0)
    pairs = heavy[pairs]
    a, b = conformer[pairs[:, 0]], conformer[pairs[:, 1]]
    keep = (pairs[:, 0] != pairs[:, 1]) & ((a == b) | (a == 0) | (b == 0))
    pairs, distance = pairs[keep], distance[keep]
    near = contacts.near.numpy()
    n = len(xyz)
    code = near[:, 0] * n + near[:, 1]
    wanted = pairs.min(axis=1) * n + pairs.max(axis=1)
    code = np.append(code, -1)  # of no pair: what lies beyond the last one, or all where nothing is bonded
    place = np.searchsorted(code[:-1], wanted)
    bonds = np.where(code[place] == wanted, np.append(contacts.near_bonds.numpy(), 9)[place], 9)
    sigma = np.where(bonds == 1, _B_SIGMA[1], np.where(bonds == 2, _B_SIGMA[2], _B_SIGMA[3]))
    return similar_pairs(pairs, sigma, distance)


def position_terms(
    atoms: Atoms, system: RefinementSystem, contacts: Contacts, weights: GeometryWeights
) -> Iterator[Term]:
    """Restraints of positions, one after the other."""
    xyz = atoms.xyz.numpy()
    yield from geometry_terms(xyz, system.stereochemistry, contacts, weights)
    if system.copies:
        yield ncs_term(xyz, system.copies, system.stereochemistry.source.contacts)
    if system.model.reference is not None:
        yield reference_term(xyz, system.model.reference, system.settings.reference_weight)
    if system.secondary_structure is not None:
        yield from secondary_structure_terms(xyz, system.secondary_structure)
    if system.backbone is not None:
        yield ramachandran_term(xyz, system.backbone, system.settings.ramachandran_weight)
    if system.side_chains is not None:
        yield side_chain_term(xyz, system.side_chains, system.settings.rotamer_weight)
    if system.jelly_sigma is not None:
        yield jelly_term(xyz, system.stereochemistry.source.contacts, system.jelly_sigma)


def displacement_terms(atoms: Atoms, system: RefinementSystem, similar: SimilarPairs) -> Iterator[Term]:
    """Restraints of displacements; `similar` are the pairs of `displacement_pairs`."""
    if system.settings.adp == "fixed":
        return
    b, u, aniso = atoms.b_iso.numpy(), atoms.u_aniso.numpy(), atoms.is_aniso.numpy()
    weight = system.settings.adp_weight
    yield similarity_term(b, u, aniso, similar, weight)
    if _holds_shape(aniso, system):
        yield sphericity_term(u, aniso, _SPHERICITY, weight)


def _holds_shape(aniso: Mask, system: RefinementSystem) -> bool:
    """Whether tensors are refined one by one, and so need to be kept from becoming needles."""
    return bool(aniso.any()) and not bool(system.shape_held.any())


def prior_energy(
    atoms: Atoms, system: RefinementSystem, contacts: Contacts, similar: SimilarPairs, weights: GeometryWeights
) -> float:
    """Energy of all restraints, for trial steps; contacts and pairs are those of the start of the cycle."""
    xyz, types = atoms.xyz.numpy(), system.stereochemistry.source.contacts
    energy = geometry_energy(xyz, system.stereochemistry, contacts, weights)
    if system.copies:
        energy += ncs_term(xyz, system.copies, types).energy
    if system.model.reference is not None:
        energy += reference_term(xyz, system.model.reference, system.settings.reference_weight).energy
    if system.secondary_structure is not None:
        energy += sum(term.energy for term in secondary_structure_terms(xyz, system.secondary_structure))
    if system.backbone is not None:
        energy += ramachandran_energy(xyz, system.backbone, system.settings.ramachandran_weight)
    if system.side_chains is not None:
        energy += side_chain_energy(xyz, system.side_chains, system.settings.rotamer_weight)
    if system.settings.adp == "fixed":
        return energy
    b, u, aniso = atoms.b_iso.numpy(), atoms.u_aniso.numpy(), atoms.is_aniso.numpy()
    weight = system.settings.adp_weight
    energy += similarity_energy(b, u, aniso, similar, weight)
    return energy + (sphericity_term(u, aniso, _SPHERICITY, weight).energy if _holds_shape(aniso, system) else 0.0)
