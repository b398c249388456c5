"""Backbones of a few residues built anew between two fixed ends.

Torsions are drawn from the densities of the residues' classes, the chain grows from the first end with ideal geometry,
and damped least squares in the torsions bring its last atoms onto the other end. All trials are closed together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import roma
import torch
from torch import Tensor

from burnish.chemistry.ramachandran import RamachandranClass, ramachandran_density
from burnish.geometry.torsions import place_atoms

# Engh & Huber (1991), Acta Cryst. A47, 392: bond lengths, Å, and angles, °
LENGTHS = {"N": 1.329, "CA": 1.458, "C": 1.525}
ANGLES_DEG = {"N": 116.9, "CA": 121.7, "C": 111.0}
O_LENGTH, O_ANGLE_DEG = 1.231, 120.4
PRESENT_SPREAD = math.radians(15.0)
MOST_CLOSED = 1600  # trials that are closed
DAMPING = 0.1  # Å²
LARGEST_TURN = 0.6  # rad; of one torsion in one step
CHECK_EVERY = 3  # steps, after which trials that are closed or hopeless are left alone
WELL_CLOSED = 0.05  # Å
LEAST_PROGRESS = 0.9  # of the gap before; ends of other angles than the ideal ones leave a gap that stays
HOPELESS = (30.0, 5.0, 2.5, 1.5, 1.0)  # Å; gap beyond which a trial is given up, by number of checks
CLOSED = 0.35  # Å; rms of the three closing atoms that counts as closed: refinement does the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """What a loop hangs between.

    Attributes
    ----------
    before : N, Cα, C of the residue before it. (3, 3)
    after : N, Cα, C of the residue after it. (3, 3)
    """

    before: Tensor
    after: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """Torsions that a loop has now, to stay near to where they are good.

    Attributes
    ----------
    phi_psi : of the residue before the loop (ψ counts), its residues and the one after (φ counts), rad. (n + 2, 2)
    good : which of these residues are right as they are. (n + 2,) bool
    """

    phi_psi: Tensor
    good: Tensor


def sample_torsions(kinds: Sequence[RamachandranClass], trials: int, generator: torch.Generator) -> Tensor:
    """φ, ψ of each residue drawn from the density of its class. (trials, n, 2)

    A component of the mixture by its mass, then its angles from a normal distribution of the same curvature.
    """
    drawn = []
    for kind in kinds:
        density = ramachandran_density(kind)
        kappa = density.kappa.clamp(min=1.0)
        mass = (density.log_weight.exp() / kappa.sqrt().prod(1)).clamp(min=1e-12)
        which = torch.multinomial(mass, trials, replacement=True, generator=generator)
        noise = torch.randn(trials, 2, generator=generator, dtype=torch.float64)
        drawn.append(density.mean[which] + noise / kappa[which].sqrt())
    return torch.stack(drawn, dim=1)


def grow(anchors: Anchors, phi_psi: Tensor, psi_before: Tensor, omega: Tensor) -> Tensor:
    """Backbones of the loop and of the residue after it, from the first end. (trials, 3 (n + 1), 3): N, Cα, C in turn

    Parameters
    ----------
    anchors : the ends.
    phi_psi : of the loop's residues and of the one after, of which only φ counts. (trials, n + 1, 2)
    psi_before : of the residue before the loop. (trials,)
    omega : of the n + 1 peptides. (trials, n + 1)
    """
    trials = len(phi_psi)
    chain = [x.expand(trials, 3) for x in anchors.before]
    psi = psi_before
    for k in range(phi_psi.shape[1]):
        for name, turn in (("N", psi), ("CA", omega[:, k]), ("C", phi_psi[:, k, 0])):
            one = torch.ones(trials, dtype=phi_psi.dtype)
            angle = math.radians(ANGLES_DEG[name])
            chain.append(place_atoms(chain[-3], chain[-2], chain[-1], one * LENGTHS[name], one * angle, turn))
        psi = phi_psi[:, k, 1]
    return torch.stack(chain[3:], dim=1)


def close(anchors: Anchors, chains: Tensor, steps: int = 30) -> tuple[Tensor, Tensor]:
    """Turn φ and ψ until the last three atoms lie on the other end; also the rms distance left, Å. (trials,)

    Parameters
    ----------
    chains : as `grow` makes them, the residue after the loop included. (trials, m, 3)

    Notes
    -----
    Damped Gauss–Newton steps of least length, Δθ = Jᵀ (J Jᵀ + λ)⁻¹ r with the distances r of the three atoms from
    their places (Wampler 1986, IEEE Trans. Syst. Man Cybern. 16, 93): all torsions share the way, so that each stays as
    near as it can to where it was drawn. Cyclic coordinate descent, bond by bond, takes ten times as long.
    """
    moved = torch.cat([anchors.before[None, 1:].expand(len(chains), 2, 3), chains], dim=1)  # with Cα and C before
    gap = _gap(moved, anchors.after)
    coming = torch.ones(len(gap), dtype=torch.bool)
    for check in range(math.ceil(steps / CHECK_EVERY)):
        going = coming & (gap > WELL_CLOSED) & (gap < HOPELESS[min(check, len(HOPELESS) - 1)])
        if not going.any():
            break
        active = moved[going]
        for _ in range(CHECK_EVERY):
            active = _nearer(active, anchors.after)
        left = _gap(active, anchors.after)
        coming[going] = left < LEAST_PROGRESS * gap[going]
        moved[going], gap[going] = active, left
    return moved[:, 2:], gap


def _gap(moved: Tensor, goal: Tensor) -> Tensor:
    return (moved[:, -3:] - goal[None]).square().sum(-1).mean(-1).sqrt()


def _nearer(moved: Tensor, goal: Tensor) -> Tensor:
    """Every φ and ψ turned at once by a step towards the goal of the last three atoms. (trials, m, 3)"""
    trials, length, _ = moved.shape
    firsts = [k for k in range(length - 2) if k % 3 != 1]  # axes k to k + 1; the bond C–N: ω stays
    origin = moved[:, firsts]
    axis = moved[:, [k + 1 for k in firsts]] - origin
    axis = axis / axis.norm(dim=-1, keepdim=True)
    ends = moved[:, -3:]
    lever = torch.linalg.cross(axis[:, :, None], ends[:, None] - origin[:, :, None])  # (trials, axes, 3 atoms, 3)
    jacobian = lever.reshape(trials, len(firsts), 9).transpose(1, 2)
    left = (goal[None] - ends).reshape(trials, 9, 1)
    normal = jacobian @ jacobian.transpose(1, 2)
    normal.diagonal(dim1=1, dim2=2).add_(DAMPING)
    angle = (jacobian.transpose(1, 2) @ torch.linalg.solve(normal, left))[..., 0]
    angle = angle * (LARGEST_TURN / angle.abs().amax(1, keepdim=True).clamp(min=LARGEST_TURN))
    return _turned(moved, firsts, origin, axis, angle)


def _turned(moved: Tensor, firsts: Sequence[int], origin: Tensor, axis: Tensor, angle: Tensor) -> Tensor:
    """All turns together: what lies beyond several axes is turned about the last of them first."""
    rotation = roma.rotvec_to_rotmat(axis * angle[..., None])
    shift = origin - (rotation @ origin[..., None])[..., 0]
    result = moved.clone()
    total, way = rotation[:, 0], shift[:, 0]
    for k, first in enumerate(firsts):
        if k > 0:
            way = way + (total @ shift[:, k, :, None])[..., 0]
            total = total @ rotation[:, k]
        until = firsts[k + 1] + 2 if k + 1 < len(firsts) else moved.shape[1]
        result[:, first + 2 : until] = moved[:, first + 2 : until] @ total.transpose(1, 2) + way[:, None]
    return result


def carbonyl_oxygens(chains: Tensor, before: Tensor) -> Tensor:
    """O of the residue before the loop and of every residue of the loop. (trials, n + 1, 3)

    Parameters
    ----------
    chains : N, Cα, C of the loop's residues and of the one after. (trials, 3 (n + 1), 3)
    before : N, Cα, C of the residue before. (3, 3)
    """
    full = torch.cat([before[None].expand(len(chains), 3, 3), chains], dim=1)
    ca, c, n = full[:, 1:-3:3], full[:, 2:-3:3], full[:, 3::3]
    u, v = ca - c, n - c
    u, v = u / u.norm(dim=-1, keepdim=True), v / v.norm(dim=-1, keepdim=True)
    out = -(u + v)
    return c + O_LENGTH * out / out.norm(dim=-1, keepdim=True)


def loop_backbones(
    anchors: Anchors,
    kinds: Sequence[RamachandranClass],
    kind_before: RamachandranClass,
    present: Present | None = None,
    omega: Sequence[float] | None = None,
    *,
    trials: int,
    generator: torch.Generator,
    most: int = MOST_CLOSED,
) -> Tensor:
    """Closed backbones of a loop. (found, 3 (n + 1), 3): N, Cα, C of its n residues and of the residue after it

    Parameters
    ----------
    anchors : the ends.
    kinds : class of each residue of the loop and of the residue after it. n + 1
    kind_before : class of the residue before, whose ψ turns as well.
    present : torsions as they are; None where there is nothing to keep.
    omega : of the n + 1 peptides, rad: 0 where one is cis; all trans when not given.
    trials : how many to start.
    generator : of the torsions.
    most : how many of them are closed, those whose ends came nearest: they change their torsions least.
    """
    torsions = sample_torsions([kind_before, *kinds], trials, generator)
    if present is not None:  # three of four trials keep what is good, within a spread
        spread = PRESENT_SPREAD * torch.randn(torsions.shape, generator=generator, dtype=torch.float64)
        keep = present.good[None, :, None] & (torch.arange(trials) % 4 != 0)[:, None, None]
        torsions = torch.where(keep, present.phi_psi[None] + spread, torsions)
    noise = torch.randn(trials, len(kinds), generator=generator, dtype=torch.float64)
    centre = torch.full_like(noise, math.pi) if omega is None else torch.tensor(omega, dtype=noise.dtype)
    chains = grow(anchors, torsions[:, 1:], torsions[:, 0, 1], centre + math.radians(5.0) * noise)
    nearest = torch.argsort((chains[:, -3:] - anchors.after).square().sum((-1, -2)))[:most]
    closed, gap = close(anchors, chains[nearest])
    return closed[gap < CLOSED]
