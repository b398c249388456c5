"""RELION's directions, against what RELION 3.1.3 itself counts and writes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from tests.particles.phantom import write_set

from burnish.io.relion_sampling import relion_directions
from burnish.symmetry.point_groups import point_group

# Numbers of directions at HEALPix orders 1 to 4 in model files of RELION 3.1.3 (`relion_refine --iter 0`).
_COUNTS = {
    "C1": (48, 192, 768, 3072), "C5": (8, 35, 150, 598), "C7": (5, 24, 106, 427), "D1": (24, 96, 384, 1536),
    "D2": (12, 48, 192, 768), "D3": (8, 33, 129, 503), "D7": (3, 13, 53, 218), "T": (3, 14, 59, 250),
    "O": (1, 7, 32, 126), "I1": (1, 3, 12, 49), "I2": (0, 2, 11, 48), "I3": (0, 4, 12, 53), "I4": (1, 2, 11, 48),
}  # fmt: skip


@pytest.mark.parametrize("symmetry", _COUNTS)
def test_counts_are_relion_s(symmetry: str) -> None:
    assert tuple(len(relion_directions(order, symmetry)[0]) for order in (1, 2, 3, 4)) == _COUNTS[symmetry]


@pytest.mark.parametrize("symmetry", _COUNTS)
def test_every_direction_has_a_mate_near_a_sample(symmetry: str) -> None:
    towards, rot, tilt = relion_directions(3, symmetry)
    assert torch.allclose(towards[:, 2], torch.deg2rad(tilt).cos())
    assert bool((rot.abs() <= 180.0).all())
    wanted = torch.nn.functional.normalize(torch.randn(200, 3, generator=torch.Generator().manual_seed(1)).double())
    mates = torch.einsum("ni,mij->nmj", wanted, point_group(symmetry))
    nearest = torch.rad2deg(torch.acos((mates @ towards.T).amax((1, 2)).clamp(max=1.0)))
    assert float(nearest.max()) < 2 * 7.5  # at seams the mates of a pixel may lie a whole pixel aside


@pytest.mark.parametrize("symmetry", ["C5", "D2", "T", "O", "I3"])
def test_order_of_the_directions_is_relion_s(symmetry: str, tmp_path: Path) -> None:
    if shutil.which("relion_refine") is None:
        pytest.skip("relion_refine is not installed")
    particles, reference, _, _ = write_set(tmp_path, symmetry="C1", count=4, noise=1.0)
    command = f"relion_refine --o {tmp_path}/run --i {particles} --ref {reference} --iter 0"
    command += f" --healpix_order 3 --oversampling 0 --particle_diameter 90 --ini_high 30 --ctf --sym {symmetry}"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    sticks = [
        [float(x) for x in line.split()[1:7]]
        for line in (tmp_path / "run_it000_class001_angdist.bild").read_text().splitlines()
        if line.startswith(".cylinder")
    ]
    ends = torch.tensor(sticks, dtype=torch.float64)
    found = torch.nn.functional.normalize(ends[:, 3:] - ends[:, :3])
    assert torch.allclose(found, relion_directions(3, symmetry)[0], atol=1e-3)
