"""Conversions to the base units (Å, rad, V, Å²), used only where files, options and the command line come in."""

from __future__ import annotations

import math

ANGSTROM_PER_MM = 1e7
ANGSTROM_PER_UM = 1e4
VOLT_PER_KV = 1e3
RAD_PER_MRAD = 1e-3
RAD_PER_DEG = math.pi / 180.0

EIGHT_PI_SQUARED = 8.0 * math.pi**2  # B = 8π² U
