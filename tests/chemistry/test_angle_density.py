"""Densities of torsions: normalised, periodic, differentiable, with the levels of the reference tables."""

import math
from dataclasses import replace

import pytest
import torch

from burnish.chemistry.angle_density import AngleDensity, harmonics_within, levels, log_density, log_level
from burnish.chemistry.ramachandran import CLASSES, ramachandran_class, ramachandran_density, ramachandran_levels
from burnish.chemistry.ramachandran import verdict_of as ramachandran_verdict
from burnish.chemistry.rotamers import (
    CHI_ATOMS,
    rotamer_density,
    rotamer_levels,
    rotamer_name,
    rotamer_nll,
    rotamer_verdict,
    rotamers_of,
)


def degrees(*values: float) -> torch.Tensor:
    return torch.deg2rad(torch.tensor([values], dtype=torch.float64))


def one_component(kappa: float) -> AngleDensity:
    norm = 2 * math.pi * float(torch.special.i0e(torch.tensor(kappa, dtype=torch.float64)))
    return AngleDensity(
        fold=torch.ones(1, dtype=torch.float64),
        mean=torch.zeros(1, 1, dtype=torch.float64),
        kappa=torch.full((1, 1), kappa, dtype=torch.float64),
        coupling=torch.zeros(1, 0, dtype=torch.float64),
        log_weight=torch.tensor([-math.log(norm)], dtype=torch.float64),
        log_density_knots=torch.tensor([-9.0, -1.0], dtype=torch.float64),
        log_level_knots=torch.tensor([-8.0, 0.0], dtype=torch.float64),
        harmonics=torch.zeros(0, 1, dtype=torch.float64),
        level_terms=torch.zeros(0, dtype=torch.float64),
    )


def test_one_component_is_the_von_mises_density():
    x = torch.tensor([[0.3], [2.0]], dtype=torch.float64)
    expected = torch.distributions.VonMises(torch.tensor(0.0, dtype=torch.float64), 2.5).log_prob(x[:, 0])
    torch.testing.assert_close(log_density(one_component(2.5), x), expected, rtol=1e-5, atol=0)  # torch's I0 is single


@pytest.mark.parametrize("kind", CLASSES)
def test_backbone_densities_are_normalised(kind):
    x = torch.deg2rad(torch.arange(-179.0, 180.0, 2.0, dtype=torch.float64))
    grid = torch.cartesian_prod(x, x)
    mass = log_density(ramachandran_density(kind), grid).exp().sum() * math.radians(2.0) ** 2
    assert abs(float(mass) - 1.0) < 2e-3  # the stored logarithms have four digits


@pytest.mark.parametrize("name", ["SER", "ASP", "LEU", "PHE"])
def test_side_chain_densities_are_normalised_over_their_periods(name):
    density = rotamer_density(name)
    x = torch.deg2rad(torch.arange(1.0, 360.0, 2.0, dtype=torch.float64))
    d = len(density.fold)
    grid = x[:, None] if d == 1 else torch.cartesian_prod(*[x] * d)
    # summing the whole circle of an angle of fold 2 counts the density twice; its measure is twice the angle
    mass = log_density(density, grid).exp().sum() * math.radians(2.0) ** d
    assert abs(float(mass) - 1.0) < 5e-3


def test_gradient():
    x = degrees(-70.0, 130.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: log_density(ramachandran_density("pre_proline"), a), (x,))
    chi = degrees(-65.0, 170.0, 60.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: rotamer_nll("GLU", a), (chi,))
    assert torch.autograd.gradcheck(lambda a: levels(ramachandran_density("general"), a), (x,))


def test_periodic_and_batched_as_one_by_one():
    x = torch.cat([degrees(-65.0, 40.0), degrees(80.0, -150.0), degrees(175.0, 175.0)])
    density = ramachandran_density("general")
    together = log_density(density, x)
    torch.testing.assert_close(together, log_density(density, x + 2 * math.pi))
    torch.testing.assert_close(together, torch.cat([log_density(density, row[None]) for row in x]))
    asp = degrees(-70.0, -15.0), degrees(-70.0, 165.0)  # the oxygens of aspartate are the same
    torch.testing.assert_close(*(log_density(rotamer_density("ASP"), a) for a in asp))


def test_glycine_has_no_hand():
    x = degrees(75.0, 12.0)
    torch.testing.assert_close(*(ramachandran_levels(["glycine"], s * x) for s in (1.0, -1.0)), rtol=1e-3, atol=1e-4)


def test_levels_grow_with_density_and_end_at_one():
    density = ramachandran_density("general")
    log_p = torch.linspace(-30.0, 5.0, 500, dtype=torch.float64)
    level = log_level(density, log_p)
    assert bool((level.diff() >= 0).all())
    assert float(level[-1]) == 0.0


@pytest.mark.parametrize(
    ("kind", "phi", "psi", "expected"),
    [
        ("general", -62.0, -42.0, "favoured"),
        ("general", -120.0, 130.0, "favoured"),
        ("general", 100.0, 60.0, "outlier"),
        ("general", 0.0, 0.0, "outlier"),
        ("glycine", 80.0, 5.0, "favoured"),
        ("trans_proline", -65.0, 145.0, "favoured"),
        ("trans_proline", 60.0, 145.0, "outlier"),
        ("cis_proline", -80.0, 150.0, "favoured"),
        ("ile_val", -62.0, -43.0, "favoured"),
        ("pre_proline", -65.0, 145.0, "favoured"),
    ],
)
def test_well_known_backbones(kind, phi, psi, expected):
    level = float(ramachandran_levels([kind], degrees(phi, psi))[0])
    assert ramachandran_verdict(kind, level) == expected


@pytest.mark.parametrize(
    ("name", "after", "is_cis", "expected"),
    [
        ("GLY", "PRO", False, "glycine"),
        ("PRO", "PRO", True, "cis_proline"),
        ("PRO", "ALA", False, "trans_proline"),
        ("VAL", "PRO", False, "pre_proline"),
        ("VAL", "ALA", False, "ile_val"),
        ("ALA", None, False, "general"),
    ],
)
def test_class_of_a_residue(name, after, is_cis, expected):
    assert ramachandran_class(name, after, is_cis=is_cis) == expected


@pytest.mark.parametrize("name", sorted(CHI_ATOMS))
def test_every_common_rotamer_is_favoured_and_named(name):
    first = rotamers_of(name)[0]
    chi = torch.tensor([first.chi], dtype=torch.float64)
    level = float(rotamer_levels(name, chi)[0])
    assert rotamer_verdict(level) == "favoured"
    assert rotamer_name(name, chi[0]) == first.name


def test_eclipsed_side_chains_are_outliers():
    assert rotamer_verdict(float(rotamer_levels("LEU", degrees(0.0, 0.0))[0])) == "outlier"
    assert rotamer_verdict(float(rotamer_levels("LYS", degrees(0.0, 0.0, 0.0, 0.0))[0])) == "outlier"


def test_types_without_side_chain_torsions_have_no_rotamers():
    assert rotamers_of("GLY") == ()
    assert rotamer_name("ALA", torch.zeros(0, dtype=torch.float64)) == ""


def test_harmonics_are_one_of_each_pair():
    k = harmonics_within(3, 2)
    both = torch.cat([k, -k])
    assert len(torch.unique(both, dim=0)) == len(both) == 32  # lattice points within 2 of the origin, without it
    assert float(k.square().sum(1).max()) <= 4.0


def test_mended_levels_are_the_mixture_times_the_series():
    plain = one_component(2.5)
    terms = torch.tensor([-0.1, 0.2, 0.05], dtype=torch.float64)  # constant, cosine, sine
    mended = replace(plain, harmonics=harmonics_within(1, 1), level_terms=terms)
    x = torch.tensor([[2.0], [-2.4]], dtype=torch.float64)
    expected = levels(plain, x) * (-0.1 + 0.2 * x[:, 0].cos() + 0.05 * x[:, 0].sin()).exp()
    torch.testing.assert_close(levels(mended, x), expected)
    assert torch.autograd.gradcheck(lambda a: levels(mended, a), (x.requires_grad_(),))


def test_a_mended_level_is_at_most_one():
    terms = torch.tensor([5.0, 0.0, 0.0], dtype=torch.float64)
    mended = replace(one_component(2.5), harmonics=harmonics_within(1, 1), level_terms=terms)
    assert float(levels(mended, torch.zeros(1, 1, dtype=torch.float64))[0]) == 1.0
