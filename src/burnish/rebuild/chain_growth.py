"""Backbones grown residue by residue into density, from either end, many at once.

At each step every chain that is kept is continued with many torsions drawn from the class of the residue, and those
that lie best in density are kept: what no single draw of all torsions would hit is found in a few steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from burnish.chemistry.ramachandran import RamachandranClass
from burnish.geometry.torsions import place_atoms
from burnish.maps.sampling import SplineMap, sample
from burnish.rebuild.loops import ANGLES_DEG, LENGTHS, O_ANGLE_DEG, O_LENGTH, sample_torsions
from burnish.validate.cbeta import ideal_cbeta

KEPT, DRAWN = 160, 40  # chains, and continuations of each
TEMPERATURE = 0.5  # of the choice, in σ of the mean density: keeps chains that differ
RICHEST = 3.0  # σ; more density at an atom says no more
NEAREST = 3.0  # Å between a new Cα or Cβ and atoms of the model
STRIDE = 3.8  # Å between neighbouring Cα
FAR_PRICE = 2.0  # σ for each Å that the end of a chain is out of reach of where it must arrive


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What chains grow in.

    Attributes
    ----------
    spline, sigma : density and its rms.
    others : atoms that are there.
    goal : Cα that a chain must arrive at; None for a free end. (3,)
    """

    spline: SplineMap
    sigma: float
    others: cKDTree
    goal: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """Chains from one end.

    Attributes
    ----------
    chains : N, Cα, C of each residue in the order in which they were built. (b, n, 3, 3)
    phi_psi : of each residue as drawn, rad; the outer torsion of the last is not yet used. (b, n, 2)
    score : mean of the steps. (b,)
    density : mean density at N, Cα, C, Cβ and O of each step, σ. (b, n)
    """

    chains: Tensor
    phi_psi: Tensor
    score: Tensor
    density: Tensor


def grow_forward(
    anchor: Tensor,
    kinds: Sequence[RamachandranClass],
    names: Sequence[str],
    field: Field,
    generator: torch.Generator,
) -> Grown:
    """Residues after the C end of `anchor`.

    Parameters
    ----------
    anchor : N, Cα, C of the last residue that is there. (3, 3)
    kinds : class of that residue, then of each new one. n + 1
    names : of the new residues. n
    field : what they grow in.
    generator : of the torsions.
    """
    return _grow(anchor, kinds, names, field, generator, forward=True)


def grow_backward(
    anchor: Tensor,
    kinds: Sequence[RamachandranClass],
    names: Sequence[str],
    field: Field,
    generator: torch.Generator,
) -> Grown:
    """Residues before the N end of `anchor`, the nearest first; `kinds` and `names` in that order."""
    return _grow(anchor, kinds, names, field, generator, forward=False)


def _grow(
    anchor: Tensor,
    kinds: Sequence[RamachandranClass],
    names: Sequence[str],
    field: Field,
    generator: torch.Generator,
    *,
    forward: bool,
) -> Grown:
    ends = anchor[None]
    drawn = sample_torsions([kinds[0]], 4 * DRAWN, generator)[:, 0]
    ends, inner = ends.expand(len(drawn), 3, 3), drawn
    chains = ends.new_zeros(len(drawn), 0, 3, 3)
    torsions = ends.new_zeros(len(drawn), 0, 2)
    scores, densities = ends.new_zeros(len(drawn)), ends.new_zeros(len(drawn), 0)
    for k, (kind, name) in enumerate(zip(kinds[1:], names, strict=True)):
        count = len(ends)
        parent = torch.arange(count).repeat_interleave(DRAWN)
        new = sample_torsions([kind], len(parent), generator)[:, 0]
        noise = torch.randn(len(parent), generator=generator, dtype=ends.dtype)
        omega = math.pi + math.radians(5.0) * noise
        residue, oxygen = _place(ends[parent], inner[parent], new, omega, forward=forward)
        density, score = _judge(residue, oxygen, name, field, len(names) - 1 - k)
        reached = (scores[parent] * k + score) / (k + 1)
        uniform = torch.rand(len(parent), generator=generator, dtype=ends.dtype).clamp(1e-9, 1.0 - 1e-9)
        gumbel = -(-uniform.log()).log()
        last = k == len(names) - 1
        order = torch.argsort(-(reached + (0.0 if last else TEMPERATURE / 4.0) * gumbel))[:KEPT]
        parent, new, density = parent[order], new[order], density[order]
        ends, inner, scores = residue[order], new, reached[order]
        chains = torch.cat([chains[parent], ends[:, None]], dim=1)
        torsions = torch.cat([torsions[parent], new[:, None]], dim=1)
        densities = torch.cat([densities[parent], density[:, None]], dim=1)
    return Grown(chains=chains, phi_psi=torsions, score=scores, density=densities)


def _place(ends: Tensor, inner: Tensor, new: Tensor, omega: Tensor, *, forward: bool) -> tuple[Tensor, Tensor]:
    """N, Cα, C of the next residue (b, 3, 3) and the oxygen of the peptide between (b, 3).

    `inner` are φ, ψ of the residue at the end, of which the outer one turns now, `new` those of the next.
    """
    n, ca, c = ends.unbind(1)
    one = torch.ones(len(ends), dtype=ends.dtype)

    def put(a: Tensor, b: Tensor, x: Tensor, length: float, angle_deg: float, turn: Tensor) -> Tensor:
        return place_atoms(a, b, x, one * length, one * math.radians(angle_deg), turn)

    if forward:
        n1 = put(n, ca, c, LENGTHS["N"], ANGLES_DEG["N"], inner[:, 1])
        ca1 = put(ca, c, n1, LENGTHS["CA"], ANGLES_DEG["CA"], omega)
        c1 = put(c, n1, ca1, LENGTHS["C"], ANGLES_DEG["C"], new[:, 0])
        oxygen = put(n, ca, c, O_LENGTH, O_ANGLE_DEG, inner[:, 1] + math.pi)
        return torch.stack([n1, ca1, c1], dim=1), oxygen
    c1 = put(c, ca, n, LENGTHS["N"], ANGLES_DEG["CA"], inner[:, 0])
    ca1 = put(ca, n, c1, LENGTHS["C"], ANGLES_DEG["N"], omega)
    n1 = put(n, c1, ca1, LENGTHS["CA"], ANGLES_DEG["C"], new[:, 1])
    oxygen = put(n1, ca1, c1, O_LENGTH, O_ANGLE_DEG, new[:, 1] + math.pi)
    return torch.stack([n1, ca1, c1], dim=1), oxygen


def _judge(residue: Tensor, oxygen: Tensor, name: str, field: Field, left: int) -> tuple[Tensor, Tensor]:
    """Mean density at the atoms of a step, and that less what clashes and distance from the goal cost. (b,), (b,)"""
    n, ca, c = residue.unbind(1)
    atoms = [n, ca, c, oxygen]
    if name != "GLY":
        atoms.append(ideal_cbeta(n, ca, c, name))
    places = torch.stack(atoms, dim=1)
    rho = sample(field.spline, places.reshape(-1, 3)).reshape(places.shape[:2]) / field.sigma
    density = rho.clamp(-1.0, RICHEST).mean(1)
    near, _ = field.others.query(torch.cat([ca, atoms[-1]]).numpy())
    close = np.clip(NEAREST - np.asarray(near), 0.0, None).reshape(2, -1).max(axis=0)
    score = density - 3.0 * torch.from_numpy(close).to(density)
    if field.goal is not None:
        away = (ca - field.goal).norm(dim=-1)
        score = score - FAR_PRICE * (away - STRIDE * (left + 1)).clamp(min=0.0)
    return density, score
