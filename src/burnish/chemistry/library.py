"""Where the dictionary of each component comes from.

The first of these that knows a component gives it: dictionaries named by the user; a complete CCP4 monomer library
(`--monomers` or CLIBD_MON); the project's own small library; Debian's refmac-dictionary, for single monomers only,
since it has neither links nor energy types; and last the component as the chemical component dictionary draws it, with
restraints made by `chemistry.ligands`. The own library goes before Debian's, so that standard residues are refined the
same with and without that package (its ALA lacks nuclear distances, its HIS is broken).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gemmi

from burnish.chemistry.ligands import make_missing
from burnish.core.errors import DataError, InputError

OWN_LIBRARY = Path(__file__).parent / "library"
DEBIAN_LIBRARY = Path("/usr/share/refmac/monomers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """Dictionaries of all components of a model, with links, modifications and energy types.

    Attributes
    ----------
    monlib : what gemmi works with.
    sources : where each component comes from, by its name.
    messages : what the user should know, as components whose restraints were made on the spot.
    """

    monlib: gemmi.MonLib
    sources: Mapping[str, str]
    messages: tuple[str, ...]


def read_library(
    components: Iterable[str],
    *,
    ligands: Sequence[Path] = (),
    monomers: Path | None = None,
    environment: Mapping[str, str] | None = None,
    debian: Path | None = DEBIAN_LIBRARY,
    smiles: Mapping[str, str] | None = None,
    examples: Mapping[str, gemmi.Residue] | None = None,
) -> Library:
    """Read the dictionaries of some components.

    Parameters
    ----------
    components : names, as "ALA".
    ligands : dictionaries of the user; they win.
    monomers : a CCP4 monomer library; None for the one that CLIBD_MON names, if any.
    environment : where CLIBD_MON is looked for; None for that of the process.
    debian : folder of Debian's refmac-dictionary, used if it exists; None to leave it out.
    smiles : of components, by name; they win over the libraries, where the name may be another molecule's.
    examples : residues of the model, by name: they give the atoms of those components their names.

    Raises
    ------
    InputError : a file or folder is missing or is no dictionary.
    DataError : components that nothing knows, all named in one message.
    """
    smiles = smiles or {}
    wanted = sorted(set(components))
    sources: dict[str, str] = {}
    messages: list[str] = []
    monlib = gemmi.MonLib()
    drawn: dict[str, gemmi.cif.Block] = {}
    for path in ligands:
        restrained, only_drawn = _read_user_file(monlib, Path(path), messages)
        sources |= restrained
        drawn |= only_drawn
    full = monomer_folder(monomers, os.environ if environment is None else environment)
    monlib.read_monomer_lib(_folder_name(full or OWN_LIBRARY), [])
    folders = [(full, "monomer library"), (OWN_LIBRARY, "own library"), (debian, "Debian's refmac-dictionary")]
    for folder, label in folders:
        if folder is None:
            continue
        for name in wanted:
            path = monomer_path(folder, name)
            if name in sources or name in drawn or name in smiles or not path.is_file():
                continue
            if _read_monomer(monlib, path, name):
                sources[name] = f"{label} ({path})"
    missing = [name for name in wanted if name not in sources]
    if missing:
        made, hopeless = make_missing(missing, smiles, drawn, examples or {})
        for name, component in made.items():
            monlib.read_monomer_doc(component.document)
            sources[name] = component.source
            messages.append(
                f"{name}{'' if name in smiles else ' is in no dictionary'}: its restraints were made from"
                f" {component.source} with wide sigmas;"
                " give a proper dictionary with --ligand if it matters"
            )
        if hopeless:
            listed = "; ".join(f"{name} ({why})" for name, why in hopeless.items())
            raise DataError(
                f"no restraints for {listed}. Give a dictionary with --ligand FILE.cif,"
                " or a complete library with --monomers"
            )
    return Library(monlib=monlib, sources=sources, messages=tuple(messages))


def monomer_folder(monomers: Path | None, environment: Mapping[str, str]) -> Path | None:
    """Folder of the complete monomer library that the user names, or None."""
    named, how = (monomers, "--monomers") if monomers is not None else (None, "CLIBD_MON")
    if named is None:
        if not environment.get("CLIBD_MON"):
            return None
        named = Path(environment["CLIBD_MON"])
    for needed in ("list/mon_lib_list.cif", "ener_lib.cif"):
        if not (named / needed).is_file():
            raise InputError(
                f"{named}: {how} names it as a CCP4 monomer library, but {needed} is missing there;"
                f" give a complete library, or unset {how} to use the built-in one"
            )
    return named


def monomer_path(folder: Path, name: str) -> Path:
    """Where a library in CCP4's layout keeps a component."""
    if not name or "/" in name or name.startswith("."):
        return folder / "no-such-component"
    initial = folder / name[0].lower()
    reserved = initial / f"{name}_{name}.cif"  # CON, AUX, … are no file names on Windows
    return reserved if reserved.is_file() else initial / f"{name}.cif"


def _folder_name(folder: Path) -> str:
    return str(folder) + os.sep  # gemmi appends file names to it


def _read_document(path: Path) -> gemmi.cif.Document:
    try:
        return gemmi.cif.read(str(path))
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read as a restraint dictionary in CIF: {error}") from error


def _read_monomer(monlib: gemmi.MonLib, path: Path, name: str) -> bool:
    """Add a monomer of a library; false where the file holds no usable restraints."""
    alone = gemmi.MonLib()  # what is once in the library cannot be replaced
    try:
        alone.read_monomer_cif(str(path))
    except (RuntimeError, ValueError, IndexError):
        return False
    if name not in alone.monomers or not _is_restrained(alone.monomers[name]):
        return False
    monlib.read_monomer_cif(str(path))
    return True


def _is_restrained(component: gemmi.ChemComp) -> bool:
    """Whether every bond has a length; chemical component files have bonds without."""
    bonds = component.rt.bonds
    return all(bond.value == bond.value and bond.value > 0 for bond in bonds) and (
        len(bonds) > 0 or len(component.atoms) <= 1
    )


def _read_user_file(
    monlib: gemmi.MonLib, path: Path, messages: list[str]
) -> tuple[dict[str, str], dict[str, gemmi.cif.Block]]:
    """Read a dictionary of the user: sources of the components it restrains, and blocks that only draw one."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a restraint dictionary (CIF) of a ligand")
    document = _read_document(path)
    described = [block for block in document if block.find_values("_chem_comp_atom.atom_id")]
    has_links = any(block.name.startswith(("link_", "mod_")) for block in document)
    if not described and not has_links:
        raise InputError(
            f"{path}: holds no restraint dictionary (no _chem_comp_atom loop); expected the CIF that a dictionary"
            " generator as AceDRG, eLBOW or GRADE writes"
        )
    sources, drawn = {}, {}
    for block in described:
        name = block.name.removeprefix("comp_")
        if block.find_values("_chem_comp_bond.value_dist") or len(block.find_values("_chem_comp_atom.atom_id")) == 1:
            sources[name] = str(path)
        else:
            drawn[name] = block
            messages.append(f"{path}: {name} has no bond lengths there; its restraints are made from the drawing")
    usable = gemmi.cif.Document()
    for block in document:
        if block.name.removeprefix("comp_") not in drawn:
            usable.add_copied_block(block)
    try:
        monlib.read_monomer_doc(usable)
    except (RuntimeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: cannot be used as a restraint dictionary: {error}") from error
    for name in sources:
        if name not in monlib.monomers or not _is_restrained(monlib.monomers[name]):
            raise InputError(f"{path}: {name} has bonds without a length; expected _chem_comp_bond.value_dist for each")
    return sources, drawn
