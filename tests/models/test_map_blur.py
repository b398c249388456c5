"""How much a map is blurred."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from burnish.data.reflections import Crystal
from burnish.models.boxed_maps import box_maps
from burnish.models.map_blur import b_from_scales, blur_of
from burnish.models.map_term import MapTerm
from burnish.scattering.form_factors import Radiation, form_factors
from tests.models.test_map_term import _atoms, _maps

CELL = 32.0


def _scene(b: float, noise: float, seed: int = 3) -> tuple[torch.Tensor, ...]:
    """Coefficients of point atoms blurred by b, with noise of their mean power at the limit."""
    generator = torch.Generator().manual_seed(seed)
    xyz = 6.0 + 20.0 * torch.rand(60, 3, generator=generator, dtype=torch.float64)
    m = 9
    hkl = torch.cartesian_prod(*(torch.arange(-m, m + 1),) * 3)
    s2 = (hkl.double() / CELL).square().sum(1)
    inside = (s2 > 0) & (s2 <= (m / CELL) ** 2)
    hkl, s2 = hkl[inside], s2[inside]
    phase = 2.0 * torch.pi * (hkl.double() @ xyz.T) / CELL
    carbon = torch.from_numpy(form_factors(("C",), None, Radiation.ELECTRON).at(s2.numpy())[0])
    values = torch.polar(torch.ones_like(phase), phase).sum(1) * carbon * torch.exp(-0.25 * b * s2)
    values = values + noise * torch.randn(len(s2), generator=generator, dtype=torch.complex128)
    shell = (s2.sqrt() * CELL - 0.5).clamp_min(0).long()
    return values, xyz, hkl, s2, shell - shell.min()


@pytest.mark.parametrize("b", [60.0, 120.0])
def test_the_b_of_point_atoms_is_found(b: float) -> None:
    values, xyz, hkl, s2, shell = _scene(b, noise=0.0)
    crystal = Crystal(cell=(CELL, CELL, CELL, 90.0, 90.0, 90.0), space_group="P 1")
    assert blur_of(values, xyz, crystal, hkl, s2, shell) == pytest.approx(b, abs=1.0)


def test_noise_does_not_count() -> None:
    crystal = Crystal(cell=(CELL, CELL, CELL, 90.0, 90.0, 90.0), space_group="P 1")
    clean, noisy = (_scene(80.0, noise) for noise in (0.0, 3.0))
    found = [blur_of(values, xyz, crystal, hkl, s2, shell) for values, xyz, hkl, s2, shell in (clean, noisy)]
    assert found[1] == pytest.approx(found[0], abs=8.0)


def test_a_map_that_shows_nothing_of_the_atoms_is_not_sharpened_without_bounds() -> None:
    values, xyz, hkl, s2, shell = _scene(80.0, noise=0.0)
    crystal = Crystal(cell=(CELL, CELL, CELL, 90.0, 90.0, 90.0), space_group="P 1")
    found = blur_of(
        torch.randn(len(values), generator=torch.Generator().manual_seed(1), dtype=torch.complex64),
        xyz,
        crystal,
        hkl,
        s2,
        shell,
    )
    assert 0.0 <= found <= 4.0 * 6.91 / float(s2.max())


def test_falloff_of_scales() -> None:
    s2 = torch.linspace(0.0, 0.08, 9, dtype=torch.float64)
    assert b_from_scales(3.0 * torch.exp(-0.25 * 70.0 * s2), s2, torch.ones(9)) == pytest.approx(70.0)
    assert b_from_scales(torch.tensor([1.0, 0.5, -0.1]).double(), s2[:3], torch.ones(3)) == 0.0


def test_noise_beyond_the_signal_does_not_reach_the_shells_within() -> None:
    """Half maps of blurred atoms to Nyquist: the halves agree to 4 Å as well as in maps cut there."""
    atoms = _atoms()
    blurred = replace(atoms, b_iso=atoms.b_iso + 150.0)
    maps = _maps(blurred, noise=0.003)
    nyquist = 2.0 * max(maps[0].voxel_size)
    near = MapTerm(box_maps(maps, atoms.xyz, 4.0))
    far = MapTerm(box_maps(maps, atoms.xyz, nyquist, signal_to=4.0))
    raised = MapTerm(box_maps(maps, atoms.xyz, nyquist))

    def agreement(term: MapTerm) -> float:
        """Mean FSC of the halves to 5 Å."""
        fsc, s2 = term.half_fsc(), term.maps.shell_mean(term.maps.s2)
        assert fsc is not None
        return float(fsc[s2 < 5.0**-2].mean())

    assert agreement(near) > 0.8
    assert agreement(far) > agreement(near) - 0.05
    assert agreement(raised) < agreement(far)
