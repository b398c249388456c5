"""Maps from the coefficients of an MTZ file, under the names by which programs write them. No PyTorch: the web server
reads them too."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from burnish.core.errors import DataError, InputError

# Names of map coefficients by what they are, of CCP4, phenix and the wwPDB; the first pair that a file has is taken.
COLUMNS = {
    "density": (("FWT", "PHWT"), ("2FOFCWT", "PH2FOFCWT"), ("pdbx_FWT", "pdbx_PHWT")),
    "difference": (("DELFWT", "PHDELWT"), ("FOFCWT", "PHFOFCWT"), ("pdbx_DELFWT", "pdbx_DELPHWT")),
}


def is_of_a_box(path: Path) -> bool:
    """Whether the coefficients are in P 1: of a box cut out of a map of particles, or of a crystal without symmetry."""
    group = gemmi.read_mtz_file(str(path), with_data=False).spacegroup
    return group is not None and group.number == 1


def read_coefficient_map(path: Path, kind: str, rate: float = 3.0) -> tuple[NDArray[np.float32], gemmi.UnitCell]:
    """Density over one cell, indexed along a, b, c, and the cell.

    Parameters
    ----------
    path : MTZ file.
    kind : "density" (2mFo − DFc) or "difference" (mFo − DFc).
    rate : grid points per d_min.

    Raises
    ------
    InputError : no such kind.
    DataError : the file cannot be read or lacks the coefficients.
    """
    if kind not in COLUMNS:
        raise InputError(f"{kind!r}: no such map; expected one of {', '.join(COLUMNS)}")
    try:
        mtz = gemmi.read_mtz_file(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        raise DataError(f"{path.name}: not an MTZ file that can be read ({error})") from None
    labels = set(mtz.column_labels())
    pair = next((p for p in COLUMNS[kind] if set(p) <= labels), None)
    if pair is None:
        wanted = " or ".join("/".join(p) for p in COLUMNS[kind])
        raise DataError(f"{path.name}: no coefficients of the {kind} map ({wanted}); refine against these data first")
    grid = mtz.transform_f_phi_to_map(*pair, sample_rate=rate)
    return np.array(grid.array, dtype=np.float32), mtz.cell
