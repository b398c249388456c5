"""Second derivatives of the data term by atom, from its expected curvature along each amplitude.

An atom adds f(s) q exp(−Bs²/4) exp(2πi h·x) per symmetry mate to F. With W(h) the expected second derivative of the
target by |F| and phases of atoms independent of the phase of F, the block of an atom is (Steiner, Lebedev & Murshudov
2003; Murshudov et al. 2011)

    H_pq = Σ_h W(h) ½(1 + c) ε g m² Re(∂_p f · conj ∂_q f),

g operations, m lattice points, c = 1 for centric reflections, where the contributions of a pair of mates are coherent.
The sums depend on an atom only through f²(s) exp(−Bs²/2), so W is collected once in narrow shells with the powers of h
that occur, and an atom costs one pass over the shells. Anisotropic atoms enter by their equivalent B.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
import torch

from burnish.data.atoms import Atoms
from burnish.data.reflections import Crystal
from burnish.models.data_term import FisherBlocks
from burnish.models.gaussian_atoms import PAIRS, PART
from burnish.scattering.form_factors import FormFactors
from burnish.symmetry.space_groups import cartesian_rotations, operations

SHELLS = 64


@numba.njit(cache=True)
def _collect(weight, vectors, s2, low, width, shells):
    """Σ W, centre of W in s², and Σ W v vᵀ by shell, v = (xx, yy, zz, 2xy, 2xz, 2yz)."""
    total, centre, fourth = np.zeros(shells), np.zeros(shells), np.zeros((shells, 6, 6))
    v = np.empty(6)
    for n in range(len(weight)):
        shell = min(shells - 1, int((s2[n] - low) / width))
        x, y, z = vectors[n, 0], vectors[n, 1], vectors[n, 2]
        v[0], v[1], v[2], v[3], v[4], v[5] = x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z
        total[shell] += weight[n]
        centre[shell] += weight[n] * s2[n]
        for i in range(6):
            scaled = weight[n] * v[i]
            for j in range(i, 6):
                fourth[shell, i, j] += scaled * v[j]
    for shell in range(shells):
        for i in range(6):
            for j in range(i):
                fourth[shell, i, j] = fourth[shell, j, i]
    return total, centre, fourth


def _rotate_quadratic(rotation: np.ndarray) -> np.ndarray:
    """Matrix A with v(R x) = A v(x) for v = (xx, yy, zz, 2xy, 2xz, 2yz). (6, 6)"""
    out = np.empty((6, 6))
    for column, (i, j) in enumerate(PAIRS):
        unit = np.zeros((3, 3))
        unit[i, j] = unit[j, i] = 1.0 if i == j else 0.5
        turned = rotation @ unit @ rotation.T
        out[:, column] = [turned[a, b] * (1.0 if a == b else 2.0) for a, b in PAIRS]
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellWeights:
    """The expected curvature collected in narrow shells.

    Attributes
    ----------
    position : centre of each shell in s², Å⁻². (k,)
    total : Σ W over the reflections of the shell and their mates. (k,)
    fourth : Σ W v vᵀ, v = (xx, yy, zz, 2xy, 2xz, 2yz) of the reciprocal vector, mean over the mates. (k, 6, 6)
    """

    position: np.ndarray
    total: np.ndarray
    fourth: np.ndarray


def shell_weights(weight: np.ndarray, crystal: Crystal, vectors: np.ndarray) -> ShellWeights:
    """Collect the curvature.

    Parameters
    ----------
    weight : W(h) · ε · ½(1 + c) of the reflections that count. (r,)
    vectors : Cartesian reciprocal vectors h, Å⁻¹. (r, 3)
    """
    group = operations(crystal)
    s2 = np.sum(vectors**2, axis=1)
    low, high = float(s2.min()), float(s2.max())
    total, centre, fourth = _collect(weight, vectors, s2, low, (high - low) / SHELLS + 1e-12, SHELLS)
    turns = [_rotate_quadratic(rotation) for rotation in cartesian_rotations(crystal)]
    mates = len(group) * len(group.centring) ** 2
    position = np.where(
        total > 0, centre / np.maximum(total, 1e-300), low + (np.arange(SHELLS) + 0.5) * (high - low) / SHELLS
    )
    fourth = mates * sum(turn @ fourth @ turn.T for turn in turns) / len(turns)
    return ShellWeights(position=position, total=mates * total, fourth=fourth)


def fisher_blocks(
    atoms: Atoms, factors: FormFactors, occ: np.ndarray, shells: ShellWeights, coherent: np.ndarray
) -> FisherBlocks:
    """Blocks of second derivatives.

    Parameters
    ----------
    occ : occupancies with the share of special positions. (n,)
    shells : where the curvature lies.
    coherent : number of mates of each atom that lie on top of it, itself among them. (n,)
    """
    position, total, fourth = shells.position, shells.total, shells.fourth
    form2 = factors.at(position) ** 2
    b, aniso = atoms.b_iso.detach().cpu().numpy(), atoms.is_aniso.detach().cpu().numpy()
    quarter = 0.25 * position
    tensor = fourth / np.maximum(position, 1e-12)[:, None, None]
    # h hᵀ from the fourth moments: Σ_k h_i h_j h_k h_k / s²
    second = tensor[:, :, 0] + tensor[:, :, 1] + tensor[:, :, 2]
    second[:, 3:] *= 0.5
    moments = np.stack([total * quarter**power for power in range(3)], axis=1)
    n = len(b)
    by_pair, wrt_u, moment = np.empty((n, 6)), np.zeros((n if aniso.any() else 1, 36)), np.empty((n, 3))
    for start in range(0, n, PART):
        part = slice(start, min(start + PART, n))
        damped = form2[factors.kind[part]] * np.exp(-0.5 * b[part, None] * position) * coherent[part, None]
        by_pair[part] = damped @ second
        moment[part] = damped @ moments
        if len(chosen := np.flatnonzero(aniso[part])):
            wrt_u[start + chosen] = damped[chosen] @ fourth.reshape(SHELLS, 36)
    by_pair *= (4.0 * math.pi**2) * occ[:, None] ** 2
    if aniso.any():
        wrt_u[aniso] *= (2.0 * math.pi**2) ** 2 * occ[aniso, None] ** 2
    xyz = np.empty((n, 3, 3))
    for k, (i, j) in enumerate(PAIRS):
        xyz[:, i, j] = xyz[:, j, i] = by_pair[:, k]
    as_tensor = torch.from_numpy
    return FisherBlocks(
        xyz=as_tensor(xyz),
        b_iso=as_tensor(occ**2 * moment[:, 2]),
        u_aniso=as_tensor(wrt_u.reshape(-1, 6, 6)).expand(n, 6, 6),
        occ=as_tensor(moment[:, 0].copy()),
        b_occ=as_tensor(-occ * moment[:, 1]),
    )
