"""Density of a zone against maps of a particle: what is left when the rest of the model is taken away."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.test_copies import CENTRE, _unit
from tests.models.test_map_term import _atoms, _maps

from burnish.maps.sampling import sample, spline_map
from burnish.models.boxed_maps import box_maps
from burnish.models.copies import copied_positions, with_copies
from burnish.models.em_fit_maps import EmMapMaker
from burnish.models.map_term import MapTerm
from burnish.rebuild import evidence as module
from burnish.rebuild.evidence import ZoneDensities, local_target, make_evidence, own_density, zone_density, zone_target
from burnish.symmetry.particle import point_symmetry


def _term(noise: float = 0.002, mask_radius: float = 5.0) -> MapTerm:
    atoms = _atoms()
    term = MapTerm(box_maps(_maps(atoms, noise=noise), atoms.xyz, 2.4, mask_radius=mask_radius))
    term.prepare(atoms)
    return term


def test_maps_are_on_one_scale_and_in_sigma() -> None:
    term = _term()
    evidence = make_evidence(term, _atoms())
    maps = evidence.maps
    assert evidence.sigma == pytest.approx(1.0, rel=1e-3)
    assert evidence.difference_sigma < 0.2
    assert torch.allclose(maps.density.values - maps.calculated.values, maps.difference.values, atol=1e-5)
    assert maps.d_min == pytest.approx(2.4, rel=0.01)
    at_atoms = sample(spline_map(maps.density), _atoms().xyz)
    assert float(at_atoms.min()) > 0.5


def test_the_density_of_every_atom_alone_adds_up_to_the_model() -> None:
    term, atoms = _term(), _atoms()
    evidence = make_evidence(term, atoms)
    first = np.zeros(len(atoms))
    first[:20] = 1.0
    together = own_density(evidence, atoms, first).values + own_density(evidence, atoms, 1.0 - first).values
    assert torch.allclose(together, evidence.maps.calculated.values, atol=2e-3)


def test_a_zone_keeps_its_density_where_the_rest_is_taken_away() -> None:
    """At an atom of the zone its own density is left; at atoms far from it nothing is."""
    term, atoms = _term(), _atoms()
    evidence = make_evidence(term, atoms)
    zone = np.arange(3)
    spline = zone_target(evidence, zone).spline
    left = sample(spline, atoms.xyz)
    alone = own_density(evidence, atoms, np.isin(np.arange(len(atoms)), zone).astype(float))
    expected = sample(spline_map(alone), atoms.xyz)
    assert float((left - expected).abs().max()) < 0.15
    away = torch.cdist(atoms.xyz, atoms.xyz[:3]).min(1).values > 5.0
    assert float(left[away].abs().max()) < 0.1 * float(left[:3].mean())


def test_the_copies_of_a_zone_are_part_of_its_density() -> None:
    particle, unit = point_symmetry("C3", CENTRE), _unit()
    every = with_copies(unit, particle)
    term = MapTerm(box_maps(_maps(every, noise=0.002), every.xyz, 2.6, mask_radius=5.0), symmetry=particle)
    term.prepare(unit)
    own = EmMapMaker(term).own_density(replace(unit), None)
    values = sample(spline_map(own), copied_positions(unit.xyz, particle)).reshape(3, -1)
    assert torch.allclose(values[0], values[1], rtol=0.03)
    assert float(values.mean()) > 1.0


def test_zones_far_apart_share_a_transform_and_see_what_they_see_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    term, atoms = _term(), _atoms()
    evidence = make_evidence(term, atoms)
    away = (atoms.xyz - atoms.xyz[0]).norm(dim=1)
    near, far = np.argsort(away.numpy()), np.argsort((atoms.xyz - atoms.xyz[away.argmax()]).norm(dim=1).numpy())
    zones = {(0, 3): near[:3], (1, 3): far[:3], (2, 3): near[3:6]}
    calls: list[int] = []

    def counted(*given: object) -> object:
        calls.append(1)
        return zone_density(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "zone_density", counted)
    monkeypatch.setattr(module, "PARTED", 1.0)
    densities = ZoneDensities(evidence, zones)
    for key, chosen in zones.items():
        xyz = atoms.xyz[chosen]
        found = sample(local_target(evidence, densities.of(key), xyz.numpy()).spline, xyz)
        alone = sample(local_target(evidence, zone_density(evidence, chosen), xyz.numpy()).spline, xyz)
        torch.testing.assert_close(found, alone, atol=0.05 * float(alone.abs().max()), rtol=0)
    assert len(calls) == 2  # the first and the last are apart, the third is beside the first
    densities.drop((0, 3))
    densities.of((1, 3))
    assert len(calls) == 2
