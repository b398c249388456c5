"""Simulated particles: geometry, optics, noise, and what RELION makes of them."""

import math
import shutil
import subprocess
from dataclasses import replace

import pytest
import torch

from burnish.data.density import DensityMap
from burnish.data.optics import Defocus, OpticsGroup
from burnish.fourier.filters import low_pass
from burnish.io.mrc import map_stack, new_stack, read_map, write_map
from burnish.io.particles import write_new_particles
from burnish.particles import simulation as sim

N, PIXEL = 48, 3.0
OPTICS = OpticsGroup(
    name="a", voltage=300e3, spherical_aberration=2.7e7, amplitude_contrast=0.1, pixel_size=PIXEL, box_size=N
)
QUIET = sim.NoiseModel(snr=None, diameter=100.0)


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def blob(x, y, z, width=2.0):
    """Gaussian at (x, y, z) pixels from the centre."""
    axis = torch.arange(N) - N // 2
    return torch.exp(-((axis[:, None, None] - z) ** 2 + (axis[:, None] - y) ** 2 + (axis - x) ** 2) / (2 * width**2))


def some_map(seed=1):
    axis = torch.arange(N) - N // 2
    ball = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) < 14**2
    return low_pass(torch.randn(N, N, N, generator=generator(seed)) * ball, 10.0, PIXEL)


def some_particles(n=6, optics=(OPTICS,), **scene):
    return sim.draw_particles(sim.Scene(particles=n, micrographs=3, shift=5.0, **scene), optics, "s.mrcs", generator())


def in_focus(particles):
    """No phase but that of amplitude contrast 1: images are the projections."""
    zero = torch.zeros(len(particles), dtype=torch.float64)
    flat = Defocus(u=zero, v=zero, angle=zero, phase_shift=zero + math.pi / 2, b_factor=zero, scale=zero + 1)
    perfect = tuple(replace(o, amplitude_contrast=0.0, spherical_aberration=0.0) for o in particles.optics)
    return replace(particles, defocus=flat, optics=perfect)


def centre_of(image):
    """Centre of mass of what is above a fifth of the peak: the ghosts of interpolation are below a twentieth."""
    image = (image - 0.2 * image.max()).clamp_min(0)
    axis = torch.arange(N) - N // 2
    return torch.stack([(image.sum(0) * axis).sum(), (image.sum(1) * axis).sum()]) / image.sum()


def images_of(density, particles):
    projector = sim.make_projector(density)
    rows = sim.rows_of_one_optics(particles, 100)[0]
    return sim.render(projector, particles, rows, QUIET, 1.0, generator())


def test_a_point_lands_where_its_rotation_and_shift_put_it():
    particles = in_focus(some_particles())
    place = torch.tensor([6.0, -4.0, 9.0], dtype=torch.float64)
    images = images_of(blob(*place.tolist()), particles)
    for image, rotation, shift in zip(images, particles.poses.rotation, particles.poses.shift, strict=True):
        expected = (rotation @ place)[:2] - shift / PIXEL  # the shift brings it back to the centre
        torch.testing.assert_close(centre_of(image).double(), expected, atol=0.05, rtol=0)


def test_magnification_moves_a_point_by_its_transpose():
    matrix = torch.tensor([[1.05, 0.02], [0.01, 0.97]], dtype=torch.float64)
    particles = in_focus(some_particles(optics=(replace(OPTICS, magnification=matrix),)))
    place = torch.tensor([6.0, -4.0, 5.0], dtype=torch.float64)
    particles = replace(particles, poses=replace(particles.poses, shift=torch.zeros(6, 2, dtype=torch.float64)))
    images = images_of(blob(*place.tolist()), particles)
    for image, rotation in zip(images, particles.poses.rotation, strict=True):
        torch.testing.assert_close(centre_of(image).double(), matrix.T @ (rotation @ place)[:2], atol=0.05, rtol=0)


def test_projection_along_z_is_the_sum_over_z():
    density = some_map()
    before = density.clone()
    images = sim._to_images(sim.slices(sim.make_projector(density), torch.eye(3)[None], torch.eye(2)), N)
    expected = density.sum(0)
    error = (images[0] - expected).norm() / expected.norm()
    assert error < 0.05  # linear interpolation, padding 3
    assert torch.equal(density, before)
    finer = sim._to_images(sim.slices(sim.make_projector(density, 5), torch.eye(3)[None], torch.eye(2)), N)
    assert (finer[0] - expected).norm() < error * expected.norm()


def test_views_are_uniform_or_preferred():
    views = sim.draw_rotations(4000, 0.0, 0.2, generator())
    torch.testing.assert_close(views @ views.transpose(1, 2), torch.eye(3, dtype=torch.float64).expand_as(views))
    assert torch.linalg.det(views).min() > 0.999
    assert views.mean(0).abs().max() < 0.04  # 1/√(3·4000) = .009 a component
    assert float(views[:, 2, 2].square().mean()) == pytest.approx(1 / 3, abs=0.02)
    lying = sim.draw_rotations(4000, 0.7, 0.1, generator())
    assert float((lying[:, 2, 2] > math.cos(0.3)).double().mean()) == pytest.approx(0.7, abs=0.05)


def test_signal_to_noise_and_background():
    density = some_map()
    projector = sim.make_projector(density)
    noise = sim.NoiseModel(snr=0.5, coloured=0.3, diameter=100.0)
    particles = some_particles(64)
    deviation = sim.signal_deviation(projector, particles, noise, generator())
    rows = torch.arange(64)
    images = sim.render(projector, particles, rows, noise, deviation, generator(2))
    clean = sim._to_images(sim.clean_transforms(projector, particles, rows, noise), N)
    inside = sim.circle(N, PIXEL, 100.0)
    outside = ~inside
    assert images[:, outside].mean(1).abs().max() < 1e-5
    torch.testing.assert_close(images[:, outside].std(1), torch.ones(64))
    # the image is (signal + noise) / noise deviation: its variance inside is 1 + snr
    assert float(images[:, inside].var(1).mean()) == pytest.approx(1.5, rel=0.06)
    scale = float((images * clean).sum() / clean.square().sum())
    assert scale * deviation == pytest.approx(math.sqrt(0.5), rel=0.05)
    power = sim.noise_power(N, PIXEL, noise)
    counted = torch.full_like(power, 2.0)
    counted[:, [0, -1]] = 1
    assert float((power * counted).sum()) == pytest.approx(N * N, rel=1e-4)


def test_damage_dims_high_resolution_only():
    s = torch.tensor([0.0, 0.02, 0.3])
    envelope = sim.dose_envelope(s, 40.0)
    assert envelope[0] > 0.999 and envelope[1] > 0.8 and 0.1 < envelope[2] < 0.5
    assert sim.dose_envelope(s, 1e-6).min() > 0.999


def test_same_seed_same_particles_and_groups_in_batches():
    two = (OPTICS, replace(OPTICS, name="b"))
    a, b = some_particles(20, optics=two), some_particles(20, optics=two)
    assert torch.equal(a.poses.rotation, b.poses.rotation) and torch.equal(a.defocus.u, b.defocus.u)
    batches = sim.rows_of_one_optics(a, 4)
    assert sorted(torch.cat(batches).tolist()) == list(range(20))
    assert all(len(set(a.optics_index[rows].tolist())) == 1 and len(rows) <= 4 for rows in batches)


def test_what_is_given_hides_the_truth():
    truth = some_particles(30, defocus_spread=300.0, scale_spread=0.1)
    given = sim.disturb_defocus(truth, 0.0, generator(), own=False)
    for m in range(3):
        mine = truth.micrograph == m
        mean = (given.defocus.u + given.defocus.v)[mine] / 2
        assert mean.std() < 1e-6
        assert float(mean[0]) == pytest.approx(float((truth.defocus.u + truth.defocus.v)[mine].mean() / 2))
    assert torch.equal(given.defocus.scale, torch.ones(30, dtype=torch.float64))
    wrong = sim.disturb_defocus(truth, 250.0, generator(), own=True)
    assert float((wrong.defocus.u - truth.defocus.u).std()) == pytest.approx(250, rel=0.4)
    assert torch.allclose(wrong.defocus.u - wrong.defocus.v, truth.defocus.u - truth.defocus.v)
    tilted = replace(OPTICS, beam_tilt=(1e-3, 0.0), odd_zernike=(0.1,))
    assert sim.nominal(tilted).beam_tilt == (0.0, 0.0) and sim.nominal(tilted).odd_zernike is None


@pytest.fixture
def relion_set(tmp_path):
    if shutil.which("relion_project") is None:
        pytest.skip("RELION is not installed")
    density = some_map()
    aberrated = replace(OPTICS, even_zernike=(0.1, 0.3, -0.4, 0.2))
    particles = some_particles(60, optics=(aberrated,), astigmatism=500.0, scale_spread=0.1)
    particles = replace(particles, stacks=("ours.mrcs",))
    write_map(tmp_path / "map.mrc", DensityMap(values=density, voxel_size=(PIXEL,) * 3))
    write_new_particles(tmp_path / "truth.star", particles)
    with new_stack(tmp_path / "ours.mrcs", (60, N, N), PIXEL) as images:
        images[:] = images_of(density, particles).numpy()
    return tmp_path


def test_relion_projects_the_same_images(relion_set):
    command = "relion_project --i map.mrc --o theirs --ang truth.star --angpix 3 --pad 2 --ctf"
    subprocess.run(command.split(), cwd=relion_set, check=True, capture_output=True)
    ours, theirs = (torch.from_numpy(map_stack(relion_set / f"{n}.mrcs")[0].copy()) for n in ("ours", "theirs"))
    for a, b in zip(ours, theirs, strict=True):
        assert torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1] > 0.995
        assert float((a * b).sum() / (b * b).sum()) == pytest.approx(1.0, abs=0.02)


def test_relion_reconstructs_the_map(relion_set):
    command = "relion_reconstruct --i truth.star --o back.mrc --ctf --pad 2"
    subprocess.run(command.split(), cwd=relion_set, check=True, capture_output=True)
    back, truth = (low_pass(read_map(relion_set / f).values, 14.0, PIXEL) for f in ("back.mrc", "map.mrc"))
    assert torch.corrcoef(torch.stack([back.flatten(), truth.flatten()]))[0, 1] > 0.95
