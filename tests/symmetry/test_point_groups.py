"""Point groups against RELION's printed operators, and as groups."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import torch

from burnish.core.errors import InputError
from burnish.symmetry.point_groups import canonical_name, point_group

NAMES = ("C1", "C2", "C5", "C7", "D1", "D2", "D3", "D7", "T", "O", "I", "I1", "I2", "I3", "I4")


@pytest.mark.parametrize("name", NAMES)
def test_is_a_group_of_rotations(name: str) -> None:
    ops = point_group(name)
    assert torch.equal(ops[0], torch.eye(3, dtype=torch.float64))
    assert torch.allclose(ops @ ops.mT, torch.eye(3, dtype=torch.float64).expand_as(ops), atol=1e-12)
    assert torch.allclose(torch.linalg.det(ops), torch.ones(len(ops), dtype=torch.float64))
    products = torch.einsum("aij,bjk->abik", ops, ops).reshape(-1, 1, 3, 3)
    assert float((products - ops).abs().amax((2, 3)).amin(1).max()) < 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_equals_relion(name: str) -> None:
    relion = shutil.which("relion_refine")
    if relion is None:
        pytest.skip("no relion_refine on this machine")
    printed = subprocess.run([relion, "--sym", name, "--print_symmetry_ops"], capture_output=True, text=True).stdout
    blocks = re.findall(r"R\(\d+\)=\s*((?:\s*[-+.\deE]+){9})", printed)
    theirs = torch.tensor([[float(x) for x in b.split()] for b in blocks], dtype=torch.float64).reshape(-1, 3, 3)
    ours = point_group(name)
    assert len(ours) == len(theirs)
    apart = (ours[:, None] - theirs).abs().amax((2, 3))
    assert float(apart.amin(1).max()) < 1e-5  # they print six digits
    assert float(apart.amin(0).max()) < 1e-5


def test_orders() -> None:
    assert [len(point_group(n)) for n in ("C1", "D2", "T", "O", "I1")] == [1, 4, 12, 24, 60]
    assert canonical_name(" i ") == "I2"


@pytest.mark.parametrize("name", ["", "C0", "X", "D", "I5", "Oh", "C1a"])
def test_refuses_what_is_no_point_group(name: str) -> None:
    with pytest.raises(InputError, match="expected C1"):
        point_group(name)
