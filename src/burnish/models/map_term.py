"""Maps of single particles as a data term: the likelihood of half maps in Fourier space.

With F_o the mean of the half maps, F_c the model's electron scattering, D and S by shell (Yamashita, Palmer, Burnley &
Murshudov 2021, eqs 10–14)

    −log L = Σ |F_o − D F_c|² / S + log S,    D = Σ Re(F_o F_c*) / Σ |F_c|²,    S = ⟨|F_o − D F_c|²⟩

S holds noise and what the model lacks. From two half maps the noise is known by itself, σ_n² = ⟨|F_1 − F_2|²⟩ / 4
(twice that where one of them stands alone), and S is not allowed below it; from one map it is not, which makes the
judgement of the model weaker.

Nor is S of a single map allowed below half of the power of its shell. Where a model correlates by .97 with the map, a
coefficient would count a hundred times as much as one where it correlates by .3, although errors of models (one B an
atom, no solvent, a mask) are not random: the strong shells would be fitted at the cost of the weak ones, which hold the
detail. With half maps, whose noise is known, the same floor would let noise count: a twentieth is enough there.
Measured in benchmarks/README.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from burnish.data.atoms import Atoms
from burnish.data.particle_symmetry import ParticleSymmetry
from burnish.models.boxed_maps import BoxedMaps
from burnish.models.common_shift import common_shift, shifted_factors
from burnish.models.copies import folded_gradient, with_copies
from burnish.models.data_term import DataEvaluation, DataStatistics, DataTerm, ShellStatistics
from burnish.models.fisher import fisher_blocks, shell_weights
from burnish.models.fisher_pairs import fisher_pairs, pair_reach
from burnish.models.map_blur import b_from_scales
from burnish.models.protons import Protons, add_dipole_gradient, dipole_factors, repeated
from burnish.models.special_positions import find_special_positions
from burnish.models.structure_factors import (
    Accuracy,
    plan_structure_factors,
    structure_factor_gradient,
    structure_factors,
)
from burnish.scattering.form_factors import FormFactors, Radiation, form_factors

LEAST_ERROR = 0.5  # of the power of a shell of a single map: S is not below it
LEAST_ERROR_OF_HALVES = 0.05  # the same of half maps, whose noise is known


@dataclass(frozen=True, slots=True, kw_only=True)
class MapErrors:
    """Error model by shell, float64. (shells,)

    Attributes
    ----------
    d : scale of the model.
    variance : S of the likelihood.
    residual : ⟨|F_o − D F_c|²⟩, not below the noise.
    noise : σ_n² of the mean of the half maps; NaN from one map.
    """

    d: Tensor
    variance: Tensor
    residual: Tensor
    noise: Tensor


class MapTerm(DataTerm):
    """Half maps, or one map, boxed about a model; see `DataTerm` for the order of calls.

    With the symmetry of a particle the atoms are those of one asymmetric unit. The density is that of all copies; the
    target is shared out among them, so that its weight against the restraints of one copy stays the same.

    Protons are those of the model's hydrogens where these lie at their electrons; without them nucleus and electrons of
    a hydrogen scatter from one place.
    """

    def __init__(
        self,
        maps: BoxedMaps,
        accuracy: Accuracy | None = None,
        device: str = "cpu",
        symmetry: ParticleSymmetry | None = None,
        protons: Protons | None = None,
    ) -> None:
        self.maps = maps
        self.protons = protons if protons is not None and len(protons) else None
        self.device = device
        self.symmetry = symmetry
        self._share = np.ones(0)
        self.errors: MapErrors | None = None
        self._plan = plan_structure_factors(maps.crystal, maps.hkl, accuracy, device)
        self._vectors = maps.hkl.numpy().astype(float) @ self._plan.frac
        self._origin = torch.tensor(maps.origin, dtype=torch.float64)
        self._f_obs = maps.f_obs.to(torch.complex128)
        self._factors: FormFactors | None = None  # of every copy
        self._own_factors: FormFactors | None = None  # of the model
        self._made: tuple[Atoms, Tensor] | None = None  # the last model whose density was transformed
        self._known: tuple[Atoms, Tensor] | None = None  # the last model seen
        self._f_calc = torch.zeros(0, dtype=torch.complex128)
        self._statistics: DataStatistics | None = None  # at the last scaling
        self._half_fsc: Tensor | None = None

    def prepare(self, atoms: Atoms) -> None:
        self._own_factors = form_factors(atoms.elements, None, Radiation.ELECTRON)
        self._share = np.ones(len(atoms))
        self._factors = self._own_factors
        if self.symmetry is not None:
            self._factors = form_factors(atoms.elements * len(self.symmetry), None, Radiation.ELECTRON)
            special = find_special_positions(atoms.xyz.numpy(), self.symmetry)
            self._share[special.atom] = 1.0 / special.multiplicity
        self.update_scaling(atoms)

    def fitted(self) -> dict[str, np.ndarray]:
        """By how much the B of the model last scaled to exceeds that of the model whose density was transformed."""
        shift = common_shift(self._made[0], self._known[0]) if self._made and self._known else None
        return {"common_shift": np.array(shift or 0.0)}

    def resume(self, first: Atoms, now: Atoms, fitted: Mapping[str, np.ndarray]) -> None:
        shift = float(fitted.get("common_shift", 0.0))
        self.prepare(replace(now, b_iso=now.b_iso - shift))
        self.update_scaling(now)

    @property
    def copies(self) -> int:
        """How many asymmetric units the density is of."""
        return 1 if self.symmetry is None else len(self.symmetry)

    def _boxed(self, atoms: Atoms) -> Atoms:
        return replace(atoms, xyz=atoms.xyz - self._origin)

    def _all_atoms(self, atoms: Atoms) -> tuple[Atoms, np.ndarray]:
        """Every copy in the frame of the box, and what each atom counts."""
        occ = atoms.occ.numpy() * self._share
        if self.symmetry is None:
            return self._boxed(atoms), occ
        return self._boxed(with_copies(atoms, self.symmetry)), np.tile(occ, len(self.symmetry))

    def f_calc(self, atoms: Atoms) -> Tensor:
        """Transform of the model in the frame of the box, Å. (n,) complex128"""
        if self._factors is None or len(self._factors) != len(atoms) * self.copies:
            raise RuntimeError("prepare() has not seen these atoms")
        if self._known is None or self._known[0] is not atoms:
            found = self._from_last(atoms)
            if found is None:
                found = self._transform(atoms)
                self._made = (atoms, found)
            self._known = (atoms, found)
        return self._known[1]

    def _from_last(self, atoms: Atoms) -> Tensor | None:
        """Transform of a model that differs from the last one by one B in all atoms; None for others."""
        if self._made is None:
            return None
        shift = common_shift(self._made[0], atoms)
        return None if shift is None else shifted_factors(self._made[1], self.maps.s2, shift)

    def _transform(self, atoms: Atoms) -> Tensor:
        """Transform of the model's density, with its protons. (n,) complex128"""
        if self._factors is None:
            raise RuntimeError("prepare() comes first")
        every, occ = self._all_atoms(atoms)
        found = structure_factors(every, self._factors, occ, self._plan)
        if self.protons is not None:
            protons = repeated(self.protons, self.copies, len(atoms))
            found = found + dipole_factors(every, protons, occ, self._plan)
        return found.cpu().to(torch.complex128)

    def transform_of(self, atoms: Atoms, share: np.ndarray | None = None) -> Tensor:
        """Transform of any atoms and their copies in the frame of the box. (n,) complex128

        Parameters
        ----------
        share : factor on the occupancy of each. (n,)
        """
        occ = atoms.occ.numpy().copy()
        if self.symmetry is not None:
            special = find_special_positions(atoms.xyz.numpy(), self.symmetry)
            occ[special.atom] /= special.multiplicity
        if share is not None:
            occ *= share
        factors = form_factors(atoms.elements * self.copies, None, Radiation.ELECTRON)
        every = self._boxed(atoms if self.symmetry is None else with_copies(atoms, self.symmetry))
        found = structure_factors(every, factors, np.tile(occ, self.copies), self._plan).cpu()
        return found.to(torch.complex128)

    @property
    def last_f_calc(self) -> Tensor:
        """Transform of the model last scaled to. (n,) complex128"""
        return self._f_calc

    def update_scaling(self, atoms: Atoms) -> None:
        self._f_calc = self.f_calc(atoms)
        self.errors = self._fit(self._f_calc)
        self._statistics = None

    def _fit(self, f_calc: Tensor) -> MapErrors:
        maps = self.maps
        cross = maps.shell_mean((self._f_obs * f_calc.conj()).real)
        d = (cross / maps.shell_mean(power_of(f_calc)).clamp_min(1e-30)).clamp_min(0.0)
        residual = maps.shell_mean(power_of(self._f_obs - d[maps.shell] * f_calc))
        noise = torch.full_like(d, math.nan)
        if maps.noise is not None:
            noise = maps.noise
            residual = torch.maximum(residual, noise)
        residual = residual.clamp_min(float(residual.max()) * 1e-12)
        floor = LEAST_ERROR if maps.without_halves else LEAST_ERROR_OF_HALVES
        variance = torch.maximum(residual, floor * maps.shell_mean(power_of(self._f_obs)))
        return MapErrors(d=d, variance=variance, residual=residual, noise=noise)

    def _per_coefficient(self) -> tuple[Tensor, Tensor]:
        if self.errors is None:
            raise RuntimeError("update_scaling() comes first")
        return self.errors.d[self.maps.shell], self.errors.variance[self.maps.shell]

    def value(self, atoms: Atoms) -> float:
        d, variance = self._per_coefficient()
        terms = power_of(self._f_obs - d * self.f_calc(atoms)) / variance + variance.log()
        return float(terms.sum()) / self.copies

    def evaluate(self, atoms: Atoms) -> DataEvaluation:
        if self._factors is None or self._own_factors is None:
            raise RuntimeError("prepare() comes first")
        d, variance = self._per_coefficient()
        residual = d * self.f_calc(atoms) - self._f_obs
        coefficient = (2.0 * d / variance / self.copies * residual).to(torch.complex64).to(self.device)
        every, occ = self._all_atoms(atoms)
        gradient = structure_factor_gradient(every, self._factors, occ, self._plan, coefficient)
        if self.protons is not None:
            protons = repeated(self.protons, self.copies, len(atoms))
            gradient = add_dipole_gradient(gradient, every, protons, occ, self._plan, coefficient)
        if self.symmetry is not None:
            gradient = folded_gradient(gradient, self.symmetry)
        share = torch.from_numpy(self._share)
        gradient = replace(gradient, occ=gradient.occ * share)
        # phases are measured too: the whole contribution of an atom counts, not its part along F; copies are alike, and
        # what they add is divided by their number again; those that coincide on an axis add up before they are squared
        weight = (2.0 * d.square() / variance).numpy()
        own = occ[: len(atoms)]
        shells = shell_weights(weight, self.maps.crystal, self._vectors)
        blocks = fisher_blocks(self._boxed(atoms), self._own_factors, own, shells, 1.0 / self._share)
        blocks = replace(blocks, occ=blocks.occ * share.square(), b_occ=blocks.b_occ * share)
        # without pairs groups of atoms that move together overshoot, and swing by 1 Å from cycle to cycle at 4 Å
        reach = pair_reach(float(self.maps.s2.max()) ** -0.5)
        pairs = fisher_pairs(self._boxed(atoms), self._own_factors, own, shells, 1.0 / self._share, reach)
        value = float((power_of(residual) / variance + variance.log()).sum()) / self.copies
        return DataEvaluation(value=value, gradient=gradient, fisher=blocks, pairs=pairs)

    def statistics(self) -> DataStatistics:
        if self._statistics is None:
            self._statistics = self._found_statistics()
        return self._statistics

    def _found_statistics(self) -> DataStatistics:
        maps, errors = self.maps, self.errors
        if errors is None:
            raise RuntimeError("update_scaling() comes first")
        d, variance = self._per_coefficient()
        residual2 = power_of(self._f_obs - d * self._f_calc)
        residual, amplitude = residual2.sqrt(), power_of(self._f_obs).sqrt()
        correlation = self.model_fsc()
        r_work = maps.shell_mean(residual) / maps.shell_mean(amplitude)
        low, high = self._limits()
        empty = float("nan")
        numbers = (low, high, maps.count, r_work, correlation, errors.d)
        shells = tuple(
            ShellStatistics(
                d_max=d_max, d_min=d_min, measured=int(count), free=0, completeness=1.0, r_work=r, r_free=empty,
                cc_work=cc, cc_free=empty, d_scale=scale, fom=empty,
            )
            for d_max, d_min, count, r, cc, scale in zip(*(values.tolist() for values in numbers), strict=True)
        )  # fmt: skip
        return DataStatistics(
            r_work=float(residual.sum() / amplitude.sum()),
            r_free=empty,
            cc_work=self.average(correlation),
            cc_free=empty,
            free_value=empty,
            work_value=float((residual2 / variance + variance.log()).sum()) / len(residual),
            outliers=0,
            k_sol=0.0,
            b_sol=0.0,
            overall_b=self._missing_b(correlation),
            anisotropy=(0.0,) * 6,
            twin_fractions=(1.0,),
            shells=shells,
            cc_expected=math.nan if (expected := self.expected_fsc()) is None else self.average(expected),
        )

    def fsc_against(self, other: Tensor) -> Tensor:
        """Fourier shell correlation between the model last scaled to and other coefficients of the box. (shells,)"""
        maps = self.maps
        cross = maps.shell_mean((other * self._f_calc.conj()).real)
        power = maps.shell_mean(power_of(other)) * maps.shell_mean(power_of(self._f_calc))
        return cross / power.sqrt().clamp_min(1e-300)

    def model_fsc(self) -> Tensor:
        """Fourier shell correlation between model and mean map at the last scaling. (shells,)"""
        return self.fsc_against(self._f_obs)

    def half_fsc(self) -> Tensor | None:
        """Fourier shell correlation between the half maps in the mask; None from one map. (shells,)"""
        maps = self.maps
        if self._half_fsc is None and len(maps.halves) == 2:
            one, two = maps.halves.to(torch.complex128)
            power = maps.shell_mean(power_of(one)) * maps.shell_mean(power_of(two))
            self._half_fsc = maps.shell_mean((one * two.conj()).real) / power.sqrt().clamp_min(1e-300)
        return self._half_fsc

    def expected_fsc(self) -> Tensor | None:
        """Correlation with the mean map that a model without errors would have; None from one map. (shells,)

        Notes
        -----
        √(2 FSC / (1 + FSC)) with the FSC of the half maps (Rosenthal & Henderson 2003, J. Mol. Biol. 333, 721, C_ref).
        A model that was fitted to the maps and correlates better with them fits their noise.
        """
        halves = self.half_fsc()
        if halves is None:
            return None
        positive = halves.clamp_min(0.0)
        return (2.0 * positive / (1.0 + positive)).sqrt()

    @property
    def fsc_average(self) -> float:
        """Model–map FSC, mean over shells weighted by their numbers of coefficients."""
        return self.average(self.model_fsc())

    def average(self, by_shell: Tensor) -> float:
        """Mean of a quantity by shell, weighted by the numbers of coefficients."""
        count = self.maps.count
        return float((by_shell * count).sum() / count.sum())

    def _limits(self) -> tuple[Tensor, Tensor]:
        """Largest and smallest d of each shell, Å."""
        spacing = self.maps.s2.rsqrt()
        low = torch.zeros(self.maps.shells, dtype=torch.float64).scatter_reduce_(0, self.maps.shell, spacing, "amax")
        high = torch.full_like(low, math.inf).scatter_reduce_(0, self.maps.shell, spacing, "amin")
        return low, high

    def _missing_b(self, correlation: Tensor) -> float:
        """B that all atoms lack, from the slope of log D over s², weighted by how well each D is known, Å²."""
        if self.errors is None:
            raise RuntimeError("update_scaling() comes first")
        weight = self.maps.count * correlation.clamp(0.0, 0.999).square()
        return b_from_scales(self.errors.d, self.maps.shell_mean(self.maps.s2), weight)


def power_of(values: Tensor) -> Tensor:
    """|F|² of complex values, without a square root on the way. (n,) real"""
    return values.real.square() + values.imag.square()


def with_overall_b(atoms: Atoms, term: MapTerm) -> Atoms:
    """Atoms whose mean B agrees with the falloff of the maps, which are sharpened or not as their maker wished."""
    term.prepare(atoms)
    for _ in range(8):
        missing = term.statistics().overall_b
        if abs(missing) < 0.5:
            break
        atoms = replace(atoms, b_iso=(atoms.b_iso + missing).clamp(SMALLEST_START_B, LARGEST_START_B))
        term.update_scaling(atoms)
    return atoms


SMALLEST_START_B, LARGEST_START_B = 5.0, 400.0  # Å²
