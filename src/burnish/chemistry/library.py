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
) -> Library:
    """Read the dictionaries of some components.

    Parameters
    ----------
    components : names, as "ALA".
    ligands : dictionaries of the user; they win.
    monomers : a CCP4 monomer library; None for the one that CLIBD_MON names, if any.
    environment : where CLIBD_MON is looked for; None for that of the process.
    debian : folder of Debian's refmac-dictionary, used if it exists; None to leave it out.
    smiles : of components that nobody knows, by name.

    Raises
    ------
    InputError : a file or folder is missing or is no dictionary.
    DataError : components that nothing knows, all named in one message.
    """
    wanted = sorted(set(components))
    sources: dict[str, str] = {}
    messages: list[str] = []
    monlib = gemmi.MonLib()
    for path in ligands:
        sources |= _read_user_file(monlib, Path(path), messages)
    full = monomer_folder(monomers, os.environ if environment is None else environment)
    monlib.read_monomer_lib(_folder_name(full or OWN_LIBRARY), [])
    folders = [(full, "monomer library"), (OWN_LIBRARY, "own library"), (debian, "Debian's refmac-dictionary")]
    for folder, label in folders:
        if folder is None:
            continue
        for name in wanted:
            path = monomer_path(folder, name)
            if name in sources or not path.is_file():
                continue
            if _read_monomer(monlib, path, name):
                sources[name] = f"{label} ({path})"
    missing = [name for name in wanted if name not in sources]
    if missing:
        _make_missing(monlib, missing, smiles or {}, sources, messages)
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
    try:
        monlib.read_monomer_cif(str(path))
    except (RuntimeError, ValueError):
        return False
    return name in monlib.monomers and _is_restrained(monlib.monomers[name])


def _is_restrained(component: gemmi.ChemComp) -> bool:
    """Whether every bond has a length; chemical component files have bonds without."""
    bonds = component.rt.bonds
    return all(bond.value == bond.value and bond.value > 0 for bond in bonds) and (
        len(bonds) > 0 or len(component.atoms) <= 1
    )


def _read_user_file(monlib: gemmi.MonLib, path: Path, messages: list[str]) -> dict[str, str]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a restraint dictionary (CIF) of a ligand")
    document = _read_document(path)
    names = [block.name[5:] for block in document if block.name.startswith("comp_") and block.name != "comp_list"]
    plain = [block for block in document if block.find_values("_chem_comp_atom.atom_id")]
    has_links = any(block.name.startswith(("link_", "mod_")) for block in document)
    if not plain and not has_links:
        raise InputError(
            f"{path}: holds no restraint dictionary (no _chem_comp_atom loop); expected the CIF that a dictionary"
            " generator as AceDRG, eLBOW or GRADE writes"
        )
    monlib.read_monomer_doc(document)
    found = {}
    for name in names or [block.find_value("_chem_comp.id") or block.name for block in plain]:
        name = gemmi.cif.as_string(name)
        if name in monlib.monomers and _is_restrained(monlib.monomers[name]):
            found[name] = str(path)
        else:
            messages.append(f"{path}: {name} has bonds without lengths there; its restraints are made anew")
    return found


def _make_missing(
    monlib: gemmi.MonLib,
    missing: Sequence[str],
    smiles: Mapping[str, str],
    sources: dict[str, str],
    messages: list[str],
) -> None:
    """Make restraints for components that no dictionary knows, or say which cannot be made."""
    from burnish.chemistry.ligands import make_component  # needs RDKit and biotite, which are optional

    hopeless = []
    for name in missing:
        try:
            made = make_component(name, smiles.get(name))
        except DataError as error:
            hopeless.append((name, str(error)))
            continue
        monlib.read_monomer_doc(made.document)
        sources[name] = made.source
        messages.append(
            f"{name} is in no dictionary: its restraints were made from {made.source} with wide sigmas;"
            " give a proper dictionary with --ligand if it matters"
        )
    if hopeless:
        listed = "; ".join(f"{name} ({why})" for name, why in hopeless)
        raise DataError(
            f"no restraints for {listed}. Give a dictionary with --ligand FILE.cif,"
            " or a complete library with --monomers"
        )
