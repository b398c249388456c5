"""Predicted models: their confidence as B factors, and what of them to keep."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from burnish.core.units import EIGHT_PI_SQUARED

LEAST_CONFIDENT = 50.0  # pLDDT below which AlphaFold's own advice is not to interpret the positions
LARGEST_B = 200.0  # Å²


def b_from_plddt(plddt: NDArray[np.float64]) -> NDArray[np.float64]:
    """B that the expected error of each atom amounts to, Å². (n,)

    Parameters
    ----------
    plddt : predicted local distance difference test, 0 to 100. (n,)

    Notes
    -----
    The rms error is 1.5 exp(4 (0.7 − pLDDT/100)) Å (Hiranuma et al. 2021, Nat. Commun. 12, 1340); B = 8π²/3 times its
    square (Oeffner et al. 2022, Acta Cryst. D78, 1303), at most 200 Å².

    Examples
    --------
    >>> b_from_plddt(np.array([70.0, 95.0])).round(1).tolist()
    [59.2, 8.0]
    """
    error = 1.5 * np.exp(4.0 * (0.7 - np.asarray(plddt, float) / 100.0))
    return np.minimum(EIGHT_PI_SQUARED / 3.0 * error**2, LARGEST_B)


def looks_predicted(b: NDArray[np.float64], residue: NDArray[np.int64]) -> bool:
    """Whether B may be pLDDT: the same for all atoms of each residue, 0 to 100, and mostly high.

    Parameters
    ----------
    b : as in the file. (n,)
    residue : number of the residue of each atom. (n,)
    """
    if len(b) < 50 or b.min() < 0.0 or b.max() > 100.0 or b.std() == 0.0:
        return False
    count = np.bincount(residue)
    mean = np.bincount(residue, weights=b) / np.maximum(count, 1)
    return bool(np.abs(b - mean[residue]).max() < 0.005 and np.median(b) > LEAST_CONFIDENT)
