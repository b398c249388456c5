"""Restraints for components that no dictionary knows, from the chemical component dictionary or from SMILES.

RDKit and biotite, which carries the wwPDB's chemical component dictionary, come with `pip install burnish[ligands]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gemmi

from burnish.chemistry.atom_matching import take_names
from burnish.chemistry.component import component_document
from burnish.chemistry.drawings import Drawing, drawing_from_block, drawing_from_components
from burnish.core.errors import DataError

SEED = 61453  # of the conformer search; any fixed number
ACIDS = ("[CX3](=O)[OX2H1]", "[P,S](=O)[OX2H1]")  # carboxylic, phosphoric and sulphuric acids lose their protons


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeComponent:
    """A dictionary made on the spot and what it was made from."""

    document: gemmi.cif.Document
    source: str


def make_component(
    name: str,
    smiles: str | None = None,
    block: gemmi.cif.Block | None = None,
    example: gemmi.Residue | None = None,
) -> MadeComponent:
    """Make the dictionary of a component.

    Parameters
    ----------
    name : of the component.
    smiles : to make it from; or
    block : of a file that draws it; with neither, the drawing in the chemical component dictionary.
    example : a residue of the model, which gives the atoms of SMILES their names; without, element and number.

    Raises
    ------
    DataError : it cannot be made; the message says why.
    """
    try:
        from rdkit import rdBase

        from burnish.chemistry.perception import perceive
    except ImportError as error:
        raise DataError("restraints of unknown components need RDKit: pip install burnish[ligands]") from error
    quiet = rdBase.BlockLogs()  # RDKit's remarks on valences mean nothing to users; faults become exceptions
    if smiles is not None:
        molecule, title, source, group = molecule_from_smiles(smiles), name, "SMILES", "non-polymer"
        if example is not None:
            take_names(molecule, example)
    else:
        drawing = drawing_from_components(name) if block is None else drawing_from_block(block)
        molecule, title = molecule_of(drawing), drawing.title
        source = "the chemical component dictionary" if block is None else "the drawing in the file given"
        group = component_group(drawing.kind, molecule)
        if group in ("peptide", "P-peptide"):
            molecule = with_ammonium(molecule)
    component = perceive(molecule, name, title, group)
    del quiet
    return MadeComponent(document=component_document(component, [f"made from {source}"]), source=source)


def make_missing(
    names: Sequence[str],
    smiles: Mapping[str, str],
    drawn: Mapping[str, gemmi.cif.Block],
    examples: Mapping[str, gemmi.Residue],
) -> tuple[dict[str, MadeComponent], dict[str, str]]:
    """Dictionaries of all the components that can be made, and why the others cannot.

    Parameters
    ----------
    names : of the components.
    smiles, drawn : SMILES and drawings of the user, by name; the first wins.
    examples : residues of the model, by name.
    """
    made, hopeless = {}, {}
    for name in names:
        try:
            made[name] = make_component(name, smiles.get(name), drawn.get(name), examples.get(name))
        except DataError as error:
            hopeless[name] = str(error)
    return made, hopeless


def molecule_from_components(name: str) -> tuple[Any, str]:
    """RDKit molecule and title of a component of the chemical component dictionary, acids without their protons."""
    drawing = drawing_from_components(name)
    return molecule_of(drawing), drawing.title


def molecule_of(drawing: Drawing) -> Any:
    """RDKit molecule of a drawing, acids without their protons; its atoms carry the property "name"."""
    from rdkit import Chem
    from rdkit.Geometry import Point3D

    orders = {
        "single": Chem.BondType.SINGLE,
        "double": Chem.BondType.DOUBLE,
        "triple": Chem.BondType.TRIPLE,
        "aromatic": Chem.BondType.AROMATIC,
    }
    editable = Chem.RWMol()
    conformer = Chem.Conformer(len(drawing.atoms))
    for number, drawn in enumerate(drawing.atoms):
        atom = Chem.Atom(drawn.element)
        atom.SetFormalCharge(drawn.charge)
        atom.SetNoImplicit(True)
        atom.SetProp("name", drawn.name)
        editable.AddAtom(atom)
        conformer.SetAtomPosition(number, Point3D(*drawn.xyz))
    index = {atom.name: number for number, atom in enumerate(drawing.atoms)}
    for first, second, order in drawing.bonds:
        if first not in index or second not in index:
            raise DataError(f"its drawing has a bond {first}–{second}, but not both of these atoms")
        editable.AddBond(index[first], index[second], orders[order])
    editable.AddConformer(conformer)
    molecule = editable.GetMol()
    for atom in molecule.GetAtoms():
        atom.SetIsAromatic(any(bond.GetBondType() == Chem.BondType.AROMATIC for bond in atom.GetBonds()))
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
    return without_acid_protons(molecule)


def component_group(kind: str, molecule: Any) -> str:
    """Group, as CCP4 spells it, that decides which links a component takes part in.

    Parameters
    ----------
    kind : type in the chemical component dictionary, upper case.
    molecule : its atoms by name; a component lacking those that the links of its group need is "non-polymer".
    """
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
