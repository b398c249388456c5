"""From a model and a monomer library to its restraints.

gemmi applies the dictionaries (modifications, alternate conformers, aliases of atom names); what is bonded to what is
decided in `chemistry.links`, because gemmi takes every peptide longer than 2 Å for a gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import gemmi
import numpy as np
import torch
from torch import Tensor

from burnish.chemistry.anomers import anomer_signs
from burnish.chemistry.contacts import contact_types
from burnish.chemistry.links import Linking, complete_links, link_origin, match_link_names, mend_polymers
from burnish.chemistry.metals import SIGMA as METAL_SIGMA
from burnish.chemistry.metals import metal_distance
from burnish.core.errors import DataError
from burnish.data.restraints import Angles, Bonds, Chirals, Images, Origin, Planes, Restraints, Torsions

DEFAULT_BOND_SIGMA = 0.02  # Å, where a dictionary gives none
DEFAULT_ANGLE_SIGMA_DEG = 3.0
DEFAULT_TORSION_SIGMA_DEG = 10.0
PLANE_SIGMA = 0.02  # Å
CHIRAL_SIGMA = 0.13  # Å³; what sigmas of .012 Å and 1.8° make of a volume of 2.5 Å³

HydrogenChoice = Literal["add", "keep", "remove"]

HYDROGEN_CHANGES = {
    "add": gemmi.HydrogenChange.ReAddKnown,  # those whose place follows from their parents
    "keep": gemmi.HydrogenChange.NoChange,
    "remove": gemmi.HydrogenChange.Remove,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A model ready for refinement with all its restraints.

    Attributes
    ----------
    structure : the model with hydrogens and links as used; its first model's atoms are in the order of the restraints.
    restraints : what the dictionaries say of it.
    messages : what the user should know: stretched bonds, gaps, links without a dictionary.
    """

    structure: gemmi.Structure
    restraints: Restraints
    messages: tuple[str, ...]


class _Messages:
    """Collects what gemmi reports, one line each; gemmi wants something with `write`."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines += [line.strip() for line in text.splitlines() if line.strip()]

    def flush(self) -> None:
        """Nothing is held back."""


def build_topology(
    structure: gemmi.Structure,
    library: gemmi.MonLib,
    *,
    hydrogens: HydrogenChoice = "add",
    linking: Linking | None = None,
) -> Topology:
    """Build the restraints of the first model of a structure.

    Parameters
    ----------
    structure : the model; it is not changed.
    library : dictionaries of all its components, with links and modifications (`chemistry.library`).
    hydrogens : "add" places riding hydrogens anew wherever their position follows from heavier atoms (those of water,
        hydroxyl groups and other free rotors are left out), "keep" takes those of the file, "remove" drops them.
    linking : distances that decide on links; None for the usual ones.

    Returns
    -------
    The model in use, its restraints, and messages.
    """
    model = structure.clone()
    if len(model) == 0 or model[0].count_atom_sites() == 0:
        raise DataError(f"{structure.name}: the model has no atoms; expected at least one")
    model.setup_entities()
    mended = mend_polymers(model)
    model.setup_cell_images()
    monlib = library.clone()  # gemmi adds a link to it for each record that no link of the library fits
    linked = complete_links(model, monlib, linking or Linking())
    messages = _Messages()
    try:
        topology = gemmi.prepare_topology(
            model, monlib, 0, HYDROGEN_CHANGES[hydrogens], reorder=False, warnings=messages, use_cispeps=False
        )
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{structure.name}: no restraints could be made: {error}") from error
    strange = _drop_strange_hydrogens(model, topology) if hydrogens == "keep" else []
    if strange or _drop_failed_hydrogens(model):
        match_link_names(model, monlib)
        topology = gemmi.prepare_topology(model, monlib, 0, gemmi.HydrogenChange.NoChange, warnings=messages)
    for index, site in enumerate(model[0].all()):
        site.atom.serial = index + 1
    metals = _metal_targets(topology, library)
    restraints = _collect(model, topology, monlib, metals)
    said = [line for line in messages.lines if not any(place in line for place in strange)]
    if strange:
        said.append(f"{len(strange)} hydrogens unknown to the dictionaries were left out, as {strange[0]}")
    return Topology(structure=model, restraints=restraints, messages=(*mended, *linked.messages, *said))


def _drop_strange_hydrogens(model: gemmi.Structure, topology: gemmi.Topo) -> list[str]:
    """Remove hydrogens of the file that are bonded to nothing, because no dictionary has their names."""
    for index, site in enumerate(model[0].all()):
        site.atom.serial = index
    bonded = {atom.serial for bond in topology.bonds for atom in bond.atoms}
    dropped = []
    for chain in model[0]:
        for residue in chain:
            for i in reversed(range(len(residue))):
                if residue[i].is_hydrogen() and residue[i].serial not in bonded:
                    dropped.append(f"{chain.name}/{residue.name} {residue.seqid}/{residue[i].name}")
                    del residue[i]
    return dropped


def _drop_failed_hydrogens(model: gemmi.Structure) -> bool:
    """Remove hydrogens that could not be placed; their neighbours are missing."""
    dropped = False
    for chain in model[0]:
        for residue in chain:
            for i in reversed(range(len(residue))):
                atom = residue[i]
                failed = atom.calc_flag == gemmi.CalcFlag.Dummy or math.isnan(atom.pos.x)
                if failed and atom.is_hydrogen():
                    del residue[i]
                    dropped = True
    return dropped


def _metal_targets(topology: gemmi.Topo, library: gemmi.MonLib) -> dict[int, float]:
    """Target of each bond to a metal that the library has no link for, by the number of the bond, Å."""
    targets = {}
    for link in topology.extras:
        if library.get_link(link.link_id) is not None:
            continue
        for rule in link.link_rules:
            if rule.rkind != gemmi.RKind.Bond:
                continue
            first, second = topology.bonds[rule.index].atoms
            if first.element.is_metal == second.element.is_metal:
                continue
            metal, ligand = (first, second) if first.element.is_metal else (second, first)
            residue = link.res2 if any(atom.serial == ligand.serial for atom in link.res2) else link.res1
            target = metal_distance(metal, residue, ligand)
            if target is not None:
                targets[rule.index] = target
    return targets


def _collect(
    model: gemmi.Structure, topology: gemmi.Topo, library: gemmi.MonLib, metals: Mapping[int, float]
) -> Restraints:
    """Turn gemmi's lists into tensors."""
    origins, images, images_of_bonds = _link_origins(model, topology)
    bonds = _bonds(topology, origins[gemmi.RKind.Bond], images_of_bonds, metals)
    angles = _angles(topology, origins[gemmi.RKind.Angle])
    torsions = _torsions(topology, origins[gemmi.RKind.Torsion], library)
    planes = _planes(topology, origins[gemmi.RKind.Plane])
    return Restraints(
        n_atoms=model[0].count_atom_sites(),
        bonds=bonds,
        angles=angles,
        torsions=torsions,
        planes=planes,
        chirals=_chirals(topology, origins[gemmi.RKind.Chirality], anomer_signs(topology, library)),
        images=images,
        contacts=contact_types(model[0], topology, library, bonds),
    )


def _chain_infos(topology: gemmi.Topo) -> Iterable[gemmi.Topo.ChainInfo]:
    return cast(Any, topology).chain_infos  # gemmi's stubs know no iteration over them


def _links(topology: gemmi.Topo) -> Iterable[gemmi.Topo.Link]:
    for chain in _chain_infos(topology):
        for residue in chain.res_infos:
            yield from residue.prev
    yield from topology.extras


def _link_origins(
    model: gemmi.Structure, topology: gemmi.Topo
) -> tuple[dict[gemmi.RKind, np.ndarray], Images, np.ndarray]:
    """Origin of each restraint by kind, the symmetry operations in use, and the operation of each bond."""
    lists: dict[gemmi.RKind, Any] = {
        gemmi.RKind.Bond: topology.bonds,
        gemmi.RKind.Angle: topology.angles,
        gemmi.RKind.Torsion: topology.torsions,
        gemmi.RKind.Chirality: topology.chirs,
        gemmi.RKind.Plane: topology.planes,
    }
    origins = {kind: np.full(len(items), Origin.MONOMER, dtype=np.int64) for kind, items in lists.items()}
    rotations, shifts = [np.eye(3)], [np.zeros(3)]
    known: dict[tuple[float, ...], int] = {}
    image_of_bond = np.zeros(len(topology.bonds), dtype=np.int64)
    for link in _links(topology):
        rules = [(rule.rkind, rule.index) for rule in link.link_rules]
        bonds = [index for kind, index in rules if kind == gemmi.RKind.Bond]
        origin = link_origin(link.link_id, [atom for index in bonds for atom in topology.bonds[index].atoms])
        for kind, index in rules:
            origins[kind][index] = origin
        if link.asu == gemmi.Asu.Same:
            continue
        for index in bonds:
            first, second = topology.bonds[index].atoms
            rotation, shift = nearest_image(model.cell, first.pos, second.pos, link.asu)
            key = tuple(np.round(np.concatenate([rotation.ravel(), shift]), 4) + 0.0)
            if key == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0):
                continue
            if key not in known:
                known[key] = len(rotations)
                rotations.append(rotation)
                shifts.append(shift)
            image_of_bond[index] = known[key]
    images = Images(rotation=torch.tensor(np.array(rotations)), shift=torch.tensor(np.array(shifts)))
    return origins, images, image_of_bond


def nearest_image(
    cell: gemmi.UnitCell, first: gemmi.Position, second: gemmi.Position, asu: gemmi.Asu = gemmi.Asu.Any
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation, Cartesian, that bring the second position nearest to the first.

    Parameters
    ----------
    cell : with its symmetry images set up.
    first, second : positions, Å.
    asu : which images to choose from.
    """
    nearest = cell.find_nearest_image(first, second, asu)
    frac = cell.images[nearest.sym_idx - 1] if nearest.sym_idx > 0 else gemmi.Transform()
    rotation_frac, shift_frac = np.array(frac.mat.tolist()), np.array(frac.vec.tolist())
    shift_frac = shift_frac + np.array(nearest.pbc_shift, dtype=float)
    orth, to_frac = np.array(cell.orth.mat.tolist()), np.array(cell.frac.mat.tolist())
    return orth @ rotation_frac @ to_frac, orth @ shift_frac


def _indices(rows: Sequence[Sequence[int]], width: int) -> Tensor:
    return torch.tensor(np.array(rows, dtype=np.int64).reshape(-1, width) - 1)


def _positive(values: np.ndarray, default: float) -> np.ndarray:
    """Sigmas, where a missing or zero one becomes the default."""
    return np.where(np.isfinite(values) & (values > 0), values, default)


def _bonds(topology: gemmi.Topo, origin: np.ndarray, image: np.ndarray, metals: Mapping[int, float]) -> Bonds:
    atoms, values = [], []
    for bond in topology.bonds:
        first, second = bond.atoms
        restraint = bond.restr
        atoms.append((first.serial, second.serial))
        values.append((restraint.value, restraint.esd, restraint.value_nucleus, restraint.esd_nucleus))
    table = np.array(values, dtype=float).reshape(-1, 4)
    for number, distance in metals.items():
        table[number] = (distance, METAL_SIGMA, distance, METAL_SIGMA)
    sigma = _positive(table[:, 1], DEFAULT_BOND_SIGMA)
    has_nucleus = np.isfinite(table[:, 2])
    nucleus = np.where(has_nucleus, table[:, 2], table[:, 0])
    sigma_nucleus = np.where(has_nucleus & (table[:, 3] > 0), table[:, 3], sigma)
    keep = np.isfinite(table[:, 0])
    columns = (table[:, 0], sigma, nucleus, sigma_nucleus, image, origin)
    target, sigma, nucleus, sigma_nucleus, image, origin = (column[keep] for column in columns)
    return Bonds(
        atoms=_indices(atoms, 2)[torch.tensor(keep)],
        target=torch.tensor(target),
        sigma=torch.tensor(sigma),
        target_nucleus=torch.tensor(nucleus),
        sigma_nucleus=torch.tensor(sigma_nucleus),
        image=torch.tensor(image),
        origin=torch.tensor(origin),
    )


def _angles(topology: gemmi.Topo, origin: np.ndarray) -> Angles:
    atoms, values = [], []
    for angle in topology.angles:
        first, vertex, last = angle.atoms
        restraint = angle.restr
        atoms.append((first.serial, vertex.serial, last.serial))
        values.append((restraint.value, restraint.esd))
    table = np.array(values, dtype=float).reshape(-1, 2)
    keep = np.isfinite(table[:, 0])
    return Angles(
        atoms=_indices(atoms, 3)[torch.tensor(keep)],
        target=torch.tensor(np.radians(table[keep, 0])),
        sigma=torch.tensor(np.radians(_positive(table[keep, 1], DEFAULT_ANGLE_SIGMA_DEG))),
        origin=torch.tensor(origin[keep]),
    )


def _torsions(topology: gemmi.Topo, origin: np.ndarray, library: gemmi.MonLib) -> Torsions:
    peptide = np.zeros(len(topology.torsions), dtype=bool)
    groups = (gemmi.ChemComp.Group.Peptide, gemmi.ChemComp.Group.PPeptide, gemmi.ChemComp.Group.MPeptide)
    for chain in _chain_infos(topology):
        for residue in chain.res_infos:
            name = residue.res.name
            if name in library.monomers and library.monomers[name].group in groups:
                rules = [rule.index for rule in residue.monomer_rules if rule.rkind == gemmi.RKind.Torsion]
                peptide[rules] = True
    atoms, values, names = [], [], []
    for torsion in topology.torsions:
        a, b, c, d = torsion.atoms
        restraint = torsion.restr
        atoms.append((a.serial, b.serial, c.serial, d.serial))
        values.append((restraint.value, restraint.esd, restraint.period))
        names.append(restraint.label)
    table = np.array(values, dtype=float).reshape(-1, 3)
    restrained = [
        (name.startswith("chi") and bool(is_peptide))
        or (name == "omega" and kind != Origin.MONOMER)
        or name.startswith("sp2_sp2")
        for name, is_peptide, kind in zip(names, peptide, origin, strict=True)
    ]
    keep = np.isfinite(table[:, 0])
    return Torsions(
        atoms=_indices(atoms, 4)[torch.tensor(keep)],
        target=torch.tensor(np.radians(table[keep, 0])),
        sigma=torch.tensor(np.radians(_positive(table[keep, 1], DEFAULT_TORSION_SIGMA_DEG))),
        period=torch.tensor(table[keep, 2].astype(np.int64)),
        restrained=torch.tensor(np.array(restrained, dtype=bool)[keep]),
        origin=torch.tensor(origin[keep]),
        names=tuple(name for name, kept in zip(names, keep, strict=True) if kept),
    )


def _planes(topology: gemmi.Topo, origin: np.ndarray) -> Planes:
    atoms: list[int] = []
    plane_of: list[int] = []
    sigma: list[float] = []
    kept: list[int] = []
    for index, plane in enumerate(topology.planes):
        members = [atom.serial - 1 for atom in plane.atoms]
        if len(members) < 4:
            continue  # three atoms are always in a plane
        atoms += members
        plane_of += [len(kept)] * len(members)
        esd = plane.restr.esd
        sigma += [esd if esd > 0 else PLANE_SIGMA] * len(members)
        kept.append(index)
    return Planes(
        atoms=torch.tensor(atoms, dtype=torch.int64),
        plane=torch.tensor(plane_of, dtype=torch.int64),
        sigma=torch.tensor(sigma, dtype=torch.float64),
        origin=torch.tensor(origin[kept]),
    )


def _chirals(topology: gemmi.Topo, origin: np.ndarray, signs: Mapping[int, gemmi.ChiralityType]) -> Chirals:
    """Chiral centres; `signs` by index are those that differ from what the links say."""
    atoms, target, either = [], [], []
    for index, chirality in enumerate(topology.chirs):
        centre, a, b, c = chirality.atoms
        sign = signs.get(index, chirality.restr.sign)
        atoms.append((centre.serial, a.serial, b.serial, c.serial))
        volume = topology.ideal_chiral_abs_volume(chirality)
        target.append(-volume if sign == gemmi.ChiralityType.Negative else volume)
        either.append(sign == gemmi.ChiralityType.Both)
    volumes = np.array(target, dtype=float)
    keep = np.isfinite(volumes)
    return Chirals(
        atoms=_indices(atoms, 4)[torch.tensor(keep)],
        target=torch.tensor(volumes[keep]),
        sigma=torch.full((int(keep.sum()),), CHIRAL_SIGMA, dtype=torch.float64),
        either=torch.tensor(np.array(either, dtype=bool)[keep]),
        origin=torch.tensor(origin[keep]),
    )
