"""The likelihood of half maps: gradient, recovery of scale, noise and falloff, placement of the box."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.data.atoms import Atoms
from burnish.data.density import DensityMap
from burnish.data.reflections import Crystal
from burnish.models.boxed_maps import box_maps
from burnish.models.data_curvature import position_curvature
from burnish.models.map_term import MapTerm
from burnish.models.structure_factors import adjoint_map, miller_grid, plan_structure_factors, structure_factors
from burnish.scattering.form_factors import Radiation, form_factors
from tests.models.light_atoms import light_atoms

VOXEL, SHAPE, ORIGIN = 1.0, (40, 44, 48), (-7.0, 11.0, 3.5)


def _atoms(seed: int = 3, n: int = 60, b: float = 40.0) -> Atoms:
    """A blob of light atoms about the middle of the map."""
    generator = torch.Generator().manual_seed(seed)
    middle = torch.tensor([o + 0.5 * s * VOXEL for o, s in zip(ORIGIN, SHAPE, strict=True)], dtype=torch.float64)
    xyz = middle + 4.0 * torch.randn(n, 3, generator=generator, dtype=torch.float64).clamp(-1.8, 1.8)
    return light_atoms(xyz, torch.full((n,), b, dtype=torch.float64))


def _one_of_each_pair(hkl: torch.Tensor) -> torch.Tensor:
    h, k, l = hkl.unbind(1)
    return (l > 0) | ((l == 0) & ((k > 0) | ((k == 0) & (h > 0))))


def _density(atoms: Atoms) -> torch.Tensor:
    """Density of the model on the whole map, [z, y, x], to 2.2 Å, from its structure factors."""
    cell = tuple(n * VOXEL for n in SHAPE)
    crystal = Crystal(cell=(*cell, 90.0, 90.0, 90.0), space_group="P 1")
    hkl = torch.cartesian_prod(*(torch.arange(-n // 2 + 1, n // 2) for n in SHAPE))
    hkl = hkl[_one_of_each_pair(hkl) & ((hkl / torch.tensor(cell)).square().sum(1) < 2.2**-2)]
    plan = plan_structure_factors(crystal, hkl)
    factors = form_factors(atoms.elements, None, Radiation.ELECTRON)
    local = replace(atoms, xyz=atoms.xyz - torch.tensor(ORIGIN, dtype=torch.float64))
    f = structure_factors(local, factors, atoms.occ.numpy(), plan)
    lookup = miller_grid(crystal, hkl, SHAPE)
    return 2.0 * adjoint_map(f, lookup).permute(2, 1, 0) / math.prod(cell)


def _maps(atoms: Atoms, noise: float, scale: float = 1.0, count: int = 2) -> list[DensityMap]:
    """Noisy maps of a model in the frame that ORIGIN says."""
    signal, generator = scale * _density(atoms), torch.Generator().manual_seed(11)
    return [
        DensityMap(
            values=signal + noise * torch.randn(signal.shape, generator=generator),
            voxel_size=(VOXEL, VOXEL, VOXEL),
            origin=ORIGIN,
        )
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def atoms() -> Atoms:
    return _atoms()


def test_a_perfect_map_gives_fsc_one_and_the_scale(atoms: Atoms) -> None:
    term = MapTerm(box_maps(_maps(atoms, noise=0.0, scale=2.5, count=1), atoms.xyz, 3.0, mask_radius=5.0))
    term.prepare(atoms)
    assert term.fsc_average > 0.995  # the mask cuts a little of the density
    assert term.errors is not None
    assert float(term.errors.d[:6].mean()) == pytest.approx(2.5, rel=0.02)
    assert abs(term.statistics().overall_b) < 2.0


def test_the_b_that_a_model_lacks_is_found(atoms: Atoms) -> None:
    term = MapTerm(box_maps(_maps(atoms, noise=0.0, count=1), atoms.xyz, 3.0, mask_radius=5.0))
    sharper = replace(atoms, b_iso=atoms.b_iso - 20.0)
    term.prepare(sharper)
    assert term.statistics().overall_b == pytest.approx(20.0, abs=3.0)


def test_noise_of_half_maps_is_that_of_their_mean(atoms: Atoms) -> None:
    term = MapTerm(box_maps(_maps(atoms, noise=0.02, scale=0.0), atoms.xyz, 3.0))
    term.prepare(atoms)
    assert term.errors is not None
    # white noise of variance σ² in each map: σ_n² = ½ σ² ΔV² Σ mask² for the transform of their mean
    expected = 0.5 * 0.02**2 * VOXEL**6 * float(term.maps.mask.square().sum())
    # the mask brings nothing in from beyond the resolution, which the last shells feel
    inner = term.maps.count * (term.maps.shell_mean(term.maps.s2) < 0.2**2)
    mean = float((term.errors.noise * inner).sum() / inner.sum())
    assert mean == pytest.approx(expected, rel=0.08)
    fsc = term.half_fsc()
    assert fsc is not None
    independent = float(term.maps.count.sum() * term.maps.mask.mean())  # the mask ties neighbours together
    assert abs(float((fsc * term.maps.count).sum() / term.maps.count.sum())) < 3.0 / math.sqrt(independent)


def test_the_true_model_correlates_as_half_maps_say(atoms: Atoms) -> None:
    term = MapTerm(box_maps(_maps(atoms, noise=0.06), atoms.xyz, 3.0))
    term.prepare(atoms)
    expected = term.expected_fsc()
    assert expected is not None
    found = term.average(term.model_fsc())
    assert found < 0.97  # noise is seen
    # the mask cuts the map and not the model; no correlation of half maps is taken as negative
    assert found == pytest.approx(term.average(expected), abs=0.02)
    assert MapTerm(box_maps(_maps(atoms, noise=0.02, count=1), atoms.xyz, 3.0)).expected_fsc() is None


def test_the_error_of_a_model_is_never_below_the_noise(atoms: Atoms) -> None:
    term = MapTerm(box_maps(_maps(atoms, noise=0.02), atoms.xyz, 3.0))
    term.prepare(atoms)
    fsc, errors = term.half_fsc(), term.errors
    assert fsc is not None
    assert errors is not None
    assert float(fsc[0]) > 0.95
    assert bool((errors.variance >= errors.noise).all())


def test_one_half_map_alone_knows_its_noise(atoms: Atoms) -> None:
    maps = _maps(atoms, noise=0.02)
    both, alone = (box_maps(maps, atoms.xyz, 3.0, first_alone=first) for first in (False, True))
    assert both.noise is not None
    assert alone.noise is not None
    assert len(alone.halves) == 1
    assert torch.allclose(alone.noise, 2.0 * both.noise)
    term = MapTerm(alone)
    term.prepare(atoms)
    assert term.errors is not None
    assert bool((term.errors.variance >= alone.noise).all())
    assert box_maps(maps[:1], atoms.xyz, 3.0).noise is None


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_gradient_against_finite_differences(atoms: Atoms, noise: float) -> None:
    generator = torch.Generator().manual_seed(5)
    term = MapTerm(box_maps(_maps(atoms, noise), atoms.xyz, 3.0))
    start = replace(atoms, xyz=atoms.xyz + 0.2 * torch.randn(atoms.xyz.shape, generator=generator, dtype=torch.float64))
    term.prepare(start)
    gradient = term.evaluate(start).gradient
    direction = torch.randn(start.xyz.shape, generator=generator, dtype=torch.float64)
    for name, vector, found, step in (
        ("xyz", direction, gradient.xyz, 2e-3),
        ("b_iso", direction[:, 0] * 3.0, gradient.b_iso, 2e-1),
        ("occ", direction[:, 1] * 0.1, gradient.occ, 2e-2),
    ):
        here = getattr(start, name)
        ahead = term.value(replace(start, **{name: here + step * vector}))
        behind = term.value(replace(start, **{name: here - step * vector}))
        numeric = (ahead - behind) / (2 * step)
        assert float((vector * found).sum()) == pytest.approx(numeric, rel=0.02), name


def test_curvature_is_right_for_one_atom() -> None:
    """For a single atom in its own map the Fisher block is the whole second derivative."""
    atoms = _atoms(n=1)
    atoms = replace(atoms, elements=("C",))
    term = MapTerm(box_maps(_maps(atoms, noise=0.005), atoms.xyz, 3.0, mask_radius=6.0))
    term.prepare(atoms)
    block = term.evaluate(atoms).fisher.xyz[0]
    for axis in range(3):
        step = torch.zeros(1, 3, dtype=torch.float64)
        step[0, axis] = 0.02
        values = [term.value(replace(atoms, xyz=atoms.xyz + k * step)) for k in (-1, 0, 1)]
        numeric = (values[0] - 2 * values[1] + values[2]) / 0.02**2
        assert float(block[axis, axis]) == pytest.approx(numeric, rel=0.1)


def test_curvature_is_right_for_atoms_that_move_together() -> None:
    """At 4 Å neighbours overlap: blocks of single atoms see half of the curvature, and steps overshoot."""
    place = torch.tensor([[0.0, 0, 0], [1.45, 0.1, 0], [-0.3, 1.3, 0.1], [0.4, -0.9, 1.1], [2.1, 1.3, 0.3]]).double()
    atoms = replace(_atoms(n=5), xyz=torch.tensor([13.0, 33.0, 27.0]).double() + place)
    maps = _maps(atoms, 0.01)
    term = MapTerm(box_maps(maps, atoms.xyz, 4.0))
    term.prepare(atoms)
    found, step = term.evaluate(atoms), 0.02
    along = np.tile([0.6, 0.0, 0.8], 5)
    ahead, behind = (
        term.evaluate(replace(atoms, xyz=atoms.xyz + sign * step * torch.from_numpy(along).reshape(5, 3)))
        for sign in (1.0, -1.0)
    )
    slopes = [e.gradient.xyz.numpy().reshape(-1) @ along for e in (ahead, behind)]
    expected = (slopes[0] - slopes[1]) / (2.0 * step)
    assert along @ (position_curvature(found) @ along) == pytest.approx(expected, rel=0.1)
    assert along @ (position_curvature(replace(found, pairs=None)) @ along) < 0.55 * expected


def test_the_frame_of_the_map_does_not_matter(atoms: Atoms) -> None:
    maps = _maps(atoms, noise=0.01)
    term = MapTerm(box_maps(maps, atoms.xyz, 3.5))
    term.prepare(atoms)
    move = (3.0, -20.0, 8.0)
    moved = [replace(m, origin=tuple(a + b for a, b in zip(m.origin, move, strict=True))) for m in maps]
    elsewhere = replace(atoms, xyz=atoms.xyz + torch.tensor(move, dtype=torch.float64))
    other = MapTerm(box_maps(moved, elsewhere.xyz, 3.5))
    other.prepare(elsewhere)
    assert other.fsc_average == pytest.approx(term.fsc_average, abs=1e-6)


def test_every_friedel_pair_once_and_no_origin(atoms: Atoms) -> None:
    boxed = box_maps(_maps(atoms, noise=0.01), atoms.xyz, 4.0)
    hkl = boxed.hkl.numpy()
    assert not (hkl == 0).all(axis=1).any()
    both = {tuple(r) for r in hkl} | {tuple(-r) for r in hkl}
    assert len(both) == 2 * len(hkl)
    volume = math.prod(boxed.crystal.cell[:3])
    assert len(hkl) == pytest.approx(0.5 * 4 / 3 * math.pi / 4.0**3 * volume, rel=0.05)
    assert int(boxed.count.min()) >= 50
    assert np.all(np.diff(boxed.shell_mean(boxed.s2).numpy()) > 0)


def test_one_b_more_for_all_atoms_needs_no_new_density(atoms: Atoms) -> None:
    term = MapTerm(box_maps(_maps(atoms, 0.05), atoms.xyz, 3.0))
    term.prepare(atoms)
    before = term.statistics()
    assert term.statistics() is before
    wider, moved = replace(atoms, b_iso=atoms.b_iso + 6.0), replace(atoms, xyz=atoms.xyz + 0.2)
    fresh = MapTerm(term.maps)
    fresh.prepare(wider)
    for model in (wider, moved, wider):
        term.update_scaling(model)
    assert term.statistics() is not before
    expected = fresh.last_f_calc
    assert torch.allclose(term.last_f_calc, expected, rtol=0.0, atol=2e-3 * float(expected.abs().max()))
    assert term.statistics().overall_b == pytest.approx(fresh.statistics().overall_b, abs=0.02)
    assert term.statistics().work_value == pytest.approx(fresh.statistics().work_value, rel=1e-3)
