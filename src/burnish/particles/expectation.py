"""Expectation over all particles of both halves: on a grid that keeps the whole posterior, or by modes.

Blocks are worked on by threads and added up in their order within a chunk, chunks in theirs: the result depends neither
on the number of threads nor on the machines that made the chunks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import final

import torch
from torch import Tensor

from burnish.core.events import Listener, Progress
from burnish.geometry.rotations import random_rotations
from burnish.geometry.sampling import rotation_grid, shift_disc
from burnish.particles import dense, twins
from burnish.particles import modes as local
from burnish.particles.controller import Plan
from burnish.particles.images import ImageBlock
from burnish.particles.lattice import Lattice
from burnish.particles.modes import Modes, Placements
from burnish.particles.parallel import ordered_map
from burnish.particles.projection import (
    FourierSums,
    FourierVolume,
    cut_slices,
    empty_sums,
    inner_volume,
    insert_slices,
)
from burnish.particles.reconstruct import padded_transform
from burnish.particles.state import State
from burnish.particles.store import BlockStore

SHELL_SUMS = ("cross", "power", "image_power", "pixels")  # of a tally
CHUNKS_ADDED = 8
_STRONG = 0.02  # modes above this share take part in the noise estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What stays the same through a refinement.

    Attributes
    ----------
    store : the images.
    operators : of the point group. (m, 3, 3)
    mask : what references are multiplied by before they are compared. (n, n, n)
    find_masks : also multiply each by the solvent mask of its own map, once poses are modes.
    symmetry : its name.
    reference_has_ctf : False leaves the CTF out of the first comparison.
    flattened_fsc : report the FSC inside the mask, corrected for the mask by randomised phases.
    join_shell : below it the halves share their sums, as their orientations could drift apart otherwise.
    offset_range, offset_step : of the grid of shifts, px.
    seed : of the jitter of the grids.
    threads : that share the blocks.
    listener : told of progress.
    """

    store: BlockStore
    operators: Tensor
    symmetry: str
    mask: Tensor
    find_masks: bool
    reference_has_ctf: bool
    flattened_fsc: bool
    join_shell: float
    offset_range: float
    offset_step: float
    seed: int
    threads: int
    listener: Listener


@dataclass(frozen=True, slots=True)
class Tally:
    """What an expectation says of each particle, and sums by optics group and shell; filled in block by block.

    Attributes
    ----------
    rotation, shift : best of each particle; shift from its centre, px. (p, 3, 3), (p, 2)
    max_weight : share of the best. (p,)
    log_likelihood : at the best. (p,)
    shift_variance : posterior mean square of the whole shift per axis, Å². (p,)
    turn_deviation, slide_deviation : posterior widths, rad and Å; NaN where not known. (p,)
    data_model, model_model, image_chi : Σ w Re(conj(CP) X)/σ², Σ w |CP|²/σ², mean |X|²/σ². (p,)
    cross, power, image_power, pixels : Σ w Re(conj(CP) X), Σ w |CP|², Σ |X|² and their number, by half set, optics
        group and shell.
        (2, groups, shells)
    """

    rotation: Tensor
    shift: Tensor
    max_weight: Tensor
    log_likelihood: Tensor
    shift_variance: Tensor
    turn_deviation: Tensor
    slide_deviation: Tensor
    data_model: Tensor
    model_model: Tensor
    image_chi: Tensor
    cross: Tensor
    power: Tensor
    image_power: Tensor
    pixels: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Result of an expectation: what was found of the particles, sums of each half, and modes if there are any."""

    tally: Tally
    halves: tuple[FourierSums, ...]
    modes: Modes


def empty_tally(store: BlockStore) -> Tally:
    """A tally of nothing yet."""
    p, groups, shells = len(store.particles), len(store.particles.optics), store.frame.shells

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(*shape, dtype=torch.float64)

    nan = torch.full((p,), torch.nan, dtype=torch.float64)
    per_shell = [zeros(2, groups, shells) for _ in range(4)]
    identity = torch.eye(3, dtype=torch.float64).expand(p, 3, 3).clone()
    each = [zeros(p) for _ in range(3)]
    return Tally(identity, zeros(p, 2), zeros(p), zeros(p), zeros(p), nan, nan.clone(), *each, *per_shell)


def load_block(state: State, store: BlockStore, block: int) -> ImageBlock:
    """Images of a block as the state has them centred and scaled."""
    scale = state.scale[store.particles.half_set, store.particles.group]
    return store.load(block, state.centre, scale, state.norm)


def load_for_poses(state: State, setup: Setup, block: int) -> ImageBlock:
    """The same for comparison with the references: a starting map without CTF correction is compared without a CTF."""
    loaded = load_block(state, setup.store, block)
    if setup.reference_has_ctf or state.iteration > 1:
        return loaded
    return replace(loaded, transfer=torch.ones_like(loaded.transfer))


def pixel_precision(state: State, lattice: Lattice, half: int, group: int) -> Tensor:
    """1/σ² of each pixel of the images of a half set and optics group. (k,) float32"""
    return (1.0 / state.sigma2[half, group]).to(lattice.shell.device)[lattice.shell].to(torch.float32)


def jitter(seed: int, iteration: int) -> Tensor:
    """Rotation that turns the grid of an iteration. (3, 3)"""
    generator = torch.Generator().manual_seed(seed * 100003 + iteration)
    return random_rotations(1, generator)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the blocks of one half set are compared with in one iteration.

    Attributes
    ----------
    volumes : padded transform of the half's masked map, by the radius that slices of it may have: smaller ones are its
        middle, which stays in the cache.
    grid : rotations that are searched, or None. (o, 3, 3)
    banks : by optics group, slices at the rotations of the grid.
    """

    volumes: Mapping[int, FourierVolume]
    grid: Tensor | None
    banks: Mapping[int, dense.SliceBank]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkFound:
    """What an expectation says of one chunk, beside what stands in the tally's rows of its particles.

    Attributes
    ----------
    tally : its `cross`, `power`, `image_power` and `pixels` are sums over this chunk alone; all else is shared.
    sums : of the chunk alone; None where none were asked for.
    modes : of its particles.
    """

    tally: Tally
    sums: FourierSums | None
    modes: Modes


def make_reference(state: State, setup: Setup, plan: Plan, half: int) -> Reference:
    """Cut what a half set is compared with from its map."""
    volume = padded_transform((state.maps[half] * setup.mask).to(setup.store.device), plan.radius)
    if plan.stage != "grid" and not plan.search:
        return Reference(volumes={plan.radius: volume}, grid=None, banks={})
    grid = rotation_grid(plan.order, setup.operators, jitter(setup.seed, state.iteration))
    radii = [plan.radius] if plan.stage == "grid" else local.march_radii(plan.search_radius, plan.radius)
    groups = sorted({setup.store.group(b) for b in setup.store.of_half(half)})
    return Reference(
        volumes={r: inner_volume(volume, r) for r in radii},
        grid=grid,
        banks={g: make_bank(volume, grid, setup.store.lattices[g], radii[0]) for g in groups},
    )


class Crew(ABC):
    """Who looks at the images: this process, or workers elsewhere. Results are the same to the last bit."""

    @abstractmethod
    def image_power(self, state: State, setup: Setup) -> Tally:
        """A tally of nothing but the power of whole images by shell."""

    @abstractmethod
    def expect(self, state: State, setup: Setup, plan: Plan) -> Expectation:
        """Expectation over all particles: whole posteriors over a grid, or modes, as the plan says.

        The sums of each chunk are made apart and added up in the order of the chunks, within runs of `CHUNKS_ADDED`
        first: workers then need not keep the sums of all of theirs to the end.
        """

    @abstractmethod
    def end(self) -> None:
        """Leave nothing behind."""


@final
class Alone(Crew):
    """This process."""

    def image_power(self, state: State, setup: Setup) -> Tally:
        tally = empty_tally(setup.store)
        for half in (0, 1):
            for chunk in setup.store.chunks(half):
                add_shell_sums(tally, power_of_chunk(state, setup, chunk, tally))
        return tally

    def expect(self, state: State, setup: Setup, plan: Plan) -> Expectation:
        tally = empty_tally(setup.store)
        halves, modes = [], []
        for half in (0, 1):
            reference, chunks = make_reference(state, setup, plan, half), setup.store.chunks(half)
            total, part = None, None
            for number, found in enumerate(expect_chunks(state, setup, plan, reference, chunks, tally), 1):
                add_shell_sums(tally, found.tally)
                modes.append(found.modes)
                part = add_sums(part, found.sums)
                if number % CHUNKS_ADDED == 0 or number == len(chunks):
                    total, part = add_sums(total, part), None
            assert total is not None
            halves.append(total)
        return Expectation(tally=tally, halves=tuple(halves), modes=local.join_modes(modes))

    def end(self) -> None:
        pass


def expect_first(state: State, setup: Setup, plan: Plan, at_most: int) -> Tally:
    """What about so many particles of each half, its first ones, say on the grid; makes no sums for maps."""
    tally = empty_tally(setup.store)
    for half in (0, 1):
        blocks = setup.store.of_half(half)
        blocks = blocks[: max(1, round(at_most / len(setup.store.blocks[blocks[0]])))]
        reference = make_reference(state, setup, plan, half)
        for _ in _grid_chunks(state, setup, plan, reference, [blocks], tally, maximise=False):
            pass
    return tally


def expect_chunks(
    state: State, setup: Setup, plan: Plan, reference: Reference, chunks: Sequence[Sequence[int]], tally: Tally
) -> Iterator[ChunkFound]:
    """Chunks of blocks of one half set in their order; the tally's rows of their particles are filled in."""
    if plan.stage == "grid":
        return _grid_chunks(state, setup, plan, reference, chunks, tally)
    return _mode_chunks(state, setup, plan, reference, chunks, tally)


def power_of_chunk(state: State, setup: Setup, chunk: Sequence[int], tally: Tally) -> Tally:
    """Power of the whole images of a chunk; the tally's rows of its particles are filled in."""
    mine = _of_chunk(tally)
    for b in chunk:
        block = load_block(state, setup.store, b)
        add_image_power(mine, state, block, setup.store.lattices[block.group])
    return mine


def add_sums(total: FourierSums | None, more: FourierSums | None) -> FourierSums | None:
    """Add sums to those before them, in place; the first ones are the total themselves."""
    if total is None or more is None:
        return more if total is None else total
    total.values.add_(more.values)
    return total


def add_shell_sums(tally: Tally, chunk: Tally) -> None:
    """Add a chunk's sums by shell."""
    for name in SHELL_SUMS:
        getattr(tally, name).add_(getattr(chunk, name))


def _of_chunk(tally: Tally) -> Tally:
    """The tally with sums by shell of its own."""
    return replace(tally, **{name: torch.zeros_like(getattr(tally, name)) for name in SHELL_SUMS})


def _grid_chunks(
    state: State,
    setup: Setup,
    plan: Plan,
    reference: Reference,
    chunks: Sequence[Sequence[int]],
    tally: Tally,
    *,
    maximise: bool = True,
) -> Iterator[ChunkFound]:
    store, grid = setup.store, reference.grid
    assert grid is not None
    shifts = shift_disc(setup.offset_range, setup.offset_step * plan.offset_scale)
    counts = {g: store.lattices[g].count(plan.map_radius) for g in reference.banks}

    def work(b: int) -> _GridPart:
        return _grid_block(state, setup, b, reference.banks, counts, shifts, maximise=maximise)

    parts = ordered_map(work, [b for chunk in chunks for b in chunk], setup.threads)
    for chunk in chunks:
        mine, half = _of_chunk(tally), int(store.particles.half_set[store.blocks[chunk[0]][0]])
        totals = {
            g: dense.SliceTotals(
                data=torch.zeros(len(grid), 2 * k, device=store.device),
                weights=torch.zeros(len(grid), k, device=store.device),
            )
            for g, k in counts.items()
            if maximise
        }
        for b, part in zip(chunk, parts, strict=False):
            g, found, i = part.block.group, part.found, part.block.index
            tally.rotation[i] = grid[found.best_rotation.cpu()]
            tally.shift[i] = shifts[found.best_shift.cpu()]
            tally.max_weight[i] = found.max_weight.cpu().double()
            tally.shift_variance[i] = part.shift_variance
            tally.data_model[i] = found.cross.cpu()
            tally.model_model[i] = found.power.cpu()
            if part.sums is not None:
                part.sums.add_to(totals[g])
                add_image_power(mine, state, part.block, store.lattices[g])
            _tell(setup, state, part.block.half, b)
        sums = empty_sums(plan.map_radius, store.device) if maximise else None
        for g, total in totals.items():
            assert sums is not None
            lattice = store.lattices[g]
            precision = pixel_precision(state, lattice, half, g)
            noise = dense.model_sums(reference.banks[g], total, lattice, precision, store.frame.shells)
            mine.cross[half, g] += noise[0]
            mine.power[half, g] += noise[1]
            pixels = lattice.coordinates[: counts[g]]
            spread(sums, setup.threads, partial(insert_slices, sums, grid, pixels, total.data, total.weights))
        yield ChunkFound(tally=mine, sums=sums, modes=no_modes())


def _tell(setup: Setup, state: State, half: int, block: int) -> None:
    """Tell the listener how far a half set has come."""
    blocks = setup.store.of_half(half)
    setup.listener(Progress(f"iteration {state.iteration}, half {half + 1}", block - blocks.start + 1, len(blocks)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _GridPart:
    block: ImageBlock
    found: dense.Posterior
    shift_variance: Tensor
    sums: dense.BlockSums | None


def _grid_block(
    state: State,
    setup: Setup,
    number: int,
    banks: Mapping[int, dense.SliceBank],
    counts: dict[int, int],
    shifts: Tensor,
    *,
    maximise: bool,
) -> _GridPart:
    store = setup.store
    block = load_for_poses(state, setup, number)
    lattice = store.lattices[block.group]
    bank, precision = banks[block.group], pixel_precision(state, lattice, block.half, block.group)
    pixel = store.particles.optics[block.group].pixel_size
    total = (state.centre[block.index, None, :] + shifts) * pixel  # (b, t, 2) Å
    squared = total.square().sum(2)
    prior = (-0.5 * squared / float(state.sigma_shift[block.half]) ** 2).to(precision)
    found = dense.posterior(bank, block, lattice, precision, shifts, prior)
    variance = 0.5 * (found.shift_weights.cpu().double() * squared).sum(1)
    if not maximise:
        return _GridPart(block=block, found=found, shift_variance=variance, sums=None)
    weights = dense.drop_tails(found)
    block = load_block(state, store, number)
    sums = dense.weighted_sums(weights, block, lattice, precision, shifts, counts[block.group])
    return _GridPart(block=block, found=replace(found, weights=found.weights[:0]), shift_variance=variance, sums=sums)


def make_bank(volume: FourierVolume, grid: Tensor, lattice: Lattice, radius: int) -> dense.SliceBank:
    """Slices at all rotations of a grid."""
    count = lattice.count(radius)
    return dense.make_bank(cut_slices(volume, grid, lattice.coordinates[:count]), count)


def _mode_chunks(
    state: State, setup: Setup, plan: Plan, reference: Reference, chunks: Sequence[Sequence[int]], tally: Tally
) -> Iterator[ChunkFound]:
    """Posterior of every particle as Gaussian modes: found by a search or carried from before, moved and weighed."""
    store = setup.store

    def work(b: int) -> _ModePart:
        return _mode_block(state, setup, plan, b, reference)

    parts = ordered_map(work, [b for chunk in chunks for b in chunk], setup.threads)
    for chunk in chunks:
        mine, sums, kept = _of_chunk(tally), empty_sums(plan.map_radius, store.device), []
        for b, part in zip(chunk, parts, strict=False):
            block = part.block
            lattice = store.lattices[block.group]
            precision = pixel_precision(state, lattice, block.half, block.group)
            insert = partial(local.insert_placements, sums, part.placed, block, lattice, precision)
            spread(sums, setup.threads, insert)
            _note_modes(mine, state, part, store)
            add_image_power(mine, state, block, lattice)
            kept.append(replace(part.modes, owner=block.index[part.modes.owner]))
            _tell(setup, state, block.half, b)
        yield ChunkFound(tally=mine, sums=sums, modes=local.join_modes(kept))


@dataclass(frozen=True, slots=True, kw_only=True)
class _ModePart:
    block: ImageBlock
    modes: Modes
    weights: Tensor
    placed: Placements
    cross: Tensor
    power: Tensor


def _mode_block(
    state: State,
    setup: Setup,
    plan: Plan,
    number: int,
    reference: Reference,
) -> _ModePart:
    store, volumes, grid = setup.store, reference.volumes, reference.grid
    block = load_block(state, store, number)
    lattice, count = store.lattices[block.group], len(block.index)
    climber = local.Climber(
        volumes=volumes,
        block=block,
        lattice=lattice,
        precision=pixel_precision(state, lattice, block.half, block.group),
        centres=state.centre[block.index],
        sigma_shift=float(state.sigma_shift[block.half]) / store.particles.optics[block.group].pixel_size,
        operators=setup.operators,
    )
    modes = local.step_carried(carried_modes(state, block), climber, plan.radius, steps=plan.steps)
    if grid is not None:
        start = _search(state, setup, plan, block, climber, reference.banks[block.group], grid)
        found = local.march(start, climber, list(volumes), limit=plan.limit, window=plan.window + 6.0)
        near = 4.0 * local.same_angle(plan.radius)  # a Fourier pixel: as far as an image's own noise reaches
        modes = local.merge(modes, found, count, same_angle=near, operators=setup.operators)
    # two modes that one posterior width separates are one: counted twice, they would share its weight
    width = float(local.deviations(modes.information)[0].median())
    modes = local.prune(
        modes,
        count,
        window=plan.window,
        limit=plan.limit,
        same_angle=max(local.same_angle(plan.radius), 0.5 * width),
        operators=setup.operators,
    )
    weights = local.mode_weights(modes, count)
    strong = weights > _STRONG
    cross, power = local.model_power(
        volumes[plan.radius], modes.select(strong), weights[strong], block, lattice, plan.radius, store.frame.shells
    )
    placed = local.placements(modes, weights, plan.map_radius)
    return _ModePart(block=block, modes=modes, weights=weights, placed=placed, cross=cross, power=power)


def _search(
    state: State,
    setup: Setup,
    plan: Plan,
    block: ImageBlock,
    climber: local.Climber,
    bank: dense.SliceBank,
    grid: Tensor,
) -> Modes:
    """The best rotations of a grid, each with its best shift, as modes of the block."""
    shifts = shift_disc(setup.offset_range, setup.offset_step * plan.offset_scale)
    total = climber.centres[:, None, :] + shifts
    prior = (-0.5 * total.square().sum(2) / climber.sigma_shift**2).to(climber.precision)
    rotations, best = dense.best_rotations(
        bank, block, climber.lattice, climber.precision, shifts, prior, plan.candidates
    )
    owner = torch.arange(len(block.index))[:, None].expand_as(rotations).reshape(-1)
    return local.new_modes(owner, grid[rotations.reshape(-1)], shifts[best.reshape(-1)])


def _note_modes(tally: Tally, state: State, part: _ModePart, store: BlockStore) -> None:
    g, i, modes = part.block.group, part.block.index, part.modes
    best = best_modes(modes, part.weights, len(i))
    pixel = store.particles.optics[g].pixel_size
    tally.rotation[i] = modes.rotation[best]
    tally.shift[i] = modes.shift[best]
    tally.max_weight[i] = part.weights[best]
    tally.log_likelihood[i] = modes.log_weight[best]
    total = (state.centre[i][modes.owner] + modes.shift) * pixel
    spread_of = 0.5 * total.square().sum(1) * part.weights
    tally.shift_variance[i] = torch.zeros(len(i), dtype=torch.float64).index_add(0, modes.owner, spread_of)
    turn, slide = local.deviations(modes.information[best])
    tally.turn_deviation[i], tally.slide_deviation[i] = turn, slide * pixel
    h = part.block.half
    inverse = 1.0 / state.sigma2[h, g]
    tally.data_model[i] = (part.cross * inverse).sum(1)
    tally.model_model[i] = (part.power * inverse).sum(1)
    tally.cross[h, g] += part.cross.sum(0)
    tally.power[h, g] += part.power.sum(0)


def add_image_power(tally: Tally, state: State, block: ImageBlock, lattice: Lattice) -> None:
    """Add |X|² of the block's whole images by shell, and note what each comes to in units of the noise."""
    shells = tally.image_power.shape[2]
    squared = block.whole.real.square() + block.whole.imag.square()
    tally.image_power[block.half, block.group] += torch.bincount(
        lattice.shell, squared.double().sum(0), minlength=shells
    ).cpu()
    number = torch.bincount(lattice.shell, minlength=shells).cpu().double()
    tally.pixels[block.half, block.group] += number * len(block.index)
    chi = squared[:, 1:] @ pixel_precision(state, lattice, block.half, block.group)[1:]
    tally.image_chi[block.index] = chi.cpu().double() / (squared.shape[1] - 1)


def spread(sums: FourierSums, threads: int, insert: Callable[[tuple[int, int]], None]) -> None:
    """Let threads insert into planes of their own: every voxel still receives its terms in one order."""
    planes = sums.values.shape[0]
    if threads <= 2 or not twins.compiled(sums.values):  # one inserts while the other prepares the next block
        insert((0, planes))
        return
    edges = [round(planes * t / threads) for t in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(insert, pairwise(edges)))


def no_modes() -> Modes:
    """An empty list of modes."""
    return local.new_modes(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3, 3), torch.zeros(0, 2))


def carried_modes(state: State, block: ImageBlock) -> Modes:
    """The state's modes of the block's images, owners counted within the block."""
    if not len(state.modes):
        return state.modes
    position = torch.searchsorted(block.index, state.modes.owner).clamp(max=len(block.index) - 1)
    mine = block.index[position] == state.modes.owner
    return replace(state.modes.select(mine), owner=position[mine])


def best_modes(modes: Modes, weights: Tensor, count: int) -> Tensor:
    """Index of the strongest mode of each owner. (count,)"""
    order = torch.argsort(weights, stable=True)
    best = torch.zeros(count, dtype=torch.int64)
    best[modes.owner[order]] = order  # written in rising order of weight: the last one stays
    return best
