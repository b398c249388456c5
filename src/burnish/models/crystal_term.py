"""Diffraction data of one crystal as a data term."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field

import numpy as np
import torch
from torch import Tensor

from burnish.core.events import Listener, Message, ignore
from burnish.core.memory import return_small_blocks
from burnish.data.atoms import Atoms
from burnish.data.reflections import Reflections
from burnish.models.agreement import correlation, r_factor
from burnish.models.data_term import DataEvaluation, DataStatistics, DataTerm, ShellStatistics
from burnish.models.exponential_scale import ExponentialScale, exponential_factors, fit_exponential_scale
from burnish.models.fisher import ShellWeights, fisher_blocks, shell_weights
from burnish.models.fisher_pairs import fisher_pairs, pair_reach
from burnish.models.gaussian_atoms import AtomGradient
from burnish.models.local_likelihood import LocalLikelihood, make_local_likelihood
from burnish.models.outliers import impossible_intensities
from burnish.models.resolution import Knots, shells_of_equal_number
from burnish.models.scaling import Scaling, anisotropic_factor, fit_scaling, scale_factors
from burnish.models.solvent_mask import MaskSettings, solvent_mask
from burnish.models.structure_factors import (
    Accuracy,
    MillerGrid,
    miller_grid,
    plan_structure_factors,
    structure_factor_gradient,
    structure_factors,
    transform_at,
)
from burnish.models.targets import AmplitudeTarget, Target, TargetEvaluation
from burnish.scattering.form_factors import FormFactors, Radiation, form_factors
from burnish.symmetry.space_groups import SpecialPositions, reflection_properties, special_positions

MASK_SPACING = 0.75  # of the solvent mask at most, Å; finer ones do not lower R on the cases of benchmarks/


@dataclass(frozen=True, slots=True, kw_only=True)
class CrystalSettings:
    """How a crystal's data are modelled.

    Attributes
    ----------
    radiation : kind of form factors.
    accuracy : of the sampled density.
    mask : radii of the solvent mask.
    reject_outliers : leave out impossible and improbable measurements.
    shells : of the statistics, at most.
    dispersion : (f′, f″) by element, e⁻. f″ splits Bijvoet pairs: give it for an `AnomalousTarget`, else 0.
    """

    radiation: Radiation = Radiation.XRAY
    accuracy: Accuracy = field(default_factory=Accuracy)
    mask: MaskSettings = field(default_factory=MaskSettings)
    reject_outliers: bool = True
    shells: int = 20
    dispersion: Mapping[str, tuple[float, float]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAmplitudes:
    """F_calc and what it was scaled to; complex64, one value for every reflection of the list."""

    f_calc: Tensor
    f_model: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedScale:
    """F_model = factor · (F_calc + k_mask · F_mask), for each reflection. (m,) float64"""

    factor: Tensor
    k_mask: Tensor

    @classmethod
    def of(cls, factor: np.ndarray, k_mask: np.ndarray) -> AppliedScale:
        return cls(factor=torch.from_numpy(factor), k_mask=torch.from_numpy(k_mask))

    def of_model(self, f_calc: Tensor, f_mask: Tensor) -> Tensor:
        """F_model. (m,) complex128"""
        return (self.factor * (f_calc + self.k_mask * f_mask)).to(torch.complex128)


class CrystalTerm(DataTerm):
    """Crystal data with a target; see `DataTerm` for the order of calls.

    F_model has two scales. R factors, outliers and maps use the one by shell, which follows the data wherever the model
    of the solvent fails. The likelihood uses one exponential: what a scale by shell makes good, no atom needs to
    explain, and the falloff of the model's amplitudes would drift (`sigma_a`).
    """

    def __init__(
        self,
        reflections: Reflections,
        target: Target | None = None,
        settings: CrystalSettings | None = None,
        listener: Listener = ignore,
        device: str = "cpu",
    ) -> None:
        self.reflections = reflections
        self.settings = settings or CrystalSettings()
        self.target = target or AmplitudeTarget(reflections)
        self.listener = listener
        self.device = device
        crystal, hkl = reflections.crystal, self.target.model_hkl
        self._plan = plan_structure_factors(crystal, hkl, self.settings.accuracy, device)
        self._hkl = hkl.cpu().numpy()
        centric, epsilon, self._s2 = reflection_properties(crystal, self._hkl)
        self._coherence = torch.from_numpy(np.where(centric, 1.0, 0.5) * epsilon)
        self._vectors = self._hkl.astype(float) @ self._plan.frac
        self._mask_lookup: MillerGrid | None = None
        self._mask_spacing = min(max(0.25 * reflections.d_min, 0.5), MASK_SPACING, 0.45 * reflections.d_min)
        self._reach = pair_reach(reflections.d_min)
        self._measured = self.target.measured
        self._impossible = torch.zeros_like(self._measured)
        if self.settings.reject_outliers:
            self._impossible = self._find_impossible()
        self._improbable = torch.zeros_like(self._measured)
        self._factors: FormFactors | None = None
        self._special: SpecialPositions | None = None
        self._share = np.ones(0)
        self._f_mask = torch.zeros(0, dtype=torch.complex64)
        self._scaling: Scaling | None = None
        self._exponential: ExponentialScale | None = None
        self._by_shell = self._plain = AppliedScale.of(np.zeros(0), np.zeros(0))
        self._last: ModelAmplitudes | None = None
        self._statistics: DataStatistics | None = None  # of the last scaling, asked for several times a cycle
        self._known: tuple[Atoms, Tensor] | None = None
        self._masked: Tensor | None = None

    def _find_impossible(self) -> Tensor:
        r = self.reflections
        measured = self._measured & r.f_obs.isfinite()
        use = measured.numpy()
        if not use.any():
            return torch.zeros_like(measured)
        f_obs, sigma = r.f_obs.numpy()[use], r.sigma_f_obs.numpy()[use]
        found = impossible_intensities(
            r.crystal,
            self._hkl[: len(r)][use],
            r.s2.numpy()[use],
            f_obs**2,
            2.0 * f_obs * sigma,
            r.epsilon.numpy()[use],
        )
        rejected = torch.zeros_like(measured)
        rejected[measured] = torch.from_numpy(found)
        for index in torch.nonzero(rejected).flatten()[:5].tolist():
            h, k, l = self._hkl[index]
            self.listener(
                Message(
                    f"reflection {h} {k} {l}: amplitude {float(r.f_obs[index]):.4g} is improbably large; left out",
                    "warning",
                )
            )
        return rejected

    @property
    def work(self) -> Tensor:
        """Reflections that are refined against. (n,) bool"""
        return self._measured & ~self.outliers & ~self.reflections.free

    @property
    def free(self) -> Tensor:
        """Measured reflections of the free set that are in use. (n,) bool"""
        return self._measured & ~self.outliers & self.reflections.free

    @property
    def outliers(self) -> Tensor:
        """Measured reflections that are left out. (n,) bool"""
        return self._impossible | self._improbable

    @property
    def scale(self) -> Tensor:
        """Factor between the absolute scale and F_model. (m,) float64"""
        return self._by_shell.factor

    def prepare(self, atoms: Atoms) -> None:
        self._set_up(atoms)
        self.update_scaling(atoms)

    def _set_up(self, atoms: Atoms) -> None:
        """What does not change while these atoms move."""
        charges = [int(charge) for charge in atoms.charges]
        self._factors = form_factors(atoms.elements, charges, self.settings.radiation, self.settings.dispersion)
        self._special = special_positions(self.reflections.crystal, atoms.xyz.detach().cpu().numpy())
        self._share = self._special.weight(atoms.occ.detach().cpu().numpy())
        self._known = self._masked = None

    def fitted(self) -> dict[str, np.ndarray]:
        if self._scaling is None or self._exponential is None:
            return {}
        scaling, exponential = self._scaling, self._exponential
        return {
            "scale_knots": scaling.knots.position,
            "scale_log_k": scaling.log_k,
            "scale_k_mask": scaling.k_mask,
            "scale_anisotropy": scaling.anisotropy,
            "exponential": np.array(astuple(exponential)),
            "improbable": self._improbable.numpy(),
            **{f"target_{name}": array for name, array in self.target.fitted().items()},
        }

    def resume(self, first: Atoms, now: Atoms, fitted: Mapping[str, np.ndarray]) -> None:
        self._set_up(first)
        self._scaling = Scaling(
            knots=Knots(position=fitted["scale_knots"]),
            log_k=fitted["scale_log_k"],
            k_mask=fitted["scale_k_mask"],
            anisotropy=fitted["scale_anisotropy"],
        )
        log_k, b, k_sol, b_sol = fitted["exponential"].tolist()
        self._exponential = ExponentialScale(log_k=log_k, b=b, k_sol=k_sol, b_sol=b_sol)
        self._improbable = torch.from_numpy(fitted["improbable"])
        self.target.restore({n.removeprefix("target_"): a for n, a in fitted.items() if n.startswith("target_")})
        self._apply_scale(self._scaling, self._exponential)
        self._update_mask(now)
        f_calc = self._calculated(now)
        self._last = ModelAmplitudes(f_calc=f_calc, f_model=self._scaled(f_calc).to(torch.complex64))
        self._statistics = None

    def _occupancy(self, atoms: Atoms) -> np.ndarray:
        return atoms.occ.detach().cpu().numpy() * self._share

    def _calculated(self, atoms: Atoms) -> Tensor:
        if self._factors is None or len(self._factors) != len(atoms):
            raise RuntimeError("prepare() has not seen these atoms")
        if self._known is None or self._known[0] is not atoms:  # records are never changed: the same one, the same F
            occ = self._occupancy(atoms)
            f_calc = structure_factors(atoms, self._factors, occ, self._plan).cpu()
            if self._factors.dispersion.any():
                f_calc = f_calc + 1j * structure_factors(atoms, self._factors.dispersive(), occ, self._plan).cpu()
            self._known = (atoms, f_calc)
        return self._known[1]

    def _scaled(self, f_calc: Tensor) -> Tensor:
        return self._by_shell.of_model(f_calc, self._f_mask)

    def update_scaling(self, atoms: Atoms) -> None:
        self._statistics = None
        return_small_blocks()
        self._update_mask(atoms)
        f_calc = self._calculated(atoms)
        return_small_blocks()
        f_model = self._fit(f_calc)
        if self.settings.reject_outliers:
            improbable = self.target.outliers(f_model)
            if not torch.equal(improbable, self._improbable):
                self._improbable = improbable
                f_model = self._fit(f_calc)
        self._last = ModelAmplitudes(f_calc=f_calc, f_model=f_model.to(torch.complex64))
        return_small_blocks()

    def _update_mask(self, atoms: Atoms) -> None:
        if self._masked is atoms.xyz:  # only B or occupancies are new
            return
        self._masked = atoms.xyz
        mask = solvent_mask(self.reflections.crystal, atoms, self._mask_spacing, self.settings.mask)
        shape = (mask.shape[0], mask.shape[1], mask.shape[2])
        volume = float(np.linalg.det(self._plan.orth)) / mask.numel()
        if self._mask_lookup is None or self._mask_lookup.shape != shape:
            self._mask_lookup = miller_grid(self.reflections.crystal, self.target.model_hkl, shape, expand=False)
        self._f_mask = transform_at(mask, self._mask_lookup) * volume

    def _fit(self, f_calc: Tensor) -> Tensor:
        """Fit scales and error model; returns F_model."""
        if self._scaling is None:
            self._fit_scale(f_calc, self.reflections.f_obs)
            self.target.fit(self._plain.of_model(f_calc, self._f_mask), self.work, self.free)
        # What a twinned amplitude says of one reflection depends on scales and fractions: a few turns settle them.
        for _ in range(1 if len(self.target.twin_fractions) == 1 else 3):
            self._fit_scale(f_calc, self.target.compare(self._scaled(f_calc)).single)
            self.target.fit(self._plain.of_model(f_calc, self._f_mask), self.work, self.free)
        return self._scaled(f_calc)

    def _fit_scale(self, f_calc: Tensor, observed: Tensor) -> None:
        n = len(self.reflections)
        use = (self.work & observed.isfinite()).numpy()
        self._scaling = fit_scaling(
            self.reflections.crystal,
            self._hkl[:n][use],
            self._s2[:n][use],
            observed.numpy()[use],
            f_calc[:n].numpy()[use],
            self._f_mask[:n].numpy()[use],
            self._scaling,
        )
        anisotropy = anisotropic_factor(self._scaling, self._vectors)
        self._exponential = fit_exponential_scale(
            self._s2[:n][use],
            observed.numpy()[use] / anisotropy[:n][use],
            f_calc[:n].numpy()[use],
            self._f_mask[:n].numpy()[use],
            self._exponential,
        )
        self._apply_scale(self._scaling, self._exponential)

    def _apply_scale(self, scaling: Scaling, exponential: ExponentialScale) -> None:
        anisotropy = anisotropic_factor(scaling, self._vectors)
        self._by_shell = AppliedScale.of(*scale_factors(scaling, self._s2, anisotropy))
        factor, k_mask = exponential_factors(exponential, self._s2)
        self._plain = AppliedScale.of(factor * anisotropy, k_mask)

    def _target(self, atoms: Atoms) -> TargetEvaluation:
        f_model = self._plain.of_model(self._calculated(atoms), self._f_mask)
        return self.target.evaluate(f_model, self.work, self.free)

    def value(self, atoms: Atoms) -> float:
        return self._target(atoms).work

    def evaluate(self, atoms: Atoms) -> DataEvaluation:
        result = self._target(atoms)
        if self._factors is None or self._special is None:
            raise RuntimeError("prepare() comes first")
        occ = self._occupancy(atoms)
        gradient = self._gradient(result, atoms, self._factors, occ)
        shells = self._curvature(result)
        share = torch.from_numpy(self._share)
        coherent = self._special.multiplicity
        blocks = fisher_blocks(atoms, self._factors, occ, shells, coherent)
        return DataEvaluation(
            value=result.work,
            gradient=AtomGradient(
                xyz=gradient.xyz, b_iso=gradient.b_iso, u_aniso=gradient.u_aniso, occ=gradient.occ * share
            ),
            fisher=type(blocks)(
                xyz=blocks.xyz,
                b_iso=blocks.b_iso,
                u_aniso=blocks.u_aniso,
                occ=blocks.occ * share.square(),
                b_occ=blocks.b_occ * share,
            ),
            pairs=fisher_pairs(atoms, self._factors, occ, shells, coherent, self._reach),
        )

    def local_likelihood(self) -> LocalLikelihood:
        """The target at the last `update_scaling` as a few atoms see it, those of the model or others."""
        plain = self._plain.of_model(self.amplitudes.f_calc, self._f_mask)
        result = self.target.evaluate(plain, self.work, self.free)
        return make_local_likelihood(
            self._plan,
            (self._plain.factor * result.coefficient).to(torch.complex64).to(self.device),
            self._curvature(result),
            self.settings.radiation,
            self.settings.dispersion,
        )

    def _gradient(self, result: TargetEvaluation, atoms: Atoms, factors: FormFactors, occ: np.ndarray) -> AtomGradient:
        """Derivatives by the parameters of atoms; that by occupancy without the share of special positions."""
        coefficient = (self._plain.factor * result.coefficient).to(torch.complex64).to(self.device)
        gradient = structure_factor_gradient(atoms, factors, occ, self._plan, coefficient)
        if not factors.dispersion.any():
            return gradient
        other = structure_factor_gradient(atoms, factors.dispersive(), occ, self._plan, -1j * coefficient)
        return AtomGradient(
            xyz=gradient.xyz + other.xyz,
            b_iso=gradient.b_iso + other.b_iso,
            u_aniso=gradient.u_aniso + other.u_aniso,
            occ=gradient.occ + other.occ,
        )

    def _curvature(self, result: TargetEvaluation) -> ShellWeights:
        """Where in reciprocal space the second derivatives of the target lie."""
        weight = result.curvature * self._plain.factor.square() * self._coherence
        use = (weight > 0).numpy()
        return shell_weights(weight.numpy()[use], self.reflections.crystal, self._vectors[use])

    @property
    def amplitudes(self) -> ModelAmplitudes:
        """F_calc and F_model at the last `update_scaling`."""
        if self._last is None:
            raise RuntimeError("update_scaling() comes first")
        return self._last

    def statistics(self) -> DataStatistics:
        if self._statistics is None:
            self._statistics = self._make_statistics()
        return self._statistics

    def _make_statistics(self) -> DataStatistics:
        if self._scaling is None or self._exponential is None:
            raise RuntimeError("update_scaling() comes first")
        model = self.amplitudes.f_model.to(torch.complex128)
        plain = self._plain.of_model(self.amplitudes.f_calc, self._f_mask)
        result = self.target.evaluate(plain, self.work, self.free)
        shells = self._shell_statistics(model)
        return_small_blocks()
        compared = self.target.compare(model)
        f_obs, f_model = compared.observed, compared.model
        work, free = self.work, self.free
        return DataStatistics(
            r_work=r_factor(f_obs[work], f_model[work]),
            r_free=r_factor(f_obs[free], f_model[free]),
            cc_work=_mean_over_shells([(s.measured - s.free, s.cc_work) for s in shells]),
            cc_free=_mean_over_shells([(s.free, s.cc_free) for s in shells]),
            free_value=result.free / max(int(free.sum()), 1),
            work_value=result.work / max(int(work.sum()), 1),
            outliers=int(self.outliers.sum()),
            k_sol=self._exponential.k_sol,
            b_sol=self._exponential.b_sol,
            overall_b=self._exponential.b,
            anisotropy=tuple(float(x) for x in self._scaling.anisotropy),
            twin_fractions=self.target.twin_fractions,
            shells=tuple(shells),
        )

    def _shell_statistics(self, f_model: Tensor) -> list[ShellStatistics]:
        r, compared = self.reflections, self.target.compare(f_model)
        observed, amplitude = compared.observed, compared.model
        factors = self.target.map_factors(f_model)
        work, free = self.work, self.free
        count = max(1, min(self.settings.shells, int(self._measured.sum()) // 100))
        shell = torch.from_numpy(shells_of_equal_number(r.s2.numpy(), count))
        out = []
        for number in range(count):
            here = shell == number
            w, f = here & work, here & free
            used = w | f
            out.append(
                ShellStatistics(
                    d_max=float(r.s2[here].min() ** -0.5),
                    d_min=float(r.s2[here].max() ** -0.5),
                    measured=int(used.sum()),
                    free=int(f.sum()),
                    completeness=float(used.sum()) / float(here.sum()),
                    r_work=r_factor(observed[w], amplitude[w]),
                    r_free=r_factor(observed[f], amplitude[f]),
                    cc_work=correlation(observed[w], amplitude[w]),
                    cc_free=correlation(observed[f], amplitude[f]),
                    d_scale=float(factors.d[here].mean()),
                    fom=float(factors.fom[used].mean()) if bool(used.any()) else float("nan"),
                )
            )
        return out


def _mean_over_shells(values: list[tuple[int, float]]) -> float:
    """Mean weighted by number, without shells that have no value."""
    known = [(number, value) for number, value in values if number > 0 and value == value]
    total = sum(number for number, _ in known)
    return sum(number * value for number, value in known) / total if total else float("nan")
