"""Particles of CryoSPARC (.cs: a NumPy record array)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burnish.core.errors import DataError
from burnish.core.units import ANGSTROM_PER_MM, VOLT_PER_KV
from burnish.data.optics import Defocus, OpticsGroup
from burnish.data.particles import Particles, Poses
from burnish.io.distinct import distinct

_NEEDED = (
    "blob/path", "blob/idx", "blob/shape", "blob/psize_A", "ctf/accel_kv", "ctf/cs_mm", "ctf/amp_contrast",
    "ctf/df1_A", "ctf/df2_A", "ctf/df_angle_rad", "ctf/phase_shift_rad",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CryosparcParticles:
    """Particles, and what could not be carried over."""

    particles: Particles
    notes: tuple[str, ...]


def read_cryosparc(path: Path) -> CryosparcParticles:
    """Read a .cs file of particles.

    Notes
    -----
    The pose is a rotation vector whose matrix is the transpose of RELION's; the shift has RELION's sign, in pixels of
    `alignments3D/psize_A`. Both as in cryoDRGN's parser, whose poses from the two programs' files agree.
    """
    path = Path(path)
    try:
        records = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no CryoSPARC particle file ({error})") from None
    if not isinstance(records, np.ndarray) or records.dtype.names is None:
        raise DataError(f"{path}: no CryoSPARC particle file; expected a NumPy record array")
    missing = [f for f in _NEEDED if f not in records.dtype.names]
    if missing or not len(records):
        what = f"no field {missing[0]}" if missing else "no particles"
        raise DataError(f"{path}: {what}; export particles with their blob and CTF from CryoSPARC")
    names = records.dtype.names
    notes = []
    if "blob/sign" in names and np.any(records["blob/sign"] < 0):
        notes.append(f"{path}: blob/sign is −1: the images are dark on bright; invert them (burnish image --invert)")
    for field in ("ctf/tilt_A", "ctf/trefoil_A", "ctf/tetra_A", "ctf/anisomag"):
        if field in names and np.any(records[field] != 0):
            notes.append(f"{path}: {field} is not zero and is left out; refine the aberrations again")
    stacks, stack = distinct([p.decode() if isinstance(p, bytes) else str(p) for p in records["blob/path"]])
    stacks = tuple(s.lstrip(">") for s in stacks)
    optics, optics_index = _optics(records)
    micrographs, micrograph = stacks, stack
    if "location/micrograph_path" in names:
        micrographs, micrograph = distinct([p.decode().lstrip(">") for p in records["location/micrograph_path"]])
    poses, half = _poses(records)
    particles = Particles(
        stack=stack,
        slice_index=torch.from_numpy(records["blob/idx"].astype(np.int64)),
        stacks=stacks,
        optics=optics,
        optics_index=optics_index,
        defocus=_defocus(records),
        poses=poses,
        half_set=half,
        micrograph=micrograph,
        micrographs=micrographs,
        group=micrograph,
        coordinate=_coordinates(records),
    )
    return CryosparcParticles(particles, tuple(notes))


def _optics(records: np.ndarray) -> tuple[tuple[OpticsGroup, ...], Tensor]:
    fields = ["ctf/accel_kv", "ctf/cs_mm", "ctf/amp_contrast", "blob/psize_A"]
    group = records["ctf/exp_group_id"] if "ctf/exp_group_id" in (records.dtype.names or ()) else np.zeros(len(records))
    rows = np.column_stack([group, *(records[f] for f in fields), records["blob/shape"][:, 0]]).astype(np.float64)
    distinct, index = np.unique(rows, axis=0, return_inverse=True)
    groups = tuple(
        OpticsGroup(
            name=f"opticsGroup{i + 1}",
            voltage=float(kv) * VOLT_PER_KV,
            spherical_aberration=float(cs) * ANGSTROM_PER_MM,
            amplitude_contrast=round(float(q0), 6),
            pixel_size=round(float(pixel), 6),
            box_size=int(box),
        )
        for i, (_, kv, cs, q0, pixel, box) in enumerate(distinct)
    )
    return groups, torch.from_numpy(index.reshape(-1).astype(np.int64))


def _float(records: np.ndarray, field: str, default: float) -> Tensor:
    if field not in (records.dtype.names or ()):
        return torch.full((len(records),), default, dtype=torch.float64)
    return torch.from_numpy(records[field].astype(np.float64))


def _defocus(records: np.ndarray) -> Defocus:
    return Defocus(
        u=_float(records, "ctf/df1_A", 0.0),
        v=_float(records, "ctf/df2_A", 0.0),
        angle=_float(records, "ctf/df_angle_rad", 0.0),
        phase_shift=_float(records, "ctf/phase_shift_rad", 0.0),
        b_factor=_float(records, "ctf/bfactor", 0.0),
        scale=_float(records, "ctf/scale", 1.0),
    )


def _poses(records: np.ndarray) -> tuple[Poses | None, Tensor]:
    names = records.dtype.names or ()
    half = torch.full((len(records),), -1)
    if "alignments3D/split" in names:
        split = records["alignments3D/split"].astype(np.int64)
        half = torch.from_numpy(np.where(split <= 1, split, -1))
    if "alignments3D/pose" not in names:
        return None, half
    vector = torch.from_numpy(records["alignments3D/pose"].astype(np.float64))
    cross = torch.zeros(len(vector), 3, 3, dtype=torch.float64)
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -vector[:, 2], vector[:, 1], -vector[:, 0]
    rotation = torch.linalg.matrix_exp(cross - cross.transpose(1, 2)).transpose(1, 2).contiguous()
    pixel = records["alignments3D/psize_A" if "alignments3D/psize_A" in names else "blob/psize_A"].astype(np.float64)
    shift = torch.from_numpy(records["alignments3D/shift"].astype(np.float64) * pixel[:, None])
    return Poses(rotation=rotation, shift=shift), half


def _coordinates(records: np.ndarray) -> Tensor:
    names = records.dtype.names or ()
    if "location/center_x_frac" not in names or "location/micrograph_shape" not in names:
        return torch.full((len(records), 2), torch.nan, dtype=torch.float64)
    shape = records["location/micrograph_shape"].astype(np.float64)  # (y, x)
    x, y = records["location/center_x_frac"] * shape[:, 1], records["location/center_y_frac"] * shape[:, 0]
    return torch.from_numpy(np.stack([x, y], axis=1).astype(np.float64))
