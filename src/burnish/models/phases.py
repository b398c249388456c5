"""Phases as files hold them."""

from __future__ import annotations

import torch
from torch import Tensor


def phases_deg(coefficient: Tensor) -> Tensor:
    """Phase angle of a complex coefficient, −180 to 180°. (n,)"""
    return torch.rad2deg(torch.angle(coefficient))
