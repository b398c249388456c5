"""Refinements of one model that are repeated with other data, settings or starts, to be compared."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from burnish.core.events import Event, Listener, Message
from burnish.data.atoms import Atoms
from burnish.data.reflections import Reflections
from burnish.models.crystal_term import CrystalTerm
from burnish.models.data_term import DataStatistics
from burnish.models.likelihood import amplitude_likelihood
from burnish.models.refinement import RefinementState, initial_state, iterate
from burnish.models.refinement_settings import RefinementSettings
from burnish.models.refinement_system import RefinementSystem, make_system
from burnish.models.targets import AmplitudeTarget
from burnish.options.refine import RefineOptions
from burnish.workflows.refine_inputs import RefineInputs, data_term, read_inputs, refuse_no_working_data


@dataclass(frozen=True, slots=True, kw_only=True)
class Refined:
    """One refinement at its end."""

    system: RefinementSystem
    term: CrystalTerm
    state: RefinementState

    @property
    def statistics(self) -> DataStatistics:
        return self.term.statistics()


class Warnings:
    """A listener that passes events on and keeps the warnings."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.texts: list[str] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Message) and event.level == "warning":
            self.texts.append(event.text)
        self._listener(event)


def read_repeated(options: RefineOptions, listener: Listener) -> RefineInputs:
    """Read the inputs of all refinements."""
    inputs = read_inputs(options, listener)
    refuse_no_working_data(inputs.data)
    return inputs


def refine_with(
    inputs: RefineInputs,
    options: RefineOptions,
    settings: RefinementSettings,
    *,
    reflections: Reflections | None = None,
    atoms: Atoms | None = None,
    listener: Listener | None = None,
) -> Refined:
    """Refine to the end.

    Parameters
    ----------
    reflections : in place of those of the inputs.
    atoms : to start from, in place of those of the inputs.
    listener : told of the data; nobody when None.
    """
    data = inputs.data if reflections is None else replace(inputs.data, reflections=reflections)
    model = inputs.refinable if atoms is None else replace(inputs.refinable, atoms=atoms)
    term = data_term(options, data, model.atoms.elements, listener or _quiet)
    system = make_system(model, settings, d_min=data.reflections.d_min, n_observations=int(term.work.sum()))
    state = initial_state(system, term)
    for later in iterate(state, system, term):
        state = later
    term.update_scaling(state.atoms)
    return Refined(system=system, term=term, state=state)


def judge(inputs: RefineInputs, options: RefineOptions, reflections: Reflections, atoms: Atoms) -> CrystalTerm:
    """The data to which a model is compared, without refinement."""
    term = data_term(options, replace(inputs.data, reflections=reflections), atoms.elements, _quiet)
    term.prepare(atoms)
    return term


def free_values(term: CrystalTerm) -> Tensor | None:
    """Negative log-likelihood of each measured free reflection, None for targets that have no amplitudes of their own.

    (n,), NaN elsewhere.
    """
    if not isinstance(term.target, AmplitudeTarget):
        return None
    r = term.reflections
    d, variance = term.target.error_model()
    amplitude = term.amplitudes.f_model.to(torch.complex128).abs()
    result = amplitude_likelihood(torch.where(term.free, r.f_obs, amplitude), d * amplitude, variance, r.centric)
    return torch.where(term.free, result.value, torch.nan)


def common_values(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Values where both are known."""
    both = first.isfinite() & second.isfinite()
    return first[both], second[both]


def percent(value: float, digits: int = 2) -> str:
    """A fraction as a percentage."""
    return f"{100.0 * value:.{digits}f} %"


def _quiet(event: Event) -> None:
    """Tell nobody."""
