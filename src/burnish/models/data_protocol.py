"""What refinement asks of the data, whether reflections or maps.

A data term is immutable. Structure factors are the costly part and are computed once for each set of atoms:
`calculate` returns them, and everything else takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from burnish.data.atoms import Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDerivatives:
    """−log likelihood of the data with its first derivatives and the blocks of the Fisher information of single atoms.

    Attributes
    ----------
    energy : −log likelihood of the working set, one count for each unique reflection, natural units.
    xyz : ∂/∂xyz, Å⁻¹. (n, 3)
    b_iso : ∂/∂B of atoms refined isotropically, Å⁻². (n,)
    u_aniso : ∂/∂U of anisotropic atoms, order as in `Atoms`; U12 stands for both of its places. (n, 6)
    occ : ∂/∂occupancy. (n,)
    fisher_xyz : expected second derivatives, Å⁻². (n, 3, 3)
    fisher_b_iso : (n,)
    fisher_u_aniso : (n, 6, 6)
    fisher_occ : (n,)
    """

    energy: float
    xyz: Tensor
    b_iso: Tensor
    u_aniso: Tensor
    occ: Tensor
    fisher_xyz: Tensor
    fisher_b_iso: Tensor
    fisher_u_aniso: Tensor
    fisher_occ: Tensor


class DataTerm(Protocol):
    """Measured data with their scales and likelihood parameters.

    `calculated` is whatever `calculate` of the same term returned; refinement only passes it on.
    """

    def calculate(self, atoms: Atoms) -> Any:
        """Structure factors (or density) of the atoms: everything that depends on the atoms only."""

    def fit(self, calculated: Any) -> DataTerm:
        """A copy whose scales, solvent, σ_A and twin fractions are fitted to the calculated structure factors."""

    def energy(self, calculated: Any) -> float:
        """−log likelihood of the working set at the present scales; smaller is better."""

    def derivatives(self, calculated: Any) -> DataDerivatives:
        """Energy, gradient and Fisher blocks at the present scales."""

    def statistics(self, calculated: Any) -> Mapping[str, float]:
        """Numbers for the table of cycles: `r_work`, `r_free` (NaN without a free set), `cc_work`, `cc_free`,
        `nll_work` and
        `nll_free` (mean −log likelihood per reflection) and what else the data have to say."""

    @property
    def d_min(self) -> float:
        """Resolution limit, Å."""

    @property
    def n_observations(self) -> int:
        """Number of measured values in the working set."""
