"""MolProbity's Ramachandran contours as they are, where cctbx-base is installed (an extra).

That package has the backbone contours compiled in; those of side chains are not in it. Everything works without: the
fitted densities of `chemistry.ramachandran` then give the verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module

import torch
from torch import Tensor

from burnish.chemistry.ramachandran import RamachandranClass

Score = Callable[[str, float, float], float]  # class in cctbx's words, φ and ψ in ° → level
CCTBX_CLASS: dict[RamachandranClass, str] = {
    "general": "general", "ile_val": "isoleucine or valine", "pre_proline": "pre-proline", "glycine": "glycine",
    "trans_proline": "trans-proline", "cis_proline": "cis-proline",
}  # fmt: skip


@cache
def cctbx_score() -> Score | None:
    """The function of cctbx that looks a level up, None where cctbx-base is not installed or cannot be loaded."""
    try:
        extension = import_module("boost_adaptbx.boost.python").import_ext("mmtbx_validation_ramachandran_ext")
        score: Score = extension.rama_eval().get_score
    except (ImportError, AttributeError, RuntimeError):
        return None
    return score


def contour_levels(score: Score, kinds: Sequence[RamachandranClass], phi_psi: Tensor) -> Tensor:
    """Level of each residue from the contours.

    Parameters
    ----------
    score : as `cctbx_score` gives it.
    kinds : class of each residue. n
    phi_psi : torsions, rad. (n, 2)
    """
    degrees = torch.rad2deg(phi_psi).tolist()
    found = [score(CCTBX_CLASS[kind], phi, psi) for kind, (phi, psi) in zip(kinds, degrees, strict=True)]
    return torch.tensor(found, dtype=phi_psi.dtype)
