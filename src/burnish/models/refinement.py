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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from burnish.core.events import Listener, Message, Metrics, Progress, ignore
from burnish.core.memory import return_small_blocks
from burnish.core.units import EIGHT_PI_SQUARED
from burnish.data.atoms import Atoms
from burnish.models.data_curvature import (
    displacement_curvature,
    position_curvature,
    slope_by_displacements,
)
from burnish.models.data_term import DataEvaluation, DataTerm
from burnish.models.parameters import LARGEST_MOVE, Parametrisation, moved_atoms
from burnish.models.refinement_system import (
    RefinementSystem,
    displacement_pairs,
    displacement_terms,
    parametrise,
    position_terms,
    prior_energy,
)
from burnish.models.restraints.nonbonded import Contacts, find_contacts
from burnish.models.restraints.stereochemistry import geometry_statistics
from burnish.models.restraints.term import Array, Index, Term
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
    bodies : atoms of each rigid body, where only these move.
    """

    balance: Balance
    bodies: tuple[Index, ...] = ()


class Stop(Enum):
    """Why refinement ends."""

    OUT_OF_CYCLES = "all cycles done"
    CONVERGED = "no step makes the target smaller"


FullStep = tuple[Array, Array, Array]  # positions (3n), displacements (7n), occupancies (n)


class Kind(Enum):
    """Kinds of parameters, in the order of a `FullStep`."""

    XYZ = "positions"
    ADP = "displacements"
    OCC = "occupancies"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A Gauss–Newton step, what the quadratic model promises of it, and the energy of all restraints before it."""

    full: FullStep
    predicted_gain: float
    prior_energy: float


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
    "cc_expected",
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
    if state.cycle >= n_cycles(system):
        return Stop.OUT_OF_CYCLES
    recent = state.history[-2:]
    if len(recent) == 2 and all(record.step == 0.0 and record.cycle > 0 for record in recent):
        return Stop.CONVERGED
    return CyclePlan(balance=state.balance, bodies=_bodies(state.cycle, system))


def n_cycles(system: RefinementSystem) -> int:
    """Cycles of all kinds."""
    return system.settings.rigid_cycles + system.settings.domain_cycles + system.settings.cycles


def _bodies(cycle: int, system: RefinementSystem) -> tuple[Index, ...]:
    """What moves as rigid bodies in the cycle after this one: chains first, then domains, then nothing."""
    if cycle < system.settings.rigid_cycles:
        return system.rigid_groups
    return system.domain_groups if cycle < system.settings.rigid_cycles + system.settings.domain_cycles else ()


def refinement_step(
    state: RefinementState, system: RefinementSystem, data: DataTerm, plan: CyclePlan
) -> RefinementState:
    """One cycle: derivatives, Gauss–Newton step, shorter steps until the target falls, new scales, new weight."""
    if plan.bodies:
        return _rigid_step(state, system, data, plan)
    atoms, balance = state.atoms, plan.balance
    weights = replace(system.settings.geometry, bond=balance.bond, angle=balance.angle)
    contacts = state.contacts if state.contacts is not None else _contacts(atoms, system)
    evaluation = data.evaluate(atoms)
    similar = displacement_pairs(atoms, system)
    parameters = parametrise(atoms, system)
    return_small_blocks()
    step = _gauss_newton(
        (position_terms(atoms, system, contacts, weights), displacement_terms(atoms, system, similar)),
        evaluation,
        parameters,
        balance.data,
        state.ridge,
    )
    start = balance.data * evaluation.value + step.prior_energy
    del evaluation
    return_small_blocks()

    def target(moved: Atoms) -> float:
        return_small_blocks()
        of_data = balance.data * data.value(moved)
        return_small_blocks()
        return of_data + prior_energy(moved, system, contacts, similar, weights)

    trial = _line_search(atoms, step.full, start, system, target)
    ridge = _next_ridge(state.ridge, start - trial.target, step.predicted_gain, trial.fraction)
    return_small_blocks()
    data.update_scaling(trial.atoms)
    moved = _with_overall_b(trial.atoms, system, data)
    later = _contacts(moved, system)
    record = _record(state.cycle + 1, balance, trial.fraction, moved, later, system, data)
    history = (*state.history, record)
    after = balance
    if system.settings.weight is None:
        after = plan_balance(qualities(history), system.limits, positions=system.settings.xyz)
    return RefinementState(atoms=moved, ridge=ridge, balance=after, history=history, contacts=later)


def _rigid_step(state: RefinementState, system: RefinementSystem, data: DataTerm, plan: CyclePlan) -> RefinementState:
    """One cycle in which rigid bodies follow the data alone."""
    atoms, groups = state.atoms, plan.bodies
    evaluation = data.evaluate(atoms)
    directions = rigid_columns(atoms.xyz.numpy(), groups)
    gradient = directions.T @ evaluation.gradient.xyz.numpy().reshape(-1)
    curvature = sp.csr_matrix(directions.T @ position_curvature(evaluation) @ directions)
    step, _ = solve_normal_equations(NormalMatrix(factors=(), blocks=curvature), -gradient, tolerance=1e-8)
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
            work_value=r.data["work_value"],
            missing_fit=r.data["cc_expected"] - r.data["cc_work"],
        )
        for r in history
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalEquations:
    """The quadratic model of weight · data + restraints in one kind of parameters.

    Attributes
    ----------
    gradient : by the parameters.
    matrix : curvature.
    energy : of the restraints.
    """

    gradient: Array
    matrix: NormalMatrix
    energy: float


def normal_equations(
    kind: Kind, terms: Iterable[Term], evaluation: DataEvaluation, columns: sp.csr_matrix, weight: float, ridge: float
) -> NormalEquations:
    """Gradient and curvature of weight · data + restraints with respect to one kind of parameters.

    Positions, displacements and occupancies have equations of their own: no restraint mixes them. What the data say of
    positions and B together enters the second solution by `slope_by_displacements`.

    Parameters
    ----------
    terms : restraints of that kind; best made one by one, as their matrices are the largest things in a refinement.
    columns : from parameters to the full vector.
    ridge : Marquardt's damping: how much the curvature of the data is raised, relative. Pairs beyond the reach of
        `fisher_pairs` are missing in it, which where B is high can leave next to none along the differences between
        the B of neighbours, and a factor would not mend that: of displacements the diagonal is raised by as much again.
    """
    slope, curvature = _of_data(kind, evaluation)
    slope, energy = weight * slope, 0.0
    narrow = columns.astype(np.float32)  # the solver sums in float64
    curvature = curvature @ narrow
    blocks = sp.csr_matrix(narrow.T @ curvature)
    del curvature
    alone = weight * ridge * blocks.diagonal()
    blocks.data *= weight * (1.0 + ridge)
    if ridge > 0.0 and kind is Kind.ADP:
        blocks = sp.csr_matrix(blocks + sp.diags_array(alone.astype(np.float32)))
    factors = []
    for term in terms:
        slope += term.gradient
        energy += term.energy
        own = term.factor.astype(np.float32)
        del term
        factors.append(sp.csr_matrix(own @ narrow))
        del own
        return_small_blocks()
    matrix = NormalMatrix(factors=tuple(factors), blocks=blocks)
    return NormalEquations(gradient=columns.T @ slope, matrix=matrix, energy=energy)


def _of_data(kind: Kind, evaluation: DataEvaluation) -> tuple[Array, sp.csr_matrix]:
    """Slope and curvature of the data by the full vector of one kind."""
    slope, fisher = evaluation.gradient, evaluation.fisher
    if kind is Kind.XYZ:
        return slope.xyz.numpy().reshape(-1), position_curvature(evaluation)
    if kind is Kind.OCC:
        return slope.occ.numpy(), sp.csr_matrix(sp.diags_array(fisher.occ.numpy()))
    by_b_and_u = np.concatenate([slope.b_iso.numpy(), slope.u_aniso.numpy().reshape(-1)])
    return by_b_and_u, displacement_curvature(evaluation)


def _gauss_newton(
    terms: tuple[Iterable[Term], Iterable[Term]],
    evaluation: DataEvaluation,
    parameters: Parametrisation,
    weight: float,
    ridge: float,
) -> _Step:
    """Solve for one kind of parameters after the other; terms are of positions and of displacements.

    Displacements are solved for as they will be needed once the positions have moved, one sweep of Gauss–Seidel.
    """
    maps = (parameters.xyz, parameters.adp, parameters.occ)
    energy, predicted = 0.0, 0.0
    full: list[Array] = []
    for kind, own, columns in zip(Kind, (*terms, ()), maps, strict=True):
        return_small_blocks()
        equations = normal_equations(kind, own, evaluation, columns, weight, ridge)
        if kind is Kind.ADP:
            mixed = weight * slope_by_displacements(evaluation, full[0])
            equations = replace(equations, gradient=equations.gradient + np.asarray(columns.T @ mixed))
        step, _ = solve_normal_equations(equations.matrix, -equations.gradient)
        energy += equations.energy
        predicted -= float(equations.gradient @ step) + 0.5 * float(step @ equations.matrix.product(step))
        full.append(columns @ step)
        del equations
    return _Step(full=(full[0], full[1], full[2]), predicted_gain=predicted, prior_energy=energy)


def _line_search(
    atoms: Atoms, step: FullStep, start: float, system: RefinementSystem, target: Callable[[Atoms], float]
) -> _Trial:
    """The whole step, a half, or a quarter: the first that makes the target smaller; none leaves the atoms where
    they are."""
    xyz, adp, occ = step[0], _without_common_b(step[1], atoms, system), step[2]
    largest = system.settings.largest_move or LARGEST_MOVE
    for fraction in (1.0, 0.5, 0.25):
        full = (fraction * xyz, fraction * adp, fraction * occ)
        moved = moved_atoms(atoms, full, system.model.riders, system.parent, largest)
        value = target(moved)
        if value < start:
            return _Trial(atoms=moved, target=value, fraction=fraction)
    return _Trial(atoms=atoms, target=start, fraction=0.0)


def _without_common_b(step: Array, atoms: Atoms, system: RefinementSystem) -> Array:
    """A step of displacements without the part that all heavy atoms share.

    Blocks of atoms and near pairs underestimate how sharply the data know the overall B, so that its step overshoots
    and swings from cycle to cycle. The scale finds the overall B exactly, and `_with_overall_b` brings it into the
    atoms.
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
    listener(Progress(stage="refinement", done=record.cycle, total=n_cycles(system)))


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
