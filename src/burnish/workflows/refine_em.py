"""`burnish refine` against half maps, or one map, of a single particle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from burnish.chemistry.library import Library
from burnish.chemistry.topology import Topology
from burnish.core.errors import InputError
from burnish.core.events import Event, Listener, Message, Metrics, Progress, Shells
from burnish.data.density import DensityMap
from burnish.data.particle_symmetry import ParticleSymmetry
from burnish.io.models import ModelFile, read_model
from burnish.jobs.folder import Job
from burnish.models.boxed_maps import BoxedMaps, box_maps
from burnish.models.copies import copied_positions
from burnish.models.domains import domain_atoms
from burnish.models.map_term import MapTerm, with_overall_b
from burnish.models.protons import find_protons
from burnish.models.refinement import RefinementState, initial_state, iterate
from burnish.models.refinement_settings import RefinementSettings
from burnish.models.refinement_system import RefinableModel, make_system
from burnish.options.refine import RefineOptions
from burnish.workflows.device import chosen_device
from burnish.workflows.flexible_fit import stages, with_reference
from burnish.workflows.map_balance import balance_against_maps
from burnish.workflows.map_symmetry import MapSymmetry, map_symmetry
from burnish.workflows.model_maps import (
    check_model_inside,
    check_resolution,
    read_maps,
    read_mask,
    some_values,
    tell_of_bad_agreement,
    tell_of_bad_halves,
    without_crystal,
)
from burnish.workflows.refine_checkpoint import (
    CHECKPOINT,
    read_checkpoint,
    read_start,
    refuse_other_data,
    refuse_other_start,
    resume_data,
    write_checkpoint,
)
from burnish.workflows.refine_em_outputs import EmFinished, HalfMapValidation, write_em_outputs
from burnish.workflows.refine_model import refinement_settings, restrained_model

SHOWN = ("bond_rmsz", "angle_rmsz", "weight")
FLEXIBLE_MOVE = 1.0  # Å in a cycle of a flexible fit


@dataclass(frozen=True, slots=True, kw_only=True)
class EmRun:
    """One refinement against maps, to its end or to where the user stopped it."""

    term: MapTerm
    state: RefinementState
    interrupted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rests:
    """Where a refinement leaves its state after each cycle, and the state of an earlier one that it goes on from."""

    write: Path
    earlier: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmInputs:
    """Everything that a refinement against maps starts from.

    Attributes
    ----------
    model, maps : as read.
    library, topology : restraints and where they come from.
    refinable : the model for the engine; its atoms are those of `topology.structure`.
    symmetry : of the maps, or None.
    files : every input file, for the record of the job.
    """

    model: ModelFile
    maps: tuple[DensityMap, ...]
    library: Library
    topology: Topology
    refinable: RefinableModel
    symmetry: MapSymmetry | None
    files: tuple[Path, ...]


def run(options: RefineOptions, job: Job) -> dict[str, Any]:
    """Read, refine, judge by the other half map when asked, write."""
    warnings: list[str] = []

    def listener(event: Event) -> None:
        if isinstance(event, Message) and event.level == "warning":
            warnings.append(event.text)
        job.notify(event)

    inputs = read_em_inputs(options, listener)
    settings = refinement_settings(options)
    job.begin(inputs.files, seed=options.seed, device=chosen_device(options.device))
    if len(inputs.maps) == 1:
        listener(
            Message("one map without its halves: its noise is not known, and overfitting cannot be seen", "warning")
        )
    maps, refinable, symmetry = inputs.maps, inputs.refinable, inputs.symmetry
    if options.flexible is not None and options.continue_from is None:
        refinable = fit_flexibly(maps, refinable, settings, options, symmetry, listener)
    rests = Rests(write=job.path(CHECKPOINT), earlier=options.continue_from)
    if rests.earlier is None:
        rests.write.unlink(missing_ok=True)  # of an earlier refinement in this folder
    main = refine_against(maps, refinable, settings, options, symmetry, listener, rests=rests)
    validation, interrupted = None, main.interrupted
    if options.cross_validation and not interrupted:
        listener(Message("cross-validation: the same refinement against half map 1 alone"))
        try:
            validation = cross_validate(maps, refinable, settings, options, symmetry, main)
        except KeyboardInterrupt:
            listener(Message("interrupted: what was refined is written without cross-validation", "warning"))
            interrupted = True
    done = EmFinished(
        model=inputs.model,
        library=inputs.library,
        topology=inputs.topology,
        refinable=refinable,
        term=main.term,
        state=main.state,
        validation=validation,
        symmetry=symmetry,
        interrupted=interrupted,
        warnings=warnings,
        maps=[str(p) for p in _map_paths(options)],
    )
    summary = write_em_outputs(options, job, done)
    if interrupted:
        raise KeyboardInterrupt
    return summary


def read_em_inputs(options: RefineOptions, listener: Listener) -> EmInputs:
    """Read all inputs and check them against each other, telling what was chosen and what is doubtful."""
    if options.resolution is None:
        raise InputError("--resolution: needed with maps")
    model = read_model(options.model)
    for message in model.messages:
        listener(message)
    paths = _map_paths(options)
    maps = read_maps(paths, options.angpix, listener)
    library, topology, refinable = restrained_model(options, without_crystal(model.structure), None, listener)
    check_model_inside(options.model, refinable.atoms.xyz, maps[0], listener)
    check_resolution(options.resolution, maps[0], paths[0])
    symmetry = map_symmetry(options, maps[0], heavy_positions(refinable))
    if symmetry is not None:
        refinable = replace(refinable, crystal=symmetry.contacts)
        listener(Message(f"{symmetry.density.name}: {len(symmetry.density)} copies of the model"))
    if options.reference is not None:
        refinable = with_reference(refinable, options.reference, listener)
    if options.mask is not None:
        read_mask(options.mask, maps[0], options.angpix)
    if options.continue_from is not None:
        refuse_other_data(options.continue_from, _observed(maps, options.resolution))
        refinable = at_earlier_start(refinable, options.continue_from, moved=options.flexible is not None)
    extra = [path for path in (options.reference, options.mask) if path is not None]
    return EmInputs(
        model=model,
        maps=tuple(maps),
        library=library,
        topology=topology,
        refinable=refinable,
        symmetry=symmetry,
        files=(options.model, *paths, *options.ligand, *extra),
    )


def _map_paths(options: RefineOptions) -> list[Path]:
    return [p for p in (options.half1, options.half2, options.map) if p is not None]


def _observed(maps: Sequence[DensityMap], resolution: float) -> list[float]:
    """What tells these data from others."""
    return [resolution, *(float(some_values(density).double().std()) for density in maps)]


def at_earlier_start(refinable: RefinableModel, checkpoint: Path, *, moved: bool) -> RefinableModel:
    """The model where the refinement of a checkpoint began; a flexible fit has moved it before."""
    start = read_start(checkpoint, refinable.atoms.xyz)
    if not moved:
        refuse_other_start(checkpoint, start, refinable.atoms.xyz)
    return replace(refinable, atoms=replace(refinable.atoms, xyz=start))


def density_symmetry(symmetry: MapSymmetry | None) -> ParticleSymmetry | None:
    """The copies that density is of."""
    return None if symmetry is None else symmetry.density


def refine_against(
    maps: Sequence[DensityMap],
    refinable: RefinableModel,
    settings: RefinementSettings,
    options: RefineOptions,
    symmetry: MapSymmetry | None,
    listener: Listener,
    *,
    first_alone: bool = False,
    rests: Rests | None = None,
) -> EmRun:
    """Refine a model against these maps, or the first half map alone, telling of every cycle."""
    if options.resolution is None:
        raise InputError("--resolution: needed with maps")
    boxed = boxed_about(maps, refinable, options, symmetry, first_alone=first_alone)
    term = MapTerm(
        boxed,
        device=chosen_device(options.device),
        symmetry=density_symmetry(symmetry),
        protons=find_protons(refinable.restraints),
    )
    atoms = refinable.atoms
    if settings.adp != "fixed" and settings.cycles > 0:
        atoms = with_overall_b(atoms, term)
    balance = balance_against_maps(
        settings, options.resolution, None if len(maps) == 1 else boxed.filled, options.closeness
    )
    settings = balance.settings
    system = make_system(
        replace(refinable, atoms=atoms), settings, d_min=options.resolution, n_observations=2 * len(boxed.hkl)
    )
    system = replace(system, limits=balance.limits)
    if rests is None or rests.earlier is None:
        state = initial_state(system, term)
    else:
        state = read_checkpoint(rests.earlier, system)
        resume_data(rests.earlier, term, system.model.atoms, state.atoms)
    _tell(state, term, settings.cycles, listener)
    tell_of_bad_halves(boxed.shell_mean(boxed.s2.sqrt()), term.half_fsc(), options.resolution, listener)
    tell_of_bad_agreement(state.history[0].data["cc_work"], listener)
    observed = [] if rests is None else _observed(maps, options.resolution)
    try:
        for later in iterate(state, system, term):
            state = later
            if rests is not None:
                write_checkpoint(rests.write, state, term.fitted(), refinable.atoms.xyz, observed)
            _tell(state, term, settings.cycles, listener)
    except KeyboardInterrupt:
        if rests is None:
            raise  # nobody keeps a part of it: a round or a cross-validation of fewer cycles would say something else
        listener(Message(f"interrupted: cycle {state.cycle}, the last complete one, is written", "warning"))
        term.update_scaling(state.atoms)
        return EmRun(term=term, state=state, interrupted=True)
    return EmRun(term=term, state=state, interrupted=False)


def fit_flexibly(
    maps: Sequence[DensityMap],
    refinable: RefinableModel,
    settings: RefinementSettings,
    options: RefineOptions,
    symmetry: MapSymmetry | None,
    listener: Listener,
) -> RefinableModel:
    """The model after chains have moved as rigid bodies and domains as a jelly body, from coarse maps to finer ones."""
    xyz = refinable.atoms.xyz.numpy()
    domains = () if refinable.labels is None else domain_atoms(refinable.labels, xyz)
    chains = 0 if refinable.labels is None else len(set(refinable.labels.chain))
    for stage in stages(options.flexible or 0.0, options.resolution or 0.0):
        if stage.domains and len(domains) <= chains:
            continue
        listener(Message(f"flexible fit to {stage.resolution:.1f} Å: {stage.text}"))
        coarse = options.model_copy(update={"resolution": stage.resolution, "mask_radius": stage.mask_radius})
        chosen = replace(
            settings,
            cycles=stage.cycles,
            rigid_cycles=stage.rigid_cycles,
            domain_cycles=0,
            jelly_body=stage.jelly_body,
            adp="fixed",
            largest_move=FLEXIBLE_MOVE,
        )
        if stage.domains:
            listener(Message(f"{len(domains)} domains in {chains} chains"))
            chosen = replace(chosen, rigid_groups=tuple(tuple(group.tolist()) for group in domains))
        run = refine_against(maps, refinable, chosen, coarse, symmetry, listener)
        refinable = replace(refinable, atoms=replace(refinable.atoms, xyz=run.state.atoms.xyz))
    return refinable


def heavy_positions(refinable: RefinableModel) -> Tensor:
    """Positions of all atoms but hydrogens, which would make the mask wider than that of other programs. (n, 3)"""
    return refinable.atoms.xyz[~refinable.restraints.contacts.is_hydrogen]


def boxed_about(
    maps: Sequence[DensityMap],
    refinable: RefinableModel,
    options: RefineOptions,
    symmetry: MapSymmetry | None,
    *,
    first_alone: bool = False,
) -> BoxedMaps:
    """Maps about a model and all of its copies."""
    return box_about(maps, heavy_positions(refinable), options, symmetry, first_alone=first_alone)


def box_about(
    maps: Sequence[DensityMap],
    xyz: Tensor,
    options: RefineOptions,
    symmetry: MapSymmetry | None,
    *,
    first_alone: bool = False,
) -> BoxedMaps:
    """Maps about positions and all of their copies; positions of all atoms but hydrogens, Å. (n, 3)"""
    if symmetry is not None:
        xyz = copied_positions(xyz, symmetry.density)
    mask = None if options.mask is None else read_mask(options.mask, maps[0], options.angpix)
    return box_maps(
        maps, xyz, options.resolution or 0.0, mask_radius=options.mask_radius, first_alone=first_alone, mask=mask
    )


def _tell(state: RefinementState, term: MapTerm, cycles: int, listener: Listener) -> None:
    record = state.history[-1]
    numbers = {**record.geometry, "weight": record.weight}
    shown = {"fsc_average": record.data["cc_work"], **{name: numbers[name] for name in SHOWN}}
    listener(Metrics("cycle", record.cycle, shown))
    shells, halves = term.statistics().shells, term.half_fsc()
    columns = {"d_min": [s.d_min for s in shells], "fsc_model": [s.cc_work for s in shells]}
    if halves is not None:
        columns["fsc_halves"] = [float(v) for v in halves]
    listener(Shells("cycle", record.cycle, columns))
    listener(Progress("refinement", record.cycle, cycles))


def cross_validate(
    maps: Sequence[DensityMap],
    refinable: RefinableModel,
    settings: RefinementSettings,
    options: RefineOptions,
    symmetry: MapSymmetry | None,
    main: EmRun,
) -> HalfMapValidation:
    """Refine the same start against half map 1 alone, at the balance found with both; compare with half map 2.

    The work of half map 2 is not seen, so a gap between the two correlations is what was fitted to noise.
    """
    found = main.state.history[-1].balance
    fixed = replace(
        settings, weight=found.data, geometry=replace(settings.geometry, bond=found.bond, angle=found.angle)
    )
    alone = refine_against(maps, refinable, fixed, options, symmetry, _quiet, first_alone=True)
    return compared_with_halves(maps, refinable, options, symmetry, alone)


def compared_with_halves(
    maps: Sequence[DensityMap],
    refinable: RefinableModel,
    options: RefineOptions,
    symmetry: MapSymmetry | None,
    alone: EmRun,
) -> HalfMapValidation:
    """Correlation of a model that was refined against half map 1 alone with both."""
    boxed = boxed_about(maps, refinable, options, symmetry)
    term = alone.term
    halves = boxed.halves.to(term.last_f_calc.dtype)
    return HalfMapValidation(
        fsc_work=term.average(term.fsc_against(halves[0])),
        fsc_free=term.average(term.fsc_against(halves[1])),
        work_by_shell=term.fsc_against(halves[0]).tolist(),
        free_by_shell=term.fsc_against(halves[1]).tolist(),
        atoms=alone.state.atoms,
    )


def _quiet(event: Event) -> None:
    """Tell nobody."""
