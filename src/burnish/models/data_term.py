"""What the optimiser sees of the data: one value, its gradient, and blocks of second derivatives per atom.

A `DataTerm` is crystal data with a target, or (for cryo-EM) maps. The order of calls is

    term.prepare(atoms)             once, and again when atoms were added or removed or have moved far
    term.update_scaling(atoms)      once a cycle: mask, scales, σ_A, outliers
    term.evaluate(atoms)            value, gradient and Fisher blocks at fixed scales: compare values only between two
                                    calls of `update_scaling`
    term.value(atoms)               the value alone, for trial steps
    term.statistics()               of the model last seen by `update_scaling`
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from burnish.data.atoms import Atoms
from burnish.models.gaussian_atoms import AtomGradient


@dataclass(frozen=True, slots=True, kw_only=True)
class FisherBlocks:
    """Expected second derivatives of the target, block-diagonal by atom.

    Attributes
    ----------
    xyz : Å⁻². (n, 3, 3)
    b_iso : Å⁻⁴; of every atom, as if it were isotropic. (n,)
    u_aniso : for 11 22 33 12 13 23, off-diagonal ones counted twice as in the gradient, Å⁻⁴; 0 for isotropic atoms.
        (n, 6, 6)
    occ : (n,)
    b_occ : mixed derivative by B and occupancy, Å⁻². (n,)
    """

    xyz: Tensor
    b_iso: Tensor
    u_aniso: Tensor
    occ: Tensor
    b_occ: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class FisherPairs:
    """Expected second derivatives between atoms whose densities overlap at the resolution of the data.

    Attributes
    ----------
    atoms : i < j. (p, 2)
    xyz : by xyz of i and of j; symmetric. (p, 3, 3)
    b_iso : by B of i and of j. (p,)
    xyz_b : by xyz of i and B of j; by xyz of j and B of i it is the negative. (p, 3)
    """

    atoms: Tensor
    xyz: Tensor
    b_iso: Tensor
    xyz_b: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class DataEvaluation:
    """Target and its derivatives at one model; float64 on the CPU.

    Attributes
    ----------
    value : negative log-likelihood, smaller is better.
    gradient : of the value.
    fisher : expected second derivatives.
    pairs : those between atoms; None where they are neglected.
    """

    value: float
    gradient: AtomGradient
    fisher: FisherBlocks
    pairs: FisherPairs | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellStatistics:
    """One resolution shell; a quantity is NaN where nothing was measured."""

    d_max: float
    d_min: float
    measured: int
    free: int
    completeness: float
    r_work: float
    r_free: float
    cc_work: float
    cc_free: float
    d_scale: float  # mean D of the likelihood
    fom: float  # mean figure of merit


@dataclass(frozen=True, slots=True, kw_only=True)
class DataStatistics:
    """Agreement of model and data.

    Attributes
    ----------
    r_work, r_free : as fractions, on amplitudes; R1 of the twinned intensities for twins; NaN without reflections.
    cc_work, cc_free : correlations of the same quantities, mean over shells weighted by their size.
    free_value : target per free reflection: falls with r_free and is smoother.
    work_value : target per working reflection.
    outliers : reflections left out by the last `update_scaling`.
    k_sol, b_sol : of the exponential scale that fits the data best, e⁻/Å³ and Å².
    overall_b : isotropic B that the atoms lack: that scale multiplies F_calc by exp(−overall_b s²/4), Å².
    anisotropy : traceless anisotropic B of the scale, Cartesian 11 22 33 12 13 23, Å².
    twin_fractions : of the identity and each twin law; (1,) for untwinned data.
    shells : by resolution, low to high.
    cc_expected : what `cc_work` would be for a model without errors; NaN where the data do not say.
    """

    r_work: float
    r_free: float
    cc_work: float
    cc_free: float
    free_value: float
    work_value: float
    outliers: int
    k_sol: float
    b_sol: float
    overall_b: float
    anisotropy: tuple[float, ...]
    twin_fractions: tuple[float, ...]
    shells: tuple[ShellStatistics, ...]
    cc_expected: float = math.nan


class DataTerm(ABC):
    """Data against which atoms are refined."""

    @abstractmethod
    def prepare(self, atoms: Atoms) -> None:
        """Set up for these atoms: form factors, special positions; then `update_scaling`."""

    @abstractmethod
    def update_scaling(self, atoms: Atoms) -> None:
        """Fit everything about the data that is not an atom."""

    def fitted(self) -> dict[str, np.ndarray]:
        """What the last fit found and the next one starts from, by name; nothing where fits start anew."""
        return {}

    def resume(self, first: Atoms, now: Atoms, fitted: Mapping[str, np.ndarray]) -> None:
        """Stand as after the fit of scales to the atoms `now` that gave `fitted`, in a refinement from `first` on.

        Raises
        ------
        KeyError : where something fitted is missing.
        """
        self.prepare(now)

    @abstractmethod
    def evaluate(self, atoms: Atoms) -> DataEvaluation:
        """Target, gradient and Fisher blocks at fixed scales."""

    @abstractmethod
    def value(self, atoms: Atoms) -> float:
        """The target alone."""

    @abstractmethod
    def statistics(self) -> DataStatistics:
        """Agreement at the last `update_scaling`."""
