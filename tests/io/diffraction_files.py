"""Small reflection files and models for the tests of this folder, made in memory."""

from pathlib import Path

import gemmi
import numpy as np

CELL = (30.13, 40.37, 50.71, 90.0, 90.0, 90.0)
GROUP = "P 21 21 21"


def indices(group: str = GROUP, cell=CELL, d_min: float = 3.0) -> np.ndarray:
    return gemmi.make_miller_array(gemmi.UnitCell(*cell), gemmi.SpaceGroup(group), d_min).astype(float)


def amplitudes(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.rayleigh(100.0, n) + 1.0, generator.uniform(1.0, 5.0, n)


def write_mtz(
    path: Path, hkl: np.ndarray, columns: dict[str, tuple[str, np.ndarray]], *, group=GROUP, cell=CELL
) -> Path:
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup(group)
    mtz.set_cell_for_all(gemmi.UnitCell(*cell))
    mtz.add_dataset("native")
    for label, (kind, _) in columns.items():
        mtz.add_column(label, kind)
    mtz.set_data(np.column_stack([hkl, *(values for _, values in columns.values())]).astype(np.float32))
    mtz.write_to_file(str(path))
    return path


def usual_columns(n: int, seed: int = 1) -> dict[str, tuple[str, np.ndarray]]:
    f, sigma = amplitudes(n, seed)
    flags = np.random.default_rng(seed).integers(0, 20, n)
    return {"FP": ("F", f), "SIGFP": ("Q", sigma), "FREE": ("I", flags)}


def write_usual(path: Path, **changes) -> Path:
    """A good file with FP, SIGFP, FREE; changes replace columns by values."""
    hkl = indices()
    columns = usual_columns(len(hkl))
    for label, values in changes.items():
        columns[label] = (columns[label][0], np.asarray(values))
    return write_mtz(path, hkl, columns)


PDB = """\
CRYST1   30.130   40.370   50.710  90.00  90.00  90.00 P 21 21 21
ATOM      1  N   GLY A   1      10.000  10.000  10.000  1.00 20.00           N
ATOM      2  CA  GLY A   1      11.450  10.000  10.000  1.00 20.00           C
ATOM      3  C   GLY A   1      12.000  11.420  10.000  1.00 20.00           C
ATOM      4  O   GLY A   1      11.250  12.400  10.000  1.00 20.00           O
HETATM    5  O  AHOH A 101      20.000  20.000  20.000  0.60 30.00           O
HETATM    6  O  BHOH A 101      20.500  20.000  20.000  0.40 30.00           O
END
"""


def write_pdb(path: Path, text: str = PDB) -> Path:
    path.write_text(text)
    return path
