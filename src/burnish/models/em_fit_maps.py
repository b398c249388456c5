"""The maps that a model is judged by against half maps: observed, calculated and difference density on one grid.

All three have the same weights by shell, w = √FSC_full / σ(F_o) (Yamashita et al. 2021, eq. 21), so that observed minus
calculated is the difference: ρ_o = w F_o, ρ_c = w D F_c. They are in units of the rms of the observed density inside
the mask. A single map has no FSC of its own; the correlation with the model takes its place.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from burnish.data.atoms import Atoms
from burnish.data.sampled_map import SampledMap
from burnish.models.fit_maps import FitMaps
from burnish.models.map_term import MapTerm
from burnish.models.structure_factors import adjoint_map, grid_shape, miller_grid


class EmMapMaker:
    """Density on a fine grid over the box of a map term, at its last `update_scaling`."""

    def __init__(self, term: MapTerm, rate: float = 4.0) -> None:
        errors, maps = term.errors, term.maps
        if errors is None:
            raise RuntimeError("update_scaling() comes first")
        self.term = term
        self.d_min = float(maps.s2.max()) ** -0.5
        halves = term.half_fsc()
        full = 2.0 * halves / (1.0 + halves) if halves is not None else term.model_fsc().square()
        power = maps.shell_mean(maps.f_obs.to(torch.complex128).abs().square())
        self._weight = (full.clamp(0.0, 1.0) / power.clamp_min(1e-300)).sqrt()[maps.shell]
        self._d = errors.d[maps.shell]
        self._lookup = miller_grid(maps.crystal, maps.hkl, grid_shape(maps.crystal, self.d_min / rate))
        observed = self._on_grid(self._weight * maps.f_obs.to(torch.complex128))
        inside = max(float((maps.mask > 0.5).double().mean()), 1e-6)
        self._unit = float(observed.double().square().mean() / inside) ** 0.5 or 1.0
        self.observed = self._sampled(observed)

    def _on_grid(self, coefficient: Tensor) -> Tensor:
        volume = math.prod(self.term.maps.crystal.cell[:3])
        return 2.0 * adjoint_map(coefficient.to(torch.complex64), self._lookup) / volume

    def _sampled(self, values: Tensor) -> SampledMap:
        maps = self.term.maps
        steps = torch.tensor(
            [n / length for n, length in zip(self._lookup.shape, maps.crystal.cell[:3], strict=True)],
            dtype=torch.float64,
        )
        return SampledMap(
            values=(values / self._unit).float(),
            to_grid=torch.diag(steps),
            offset=-steps * torch.tensor(maps.origin, dtype=torch.float64),
            periodic=False,
        )

    def model_density(self, f_calc: Tensor) -> SampledMap:
        """Density of a transform of the box, scaled and weighted as the observed density is."""
        return self._sampled(self._on_grid(self._weight * self._d * f_calc))

    def own_density(self, atoms: Atoms, share: np.ndarray | None = None) -> SampledMap:
        """Density of some atoms, of the model or not; `share` is a factor on each occupancy. (n,)"""
        return self.model_density(self.term.transform_of(atoms, share))

    def fit_maps(self) -> FitMaps:
        """Observed, calculated and difference density."""
        calculated = self.model_density(self.term.last_f_calc)
        difference = replace(calculated, values=self.observed.values - calculated.values)
        observed, calculated, difference = (
            replace(grid, sigma=self.rms_in_mask(grid)) for grid in (self.observed, calculated, difference)
        )
        return FitMaps(density=observed, calculated=calculated, difference=difference, d_min=self.d_min)

    def rms_in_mask(self, grid: SampledMap) -> float:
        """Rms of a density over the part of the box that the mask lets through: its σ."""
        inside = max(float((self.term.maps.mask > 0.5).double().mean()), 1e-6)
        return float(grid.values.double().square().mean() / inside) ** 0.5
