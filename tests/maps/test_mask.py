"""Masks: distances, edges, thresholds."""

import math
import shutil
import subprocess

import numpy as np
import pytest
from scipy import ndimage

from burnish.fourier.array_low_pass import low_pass_array
from burnish.io.mrc import MapArray, read_array, write_array
from burnish.maps.mask import (
    MaskShape,
    automatic_threshold,
    describe_mask,
    largest_part,
    make_mask,
    seed_from_atoms,
    squared_distances,
)


def blobs(n=32, noise=0.05, seed=1):
    """Two Gaussian blobs, a big one left and a small one right, in noise."""
    z, y, x = np.meshgrid(*[np.arange(n) - n // 2] * 3, indexing="ij")
    big = np.exp(-((x + 6) ** 2 + y**2 + z**2) / 18.0)
    small = np.exp(-((x - 9) ** 2 + y**2 + z**2) / 4.0)
    noisy = big + small + noise * np.random.default_rng(seed).standard_normal((n, n, n))
    return noisy.astype(np.float32)


@pytest.mark.parametrize("reach", [1, 2.5, 7, 40])
def test_distances_are_the_euclidean_ones_within_reach(reach):
    seed = np.random.default_rng(2).random((11, 13, 17)) > 0.995
    before = seed.copy()
    exact = np.rint(ndimage.distance_transform_edt(~seed) ** 2)
    found = squared_distances(seed, reach)
    near = exact <= reach**2
    assert np.array_equal(found[near], exact[near])
    assert (found[~near] >= reach**2).all()
    assert np.array_equal(seed, before)


def test_too_far_a_reach_is_refused():
    with pytest.raises(ValueError, match="at most 126"):
        squared_distances(np.zeros((3, 3, 3), bool), 200)


def test_edge_is_a_raised_cosine_of_the_distance():
    seed = np.zeros((1, 1, 21), bool)
    seed[0, 0, 10] = True
    mask = make_mask(seed, MaskShape(extend=2.5, soft_edge=4))[0, 0]
    expected = [0.5 + 0.5 * math.cos(math.pi * d / 4) for d in (1, 2, 3)]
    assert mask[8:13].tolist() == [1] * 5  # nearer than 2.5
    assert mask[13:16].tolist() == pytest.approx(expected)
    assert mask[16:].tolist() == [0] * 5


def test_shrinking_radius_and_helix():
    seed = np.ones((15, 15, 15), bool)
    ball = make_mask(seed, MaskShape(radius=5, soft_edge=0))
    assert ball[7, 7, 12] == 1 and ball[7, 7, 13] == 0
    smaller = make_mask(ball > 0, MaskShape(extend=-2, soft_edge=0))
    assert smaller[7, 7, 10] == 1 and smaller[7, 7, 11] == 0
    helix = make_mask(seed, MaskShape(helix_z_frac=0.4, soft_edge=2))
    assert helix[7].min() == 1 and helix[7 - 3].min() == 1 and helix[7 - 4].max() == pytest.approx(0.5)
    assert helix[0].max() == 0


def test_empty_seed_gives_an_empty_mask():
    assert make_mask(np.zeros((4, 4, 4), bool), MaskShape()).sum() == 0


def test_largest_part_drops_the_small_blob():
    density = blobs(noise=0.0)
    seed = density > 0.5
    part = largest_part(seed)
    assert part[:, :, :16].sum() > 0 and part[:, :, 20:].sum() == 0
    mask = make_mask(seed, MaskShape(largest_only=True, soft_edge=2))
    assert mask[16, 16, 25] == 0
    facts = describe_mask(mask, density, 0.3)
    assert 0.02 < facts.density_outside < 0.3 and not facts.touches_edge


def test_automatic_threshold_parts_particle_from_noise():
    density = blobs()
    threshold = automatic_threshold(density)
    assert 0.15 < threshold < 0.6
    assert automatic_threshold(3 * density) == pytest.approx(3 * threshold, rel=0.02)
    assert automatic_threshold(np.zeros((4, 4, 4), np.float32)) == 0


def test_facts_of_a_mask_that_reaches_the_edge():
    density = blobs()
    facts = describe_mask(np.ones_like(density), density, 0.3)
    assert facts.touches_edge and facts.fraction == 1 and facts.density_outside == 0


def test_seed_of_atoms():
    seed = seed_from_atoms(np.array([[6.0, 4.0, 2.0], [100.0, 0, 0]]), (8, 10, 12), (2.0, 2.0, 2.0), 2.0)
    assert seed.sum() == 7 and seed[1, 2, 3] and seed[1, 2, 4] and seed[0, 2, 3]


def test_relion_makes_the_same_mask(shared_data, tmp_path):
    if shutil.which("relion_mask_create") is None:
        pytest.skip("RELION is not installed")
    folder = shared_data / "em/sets/bench_relion"
    halves = [read_array(folder / f"run_half{i}_class001_unfil.mrc").values for i in (1, 2)]
    mean = ((halves[0] + halves[1]) / 2).reshape(64, 2, 64, 2, 64, 2).mean((1, 3, 5))
    write_array(tmp_path / "mean.mrc", MapArray(values=mean, voxel_size=(4.0, 4.0, 4.0)))
    command = "relion_mask_create --i mean.mrc --o mask.mrc --lowpass 20 --ini_threshold 0.02 --extend_inimask 2.5"
    subprocess.run([*command.split(), "--width_soft_edge", "4"], cwd=tmp_path, check=True, capture_output=True)
    ours = make_mask(low_pass_array(mean, 20.0, 4.0) >= 0.02, MaskShape(extend=2.5, soft_edge=4))
    theirs = read_array(tmp_path / "mask.mrc").values
    assert (ours != theirs).mean() < 1e-4  # float32 against float64 on the threshold
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9999


def test_helical_part_is_cut_as_relion_cuts_it(tmp_path):
    if shutil.which("relion_mask_create") is None:
        pytest.skip("RELION is not installed")
    values = blobs(noise=0.0)
    write_array(tmp_path / "map.mrc", MapArray(values=values, voxel_size=(2.0,) * 3))
    command = "relion_mask_create --i map.mrc --o mask.mrc --ini_threshold 0.02 --extend_inimask 0 --width_soft_edge 3"
    command += " --helix --z_percentage 0.3 --angpix 2"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    ours = make_mask(values >= 0.02, MaskShape(soft_edge=3, helix_z_frac=0.3))
    np.testing.assert_allclose(ours, read_array(tmp_path / "mask.mrc").values, atol=1e-5)


def test_stored_relion_mask(shared_data):
    folder = shared_data / "em/sets/bench_relion"
    halves = [read_array(folder / f"run_half{i}_class001_unfil.mrc").values for i in (1, 2)]
    values = low_pass_array((halves[0] + halves[1]) / 2, 15.0, 2.0)
    ours = make_mask(values >= 0.02, MaskShape(soft_edge=6))
    theirs = read_array(folder / "mask.mrc").values
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999
