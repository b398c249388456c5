"""Components as drawn: atoms, bonds with their order, charges and coordinates, but no restraints.

Such a drawing comes from the chemical component dictionary of the wwPDB, of which biotite carries a copy, or from a
file in that dictionary's format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gemmi

from burnish.core.errors import DataError

ORDERS = {"SING": "single", "DOUB": "double", "TRIP": "triple", "AROM": "aromatic", "DELO": "aromatic"}
ORDERS |= {order.upper(): order for order in ("single", "double", "triple", "aromatic")}
PLACES = ("pdbx_model_Cartn_{}_ideal", "model_Cartn_{}", "{}")
Columns = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnAtom:
    """An atom of a drawing; its place in Å."""

    name: str
    element: str
    charge: int
    xyz: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A component without restraints.

    Attributes
    ----------
    title : its name in words.
    kind : type in the chemical component dictionary, upper case ("L-PEPTIDE LINKING"), "" where unknown.
    atoms : with hydrogens.
    bonds : names of both atoms and the order: single, double, triple or aromatic.
    """

    title: str
    kind: str
    atoms: tuple[DrawnAtom, ...]
    bonds: tuple[tuple[str, str, str], ...]


def drawing_from_components(name: str) -> Drawing:
    """A component of the chemical component dictionary.

    Raises
    ------
    DataError : it is unknown there, has no complete coordinates, or biotite is not installed.
    """
    try:
        from biotite.structure.info.ccd import get_from_ccd
    except ImportError as error:
        raise DataError("the chemical component dictionary needs biotite: pip install burnish[ligands]") from error
    tables: dict[str, Any] = {}
    for category in ("chem_comp_atom", "chem_comp_bond", "chem_comp"):
        try:
            tables[category] = get_from_ccd(category, name)
        except KeyError:
            tables[category] = None
    if tables["chem_comp_atom"] is None:
        raise DataError("unknown to the chemical component dictionary as well")
    columns = {
        category: {} if table is None else {key: [str(value) for value in table[key].as_array(str)] for key in table}
        for category, table in tables.items()
    }
    head = columns["chem_comp"]
    return _drawing(
        columns["chem_comp_atom"], columns["chem_comp_bond"], head.get("name", [name])[0], head.get("type", [""])[0]
    )


def drawing_from_block(block: gemmi.cif.Block) -> Drawing:
    """A component drawn in a block of a file."""
    atoms, bonds = (
        {
            tag[len(prefix) :]: [gemmi.cif.as_string(value) for value in item.loop.values[k :: item.loop.width()]]
            for item in block
            if item.loop is not None and item.loop.tags[0].startswith(prefix)
            for k, tag in enumerate(item.loop.tags)
        }
        for prefix in ("_chem_comp_atom.", "_chem_comp_bond.")
    )
    title = gemmi.cif.as_string(block.find_value("_chem_comp.name") or "") or block.name
    return _drawing(atoms, bonds, title, gemmi.cif.as_string(block.find_value("_chem_comp.type") or ""))


def _drawing(atoms: Columns, bonds: Columns, title: str, kind: str) -> Drawing:
    names, elements = atoms.get("atom_id", []), atoms.get("type_symbol", [])
    if not names or len(elements) != len(names):
        raise DataError("its drawing lists no atoms with their elements")
    strange = [element for element in elements if gemmi.Element(element).atomic_number == 0]
    if strange:
        raise DataError(f"its drawing has an element {strange[0]!r} that does not exist")
    charges = atoms.get("charge", ["0"] * len(names))
    orders = bonds.get("value_order", bonds.get("type", []))
    pairs = zip(bonds.get("atom_id_1", []), bonds.get("atom_id_2", []), orders, strict=False)
    return Drawing(
        title=title,
        kind=kind.upper(),
        atoms=tuple(
            DrawnAtom(name=name, element=element.capitalize(), charge=_charge(charge), xyz=place)
            for name, element, charge, place in zip(names, elements, charges, _places(atoms), strict=True)
        ),
        bonds=tuple((first, second, ORDERS.get(order.upper(), "single")) for first, second, order in pairs),
    )


def _charge(text: str) -> int:
    try:
        return round(float(text))
    except ValueError:
        return 0


def _places(atoms: Columns) -> list[tuple[float, float, float]]:
    """Ideal coordinates, else those of the model."""
    for pattern in PLACES:
        columns = [atoms.get(pattern.format(axis), []) for axis in "xyz"]
        try:
            places = [(float(x), float(y), float(z)) for x, y, z in zip(*columns, strict=True)]
        except ValueError:
            continue
        if places:
            return places
    raise DataError("its drawing has no complete coordinates")
