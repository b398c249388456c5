"""RELION's Euler angles (ZYZ, degrees) and rotation matrices: the only place that knows them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from burnish.geometry.rotations import euler_to_matrix


def matrices_from_euler(rot: np.ndarray, tilt: np.ndarray, psi: np.ndarray) -> Tensor:
    """Return matrices A, x_image = A · x_reference, of `rlnAngleRot/Tilt/Psi` in degrees; (n, 3, 3) float64.

    Notes
    -----
    A = Z(psi) · Y(tilt) · Z(rot) with Z(a) = [[cos a, sin a, 0], [−sin a, cos a, 0], [0, 0, 1]] and
    Y(b) = [[cos b, 0, −sin b], [0, 1, 0], [sin b, 0, cos b]] (Heymann, Chagoyen & Belnap 2005, J. Struct. Biol. 151,
    196).

    Examples
    --------
    >>> a = matrices_from_euler(np.array([0.0]), np.array([90.0]), np.array([0.0]))
    >>> [round(float(v)) for v in a[0, 2]]
    [1, 0, 0]
    """
    return euler_to_matrix(*(torch.from_numpy(np.radians(np.asarray(x, float))) for x in (rot, tilt, psi)))


def euler_from_matrices(rotation: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rot, tilt, psi in degrees, rot and psi in (−180, 180], tilt in [0, 180]; rot is 0 at the poles."""
    m = rotation.detach().cpu().numpy().astype(np.float64)
    sine = np.hypot(m[:, 2, 0], m[:, 2, 1])
    pole = sine < 1e-9
    tilt = np.arctan2(sine, m[:, 2, 2])
    rot = np.where(pole, 0.0, np.arctan2(m[:, 2, 1], m[:, 2, 0]))
    at_pole = np.where(m[:, 2, 2] > 0, np.arctan2(m[:, 0, 1], m[:, 0, 0]), np.arctan2(m[:, 1, 0], -m[:, 0, 0]))
    psi = np.where(pole, at_pole, np.arctan2(m[:, 1, 2], -m[:, 0, 2]))
    return np.degrees(rot), np.degrees(tilt), np.degrees(psi)
