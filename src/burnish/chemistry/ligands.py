"""Restraints for components that no dictionary knows, from the chemical component dictionary or from SMILES.

RDKit and biotite, which carries the wwPDB's chemical component dictionary, come with `pip install burnish[ligands]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np

from burnish.chemistry.component import component_document
from burnish.core.errors import DataError

AtomRow = tuple[str, str, int, tuple[float, ...]]  # name, element, charge, place

SEED = 61453  # of the conformer search; any fixed number
ACIDS = ("[CX3](=O)[OX2H1]", "[P,S](=O)[OX2H1]")  # carboxylic, phosphoric and sulphuric acids lose their protons


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeComponent:
    """A dictionary made on the spot and what it was made from."""

    document: gemmi.cif.Document
    source: str


def make_component(name: str, smiles: str | None = None) -> MadeComponent:
    """Make the dictionary of a component.

    Parameters
    ----------
    name : of the component.
    smiles : to make it from; None for the drawing in the chemical component dictionary. Its atoms are then named by
        element and number.

    Raises
    ------
    DataError : it cannot be made; the message says why.
    """
    try:
        from burnish.chemistry.perception import perceive
    except ImportError as error:
        raise DataError("restraints of unknown components need RDKit: pip install burnish[ligands]") from error
    if smiles is not None:
        molecule, title, source, group = molecule_from_smiles(smiles), name, "SMILES", "non-polymer"
    else:
        molecule, title = molecule_from_components(name)
        source, group = "the chemical component dictionary", component_group(name, molecule)
        if group in ("peptide", "P-peptide"):
            molecule = with_ammonium(molecule)
    component = perceive(molecule, name, title, group)
    return MadeComponent(document=component_document(component, [f"made from {source}"]), source=source)


def molecule_from_components(name: str) -> tuple[Any, str]:
    """RDKit molecule and title of a component of the chemical component dictionary, acids without their protons."""
    from rdkit import Chem
    from rdkit.Geometry import Point3D

    atoms, bonds, title = _read_component(name)
    editable = Chem.RWMol()
    conformer = Chem.Conformer(len(atoms))
    for number, (atom_name, element, charge, place) in enumerate(atoms):
        atom = Chem.Atom(element.capitalize())
        atom.SetFormalCharge(charge)
        atom.SetNoImplicit(True)
        atom.SetProp("name", atom_name)
        editable.AddAtom(atom)
        conformer.SetAtomPosition(number, Point3D(*place))
    index = {atom[0]: number for number, atom in enumerate(atoms)}
    orders = {"SING": Chem.BondType.SINGLE, "DOUB": Chem.BondType.DOUBLE, "TRIP": Chem.BondType.TRIPLE}
    for first, second, order in bonds:
        editable.AddBond(index[first], index[second], orders.get(order, Chem.BondType.SINGLE))
    editable.AddConformer(conformer)
    molecule = editable.GetMol()
    try:
        Chem.SanitizeMol(molecule)
    except (ValueError, RuntimeError):
        # coordination compounds break valence rules; rings and hybridisation are all that is needed
        molecule.UpdatePropertyCache(strict=False)
        Chem.SanitizeMol(
            molecule,
            Chem.SANITIZE_SYMMRINGS | Chem.SANITIZE_SETCONJUGATION | Chem.SANITIZE_SETHYBRIDIZATION,
            catchErrors=True,
        )
    return without_acid_protons(molecule), title


def _read_component(name: str) -> tuple[list[AtomRow], list[tuple[str, str, str]], str]:
    """Atoms (name, element, charge, place), bonds (name, name, order) and the title of a component."""
    atom_table, bond_table, head = (
        _category(category, name) for category in ("chem_comp_atom", "chem_comp_bond", "chem_comp")
    )
    if atom_table is None:
        raise DataError("unknown to the chemical component dictionary as well")
    places = _places(atom_table)
    names = atom_table["atom_id"].as_array(str)
    elements = atom_table["type_symbol"].as_array(str)
    charges = atom_table["charge"].as_array(str)
    atoms = [
        (str(label), str(element), int(charge) if charge.lstrip("-+").isdigit() else 0, tuple(map(float, place)))
        for label, element, charge, place in zip(names, elements, charges, places, strict=True)
    ]
    bonds = []
    if bond_table is not None:
        columns = [bond_table[key].as_array(str) for key in ("atom_id_1", "atom_id_2", "value_order")]
        bonds = [(str(first), str(second), str(order).upper()) for first, second, order in zip(*columns, strict=True)]
    title = str(head["name"].as_array(str)[0]) if head is not None else name
    return atoms, bonds, title


def component_group(name: str, molecule: Any) -> str:
    """Group, as CCP4 spells it, that decides which links a component takes part in.

    Parameters
    ----------
    name : of the component.
    molecule : its atoms by name; a component lacking those that the links of its group need is "non-polymer".
    """
    head = _category("chem_comp", name)
    kind = str(head["type"].as_array(str)[0]).upper() if head is not None else ""
    atoms = {atom.GetProp("name"): atom for atom in molecule.GetAtoms()}
    if "PEPTIDE" in kind and {"N", "CA", "C", "O", "OXT"} <= set(atoms):
        nitrogen = atoms["N"]
        heavy = sum(other.GetAtomicNum() > 1 for other in nitrogen.GetNeighbors())
        if heavy == 1:
            return "peptide"
        return "P-peptide" if nitrogen.IsInRing() and "CD" in atoms else "non-polymer"
    if ("RNA" in kind or "DNA" in kind) and {"P", "O5'", "C5'", "C3'", "O3'"} <= set(atoms):
        return "RNA" if "RNA" in kind else "DNA"
    if "SACCHARIDE" in kind and {"C1", "O1", "C5", "O5"} <= set(atoms) and atoms["O5"].IsInRing():
        return "pyranose"
    return "non-polymer"


def with_ammonium(molecule: Any) -> Any:
    """An amino acid with one more hydrogen on its N, named as the next of H, H2, H3."""
    from rdkit import Chem

    nitrogen = next(atom for atom in molecule.GetAtoms() if atom.GetProp("name") == "N")
    names = {atom.GetProp("name") for atom in nitrogen.GetNeighbors()}
    new = next(name for name in ("H", "H2", "H3") if name not in names)
    nitrogen.SetFormalCharge(1)
    nitrogen.SetNoImplicit(False)
    nitrogen.SetNumExplicitHs(0)
    molecule.UpdatePropertyCache(strict=False)
    added = Chem.AddHs(molecule, addCoords=True, onlyOnAtoms=[nitrogen.GetIdx()])
    for atom in added.GetAtoms():
        if not atom.HasProp("name"):
            atom.SetProp("name", new)
    Chem.SanitizeMol(added)
    return added


def _category(category: str, name: str) -> Any:
    """A category of a component in biotite's copy of the chemical component dictionary, or None."""
    try:
        from biotite.structure.info.ccd import get_from_ccd
    except ImportError as error:
        raise DataError("the chemical component dictionary needs biotite: pip install burnish[ligands]") from error
    try:
        return get_from_ccd(category, name)
    except KeyError:
        return None


def _places(table: Any) -> np.ndarray:
    """Ideal coordinates of a component, else those of its model."""
    for prefix in ("pdbx_model_Cartn_{}_ideal", "model_Cartn_{}"):
        columns = [table[prefix.format(axis)].as_array(str) for axis in "xyz"]
        if all(value not in ("", "?", ".") for column in columns for value in column):
            return np.array([[float(value) for value in column] for column in columns]).T
    raise DataError("the chemical component dictionary has no complete coordinates for it")


def without_acid_protons(molecule: Any) -> Any:
    """The molecule with carboxylic, phosphoric and sulphuric acid groups as anions."""
    from rdkit import Chem

    patterns = [Chem.MolFromSmarts(text) for text in ACIDS]
    editable = Chem.RWMol(molecule)
    doomed = set()
    for pattern in patterns:
        for match in molecule.GetSubstructMatches(pattern):
            oxygen = editable.GetAtomWithIdx(match[2])
            protons = [other.GetIdx() for other in oxygen.GetNeighbors() if other.GetAtomicNum() == 1]
            if protons and oxygen.GetFormalCharge() == 0:
                oxygen.SetFormalCharge(-1)
                doomed |= set(protons)
    for index in sorted(doomed, reverse=True):
        editable.RemoveAtom(index)
    reduced = editable.GetMol()
    Chem.SanitizeMol(reduced, catchErrors=True)
    return reduced


def molecule_from_smiles(smiles: str) -> Any:
    """RDKit molecule with hydrogens, coordinates and atom names from SMILES."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom

    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise DataError(f"RDKit cannot read the SMILES {smiles!r}")
    molecule = Chem.AddHs(molecule)
    if rdDistGeom.EmbedMolecule(molecule, randomSeed=SEED) != 0:
        raise DataError(f"RDKit finds no three-dimensional shape for {smiles!r}")
    molecule = without_acid_protons(molecule)
    counts: dict[str, int] = {}
    for atom in molecule.GetAtoms():
        element = atom.GetSymbol().upper()
        counts[element] = counts.get(element, 0) + 1
        atom.SetProp("name", f"{element}{counts[element]}")
    return molecule
