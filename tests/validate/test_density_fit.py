"""Fit to density: perfect where maps agree, poor where an atom has none; peaks listed once."""

import gemmi
import numpy as np
import pytest
import torch

from burnish.chemistry.residues import residue_views
from burnish.data.reflections import Crystal
from burnish.data.sampled_map import SampledMap, cell_map
from burnish.validate.density_fit import difference_peaks, residue_fits
from peptide_model import make_peptide, positions

CELL = (30.0, 32.0, 34.0, 90.0, 90.0, 90.0)


def density_of(xyz: np.ndarray, heights: np.ndarray) -> SampledMap:
    """Gaussians of variance 0.5 Å² in a P1 cell."""
    shape = (60, 64, 68)
    index = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), -1)
    frac = np.array(gemmi.UnitCell(*CELL).frac.mat.tolist())
    values = np.zeros(shape)
    for x, height in zip(xyz, heights, strict=True):
        delta = index - frac @ x
        away = (delta - np.round(delta)) * np.array(CELL[:3])
        values += height * np.exp(-(away**2).sum(-1))
    return cell_map(torch.tensor(values).float(), frac)


@pytest.fixture(scope="module")
def peptide():
    structure = make_peptide(["ALA", "ALA", "ALA"], -62.0, -42.0)
    xyz = positions(structure) + 10.0
    electrons = torch.tensor([float(s.atom.element.atomic_number) for s in structure[0].all()], dtype=torch.float64)
    return structure, xyz, electrons


def fits(peptide, observed, calculated, difference):
    structure, xyz, electrons = peptide
    ones = torch.ones(len(xyz), dtype=torch.float64)
    views = residue_views(structure[0])
    return residue_fits(observed, calculated, difference, xyz, 20.0 * ones, ones, electrons, views, 2.0)


def test_a_perfect_model(peptide):
    _, xyz, electrons = peptide
    density = density_of(xyz.numpy(), electrons.numpy())
    nothing = density_of(np.array([[25.0, 28.0, 30.0]]), np.array([1.0]))
    found = fits(peptide, density, density, nothing)
    for residue in found:
        assert residue.correlation == pytest.approx(1.0, abs=1e-6)
        assert residue.r_value == pytest.approx(0.0, abs=1e-6)
        assert residue.density > 3.0
        assert abs(residue.worst_z) < 0.5
        assert residue.mean_b == 20.0


def test_missing_density_is_seen_in_its_residue_only(peptide):
    _, xyz, electrons = peptide
    heights = electrons.numpy().copy()
    calculated = density_of(xyz.numpy(), heights)
    heights[10:] = 0.0  # the third residue
    observed = density_of(xyz.numpy(), heights)
    difference = SampledMap(
        values=observed.values - calculated.values, to_grid=observed.to_grid, offset=observed.offset, periodic=True
    )
    first, _, last = fits(peptide, observed, calculated, difference)
    assert first.correlation > 0.95 > 0.5 > last.correlation
    assert last.worst_z < -5.0 < first.worst_z
    assert last.r_value > first.r_value


def test_peaks_are_listed_once_at_the_model():
    crystal = Crystal(cell=CELL, space_group="P 21 21 21")
    model = torch.tensor([[2.0, 2.0, 2.0], [4.0, 4.0, 4.0]], dtype=torch.float64)
    peak = np.array([5.0, 4.5, 4.0])
    copies = [peak]
    for op in crystal.group.operations():
        cell = crystal.unit_cell
        frac = op.apply_to_xyz(cell.fractionalize(gemmi.Position(*peak)).tolist())
        copies.append(np.array(cell.orthogonalize(gemmi.Fractional(*frac)).tolist()))
    difference = density_of(np.array(copies[1:]), np.array([1.0] * 4))
    found = difference_peaks(difference, crystal, model)
    assert len(found) == 1
    assert found[0].xyz == pytest.approx(tuple(peak), abs=0.05)
    assert (found[0].atom, found[0].distance) == (1, pytest.approx(1.118, abs=0.05))
    holes = difference_peaks(
        SampledMap(values=-difference.values, to_grid=difference.to_grid, offset=difference.offset, periodic=True),
        crystal,
        model,
    )
    assert holes[0].height == pytest.approx(-found[0].height)
