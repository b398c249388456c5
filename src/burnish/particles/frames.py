"""Keeps the halves in one frame and of one hand: nothing but the shared low frequencies holds them together.

A Cn particle that is nearly round about its axis lets its halves turn against each other; one that is nearly its own
mirror image at low resolution lets them take opposite hands, which fit projections equally well. Their FSC falls
although both maps are good.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import affine_transform, map_coordinates
from torch import Tensor

from burnish.particles.reconstruct import low_pass, shell_correlation
from burnish.particles.state import State

_ANGLES = 720  # samples of a full turn
_CLEAR_HAND = 0.15  # by how much the mean FSC must be better with one half mirrored
_CLEAR_GAIN = 0.15  # share of the disagreement that a turn must remove: what noise moves lies below


def turn_between(
    fixed: Tensor, moving: Tensor, fold: int, first_shell: float, last_shell: float
) -> tuple[float, float]:
    """Turn about z that brings one map onto another, and how much better they then agree.

    Parameters
    ----------
    fixed, moving : maps of an n-fold particle. (n, n, n)
    fold : of the axis; turns within ± half of 2π/fold are looked at.
    first_shell, last_shell : Fourier shells that take part.

    Returns
    -------
    angle : rad; moving(R x) follows fixed(x), R turning by the angle about z.
    gain : share of what the correlation lacks to 1 that the turn makes up; 0 for no turn.
    """
    rings = [np.fft.rfft(_rings(_band(m, first_shell, last_shell)), axis=-1) for m in (fixed, moving)]
    radius = np.arange(rings[0].shape[1])[None, :, None]
    correlation = np.fft.irfft((rings[0].conj() * rings[1] * radius).sum((0, 1)), n=_ANGLES)
    power = [np.fft.irfft((np.abs(r) ** 2 * radius).sum((0, 1)), n=_ANGLES)[0] for r in rings]
    correlation = correlation / max(math.sqrt(power[0] * power[1]), 1e-30)
    reach = _ANGLES // (2 * fold)
    lags = np.arange(-reach, reach + 1)
    curve = correlation[lags % _ANGLES]
    best = int(curve.argmax())
    lacking = max(1.0 - float(correlation[0]), 1e-6)
    return 2.0 * math.pi * int(lags[best]) / _ANGLES, (float(curve[best]) - float(correlation[0])) / lacking


def _band(density: Tensor, first: float, last: float) -> np.ndarray:
    return (low_pass(density, last) - low_pass(density, first)).numpy()


def _rings(density: np.ndarray) -> np.ndarray:
    """The map on circles about z. (z, radius, angle)"""
    n = density.shape[0]
    angle = 2.0 * math.pi * np.arange(_ANGLES) / _ANGLES
    radius = np.arange(n // 2)
    y = n // 2 + radius[:, None] * np.sin(angle)
    x = n // 2 + radius[:, None] * np.cos(angle)
    return np.stack([map_coordinates(section, [y, x], order=1) for section in density])


def rejoin_halves(
    state: State, half_set: Tensor, symmetry: str, first_shell: float, last_shell: float
) -> tuple[State, float]:
    """Turn the second half onto the first where that makes them agree clearly better.

    Returns
    -------
    state : with the second half's map, best rotations and modes turned, or as it was.
    angle : of the turn, rad; 0 where there was none.
    """
    if symmetry[0] != "C" or symmetry == "C1" or last_shell < first_shell + 2:
        return state, 0.0
    angle, gain = turn_between(state.maps[0], state.maps[1], int(symmetry[1:]), first_shell, last_shell)
    if angle == 0.0 or gain < _CLEAR_GAIN:
        return state, 0.0
    turn = _about_z(angle)
    maps = state.maps.clone()
    maps[1] = turned_map(state.maps[1], turn)
    rotation = torch.where((half_set == 1)[:, None, None], state.rotation @ turn, state.rotation)
    owners = half_set[state.modes.owner] == 1
    modes = replace(
        state.modes, rotation=torch.where(owners[:, None, None], state.modes.rotation @ turn, state.modes.rotation)
    )
    return replace(state, maps=maps, rotation=rotation, modes=modes), angle


def match_hands(state: State, half_set: Tensor, first_shell: float, last_shell: float) -> tuple[State, bool]:
    """Mirror the second half where the halves have taken opposite hands.

    Returns
    -------
    state : with the second half's map inverted through its middle and its poses changed to those that give the same
        projections, or as it was.
    mirrored : whether it was done.

    Notes
    -----
    V(−x) seen along R is V(x) seen along diag(−1, −1, 1) R: a projection does not tell which way its object points.
    """
    first, last = math.floor(max(first_shell, 1.0)) + 1, math.floor(last_shell)
    if last < first + 2:
        return state, False
    as_is, mirrored = (
        shell_correlation(state.maps[0], m)[first : last + 1] for m in (state.maps[1], inverted(state.maps[1]))
    )
    if float(mirrored.mean() - as_is.mean()) < _CLEAR_HAND:
        return state, False
    maps = state.maps.clone()
    maps[1] = inverted(state.maps[1])
    about = torch.diag(torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64))
    rotation = torch.where((half_set == 1)[:, None, None], about @ state.rotation, state.rotation)
    owners = (half_set[state.modes.owner] == 1)[:, None, None]
    signs = torch.tensor([-1.0, -1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    information = state.modes.information
    modes = replace(
        state.modes,
        rotation=torch.where(owners, about @ state.modes.rotation, state.modes.rotation),
        information=torch.where(owners, information * signs[:, None] * signs, information),
    )
    return replace(state, maps=maps, rotation=rotation, modes=modes), True


def inverted(density: Tensor) -> Tensor:
    """density(−x) about the voxel n//2 of an even box."""
    return torch.roll(density.flip(0, 1, 2), (1, 1, 1), (0, 1, 2))


def turned_map(density: Tensor, turn: Tensor) -> Tensor:
    """density(R x) about the voxel n//2."""
    matrix = turn.numpy()[::-1, ::-1]  # arrays are [z, y, x]
    centre = np.full(3, float(density.shape[0] // 2))
    moved = affine_transform(density.numpy(), matrix, offset=centre - matrix @ centre, order=3)
    return torch.from_numpy(moved.astype(np.float32))


def _about_z(angle: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
