"""A component with all its restraints, and its form as a dictionary in CCP4's CIF."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import gemmi


@dataclass(slots=True)
class AtomEntry:
    """An atom: its name, element, energy type, formal charge and an example position, Å."""

    name: str
    element: str
    energy_type: str
    charge: int
    xyz: tuple[float, float, float]


@dataclass(slots=True)
class BondEntry:
    """A bond: `order` as CCP4 spells it; lengths and sigmas in Å, to electron clouds and to nuclei."""

    atoms: tuple[str, str]
    order: str
    aromatic: bool
    value: float
    sigma: float
    nucleus: float
    nucleus_sigma: float


@dataclass(slots=True)
class AngleEntry:
    """An angle, degrees as the file has it; the vertex is the second atom."""

    atoms: tuple[str, str, str]
    value: float
    sigma: float


@dataclass(slots=True)
class TorsionEntry:
    """A torsion, degrees as the file has it."""

    name: str
    atoms: tuple[str, str, str, str]
    value: float
    sigma: float
    period: int


@dataclass(slots=True)
class ChiralEntry:
    """A chiral centre with three neighbours; `sign` is positive, negative or both."""

    centre: str
    neighbours: tuple[str, str, str]
    sign: str


@dataclass(slots=True)
class PlaneEntry:
    """Atoms in one plane and the sigma of their distance from it, Å."""

    atoms: tuple[str, ...]
    sigma: float = 0.02


@dataclass(slots=True)
class Component:
    """A component under construction: entries may be changed until it is written."""

    name: str
    title: str
    group: str
    atoms: list[AtomEntry] = field(default_factory=list)
    bonds: list[BondEntry] = field(default_factory=list)
    angles: list[AngleEntry] = field(default_factory=list)
    torsions: list[TorsionEntry] = field(default_factory=list)
    chirals: list[ChiralEntry] = field(default_factory=list)
    planes: list[PlaneEntry] = field(default_factory=list)


def component_document(component: Component, sources: Sequence[str] = ()) -> gemmi.cif.Document:
    """The component as a CIF document in the format of CCP4's monomer library.

    Parameters
    ----------
    component : with all its restraints.
    sources : citations for its values; they go into `_struct_ref`-like details of the list block.
    """
    document = gemmi.cif.Document()
    listed = document.add_new_block("comp_list")
    heavy = sum(atom.element not in ("H", "D") for atom in component.atoms)
    row = [component.name, component.name, component.title, component.group, len(component.atoms), heavy, "."]
    tags = ["id", "three_letter_code", "name", "group", "number_atoms_all", "number_atoms_nh", "desc_level"]
    _loop(listed, "_chem_comp.", tags, [row])
    block = document.add_new_block(f"comp_{component.name}")
    if sources:
        rows = [[number, text] for number, text in enumerate(sources, start=1)]
        _loop(block, "_burnish_source.", ["id", "details"], rows)
    name = component.name
    atoms = [
        [name, atom.name, atom.element, atom.energy_type, atom.charge, *(f"{value:.3f}" for value in atom.xyz)]
        for atom in component.atoms
    ]
    _loop(
        block, "_chem_comp_atom.", ["comp_id", "atom_id", "type_symbol", "type_energy", "charge", "x", "y", "z"], atoms
    )
    _write_restraints(block, component)
    return document


def _write_restraints(block: gemmi.cif.Block, component: Component) -> None:
    name = component.name
    bonds = [
        [
            name,
            *bond.atoms,
            bond.order,
            "y" if bond.aromatic else "n",
            f"{bond.nucleus:.3f}",
            f"{bond.nucleus_sigma:.4f}",
            f"{bond.value:.3f}",
            f"{bond.sigma:.4f}",
        ]
        for bond in component.bonds
    ]
    bond_tags = ["comp_id", "atom_id_1", "atom_id_2", "type", "aromatic"]
    bond_tags += ["value_dist_nucleus", "value_dist_nucleus_esd", "value_dist", "value_dist_esd"]
    _loop(block, "_chem_comp_bond.", bond_tags, bonds)
    angles = [[name, *angle.atoms, f"{angle.value:.2f}", f"{angle.sigma:.2f}"] for angle in component.angles]
    three = ["comp_id", "atom_id_1", "atom_id_2", "atom_id_3"]
    _loop(block, "_chem_comp_angle.", [*three, "value_angle", "value_angle_esd"], angles)
    torsions = [
        [name, torsion.name, *torsion.atoms, f"{torsion.value:.1f}", f"{torsion.sigma:.1f}", torsion.period]
        for torsion in component.torsions
    ]
    four = ["comp_id", "id", "atom_id_1", "atom_id_2", "atom_id_3", "atom_id_4"]
    _loop(block, "_chem_comp_tor.", [*four, "value_angle", "value_angle_esd", "period"], torsions)
    chirals = [
        [name, f"chir_{number}", chiral.centre, *chiral.neighbours, chiral.sign]
        for number, chiral in enumerate(component.chirals, start=1)
    ]
    chiral_tags = ["comp_id", "id", "atom_id_centre", "atom_id_1", "atom_id_2", "atom_id_3", "volume_sign"]
    _loop(block, "_chem_comp_chir.", chiral_tags, chirals)
    planes = [
        [name, f"plan-{number}", atom, f"{plane.sigma:.3f}"]
        for number, plane in enumerate(component.planes, start=1)
        for atom in plane.atoms
    ]
    _loop(block, "_chem_comp_plane_atom.", ["comp_id", "plane_id", "atom_id", "dist_esd"], planes)


def _loop(block: gemmi.cif.Block, prefix: str, tags: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    filled = list(rows)
    if not filled:
        return
    loop = block.init_loop(prefix, list(tags))
    for row in filled:
        loop.add_row([gemmi.cif.quote(str(value)) for value in row])
