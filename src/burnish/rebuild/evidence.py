"""Density that speaks for a zone alone: what the data show where the rest of the model has been taken away.

ρ_zone = (2mFo − DFc) − D (Fc − F_zone): the observed density minus what all other atoms and the solvent explain. A
wrong conformation and the right one are then compared on equal terms, as in an omit map, for one transform a group of
zones that are far apart. Free reflections are left out. Against maps of a particle the observed density itself takes
the place of 2mFo − DFc.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from burnish.data.atoms import Atoms
from burnish.data.sampled_map import SampledMap
from burnish.maps.sampling import local_part, local_spline, rms, spline_map
from burnish.models.crystal_term import CrystalTerm
from burnish.models.data_term import DataTerm
from burnish.models.density_maps import crystal_map
from burnish.models.em_fit_maps import EmMapMaker
from burnish.models.fit_maps import FitMaps, fit_maps
from burnish.models.local_likelihood import LocalLikelihood
from burnish.models.map_term import MapTerm
from burnish.models.structure_factors import plan_structure_factors, structure_factors
from burnish.rebuild.zone import Target
from burnish.scattering.form_factors import form_factors
from burnish.symmetry.space_groups import special_positions

Index = NDArray[np.int64]
Key = tuple[int, int]

PARTED = 8.0  # Å; zones farther apart than that do not see each other's density
REACH = 10.0  # Å; how far from a zone its density is kept: how far its atoms may go


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Maps of one model at one moment, without the free reflections.

    Attributes
    ----------
    maps : observed, calculated and difference density.
    sigma : rms of the observed density: over the cell of a crystal, inside the mask of a particle.
    difference_sigma : the same of the difference density.
    own : DFc of some atoms alone, with a factor on each occupancy or none.
    atoms : of the model.
    likelihood : what the data themselves say of a few atoms; None where maps are all there is to ask.
    """

    maps: FitMaps
    sigma: float
    difference_sigma: float
    own: Callable[[Atoms, NDArray[np.float64] | None], SampledMap]
    atoms: Atoms
    likelihood: Callable[[], LocalLikelihood] | None = None


def make_evidence(term: DataTerm, atoms: Atoms) -> Evidence:
    """Maps of a model; the term must have seen these atoms last."""
    if isinstance(term, CrystalTerm):
        return crystal_evidence(term, atoms)
    if isinstance(term, MapTerm):
        return map_evidence(term, atoms)
    raise TypeError(f"no maps are known to be made from a {type(term).__name__}")


def crystal_evidence(term: CrystalTerm, atoms: Atoms) -> Evidence:
    """Maps of a crystal."""
    maps = fit_maps(term, hide_free=True)

    def own(chosen: Atoms, share: NDArray[np.float64] | None) -> SampledMap:
        return _own_crystal_density(term, maps, chosen, share)

    return Evidence(
        maps=maps,
        sigma=rms(maps.density),
        difference_sigma=rms(maps.difference),
        own=own,
        atoms=atoms,
        likelihood=cache(term.local_likelihood),
    )


def map_evidence(term: MapTerm, atoms: Atoms) -> Evidence:
    """Maps of a particle."""
    maker = EmMapMaker(term)
    maps = maker.fit_maps()
    return Evidence(
        maps=maps,
        sigma=maker.rms_in_mask(maps.density),
        difference_sigma=maker.rms_in_mask(maps.difference),
        own=maker.own_density,
        atoms=atoms,
    )


def zone_target(evidence: Evidence, atoms: Index) -> Target:
    """The density of some atoms alone, as a target for their refinement; for several zones use `zone_density`."""
    return Target(spline=spline_map(zone_density(evidence, atoms)), sigma=evidence.sigma)


def local_target(evidence: Evidence, density: SampledMap, xyz: NDArray[np.float64]) -> Target:
    """The part of a density about the positions that a zone may take, as a target. xyz: (n, 3) Å"""
    return Target(spline=local_spline(density, torch.from_numpy(xyz)), sigma=evidence.sigma)


def zone_density(evidence: Evidence, atoms: Index) -> SampledMap:
    """The density of some atoms alone."""
    share = np.zeros(len(evidence.atoms))
    share[atoms] = 1.0
    own = own_density(evidence, evidence.atoms, share)
    maps = evidence.maps
    return SampledMap(
        values=maps.density.values - maps.calculated.values + own.values,
        to_grid=maps.density.to_grid,
        offset=maps.density.offset,
        periodic=maps.density.periodic,
    )


class ZoneDensities:
    """Density of each of many zones alone, made when first asked for, with zones far apart sharing one transform.

    The number of transforms is then that of zones near each other, and does not grow with the model. Only the part
    about each zone is kept, until it is dropped.

    Parameters
    ----------
    evidence : maps of the model.
    zones : atoms of each, by residue and size.
    """

    def __init__(self, evidence: Evidence, zones: Mapping[Key, Index]) -> None:
        self.evidence, self.zones = evidence, dict(zones)
        self.xyz = evidence.atoms.xyz
        keys = list(self.zones)
        groups = separate_zones(self.xyz.numpy(), [self.zones[k] for k in keys], PARTED)
        self._group = {keys[i]: [keys[j] for j in group] for group in groups for i in group}
        self._made: dict[Key, SampledMap] = {}
        self._dropped: set[Key] = set()

    def of(self, key: Key) -> SampledMap:
        """The density of one zone."""
        if key not in self._made:
            wanted = [k for k in self._group[key] if k == key or k not in self._dropped]
            density = zone_density(self.evidence, np.concatenate([self.zones[k] for k in wanted]))
            self._made.update({k: local_part(density, self.xyz[self.zones[k]], REACH) for k in wanted})
        return self._made[key]

    def drop(self, key: Key) -> None:
        """Forget the density of a zone, which is no longer needed."""
        self._made.pop(key, None)
        self._dropped.add(key)


def moved_likelihood(evidence: Evidence, atoms: Index) -> Callable[[NDArray[np.float64]], float] | None:
    """What −log likelihood of the data changes by when some atoms stand at other positions (m, 3).

    Parameters
    ----------
    evidence : of the model in which they stand where they do; None is returned where it has maps alone.
    atoms : which. (m,)
    """
    if evidence.likelihood is None:
        return None
    likelihood = evidence.likelihood()
    both = evidence.atoms.subset([*atoms.tolist(), *atoms.tolist()])
    old, occ = both.xyz[: len(atoms)], both.occ[: len(atoms)].numpy()
    by = np.concatenate([-occ, occ])

    def change(places: NDArray[np.float64]) -> float:
        return likelihood.of_all(replace(both, xyz=torch.cat([old, torch.from_numpy(places)])), by)

    return change


def own_density(evidence: Evidence, atoms: Atoms, share: NDArray[np.float64] | None = None) -> SampledMap:
    """DFc of some atoms alone, those of the model or others, on the grid and the scale of the maps.

    Parameters
    ----------
    evidence : whose scales and error model are used.
    atoms : of the model, or atoms that it might get.
    share : factor on each occupancy; 1 by default. (n,)
    """
    return evidence.own(atoms, share)


def _own_crystal_density(
    term: CrystalTerm, maps: FitMaps, atoms: Atoms, share: NDArray[np.float64] | None
) -> SampledMap:
    """DFc of some atoms from the reflections of a crystal's maps."""
    reflections = term.reflections
    crystal, hkl = reflections.crystal, reflections.hkl
    charges = [int(c) for c in atoms.charges]
    factors = form_factors(atoms.elements, charges, term.settings.radiation)
    plan = plan_structure_factors(crystal, hkl, term.settings.accuracy)
    special = special_positions(crystal, atoms.xyz.numpy())
    occ = special.weight(atoms.occ.numpy()) * atoms.occ.numpy()
    if share is not None:
        occ = occ * share
    f_own = structure_factors(atoms, factors, occ, plan)
    model = term.amplitudes.f_model.to(torch.complex128)
    d = term.target.map_factors(model).d[: len(hkl)]
    used = (term.work & ~reflections.free)[: len(hkl)]
    coefficient = torch.where(used, d * f_own.to(torch.complex128), torch.zeros_like(f_own, dtype=torch.complex128))
    shape = maps.density.values.shape
    values = crystal_map(crystal, hkl, coefficient.to(torch.complex64), (shape[0], shape[1], shape[2]))
    return SampledMap(values=values, to_grid=maps.density.to_grid, offset=maps.density.offset, periodic=True)


def separate_zones(xyz: NDArray[np.float64], zones: Sequence[Index], distance: float = 4.0) -> list[list[int]]:
    """Groups of zones whose enclosing spheres are at least `distance` Å from those of the other zones of the group.

    Zones near each other would share their density; greedy colouring, the largest zones first.
    """
    centres = np.array([xyz[z].mean(axis=0) for z in zones]).reshape(-1, 3)
    radii = np.array([float(np.linalg.norm(xyz[z] - c, axis=1).max()) for z, c in zip(zones, centres, strict=True)])
    order = sorted(range(len(zones)), key=lambda k: -len(zones[k]))
    groups: list[list[int]] = []
    for k in order:
        for group in groups:
            members = np.array(group)
            apart = np.linalg.norm(centres[members] - centres[k], axis=1) - radii[members] - radii[k]
            if (apart >= distance).all():
                group.append(k)
                break
        else:
            groups.append([k])
    return groups
