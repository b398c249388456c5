"""Carbon, nitrogen and oxygen atoms at given places."""

import torch
from torch import Tensor

from burnish.data.atoms import Atoms


def light_atoms(xyz: Tensor, b_iso: Tensor) -> Atoms:
    """Isotropic atoms, fully occupied. xyz: (n, 3) Å; b_iso: (n,) Å²"""
    n = len(xyz)
    return Atoms(
        xyz=xyz,
        b_iso=b_iso,
        u_aniso=torch.zeros(n, 6, dtype=torch.float64),
        is_aniso=torch.zeros(n, dtype=torch.bool),
        occ=torch.ones(n, dtype=torch.float64),
        elements=tuple("CNO"[i % 3] for i in range(n)),
        charges=torch.zeros(n, dtype=torch.int64),
        altloc=("",) * n,
        residue=torch.arange(n),
    )
