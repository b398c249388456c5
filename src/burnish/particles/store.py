"""Blocks of particle images, transformed on demand; kept in memory as far as a budget allows, read again otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from burnish.data.optics import Defocus, OpticsGroup
from burnish.particles.images import (
    CtfMode,
    ImageBlock,
    ImageReader,
    odd_phases,
    soft_circle,
    transfer_function,
    transform_images,
)
from burnish.particles.lattice import Lattice, make_lattice

_MOST_CHUNKS = 64  # of a half set: each costs a volume to add


def unannounced(index: Tensor) -> None:
    """For images that are in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticleSet:
    """What the engine knows of the particles.

    Attributes
    ----------
    images : reads images by particle index.
    optics : groups; images of one block share one.
    optics_index : (n,) int64
    defocus : of each particle.
    half_set : 0 or 1. (n,) int64
    group : scale group (micrograph). (n,) int64
    announce : told which images will be asked for next, so that they can be fetched while others are computed.
    """

    images: ImageReader
    optics: tuple[OpticsGroup, ...]
    optics_index: Tensor
    defocus: Defocus
    half_set: Tensor
    group: Tensor
    announce: Callable[[Tensor], None] = unannounced

    def __len__(self) -> int:
        return len(self.half_set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Geometry of the refinement.

    Attributes
    ----------
    size : edge of the map, voxels.
    pixel_size : of the map, Å.
    mask_radius : of the round mask of images and map, Å.
    """

    size: int
    pixel_size: float
    mask_radius: float

    @property
    def nyquist(self) -> int:
        """Outermost shell of the map."""
        return self.size // 2 - 1

    @property
    def shells(self) -> int:
        """Number of shells that tables hold, 0 … n/2."""
        return self.size // 2 + 1

    def d_min(self, shell: float) -> float:
        """Resolution of a shell, Å."""
        return self.size * self.pixel_size / max(shell, 1e-9)

    def shell(self, d_min: float) -> float:
        """Shell of a resolution in Å."""
        return self.size * self.pixel_size / d_min


@dataclass(slots=True)
class _Cached:
    centres: Tensor
    masked: Tensor
    whole: Tensor


class BlockStore:
    """Hands out blocks of images of one half set and one optics group each.

    Parameters
    ----------
    frame, particles, ctf_mode : what to prepare and how.
    block_size : images a block.
    budget : bytes that transformed images may take; beyond it they are read and transformed again each time.
    zero_mask : fill masked-away pixels with the background's mean; else with noise like that of the images.
    chunk : images whose sums are made apart.
    device : where images are transformed and kept.
    """

    def __init__(
        self,
        frame: Frame,
        particles: ParticleSet,
        ctf_mode: CtfMode,
        *,
        block_size: int,
        budget: int,
        zero_mask: bool = True,
        chunk: int = 1024,
        device: str = "cpu",
    ) -> None:
        self.frame, self.particles, self._ctf_mode = frame, particles, ctf_mode
        self.device = torch.device(device)
        self.lattices = tuple(_lattice(frame, group, self.device) for group in particles.optics)
        self._odd = [odd_phases(x, g) for x, g in zip(self.lattices, particles.optics, strict=True)]
        self._masks = [
            soft_circle(g.box_size, frame.mask_radius / g.pixel_size).to(self.device) for g in particles.optics
        ]
        # images are sums over voxels of their own size: bring them to the scale of the map's voxels
        self._gain = [(g.pixel_size / frame.pixel_size) ** 2 for g in particles.optics]
        self._zero_mask, self._chunk = zero_mask, chunk
        self._cache: dict[int, _Cached] = {}
        self._transfer: dict[int, Tensor] = {}
        self._left = budget
        self.blocks: list[Tensor] = []
        self._halves: list[range] = []
        for half in (0, 1):
            for group in range(len(particles.optics)):
                members = ((particles.half_set == half) & (particles.optics_index == group)).nonzero()[:, 0]
                self.blocks += list(members.split(block_size)) if len(members) else []
            self._halves.append(range(sum(map(len, self._halves)), len(self.blocks)))

        self._number = torch.zeros(len(particles), dtype=torch.int64)  # of each particle's block
        for number, members in enumerate(self.blocks):
            self._number[members] = number

    def of_half(self, half: int) -> range:
        """Numbers of the blocks of one half set."""
        return self._halves[half]

    def chunks(self, half: int) -> list[range]:
        """Blocks of one half set in runs whose sums are made apart.

        The runs follow from the particles alone, so that a result is the same to the last bit on one machine and on
        many; a small set has one.
        """
        blocks = self.of_half(half)
        count = sum(len(self.blocks[b]) for b in blocks)
        runs = min(_MOST_CHUNKS, max(1, round(count / self._chunk)), len(blocks))
        edges = [round(len(blocks) * r / runs) for r in range(runs + 1)]
        return [blocks[low:high] for low, high in pairwise(edges)]

    def group(self, block: int) -> int:
        """Optics group of a block."""
        return int(self.particles.optics_index[self.blocks[block][0]])

    def load(self, block: int, centres: Tensor, scale: Tensor, norm: Tensor) -> ImageBlock:
        """Images of a block about their whole-pixel centres.

        Parameters
        ----------
        centres : whole-pixel shift (x, y) of every particle. (n, 2) int64
        scale : of every particle's signal. (n,)
        norm : what every particle's image is divided by. (n,)
        """
        index = self.blocks[block]
        group = self.group(block)
        masked, whole = self._transformed(block, centres[index])
        transfer = self._transfer_of(block)
        transfer = transfer * scale[index].to(transfer)[:, None]
        divisor = norm[index].to(transfer)
        if bool((divisor != 1).any()):
            masked, whole = masked / divisor[:, None], whole / divisor[:, None]
        half = int(self.particles.half_set[index[0]])
        return ImageBlock(index=index, half=half, group=group, masked=masked, whole=whole, transfer=transfer)

    def _transformed(self, block: int, centres: Tensor) -> tuple[Tensor, Tensor]:
        index, group = self.blocks[block], self.group(block)
        kept = self._cache.get(block)
        if kept is not None and torch.equal(kept.centres, centres):
            return kept.masked, kept.whole
        # always the whole block: a transform of fewer images differs in its last bits, and resuming must not
        if kept is not None:
            kept.masked, kept.whole = self._transform(index, group, centres)
            kept.centres = centres.clone()
            return kept.masked, kept.whole
        masked, whole = self._transform(index, group, centres)
        size = 2 * masked.numel() * 8
        if self._left >= size:
            self._left -= size
            self._cache[block] = _Cached(centres.clone(), masked, whole)
        return masked, whole

    def _transform(self, index: Tensor, group: int, centres: Tensor) -> tuple[Tensor, Tensor]:
        images = self.particles.images(index).to(self.device) * self._gain[group]
        after = int(self._number[index[0]]) + 1
        if after < len(self.blocks) and after not in self._cache:
            self.particles.announce(self.blocks[after])
        fill = None
        if not self._zero_mask:
            outside = self._masks[group] < 0.5
            generator = torch.Generator().manual_seed(int(index[0]) + 1)
            noise = torch.randn(images.shape, generator=generator).to(images)
            fill = noise * images[:, outside].std(1)[:, None, None]
        return transform_images(images, centres, self._masks[group], self.lattices[group], self._odd[group], fill)

    def _transfer_of(self, block: int) -> Tensor:
        if block in self._transfer:
            return self._transfer[block]
        index, group = self.blocks[block], self.group(block)
        d = self.particles.defocus
        defocus = Defocus(
            u=d.u[index], v=d.v[index], angle=d.angle[index], phase_shift=d.phase_shift[index],
            b_factor=d.b_factor[index], scale=d.scale[index],
        )  # fmt: skip
        value = transfer_function(self.lattices[group], self.particles.optics[group], defocus, self._ctf_mode)
        if self._left >= value.numel() * 4:
            self._left -= value.numel() * 4
            self._transfer[block] = value
        return value


def _lattice(frame: Frame, group: OpticsGroup, device: torch.device) -> Lattice:
    scale = frame.size * frame.pixel_size / (group.box_size * group.pixel_size)
    radius = min(frame.nyquist, int((group.box_size // 2 - 1) * scale))
    return make_lattice(group.box_size, scale, radius, group.magnification).to(device)
