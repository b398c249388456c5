"""Refinement of atoms against data and geometry: Gauss–Newton cycles with a trust region and an automatic weight.

    system = make_system(model, settings, d_min=…, n_observations=…)
    state = initial_state(system, data)
    while isinstance(plan := plan_next(state, system), CyclePlan):
        state = refinement_step(state, system, data, plan)

`refine` is that loop with events. A `RefinementState` holds all that changes; `state_arrays` and `state_from_arrays`
turn it into named arrays and back, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from burnish.core.events import Listener, Message, Metrics, Progress, ignore
from burnish.core.units import EIGHT_PI_SQUARED
from burnish.data.atoms import Atoms
from burnish.models.data_term import DataEvaluation, DataTerm
from burnish.models.parameters import Parametrisation, moved_atoms
from burnish.models.refinement_system import RefinementSystem, parametrise, prior_energy, prior_terms
from burnish.models.restraints.nonbonded import Contacts, find_contacts
from burnish.models.restraints.stereochemistry import geometry_statistics
from burnish.models.restraints.term import Array, Term, total
from burnish.models.restraints.weights import GeometryWeights
from burnish.models.rigid_body import moved_rigidly, rigid_columns
from burnish.models.weight import Balance, CycleQuality, first_weight, plan_balance
from burnish.numerics.conjugate_gradients import NormalMatrix, solve_normal_equations


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleRecord:
    """What one cycle ended with; cycle 0 is the start.

    Attributes
    ----------
    cycle : number.
    balance : of data, bonds and angles.
    step : fraction of the Gauss–Newton step that was taken; 0 where none made the target smaller.
    data : statistics of the data, by name.
    geometry : statistics of the geometry, by name.
    """

    cycle: int
    balance: Balance
    step: float
    data: Mapping[str, float]
    geometry: Mapping[str, float]

    @property
    def weight(self) -> float:
        """Weight of the data."""
        return self.balance.data


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementState:
    """All that changes from cycle to cycle.

    Attributes
    ----------
    atoms : present model.
    ridge : damping of the data's part of the normal equations.
    balance : of data, bonds and angles in the next cycle.
    history : one record for each cycle, the start first.
    contacts : close pairs of these atoms, found for the record and used again by the next step; not saved.
    """

    atoms: Atoms
    ridge: float
    balance: Balance
    history: tuple[CycleRecord, ...]
    contacts: Contacts | None = None

    @property
    def cycle(self) -> int:
        return self.history[-1].cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class CyclePlan:
    """What the next cycle does.

    Attributes
    ----------
    balance : of data, bonds and angles.
    rigid : only rigid bodies move.
    """

    balance: Balance
    rigid: bool = False


class Stop(Enum):
    """Why refinement ends."""

    OUT_OF_CYCLES = "all cycles done"
    CONVERGED = "no step makes the target smaller"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """A step with its target and how far along the Gauss–Newton step it is."""

    atoms: Atoms
    target: float
    fraction: float


_NUMBERS = (
    "r_work",
    "r_free",
    "cc_work",
    "cc_free",
    "free_value",
    "work_value",
    "k_sol",
    "b_sol",
    "overall_b",
    "outliers",
)


def data_numbers(data: DataTerm) -> dict[str, float]:
    """Overall statistics of the data as name → value."""
    found = data.statistics()
    numbers = {name: float(getattr(found, name)) for name in _NUMBERS}
    for k, fraction in enumerate(found.twin_fractions[1:], start=1):
        numbers[f"twin_fraction_{k}"] = float(fraction)
    return numbers


def _contacts(atoms: Atoms, system: RefinementSystem) -> Contacts:
    s = system.stereochemistry
    return find_contacts(atoms.xyz.numpy(), s.source.contacts, system.model.crystal, atoms.occ.numpy(), s.bonded_images)


def _record(
    cycle: int,
    balance: Balance,
    step: float,
    atoms: Atoms,
    contacts: Contacts,
    system: RefinementSystem,
    data: DataTerm,
) -> CycleRecord:
    geometry = geometry_statistics(atoms.xyz.numpy(), system.stereochemistry, contacts)
    return CycleRecord(cycle=cycle, balance=balance, step=step, data=data_numbers(data), geometry=geometry)


def _with_overall_b(atoms: Atoms, system: RefinementSystem, data: DataTerm) -> Atoms:
    """Atoms with the B that the last scaling gave to all of them alike, and scales fitted to them."""
    missing = data.statistics().overall_b
    if system.settings.adp == "fixed" or abs(missing) < _NOTICEABLE_B:
        return atoms
    n = len(atoms)
    shift = np.concatenate([np.full(n, missing), np.zeros(6 * n)])
    shift[n:].reshape(n, 6)[:, :3] = missing / EIGHT_PI_SQUARED
    shifted = moved_atoms(atoms, (np.zeros(3 * n), shift, np.zeros(n)), system.model.riders, system.parent)
    shifted = replace(shifted, xyz=atoms.xyz)  # the same positions: the solvent mask need not be made again
    data.update_scaling(shifted)
    return shifted


def initial_state(system: RefinementSystem, data: DataTerm) -> RefinementState:
    """Scale the data to the starting model and score it; the B that all atoms lack goes into the atoms."""
    data.prepare(system.model.atoms)
    atoms = system.model.atoms if system.settings.cycles == 0 else _with_overall_b(system.model.atoms, system, data)
    weight = start_weight(system)
    balance = Balance(data=weight, bond=system.settings.geometry.bond, angle=system.settings.geometry.angle)
    contacts = _contacts(atoms, system)
    record = _record(0, balance, 0.0, atoms, contacts, system, data)
    return RefinementState(
        atoms=atoms, ridge=system.settings.ridge, balance=balance, history=(record,), contacts=contacts
    )


def start_weight(system: RefinementSystem) -> float:
    """Weight of the first cycle: as asked, or the usual one at this resolution."""
    for given in (system.settings.weight, system.settings.first_weight):
        if given is not None:
            return given
    return first_weight(system.d_min)


def plan_next(state: RefinementState, system: RefinementSystem) -> CyclePlan | Stop:
    """Weight of the next cycle, or the reason to end."""
    if state.cycle >= system.settings.rigid_cycles + system.settings.cycles:
        return Stop.OUT_OF_CYCLES
    recent = state.history[-2:]
    if len(recent) == 2 and all(record.step == 0.0 and record.cycle > 0 for record in recent):
        return Stop.CONVERGED
    return CyclePlan(balance=state.balance, rigid=state.cycle < system.settings.rigid_cycles)


def refinement_step(
    state: RefinementState, system: RefinementSystem, data: DataTerm, plan: CyclePlan
) -> RefinementState:
    """One cycle: derivatives, Gauss–Newton step, shorter steps until the target falls, new scales, new weight."""
    if plan.rigid:
        return _rigid_step(state, system, data, plan)
    atoms, balance = state.atoms, plan.balance
    weights = replace(system.settings.geometry, bond=balance.bond, angle=balance.angle)
    contacts = state.contacts if state.contacts is not None else _contacts(atoms, system)
    evaluation = data.evaluate(atoms)
    terms = prior_terms(atoms, system, contacts, weights)
    parameters = parametrise(atoms, system)
    gradient, matrix = normal_equations(evaluation, terms, parameters, balance.data, state.ridge)
    step, _ = solve_normal_equations(matrix, -gradient)
    start = balance.data * evaluation.value + sum(t.energy for pair in terms for t in pair)
    trial = _line_search(atoms, step, start, system, data, contacts, parameters, balance.data, weights)
    predicted = -float(gradient @ step) - 0.5 * float(step @ _curvature(matrix, step))
    ridge = _next_ridge(state.ridge, start - trial.target, predicted, trial.fraction)
    data.update_scaling(trial.atoms)
    moved = _with_overall_b(trial.atoms, system, data)
    later = _contacts(moved, system)
    record = _record(state.cycle + 1, balance, trial.fraction, moved, later, system, data)
    history = (*state.history, record)
    after = balance if system.settings.weight is not None else plan_balance(qualities(history), system.limits)
    return RefinementState(atoms=moved, ridge=ridge, balance=after, history=history, contacts=later)


def _rigid_step(state: RefinementState, system: RefinementSystem, data: DataTerm, plan: CyclePlan) -> RefinementState:
    """One cycle in which rigid bodies follow the data alone."""
    atoms, groups = state.atoms, system.rigid_groups
    evaluation = data.evaluate(atoms)
    directions = rigid_columns(atoms.xyz.numpy(), groups)
    gradient = directions.T @ evaluation.gradient.xyz.numpy().reshape(-1)
    curvature = sp.csr_matrix(directions.T @ _blocks(evaluation.fisher.xyz.numpy()) @ directions)
    none = sp.csr_matrix((0, directions.shape[1]))
    step, _ = solve_normal_equations(NormalMatrix(factor=none, blocks=curvature), -gradient, tolerance=1e-8)
    moved, taken = atoms, 0.0
    for fraction in (1.0, 0.5, 0.25, 0.1):
        trial = moved_rigidly(atoms, groups, fraction * step.reshape(-1, 6))
        if data.value(trial) < evaluation.value:
            moved, taken = trial, fraction
            break
    data.update_scaling(moved)
    contacts = _contacts(moved, system)
    record = _record(state.cycle + 1, plan.balance, taken, moved, contacts, system, data)
    return replace(state, atoms=moved, history=(*state.history, record), contacts=contacts)


def qualities(history: tuple[CycleRecord, ...]) -> list[CycleQuality]:
    """What the controller of the weight sees."""
    return [
        CycleQuality(
            balance=r.balance,
            bond_z=r.geometry["bond_rmsz"],
            angle_z=r.geometry["angle_rmsz"],
            free_value=r.data["free_value"],
        )
        for r in history
    ]


def _blocks(values: Array) -> sp.csr_matrix:
    """Block-diagonal sparse matrix of (n, d, d)."""
    n, d = values.shape[:2]
    return sp.bsr_matrix((values, np.arange(n), np.arange(n + 1)), shape=(n * d, n * d)).tocsr()


def normal_equations(
    evaluation: DataEvaluation,
    terms: tuple[list[Term], list[Term]],
    parameters: Parametrisation,
    weight: float,
    ridge: float,
) -> tuple[Array, NormalMatrix]:
    """Gradient and curvature of weight · data + restraints with respect to the parameters.

    Parameters
    ----------
    terms : restraints of positions and of displacements.
    ridge : how much the curvature of the data is raised: blocks of single atoms miss what overlapping atoms share.
    """
    fisher, slope = evaluation.fisher, evaluation.gradient
    n = len(fisher.b_iso)
    xyz, adp = total(terms[0], 3 * n), total(terms[1], 7 * n)
    full = (
        weight * slope.xyz.numpy().reshape(-1) + xyz.gradient,
        weight * np.concatenate([slope.b_iso.numpy(), slope.u_aniso.numpy().reshape(-1)]) + adp.gradient,
        weight * slope.occ.numpy(),
    )
    curvature = (
        _blocks(fisher.xyz.numpy()),
        sp.block_diag([sp.diags_array(fisher.b_iso.numpy()), _blocks(fisher.u_aniso.numpy())], format="csr"),
        sp.diags_array(fisher.occ.numpy()).tocsr(),
    )
    maps = (parameters.xyz, parameters.adp, parameters.occ)
    factors = (xyz.factor @ maps[0], adp.factor @ maps[1], sp.csr_matrix((0, maps[2].shape[1])))
    blocks = [(m.T @ (weight * c) @ m).tocsr() for m, c in zip(maps, curvature, strict=True)]
    gradient = np.concatenate([m.T @ g for m, g in zip(maps, full, strict=True)])
    return gradient, NormalMatrix(
        factor=sp.csr_matrix(sp.block_diag(factors)), blocks=sp.csr_matrix(sp.block_diag(blocks) * (1.0 + ridge))
    )


def _curvature(matrix: NormalMatrix, step: Array) -> Array:
    return np.asarray(matrix.factor.T @ (matrix.factor @ step) + matrix.blocks @ step)


def _line_search(
    atoms: Atoms,
    step: Array,
    start: float,
    system: RefinementSystem,
    data: DataTerm,
    contacts: Contacts,
    parameters: Parametrisation,
    weight: float,
    weights: GeometryWeights,
) -> _Trial:
    """The whole step, a half, or a quarter: the first that makes the target smaller; none leaves the atoms where
    they are."""
    ends = np.cumsum([parameters.xyz.shape[1], parameters.adp.shape[1]])
    p_xyz, p_adp, p_occ = np.split(step, ends)
    full = (parameters.xyz @ p_xyz, _without_common_b(parameters.adp @ p_adp, atoms, system), parameters.occ @ p_occ)
    for fraction in (1.0, 0.5, 0.25):
        moved = moved_atoms(
            atoms, (fraction * full[0], fraction * full[1], fraction * full[2]), system.model.riders, system.parent
        )
        target = weight * data.value(moved) + prior_energy(moved, system, contacts, weights)
        if target < start:
            return _Trial(atoms=moved, target=target, fraction=fraction)
    return _Trial(atoms=atoms, target=start, fraction=0.0)


def _without_common_b(step: Array, atoms: Atoms, system: RefinementSystem) -> Array:
    """A step of displacements without the part that all heavy atoms share.

    Blocks of single atoms underestimate how sharply the data know the overall B, so that its step overshoots and swings
    from cycle to cycle. The scale finds the overall B exactly, and `_with_overall_b` brings it into the atoms.
    """
    if not step.any():
        return step
    n = len(atoms)
    aniso, heavy = atoms.is_aniso.numpy(), system.stereochemistry.heavy
    equivalent = np.where(aniso, EIGHT_PI_SQUARED * step[n:].reshape(n, 6)[:, :3].mean(axis=1), step[:n])
    common = float(equivalent[heavy].mean())
    result = step.copy()
    result[:n] -= np.where(aniso, 0.0, common)
    result[n:].reshape(n, 6)[aniso, :3] -= common / EIGHT_PI_SQUARED
    return result


def _next_ridge(ridge: float, gained: float, predicted: float, fraction: float) -> float:
    """Marquardt's damping by how well the quadratic model foresaw the gain."""
    if fraction < 1.0:
        return min(4.0, max(4.0 * ridge, 0.1))
    ratio = gained / predicted if predicted > 0 else 0.0
    if ratio < 0.25:
        return min(4.0, max(2.0 * ridge, 0.1))
    return ridge / 3.0 if ratio > 0.6 else ridge


def iterate(state: RefinementState, system: RefinementSystem, data: DataTerm) -> Iterator[RefinementState]:
    """States after each further cycle, until there is a reason to end."""
    while isinstance(plan := plan_next(state, system), CyclePlan):
        state = refinement_step(state, system, data, plan)
        yield state


def report_cycle(state: RefinementState, system: RefinementSystem, listener: Listener) -> None:
    """Tell a listener about the last cycle."""
    record = state.history[-1]
    values = {"weight": record.balance.data, "step": record.step, **record.data, **record.geometry}
    listener(Metrics(series="cycles", step=record.cycle, values=values))
    listener(
        Progress(stage="refinement", done=record.cycle, total=system.settings.rigid_cycles + system.settings.cycles)
    )


def refine(system: RefinementSystem, data: DataTerm, listener: Listener = ignore) -> RefinementState:
    """Refine from the start to the last cycle."""
    state = initial_state(system, data)
    report_cycle(state, system, listener)
    for later in iterate(state, system, data):
        state = later
        report_cycle(state, system, listener)
    reason = plan_next(state, system)
    if reason is Stop.CONVERGED:
        listener(Message(f"refinement ended after cycle {state.cycle}: {reason.value}"))
    return state


_NOTICEABLE_B = 0.3  # Å²; smaller shifts of the overall B are not worth new structure factors
_TENSORS = ("xyz", "b_iso", "u_aniso", "is_aniso", "occ")


def state_arrays(state: RefinementState) -> dict[str, np.ndarray]:
    """All of a state as named arrays, for `numpy.savez`."""
    arrays = {name: getattr(state.atoms, name).numpy() for name in _TENSORS}
    text = json.dumps(
        {"ridge": state.ridge, "balance": asdict(state.balance), "history": [asdict(r) for r in state.history]}
    )
    return {**arrays, "rest": np.frombuffer(text.encode(), dtype=np.uint8)}


def state_from_arrays(arrays: Mapping[str, np.ndarray], system: RefinementSystem) -> RefinementState:
    """The state that `state_arrays` was given, for the same model."""
    rest = json.loads(bytes(arrays["rest"]).decode())
    tensors: dict[str, Any] = {name: torch.as_tensor(np.array(arrays[name])) for name in _TENSORS}
    atoms = replace(system.model.atoms, **tensors)
    history = tuple(CycleRecord(**{**r, "balance": Balance(**r["balance"])}) for r in rest["history"])
    return RefinementState(atoms=atoms, ridge=rest["ridge"], balance=Balance(**rest["balance"]), history=history)
