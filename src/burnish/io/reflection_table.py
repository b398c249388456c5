"""Reflection files as plain tables: MTZ and structure-factor mmCIF, with every column and its MTZ type."""

from __future__ import annotations

import contextlib
import gzip
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from burnish.core.errors import DataError, InputError
from burnish.data.reflections import Crystal
from burnish.io.file_kinds import in_place_of

# mmCIF item of the category _refln → (MTZ label, MTZ type); the labels that CCP4 gives to such a file
CIF_COLUMNS: dict[str, tuple[str, str]] = {
    "F_meas_au": ("FP", "F"),
    "F_meas": ("FP", "F"),
    "F_meas_sigma_au": ("SIGFP", "Q"),
    "F_meas_sigma": ("SIGFP", "Q"),
    "intensity_meas": ("I", "J"),
    "F_squared_meas": ("I", "J"),
    "intensity_sigma": ("SIGI", "Q"),
    "F_squared_sigma": ("SIGI", "Q"),
    "pdbx_F_plus": ("F(+)", "G"),
    "pdbx_F_plus_sigma": ("SIGF(+)", "L"),
    "pdbx_F_minus": ("F(-)", "G"),
    "pdbx_F_minus_sigma": ("SIGF(-)", "L"),
    "pdbx_I_plus": ("I(+)", "K"),
    "pdbx_I_plus_sigma": ("SIGI(+)", "M"),
    "pdbx_I_minus": ("I(-)", "K"),
    "pdbx_I_minus_sigma": ("SIGI(-)", "M"),
    "pdbx_anom_difference": ("DP", "D"),
    "pdbx_anom_difference_sigma": ("SIGDP", "Q"),
    "pdbx_HL_A_iso": ("HLA", "A"),
    "pdbx_HL_B_iso": ("HLB", "A"),
    "pdbx_HL_C_iso": ("HLC", "A"),
    "pdbx_HL_D_iso": ("HLD", "A"),
    "F_calc_au": ("FC", "F"),
    "F_calc": ("FC", "F"),
    "phase_calc": ("PHIC", "P"),
    "phase_meas": ("PHIB", "P"),
    "fom": ("FOM", "W"),
    "pdbx_F_calc_with_solvent": ("FC_ALL", "F"),
    "pdbx_phase_calc_with_solvent": ("PHIC_ALL", "P"),
    "pdbx_FWT": ("FWT", "F"),
    "pdbx_PHWT": ("PHWT", "P"),
    "pdbx_DELFWT": ("DELFWT", "F"),
    "pdbx_DELPHWT": ("PHDELWT", "P"),
    "pdbx_r_free_flag": ("RFREE", "I"),
}
# not carried: text, or bookkeeping of the loop itself
CIF_BOOKKEEPING = frozenset({"index_h", "index_k", "index_l", "crystal_id", "wavelength_id", "scale_group_code"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its label, MTZ type, dataset (MTZ) and values, NaN where the file has none. (n,) float64

    `item` is what the file itself calls it, where that is not the label.
    """

    label: str
    kind: str
    dataset: str
    values: NDArray[np.float64]
    item: str = ""

    def is_named(self, name: str) -> bool:
        return name in (self.label, self.item)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectionTable:
    """All of one reflection file, rows as in the file.

    Attributes
    ----------
    source : the file.
    crystal : cell and space group.
    hkl : Miller indices. (n, 3) int64
    columns : all numeric columns but the indices.
    wavelength : Å, or None where the file does not say.
    first_row : number of the row that a message calls the first.
    notes : what a user may want to know about the choice of the data block, or about merging.
    """

    source: Path
    crystal: Crystal
    hkl: NDArray[np.int64]
    columns: tuple[Column, ...]
    wavelength: float | None = None
    first_row: int = 1
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.hkl)

    def column(self, name: str) -> Column | None:
        """The column of that label or mmCIF item, None when there is none."""
        return next((c for c in self.columns if c.is_named(name)), None)

    def place(self, row: int) -> str:
        """How a message names a row."""
        h, k, l = self.hkl[row]
        return f"reflection ({h} {k} {l}), row {row + self.first_row}"


def read_table(path: Path, block_name: str | None = None) -> ReflectionTable:
    """Read an MTZ or structure-factor mmCIF file, gzipped or not; the content decides which, not the name.

    Parameters
    ----------
    path : the file.
    block_name : data block of an mmCIF file; by default the first that holds reflections, which in wwPDB entries are
        the data of the refinement.
    """
    path = Path(path)
    content = read_bytes(path)
    if content[:4] == b"MTZ " or content[:3] == b"MTZ":
        return _read_mtz(path, content)
    if b"_refln.index_h" not in content and (other := in_place_of(content, "reflections", "structure factors")):
        raise DataError(f"{path}: {other}")
    if b"data_" in content[: 1 << 16] or b"_refln" in content:
        return _read_cif(path, content, block_name)
    raise DataError(
        f"{path}: neither an MTZ file (starts with 'MTZ') nor mmCIF (has 'data_'); give merged reflections as MTZ or "
        "structure-factor mmCIF"
    )


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked when it is gzipped."""
    try:
        content = Path(path).read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, a file is expected") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error}); copy the file again") from None
    if not content.strip():
        raise DataError(f"{path}: is empty (0 bytes of content); copy or write it again")
    return content


@contextlib.contextmanager
def _quiet_gemmi(path: Path, kind: str) -> Iterator[None]:
    """Turn what gemmi raises about a broken file into one line."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError, OverflowError, MemoryError) as error:  # UnicodeDecodeError too
        why = " ".join(str(error).split())
        raise DataError(f"{path}: damaged or incomplete {kind} file ({why}); copy or write it again") from None


def _read_mtz(path: Path, content: bytes) -> ReflectionTable:
    if b"MTZENDOFHEADERS" not in content[-(1 << 20) :]:
        raise DataError(
            f"{path}: MTZ file without its end (no MTZENDOFHEADERS record in {len(content)} bytes): truncated; "
            "copy the file again"
        )
    with _quiet_gemmi(path, "MTZ"), np.errstate(invalid="ignore"):  # damaged files hold signalling NaN
        mtz = gemmi.read_mtz_file(str(path)) if path.read_bytes()[:3] == b"MTZ" else _read_unpacked_mtz(content)
        columns = [(c.label, c.type, c.dataset_id) for c in mtz.columns]
        datasets = [(d.id, d.dataset_name, d.cell, d.wavelength) for d in mtz.datasets]
        raw = np.array(mtz.array, dtype=np.float64)
        group, group_name = mtz.spacegroup, mtz.spacegroup_name
        batches = len(mtz.batches)
    if batches or any(label in ("M/ISYM", "M_ISYM") for label, _, _ in columns):
        return _merged(path, mtz)
    if group is None:
        raise DataError(f"{path}: unknown space group {group_name!r}; correct the header")
    if raw.ndim != 2 or not len(raw) or raw.shape[1] < 3:
        raise DataError(f"{path}: no reflections in the file")
    if np.isfinite(mtz.valm):
        raw[raw == mtz.valm] = np.nan
    indices = raw[:, :3]
    if not (np.isfinite(indices).all() and (indices == np.round(indices)).all() and (np.abs(indices) < 1e4).all()):
        raise DataError(f"{path}: Miller indices that are no whole numbers below 10,000; the file is damaged")
    names = {number: name for number, name, _, _ in datasets}
    wavelengths = {round(w, 5) for _, _, _, w in datasets if 0.0 < w < 5.0}  # 9.999 is a placeholder
    cells = [cell for _, name, cell, _ in datasets if cell.is_crystal() and name != "HKL_base"]
    return ReflectionTable(
        source=path,
        crystal=checked_crystal(cells[0] if cells else mtz.cell, group, path),
        hkl=indices.astype(np.int64),
        columns=tuple(
            Column(label=label, kind=kind, dataset=names.get(number, ""), values=raw[:, j])
            for j, (label, kind, number) in enumerate(columns)
            if j > 2
        ),
        wavelength=wavelengths.pop() if len(wavelengths) == 1 else None,
    )


def _merged(path: Path, mtz: gemmi.Mtz) -> ReflectionTable:
    """Mean intensities of unmerged observations, weighted by 1/σ²."""
    intensities = gemmi.Intensities()
    with _quiet_gemmi(path, "unmerged MTZ"):
        intensities.import_mtz(mtz, gemmi.DataType.Unmerged)
        observations = len(intensities.value_array)
        intensities.merge_in_place(gemmi.DataType.Mean)
        intensities.remove_systematic_absences()
    values, sigma = np.array(intensities.value_array, float), np.array(intensities.sigma_array, float)
    if intensities.spacegroup is None or not len(values):
        raise DataError(f"{path}: unmerged reflections, but no intensities with sigmas in them; merge them first")
    note = (
        f"{observations} unmerged observations became {len(values)} mean intensities, weighted by 1/σ²; they must have "
        "been scaled, and no outlier was left out"
    )
    wavelengths = {round(d.wavelength, 5) for d in mtz.datasets if 0.0 < d.wavelength < 5.0}
    return ReflectionTable(
        source=path,
        crystal=checked_crystal(intensities.unit_cell, intensities.spacegroup, path),
        hkl=np.array(intensities.miller_array, dtype=np.int64),
        columns=(
            Column(label="IMEAN", kind="J", dataset="merged", values=values),
            Column(label="SIGIMEAN", kind="Q", dataset="merged", values=sigma),
        ),
        wavelength=wavelengths.pop() if len(wavelengths) == 1 else None,
        notes=(note,),
    )


def _read_unpacked_mtz(content: bytes) -> gemmi.Mtz:
    """gemmi reads MTZ from a path only; unpacked content goes through a temporary file."""
    with tempfile.NamedTemporaryFile(suffix=".mtz") as file:
        file.write(content)
        file.flush()
        return gemmi.read_mtz_file(file.name)


def checked_crystal(cell: gemmi.UnitCell, group: gemmi.SpaceGroup, path: Path) -> Crystal:
    """Cell and space group, refused when they do not describe a crystal or do not go together."""
    values = cell.parameters
    if not np.isfinite(values).all() or not cell.is_crystal() or cell.volume < 1.0:
        raise DataError(f"{path}: cell {_cell_text(cell)} is not the cell of a crystal; correct the file")
    if not cell.is_compatible_with_spacegroup(group, 0.03):
        raise DataError(
            f"{path}: cell {_cell_text(cell)} does not have the symmetry of {group.xhm()}; correct the file"
        )
    return Crystal(cell=tuple(float(v) for v in values), space_group=group.xhm())  # type: ignore[arg-type]


def _cell_text(cell: gemmi.UnitCell) -> str:
    return " ".join(f"{v:.6g}" for v in cell.parameters)


def _read_cif(path: Path, content: bytes, block_name: str | None) -> ReflectionTable:
    with _quiet_gemmi(path, "mmCIF"):
        document = gemmi.cif.read_string(content.decode("utf-8", errors="replace"))
    blocks = [b for b in document if b.find_loop("_refln.index_h").get_loop() is not None]
    if not blocks:
        raise DataError(f"{path}: no merged reflections (no loop with _refln.index_h); give structure factors")
    notes: tuple[str, ...] = ()
    if block_name is not None:
        chosen = [b for b in blocks if b.name == block_name]
        if not chosen:
            raise InputError(f"{path}: no data block {block_name}; the file has {', '.join(b.name for b in blocks)}")
        blocks = chosen
    elif len(blocks) > 1:
        others = ", ".join(b.name for b in blocks[1:])
        notes = (f"{path.name}: data block {blocks[0].name} is used, the first of {len(blocks)}; also there: {others}",)
    return _table_of_block(path, blocks[0], notes)


def _table_of_block(path: Path, block: gemmi.cif.Block, notes: tuple[str, ...]) -> ReflectionTable:
    loop = block.find_loop("_refln.index_h").get_loop()
    names = [tag.removeprefix("_refln.") for tag in loop.tags]
    text = {name: list(block.find_loop("_refln." + name)) for name in names}
    if not text["index_h"]:
        raise DataError(f"{path}: no reflections in block {block.name}")
    for name in ("index_k", "index_l"):
        if name not in text:
            raise DataError(f"{path}: block {block.name} has no _refln.{name}; write the file again")
    _refuse_several_sets(path, block.name, text)
    hkl = np.stack([_numbers(path, block.name, n, text[n], index=True) for n in ("index_h", "index_k", "index_l")], 1)
    columns: list[Column] = []
    for name in names:
        if name in CIF_BOOKKEEPING:
            continue
        if name == "status":
            columns.append(Column(label="STATUS", kind="I", dataset="", values=_status(text[name]), item=name))
        elif name in CIF_COLUMNS:
            label, kind = CIF_COLUMNS[name]
            if any(c.label == label for c in columns):
                continue
            values = _numbers(path, block.name, name, text[name])
            columns.append(Column(label=label, kind=kind, dataset="", values=values, item=name))
    cell, group = _cif_crystal(path, block)
    wavelength = gemmi.cif.as_number(block.find_value("_diffrn_radiation_wavelength.wavelength") or "?")
    return ReflectionTable(
        source=path,
        crystal=checked_crystal(cell, group, path),
        hkl=hkl.astype(np.int64),
        columns=tuple(columns),
        wavelength=float(wavelength) if np.isfinite(wavelength) and wavelength > 0 else None,
        notes=notes,
    )


def _refuse_several_sets(path: Path, block: str, text: dict[str, list[str]]) -> None:
    """Several crystals, wavelengths or scale groups in one loop are several measurements."""
    for name in ("crystal_id", "wavelength_id"):
        values = sorted(set(text.get(name, [])))
        if len(values) > 1:
            raise DataError(
                f"{path}: block {block} holds several measurements, {name} {', '.join(values[:6])}; "
                "split the file so that each measurement has a block of its own"
            )


def _numbers(path: Path, block: str, name: str, text: list[str], *, index: bool = False) -> NDArray[np.float64]:
    """Values of an item; `?` and `.` are NaN, anything else must be a finite number."""
    values = np.empty(len(text))
    for row, item in enumerate(text):
        if item in ("?", ".") and not index:
            values[row] = np.nan
            continue
        try:
            values[row] = float(item.partition("(")[0].strip("'\""))
        except ValueError:
            values[row] = np.nan
        if not np.isfinite(values[row]) or (index and (values[row] != round(values[row]) or abs(values[row]) > 1e6)):
            kind = "a whole number" if index else "a number (or ? where not measured)"
            raise DataError(f"{path}: block {block}, _refln.{name}, row {row + 1}: found {item}, expected {kind}")
    return values


def _status(text: list[str]) -> NDArray[np.float64]:
    """wwPDB status as a number: f (free) 1, o and < and h and l (work) 0, x and - and the rest (not used) NaN."""
    codes = {"f": 1.0, "o": 0.0, "<": 0.0, "h": 0.0, "l": 0.0}
    return np.array([codes.get(item.strip("'\"").lower(), np.nan) for item in text])


def _cif_crystal(path: Path, block: gemmi.cif.Block) -> tuple[gemmi.UnitCell, gemmi.SpaceGroup]:
    parts = [block.find_value(f"_cell.{n}") for n in ("length_a", "length_b", "length_c")]
    parts += [block.find_value(f"_cell.angle_{n}") for n in ("alpha", "beta", "gamma")]
    values = [gemmi.cif.as_number(p) if p else np.nan for p in parts]
    if not np.isfinite(values).all():
        raise DataError(f"{path}: block {block.name} has no cell (_cell.length_a …); add it to the file")
    names = [block.find_value(f"_symmetry.{n}") for n in ("space_group_name_H-M", "space_group_name_Hall")]
    names += [block.find_value(f"_space_group.{n}") for n in ("name_H-M_alt", "name_Hall")]
    names = [gemmi.cif.as_string(n) for n in names if n and gemmi.cif.as_string(n)]
    for name in names:
        group = gemmi.find_spacegroup_by_name(name, values[3], values[5])
        if group is not None:
            return gemmi.UnitCell(*values), group
    number = block.find_value("_symmetry.Int_Tables_number") or block.find_value("_space_group.IT_number") or "?"
    if number.isdigit() and 1 <= int(number) <= 230:
        group = gemmi.find_spacegroup_by_number(int(number))
    else:
        found = f"unknown space group {names[0]!r}" if names else "no space group"
        raise DataError(f"{path}: block {block.name} has {found} (_symmetry.space_group_name_H-M); correct the file")
    return gemmi.UnitCell(*values), group
