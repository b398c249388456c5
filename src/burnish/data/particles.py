"""What is known of each particle image."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from burnish.data.optics import Defocus, OpticsGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Poses:
    """Orientation and shift of each particle.

    Attributes
    ----------
    rotation : matrices A with x_image = A · x_reference, vectors (x, y, z); row 2 is the viewing direction. (n, 3, 3)
    shift : displacement that brings the particle to the image centre, (x, y), Å; RELION's `rlnOriginXAngst`. (n, 2)
    """

    rotation: Tensor
    shift: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Particles:
    """Particle images by reference, with what is known of them; the images stay on disk.

    Attributes
    ----------
    stack : path of the stack of each particle as the STAR file names it, an index into `stacks`. (n,) int64
    slice_index : index of the image in its stack, from 0. (n,) int64
    stacks : paths as the file names them.
    optics : the optics groups.
    optics_index : index into `optics`. (n,) int64
    defocus : of each particle.
    poses : orientations and shifts, or None when the file has none.
    half_set : 0 or 1, or -1 where the file does not say. (n,) int64
    micrograph : index into `micrographs`. (n,) int64
    micrographs : names.
    group : index of the scale and noise group, from 0. (n,) int64
    coordinate : (x, y) in the micrograph, pixels, NaN where unknown. (n, 2)
    """

    stack: Tensor
    slice_index: Tensor
    stacks: tuple[str, ...]
    optics: tuple[OpticsGroup, ...]
    optics_index: Tensor
    defocus: Defocus
    poses: Poses | None
    half_set: Tensor
    micrograph: Tensor
    micrographs: tuple[str, ...]
    group: Tensor
    coordinate: Tensor

    def __len__(self) -> int:
        return len(self.slice_index)
