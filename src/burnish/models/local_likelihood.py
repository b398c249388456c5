"""What the likelihood of crystal data says of a few atoms: added to a model, left out of it, or put elsewhere.

With everything else held, and to second order in the structure factors that change,

    Δ(−log L) = Σ_i q_i g_i + ½ Σ_ij q_i q_j h_ij,    h_ij = Σ_h W(h) f_i f_j j₀(2πs r_ij)

q_i is the change of the occupancy of an atom at its place, g_i the derivative of −log L by it, from one transform for
all atoms, W the expected curvature of `fisher_pairs`, whose pair terms these are, f with exp(−Bs²/4), j₀ = sin t / t.
An atom that moves is left out at one place and added at another. Unlike density, which remembers the phases of the
atoms that were there, this compares what two models say of the measured amplitudes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from burnish.data.atoms import Atoms
from burnish.models.fisher import ShellWeights, fisher_blocks
from burnish.models.structure_factors import StructureFactorPlan, gather_gradient, gradient_grid, sharpest_blur
from burnish.scattering.form_factors import FormFactors, Radiation, form_factors
from burnish.symmetry.space_groups import special_positions

Array = NDArray[np.float64]

LEAST_B = 5.0  # Å²; the grid holds atoms at least so wide


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLikelihood:
    """−log likelihood near one model.

    Attributes
    ----------
    plan : of the reflections.
    grid, blur : its derivatives by structure factors, transformed for atoms widened by a B of `blur`, Å².
    shells : its curvature.
    radiation, dispersion : of form factors; of the dispersion f″ is left out.
    """

    plan: StructureFactorPlan
    grid: Tensor
    blur: float
    shells: ShellWeights
    radiation: Radiation
    dispersion: Mapping[str, tuple[float, float]] | None

    def of_each(self, atoms: Atoms, by: Array) -> Array:
        """Change of −log likelihood when the occupancy of each atom alone changes. (n,)

        Parameters
        ----------
        atoms : of the model, or others.
        by : change of each occupancy, as files have it. (n,)
        """
        factors, share, coherent = self._prepared(atoms)
        curvature = fisher_blocks(atoms, factors, share, self.shells, coherent).occ.numpy()
        by = by * share
        change: Array = by * self._slope(atoms, factors, share) + 0.5 * curvature * by**2
        return change

    def of_all(self, atoms: Atoms, by: Array) -> float:
        """Change of −log likelihood when the occupancies of all atoms change together; `by` as above."""
        factors, share, coherent = self._prepared(atoms)
        by = by * share
        width = np.exp(-0.25 * atoms.b_iso.numpy()[:, None] * self.shells.position)
        form = factors.at(self.shells.position)[factors.kind] * width
        xyz = atoms.xyz.numpy()
        apart = np.linalg.norm(xyz[:, None] - xyz, axis=2)
        wave = np.sinc(2.0 * np.sqrt(self.shells.position) * apart[:, :, None])
        pairs = np.einsum("ik,jk,ijk,k->ij", form, form, wave, self.shells.total)
        pairs *= np.maximum(coherent[:, None], coherent)
        return float(by @ self._slope(atoms, factors, share) + 0.5 * by @ pairs @ by)

    def _prepared(self, atoms: Atoms) -> tuple[FormFactors, Array, NDArray[np.int64]]:
        """Form factors, and of each atom the share of a special position and the number of mates on top of it."""
        charges = [int(charge) for charge in atoms.charges]
        special = special_positions(self.plan.crystal, atoms.xyz.numpy())
        factors = form_factors(atoms.elements, charges, self.radiation, self.dispersion)
        return factors, special.weight(atoms.occ.numpy()), special.multiplicity

    def _slope(self, atoms: Atoms, factors: FormFactors, share: Array) -> Array:
        """Derivative of −log likelihood by the occupancy of each atom, with its share. (n,)"""
        slope: Array = gather_gradient(atoms, factors, share, self.plan, self.grid, self.blur).occ.numpy()
        return slope


def make_local_likelihood(
    plan: StructureFactorPlan,
    coefficient: Tensor,
    shells: ShellWeights,
    radiation: Radiation,
    dispersion: Mapping[str, tuple[float, float]] | None,
) -> LocalLikelihood:
    """Transform the derivatives once; `coefficient` is ∂T/∂Re F + i ∂T/∂Im F of each reflection."""
    blur = sharpest_blur(LEAST_B, plan.spacing)
    return LocalLikelihood(
        plan=plan,
        grid=gradient_grid(plan, coefficient, blur),
        blur=blur,
        shells=shells,
        radiation=radiation,
        dispersion=dispersion,
    )
