"""Q-scores against what they must be for known profiles, and against a published value."""

from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
import torch

from burnish.data.density import DensityMap
from burnish.io.mrc import read_map
from burnish.validate.q_score import expected_q_score, q_scores

VOXEL, SIZE, ORIGIN = 0.25, 48, (5.0, -3.0, 8.0)


def _gaussians(centres: np.ndarray, sigma: float) -> DensityMap:
    """Sum of isotropic Gaussians on a fine grid."""
    axis = np.arange(SIZE) * VOXEL
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    local = centres - np.array(ORIGIN)
    values = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / (2 * sigma**2)) for a, b, c in local)
    return DensityMap(values=torch.from_numpy(np.asarray(values, np.float32)), voxel_size=(VOXEL,) * 3, origin=ORIGIN)


MIDDLE = np.array([ORIGIN]) + SIZE * VOXEL / 2


def test_the_reference_profile_scores_one() -> None:
    density = _gaussians(MIDDLE, 0.6)
    assert float(q_scores(density, torch.from_numpy(MIDDLE))[0]) == pytest.approx(1.0, abs=2e-3)


def test_other_widths_score_as_the_integral_says() -> None:
    """Correlation of two Gaussian profiles over equal weights at the radii, from its definition."""
    r = np.arange(21) * 0.1
    for sigma in (0.9, 1.5):
        a, b = np.exp(-0.5 * (r / sigma) ** 2), np.exp(-0.5 * (r / 0.6) ** 2)
        found = float(q_scores(_gaussians(MIDDLE, sigma), torch.from_numpy(MIDDLE))[0])
        assert found == pytest.approx(float(np.corrcoef(a, b)[0, 1]), abs=3e-3)


def test_scale_and_offset_do_not_matter() -> None:
    density = _gaussians(MIDDLE, 0.8)
    other = replace(density, values=7.0 * density.values - 3.0)
    xyz = torch.from_numpy(MIDDLE)
    assert float(q_scores(other, xyz)[0]) == pytest.approx(float(q_scores(density, xyz)[0]), abs=1e-5)


def test_a_neighbour_does_not_take_the_score_of_a_resolved_atom() -> None:
    half = np.array([0.75, 0.0, 0.0])
    pair = np.concatenate([MIDDLE - half, MIDDLE + half])
    density = _gaussians(pair, 0.4)
    together = q_scores(density, torch.from_numpy(pair))
    alone = q_scores(density, torch.from_numpy(pair[:1]))  # the neighbour's density counts against it
    assert float(together.min()) > float(alone[0]) + 0.02
    beside = q_scores(density, torch.from_numpy(pair[:1]), torch.from_numpy(pair[1:]))  # known, and not scored
    assert beside.tolist() == [float(together[0])]


def test_noise_scores_nothing_and_outside_is_unknown() -> None:
    generator = torch.Generator().manual_seed(2)
    noise = DensityMap(
        values=torch.randn(SIZE, SIZE, SIZE, generator=generator), voxel_size=(VOXEL,) * 3, origin=ORIGIN
    )
    spread = torch.from_numpy(MIDDLE + np.random.default_rng(1).uniform(-3, 3, (60, 3)))
    scores = torch.stack([q_scores(noise, x[None])[0] for x in spread])
    assert abs(float(scores.mean())) < 0.1
    far = torch.tensor([[500.0, 0.0, 0.0]], dtype=torch.float64)
    assert bool(q_scores(noise, far).isnan().all())


def test_published_mean_of_a_real_map(shared_data: Path) -> None:
    """Chain A of 7CEC in EMD-30342: a mean of .45 was published (MapQ's own test case)."""
    folder = shared_data / "em/maps/emd_30342"
    structure = gemmi.read_structure(str(folder / "390_7cec_A.cif"))
    xyz = torch.tensor([s.atom.pos.tolist() for s in structure[0].all() if not s.atom.is_hydrogen()])
    scores = q_scores(read_map(folder / "390_emd_30342_A_z4.mrc"), xyz)
    assert float(scores.mean()) == pytest.approx(0.45, abs=0.02)
    assert expected_q_score(3.9) == pytest.approx(0.42, abs=0.01)
