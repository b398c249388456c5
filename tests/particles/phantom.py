"""A particle of Gaussian blobs whose projections are known in closed form, independent of any slicing."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from burnish.data.optics import Defocus, OpticsGroup
from burnish.geometry.rotations import random_rotations
from burnish.io.mrc import DensityMap, new_stack, write_map
from burnish.io.star import make_table, write_star
from burnish.optics.ctf import ctf
from burnish.optics.frequency import image_frequencies
from burnish.symmetry.point_groups import point_group

WIDTH = 4.5  # Å, σ of a blob


def blobs(symmetry: str, count: int = 12, radius: float = 30.0, seed: int = 3) -> Tensor:
    """Centres of blobs, Å, all symmetry copies. (n, 3)"""
    generator = torch.Generator().manual_seed(seed)
    unit = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    unit = (
        unit
        / unit.norm(dim=1, keepdim=True)
        * radius
        * torch.rand(count, 1, generator=generator, dtype=torch.float64) ** (1 / 3)
    )
    return torch.einsum("sij,nj->sni", point_group(symmetry), unit).reshape(-1, 3)


def density(centres: Tensor, size: int, pixel: float) -> Tensor:
    """Map of the blobs, each of integral 1. (size,)*3 as [z, y, x]"""
    line = (torch.arange(size, dtype=torch.float64) - size // 2) * pixel
    g = torch.exp(-0.5 * ((line - centres[..., None]) / WIDTH) ** 2) / (WIDTH * math.sqrt(2 * math.pi)) * pixel
    return torch.einsum("nz,ny,nx->zyx", g[:, 2], g[:, 1], g[:, 0]).float()


def projections(centres: Tensor, rotation: Tensor, shift: Tensor, size: int, pixel: float) -> Tensor:
    """Images of the blobs: the particle lies at −shift (Å), so that moving the image by +shift centres it. (p, size,
    size)"""
    line = (torch.arange(size, dtype=torch.float64) - size // 2) * pixel
    at = torch.einsum("pij,nj->pni", rotation, centres)[..., :2] - shift[:, None, :]
    g = torch.exp(-0.5 * ((line - at[..., None]) / WIDTH) ** 2) / (WIDTH * math.sqrt(2 * math.pi)) * pixel
    return torch.einsum("pny,pnx->pyx", g[:, :, 1], g[:, :, 0]).float()


def optics_group(size: int, pixel: float, name: str = "opticsGroup1", **more: object) -> OpticsGroup:
    return OpticsGroup(
        name=name, voltage=300e3, spherical_aberration=2.7e7, amplitude_contrast=0.1, pixel_size=pixel, box_size=size,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def write_set(
    folder: Path, *, symmetry: str, count: int, size: int = 32, pixel: float = 4.0, noise: float = 0.3, seed: int = 1
) -> tuple[Path, Path, Tensor, Tensor]:
    """Write particles.star with its stack, and initial.mrc; return both with the true rotations and shifts (Å).

    `noise` is the standard deviation of white noise over that of the signal in the image.
    """
    generator = torch.Generator().manual_seed(seed)
    rotation = random_rotations(count, generator)
    shift = torch.randn(count, 2, generator=generator, dtype=torch.float64) * pixel
    centres = blobs(symmetry)
    clean = projections(centres, rotation, shift, size, pixel)
    defocus = 8000.0 + 10000.0 * torch.rand(count, generator=generator, dtype=torch.float64)
    zero = torch.zeros(count, dtype=torch.float64)
    d = Defocus(u=defocus, v=defocus - 200.0, angle=zero + 0.3, phase_shift=zero, b_factor=zero, scale=zero + 1.0)
    group = optics_group(size, pixel)
    transfer = ctf(image_frequencies(size, pixel), d, group)
    images = torch.fft.irfft2(torch.fft.rfft2(clean) * transfer, s=(size, size))
    images = images / images.std()
    images = images + noise * torch.randn(images.shape, generator=generator)
    with new_stack(folder / "particles.mrcs", tuple(images.shape), pixel) as stack:
        stack[:] = images.numpy()
    write_star(folder / "particles.star", [_optics(size, pixel), _particles(count, defocus)])
    write_map(folder / "initial.mrc", DensityMap(values=density(centres, size, pixel), voxel_size=(pixel,) * 3))
    return folder / "particles.star", folder / "initial.mrc", rotation, shift


def _optics(size: int, pixel: float):  # type: ignore[no-untyped-def]
    return make_table(
        "optics",
        {
            "rlnOpticsGroupName": ["opticsGroup1"],
            "rlnOpticsGroup": [1],
            "rlnVoltage": [300.0],
            "rlnSphericalAberration": [2.7],
            "rlnAmplitudeContrast": [0.1],
            "rlnImagePixelSize": [pixel],
            "rlnImageSize": [size],
            "rlnImageDimensionality": [2],
        },
    )


def _particles(count: int, defocus: Tensor):  # type: ignore[no-untyped-def]
    return make_table(
        "particles",
        {
            "rlnMicrographName": [f"mic{i % 3}.mrc" for i in range(count)],
            "rlnImageName": [f"{i + 1:06d}@particles.mrcs" for i in range(count)],
            "rlnOpticsGroup": [1] * count,
            "rlnDefocusU": defocus.tolist(),
            "rlnDefocusV": (defocus - 200.0).tolist(),
            "rlnDefocusAngle": [math.degrees(0.3)] * count,
        },
    )
