"""Particle images beside projections of their own half map, in Fourier space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.data.optics import Defocus
from burnish.data.particles import Particles
from burnish.optics.aberrations import odd_phase
from burnish.optics.ctf import phase_delay
from burnish.optics.frequency import magnified
from burnish.particles.ctf_refinement.half_plane import HalfPlane, transform_images
from burnish.particles.ctf_refinement.reference import ReferenceTransform, slices

ImageLoader = Callable[[Tensor], Tensor]  # rows of the particle table (n,) → images (n, box, box), float32
HalfMaps = tuple[ReferenceTransform, ReferenceTransform]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Particles that are read and compared together: one micrograph, one optics group.

    Attributes
    ----------
    rows : of the particle table. (n,) int64
    micrograph : index of the micrograph.
    group : index of the optics group.
    """

    rows: Tensor
    micrograph: int
    group: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Images and projections of one chunk.

    Attributes
    ----------
    image : centred Fourier coefficients as recorded, optics and all. (n, p) complex
    projection : of each particle's own half map, without optics. (n, p) complex
    delay : phase χ whose sine is the transfer function, with the optics given in the particle table, rad. (n, p)
    odd : antisymmetric phase of the group's optics, rad. (p,)
    envelope : scale and B factor of the transfer function as given. (n, p) or (n, 1)
    """

    image: Tensor
    projection: Tensor
    delay: Tensor
    odd: Tensor
    envelope: Tensor


def split_into_chunks(particles: Particles) -> list[Chunk]:
    """One chunk a micrograph and optics group, in the order of micrographs."""
    key = particles.micrograph * len(particles.optics) + particles.optics_index
    order = torch.argsort(key, stable=True)
    values, counts = torch.unique_consecutive(key[order], return_counts=True)
    groups = len(particles.optics)
    return [
        Chunk(rows=rows, micrograph=int(value) // groups, group=int(value) % groups)
        for value, rows in zip(values, torch.split(order, counts.tolist()), strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferTerms:
    """Optics of one chunk: phase χ under the sine (n, p), antisymmetric phase (p,), envelope (n, p) or (n, 1)."""

    delay: Tensor
    odd: Tensor
    envelope: Tensor


def transfer_terms(particles: Particles, chunk: Chunk, plane: HalfPlane) -> TransferTerms:
    """Optics of a chunk as the particle table gives them."""
    optics = particles.optics[chunk.group]
    defocus = select_defocus(particles.defocus, chunk.rows, plane.index.device)
    envelope = defocus.scale[:, None].float()
    if bool((defocus.b_factor != 0).any()):
        s2 = magnified(plane.frequency, optics.magnification).square().sum(dim=-1)
        envelope = envelope * torch.exp(-0.25 * defocus.b_factor[:, None].float() * s2)
    return TransferTerms(
        delay=phase_delay(plane.frequency, defocus, optics), odd=odd_phase(plane.frequency, optics), envelope=envelope
    )


def compare(
    particles: Particles,
    chunk: Chunk,
    images: Tensor,
    half_maps: HalfMaps,
    plane: HalfPlane,
    *,
    swap: bool = False,
) -> Comparison:
    """Transform the images of a chunk and cut the projections that belong to them.

    Parameters
    ----------
    images : of `chunk.rows`, in that order. (n, box, box)
    half_maps : transforms of both masked half maps.
    plane : pixels of the images of this optics group.
    swap : project the half map that the particle did *not* contribute to.
    """
    assert particles.poses is not None
    image = transform_images(images.to(plane.index.device), particles.poses.shift[chunk.rows], plane)
    return dress(particles, chunk, image, project(particles, chunk, half_maps, plane, swap=swap), plane)


def dress(particles: Particles, chunk: Chunk, image: Tensor, projection: Tensor, plane: HalfPlane) -> Comparison:
    """A comparison from coefficients that are already there, with the optics of the particle table."""
    terms = transfer_terms(particles, chunk, plane)
    return Comparison(image=image, projection=projection, delay=terms.delay, odd=terms.odd, envelope=terms.envelope)


def project(particles: Particles, chunk: Chunk, half_maps: HalfMaps, plane: HalfPlane, *, swap: bool = False) -> Tensor:
    """Projections of each particle's own half map (of the other one if `swap`). (n, p) complex"""
    assert particles.poses is not None
    device = plane.index.device
    rotation = particles.poses.rotation[chunk.rows].to(device)
    half = particles.half_set[chunk.rows].to(device)
    frequency = magnified(plane.frequency, particles.optics[chunk.group].magnification)
    projection = torch.zeros(len(rotation), len(plane), dtype=half_maps[0].values.dtype, device=device)
    for number, reference in enumerate(half_maps):
        mine = half != number if swap else half == number
        if bool(mine.any()):
            projection[mine] = slices(reference, rotation[mine], frequency)
    return projection


def select_defocus(defocus: Defocus, rows: Tensor, device: torch.device | None = None) -> Defocus:
    """Defocus of some particles."""
    names = ("u", "v", "angle", "phase_shift", "b_factor", "scale")
    return Defocus(**{name: getattr(defocus, name)[rows].to(device) for name in names})
