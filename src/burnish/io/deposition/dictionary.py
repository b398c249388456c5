"""Check of an mmCIF file against the PDBx/mmCIF dictionary."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import gemmi

from burnish.core.errors import DataError, InputError

IN_CCTBX = Path("cif") / "dictionaries" / "mmcif_pdbx_v50.dic.gz"  # of the package iotbx


@dataclass(frozen=True, slots=True, kw_only=True)
class DictionaryCheck:
    """What a dictionary says of a file.

    Attributes
    ----------
    dictionary : its name and version.
    errors : items unknown to it, values of the wrong kind or not among those allowed, mandatory items that lack.
    notes : parents of linked items that the file does not have: tables that the PDB adds itself.
    """

    dictionary: str
    errors: tuple[str, ...]
    notes: tuple[str, ...]


def find_dictionary(given: Path | None) -> Path | None:
    """The dictionary that the user names, there or in PDBX_DICTIONARY, else that of cctbx-base, else None."""
    named = given or (Path(os.environ["PDBX_DICTIONARY"]) if os.environ.get("PDBX_DICTIONARY") else None)
    if named is not None:
        if not named.is_file():
            raise InputError(f"--dictionary {named}: no such file; give mmcif_pdbx_v50.dic")
        return named
    package = importlib.util.find_spec("iotbx")
    for folder in (package.submodule_search_locations or []) if package is not None else []:
        if (Path(folder) / IN_CCTBX).is_file():
            return Path(folder) / IN_CCTBX
    return None


class Dictionary:
    """A dictionary once read, for several files."""

    def __init__(self, path: Path) -> None:
        self._said: list[str] = []
        try:
            document = gemmi.cif.read(str(path))
            title, version = (document[0].find_value(f"_dictionary.{n}") or "?" for n in ("title", "version"))
            self._rules = gemmi.cif.Ddl(self._said.append)
            self._rules.read_ddl(document)  # takes the blocks out of the document
        except (OSError, RuntimeError, ValueError, IndexError) as error:
            why = " ".join(str(error).split())
            raise DataError(f"{path}: no DDL2 dictionary ({why}); give mmcif_pdbx_v50.dic") from None
        self.name = f"{gemmi.cif.as_string(title)} {gemmi.cif.as_string(version)}"
        self._said.clear()

    def check(self, path: Path) -> DictionaryCheck:
        """Check every block of a file."""
        self._said.clear()
        self._rules.validate_cif(gemmi.cif.read(str(path)))
        errors: list[str] = []
        notes: list[str] = []
        for text in self._said:
            line = " ".join(text.split())
            if "WWPDB_LOCAL" not in line:  # categories that depositors fill in and the public entry leaves out
                (notes if "parent" in line else errors).append(line)
        return DictionaryCheck(dictionary=self.name, errors=tuple(errors), notes=tuple(notes))
