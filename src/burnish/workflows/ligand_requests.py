"""What `--ligand` asks for: a dictionary, a component code or SMILES; each is a component to place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gemmi

from burnish.core.errors import InputError

CODE = re.compile(r"^[A-Za-z0-9]{1,5}$")
NAMED_SMILES = re.compile(r"^([A-Z0-9]{1,5})=(.+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class LigandRequests:
    """Components that the user names.

    Attributes
    ----------
    files : dictionaries.
    names : of all components, those of the dictionaries among them.
    smiles : by name, for those that were given so.
    """

    files: tuple[Path, ...]
    names: tuple[str, ...]
    smiles: dict[str, str]


def ligand_requests(items: Sequence[str]) -> LigandRequests:
    """Sort out what was given: files first, then codes of up to five letters and digits, else SMILES.

    Raises
    ------
    InputError : a file that is not there.
    """
    files: list[Path] = []
    names: list[str] = []
    smiles: dict[str, str] = {}
    for item in items:
        path = Path(item)
        named = NAMED_SMILES.match(item)
        if path.is_file():
            files.append(path)
            names += _components(path)
        elif path.suffix.lower() in (".cif", ".mmcif", ".lib"):
            raise InputError(f"--ligand {item}: no such file; give a restraint dictionary, a component code or SMILES")
        elif CODE.match(item):
            names.append(item.upper())
        else:
            name, text = (named.group(1), named.group(2)) if named else (_free_name(names), item)
            smiles[name] = text
            names.append(name)
    return LigandRequests(files=tuple(files), names=tuple(dict.fromkeys(names)), smiles=smiles)


def _components(path: Path) -> list[str]:
    """Names of the components that a dictionary describes; errors are left to the library's reader."""
    try:
        document = gemmi.cif.read(str(path))
    except (OSError, ValueError, RuntimeError):
        return []
    return [b.name.removeprefix("comp_") for b in document if b.find_values("_chem_comp_atom.atom_id")]


def _free_name(names: Sequence[str]) -> str:
    return next(n for n in ("LIG", *(f"LG{k}" for k in range(1, 100))) if n not in names)
